"""What the service's first process does with the descriptors that systemd passes it."""

import selectors
from pathlib import Path

import pytest

from cusemodem.cuse.keeper import listen
from cusemodem.port_keeping import PortKeeping
from tests.cuse.test_keeper import Systemd, open_descriptors, pass_descriptors


def test_devices_that_are_no_modems_any_more_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemd = Systemd(tmp_path, monkeypatch)
    with systemd.socket, selectors.DefaultSelector() as selector:
        pass_descriptors(monkeypatch, tmp_path, ["ttyIAX0", "ttyOLD"])
        keeping = PortKeeping(tmp_path / "keeper", selector, ["ttyIAX0", "ttyIAX1"])
        assert systemd.receive() == ("FDSTOREREMOVE=1\nFDNAME=port-ttyOLD", [])
        assert keeping.outlives_stop
        assert keeping.next_timer() is not None
        keeping.forget()
        for listener in selector.get_map().values():
            listener.fileobj.close()  # type: ignore[union-attr]


def test_without_a_keeper_systemd_lets_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Else the node stays, nobody serves it, and the workers cannot make it anew."""
    systemd = Systemd(tmp_path, monkeypatch)
    other = listen(tmp_path / "keeper")
    assert other is not None
    before = open_descriptors()
    with systemd.socket, other, selectors.DefaultSelector() as selector:
        pass_descriptors(monkeypatch, tmp_path, ["ttyIAX0"])
        keeping = PortKeeping(tmp_path / "keeper", selector, ["ttyIAX0"])
        assert systemd.receive() == ("FDSTOREREMOVE=1\nFDNAME=port-ttyIAX0", [])
        assert not keeping.outlives_stop
        assert set(open_descriptors()) - set(before) == {str(selector.fileno())}  # type: ignore[attr-defined]
    assert "the ports will not outlive this service" in caplog.text
