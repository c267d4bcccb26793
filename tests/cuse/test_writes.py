"""Writes, back pressure, and calls that wait until the modem took everything."""

import errno

import pytest

from cusemodem.cuse import termios
from cusemodem.cuse.port import OUTPUT_LIMIT, Closed, DtrDropped, DtrRaised, Opened, OutputWaiting
from cusemodem.cuse.terminal import CLOSING_WAIT_S
from cusemodem.cuse.termios import INITIAL
from cusemodem.cuse.waits import Outcome
from tests.cuse.host import Host, raw


def test_the_modem_gets_what_was_written() -> None:
    host = Host(raw())
    file = host.open()
    host.port.events()
    assert host.write(file, b"ATZ") == Outcome(value=3)
    assert host.write(file, b"\r\x11\x13") == Outcome(value=3)
    assert host.port.events() == [OutputWaiting()]
    assert host.port.output_waiting == 6
    assert host.port.take_output(4) == b"ATZ\r"
    assert host.port.take_output(4096) == b"\x11\x13"
    assert host.port.take_output(4096) == b""
    assert host.port.statistics().bytes_to_modem == 6


def test_echo_of_a_shell_becomes_a_command() -> None:
    host = Host(INITIAL)
    file = host.open()
    assert host.write(file, b"ATZ\n") == Outcome(value=4)
    assert host.port.take_output(4096) == b"ATZ\r\n"


def test_a_writer_waits_for_a_modem_that_is_behind() -> None:
    host = Host(raw())
    file = host.open()
    page = bytes(range(256)) * 40
    assert host.write(file, page) is None
    writing = host.last
    got = b""
    while len(got) < len(page):
        assert len(host.port.to_modem) <= OUTPUT_LIMIT
        got += host.port.take_output(100)
        host.service()
    assert got == page
    assert host.ended(writing) == Outcome(value=len(page))


def test_nonblocking_writes_take_what_fits() -> None:
    host = Host(raw())
    file = host.open()
    assert host.write(file, bytes(OUTPUT_LIMIT + 9), nonblocking=True) == Outcome(value=OUTPUT_LIMIT)
    assert host.write(file, b"x", nonblocking=True) == Outcome(error=errno.EAGAIN)
    assert host.write(file, b"", nonblocking=True) == Outcome(value=0)


def test_a_signal_ends_a_write_with_its_count_or_eintr() -> None:
    host = Host(raw())
    file = host.open()
    assert host.write(file, bytes(OUTPUT_LIMIT + 9)) is None
    first = host.last
    assert host.write(file, b"x") is None
    assert host.interrupt(host.last) == Outcome(error=errno.EINTR)
    assert host.interrupt(first) == Outcome(value=OUTPUT_LIMIT)
    assert host.port.take_output(10**6) == bytes(OUTPUT_LIMIT)


def test_writers_take_turns() -> None:
    host = Host(raw())
    one, two = host.open(), host.open()
    assert host.write(one, b"a" * (OUTPUT_LIMIT + 1)) is None
    assert host.write(two, b"b") is None
    assert host.write(two, b"c", nonblocking=True) == Outcome(error=errno.EAGAIN)
    got = host.port.take_output(10**6)
    host.service()
    assert got + host.port.take_output(10**6) == b"a" * (OUTPUT_LIMIT + 1) + b"b"


class TestDrain:
    """tcdrain, TCSETSW, TCSETSF and break."""

    def test_tcdrain_waits_until_the_modem_took_the_bytes(self) -> None:
        host = Host(raw())
        file = host.open()
        assert host.ioctl(file, "TCSBRK", 1) == Outcome()
        host.write(file, b"ATZ\r")
        assert host.ioctl(file, "TCSBRK", 1) is None
        draining = host.last
        host.port.take_output(3)
        host.service()
        assert host.ended(draining) is None
        host.port.take_output(3)
        host.service()
        assert host.ended(draining) == Outcome()

    def test_tcdrain_is_interruptible(self) -> None:
        host = Host(raw())
        file = host.open()
        host.write(file, b"ATZ\r")
        assert host.ioctl(file, "TCSBRK", 1) is None
        assert host.interrupt(host.last) == Outcome(error=errno.EINTR)

    @pytest.mark.parametrize("name", ["TCSETSW", "TCSETSW2", "TCSETAW"])
    def test_settings_change_when_the_modem_took_the_bytes(self, name: str) -> None:
        wanted = raw(vmin=9)
        data = {"TCSETSW": wanted.pack(), "TCSETSW2": wanted.pack2(), "TCSETAW": wanted.pack_termio()}[name]
        host = Host()
        file = host.open()
        host.write(file, b"ATZ\r")
        assert host.ioctl(file, name, data=data) is None
        setting = host.last
        assert host.terminal.settings == INITIAL
        host.port.take_output(9)
        host.service()
        assert host.ended(setting) == Outcome()
        assert host.terminal.settings.minimum == 9

    def test_tcsetsf_drops_the_input(self) -> None:
        host = Host(raw())
        file = host.open()
        host.send(b"stale")
        assert host.ioctl(file, "TCSETSF", data=raw(vmin=0).pack()) == Outcome()
        assert host.read(file) == Outcome(data=b"")

    def test_tcsetsw_keeps_the_input(self) -> None:
        host = Host(raw())
        file = host.open()
        host.send(b"fresh")
        assert host.ioctl(file, "TCSETSW", data=raw(vmin=0).pack()) == Outcome()
        assert host.read(file) == Outcome(data=b"fresh")

    @pytest.mark.parametrize(("name", "argument", "duration_s"), [("TCSBRK", 0, 0.25), ("TCSBRKP", 5, 0.5)])
    def test_break_takes_its_time(self, name: str, argument: int, duration_s: float) -> None:
        host = Host(raw())
        file = host.open()
        assert host.ioctl(file, name, argument) is None
        breaking = host.last
        host.advance(duration_s - 0.01)
        assert host.ended(breaking) is None
        host.advance(0.02)
        assert host.ended(breaking) == Outcome()

    def test_suspended_output_holds_everything_back(self) -> None:
        host = Host(raw())
        file = host.open()
        assert host.ioctl(file, "TCXONC", 0) == Outcome()
        host.write(file, b"AT\r")
        assert host.port.output_waiting == 0
        assert host.port.take_output(9) == b""
        assert host.get_int(file, "TIOCOUTQ") == 3
        assert host.ioctl(file, "TCXONC", 1) == Outcome()
        assert host.port.take_output(9) == b"AT\r"

    def test_suspended_input_stays_with_the_port(self) -> None:
        host = Host(raw(vmin=0))
        file = host.open()
        assert host.ioctl(file, "TCXONC", 2) == Outcome()
        host.send(b"OK")
        assert host.read(file) == Outcome(data=b"")
        assert host.ioctl(file, "TCXONC", 3) == Outcome()
        assert host.read(file) == Outcome(data=b"OK")
        assert host.ioctl(file, "TCXONC", 4) == Outcome(error=errno.EINVAL)


