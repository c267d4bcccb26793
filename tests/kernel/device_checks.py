"""Checks of the CUSE device from the host's side, run inside a guest: `python -m tests.kernel.device_checks`.

Prints one JSON line a check: its name and, when it failed, why. `test_device.py` turns each into a test. The
device is served by another process (`modem_server.py`): a process must never open a node that it serves.
"""

import contextlib
import errno
import fcntl
import json
import os
import random
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import traceback
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NAME = "ttyIAX0"
PATH = f"/dev/{NAME}"
USER = 65534

TIOCM_DTR, TIOCM_RTS, TIOCM_CTS, TIOCM_CD, TIOCM_RI, TIOCM_DSR = 0x2, 0x4, 0x20, 0x40, 0x80, 0x100
TCGETS2, TCSETS2 = 0x802C542A, 0x402C542B
CBAUD, BOTHER = 0o010017, 0o010000
TIOCGEXCL, TIOCGICOUNT, TIOCMIWAIT, TIOCVHANGUP = 0x80045440, 0x545D, 0x545C, 0x5437

Check = Callable[["Modem"], None]
CHECKS: dict[str, Check] = {}
# Forked processes that have not been waited for.
CHILDREN: list[int] = []


class SkippedError(Exception):
    """The check needs a program that is not here."""


def check(function: Check) -> Check:
    CHECKS[function.__name__] = function
    return function


class Modem:
    """The modem process."""

    def __init__(self, name: str = NAME) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.kernel.modem_server", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the modem process has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def tell(self, do: str, **order: object) -> dict[str, Any]:
        assert self.process.stdin is not None
        print(json.dumps({"do": do, **order}), file=self.process.stdin, flush=True)
        return self._answer()

    def send(self, data: bytes) -> None:
        self.tell("send", data=data.hex())

    def status(self) -> dict[str, Any]:
        return self.tell("status")

    def heard(self) -> bytes:
        return bytes.fromhex(self.status()["heard"])

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(5) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextlib.contextmanager
def opened(
    flags: int = os.O_RDWR | os.O_NOCTTY,
    *,
    raw: bool = True,
    vmin: int = 1,
    vtime: int = 0,
    clocal: bool = True,
) -> Iterator[int]:
    file = os.open(PATH, flags | os.O_NONBLOCK)
    try:
        if not flags & os.O_NONBLOCK:
            os.set_blocking(file, True)
        if raw:
            configure(file, vmin=vmin, vtime=vtime, clocal=clocal)
        yield file
    finally:
        with contextlib.suppress(OSError):
            os.close(file)


def configure(file: int, *, vmin: int = 1, vtime: int = 0, clocal: bool = True, hupcl: bool = True) -> None:
    tty.setraw(file, termios.TCSANOW)
    settings = termios.tcgetattr(file)
    for flag, on in ((termios.CLOCAL, clocal), (termios.HUPCL, hupcl)):
        settings[2] = settings[2] | flag if on else settings[2] & ~flag
    settings[6][termios.VMIN], settings[6][termios.VTIME] = vmin, vtime
    termios.tcsetattr(file, termios.TCSANOW, settings)


def get_int(file: int, request: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(file, request, bytes(4)))[0])


def set_int(file: int, request: int, value: int) -> None:
    fcntl.ioctl(file, request, struct.pack("i", value))


def read_exactly(file: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = os.read(file, size - len(data))
        assert chunk, f"end of file after {data!r}"
        data += chunk
    return data


def expect_errno(error: int, function: Callable[..., object], *arguments: object) -> None:
    with pytest.raises(OSError, match=os.strerror(error)):
        function(*arguments)


def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def child(function: Callable[[], object], *, uid: int = 0) -> int:
    """Run a function in a forked process; its exit status is what it returns, 0 for None."""
    pid = os.fork()
    if pid:
        CHILDREN.append(pid)
        return pid
    status = 99
    try:
        if uid:
            os.setuid(uid)
        status = int(function() or 0)  # type: ignore[call-overload]
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def until_asleep(*pids: int) -> None:
    """Wait until processes block; a moment longer, for a process sleeps in other places on its way there."""
    time.sleep(0.1)
    until(lambda: all(state(pid) == "S" for pid in pids), 10)
    time.sleep(0.1)


def ended(pid: int, seconds: float = 3.0) -> int:
    """Wait status of a child that must end soon."""
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            CHILDREN.remove(pid)
            return status
        assert time.monotonic() < end, f"process still in state {state(pid)} after {seconds} s"
        time.sleep(0.005)


@contextlib.contextmanager
def alarm(seconds: float) -> Iterator[list[float]]:
    """SIGALRM after so long; its handler raises InterruptedError: no call is started again after it."""

    def ring(*_: object) -> None:
        raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))

    before = signal.signal(signal.SIGALRM, ring)
    start = time.monotonic()
    took: list[float] = []
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield took
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        took.append(time.monotonic() - start)
        signal.signal(signal.SIGALRM, before)


