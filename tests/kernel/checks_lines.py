"""Modem lines, carrier and hang-up."""

import errno
import fcntl
import os
import select
import signal
import struct
import termios
import time
from collections.abc import Callable

from tests.kernel.host import (
    PATH,
    TIOCGICOUNT,
    TIOCM_CD,
    TIOCM_CTS,
    TIOCM_DSR,
    TIOCM_DTR,
    TIOCM_RI,
    TIOCM_RTS,
    TIOCMIWAIT,
    TIOCVHANGUP,
    Modem,
    check,
    child,
    configure,
    ended,
    get_int,
    opened,
    set_int,
    state,
    until,
    until_asleep,
)

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
