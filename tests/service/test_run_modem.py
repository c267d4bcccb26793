"""`cusemodem NAME`: its signals, its log under systemd, and what it takes from cusemodem.conf."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.service.running import CUSEMODEM, TIMEOUT_S, RunningService, eventually
from tests.service.terminal import Terminal

IN_A_JOURNAL = """
import os, sys
from cusemodem import logs
from cusemodem.cli import main
logs.JOURNAL_SOCKET = sys.argv.pop()
stderr = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{stderr.st_dev}:{stderr.st_ino}"
sys.exit(main())
"""


@pytest.fixture
def service(tmp_path: Path) -> RunningService:
    """Not run: its directory."""
    service = RunningService(tmp_path)
    service.modem(0, "refresh = 0")
    return service


@contextmanager
def _running(
    service: RunningService, command: list[str], *more: str, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    command = [*command, "ttyIAX0", "--config", str(service.etc), *more]
    streams = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=streams, stderr=streams, text=True, env=service.environment | environment
    ) as process:
        try:
            eventually(lambda: (service.root / "ttyIAX0").exists() or process.poll() is not None)
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()


def test_sighup_ends_it_when_it_is_on_hook(service: RunningService) -> None:
    """As IAXmodem, which init or runit then starts anew, with the file as it is now."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(service.root / "notify"))
        systemd.settimeout(TIMEOUT_S)
        told = {"NOTIFY_SOCKET": str(service.root / "notify"), "WATCHDOG_USEC": "3000000"}
        with _running(service, CUSEMODEM, **told) as process:
            terminal = Terminal(service.root / "ttyIAX0")
            terminal.ask("AT&W0")
            assert (service.root / "state" / "profiles" / "ttyIAX0.json").exists(), "`state` is heeded"
            for _ in range(3):
                while systemd.recv(4096) != b"WATCHDOG=1":
                    pass
            terminal.ask("ATH1")
            process.send_signal(signal.SIGHUP)
            time.sleep(0.5)
            terminal.ask("AT")
            terminal.say("ATH0")
            out, err = process.communicate(timeout=TIMEOUT_S)
            terminal.close()
        assert process.returncode == 0, err
        assert "ending on SIGHUP, when on-hook" in out
        assert not (service.root / "ttyIAX0").is_symlink()
        while systemd.recv(4096) != b"STOPPING=1":
            pass


def test_sigterm_does_not_wait_for_what_sighup_waits_for(service: RunningService) -> None:
    with _running(service, CUSEMODEM) as process:
        terminal = Terminal(service.root / "ttyIAX0")
        terminal.ask("ATH1")
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=TIMEOUT_S)
        terminal.close()
    assert process.returncode == 0, err
    assert "ending on SIGTERM" in out


def test_the_journal_has_priority_and_name(service: RunningService) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        where = str(service.root / "journal")
        journal.bind(where)
        with _running(service, [sys.executable, "-c", IN_A_JOURNAL], where) as process:
            time.sleep(0.2)
            process.terminate()
            assert process.communicate(timeout=TIMEOUT_S) == ("", "")
        journal.setblocking(False)
        entries = []
        while True:
            try:
                entries.append(dict(line.split("=", 1) for line in journal.recv(9000).decode().splitlines()))
            except BlockingIOError:
                break
    messages = [entry["MESSAGE"] for entry in entries]
    assert f"ttyIAX0: ready: {service.root}/ttyIAX0 (pty)" in messages
    assert "ttyIAX0: ending on SIGTERM" in messages
    for entry in entries:
        assert (entry["PRIORITY"], entry["CUSEMODEM_LINE"]) == ("6", "ttyIAX0")
        assert not re.search(r"\[20\d\d-", entry["MESSAGE"]), "the journal has its own time"


def test_the_variable_of_a_journal_that_is_not_ours_changes_nothing(service: RunningService) -> None:
    with _running(service, CUSEMODEM, JOURNAL_STREAM="8:1") as process:
        time.sleep(0.2)
        process.terminate()
        out, _ = process.communicate(timeout=TIMEOUT_S)
    assert f"ready: {service.root}/ttyIAX0 (pty)\n" in out
