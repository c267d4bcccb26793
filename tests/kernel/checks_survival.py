"""The port outlives the modem: the process that serves it is killed, and its successor goes on.

`python -m tests.kernel.checks_survival [N]` in a guest: N (100) restarts under a reader, a poller and a
caller of ioctl.
"""

import contextlib
import errno
import fcntl
import os
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

from tests.kernel.host import (
    TIOCM_CD,
    TIOCM_DTR,
    TIOCM_RI,
    TIOCMIWAIT,
    Modem,
    check,
    child,
    configure,
    ended,
    expect_errno,
    get_int,
    opened,
    state,
    until,
    until_asleep,
)

NAME, PATH = "ttyIAX5", "/dev/ttyIAX5"
KEEPER = "/run/cusemodem-test/keeper"


class Line:
    """A modem with a keeper, and its successors."""

    def __init__(self) -> None:
        self.modem = Modem(NAME, KEEPER)
        assert not self.modem.resumed

    def kill(self) -> None:
        self.modem.kill()

    def begin(self) -> Modem:
        self.modem = Modem(NAME, KEEPER)
        assert self.modem.resumed
        return self.modem

    def killed_and_restarted(self) -> Modem:
        self.kill()
        return self.begin()


@contextlib.contextmanager
def surviving() -> Iterator[Line]:
    line = Line()
    try:
        yield line
    finally:
        if line.modem.process.poll() is None:
            line.modem.end()
    assert not Path(PATH).exists(), "told to end, it takes its device along"


def keeper_pid() -> int:
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if b"cusemodem.cuse.keeper" in (entry / "cmdline").read_bytes():
                return int(entry.name)
    raise AssertionError("no keeper")