def run(*command: str, seconds: float = 10) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{command}: status {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


# What the node is


@check
def node_is_a_character_device(modem: Modem) -> None:
    assert run("stat", "-c", "%F", PATH) == "character special file\n"
    assert Path(f"/sys/class/cuse/{NAME}/dev").exists()


@check
def isatty_and_ttyname(modem: Modem) -> None:
    with opened() as file:
        assert os.isatty(file)
        assert os.ttyname(file) == PATH


@check
def stty_shows_and_sets(modem: Modem) -> None:
    run("stty", "-F", PATH, "sane", "9600", "clocal", "hupcl")
    shown = run("stty", "-F", PATH, "-a")
    assert "speed 9600 baud" in shown
    assert " icanon" in shown
    run("stty", "-F", PATH, "raw", "-echo", "115200", "crtscts", "-hupcl", "min", "0", "time", "5")
    shown = run("stty", "-F", PATH, "-a")
    for word in ("speed 115200 baud", "-icanon", "-echo", " crtscts", "-hupcl", "min = 0", "time = 5"):
        assert word in shown, f"{word} missing in {shown}"
    run("stty", "-F", PATH, "sane", "9600", "clocal", "hupcl", "-crtscts")


@check
def odd_speeds_are_kept(modem: Modem) -> None:
    with opened() as file:
        settings = bytearray(fcntl.ioctl(file, TCGETS2, bytes(44)))
        (cflag,) = struct.unpack_from("I", settings, 8)
        struct.pack_into("I", settings, 8, cflag & ~0o010017 | BOTHER)
        struct.pack_into("II", settings, 36, 31250, 31250)
        fcntl.ioctl(file, TCSETS2, bytes(settings))
        got = fcntl.ioctl(file, TCGETS2, bytes(44))
        assert struct.unpack_from("II", got, 36) == (31250, 31250)


@check
def settings_survive_a_close(modem: Modem) -> None:
    with opened(vmin=7, vtime=3):
        pass
    with opened(raw=False) as file:
        cc = termios.tcgetattr(file)[6]
        assert (cc[termios.VMIN], cc[termios.VTIME]) == (7, 3)


@check
def tcgetattr_reads_back_tcsetattr(modem: Modem) -> None:
    with opened() as file:
        for when in (termios.TCSANOW, termios.TCSADRAIN, termios.TCSAFLUSH):
            settings = termios.tcgetattr(file)
            settings[4] = settings[5] = termios.B38400
            settings[6][termios.VTIME] = when + 1
            termios.tcsetattr(file, when, settings)
            got = termios.tcgetattr(file)
            got[2] &= ~CBAUD
            settings[2] &= ~CBAUD
            assert got == settings, (when, got, settings)


# Reading and writing


@check
def command_is_answered(modem: Modem) -> None:
    with opened() as file:
        assert os.write(file, b"ATZ\r") == 4
        assert read_exactly(file, 6) == b"\r\nOK\r\n"
    assert modem.heard() == b"ATZ\r"


@check
def cat_and_echo_work_with_first_settings(modem: Modem) -> None:
    run("stty", "-F", PATH, "sane", "9600", "clocal", "hupcl")
    cat = subprocess.Popen(["cat", PATH], stdout=subprocess.PIPE)
    until(lambda: modem.status()["open_count"] == 1)
    run("bash", "-c", f"echo ATI > {PATH}")
    assert cat.stdout is not None
    got = b""
    while b"OK" not in got:
        got += os.read(cat.stdout.fileno(), 100)
    time.sleep(0.2)
    status = modem.status()
    assert bytes.fromhex(status["heard"]) == b"ATI\r\n", "nothing must be echoed to the modem"
    cat.kill()
    cat.wait(2)
    cat.stdout.close()
    until(lambda: modem.status()["open_count"] == 0)


@check
def nonblocking_read_and_fcntl(modem: Modem) -> None:
    with opened(os.O_RDWR | os.O_NONBLOCK) as file:
        expect_errno(errno.EAGAIN, os.read, file, 10)
        os.set_blocking(file, True)
        modem.send(b"x")
        assert os.read(file, 10) == b"x"
        os.set_blocking(file, False)
        expect_errno(errno.EAGAIN, os.read, file, 10)


@check
def vmin_127_vtime_1_as_faxgetty_sets_it(modem: Modem) -> None:
    with opened(vmin=127, vtime=1) as file:
        modem.send(b"OK\r\n")
        start = time.monotonic()
        assert os.read(file, 1024) == b"OK\r\n"
        assert 0.09 < time.monotonic() - start < 3, "with data already waiting"
        with alarm(0.5) as took:
            expect_errno(errno.EINTR, os.read, file, 1024)
        assert took[0] > 0.4, "no first byte, no clock"
        configure(file, vmin=127, vtime=100)
        modem.send(bytes(127))
        start = time.monotonic()
        assert os.read(file, 1024) == bytes(127)
        assert time.monotonic() - start < 5, "all that VMIN wants is there"


@check
def vmin_0_vtime_2(modem: Modem) -> None:
    with opened(vmin=0, vtime=2) as file:
        start = time.monotonic()
        assert os.read(file, 10) == b""
        assert 0.19 < time.monotonic() - start < 3
        configure(file, vmin=0, vtime=100)
        modem.send(b"x")
        start = time.monotonic()
        assert os.read(file, 10) == b"x"
        assert time.monotonic() - start < 5


@check
def flow_characters_pass_with_ixon(modem: Modem) -> None:
    with opened() as file:
        settings = termios.tcgetattr(file)
        settings[0] |= termios.IXON | termios.IXOFF
        termios.tcsetattr(file, termios.TCSANOW, settings)
        modem.tell("set", answering=False)
        everything = bytes(range(256))
        os.write(file, everything)
        assert modem.heard() == everything
        modem.send(everything)
        assert read_exactly(file, 256) == everything


@check
def a_megabyte_each_way_is_whole(modem: Modem) -> None:
    page = os.urandom(1 << 20)
    modem.tell("set", answering=False)
    with opened() as file:
        sent = 0
        while sent < len(page):
            sent += os.write(file, page[sent : sent + 100_000])
        assert modem.heard() == page
        modem.tell("send", data=page.hex())
        assert read_exactly(file, len(page)) == page
        assert modem.status()["unsent"] == 0


@check
def large_reads_give_what_there_is(modem: Modem) -> None:
    with opened() as file:
        modem.send(bytes(65536))
        got = os.read(file, 200_000)
        assert got == bytes(65536)
        modem.send(b"x")
        assert os.read(file, 200_000) == b"x"


@check
def a_modem_that_is_behind_blocks_writers(modem: Modem) -> None:
    modem.tell("set", holding=True)
    with opened() as file:
        os.set_blocking(file, False)
        taken = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                taken += os.write(file, bytes(1000))
        assert 4096 <= taken < 10_000
        assert not select.select([], [file], [], 0)[1]
        assert get_int(file, termios.TIOCOUTQ) >= 4096
        os.set_blocking(file, True)
        with alarm(0.2):
            expect_errno(errno.EINTR, os.write, file, b"x")
        writer = child(lambda: os.write(file, b"end") != 3)
        until_asleep(writer)
        modem.tell("set", holding=False)
        assert ended(writer) == 0
        assert len(modem.heard()) == taken + 3
        assert select.select([], [file], [], 1)[1]


@check
def tcdrain_waits_for_the_modem(modem: Modem) -> None:
    modem.tell("set", holding=True)
    with opened() as file:
        termios.tcdrain(file)
        os.write(file, b"page")
        drainer = child(lambda: termios.tcdrain(file))
        setter = child(lambda: termios.tcsetattr(file, termios.TCSADRAIN, termios.tcgetattr(file)))
        until_asleep(drainer, setter)
        modem.tell("take", max_bytes=4)
        assert ended(drainer) == 0
        assert ended(setter) == 0


@check
def tcflush_flushes_the_right_side(modem: Modem) -> None:
    modem.tell("set", holding=True)
    with opened() as file:
        os.write(file, b"out")
        modem.send(b"in")
        termios.tcflush(file, termios.TCIFLUSH)
        assert get_int(file, termios.FIONREAD) == 0
        assert get_int(file, termios.TIOCOUTQ) == 3
        modem.send(b"in")
        termios.tcflush(file, termios.TCOFLUSH)
        assert get_int(file, termios.FIONREAD) == 2
        assert get_int(file, termios.TIOCOUTQ) == 0


@check
def tcsendbreak_takes_a_quarter_of_a_second(modem: Modem) -> None:
    with opened() as file:
        start = time.monotonic()
        termios.tcsendbreak(file, 0)
        assert 0.24 < time.monotonic() - start < 3


# poll


@check
def poll_select_epoll_wake_for_input(modem: Modem) -> None:
    with opened(os.O_RDWR | os.O_NONBLOCK) as file:

        def by_poll() -> object:
            poller = select.poll()
            poller.register(file, select.POLLIN)
            return poller.poll(5000)

        def by_select() -> object:
            return select.select([file], [], [], 5)[0]

        def by_epoll(flags: int) -> object:
            epoll = select.epoll()
            epoll.register(file, flags)
            return epoll.poll(5)

        edge = select.EPOLLIN | select.EPOLLET
        waits = (by_poll, by_select, lambda: by_epoll(select.EPOLLIN), lambda: by_epoll(edge))
        sleepers = [child(lambda wait=wait: not wait()) for wait in waits]  # type: ignore[misc]
        until_asleep(*sleepers)
        modem.send(b"RING")
        assert [ended(sleeper) for sleeper in sleepers] == [0] * 4
        assert os.read(file, 10) == b"RING"
        assert select.select([file], [], [], 0.2)[0] == [], "nothing is left, so nothing is ready"


@check
def edge_triggered_epoll_sees_each_arrival(modem: Modem) -> None:
    with opened(os.O_RDWR | os.O_NONBLOCK) as file:
        epoll = select.epoll()
        epoll.register(file, select.EPOLLIN | select.EPOLLET)
        for _ in range(5):
            modem.send(b"x")
            assert epoll.poll(2), "an arrival was missed, though earlier input is still unread"
        assert epoll.poll(0.1) == []
        assert os.read(file, 10) == b"xxxxx"


@check
def poll_sees_room_for_output(modem: Modem) -> None:
    modem.tell("set", holding=True)
    with opened(os.O_RDWR | os.O_NONBLOCK) as file:
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(file, bytes(4096))
        sleeper = child(lambda: not select.select([], [file], [], 5)[1])
        until_asleep(sleeper)
        modem.tell("set", holding=False)
        assert ended(sleeper) == 0


@check
def select_with_timeout_returns_in_time(modem: Modem) -> None:
    with opened() as file:
        start = time.monotonic()
        assert select.select([file], [], [], 0.1) == ([], [], [])
        assert 0.09 < time.monotonic() - start < 3


# Signals and killed programs


@check
def alarm_interrupts_a_blocked_read(modem: Modem) -> None:
    with opened() as file:
        with alarm(0.1) as took:
            expect_errno(errno.EINTR, os.read, file, 10)
        assert took[0] < 3
        modem.send(b"later")
        assert os.read(file, 10) == b"later"


@check
def sigkill_ends_whatever_blocks(modem: Modem) -> None:
    modem.tell("set", holding=True)
    with opened() as file:
        os.write(file, bytes(4096))
        blocked: dict[str, Callable[[], object]] = {
            "read": lambda: os.read(file, 10),
            "write": lambda: os.write(file, b"x"),
            "tcdrain": lambda: termios.tcdrain(file),
            "TIOCMIWAIT": lambda: fcntl.ioctl(file, TIOCMIWAIT, TIOCM_RI),
            "poll": lambda: select.select([file], [], []),
        }
        pids = {name: child(function) for name, function in blocked.items()}
        until_asleep(*pids.values())
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        for name, pid in pids.items():
            assert os.WTERMSIG(ended(pid)) == signal.SIGKILL, name
        # The next one is served.
        modem.send(b"alive")
        assert os.read(file, 10) == b"alive"
    modem.tell("take", max_bytes=9999)
    until(lambda: modem.status()["open_count"] == 0)


@check
def a_hundred_readers_killed_in_mid_read(modem: Modem) -> None:
    before = modem.status()["descriptors"]
    for _ in range(100):
        reader = child(lambda: os.read(os.open(PATH, os.O_RDWR), 10))
        until(lambda: modem.status()["open_count"] == 1)
        os.kill(reader, signal.SIGKILL)
        assert os.WTERMSIG(ended(reader)) == signal.SIGKILL
        until(lambda: modem.status()["open_count"] == 0)
    assert modem.status()["descriptors"] == before


@check
def programs_killed_at_any_moment_leave_nothing_behind(modem: Modem) -> None:
    def busy() -> None:
        while True:
            file = os.open(PATH, os.O_RDWR)
            configure(file, vmin=127, vtime=1)
            os.write(file, b"AT\r")
            os.read(file, 100)
            os.close(file)

    rng = random.Random(3)
    before = modem.status()["descriptors"]
    for _ in range(40):
        pids = [child(busy) for _ in range(3)]
        time.sleep(rng.uniform(0.01, 0.06))
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            ended(pid, 3)
    until(lambda: modem.status()["open_count"] == 0)
    status = modem.status()
    assert (status["dtr"], status["descriptors"]) == (False, before)
    with opened() as file:
        os.write(file, b"AT\r")
        assert read_exactly(file, 6) == b"\r\nOK\r\n"


@check
def killing_a_program_drops_dtr(modem: Modem) -> None:
    with opened():
        modem.status()
        victim = child(lambda: time.sleep(60))
        # The child inherited the file: DTR falls when both are gone.
    assert modem.status()["dtr"]
    os.kill(victim, signal.SIGKILL)
    ended(victim)
    until(lambda: not modem.status()["dtr"])


# What fax programs do


@check
def faxgetty_initialises_and_resets(modem: Modem) -> None:
    """HylaFAX: O_NONBLOCK cleared later, VMIN 127 VTIME 1, reads under an alarm, DTR reset, reopening."""

    def command(file: int, text: bytes) -> bytes:
        # The command and its end are two writes.
        os.write(file, text)
        os.write(file, b"\r")
        got = b""
        with alarm(3):
            while b"OK\r\n" not in got:
                got += os.read(file, 1024)
        return got

    def open_as_faxgetty() -> int:
        file = os.open(PATH, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY)
        fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) & ~os.O_NONBLOCK)
        os.fchmod(file, 0o600)
        configure(file, vmin=127, vtime=1, hupcl=False)
        settings = termios.tcgetattr(file)
        settings[0] |= termios.IXON | termios.IXOFF
        settings[4] = settings[5] = termios.B19200
        termios.tcsetattr(file, termios.TCSANOW, settings)
        return file

    for _ in range(2):
        file = open_as_faxgetty()
        set_int(file, termios.TIOCMBIC, TIOCM_DTR)
        time.sleep(0.075)
        set_int(file, termios.TIOCMBIS, TIOCM_DTR)
        termios.tcflush(file, termios.TCIFLUSH)
        os.close(file)
        events = [event for event in modem.status()["events"] if event.startswith("Dtr")]
        assert events[-2:] == ["DtrDropped", "DtrRaised"]
        file = open_as_faxgetty()
        for text in (b"ATZ", b"AT+FCLASS=1"):
            assert command(file, text) == b"\r\nOK\r\n"
        configure(file, vmin=1, vtime=0, hupcl=False)
        assert select.select([file], [], [], 0.05)[0] == []
        modem.send(b"\r\nRING\r\n")
        assert select.select([file], [], [], 2)[0] == [file]
        assert os.read(file, 1024) == b"\r\nRING\r\n"
        settings = termios.tcgetattr(file)
        settings[0] = 0
        termios.tcsetattr(file, termios.TCSAFLUSH, settings)
        assert command(file, b"ATA") == b"\r\nOK\r\n"
        with alarm(0.1):
            expect_errno(errno.EINTR, os.read, file, 1024)
        set_int(file, termios.TIOCMBIC, TIOCM_DTR)
        os.close(file)
        assert not modem.status()["dtr"]
    with opened():
        pass


