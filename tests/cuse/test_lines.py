"""Modem lines, hang-up, opens and closes, exclusive use: the port as hardware on a cable."""

import errno
import os
import select
import struct

import pytest

from cusemodem.cuse import modem_lines as lines
from cusemodem.cuse import termios
from cusemodem.cuse.port import Closed, DtrDropped, DtrRaised, Opened
from cusemodem.cuse.termios import INITIAL
from cusemodem.cuse.waits import Outcome
from tests.cuse.host import Host, raw, with_flags

DTR_RTS = lines.TIOCM_DTR | lines.TIOCM_RTS
READY = lines.TIOCM_DSR | lines.TIOCM_CTS
USER = 1000
HUNG_UP = Outcome(error=errno.EIO)


class TestDtr:
    """Who raises and drops DTR."""

    def test_first_open_raises_and_last_close_drops_it(self) -> None:
        host = Host()
        assert not host.port.dtr
        one = host.open()
        two = host.open()
        assert host.port.events() == [Opened(), DtrRaised()]
        assert host.port.open_count == 2
        assert host.get_int(one, "TIOCMGET") == DTR_RTS | READY
        host.close(one)
        assert host.port.events() == []
        host.close(two)
        assert host.port.events() == [Closed(), DtrDropped()]
        assert not host.port.rts

    def test_without_hupcl_it_stays(self) -> None:
        host = Host(raw().with_cflag(INITIAL.cflag & ~termios.HUPCL))
        host.close(host.open())
        assert host.port.events() == [Opened(), DtrRaised(), Closed()]
        host.open()
        assert host.port.events() == [Opened()]

    def test_set_and_clear(self) -> None:
        host = Host()
        file = host.open()
        host.port.events()
        host.set_int(file, "TIOCMBIC", lines.TIOCM_DTR)
        assert host.port.events() == [DtrDropped()]
        assert host.get_int(file, "TIOCMGET") == lines.TIOCM_RTS | READY
        host.set_int(file, "TIOCMBIC", lines.TIOCM_DTR)
        assert host.port.events() == []
        host.set_int(file, "TIOCMBIS", lines.TIOCM_DTR)
        assert host.port.events() == [DtrRaised()]
        host.set_int(file, "TIOCMSET", lines.TIOCM_RTS)
        assert host.port.events() == [DtrDropped()]
        host.set_int(file, "TIOCMSET", lines.TIOCM_DTR)
        assert host.port.events() == [DtrRaised()]
        assert not host.port.rts

    def test_the_host_cannot_drive_the_lines_of_the_modem(self) -> None:
        host = Host()
        file = host.open()
        # minicom writes back the whole word that it read.
        host.set_int(file, "TIOCMSET", 0xFFFF)
        assert not host.port.carrier
        host.set_int(file, "TIOCMBIC", 0xFFFF)
        assert host.get_int(file, "TIOCMGET") == READY

    def test_b0(self) -> None:
        host = Host()
        file = host.open()
        host.port.events()
        nine_six = raw()
        host.ioctl(file, "TCSETS", data=nine_six.with_cflag(nine_six.cflag & ~termios.CBAUD).pack())
        assert host.port.events() == [DtrDropped()]
        assert not host.port.rts
        host.ioctl(file, "TCSETS", data=nine_six.pack())
        assert host.port.events() == [DtrRaised()]
        host.ioctl(file, "TCSETS", data=nine_six.pack())
        assert host.port.events() == []

    def test_an_open_at_b0_does_not_raise_it(self) -> None:
        host = Host()
        file = host.open()
        host.ioctl(file, "TCSETS", data=raw().with_cflag(INITIAL.cflag & ~termios.CBAUD).pack())
        host.close(file)
        host.port.events()
        host.open()
        assert host.port.events() == [Opened()]

    def test_each_open_raises_it(self) -> None:
        """A fax server that hung up by TIOCMBIC and opens the port once more finds a modem that listens."""
        host = Host(raw())
        file = host.open()
        host.set_int(file, "TIOCMBIC", DTR_RTS)
        host.port.events()
        host.open(os.O_NONBLOCK)
        assert host.port.events() == [DtrRaised()]
        assert host.port.rts
        host.ioctl(file, "TCSETS", data=raw().with_cflag(INITIAL.cflag & ~termios.CBAUD).pack())
        host.port.events()
        host.open(os.O_NONBLOCK)
        assert host.port.events() == [], "not at B0"

    def test_an_open_that_is_refused_leaves_it_alone(self) -> None:
        host = Host(raw())
        file = host.open()
        host.ioctl(file, "TIOCEXCL")
        host.set_int(file, "TIOCMBIC", DTR_RTS)
        assert host.try_open(uid=USER) == Outcome(error=errno.EBUSY)
        assert not host.port.dtr


