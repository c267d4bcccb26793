"""What the checks of the device share: the modem in its own process, files, children and alarms.

The device is served by another process (`modem_server.py`): a process must never open a node that it serves.
"""

import contextlib
import errno
import fcntl
import json
import os
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
    """The modem process; with a `keeper` its device outlives it."""

    def __init__(self, name: str = NAME, keeper: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.kernel.modem_server", name, *([keeper] if keeper else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.resumed = self._answer()["resumed"]

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

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(5)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

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
    path: str = PATH,
    raw: bool = True,
    vmin: int = 1,
    vtime: int = 0,
    clocal: bool = True,
) -> Iterator[int]:
    file = os.open(path, flags | os.O_NONBLOCK)
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


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
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


def ended(pid: int, seconds: float = 15.0) -> int:
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
