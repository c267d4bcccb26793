"""The node, its settings, and what other programs make of it."""

import errno
import fcntl
import os
import struct
import termios
from pathlib import Path

from tests.kernel.host import (
    BOTHER,
    CBAUD,
    NAME,
    PATH,
    TCGETS2,
    TCSETS2,
    USER,
    Modem,
    SkippedError,
    check,
    child,
    ended,
    expect_errno,
    opened,
    read_exactly,
    run,
    until,
)

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
