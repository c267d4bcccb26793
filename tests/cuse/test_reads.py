"""Blocking and non-blocking reads: VMIN and VTIME exactly as termios(3) and Linux's n_tty have them."""

import errno
import os

import pytest

from cusemodem.cuse.termios import INITIAL, Termios
from cusemodem.cuse.waits import Outcome
from tests.cuse.host import Host, raw

NONBLOCK = os.O_NONBLOCK


def test_vmin_1_waits_for_the_first_byte() -> None:
    host = Host(raw())
    file = host.open()
    assert host.read(file) is None
    reading = host.last
    host.advance(3600)
    assert host.ended(reading) is None
    host.send(b"OK\r\n")
    assert host.ended(reading) == Outcome(data=b"OK\r\n")


def test_a_read_takes_no_more_than_asked_for() -> None:
    host = Host(raw())
    file = host.open()
    host.send(b"RING")
    assert host.read(file, 1) == Outcome(data=b"R")
    assert host.read(file, 2) == Outcome(data=b"IN")
    assert host.read(file, 0) == Outcome(data=b"")
    assert host.read(file, 9) == Outcome(data=b"G")


def test_vmin_n_waits_for_n_bytes_or_a_full_buffer() -> None:
    host = Host(raw(vmin=4))
    file = host.open()
    assert host.read(file) is None
    reading = host.last
    host.send(b"RIN")
    host.advance(3600)
    assert host.ended(reading) is None
    host.send(b"G")
    assert host.ended(reading) == Outcome(data=b"RING")
    host.send(b"RI")
    assert host.read(file, 2) == Outcome(data=b"RI")


def test_vmin_127_vtime_1_ends_a_tenth_of_a_second_after_the_last_byte() -> None:
    host = Host(raw(vmin=127, vtime=1))
    file = host.open()
    assert host.read(file) is None
    reading = host.last
    host.advance(3600)
    assert host.ended(reading) is None, "the clock must not run before the first byte"
    host.send(b"O")
    host.advance(0.09)
    host.send(b"K")
    host.advance(0.09)
    assert host.ended(reading) is None
    host.advance(0.011)
    assert host.ended(reading) == Outcome(data=b"OK")


def test_vmin_127_vtime_1_runs_also_for_bytes_that_waited_already() -> None:
    host = Host(raw(vmin=127, vtime=1))
    file = host.open()
    host.send(b"OK")
    host.advance(5)
    assert host.read(file) is None
    reading = host.last
    host.advance(0.099)
    assert host.ended(reading) is None
    host.advance(0.002)
    assert host.ended(reading) == Outcome(data=b"OK")


def test_vmin_127_vtime_1_is_content_with_127_bytes_at_once() -> None:
    host = Host(raw(vmin=127, vtime=1))
    file = host.open()
    host.send(bytes(127))
    assert host.read(file) == Outcome(data=bytes(127))
    host.send(bytes(200))
    assert host.read(file) == Outcome(data=bytes(200))


def test_vmin_0_vtime_0_never_waits() -> None:
    host = Host(raw(vmin=0))
    file = host.open()
    assert host.read(file) == Outcome(data=b"")
    assert host.read(file, nonblocking=True) == Outcome(data=b"")
    host.send(b"OK")
    assert host.read(file) == Outcome(data=b"OK")


def test_vmin_0_vtime_3_waits_so_long_for_a_first_byte() -> None:
    host = Host(raw(vmin=0, vtime=3))
    file = host.open()
    assert host.read(file) is None
    reading = host.last
    host.advance(0.299)
    assert host.ended(reading) is None
    host.advance(0.002)
    assert host.ended(reading) == Outcome(data=b"")
    assert host.read(file) is None
    reading = host.last
    host.advance(0.2)
    host.send(b"O")
    assert host.ended(reading) == Outcome(data=b"O")