@check
def efax_polls_and_reads(modem: Modem) -> None:
    """efax: select with a tenth of a second, reads of 1024, TCSADRAIN, B0 to hang up."""
    file = os.open(PATH, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY)
    fcntl.fcntl(file, fcntl.F_SETFL, os.O_RDWR)
    configure(file)
    for _ in range(20):
        os.write(file, b"ATZ\r")
        got = b""
        while b"OK" not in got:
            assert select.select([file], [], [], 0.5)[0] == [file]
            got += os.read(file, 1024)
    termios.tcflow(file, termios.TCOON)
    settings = termios.tcgetattr(file)
    settings[4] = settings[5] = termios.B0
    termios.tcsetattr(file, termios.TCSADRAIN, settings)
    assert not modem.status()["dtr"]
    settings[4] = settings[5] = termios.B19200
    termios.tcsetattr(file, termios.TCSADRAIN, settings)
    assert modem.status()["dtr"]
    os.close(file)


# Several opens


@check
def dtr_follows_first_open_and_last_close(modem: Modem) -> None:
    assert not modem.status()["dtr"]
    with opened() as one:
        with opened():
            status = modem.status()
            assert (status["open_count"], status["dtr"], status["rts"]) == (2, True, True)
            assert status["events"] == ["Opened", "DtrRaised"]
        copy = os.dup(one)
        os.close(one)
        assert modem.status()["open_count"] == 1
        os.write(copy, b"AT\r")
        assert read_exactly(copy, 6) == b"\r\nOK\r\n"
        modem.status()
        os.close(copy)
    assert modem.status()["events"] == ["Closed", "DtrDropped"]


