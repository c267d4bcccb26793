"""`cusemodem config asterisk`: a real Asterisk takes it, and calls the right modem of a shared port."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cusemodem import cli
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