@check
def an_open_file_outlives_the_modem(modem: Modem) -> None:
    with surviving() as line:
        Path(PATH).chmod(0o640)
        os.chown(PATH, 65534, 65534)
        before = Path(PATH).stat()
        with opened(path=PATH, vmin=3, vtime=7) as file:
            settings = termios.tcgetattr(file)
            fcntl.ioctl(file, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
            fcntl.ioctl(file, termios.TIOCEXCL)
            line.modem.tell("note", text="what the modem knows")
            os.write(file, b"AT\r")
            assert os.read(file, 100) == b"\r\nOK\r\n"
            successor = line.killed_and_restarted()
            status, events = successor.status(), []
            while len(events) < 3:
                events += status["events"]
                status = successor.status()
            assert events[:3] == ["Resumed", "Opened", "DtrRaised"], events
            assert (status["open_count"], status["dtr"], status["rts"]) == (1, True, True)
            assert status["notes"] == "what the modem knows"
            assert termios.tcgetattr(file) == settings
            assert fcntl.ioctl(file, termios.TIOCGWINSZ, bytes(8)) == struct.pack("4H", 24, 80, 0, 0)
            assert get_int(file, 0x80045440) == 1, "still exclusive"
            os.write(file, b"AT\r")
            assert os.read(file, 100) == b"\r\nOK\r\n"
            after = Path(PATH).stat()
            assert (after.st_ino, after.st_mode, after.st_uid, after.st_rdev) == (
                before.st_ino,
                before.st_mode,
                before.st_uid,
                before.st_rdev,
            )
        assert {"DtrDropped", "Closed"} <= set(successor.status()["events"])


@check
def waiting_calls_go_on_with_the_successor(modem: Modem) -> None:
    with surviving() as line, opened(path=PATH) as file, opened(path=PATH) as other:
        line.modem.tell("set", holding=True)

        def wait_for_ring() -> None:
            fcntl.ioctl(other, TIOCMIWAIT, TIOCM_RI)

        def drain() -> None:
            os.write(other, b"x" * 100)
            termios.tcdrain(other)

        def poll_and_read() -> None:
            poller = select.epoll()
            poller.register(other, select.EPOLLPRI)
            assert poller.poll(0) == []
            assert select.select([file], [], [], 20) == ([file], [], [])

        waiting = [child(wait_for_ring), child(drain), child(poll_and_read)]
        reader = child(lambda: os.read(file, 100) != b"hello\r\n")
        until_asleep(reader, *waiting)
        line.kill()
        # With nobody there, another call has to wait for the successor.
        asking = child(lambda: termios.tcgetattr(file) is None)
        until_asleep(reader, asking, *waiting)
        line.begin()
        assert ended(asking) == 0
        # What was written to the modem before is lost: the drain is over.
        assert ended(waiting[1]) == 0
        assert {state(pid) for pid in (reader, waiting[0])} == {"S"}
        line.modem.send(b"hello\r\n")
        assert ended(reader) == 0
        line.modem.send(b"more\r\n")
        assert ended(waiting[2]) == 0
        line.modem.tell("lines", ri=True)
        line.modem.tell("lines", ri=False)
        assert ended(waiting[0]) == 0


@check
def a_blocked_write_is_over_with_its_modem(modem: Modem) -> None:
    with surviving() as line, opened(path=PATH) as file:
        line.modem.tell("set", holding=True)
        writer = child(lambda: os.write(file, b"x" * 20000) != 20000)
        until_asleep(writer)
        line.killed_and_restarted()
        assert ended(writer) == 0
        os.write(file, b"AT\r")
        until(lambda: line.modem.heard() == b"AT\r")


@check
def signals_reach_callers_whose_modem_died(modem: Modem) -> None:
    with surviving() as line, opened(path=PATH) as file:
        signalled, killed = child(lambda: interrupted(file)), child(lambda: os.read(file, 10))
        until_asleep(signalled, killed)
        line.kill()
        os.kill(signalled, signal.SIGUSR1)
        os.kill(killed, signal.SIGKILL)
        time.sleep(0.2)
        line.begin()
        assert ended(signalled) == 0
        assert os.WTERMSIG(ended(killed)) == signal.SIGKILL
        # And the other way round: the signal comes when the successor is there.
        late = child(lambda: interrupted(file))
        until_asleep(late)
        line.killed_and_restarted()
        os.kill(late, signal.SIGUSR1)
        assert ended(late) == 0


def interrupted(file: int) -> None:
    def handler(*_: object) -> None:
        raise InterruptedError

    signal.signal(signal.SIGUSR1, handler)
    try:
        os.read(file, 10)
    except InterruptedError:
        return
    raise AssertionError("it was not interrupted")


@check
def an_open_that_waits_for_carrier_survives(modem: Modem) -> None:
    with surviving() as line:
        with opened(path=PATH, clocal=False) as file:
            configure(file, clocal=False, hupcl=False)
        opener = child(lambda: os.close(os.open(PATH, os.O_RDWR | os.O_NOCTTY)))
        until_asleep(opener)
        line.killed_and_restarted()
        assert state(opener) == "S"
        assert line.modem.status()["open_count"] == 1
        line.modem.tell("lines", dcd=True)
        assert ended(opener) == 0
        until(lambda: line.modem.status()["open_count"] == 0)


@check
def a_carrier_is_lost_with_its_modem(modem: Modem) -> None:
    with surviving() as line:
        with opened(path=PATH, clocal=False) as file:
            line.modem.tell("lines", dcd=True)
            assert get_int(file, termios.TIOCMGET) & TIOCM_CD
            reader = child(lambda: os.read(file, 10) != b"")
            until_asleep(reader)
            line.killed_and_restarted()
            assert ended(reader) == 0, "end of file"
            expect_errno(errno.EIO, os.write, file, b"x")
            # A hang-up is remembered, too.
            line.killed_and_restarted()
            expect_errno(errno.EIO, os.write, file, b"x")
        with opened(path=PATH) as file:
            line.modem.tell("lines", dcd=True)
            line.killed_and_restarted()
            assert not get_int(file, termios.TIOCMGET) & TIOCM_CD
            os.write(file, b"AT\r")
            assert os.read(file, 100) == b"\r\nOK\r\n", "with CLOCAL the file stays usable"


@check
def closed_while_nobody_served(modem: Modem) -> None:
    with surviving() as line:
        ready, told = os.pipe()

        def close_late() -> None:
            file = os.open(PATH, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY)
            os.write(told, b"+")
            signal.sigwait({signal.SIGUSR1})
            os.close(file)

        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        closer = child(close_late)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        os.read(ready, 1)
        assert line.modem.status()["open_count"] == 1
        line.kill()
        os.kill(closer, signal.SIGUSR1)
        time.sleep(0.2)
        line.begin()
        assert ended(closer) == 0
        until(lambda: line.modem.status()["open_count"] == 0)
        assert not line.modem.status()["dtr"]


@check
def a_successor_after_another(modem: Modem | None, n_restarts: int = 8) -> None:
    """Restarts under a reader, a poller and callers of ioctl: nobody stuck, nothing lost, nothing grows."""
    with surviving() as line, opened(path=PATH) as file:
        ready, told = os.pipe()

        def read_lines() -> None:
            for expected in range(n_restarts):
                data = b""
                while not data.endswith(b"\n"):
                    if expected % 2:
                        assert select.select([file], [], [], 30) == ([file], [], []), "a lost wake-up"
                    data += os.read(file, 100)
                assert data == b"%d\n" % expected, (data, expected)
                os.write(told, b"+")

        def ask() -> None:
            while True:
                assert get_int(file, termios.TIOCMGET) & TIOCM_DTR

        reader, asker = child(read_lines), child(ask)
        keeper = Path(f"/proc/{keeper_pid()}/fd")
        n_kept = descriptors = 0
        for count in range(n_restarts):
            line.killed_and_restarted()
            line.modem.send(b"%d\n" % count)
            assert os.read(ready, 1) == b"+"
            # The asker is anywhere in its call, and the reader on its way into the next one.
            time.sleep(0.002 * (count % 7))
            if not count:
                n_kept, descriptors = len(list(keeper.iterdir())), line.modem.status()["descriptors"]
        assert ended(reader, 10) == 0
        assert state(asker) in "RS"
        os.kill(asker, signal.SIGKILL)
        assert os.WTERMSIG(ended(asker)) == signal.SIGKILL
        assert line.modem.status()["descriptors"] == descriptors
        assert len(list(keeper.iterdir())) == n_kept


if __name__ == "__main__":
    n_restarts = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    began = time.monotonic()
    a_successor_after_another(None, n_restarts)
    kernel, took_s = os.uname().release, time.monotonic() - began
    print(f"Linux {kernel}: {n_restarts} restarts in {took_s:.0f} s; nobody stuck, nothing lost or grown")