@check
def what_a_short_lived_program_wrote_comes_before_dtr_drops(modem: Modem) -> None:
    run("bash", "-c", f"printf 'ATZ\\r' > {PATH}")
    status = modem.status()
    assert bytes.fromhex(status["heard"]) == b"ATZ\r"
    assert status["events"] == ["Opened", "DtrRaised", "OutputWaiting", "Closed", "DtrDropped"]


@check
def exclusive_use_keeps_others_out(modem: Modem) -> None:
    Path(PATH).chmod(0o666)
    with opened() as file:
        fcntl.ioctl(file, termios.TIOCEXCL)
        assert get_int(file, TIOCGEXCL) == 1
        outsider = child(lambda: expect_errno(errno.EBUSY, os.open, PATH, os.O_RDWR), uid=USER)
        assert ended(outsider, 3) == 0
        fcntl.ioctl(file, termios.TIOCNXCL)
        insider = child(lambda: os.close(os.open(PATH, os.O_RDWR)), uid=USER)
        assert ended(insider, 3) == 0


@check
def many_opens_and_closes_from_several_processes(modem: Modem) -> None:
    def busy() -> None:
        for _ in range(200):
            file = os.open(PATH, os.O_RDWR | os.O_NONBLOCK)
            termios.tcgetattr(file)
            os.close(file)

    before = modem.status()["descriptors"]
    workers = [child(busy) for _ in range(4)]
    assert [ended(worker, 30) for worker in workers] == [0] * 4
    status = modem.status()
    assert (status["open_count"], status["dtr"], status["descriptors"]) == (0, False, before)