class TestFlush:
    """tcflush."""

    def test_each_side_alone_and_both(self) -> None:
        host = Host(raw(vmin=0))
        file = host.open()
        for argument, keeps_input, keeps_output in ((0, False, True), (1, True, False), (2, False, False)):
            host.write(file, b"out")
            host.send(b"in")
            assert host.ioctl(file, "TCFLSH", argument) == Outcome()
            assert host.read(file) == Outcome(data=b"in" if keeps_input else b"")
            assert host.port.take_output(9) == (b"out" if keeps_output else b"")
        assert host.ioctl(file, "TCFLSH", 3) == Outcome(error=errno.EINVAL)
        assert host.port.statistics().bytes_flushed == 4

    def test_flushed_output_makes_room_for_a_writer_and_ends_a_drain(self) -> None:
        host = Host(raw())
        file = host.open()
        assert host.write(file, b"a" * OUTPUT_LIMIT) is not None
        assert host.write(file, b"b") is None
        writing = host.last
        assert host.ioctl(file, "TCFLSH", 1) == Outcome()
        host.service()
        assert host.ended(writing) == Outcome(value=1)
        assert host.port.take_output(10**6) == b"b"


class TestLastClose:
    """What was written by a program that has ended already."""

    def test_dtr_drops_after_the_modem_took_the_bytes(self) -> None:
        host = Host(raw())
        host.write(host.open(), b"ATZ\r")
        host.close(1)
        assert host.port.events() == [Opened(), DtrRaised(), OutputWaiting(), Closed()]
        assert host.port.dtr
        assert host.port.take_output(9) == b"ATZ\r"
        host.service()
        assert host.port.events() == [DtrDropped()]

    def test_a_modem_that_takes_nothing_is_hung_up_all_the_same(self) -> None:
        host = Host(raw())
        host.write(host.open(), b"page")
        host.close(1)
        host.advance(CLOSING_WAIT_S / 2)
        assert host.port.dtr
        host.advance(CLOSING_WAIT_S)
        assert not host.port.dtr
        assert host.port.take_output(9) == b""
        assert CLOSING_WAIT_S < 0.1, "the promise is a hang-up within 100 ms"

    def test_an_open_meanwhile_still_shows_as_a_dtr_pulse_and_loses_nothing(self) -> None:
        host = Host(raw())
        host.write(host.open(), b"ATZ\r")
        host.close(1)
        host.port.events()
        host.open()
        assert host.port.events() == [DtrDropped(), Opened(), DtrRaised()]
        assert host.port.take_output(9) == b"ATZ\r"
        host.advance(1)
        assert host.port.dtr

    def test_without_hupcl_the_modem_takes_the_bytes_when_it_likes(self) -> None:
        settings = raw()
        host = Host(settings.with_cflag(settings.cflag & ~termios.HUPCL))
        host.write(host.open(), b"ATZ\r")
        host.close(1)
        host.advance(10)
        assert host.port.take_output(9) == b"ATZ\r"
        assert host.port.dtr


def test_outq_counts_what_the_modem_has_not_taken() -> None:
    host = Host(raw())
    file = host.open()
    host.write(file, b"ATDT")
    assert host.get_int(file, "TIOCOUTQ") == 4
    host.port.take_output(1)
    assert host.get_int(file, "TIOCOUTQ") == 3


def test_echo_goes_to_the_far_end_of_a_call_only() -> None:
    host = Host(INITIAL)
    host.open()
    host.send(b"OK\r\n")
    assert host.port.take_output(99) == b"", "a modem must not be told its own result codes"
    host.port.set_lines(dcd=True)
    host.send(b"login\r")
    assert host.port.take_output(99) == b"login\r\n"