class TestModemLines:
    """What the modem shows."""

    @pytest.mark.parametrize(
        ("name", "bit"),
        [("dcd", lines.TIOCM_CD), ("ri", lines.TIOCM_RI), ("cts", lines.TIOCM_CTS), ("dsr", lines.TIOCM_DSR)],
    )
    def test_each_line_is_readable(self, name: str, bit: int) -> None:
        host = Host()
        file = host.open()
        for on in (True, False, True):
            host.port.set_lines(**{name: on})
            assert bool(host.get_int(file, "TIOCMGET") & bit) is on

    def test_counts(self) -> None:
        host = Host(raw())
        file = host.open()
        for _ in range(3):
            host.port.set_lines(ri=True)
            host.port.set_lines(ri=False)
        host.port.set_lines(dcd=True, cts=True, dsr=True)
        host.port.set_lines(dcd=True)
        host.port.set_lines(cts=False)
        host.write(file, b"out")
        host.port.take_output(9)
        host.send(b"in")
        outcome = host.ioctl(file, "TIOCGICOUNT")
        assert outcome is not None
        cts, dsr, rng, dcd, rx, tx = struct.unpack_from("<6i", outcome.data)
        assert len(outcome.data) == 80
        assert (cts, dsr, rng, dcd, rx, tx) == (1, 0, 3, 1, 2, 3)

    def test_miwait_waits_for_one_of_its_lines(self) -> None:
        host = Host()
        file = host.open()
        assert host.ioctl(file, "TIOCMIWAIT", lines.TIOCM_CD | lines.TIOCM_RI) is None
        waiting = host.last
        host.port.set_lines(cts=False)
        host.service()
        assert host.ended(waiting) is None
        host.port.set_lines(dcd=True)
        host.service()
        assert host.ended(waiting) == Outcome()
        assert host.ioctl(file, "TIOCMIWAIT", lines.TIOCM_CD) is None, "old changes do not count"
        assert host.interrupt(host.last) == Outcome(error=errno.EINTR)


