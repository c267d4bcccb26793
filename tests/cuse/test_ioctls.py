"""The table of ioctls, and those that no other test exercises."""

import errno
import struct
import termios as kernel

import pytest

from cusemodem.cuse import termios
from cusemodem.cuse.control import Caller
from cusemodem.cuse.ioctls import IOCTLS, Argument, IoctlCall
from cusemodem.cuse.termios import INITIAL, Termios
from cusemodem.cuse.waits import Outcome
from tests.cuse.host import Host, raw

KNOWN_BY_PYTHON = [call for call in IOCTLS.values() if hasattr(kernel, call.name)]


@pytest.mark.parametrize("call", KNOWN_BY_PYTHON, ids=[call.name for call in KNOWN_BY_PYTHON])
def test_numbers_are_those_of_this_machine(call: IoctlCall) -> None:
    assert getattr(kernel, call.name) & 0xFFFFFFFF == call.number


def test_most_of_the_table_is_known_by_python() -> None:
    assert len(KNOWN_BY_PYTHON) > 30


@pytest.mark.parametrize("call", IOCTLS.values(), ids=[call.name for call in IOCTLS.values()])
def test_every_ioctl_is_executed_and_fills_what_the_table_promises(call: IoctlCall) -> None:
    host = Host(raw())
    file = host.open()
    outcome = host.ioctl(file, call.name, 0, bytes(call.in_size))
    if outcome is None:
        # break and TIOCMIWAIT: something has to happen
        assert call.argument is Argument.VALUE
        return
    if not outcome.error:
        assert len(outcome.data) == call.out_size
    assert (call.size > 0) == (call.argument in (Argument.IN, Argument.OUT))


def test_fionread() -> None:
    host = Host()
    file = host.open()
    host.send(b"OK\rRIN")
    assert host.get_int(file, "FIONREAD") == 3, "only whole lines can be read"
    host.ioctl(file, "TCSETS", data=raw().pack())
    assert host.get_int(file, "FIONREAD") == 6


def test_window_size_is_kept() -> None:
    host = Host()
    file = host.open()
    assert host.ioctl(file, "TIOCGWINSZ") == Outcome(data=bytes(8))
    size = struct.pack("<4H", 24, 80, 0, 0)
    assert host.ioctl(file, "TIOCSWINSZ", data=size) == Outcome()
    assert host.ioctl(file, "TIOCGWINSZ") == Outcome(data=size)


def test_serial_struct() -> None:
    host = Host()
    file = host.open()
    outcome = host.ioctl(file, "TIOCGSERIAL")
    assert outcome is not None
    # A 16550A (a type of 0 would say "no port here"); mgetty wants no SPD flag; the rest is nothing's.
    assert struct.unpack_from("<iiIiii", outcome.data) == (4, 0, 0, 0, 0, 16)
    wanted = bytearray(outcome.data)
    struct.pack_into("<i", wanted, 16, 0x1030 | 0x2000)
    struct.pack_into("<H", wanted, 40, 100)
    assert host.ioctl(file, "TIOCSSERIAL", data=bytes(wanted)) == Outcome()
    outcome = host.ioctl(file, "TIOCGSERIAL")
    assert outcome is not None
    assert struct.unpack_from("<i", outcome.data, 16) == (0x2000,)
    assert struct.unpack_from("<H", outcome.data, 40) == (100,)


def test_only_the_plain_discipline() -> None:
    host = Host()
    file = host.open()
    assert host.get_int(file, "TIOCGETD") == 0
    assert host.set_int(file, "TIOCSETD", 0) == Outcome()
    assert host.set_int(file, "TIOCSETD", 3) == Outcome(error=errno.EINVAL)


def test_it_is_nobodys_controlling_terminal() -> None:
    host = Host()
    file = host.open()
    assert host.ioctl(file, "TIOCSCTTY") == Outcome(error=errno.EPERM)
    assert host.ioctl(file, "TIOCNOTTY") == Outcome(error=errno.ENOTTY)
    assert host.ioctl(file, "TIOCGPGRP") == Outcome(error=errno.ENOTTY)
    assert host.set_int(file, "TIOCSPGRP", 1) == Outcome(error=errno.ENOTTY)


def test_a_user_may_change_harmless_serial_flags_only() -> None:
    host = Host()
    file = host.open()
    user = Caller(uid=1000, pid=1)
    outcome = host.ioctl(file, "TIOCGSERIAL")
    assert outcome is not None
    wanted = bytearray(outcome.data)
    struct.pack_into("<i", wanted, 16, 0x2000)
    assert host.ioctl(file, "TIOCSSERIAL", data=bytes(wanted), caller=user) == Outcome()
    struct.pack_into("<H", wanted, 40, 100)
    assert host.ioctl(file, "TIOCSSERIAL", data=bytes(wanted), caller=user) == Outcome(error=errno.EPERM)


def test_the_transmitter_is_empty_when_the_modem_took_all() -> None:
    host = Host(raw())
    file = host.open()
    assert host.get_int(file, "TIOCSERGETLSR") == 1
    host.write(file, b"ATZ")
    assert host.get_int(file, "TIOCSERGETLSR") == 0


def test_locked_settings_stay() -> None:
    host = Host()
    file = host.open()
    locks = Termios(0, 0, 0, termios.ECHO, 0, bytes([0, 1]) + bytes(17), 0, 0).pack()
    user = Caller(uid=1000, pid=1)
    assert host.ioctl(file, "TIOCSLCKTRMIOS", data=locks, caller=user) == Outcome(error=errno.EPERM)
    assert host.ioctl(file, "TIOCSLCKTRMIOS", data=locks) == Outcome()
    assert host.ioctl(file, "TIOCGLCKTRMIOS") == Outcome(data=locks)
    host.ioctl(file, "TCSETS", data=raw().pack())
    got = host.terminal.settings
    assert got.lflag == termios.ECHO
    assert got.cc[:3] == INITIAL.cc[:3]


def test_typed_by_ioctl() -> None:
    host = Host(raw())
    file = host.open()
    user = Caller(uid=1000, pid=1)
    assert host.ioctl(file, "TIOCSTI", data=b"x", caller=user) == Outcome(error=errno.EPERM)
    assert host.ioctl(file, "TIOCSTI", data=b"x") == Outcome()
    assert host.read(file) == Outcome(data=b"x")


def test_hung_up_by_ioctl() -> None:
    host = Host(raw())
    file = host.open()
    user = Caller(uid=1000, pid=1)
    assert host.ioctl(file, "TIOCVHANGUP", caller=user) == Outcome(error=errno.EPERM)
    assert host.ioctl(file, "TIOCVHANGUP") == Outcome()
    assert host.read(file) == Outcome(data=b"")
    assert host.ioctl(file, "TCGETS") == Outcome(error=errno.EIO)
    assert host.port.open_count == 0
