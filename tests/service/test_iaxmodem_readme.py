"""What IAXmodem's README promises, seen from outside, with files in IAXmodem's own form.

docs/migration.md lists every behaviour with its test; those that are not here are named there. One service
runs for most of them: three modems of a directory as /etc/iaxmodem was, and one that is `nodaemon`.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.at.fake_line import FakeLine
from tests.service.running import CUSEMODEM, TIMEOUT_S, RunningService, eventually
from tests.service.terminal import Terminal

ROOT = Path(__file__).parent.parent.parent


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _iaxmodem_file(service: RunningService, k: int, server_port: int, port: int, *more: str) -> None:
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    text = f"""\
; Comments begin with a semicolon
device      {service.root}/ttyIAX{k}
owner       {user}:{group}
mode        640
port        {port}
refresh     300
server      127.0.0.1:{server_port}
peername    fax{k}
secret      s{k}          ; and may stand behind a value
cidname     John Doe
cidnumber   8005551212
"""
    (service.etc / f"ttyIAX{k}").write_text(text + "".join(f"{line}\n" for line in more))


@dataclass
class Old:
    """The running service, the UDP port of ttyIAX0, where recordings are, and what the called modem said."""

    service: RunningService
    port: int
    recordings: Path
    caller_id: str


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory, exchange: int) -> Iterator[Old]:
    with RunningService(tmp_path_factory.mktemp("old"), exchange) as service:
        port = _free_port()
        _iaxmodem_file(
            service, 0, exchange, port, "codec alaw", "record", "iax2debug", "dspdebug", "nojitterbuffer"
        )
        _iaxmodem_file(service, 1, exchange, -1)
        _iaxmodem_file(service, 2, exchange, -1, "refresh 0")
        _iaxmodem_file(service, 3, exchange, -1, "nodaemon")
        service.start()
        eventually(lambda: service.line("ttyIAX1")["registered"] == "yes")
        eventually(lambda: service.line("ttyIAX0")["registered"] == "yes")
        caller, callee = Terminal(service.root / "ttyIAX0"), Terminal(service.root / "ttyIAX1")
        callee.ask("AT+VCID=1;+FCLASS=1")
        caller.ask("AT+FCLASS=1")
        caller.say("ATD101")
        eventually(lambda: callee.has_heard(b"RING"))
        caller_id = callee.heard.decode()
        callee.say("ATA")
        eventually(lambda: ((service.line("ttyIAX0") or {}).get("call") or {}).get("state") == "up")
        caller.close()
        callee.close()
        eventually(lambda: service.line("ttyIAX0")["last_call"])
        recordings = service.root / "state" / "recordings"
        eventually((recordings / "ttyIAX0-iax.raw").exists)
        yield Old(service, port, recordings, caller_id)


# --- the configuration file ---------------------------------------------------------------------------------


def test_the_file_name_is_the_identifier(old: Old) -> None:
    assert {"ttyIAX0", "ttyIAX1", "ttyIAX2"} == set(old.service.states())


def test_device_is_the_full_name_of_the_device(old: Old) -> None:
    for k in (0, 1, 2):
        assert stat.S_ISCHR((old.service.root / f"ttyIAX{k}").stat().st_mode)


def test_owner_and_mode_are_the_devices(old: Old) -> None:
    made = (old.service.root / "ttyIAX0").stat()
    assert (made.st_uid, made.st_gid) == (os.getuid(), os.getgid())
    assert stat.S_IMODE(made.st_mode) == 0o640


def test_port_is_the_local_udp_port(old: Old) -> None:
    table = Path("/proc/net/udp").read_text() + Path("/proc/net/udp6").read_text()
    assert f":{old.port:04X} " in table
    assert f"127.0.0.1:{old.port}" not in old.service.log("cusemodem"), "no complaint"


def test_refresh_is_asked_for_and_negotiated(old: Old) -> None:
    assert "registration completed: refresh 300 s" in old.service.log("ttyIAX0")


def test_refresh_0_does_not_register(old: Old) -> None:
    assert old.service.line("ttyIAX2")["registered"] == "not wanted"
    assert "registration" not in old.service.log("ttyIAX2")


def test_server_peername_and_secret_register(old: Old) -> None:
    assert old.service.line("ttyIAX0")["registered"] == "yes"
    assert old.service.line("ttyIAX0")["peername"] == "fax0"


def test_cidname_and_cidnumber_are_presented(old: Old) -> None:
    said = old.caller_id
    assert "NMBR=8005551212" in said.replace(" ", "")
    assert "NAME=JohnDoe" in said.replace(" ", "")


def test_codec_is_the_preferred_one(old: Old) -> None:
    assert old.service.line("ttyIAX0")["last_call"]["voice_format"].lower() == "alaw"


def test_iax2debug_shows_every_frame_and_no_secret(old: Old) -> None:
    log = old.service.log("ttyIAX0") + old.service.log()
    for word in ("REGREQ", "REGACK", "NEW", "ACCEPT", "HANGUP"):
        assert word in log, word
    assert "s0" not in re.findall(r"REGREQ.*", log)[0].split()


def test_dspdebug_shows_what_the_signal_processing_does(old: Old) -> None:
    assert "dsp: do " in old.service.log("ttyIAX0")
    assert "dsp: do " not in old.service.log("ttyIAX1")


def test_nodaemon_is_exempt(old: Old) -> None:
    assert not (old.service.root / "ttyIAX3").exists()
    assert "ttyIAX3" not in old.service.states()


def test_comments_begin_with_a_semicolon(old: Old) -> None:
    assert old.service.states()["ttyIAX0"] == "ready"


# --- record -------------------------------------------------------------------------------------------------


def test_record_writes_what_was_received_and_what_was_sent(old: Old) -> None:
    received, sent = (old.recordings / f"ttyIAX0-{way}.raw" for way in ("iax", "dsp"))
    assert received.stat().st_size == sent.stat().st_size > 0
    assert received.stat().st_size % 2 == 0
    assert stat.S_IMODE(received.stat().st_mode) == 0o600
    assert not (old.recordings / "ttyIAX1-iax.raw").exists(), "only who asked for it"


def test_soxs_conversion_is_what_the_wav_pair_holds(old: Old) -> None:
    """`sox -e signed-integer -b 16 -r 8000 -c 1 X-iax.raw playable.wav` is a header and the same samples."""
    raw = (old.recordings / "ttyIAX0-iax.raw").resolve()
    wav = raw.with_suffix(".wav")
    eventually(wav.exists)
    eventually(lambda: wav.stat().st_size == raw.stat().st_size + 44)
    data = wav.read_bytes()
    assert data[44:] == raw.read_bytes()
    assert data[20:36] == bytes([1, 0, 1, 0, 0x40, 0x1F, 0, 0, 0x80, 0x3E, 0, 0, 2, 0, 16, 0])


# --- one modem by name --------------------------------------------------------------------------------------


def test_name_runs_one_modem_and_ctrl_c_ends_it(old: Old) -> None:
    """Even one that is nodaemon; informational lines to stdout, nothing to stderr; it does not detach."""
    command = [*CUSEMODEM, "ttyIAX3", "--config", str(old.service.etc)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "registration completed" in line:
            break
    assert f"ready: {old.service.root}/ttyIAX3 (pty)\n" in said
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert "ending on SIGINT" in out
    assert [line for line in err.splitlines() if "is a pty instead" not in line] == []
    assert not (old.service.root / "ttyIAX3").exists()


def test_errors_of_one_modem_go_to_stderr(tmp_path: Path, exchange: int) -> None:
    service = RunningService(tmp_path)
    _iaxmodem_file(service, 4, exchange, -1, "secret wrong")
    command = [*CUSEMODEM, "ttyIAX4", "--config", str(service.etc)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("registration refused" in line for line in process.stderr)
        process.terminate()
        assert process.stdout is not None
        assert "registration refused" not in process.stdout.read()


def test_respawn_as_inittab_and_runit_do(tmp_path: Path, exchange: int) -> None:
    """Killed by force and started again: nothing is in the way; all output may go to /dev/null."""
    service = RunningService(tmp_path)
    _iaxmodem_file(service, 5, exchange, _free_port())
    command = [*CUSEMODEM, "ttyIAX5", "--config", str(service.etc)]
    for how in (signal.SIGKILL, signal.SIGTERM):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually((tmp_path / "ttyIAX5").exists)
        terminal = Terminal(tmp_path / "ttyIAX5")
        terminal.ask("AT")
        terminal.close()
        process.send_signal(how)
        assert process.wait(TIMEOUT_S) == (-9 if how == signal.SIGKILL else 0)
    assert not (tmp_path / "ttyIAX5").is_symlink()


# --- logs ---------------------------------------------------------------------------------------------------


def test_kill_hup_by_logrotate_begins_new_logs(tmp_path: Path) -> None:
    """As the README's logrotate entry does it; ours sends USR1, which changes nothing else."""
    with RunningService(tmp_path) as service:
        service.modem(0)
        service.start()
        for name in ("cusemodem", "ttyIAX0"):
            (tmp_path / "log" / name).rename(tmp_path / "log" / f"{name}.1")
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGHUP)
        eventually(lambda: "reloaded: 0 new, 0 changed, 0 ended" in service.log())
        service.modem(0, "cidname = Other")
        service.signal(signal.SIGHUP)
        eventually(lambda: "ready: " in service.log("ttyIAX0"))


# --- busied out ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [b"ATH0\r", b"ATZ\r"])
def test_busied_out_for_five_seconds_after_going_on_hook(command: bytes) -> None:
    line = FakeLine()
    line.host(b"ATH1\r")
    line.run(1)
    line.host(command)
    line.run(4.9)
    assert not line.engine.accepts_calls
    line.run(0.2)
    assert line.engine.accepts_calls


def test_ath1_busies_the_modem_out_for_as_long_as_the_set_up_lasts() -> None:
    line = FakeLine()
    line.host(b"ATH1\r")
    line.run(60)
    assert not line.engine.accepts_calls
    line.host(b"ATH0\r")
    line.run(5.1)
    assert line.engine.accepts_calls


# --- the list itself ----------------------------------------------------------------------------------------


def test_every_listed_behaviour_has_its_test() -> None:
    guide = (ROOT / "docs" / "migration.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.+?) \| `(tests/[\w/.]+)::(\w+)` \|$", guide, re.MULTILINE)
    assert [int(number) for number, *_ in rows] == list(range(1, len(rows) + 1))
    assert len(rows) >= 40
    for _, _, file, name in rows:
        assert re.search(rf"def {name}\(", (ROOT / file).read_text()), f"{file}::{name}"
