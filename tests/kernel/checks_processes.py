"""Signals, killed programs, several opens, and what fax programs do."""

import errno
import fcntl
import os
import random
import select
import signal
import termios
import time
from collections.abc import Callable
from pathlib import Path

from tests.kernel.host import (
    PATH,
    TIOCGEXCL,
    TIOCM_DTR,
    TIOCM_RI,
    TIOCMIWAIT,
    USER,
    Modem,
    alarm,
    check,
    child,
    configure,
    ended,
    expect_errno,
    get_int,
    opened,
    read_exactly,
    run,
    set_int,
    until,
    until_asleep,
)

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