class TestHangUp:
    """Carrier lost without CLOCAL."""

    def test_everyone_who_waits_is_told(self) -> None:
        host = Host(raw(clocal=False))
        host.port.set_lines(dcd=True)
        file = host.open()
        other = host.open()
        assert host.read(file) is None
        reading = host.last
        host.write(file, bytes(4096))
        assert host.write(file, b"x") is None
        writing = host.last
        assert host.ioctl(other, "TCSBRK", 1) is None
        draining = host.last
        assert host.ioctl(other, "TIOCMIWAIT", lines.TIOCM_RI) is None
        watching = host.last
        assert host.terminal.poll(other, select.POLLIN, wake=True, wake_key=other) == 0
        host.port.events()

        host.port.set_lines(dcd=False)
        host.service()
        assert host.ended(reading) == Outcome(data=b"")
        assert host.ended(writing) == HUNG_UP
        assert host.ended(draining) == HUNG_UP
        assert host.ended(watching) == HUNG_UP
        assert host.terminal.wakeups() == [other]
        assert host.port.events() == [Closed(), DtrDropped()]
        assert host.port.open_count == 0

        for dead in (file, other):
            assert host.read(dead) == Outcome(data=b"")
            assert host.write(dead, b"x") == HUNG_UP
            assert host.ioctl(dead, "TIOCMGET") == HUNG_UP
            assert host.ioctl(dead, "TCGETS") == HUNG_UP
            assert host.terminal.poll(dead, select.POLLIN, wake=True) & select.POLLHUP

        again = host.open(os.O_NONBLOCK)
        assert host.port.events() == [Opened(), DtrRaised()]
        host.close(file)
        host.close(other)
        assert host.port.open_count == 1
        host.send(b"OK")
        assert host.read(again) == Outcome(data=b"OK")

    def test_a_write_partly_done_gives_its_count(self) -> None:
        host = Host(raw(clocal=False))
        host.port.set_lines(dcd=True)
        file = host.open()
        assert host.write(file, bytes(4097)) is None
        writing = host.last
        host.port.hang_up()
        host.service()
        assert host.ended(writing) == Outcome(value=4096)
        assert host.port.take_output(9999) == b""

    def test_with_clocal_nothing_happens(self) -> None:
        host = Host(raw(clocal=True))
        file = host.open()
        host.port.set_lines(dcd=True)
        host.port.set_lines(dcd=False)
        host.service()
        host.port.hang_up()
        host.service()
        host.send(b"NO CARRIER")
        assert host.read(file) == Outcome(data=b"NO CARRIER")
        assert host.port.statistics().n_hang_ups == 0

    def test_without_hupcl_dtr_stays(self) -> None:
        settings = raw(clocal=False)
        host = Host(settings.with_cflag(settings.cflag & ~termios.HUPCL))
        host.port.set_lines(dcd=True)
        host.open()
        host.port.hang_up()
        host.service()
        assert host.port.dtr
        assert host.port.statistics().n_hang_ups == 1

    def test_nobody_there(self) -> None:
        host = Host(raw(clocal=False))
        host.port.set_lines(dcd=True)
        host.port.set_lines(dcd=False)
        host.service()
        assert host.port.statistics().n_hang_ups == 0

    def test_soft_carrier_is_clocal(self) -> None:
        host = Host(raw())
        file = host.open()
        assert host.get_int(file, "TIOCGSOFTCAR") == 1
        host.set_int(file, "TIOCSSOFTCAR", 0)
        assert host.get_int(file, "TIOCGSOFTCAR") == 0
        host.port.hang_up()
        host.service()
        assert host.write(file, b"x") == HUNG_UP


