"""Requests in, replies out: a whole channel without its descriptor."""

import errno
import os
import select
import struct

import pytest

from cusemodem.cuse.requests import UNKNOWN_IOCTLS_KEPT
from cusemodem.cuse.termios import INITIAL
from tests.cuse.channel_host import INTERRUPT, IOCTL, POLL, READ, RELEASE, WRITE, Kernel
from tests.cuse.host import NUMBERS, raw
from tests.cuse.mutation import mutate
from tests.cuse.test_messages import request


@pytest.fixture
def kernel() -> Kernel:
    kernel = Kernel()
    kernel.channel.terminal.change_settings(raw())
    return kernel


def test_a_command_and_its_answer(kernel: Kernel) -> None:
    file = kernel.open()
    assert kernel.answer(kernel.write(file, b"ATZ\r")) == (0, struct.pack("<II", 4, 0))
    reading = kernel.read(file)
    assert kernel.answer(reading) is None
    assert kernel.channel.n_waiting == 1
    assert kernel.port.take_output(99) == b"ATZ\r"
    kernel.port.put_input(b"OK\r\n")
    kernel.service()
    assert kernel.answer(reading) == (0, b"OK\r\n")
    assert kernel.channel.n_waiting == 0


def test_o_nonblock_is_taken_from_each_request(kernel: Kernel) -> None:
    file = kernel.open(os.O_RDWR | os.O_NONBLOCK)
    assert kernel.answer(kernel.read(file)) is None
    other = kernel.open()
    assert kernel.answer(kernel.read(other, flags=os.O_RDWR | os.O_NONBLOCK)) == (errno.EAGAIN, b"")


def test_the_rest_of_a_filled_read_is_empty(kernel: Kernel) -> None:
    file = kernel.open()
    kernel.port.put_input(b"12345678")
    assert kernel.answer(kernel.read(file, 4)) == (0, b"1234")
    assert kernel.answer(kernel.read(file, 4, offset=4)) == (0, b"")
    assert kernel.answer(kernel.read(file, 4)) == (0, b"5678")


def test_an_ioctl_brings_its_memory_on_the_second_asking(kernel: Kernel) -> None:
    file = kernel.open()
    first = kernel.answer(kernel.ioctl(file, NUMBERS["TCGETS"], 0x7FFF0000))
    assert first == (0, struct.pack("<iIIIQQ", 0, 4, 0, 1, 0x7FFF0000, 36))
    second = kernel.answer(kernel.ioctl(file, NUMBERS["TCGETS"], 0x7FFF0000, out=36))
    assert second == (0, bytes(16) + raw().pack())

    first = kernel.answer(kernel.ioctl(file, NUMBERS["TCSETS"], 0x7FFF0000))
    assert first == (0, struct.pack("<iIIIQQ", 0, 4, 1, 0, 0x7FFF0000, 36))
    second = kernel.answer(kernel.ioctl(file, NUMBERS["TCSETS"], 0x7FFF0000, INITIAL.pack()))
    assert second == (0, bytes(16))
    assert kernel.channel.terminal.settings == INITIAL

    assert kernel.answer(kernel.ioctl(file, NUMBERS["TCFLSH"], 2)) == (0, bytes(16))
    # An int argument: what stands above it in the register does not count.
    assert kernel.answer(kernel.ioctl(file, NUMBERS["TCFLSH"], 0xFFFF_0000_0000_0002)) == (0, bytes(16))


def test_too_little_memory_is_refused(kernel: Kernel) -> None:
    file = kernel.open()
    assert kernel.answer(kernel.ioctl(file, NUMBERS["TCGETS"], out=35)) == (errno.EINVAL, b"")
    assert kernel.answer(kernel.ioctl(file, NUMBERS["TCSETS"], data=bytes(35))) == (errno.EINVAL, b"")
    assert kernel.port.statistics().n_bad_requests == 2


def test_unknown_ioctls_are_refused_and_counted(kernel: Kernel) -> None:
    file = kernel.open()
    for number in (0x542E, 0x542E, 0xDEADBEEF):
        assert kernel.answer(kernel.ioctl(file, number)) == (errno.ENOTTY, b"")
    assert kernel.port.statistics().unknown_ioctls == {0x542E: 2, 0xDEADBEEF: 1}
    for number in range(1000):
        kernel.ioctl(file, number)
    assert len(kernel.port.statistics().unknown_ioctls) == UNKNOWN_IOCTLS_KEPT


