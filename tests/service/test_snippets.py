"""`cusemodem config`: a real Asterisk takes it, and calls the right modem of a shared port; what HylaFAX and
mgetty are told is what our modem understands."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from cusemodem import cli
from cusemodem.at.engine import Engine
from cusemodem.config_service import load_directory
from cusemodem.fax_program_snippets import hylafax_config, mgetty_config
from cusemodem.snippets import asterisk_peers
from tests.bed.asterisk import Asterisk
from tests.service.running import RunningService, eventually


def test_peers_and_dialplan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service = RunningService(tmp_path)
    service.modem(0, "port = 4570")
    service.modem(1, "port = 4571", "codec = alaw")
    assert cli.main(["config", "asterisk", "--config", str(service.etc)]) == 0
    first, second = capsys.readouterr().out.split("\n\n")
    assert first.splitlines()[:4] == ["[fax0]", "type=friend", "host=dynamic", "auth=md5"]
    assert "username" not in first, "a port of its own needs no name"
    assert second.index("allow=alaw") < second.index("allow=ulaw")
    assert cli.main(["config", "asterisk", "--number", "_5550.", "--config", str(service.etc)]) == 0
    dialplan = capsys.readouterr().out
    assert (
        "exten => _5550.,1,Dial(IAX2/fax0/${EXTEN},60)\n same => n,Dial(IAX2/fax1/${EXTEN},60)\n" in dialplan
    )
    assert cli.main(["config", "asterisk", "ttyIAX7", "--config", str(service.etc)]) == 1
    assert "there is no modem ttyIAX7" in capsys.readouterr().err
    service.modem(1, "secret_file = /dev/null")
    assert cli.main(["config", "asterisk", "--config", str(service.etc)]) == 1
    service.modem(0, "port = 4570")
    (service.etc / "modems" / "ttyIAX1").write_text("[modem]\npeername = x\nsecret = a;b\n")
    assert cli.main(["config", "asterisk", "--config", str(service.etc)]) == 1
    assert "Asterisk cannot read the secret" in capsys.readouterr().err


@pytest.mark.peer
def test_asterisk_takes_it_and_rings_the_modem_that_was_meant(
    tmp_path: Path, asterisk: Asterisk, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunningService(tmp_path, asterisk.iax_port) as service:
        for k in (7, 8):
            service.modem(k, "port = 15823")
        assert cli.main(["config", "asterisk", "--config", str(service.etc)]) == 0
        (peers,) = Path(asterisk.rundir).rglob("iax-peers.conf")
        before = peers.read_text()
        peers.write_text(f"{before}\n{capsys.readouterr().out}")
        try:
            asterisk.cli("iax2 reload")
            service.start()
            eventually(lambda: all(line["registered"] == "yes" for line in service.status()["lines"]))
            asterisk.cli("channel originate IAX2/fax8/5550100 extension 9018@bed")
            eventually(lambda: "for 5550100" in service.log("ttyIAX8"))
            assert "incoming" not in service.log("ttyIAX7")
            host = os.open(tmp_path / "ttyIAX8", os.O_RDWR | os.O_NOCTTY)
            os.write(host, b"AT+FCLASS=1\r")
            os.write(host, b"ATA\r")
            eventually(lambda: (service.line("ttyIAX8")["call"] or {}).get("state") == "up")
            os.close(host)
            eventually(lambda: "call report: incoming call from " in service.log("ttyIAX8"))
        finally:
            peers.write_text(before)
            asterisk.cli("iax2 reload")


def _config(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = cli.main(["config", *arguments])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_the_shipped_hylafax_configuration_is_the_generated_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ttyIAX0").write_text(
        "[modem]\npeername = fax0\nmode = 600\ncidname = Example Ltd\ncidnumber = 5550100\n"
    )
    shipped = Path(__file__).parent.parent.parent / "docs" / "hylafax" / "config.ttyIAX0"
    assert _config(capsys, "hylafax", "--config", str(tmp_path)) == (0, shipped.read_text(), "")


def test_hylafax_gets_a_file_for_each_modem_and_none_is_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = RunningService(tmp_path)
    service.modem(0, "cidnumber = 5550100")
    service.modem(1, "cidnumber = 5550101", "cidname = Second", "mode = 660")
    directory = ["--config", str(service.etc)]
    status, out, err = _config(capsys, "hylafax", *directory)
    assert (status, out) == (1, "")
    assert "HylaFAX wants a file for each modem; name one of ttyIAX0, ttyIAX1, or use --into DIR" in err
    into = tmp_path / "hylafax"
    into.mkdir()
    (into / "config.ttyIAX0").write_text("mine\n")
    status, out, err = _config(capsys, "hylafax", "--into", str(into), *directory)
    assert (status, out) == (1, f"{into}/config.ttyIAX1\n")
    assert f"{into}/config.ttyIAX0 is there already and was left alone" in err
    assert (into / "config.ttyIAX0").read_text() == "mine\n"
    written = (into / "config.ttyIAX1").read_text()
    assert "FAXNumber:\t\t5550101\n" in written
    assert 'LocalIdentifier:\t"Second"\n' in written
    assert "DeviceMode:\t\t0660\n" in written
    assert "ModemSetupDTRCmd:\tAT&D2\n" in written, "a program that dies hangs up"
    status, _, err = _config(capsys, "hylafax", "--into", str(tmp_path / "none"), *directory)
    assert (status, "No such file or directory; run as root, or write another --into DIR" in err) == (1, True)


def test_mgetty_gets_a_section_for_each_modem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service = RunningService(tmp_path)
    service.modem(0, "cidnumber = 5550100", "owner = root:root")
    service.modem(1)
    directory = ["--config", str(service.etc)]
    status, out, _ = _config(capsys, "mgetty", *directory)
    assert status == 0
    first, second = out.split("port ttyIAX")[1:]
    assert "modem-type cls1\n" in first, "mgetty looks for Class 2 by itself"
    assert "port-owner root\n  port-group root\n  port-mode 0660\n" in first
    assert "fax-id 5550100\n" in first
    assert "port-owner" not in second
    service.modem(1, 'cidnumber = 12"34')
    status, out, err = _config(capsys, "mgetty", *directory)
    assert (status, out) == (1, "")
    assert "ttyIAX1: the other program cannot read the cidnumber" in err
    assert _config(capsys, "mgetty", "--into", "/tmp", *directory)[0] == 1
    assert _config(capsys, "hylafax", "--number", "1", *directory)[0] == 1


@pytest.mark.parametrize("program", ["asterisk", "hylafax", "mgetty"])
def test_the_modem_takes_every_command_in_the_snippets(program: str, tmp_path: Path) -> None:
    """AT commands in what we generate are commands that our modem answers with OK."""
    service = RunningService(tmp_path)
    service.modem(0, "cidnumber = 5550100", "cidname = A")
    (modem,) = load_directory(service.etc).served
    text = {
        "asterisk": asterisk_peers([modem]),
        "hylafax": hylafax_config(modem),
        "mgetty": mgetty_config([modem]),
    }[program]
    commands = re.findall(r"\bAT[&+A-Z0-9=%\",sd]+", text)
    assert len(commands) == {"asterisk": 0, "hylafax": 5, "mgetty": 3}[program], commands
    for command in commands:
        engine = Engine()
        filled = command.replace("%s", "Name").replace("%d", "123")
        engine.host_bytes(filled.encode() + b"\r")
        assert engine.take_output().endswith(b"\r\nOK\r\n"), command


def test_the_guides_asterisk_section_is_the_generated_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ttyIAX0").write_text("[modem]\npeername = fax0\nsecret = change me\n")
    status, out, _ = _config(capsys, "asterisk", "--config", str(tmp_path))
    guide = Path(__file__).parent.parent.parent / "docs" / "asterisk.md"
    assert (status, f"```\n{out}```" in guide.read_text()) == (0, True)