class TestOpen:
    """Opens that wait, fail, or find things as they were."""

    def test_without_clocal_an_open_waits_for_the_carrier(self) -> None:
        host = Host(raw(clocal=False))
        assert host.try_open() is None
        opening = host.last
        assert host.port.dtr, "the modem must know that somebody waits"
        host.advance(100)
        assert host.ended(opening) is None
        host.port.set_lines(dcd=True)
        host.service()
        assert host.ended(opening) == Outcome(value=1)

    def test_with_o_nonblock_it_does_not(self) -> None:
        assert Host(raw(clocal=False)).try_open(os.O_NONBLOCK) == Outcome(value=1)

    def test_clocal_set_by_another_ends_the_wait(self) -> None:
        host = Host(raw(clocal=False))
        assert host.try_open() is None
        opening = host.last
        other = host.open(os.O_NONBLOCK)
        host.set_int(other, "TIOCSSOFTCAR", 1)
        host.service()
        assert host.ended(opening) == Outcome(value=1)

    def test_the_end_of_the_wait_raises_dtr(self) -> None:
        """What another did to DTR meanwhile stays until the carrier comes."""
        host = Host(raw(clocal=False))
        assert host.try_open() is None
        opening = host.last
        other = host.open(os.O_NONBLOCK)
        host.set_int(other, "TIOCMBIC", DTR_RTS)
        host.advance(1)
        host.service()
        assert not host.port.dtr
        host.port.set_lines(dcd=True)
        host.service()
        assert host.ended(opening) == Outcome(value=1)
        assert (host.port.dtr, host.port.rts) == (True, True)

    @pytest.mark.parametrize("how", ["TIOCVHANGUP", "carrier"])
    def test_a_hang_up_does_not_end_the_wait(self, how: str) -> None:
        """Serial drivers begin such an open anew; DTR falls, and rises for it."""
        host = Host(raw(clocal=False))
        assert host.try_open() is None
        opening = host.last
        other = host.open(os.O_NONBLOCK)
        host.port.events()
        if how == "carrier":
            host.port.hang_up()
        else:
            assert host.ioctl(other, "TIOCVHANGUP") == Outcome()
        host.service()
        assert host.write(other, b"x") == HUNG_UP
        assert host.port.events() == [DtrDropped(), DtrRaised()]
        assert host.port.open_count == 1
        assert host.ended(opening) is None
        host.close(other)
        host.port.set_lines(dcd=True)
        host.service()
        assert host.ended(opening) == Outcome(value=1)
        host.send(b"CONNECT")
        assert host.read(1) == Outcome(data=b"CONNECT")

    def test_the_last_close_hangs_up_although_an_open_waits(self) -> None:
        """A getty that waits for a carrier holds no line that a fax program wants to hang up."""
        host = Host(raw(clocal=False))
        other = host.open(os.O_NONBLOCK)
        assert host.try_open() is None
        waiting = host.last
        host.write(other, b"ATH")
        host.port.events()
        host.close(other)
        assert host.port.events() == [], "the modem takes what was written first"
        host.port.take_output(9)
        host.service()
        assert host.port.events() == [DtrDropped(), DtrRaised()]
        assert host.ended(waiting) is None
        assert host.interrupt(waiting) == Outcome(error=errno.EINTR)
        assert host.port.events() == [Closed(), DtrDropped()]

    def test_an_interrupted_open_is_no_open(self) -> None:
        host = Host(raw(clocal=False))
        assert host.try_open() is None
        assert host.interrupt(host.last) == Outcome(error=errno.EINTR)
        assert host.port.open_count == 0
        assert host.port.events() == [Opened(), DtrRaised(), Closed(), DtrDropped()]

    def test_settings_survive_a_close(self) -> None:
        host = Host()
        file = host.open()
        wanted = raw(vmin=0)
        host.ioctl(file, "TCSETS", data=wanted.pack())
        host.close(file)
        outcome = host.ioctl(host.open(), "TCGETS")
        assert outcome == Outcome(data=wanted.pack())

    def test_unread_input_does_not(self) -> None:
        host = Host(raw(vmin=0))
        file = host.open()
        host.send(b"stale")
        host.port.put_input(b" and staler")
        host.close(file)
        assert host.read(host.open()) == Outcome(data=b"")
        assert host.port.statistics().bytes_flushed == len(b"stale and staler")

    def test_what_the_modem_says_to_nobody_is_gone(self) -> None:
        host = Host(raw(vmin=0))
        assert host.port.put_input(b"RING" * 100_000) == 400_000
        assert host.read(host.open()) == Outcome(data=b"")
        assert host.port.statistics().bytes_unheard == 400_000

    def test_exclusive_use(self) -> None:
        host = Host()
        file = host.open(uid=USER)
        assert host.get_int(file, "TIOCGEXCL") == 0
        assert host.ioctl(file, "TIOCEXCL") == Outcome()
        assert host.get_int(file, "TIOCGEXCL") == 1
        assert host.try_open(uid=USER) == Outcome(error=errno.EBUSY)
        host.close(host.open(uid=0))
        assert host.ioctl(file, "TIOCNXCL") == Outcome()
        host.close(host.open(uid=USER))
        host.ioctl(file, "TIOCEXCL")
        host.close(file)
        host.open(uid=USER)

    def test_a_release_of_an_unknown_file_is_harmless(self) -> None:
        host = Host()
        host.close(5)
        assert host.port.open_count == 0


