"""AT&W at a real service: what a program stored is in force after a restart; a bad file is one line."""

from __future__ import annotations

import os
import select
import time
import tty
from pathlib import Path

from tests.service.running import TIMEOUT_S, RunningService


def answer(device: Path, line: bytes) -> bytes:
    """Write a command line to the modem and read until its OK."""
    descriptor = os.open(device, os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(descriptor)
        os.write(descriptor, line + b"\r")
        said, deadline = b"", time.monotonic() + TIMEOUT_S
        while not said.endswith(b"\r\nOK\r\n"):
            assert time.monotonic() < deadline, said
            if select.select([descriptor], [], [], 1.0)[0]:
                said += os.read(descriptor, 4096)
        return said
    finally:
        os.close(descriptor)


def test_a_stored_profile_survives_the_service(tmp_path: Path) -> None:
    device, file = tmp_path / "ttyIAX0", tmp_path / "state" / "profiles" / "ttyIAX0.json"
    with RunningService(tmp_path) as service:
        service.modem(0, "refresh = 0", "busy_after_call = 2", "identity = iaxmodem")
        service.modem(1, "refresh = 0")
        service.start()
        answer(device, b"ATE0S7=91&W")
        assert file.exists()
        assert service.stop() == 0
        assert service.process is not None
        service.process.communicate()
        (tmp_path / "state" / "profiles" / "ttyIAX1.json").write_text("{")
        service.start()
        assert answer(device, b"ATS7?") == b"\r\n091\r\n\r\nOK\r\n"
        said = answer(device, b"ATI3I7I9").decode()
        assert "www.soft-switch.org" in said
        assert f"ttyIAX0: {device}" in said
        assert "not registered by configuration" in said
        assert "busy for 2 s after a call" in said
        assert b"060" in answer(tmp_path / "ttyIAX1", b"ATE0S7?")
        assert service.log("ttyIAX1").count("factory settings instead, AT&W stores new ones") == 1
        assert service.stop() == 0