# Modem lines


@check
def the_host_drives_dtr_and_rts(modem: Modem) -> None:
    with opened() as file:
        modem.status()
        set_int(file, termios.TIOCMBIC, TIOCM_DTR)
        assert modem.status()["events"] == ["DtrDropped"]
        set_int(file, termios.TIOCMBIS, TIOCM_DTR)
        assert modem.status()["events"] == ["DtrRaised"]
        set_int(file, termios.TIOCMSET, 0)
        status = modem.status()
        assert (status["dtr"], status["rts"]) == (False, False)


@check
def b0_drops_dtr(modem: Modem) -> None:
    with opened() as file:
        settings = termios.tcgetattr(file)
        speed = settings[5]
        settings[4] = settings[5] = termios.B0
        termios.tcsetattr(file, termios.TCSANOW, settings)
        assert not modem.status()["dtr"]
        settings[4] = settings[5] = speed or termios.B9600
        termios.tcsetattr(file, termios.TCSANOW, settings)
        assert modem.status()["dtr"]


@check
def without_hupcl_dtr_stays(modem: Modem) -> None:
    with opened() as file:
        configure(file, hupcl=False)
    assert modem.status()["dtr"]
    with opened() as file:
        configure(file, hupcl=True)
    assert not modem.status()["dtr"]


