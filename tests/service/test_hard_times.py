"""The service when things go wrong around it: one clear sentence, and nothing lost."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cusemodem.history import History, HistoryError
from tests.service.running import CUSEMODEM, RunningService, eventually
from tests.service.terminal import Terminal

ROOT = Path(__file__).parent.parent.parent


def _exchange_at(port: int) -> subprocess.Popen[str]:
    command = [*CUSEMODEM, "exchange", "--listen", f"127.0.0.1:{port}", "--peer", "fax0:s0:100"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


@pytest.fixture(scope="module", autouse=True)
def abandoned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningService, int]]:
    """A service whose PBX was there and is gone, and the PBX's port. It takes half a minute until that can be
    known: the other tests run meanwhile."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pbx = _exchange_at(port)
    try:
        with RunningService(tmp_path_factory.mktemp("abandoned"), port) as service:
            service.modem(0, "refresh = 6")
            service.start()
            eventually(lambda: service.line("ttyIAX0")["registered"] == "yes")
            _end(pbx)
            yield service, port
    finally:
        _end(pbx)


@pytest.fixture
def pair(tmp_path: Path, exchange: int) -> Iterator[RunningService]:
    """Two registered modems, 106 and 107."""
    with RunningService(tmp_path, exchange) as service:
        service.modem(6)
        service.modem(7)
        service.start()
        eventually(lambda: all(line["registered"] == "yes" for line in service.status()["lines"]))
        yield service


def _call(service: RunningService) -> tuple[Terminal, Terminal]:
    """ttyIAX6 calls ttyIAX7, which answers."""
    caller, callee = Terminal(service.root / "ttyIAX6"), Terminal(service.root / "ttyIAX7")
    callee.ask("AT+FCLASS=1")
    caller.ask("AT+FCLASS=1")
    caller.say("ATD107")
    eventually(lambda: callee.has_heard(b"RING"))
    callee.say("ATA")
    eventually(lambda: _state(service, 6) == _state(service, 7) == "up")
    return caller, callee


def _state(service: RunningService, k: int) -> str:
    return ((service.line(f"ttyIAX{k}") or {}).get("call") or {}).get("state", "")


def _calls(service: RunningService) -> list[dict[str, object]]:
    try:
        return History(service.root / "state").last(100)
    except HistoryError:
        return []


# --- reload, restart, kill ----------------------------------------------------------------------------------


def test_a_call_survives_a_reload(pair: RunningService) -> None:
    caller, callee = _call(pair)
    pair.modem(8)
    pair.modem(6, "cidname = Other")  # changed: at the end of its call
    pair.signal(signal.SIGHUP)
    eventually(lambda: pair.states().get("ttyIAX8") == "ready")
    eventually(lambda: pair.line("ttyIAX6")["changing"])
    assert (_state(pair, 6), _state(pair, 7)) == ("up", "up")
    for modem in (caller, callee):
        modem.close()
    eventually(lambda: len(_calls(pair)) == 2)
    eventually(lambda: pair.log("ttyIAX6").count("ready: ") == 2)
    assert "cause" not in pair.log().split("reloaded: ")[1]


def test_a_restart_in_a_call_hangs_up_and_keeps_the_report(pair: RunningService) -> None:
    caller, callee = _call(pair)
    assert pair.stop() == 0
    calls = _calls(pair)
    assert {call["line"] for call in calls} == {"ttyIAX6", "ttyIAX7"}
    for name in ("ttyIAX6", "ttyIAX7"):
        assert "call report: " in pair.log(name)
    caller.close()
    callee.close()
    assert pair.process is not None
    pair.process.communicate()
    pair.start()
    assert set(pair.states().values()) == {"ready"}


def test_kill_9_of_a_worker_in_a_call_keeps_the_report(pair: RunningService) -> None:
    caller, callee = _call(pair)
    (pid,) = pair.worker_pids()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: len(_calls(pair)) == 2)
    for name in ("ttyIAX6", "ttyIAX7"):
        assert re.search(
            r"call report: .*; ended by its process, which was killed by SIGKILL", pair.log(name)
        )
    caller.close()
    callee.close()
    eventually(lambda: set(pair.states().values()) == {"ready"})


# --- the disk -----------------------------------------------------------------------------------------------


