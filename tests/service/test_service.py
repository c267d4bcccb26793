"""The service as its users meet it: detaching, many lines, reload, death and rebirth, signals, logs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.service.running import CUSEMODEM, TIMEOUT_S, RunningService, eventually


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RunningService]:
    with RunningService(tmp_path) as running:
        running.modem(0)
        running.modem(1)
        yield running


# --- IAXmodem's README --------------------------------------------------------------------------------------


def test_daemon_mode_detaches_and_serves_every_file_without_nodaemon(service: RunningService) -> None:
    service.modem(2, "nodaemon = yes")
    service.modem(3, name="ttyIAX3.dpkg-old")
    command = [*CUSEMODEM, "--config", str(service.etc)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = int((service.root / "pid").read_text())
    try:
        assert service.states() == {"ttyIAX0": "ready", "ttyIAX1": "ready"}, "ready when it has detached"
        assert os.getsid(pid) != os.getsid(0)
        assert Path(f"/proc/{pid}/fd/1").readlink() == Path("/dev/null")
        assert (service.root / "ttyIAX0").is_symlink()
        assert not (service.root / "ttyIAX2").exists()
        assert "ready" in service.log()
        assert f"ready: {service.root}/ttyIAX0 (pty)" in service.log("ttyIAX0"), (
            "nothing is lost in daemon mode"
        )
    finally:
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text())
    assert not (service.root / "pid").exists()
    assert not (service.root / "ttyIAX0").exists()


def test_a_relative_directory_is_the_same_after_detaching(service: RunningService) -> None:
    done = subprocess.run(
        [*CUSEMODEM, "--config", "etc"],
        cwd=service.root,
        env=service.environment | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    pid = int((service.root / "pid").read_text())
    try:
        service.modem(2)
        os.kill(pid, signal.SIGHUP)  # not the modems of /etc
        eventually(lambda: "reloaded: 1 new, 0 changed, 0 ended" in service.log())
    finally:
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text())


def test_dash_f_is_the_same_without_detaching(service: RunningService) -> None:
    service.start()
    assert service.process is not None
    assert int((service.root / "pid").read_text()) == service.process.pid
    assert service.states() == {"ttyIAX0": "ready", "ttyIAX1": "ready"}
    assert service.stop() == 0
    assert not (service.root / "pid").exists()
    assert not (service.root / "ttyIAX0").exists()


def test_a_log_beyond_its_limit_becomes_old(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "ttyIAX0").write_text("x" * (1 << 20) + "\n")
    (tmp_path / "log" / "ttyIAX0.old").write_text("older still")
    with RunningService(tmp_path, log_limit=1) as service:
        service.modem(0)
        service.start()
    assert service.log("ttyIAX0").startswith("[20")
    assert len(service.log("ttyIAX0.old")) == (1 << 20) + 1


def test_registration_and_a_call_are_in_the_lines_log(tmp_path: Path, exchange: int) -> None:
    with RunningService(tmp_path, exchange) as service:
        service.modem(0)
        service.modem(1)
        service.start()
        eventually(lambda: all(line["registered"] == "yes" for line in service.status()["lines"]))
        eventually(lambda: "registration completed: refresh " in service.log("ttyIAX0"))
        host = os.open(service.root / "ttyIAX0", os.O_RDWR | os.O_NOCTTY)
        os.write(host, b"AT+FCLASS=1\rATD109\r")  # nobody there: registered by no one
        eventually(lambda: "call report: outgoing call to 109; never answered" in service.log("ttyIAX0"))
        assert "call report" not in service.log("ttyIAX1")
        last = eventually(lambda: service.line("ttyIAX0")["last_call"])
        assert last["number"] == "109"
        os.close(host)
        done = subprocess.run(
            [*CUSEMODEM, "report", "--state", str(tmp_path / "state")],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "ttyIAX0: outgoing call to 109; never answered" in done.stdout


# --- reload -------------------------------------------------------------------------------------------------


def test_reload_starts_new_ends_vanished_and_restarts_changed_lines(service: RunningService) -> None:
    service.modem(2)
    service.start()
    before = service.worker_pids()
    (service.etc / "modems" / "ttyIAX1").unlink()
    service.modem(2, "cidname = Other")
    service.modem(3)
    service.signal(signal.SIGHUP)
    want = {"ttyIAX0": "ready", "ttyIAX2": "ready", "ttyIAX3": "ready"}
    eventually(lambda: service.states() == want)
    assert "reloaded: 1 new, 1 changed, 1 ended" in service.log()
    eventually(lambda: service.log("ttyIAX2").count("ready: ") == 2)
    assert service.log("ttyIAX0").count("ready: ") == 1, "an unchanged line is left alone"
    assert not (service.root / "ttyIAX1").exists()
    assert service.worker_pids() == before


def test_a_bad_reload_keeps_the_old_settings(service: RunningService) -> None:
    service.start()
    file = service.modem(1, "port = sixty")
    service.signal(signal.SIGHUP)
    eventually(lambda: "the old one stays in force" in service.log())
    assert f"{file}:5: port: 'sixty' is out of place; write a UDP port" in service.log()
    assert service.states() == {"ttyIAX0": "ready", "ttyIAX1": "ready"}
    assert service.log("ttyIAX1").count("ready: ") == 1


def test_a_changed_line_that_is_in_use_is_restarted_when_it_is_on_hook(tmp_path: Path, exchange: int) -> None:
    with RunningService(tmp_path, exchange) as service:
        service.modem(4)
        service.start()
        host = os.open(tmp_path / "ttyIAX4", os.O_RDWR | os.O_NOCTTY)
        os.write(host, b"AT+FCLASS=1\r")
        os.write(host, b"ATH1\r")  # off-hook: in use
        eventually(lambda: (service.line("ttyIAX4").get("modem") or {}).get("hook") == "off")
        service.modem(4, "cidname = Other")
        service.signal(signal.SIGHUP)
        eventually(lambda: service.line("ttyIAX4")["changing"])
        time.sleep(0.5)
        assert service.log("ttyIAX4").count("ready: ") == 1
        os.write(host, b"ATH0\r")
        eventually(lambda: service.log("ttyIAX4").count("ready: ") == 2)
        os.close(host)


def test_a_reload_may_bring_more_lines_than_a_process_has(service: RunningService) -> None:
    service.start()
    for k in range(2, 36):
        service.modem(k, "refresh = 0", "port = 0")
    service.signal(signal.SIGHUP)
    eventually(lambda: list(service.states().values()) == ["ready"] * 36)
    assert [len(worker_lines) for worker_lines in _lines_by_worker(service)] == [30, 6]


def _lines_by_worker(service: RunningService) -> list[set[str]]:
    """Of each worker, the devices it has open."""
    found = []
    for pid in service.worker_pids():
        links = Path(f"/proc/{pid}/fd").iterdir()
        found.append({link.name for link in links if "ptmx" in str(link.readlink())})
    return found


# --- death and rebirth --------------------------------------------------------------------------------------


def test_kill_9_of_a_worker_and_its_lines_come_back(service: RunningService) -> None:
    service.start()
    (pid,) = service.worker_pids()
    os.kill(pid, signal.SIGKILL)
    eventually(
        lambda: service.worker_pids() not in ([], [pid]) and set(service.states().values()) == {"ready"}
    )
    assert "worker was killed by SIGKILL (ttyIAX0 ttyIAX1); started again in 1 s" in service.log()
    host = os.open(service.root / "ttyIAX0", os.O_RDWR | os.O_NOCTTY)
    os.write(host, b"AT\r")
    heard = b""
    while b"OK" not in heard:
        heard += os.read(host, 100)
    os.close(host)


def test_kill_9_of_the_service_leaves_nothing_in_the_way(service: RunningService) -> None:
    service.start()
    assert service.process is not None
    service.process.kill()
    service.process.wait(TIMEOUT_S)  # its worker still hangs up
    assert service.process.stdout is not None
    assert service.process.stderr is not None
    service.process.stdout.close()
    service.process.stderr.close()
    service.start()
    assert service.states() == {"ttyIAX0": "ready", "ttyIAX1": "ready"}


def test_a_line_that_cannot_start_is_tried_again_and_hurts_nobody(service: RunningService) -> None:
    obstacle = service.root / "ttyIAX1"
    obstacle.write_text("a file")
    service.start()
    assert service.states() == {"ttyIAX0": "ready", "ttyIAX1": "failed"}
    assert "exists and is not a link: remove it" in service.line("ttyIAX1")["reason"]
    assert "; next try in 1 s" in service.log("ttyIAX1")
    obstacle.unlink()
    eventually(lambda: service.states()["ttyIAX1"] == "ready")
    assert service.line("ttyIAX1")["restarts"] >= 1
    assert service.log("ttyIAX0").count("ready: ") == 1


def test_two_services_at_once_are_refused_in_one_sentence(service: RunningService) -> None:
    service.start()
    assert service.process is not None
    command = [*CUSEMODEM, "--config", str(service.etc), "-F"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    said = f"cusemodem: another service runs already (process {service.process.pid}); end it first\n"
    assert (second.returncode, second.stdout, second.stderr) == (1, "", said)
    assert service.states() == {"ttyIAX0": "ready", "ttyIAX1": "ready"}


def test_a_bad_configuration_does_not_start(service: RunningService) -> None:
    service.modem(1, "codec = mp3")
    service.start(ready=False)
    assert service.process is not None
    out, err = service.process.communicate(timeout=TIMEOUT_S)
    assert (service.process.returncode, out) == (1, "")
    assert err == (
        f"cusemodem: {service.etc}/modems/ttyIAX1:5: codec: 'mp3' is no codec we have; write ulaw, alaw or "
        "slinear\n"
    )
    service.process = None


def test_sixty_lines(tmp_path: Path) -> None:
    with RunningService(tmp_path) as service:
        for k in range(60):
            service.modem(k, "refresh = 0", "port = 0")
        service.start()
        assert list(service.states().values()) == ["ready"] * 60
        assert len(service.worker_pids()) == min(2, os.cpu_count() or 1)
        assert service.stop() == 0
        assert not list(tmp_path.glob("ttyIAX*"))


# --- signals and logs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_during_the_start_comes_after_it(service: RunningService, number: signal.Signals) -> None:
    service.start(ready=False)
    lock = service.root / "run" / "lock"
    eventually(lambda: lock.exists() and lock.read_text())  # it begins to load the signal processing
    service.signal(number)
    eventually(service.is_ready)
    said = "reloaded: 0 new" if number == signal.SIGHUP else "logs reopened"
    eventually(lambda: said in service.log())
    assert service.stop() == 0


def test_sigusr1_reopens_the_logs(service: RunningService) -> None:
    service.start()
    for name in ("cusemodem", "ttyIAX0"):
        (service.root / "log" / name).rename(service.root / "log" / f"{name}.1")
    service.signal(signal.SIGUSR1)
    eventually(lambda: "logs reopened" in service.log())
    os.kill(service.worker_pids()[0], 0)
    service.modem(0, "cidname = Other")
    service.signal(signal.SIGHUP)
    eventually(lambda: "ready: " in service.log("ttyIAX0"))
    assert "ready: " in service.log("ttyIAX0.1")


def test_a_log_directory_that_cannot_be_is_said_and_no_obstacle(tmp_path: Path) -> None:
    with RunningService(tmp_path, log=tmp_path / "none" / "log") as service:
        service.modem(0)
        service.start()
        assert service.states() == {"ttyIAX0": "ready"}
        assert service.stop() == 0
        assert service.process is not None
        _, err = service.process.communicate()
        complaint = (
            f"cusemodem: cannot log to {tmp_path}/none/log/cusemodem: No such file or directory; logging here"
        )
        assert err.splitlines()[0] == complaint
        assert "ready" in err


def test_json_lines(tmp_path: Path) -> None:
    with RunningService(tmp_path, log_format="json", log="stderr") as service:
        service.modem(0)
        service.start()
        service.stop()
        assert service.process is not None
        out, _ = service.process.communicate()
    events = [json.loads(line) for line in out.splitlines()]
    assert {"time", "level", "message"} <= set(events[0])
    assert [event["line"] for event in events if event["message"].startswith("ready: ")] == ["ttyIAX0"]


# --- systemd, as far as a socket plays it -------------------------------------------------------------------


def _notices(listener: socket.socket, until: str, timeout_s: float = TIMEOUT_S) -> list[str]:
    """What the service tells systemd, up to a message that has `until`."""
    listener.settimeout(timeout_s)
    deadline = time.monotonic() + timeout_s
    told: list[str] = []
    while not told or until not in told[-1]:
        assert time.monotonic() < deadline, told
        told.append(listener.recv(4096).decode())
    return told


def test_systemd_is_told_ready_status_reload_and_life(service: RunningService) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(service.root / "notify"))
        service.environment |= {"NOTIFY_SOCKET": str(service.root / "notify"), "WATCHDOG_USEC": "600000"}
        service.start(ready=False)
        told = _notices(listener, "READY=1")
        assert service.states() == {"ttyIAX0": "ready", "ttyIAX1": "ready"}, "READY when every node is there"
        assert told[0].startswith("STATUS=loading the signal processing\nEXTEND_TIMEOUT_USEC=")
        assert not (service.root / "pid").exists(), "systemd needs no pid file"
        if "STATUS=2 modems, 0 registered, 0 in call" not in told:
            _notices(listener, "STATUS=2 modems, 0 registered, 0 in call")
        _notices(listener, "WATCHDOG=1")
        service.signal(signal.SIGHUP)
        assert "\nMONOTONIC_USEC=" in _notices(listener, "RELOADING=1")[-1]
        _notices(listener, "READY=1")
        assert service.process is not None
        service.process.terminate()
        _notices(listener, "STOPPING=1")
        assert service.process.wait(TIMEOUT_S) == 0


def test_a_stuck_worker_gets_no_watchdog_sign(service: RunningService) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(service.root / "notify"))
        service.environment |= {"NOTIFY_SOCKET": str(service.root / "notify"), "WATCHDOG_USEC": "600000"}
        service.start()
        _notices(listener, "WATCHDOG=1")
        (pid,) = service.worker_pids()
        os.kill(pid, signal.SIGSTOP)
        stopped = time.monotonic()
        listener.settimeout(2.0)  # ten signs' time
        with suppress(TimeoutError):
            while time.monotonic() < stopped + TIMEOUT_S:
                listener.recv(4096)
        assert 5.0 < time.monotonic() - stopped < TIMEOUT_S
        os.kill(pid, signal.SIGCONT)
        _notices(listener, "WATCHDOG=1")


# --- the control socket -------------------------------------------------------------------------------------


def test_the_control_socket_answers_and_refuses(service: RunningService) -> None:
    service.start()
    control = service.root / "run" / "control"
    assert control.stat().st_mode & 0o777 == 0o660
    assert "error" in service.ask({"get": "secrets"})
    status = service.status()
    assert "s0" not in json.dumps(status["lines"]), "no secret"
    assert status["lines"][0]["device"] == f"{service.root}/ttyIAX0"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(control))
        client.sendall(b"\xff\xfe nonsense\n" + b"x" * 5000)
        client.settimeout(TIMEOUT_S)
        received = b""
        while piece := client.recv(4096):
            received += piece
        assert b"not understood" in received, "and then the client was closed: a request has its limit"
    assert service.status()["service"]["state"] == "ready"


def test_watching_tells_of_changes(service: RunningService) -> None:
    service.start()
    with socket.socket(socket.AF_UNIX) as client, client.makefile() as answers:
        client.connect(str(service.root / "run" / "control"))
        client.settimeout(TIMEOUT_S)
        client.sendall(b'{"watch": "status"}\n')
        assert json.loads(answers.readline())["lines"][0]["open"] == 0
        host = os.open(service.root / "ttyIAX0", os.O_RDWR | os.O_NOCTTY)
        while json.loads(answers.readline())["lines"][0]["open"] != 1:
            pass
        os.close(host)