@check
def the_host_reads_the_lines_of_the_modem(modem: Modem) -> None:
    with opened() as file:
        ours = TIOCM_DTR | TIOCM_RTS
        assert get_int(file, termios.TIOCMGET) == ours | TIOCM_CTS | TIOCM_DSR
        modem.tell("lines", dcd=True, ri=True)
        assert get_int(file, termios.TIOCMGET) == ours | TIOCM_CTS | TIOCM_DSR | TIOCM_CD | TIOCM_RI
        modem.tell("lines", cts=False, dsr=False, ri=False)
        assert get_int(file, termios.TIOCMGET) == ours | TIOCM_CD


@check
def tiocmiwait_and_counts(modem: Modem) -> None:
    with opened() as file:
        (_, _, rings, carriers) = struct.unpack_from("4i", fcntl.ioctl(file, TIOCGICOUNT, bytes(80)))
        waiter = child(lambda: fcntl.ioctl(file, TIOCMIWAIT, TIOCM_CD))
        until_asleep(waiter)
        modem.tell("lines", ri=True)
        modem.tell("lines", ri=False)
        time.sleep(0.1)
        assert state(waiter) == "S"
        modem.tell("lines", dcd=True)
        assert ended(waiter) == 0
        counts = struct.unpack_from("4i", fcntl.ioctl(file, TIOCGICOUNT, bytes(80)))
        assert counts[2:] == (rings + 1, carriers + 1)