class TestPoll:
    """poll, and when its sleepers are woken."""

    IN = select.POLLIN | select.POLLRDNORM
    OUT = select.POLLOUT | select.POLLWRNORM

    def poll(self, host: Host, file: int, wanted: int = IN, *, wake: bool = True) -> int:
        return host.terminal.poll(file, wanted, wake, wake_key=file)

    def wakeups(self, host: Host) -> list[int]:
        host.service()
        return host.terminal.wakeups()

    def test_input_wakes_once(self) -> None:
        host = Host(raw())
        file = host.open()
        assert self.poll(host, file) == self.OUT
        assert self.wakeups(host) == []
        host.send(b"O")
        host.send(b"K")
        assert host.terminal.wakeups() == [file]
        assert self.poll(host, file, wake=False) == self.IN | self.OUT
        host.send(b"!")
        assert self.wakeups(host) == [], "nobody sleeps"

    def test_each_arrival_wakes_edge_triggered_epoll(self) -> None:
        host = Host(raw())
        file = host.open()
        host.send(b"O")
        assert self.poll(host, file) & self.IN
        assert self.wakeups(host) == []
        host.send(b"K")
        assert host.terminal.wakeups() == [file]

    def test_input_does_not_wake_who_waits_for_output(self) -> None:
        host = Host(raw())
        file = host.open()
        host.write(file, bytes(4096))
        assert self.poll(host, file, select.POLLOUT) == 0
        host.send(b"OK")
        assert self.wakeups(host) == []
        host.port.take_output(3000)
        assert self.wakeups(host) == [file]
        assert self.poll(host, file) == self.IN | self.OUT

    def test_room_for_output_wakes_also_without_a_poll_since_it_went(self) -> None:
        host = Host(raw())
        file = host.open()
        assert self.poll(host, file, select.POLLOUT) == self.OUT
        host.write(file, bytes(4096))
        assert self.wakeups(host) == []
        host.port.take_output(4096)
        assert self.wakeups(host) == [file]

    def test_wishes_of_several_sleepers_add_up(self) -> None:
        host = Host(raw())
        file = host.open()
        host.write(file, bytes(4096))
        self.poll(host, file, select.POLLIN)
        self.poll(host, file, select.POLLOUT)
        host.send(b"OK")
        assert host.terminal.wakeups() == [file]

    def test_vmin_without_vtime_counts_for_poll_too(self) -> None:
        host = Host(raw(vmin=4))
        file = host.open()
        host.send(b"RIN")
        assert self.poll(host, file) == self.OUT
        host.send(b"G")
        assert self.poll(host, file) == self.IN | self.OUT
        host.ioctl(file, "TCSETS", data=raw(vmin=127, vtime=1).pack())
        assert self.poll(host, file) == self.IN | self.OUT

    def test_canonical_input_is_ready_by_the_line(self) -> None:
        host = Host(INITIAL)
        file = host.open()
        host.send(b"OK")
        assert not self.poll(host, file) & self.IN
        host.send(b"\r")
        assert self.poll(host, file) & self.IN

    def test_two_files_are_woken_each(self) -> None:
        host = Host(raw())
        one, two = host.open(), host.open()
        self.poll(host, one)
        self.poll(host, two)
        host.send(b"OK")
        assert host.terminal.wakeups() == [one, two]

    def test_an_unknown_file(self) -> None:
        assert self.poll(Host(), 9) == select.POLLNVAL


def test_rts_off_holds_input_with_hardware_flow_control() -> None:
    host = Host(raw())
    file = host.open()
    host.set_int(file, "TIOCMBIC", lines.TIOCM_RTS)
    host.send(b"a")
    assert host.read(file) == Outcome(data=b"a"), "without CRTSCTS the line is only a line"
    host.terminal.change_settings(with_flags(raw(), cflag=raw().cflag | termios.CRTSCTS))
    host.send(b"b")
    assert host.get_int(file, "FIONREAD") == 0
    assert host.read(file) is None
    reader = host.last
    host.port.put_input(bytes(host.port.to_host.limit))
    assert host.port.put_input(b"x") == 0, "the modem keeps the rest"
    host.set_int(file, "TIOCMBIS", lines.TIOCM_RTS)
    host.service()
    outcome = host.ended(reader)
    assert outcome is not None
    assert outcome.data[:1] == b"b"


def test_without_cread_nothing_is_received() -> None:
    host = Host(with_flags(raw(), cflag=raw().cflag & ~termios.CREAD))
    file = host.open()
    host.send(b"RING")
    assert host.get_int(file, "FIONREAD") == 0
    assert host.port.statistics().bytes_flushed == 4


def test_stop_from_the_far_end_holds_output() -> None:
    host = Host(INITIAL)
    file = host.open()
    host.send(b"\x13")
    assert host.write(file, b"text") == Outcome(value=4)
    assert (host.port.output_waiting, host.port.take_output(9)) == (0, b"")
    host.ioctl(file, "TCXONC", 1)
    assert not host.port.output_waiting, "tcflow(TCOON) starts only what TCOOFF stopped"
    host.send(b"\x11")
    assert host.port.take_output(9) == b"text"
    host.send(b"\x13")
    host.write(file, b"more")
    host.ioctl(file, "TCSETS", data=raw().pack())
    assert host.port.take_output(9) == b"more", "IXON off starts it"
