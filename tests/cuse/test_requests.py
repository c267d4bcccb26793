"""Requests in, replies out: a whole channel without its descriptor."""

import errno
import os
import random
import select
import struct

import pytest

from cusemodem.cuse.port import Port
from cusemodem.cuse.requests import UNKNOWN_IOCTLS_KEPT, Channel
from cusemodem.cuse.termios import INITIAL
from tests.cuse.host import NUMBERS, raw
from tests.cuse.test_messages import CASES, request

OPEN, READ, WRITE, RELEASE, INTERRUPT, IOCTL, POLL = 14, 15, 16, 18, 36, 39, 40


class Kernel:
    """The kernel's end of a channel."""

    def __init__(self) -> None:
        self.port = Port()
        self.channel = Channel(self.port)
        self.now = 0.0
        self._unique = 0
        self._replies: dict[int, tuple[int, bytes]] = {}
        self.wakeups: list[int] = []

    def ask(self, opcode: int, body: bytes, *, uid: int = 0) -> int:
        self._unique += 2
        self.channel.receive(request(opcode, body, unique=self._unique, uid=uid), self.now)
        return self._unique

    def collect(self) -> None:
        for reply in self.channel.replies():
            length, error, unique = struct.unpack_from("<IiQ", reply)
            assert length == len(reply)
            assert -512 < error <= 1
            if unique == 0:
                assert error == 1
                self.wakeups.append(struct.unpack_from("<Q", reply, 16)[0])
                continue
            assert unique not in self._replies, "answered twice"
            self._replies[unique] = (-error, reply[16:])

    def answer(self, unique: int) -> tuple[int, bytes] | None:
        """errno and body of the reply, if there is one."""
        self.collect()
        return self._replies.pop(unique, None)

    def open(self, flags: int = os.O_RDWR) -> int:
        answer = self.answer(self.ask(OPEN, struct.pack("<II", flags, 0)))
        assert answer is not None
        assert answer[0] == 0
        return int(struct.unpack("<QII", answer[1])[0])

    def read(self, handle: int, size: int = 100, offset: int = 0, flags: int = os.O_RDWR) -> int:
        return self.ask(READ, struct.pack("<QQIIQII", handle, offset, size, 0, 0, flags, 0))

    def write(self, handle: int, data: bytes, flags: int = os.O_RDWR) -> int:
        return self.ask(WRITE, struct.pack("<QQIIQII", handle, 0, len(data), 0, 0, flags, 0) + data)

    def ioctl(
        self,
        handle: int,
        number: int,
        argument: int = 0x1000,
        data: bytes = b"",
        *,
        out: int = 0,
        flags: int = 2,
    ) -> int:
        fields = struct.pack("<QIIQII", handle, flags, number, argument, len(data), out)
        return self.ask(IOCTL, fields + data)

    def poll(self, handle: int, key: int, events: int = select.POLLIN, flags: int = 1) -> int:
        return self.ask(POLL, struct.pack("<QQII", handle, key, flags, events))

    def service(self) -> None:
        self.channel.service(self.now)
        self.collect()


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


def test_mutated_requests_do_no_harm() -> None:
    """Every request ends in at most one reply, no exception, and the port still works afterwards."""
    rng = random.Random(2)
    kernel = Kernel()
    files = [kernel.open() for _ in range(3)]
    calls = [case[0] for case in CASES[1:]]
    ioctls = []
    for number in NUMBERS.values():
        for in_size in (0, 1, 4, 8, 18, 36, 44, 72):
            body = struct.pack("<QIIQII", 1, 2, number, 1, in_size, 80 - in_size) + rng.randbytes(in_size)
            ioctls.append(request(IOCTL, body))
    for step in range(40_000):
        message = bytearray(rng.choice(calls if rng.random() < 0.6 else ioctls))
        struct.pack_into("<Q", message, 8, rng.choice([step + 1000, rng.randrange(1, 60)]))
        if rng.random() < 0.8 and len(message) >= 48:
            struct.pack_into("<Q", message, 40, rng.choice(files))
        for _ in range(rng.randrange(3)):
            message[rng.randrange(len(message))] = rng.randrange(256)
        if rng.random() < 0.3:
            message = message[: rng.randrange(len(message) + 1)] + rng.randbytes(rng.randrange(8))
            struct.pack_into("<I", message := message.ljust(4), 0, len(message))
        kernel.channel.receive(message, kernel.now)
        for reply in kernel.channel.replies():
            length, error, _ = struct.unpack_from("<IiQ", reply)
            assert length == len(reply)
            assert -512 < error <= 1
        if rng.random() < 0.2:
            kernel.port.put_input(rng.randbytes(rng.randrange(300)))
            kernel.port.take_output(rng.randrange(300))
            kernel.port.events()
            kernel.port.set_lines(dcd=rng.random() < 0.99, ri=rng.random() < 0.5)
            kernel.now += rng.random() / 10
            kernel.channel.service(kernel.now)
            kernel.channel.replies()
        files = sorted(kernel.channel.terminal._files)[-5:] or [1]
    statistics = kernel.port.statistics()
    assert statistics.n_bad_requests > 1000
    assert statistics.bytes_to_modem > 1000

    terminal = kernel.channel.terminal
    for file in list(terminal._files):
        terminal.release(file, kernel.now)
    kernel.port.take_output(10**6)
    kernel.port.set_lines(dcd=False)
    kernel.service()
    assert kernel.port.open_count == 0
    terminal.change_settings(raw())
    fresh = Channel(kernel.port)
    fresh.terminal.change_settings(raw())
    fresh.receive(request(OPEN, struct.pack("<II", os.O_NONBLOCK, 0), unique=2), kernel.now)
    fresh.receive(
        request(WRITE, struct.pack("<QQIIQII", 1, 0, 2, 0, 0, os.O_RDWR, 0) + b"AT", unique=4), kernel.now
    )
    assert len(fresh.replies()) == 2
    assert kernel.port.take_output(9) == b"AT"