@check
def an_open_waits_for_the_carrier_without_clocal(modem: Modem) -> None:
    with opened(clocal=False):
        pass
    waiter = child(lambda: os.close(os.open(PATH, os.O_RDWR)))
    until(lambda: modem.status()["dtr"])
    until_asleep(waiter)
    modem.tell("lines", dcd=True)
    assert ended(waiter) == 0
    modem.tell("lines", dcd=False)
    waiter = child(lambda: os.open(PATH, os.O_RDWR))
    until(lambda: modem.status()["dtr"])
    os.kill(waiter, signal.SIGKILL)
    ended(waiter)
    until(lambda: not modem.status()["dtr"])
    with opened(clocal=True):
        pass


# Hang-up


def hang_up_symptoms(file: int, hang_up: Callable[[], object]) -> dict[str, object]:
    """What a program sees whose terminal is hung up while it reads, and afterwards."""
    reading, writing = os.pipe()
    reader = child(lambda: os.write(writing, repr(os.read(file, 10)).encode()) < 1)
    sleeper = child(lambda: select.select([file], [], [], 5)[0] != [file])
    until_asleep(reader, sleeper)
    hang_up()
    symptoms: dict[str, object] = {"reader": ended(reader), "sleeper": ended(sleeper)}
    symptoms["read"] = os.read(reading, 100)
    symptoms["read again"] = os.read(file, 10)
    for name, call in {
        "write": lambda: os.write(file, b"x"),
        "tcgetattr": lambda: termios.tcgetattr(file),
        "TIOCSPGRP": lambda: set_int(file, termios.TIOCSPGRP, os.getpgrp()),
        "tcflush": lambda: termios.tcflush(file, termios.TCIOFLUSH),
    }.items():
        try:
            symptoms[name] = call()
        except (OSError, termios.error) as error:
            symptoms[name] = errno.errorcode[error.args[0]]
    poller = select.poll()
    poller.register(file, select.POLLIN | select.POLLOUT)
    symptoms["poll"] = poller.poll(0)[0][1]
    os.close(reading)
    os.close(writing)
    return symptoms


@check
def a_lost_carrier_looks_as_on_a_real_tty(modem: Modem) -> None:
    master, slave = os.openpty()
    configure(slave, clocal=False)
    real = hang_up_symptoms(slave, lambda: fcntl.ioctl(slave, TIOCVHANGUP))
    os.close(master)
    os.close(slave)
    modem.tell("lines", dcd=True)
    with opened(clocal=False) as file:
        ours = hang_up_symptoms(file, lambda: modem.tell("lines", dcd=False))
        assert ours == real, f"ours {ours}, a real tty's {real}"
        assert (ours["read"], ours["write"]) == (b"b''", "EIO")
        status = modem.status()
        assert (status["open_count"], status["dtr"]) == (0, False)
        with opened(os.O_RDWR | os.O_NONBLOCK) as again:
            os.write(again, b"AT\r")
            assert select.select([again], [], [], 2)[0]
            assert os.read(again, 99) == b"\r\nOK\r\n"


@check
def a_lost_carrier_is_ignored_with_clocal(modem: Modem) -> None:
    modem.tell("lines", dcd=True)
    with opened() as file:
        modem.tell("lines", dcd=False)
        modem.send(b"NO CARRIER")
        assert os.read(file, 99) == b"NO CARRIER"
        assert modem.status()["open_count"] == 1


# Other ioctls, other programs


@check
def unknown_ioctls_are_enotty_and_counted(modem: Modem) -> None:
    with opened() as file:
        expect_errno(errno.ENOTTY, fcntl.ioctl, file, 0x542E, bytes(32))
    assert modem.status()["unknown_ioctls"] == {str(0x542E): 1}


@check
def window_size(modem: Modem) -> None:
    with opened() as file:
        termios.tcsetwinsize(file, (24, 80))
        assert os.get_terminal_size(file) == (80, 24)


@check
def it_is_nobodys_controlling_terminal(modem: Modem) -> None:
    with opened() as file:
        expect_errno(errno.ENOTTY, os.tcgetpgrp, file)
        expect_errno(errno.ENOTTY, termios.tcgetsid if hasattr(termios, "tcgetsid") else os.tcgetpgrp, file)