def test_serial_struct_of_a_32_bit_caller_has_another_size(kernel: Kernel) -> None:
    file = kernel.open()
    assert kernel.answer(kernel.ioctl(file, NUMBERS["TIOCGSERIAL"], flags=1 | 2 | 8)) == (errno.ENOTTY, b"")


def test_poll_wakes_by_the_files_key(kernel: Kernel) -> None:
    file = kernel.open()
    out = select.POLLOUT | select.POLLWRNORM
    assert kernel.answer(kernel.poll(file, key=99)) == (0, struct.pack("<II", out, 0))
    kernel.service()
    assert kernel.wakeups == []
    kernel.port.put_input(b"RING")
    kernel.service()
    kernel.service()
    assert kernel.wakeups == [99]
    expected = out | select.POLLIN | select.POLLRDNORM
    assert kernel.answer(kernel.poll(file, key=99)) == (0, struct.pack("<II", expected, 0))


def test_interrupt_answers_the_call_at_once(kernel: Kernel) -> None:
    file = kernel.open()
    reading = kernel.read(file)
    interrupt = kernel.ask(INTERRUPT, struct.pack("<Q", reading))
    assert kernel.answer(reading) == (errno.EINTR, b"")
    assert kernel.answer(interrupt) is None, "an INTERRUPT has no reply of its own"
    # A signal for an unknown call frees the caller too, if it still waits.
    kernel.ask(INTERRUPT, struct.pack("<Q", 12345))
    assert kernel.answer(12345) == (errno.EINTR, b"")
    kernel.ask(INTERRUPT, struct.pack("<Q", 0))
    assert kernel.channel.replies() == []
    assert kernel.port.statistics().n_interrupts == 1


def test_release_is_answered_before_its_effects(kernel: Kernel) -> None:
    file = kernel.open()
    assert kernel.answer(kernel.ask(RELEASE, struct.pack("<QIIQ", file, 0, 0, 0))) == (0, b"")
    assert not kernel.port.dtr
    assert kernel.answer(kernel.read(file)) == (errno.EBADF, b"")


def test_timers_are_told(kernel: Kernel) -> None:
    kernel.channel.terminal.change_settings(raw(vmin=127, vtime=1))
    file = kernel.open()
    kernel.port.put_input(b"OK")
    reading = kernel.read(file)
    assert kernel.channel.next_timer() == pytest.approx(0.1)
    kernel.now = 0.1
    kernel.service()
    assert kernel.answer(reading) == (0, b"OK")
    assert kernel.channel.next_timer() is None


def test_bad_requests_are_refused_by_their_number(kernel: Kernel) -> None:
    kernel.open()
    before = kernel.port.statistics().n_bad_requests
    kernel.channel.receive(b"junk", 0)
    assert kernel.channel.replies() == []
    cut = request(READ, bytes(10), unique=77)
    kernel.channel.receive(cut, 0)
    assert kernel.answer(77) == (errno.EIO, b"")
    assert kernel.answer(kernel.ask(1, bytes(8))) == (errno.ENOSYS, b"")
    assert kernel.port.statistics().n_bad_requests == before + 2


def test_a_number_still_in_use_is_not_taken_twice(kernel: Kernel) -> None:
    file = kernel.open()
    body = struct.pack("<QQIIQII", file, 0, 9, 0, 0, 2, 0)
    kernel.channel.receive(request(READ, body, unique=50), 0)
    kernel.channel.receive(request(READ, body, unique=50), 0)
    assert kernel.channel.n_waiting == 1
    assert kernel.port.statistics().n_bad_requests == 1


@pytest.mark.parametrize("seed", [2, 3])
def test_mutated_requests_do_no_harm(seed: int) -> None:
    """A fraction of `python -m tests.cuse.mutation`, which is a million of them."""
    figures = mutate(20_000, seed)
    assert figures["refused as bad"] > 500
    assert figures["bytes to the modem"] > 500


def test_what_the_time_does_not_matter_to(kernel: Kernel) -> None:
    """Such requests are served without a look at the clock."""

    def timeless(opcode: int) -> bool:
        return kernel.channel.is_timeless(request(opcode, bytes(40)))

    file = kernel.open()
    for opcode, expected in ((POLL, True), (WRITE, True), (READ, True), (IOCTL, False), (RELEASE, False)):
        assert timeless(opcode) is expected
    kernel.channel.terminal.change_settings(raw(vmin=0, vtime=1))
    assert not timeless(READ)
    waiting = kernel.read(file)
    assert kernel.answer(waiting) is None
    assert not timeless(WRITE), "what is written may be answered, which starts the reader's clock"
    assert timeless(POLL)
