"""systemd's notices: in order, in UTF-8, and never waited for."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest

from cusemodem.systemd_notices import Notices


@pytest.fixture
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "notify"))
    listener.setblocking(False)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    return listener


def _heard(listener: socket.socket) -> list[str]:
    heard = []
    while True:
        try:
            heard.append(listener.recv(4096).decode())
        except BlockingIOError:
            return heard


def test_what_is_told_arrives_in_utf_8(listener: socket.socket) -> None:
    with listener:
        with closing(Notices()) as notices:
            notices.tell("STATUS=ttyIAX0: Müller … ready")
        assert _heard(listener) == ["STATUS=ttyIAX0: Müller … ready"]


def test_a_full_socket_costs_status_lines_only(listener: socket.socket) -> None:
    with listener, closing(Notices()) as notices:
        for k in range(2000):  # beyond any queue: this would block for ever
            notices.tell(f"STATUS={k}")
        notices.tell("RELOADING=1")
        notices.tell("WATCHDOG=1")
        notices.tell("READY=1")
        assert notices.waiting
        heard = _heard(listener)
        assert "READY=1" not in heard
        assert heard == [f"STATUS={k}" for k in range(len(heard))]
        notices.flush()
        assert not notices.waiting
        assert _heard(listener) == ["RELOADING=1", "READY=1"]


def test_without_systemd_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notices = Notices()
    notices.tell("READY=1")
    assert not notices.waiting


def test_a_systemd_that_has_gone_is_no_error(listener: socket.socket) -> None:
    with closing(Notices()) as notices:
        listener.close()
        notices.tell("READY=1")
        assert not notices.waiting