@check
def pyserial_drives_it(modem: Modem) -> None:
    try:
        import serial
    except ImportError:
        raise SkippedError("pyserial is not installed") from None
    with serial.Serial(PATH, 115200, timeout=2, rtscts=True, exclusive=True) as port:
        port.write(b"ATI\r")
        assert port.read_until(b"OK\r\n") == b"\r\nOK\r\n"
        port.dtr = False
        assert not modem.status()["dtr"]
        port.dtr = True
        assert (port.cts, port.dsr, port.cd, port.ri) == (True, True, False, False)
        modem.tell("lines", dcd=True)
        assert port.cd
        modem.send(b"abc")
        until(lambda: port.in_waiting == 3)
        port.reset_input_buffer()
        assert port.in_waiting == 0
        port.baudrate = 14400
        port.flush()
        port.send_break(0.1)
    assert not modem.status()["dtr"]


@check
def an_unprivileged_user_is_served(modem: Modem) -> None:
    Path(PATH).chmod(0o666)

    def command() -> None:
        file = os.open(PATH, os.O_RDWR)
        os.write(file, b"AT\r")
        assert read_exactly(file, 6) == b"\r\nOK\r\n"

    with opened():
        pass
    assert ended(child(command, uid=USER), 3) == 0


# The server's end


@check
def a_second_device_of_that_name_is_refused(modem: Modem) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernel.modem_server", NAME], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"DeviceError: {PATH} exists already: stop the program" in done.stderr


def trouble(body: str) -> str:
    """What a program says that tries to serve a device; ``body`` stands inside an async function."""
    program = f"""
import os, trio
from cusemodem.cuse.device import open_cuse
from cusemodem.cuse.errors import DeviceError
from cusemodem.cuse.port import Port

def serve(name, **options):
    return open_cuse(name, Port(), lambda: None, **options)

async def main():
    {body}

try:
    trio.run(main)
except DeviceError as error:
    print(error)
"""
    return run(sys.executable, "-c", program)


@check
def devices_that_cannot_be_made(modem: Modem) -> None:
    numbers = 'async with serve("ttyA", number=(240, 7)), serve("ttyB", number=(240, {})): print("made")'
    assert trouble(numbers.format(8)) == "made\n"
    taken = (
        "/dev/ttyB: the kernel refused the device: the name, or the number 240:7, is in use by another one\n"
    )
    assert trouble(numbers.format(7)) == taken
    assert trouble('async with serve("/dev/null"): pass').startswith("/dev/null exists already: stop the")
    lost = """async with serve("ttyA"):
        open("/sys/class/cuse/ttyA/abort", "w").write("1")
        await trio.sleep(5)"""
    assert trouble(lost) == "/dev/ttyA: the kernel has taken the device away; start the modem again\n"
    Path("/dev/cuse").chmod(0o600)
    user = f"""os.setuid({USER})
    async with serve("ttyA"): pass"""
    assert trouble(user).startswith("/dev/ttyA: no permission to open /dev/cuse: run as root, or give")
    Path("/dev/cuse").chmod(0o666)
    assert trouble(user.replace("pass", "print(os.stat('/dev/ttyA').st_uid)")) == "0\n", "no privilege needed"
    Path("/dev/cuse").chmod(0o600)


@check
def a_directory_in_the_name(modem: Modem) -> None:
    other = Modem("iax/tty0")
    assert Path("/dev/iax/tty0").is_char_device()
    other.end()


@check
def a_killed_server_leaves_no_one_stuck(modem: Modem) -> None:
    other = Modem("ttyIAX9")
    file = os.open("/dev/ttyIAX9", os.O_RDWR)
    reader = child(lambda: expect_errno(errno.ECONNABORTED, os.read, file, 10))
    poller = child(lambda: not select.select([file], [], [], 5)[0])
    until_asleep(reader, poller)
    other.process.kill()
    other.process.wait(2)
    assert ended(reader) == 0
    assert ended(poller) == 0
    assert not Path("/dev/ttyIAX9").exists()
    os.close(file)
    again = Modem("ttyIAX9")
    assert Path("/dev/ttyIAX9").is_char_device()
    again.end()
    assert not Path("/dev/ttyIAX9").exists()


def main() -> None:
    modem = Modem()
    for name, function in CHECKS.items():
        result: dict[str, object] = {"check": name}
        modem.tell("reset")
        modem.status()
        start = time.monotonic()
        try:
            # Whatever hangs is interrupted, reported, and does not hold up the others.
            with alarm(20):
                function(modem)
        except SkippedError as reason:
            result["skipped"] = str(reason)
        except BaseException:
            result["failed"] = traceback.format_exc()
        for pid in list(CHILDREN):
            os.kill(pid, signal.SIGKILL)
            ended(pid, 10)
        result["seconds"] = round(time.monotonic() - start, 2)
        print(json.dumps(result), flush=True)
    modem.end()
    print(json.dumps({"check": "the modem process ends well"}), flush=True)


if __name__ == "__main__":
    main()
