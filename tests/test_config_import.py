"""IAXmodem's files made ours: what each line meant is kept, and what may surprise is told."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

import pytest

from cusemodem import cli, import_command
from cusemodem.config import load
from cusemodem.config_import import convert

CODEC = (
    "1: codec: is not given; IAXmodem then prefers slinear, here it is ulaw, as the telephone network has it"
    "; the others are offered too"
)


@pytest.fixture(autouse=True)
def _no_service_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_command, "SERVICE_USER", "nobody-has-this-name")


IAXMODEM = """\
device\t\t/dev/ttyIAX
owner\t\troot:root
mode\t\t0660
port\t\t4570
refresh\t\t300
server\t\t127.0.0.1
peername\tiaxmodem
secret\t\tpass%word
cidname\t\tJohn Doe
codec\t\tslinear
# a remark
record no
portable 4571
sevrer pbx
codec g729
skew 10
"""


def test_import_tells_each_doubtful_line(tmp_path: Path) -> None:
    path = tmp_path / "ttyIAX"
    path.write_text(IAXMODEM)
    imported = convert(path)
    doubts = [str(doubt).removeprefix(f"{path}:") for doubt in imported.doubts]
    assert doubts == [
        "8: secret: has a `%`, for which IAXmodem ignores the line; left out",
        "12: record: `record no` switches it on in IAXmodem; written so",
        "13: portable: is port to IAXmodem, which looks at the beginning; written so",
        "13: port: is given in line 4 too; the last counts",
        "14: sevrer: is no keyword, and IAXmodem ignores it; left out",
        "15: codec: is given in line 10 too; the last counts",
        "15: codec: 'g729' is no codec we have; write ulaw, alaw or slinear; left as a comment",
        "16: skew: is not needed: the modem follows the far end's clock by itself; left out",
    ]
    path.write_text(imported.text)
    config = load(path)
    assert (config.port, config.record, config.mode, config.cidname) == (4571, True, 0o660, "John Doe")


def test_import_of_a_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "iaxmodem", tmp_path / "cusemodem"
    old.mkdir()
    good = "device /dev/ttyIAX{k}\nport 457{k}\nserver pbx\npeername fax{k}\nsecret s{k}\nmode 660\n"
    for k in range(3):
        (old / f"ttyIAX{k}").write_text(good.format(k=k))
        (old / f"ttyIAX{k}").chmod(0o600)
    (old / "ttyIAX9.dpkg-old").write_text("")
    assert cli.main(["import", str(old), "--config", str(new)]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [f"{old}/ttyIAX{k} -> {new}/modems/ttyIAX{k}" for k in range(3)]
    assert captured.err.splitlines() == [f"{old}/ttyIAX{k}:{CODEC}" for k in range(3)]
    for k in range(3):
        path = new / "modems" / f"ttyIAX{k}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        ours, theirs = load(path), load(old / path.name)
        assert list(ours.describe()) == list(theirs.describe())
        assert ours.secret == theirs.secret
    assert cli.main(["import", str(old), "--config", str(new)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"cusemodem import: {new}/modems/ttyIAX{k}: is there already; move it away" for k in range(3)
    ]


def test_a_file_without_a_codec_has_ulaw_and_offers_the_others(tmp_path: Path) -> None:
    path = tmp_path / "ttyIAX"
    path.write_text("device /dev/ttyIAX\nport 4570\npeername x\n")
    imported = convert(path)
    assert [str(doubt).removeprefix(f"{path}:") for doubt in imported.doubts] == [CODEC]
    theirs = load(path).codecs
    path.write_text(imported.text)
    assert load(path).codecs == theirs == ("ulaw", "alaw", "slinear")
    path.write_text("device /dev/ttyIAX\nport 4570\npeername x\ncodec slinear\n")
    assert convert(path).doubts == []


def test_what_the_services_user_may_not_read_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_command, "SERVICE_USER", "nobody")
    old = tmp_path / "iaxmodem"
    old.mkdir()
    for k, mode in enumerate((0o600, 0o640)):
        (old / f"ttyIAX{k}").write_text(f"device /dev/ttyIAX{k}\nport 457{k}\npeername {k}\ncodec ulaw\n")
        (old / f"ttyIAX{k}").chmod(mode)
    assert cli.main(["import", str(old), "--config", str(tmp_path)]) == 0
    remedy = f"`cd {tmp_path}/modems && chgrp nobody ttyIAX0 ttyIAX1 && chmod 640 ttyIAX0 ttyIAX1`"
    said = f"cusemodem import: the service's user nobody may not read 2 of these files; write {remedy}"
    assert capsys.readouterr().err.splitlines() == [said]
    monkeypatch.setattr(import_command, "SERVICE_USER", pwd.getpwuid(os.geteuid()).pw_name)
    assert cli.main(["import", str(old), "--config", str(tmp_path / "again")]) == 0
    assert capsys.readouterr().err == ""