@pytest.mark.parametrize("settings", [raw(), raw(vmin=127, vtime=1), raw(vmin=0, vtime=1), INITIAL])
def test_nonblocking_reads_of_nothing(settings: Termios) -> None:
    host = Host(settings)
    file = host.open(NONBLOCK)
    assert host.read(file, nonblocking=True) == Outcome(error=errno.EAGAIN)


@pytest.mark.parametrize("settings", [raw(), raw(vmin=127), raw(vmin=127, vtime=1), raw(vmin=0, vtime=1)])
def test_nonblocking_reads_take_what_there_is(settings: Termios) -> None:
    host = Host(settings)
    file = host.open(NONBLOCK)
    host.send(b"OK")
    assert host.read(file, nonblocking=True) == Outcome(data=b"OK")


def test_canonical_reads_wait_for_a_line_and_end_of_file_reads_0() -> None:
    host = Host(INITIAL)
    file = host.open()
    assert host.read(file) is None
    reading = host.last
    host.send(b"OK")
    assert host.ended(reading) is None
    host.send(b"\r\n")
    assert host.ended(reading) == Outcome(data=b"OK\n")
    assert host.read(file) == Outcome(data=b"\n")
    host.send(b"\x04")
    assert host.read(file) == Outcome(data=b"")


def test_a_signal_ends_a_read_with_eintr_or_what_was_taken() -> None:
    host = Host(raw(vmin=127, vtime=1))
    file = host.open()
    assert host.read(file) is None
    assert host.interrupt(host.last) == Outcome(error=errno.EINTR)
    assert host.read(file) is None
    reading = host.last
    host.send(b"OK")
    assert host.ended(reading) is None
    assert host.interrupt(reading) == Outcome(data=b"OK")
    assert not host.terminal.interrupt(reading, host.now), "it has ended"
    assert host.terminal.next_timer() is None


def test_readers_take_turns() -> None:
    host = Host(raw(vmin=2))
    first, second = host.open(), host.open()
    assert host.read(first) is None
    one = host.last
    assert host.read(second) is None
    two = host.last
    assert host.read(second, nonblocking=True) == Outcome(error=errno.EAGAIN)
    host.send(b"a")
    host.send(b"bc")
    assert host.ended(one) == Outcome(data=b"abc")
    host.send(b"de")
    assert host.ended(two) == Outcome(data=b"de")


def test_a_reader_behind_an_interrupted_one_is_served() -> None:
    host = Host(raw(vmin=3))
    file = host.open()
    assert host.read(file) is None
    one = host.last
    assert host.read(file, 1) is None
    two = host.last
    host.send(b"ab")
    assert host.interrupt(one) == Outcome(data=b"ab")
    assert host.ended(two) is None
    host.send(b"c")
    assert host.ended(two) == Outcome(data=b"c")


def test_large_input_survives_small_reads() -> None:
    host = Host(raw())
    file = host.open()
    page = bytes(range(256)) * 1024
    rest, got = page, b""
    while len(got) < len(page):
        rest = rest[host.port.put_input(rest) :]
        host.service()
        outcome = host.read(file, 1000)
        assert outcome is not None
        got += outcome.data
    assert got == page


def test_input_is_bounded() -> None:
    host = Host(raw())
    file = host.open()
    total = 0
    for _ in range(100):
        total += host.port.put_input(bytes(10_000))
        host.service()
    assert 65536 <= total <= 2 * 65536
    outcome = host.read(file, 10**6)
    assert outcome is not None
    assert len(outcome.data) == 65536
    outcome = host.read(file, 10**6)
    assert outcome is not None
    assert len(outcome.data) == total - 65536


def test_an_unknown_file() -> None:
    host = Host(raw())
    assert host.read(77) == Outcome(error=errno.EBADF)
    assert host.write(77, b"x") == Outcome(error=errno.EBADF)
    assert host.ioctl(77, "TCGETS") == Outcome(error=errno.EBADF)