def test_a_full_disk(pair: RunningService) -> None:
    """Logs, history and recordings: no call is disturbed, and what could not be written comes later."""
    assert pair.process is not None
    pids = [pair.process.pid, *pair.worker_pids()]
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids}
    for pid in pids:  # as on a full disk, no file grows
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[pid][1]))
    caller, callee = _call(pair)
    for modem in (caller, callee):
        modem.close()
    eventually(lambda: pair.line("ttyIAX6")["last_call"] and pair.line("ttyIAX7")["last_call"])
    assert _calls(pair) == []
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before[pid])
    assert pair.stop() == 0
    assert len(_calls(pair)) == 2, pair.log()
    for name in ("ttyIAX6", "ttyIAX7"):
        log = pair.log(name)
        assert "call report: " in log
        assert re.search(r"could not be written from \S+ on \(File too large\); nothing was lost", log)


# --- two of a kind ------------------------------------------------------------------------------------------


def test_a_second_service_with_a_control_of_its_own_finds_the_devices_taken(
    tmp_path: Path, exchange: int
) -> None:
    with RunningService(tmp_path, exchange) as first:
        first.modem(0)
        first.start()
        with RunningService(tmp_path / "other", exchange) as second:
            (second.etc / "modems" / "ttyIAX0").write_text(
                f"[modem]\ndevice = {tmp_path}/ttyIAX0\npeername = fax1\nsecret = s1\n"
            )
            second.start()
            assert second.states() == {"ttyIAX0": "failed"}
            assert second.line("ttyIAX0")["reason"] == (
                f"{tmp_path}/ttyIAX0 is the device of another cusemodem that runs; "
                "end it, or choose another `device`"
            )
        assert first.states() == {"ttyIAX0": "ready"}
        terminal = Terminal(tmp_path / "ttyIAX0")
        terminal.ask("AT")
        terminal.close()


# --- logrotate ----------------------------------------------------------------------------------------------


def test_logrotate_as_it_is_shipped(tmp_path: Path) -> None:
    """The postrotate script of our entry, after the renaming that logrotate does."""
    entry = (ROOT / "init" / "logrotate").read_text()
    entry = entry.replace("/run/cusemodem.pid", f"{tmp_path}/pid")
    (script,) = re.findall(r"postrotate\n(.*?)\n\s*endscript", entry, re.DOTALL)
    with RunningService(tmp_path) as service:
        service.modem(0)
        service.start()
        for name in ("cusemodem", "ttyIAX0"):
            (tmp_path / "log" / name).rename(tmp_path / "log" / f"{name}.1")
        subprocess.run(["sh", "-c", script], check=True)
        eventually(lambda: "logs reopened" in service.log())
        service.modem(0, "cidname = Other")
        service.signal(signal.SIGHUP)
        eventually(lambda: "ready: " in service.log("ttyIAX0"))
        assert service.stop() == 0
    subprocess.run(["sh", "-c", script], check=True)  # without a service: no error


# --- what a reload cannot do --------------------------------------------------------------------------------


def test_service_keys_that_wait_for_a_restart_are_named(pair: RunningService) -> None:
    main = pair.etc / "cusemodem.conf"
    main.write_text(main.read_text().replace("[service]\n", "[service]\nworkers = 2\nhistory_days = 7\n"))
    pair.signal(signal.SIGHUP)
    eventually(lambda: "reloaded: 0 new, 0 changed, 0 ended" in pair.log())
    assert "[service]: history_days, workers: take effect at the next start of the service" in pair.log()


# --- the PBX ------------------------------------------------------------------------------------------------


def test_the_pbx_gone_and_back(abandoned: tuple[RunningService, int]) -> None:
    service, port = abandoned
    eventually(lambda: "registration timed out" in service.log("ttyIAX0"))
    eventually(lambda: service.line("ttyIAX0")["registered"] != "yes")
    assert service.states() == {"ttyIAX0": "ready"}, "the modem is there all the same"
    terminal = Terminal(service.root / "ttyIAX0")
    terminal.ask("AT")
    terminal.close()
    pbx = _exchange_at(port)
    try:
        eventually(lambda: service.line("ttyIAX0")["registered"] == "yes")
        eventually(lambda: service.log("ttyIAX0").count("registration completed") == 2)
        log = service.log("ttyIAX0")
        assert log.count("registration timed out") <= 3, "said, but not again and again"
        assert log.index("registration timed out") < log.rindex("registration completed")
    finally:
        _end(pbx)
