"""A server is killed at any moment, and its successor goes on: nobody waits for ever, no file is lost."""

import errno
import os
import random
import select
import struct
from collections.abc import Iterator

import pytest

from cusemodem.cuse.messages import IN_HEADER, OUT_HEADER, RESEND_BIT
from cusemodem.cuse.modem_lines import TIOCM_CD, TIOCM_DTR, TIOCM_RI
from cusemodem.cuse.port import Port
from cusemodem.cuse.record import KEPT, N_SLOTS, SIZE, Record
from cusemodem.cuse.requests import Channel
from cusemodem.cuse.state import BadStateError, PortState
from cusemodem.cuse.termios import CLOCAL, INITIAL
from tests.cuse.host import NUMBERS, raw, with_flags
from tests.cuse.test_messages import request

OPEN, READ, WRITE, RELEASE, INTERRUPT, IOCTL, POLL = 14, 15, 16, 18, 36, 39, 40


class Kernel:
    """The kernel's end of the channel, which outlives its servers; and, in `serve`, their life."""

    def __init__(self, *, resends: bool) -> None:
        self.resends = resends
        self.descriptor = Record.create()
        self.unread: list[bytes] = []
        self.unanswered: dict[int, bytes] = {}
        self.answers: dict[int, tuple[int, bytes]] = {}
        self.asked: dict[int, tuple[int, int]] = {}
        self.files: set[int] = set()
        self.wakeups: list[int] = []
        self.interrupted: set[int] = set()
        self._unique = 0
        self.start()

    def close(self) -> None:
        self.stop()
        os.close(self.descriptor)

    # the server

    def start(self) -> None:
        self.record = Record(self.descriptor)
        self.buffer = self.record.buffer()
        self.port = Port()
        self.channel = Channel(self.port, "ttyIAX0", self.record)
        state = self.record.state()
        if state is not None:
            self.channel.resume(state, self.is_waiting, self.resend, 0.0)
        self.send(-1)

    def stop(self) -> None:
        self.buffer.release()
        self.record.close()

    def send(self, n_until_killed: int) -> int:
        """Write the replies; with a limit the server dies before it is through."""
        for reply in self.channel.replies():
            if n_until_killed == 0:
                return 0
            n_until_killed -= 1
            self.take(reply)
        if n_until_killed == 0:
            return 0
        self.channel.sent()
        return n_until_killed

    def serve(self, dies_in: int = -1) -> None:
        """Serve all requests. The server is killed, and started again, after that many of its steps."""
        while self.unread:
            message = self.unread.pop(0)
            unique = IN_HEADER.unpack_from(message)[2]
            if IN_HEADER.unpack_from(message)[1] != INTERRUPT:
                self.unanswered[unique] = message
            self.buffer[: len(message)] = message
            dies_in -= 1
            if dies_in == 0:
                break
            self.channel.receive(self.buffer[: len(message)], 0.0)
            dies_in -= 1
            if dies_in == 0:
                break
            dies_in = self.send(dies_in)
            if dies_in == 0:
                break
            self.channel.service(0.0)
            dies_in = self.send(dies_in)
            if dies_in == 0:
                break
        else:
            return
        self.restart()
        self.serve()

    def restart(self) -> None:
        """kill -9, and a successor."""
        self.stop()
        self.start()
        assert {unique for unique in self.unanswered if unique not in self.channel._calls} == set(), (
            "requests that the successor knows nothing of"
        )

    def take(self, reply: bytes) -> None:
        """What the server writes."""
        _, error, unique = OUT_HEADER.unpack_from(reply)
        if unique == 0:
            assert error == 1
            self.wakeups.append(struct.unpack_from("<Q", reply, 16)[0])
        elif unique in self.unanswered:
            message = self.unanswered.pop(unique)
            self.answers[unique & ~RESEND_BIT] = (-error, reply[16:])
            opcode = IN_HEADER.unpack_from(message)[1]
            if opcode == OPEN and not error:
                self.files.add(struct.unpack_from("<Q", reply, 16)[0])
            self.interrupted.discard(unique)

    def is_waiting(self, unique: int) -> bool:
        if unique in self.unanswered and unique in self.interrupted:
            self._queue_interrupt(unique)
        return unique in self.unanswered

    def resend(self) -> bool:
        if self.resends:
            again = []
            for unique, message in sorted(self.unanswered.items()):
                number = unique | RESEND_BIT
                again.append(message[:8] + struct.pack("<Q", number) + message[16:])
                if unique in self.interrupted:
                    self.interrupted.add(number)
            self.unread[:0] = again
            self.unanswered.clear()
        return self.resends

    def _queue_interrupt(self, unique: int) -> None:
        self.unread.append(request(INTERRUPT, struct.pack("<Q", unique), unique=unique | 1))

    # the host

    def ask(self, opcode: int, body: bytes) -> int:
        self._unique += 2
        self.unread.append(request(opcode, body, unique=self._unique, uid=0))
        return self._unique

    def open(self, flags: int = os.O_RDWR | os.O_NONBLOCK) -> int:
        return self.ask(OPEN, struct.pack("<II", flags, 0))

    def opened(self) -> int:
        """An open file."""
        unique = self.open()
        self.serve()
        error, body = self.answers[unique]
        assert error == 0
        return int(struct.unpack_from("<Q", body)[0])

    def read(self, file: int, size: int = 100) -> int:
        return self.ask(READ, struct.pack("<QQIIQII", file, 0, size, 0, 0, os.O_RDWR, 0))

    def write(self, file: int, data: bytes) -> int:
        return self.ask(WRITE, struct.pack("<QQIIQII", file, 0, len(data), 0, 0, os.O_RDWR, 0) + data)

    def release(self, file: int) -> int:
        self.files.discard(file)
        return self.ask(RELEASE, struct.pack("<QIIQ", file, 2, 0, 0))

    def poll(self, file: int) -> int:
        return self.ask(POLL, struct.pack("<QQII", file, 1000 + file, 1, select.POLLIN))

    def ioctl(self, file: int, name: str, data: bytes = b"", out: int = 0, argument: int = 0) -> int:
        fields = struct.pack("<QIIQII", file, 2, NUMBERS[name], argument, len(data), out)
        return self.ask(IOCTL, fields + data)

    def interrupt(self, unique: int) -> None:
        number = unique if unique in self.unanswered else unique | RESEND_BIT
        if number in self.unanswered:
            self.interrupted.add(number)
            self._queue_interrupt(number)


@pytest.fixture(params=[False, True], ids=["recorded", "resent"])
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    kernel = Kernel(resends=request.param)
    yield kernel
    kernel.close()


@pytest.mark.parametrize("seed", range(60))
def test_killed_at_any_moment(kernel: Kernel, seed: int) -> None:
    rng = random.Random(seed)
    file = kernel.opened()
    kernel.ioctl(file, "TCSETS2", (INITIAL if seed % 2 else raw(clocal=seed % 3 > 0)).pack2())
    for _ in range(40):
        for _ in range(rng.randint(1, 4)):
            files = sorted(kernel.files)
            some = rng.choice(files) if files else 0
            waiting = [u & ~RESEND_BIT for u in kernel.unanswered]
            match rng.randrange(9):
                case 0:
                    kernel.open(rng.choice([os.O_RDWR, os.O_RDWR | os.O_NONBLOCK]))
                case 1 | 2 if some:
                    kernel.read(some)
                case 3 if some:
                    kernel.write(some, b"AT\r" * rng.randint(1, 800))
                case 4 if len(files) > 1 and not waiting:
                    kernel.release(some)
                case 5 if some:
                    kernel.poll(some)
                case 6 if some:
                    kernel.ioctl(some, "TIOCMGET", out=4)
                case 7 if some:
                    kernel.ioctl(some, "TIOCMIWAIT", argument=0x80)
                case 8 if waiting:
                    kernel.interrupt(rng.choice(waiting))
        kernel.serve(rng.randint(1, 14))
        if rng.random() < 0.3:
            kernel.port.take_output(4096)
            kernel.port.put_input(b"\r\nOK\r\n")
            kernel.port.set_lines(ri=rng.random() < 0.5)
            kernel.channel.service(0.0)
            kernel.send(-1)
    # Everybody is asked to come home, and does.
    for unique in list(kernel.unanswered):
        kernel.interrupt(unique & ~RESEND_BIT)
    kernel.serve()
    assert kernel.unanswered == {}
    assert kernel.files == set(kernel.channel.terminal._files)
    for file in list(kernel.files):
        kernel.release(file)
    kernel.serve()
    assert kernel.port.open_count == 0
    assert kernel.channel.n_waiting == 0
    assert kernel.record.unanswered() == {}


def test_what_the_host_set_is_still_set(kernel: Kernel) -> None:
    file = kernel.opened()
    settings = raw(vmin=127, vtime=1)
    kernel.ioctl(file, "TCSETS2", settings.pack2())
    kernel.ioctl(file, "TIOCSWINSZ", struct.pack("<4H", 24, 80, 1, 2))
    kernel.ioctl(file, "TIOCEXCL")
    locks = struct.pack("<4I20x", 0, 0, CLOCAL, 0)
    kernel.ioctl(file, "TIOCSLCKTRMIOS", locks)
    kernel.ioctl(file, "TIOCMBIC", struct.pack("<I", TIOCM_DTR))
    kernel.port.notes = "notes"
    kernel.serve()
    kernel.restart()
    terminal = kernel.channel.terminal
    assert terminal.settings.pack2() == settings.pack2()
    assert (kernel.port.dtr, kernel.port.rts, kernel.port.notes) == (False, True, "notes")
    assert terminal.exclusive
    state = terminal.state("ttyIAX0")
    assert state.window_size == struct.pack("<4H", 24, 80, 1, 2)
    assert state.locks == locks
    assert PortState.unpack(state.pack()) == state


def test_sleepers_in_poll_are_woken_to_ask_again(kernel: Kernel) -> None:
    file = kernel.opened()
    kernel.poll(file)
    kernel.serve()
    assert kernel.wakeups == []
    kernel.restart()
    assert kernel.wakeups == [1000 + file]


def test_a_write_is_over_and_not_repeated(kernel: Kernel) -> None:
    file = kernel.opened()
    kernel.ioctl(file, "TCSETS2", raw().pack2())
    writing = kernel.write(file, b"x" * 10000)
    kernel.serve()
    assert writing not in kernel.answers
    kernel.restart()
    kernel.serve()
    assert kernel.answers[writing] == (0, struct.pack("<II", 10000, 0))
    assert kernel.port.output_waiting == 0


def test_an_open_that_waits_for_carrier(kernel: Kernel) -> None:
    first = kernel.opened()
    kernel.ioctl(first, "TCSETS2", with_flags(raw(), cflag=raw().cflag & ~CLOCAL).pack2())
    opening = kernel.open(os.O_RDWR)
    kernel.serve()
    kernel.restart()
    kernel.serve()
    assert opening not in kernel.answers
    kernel.port.set_lines(dcd=True)
    kernel.channel.service(0.0)
    kernel.send(-1)
    error, body = kernel.answers[opening]
    assert error == 0
    assert struct.unpack_from("<Q", body)[0] != first
    assert kernel.port.open_count == 2


def test_a_carrier_is_lost(kernel: Kernel) -> None:
    file = kernel.opened()
    kernel.ioctl(file, "TCSETS2", with_flags(raw(), cflag=raw().cflag & ~CLOCAL).pack2())
    kernel.serve()
    kernel.port.set_lines(dcd=True)
    kernel.channel.service(0.0)
    kernel.send(-1)
    reading = kernel.read(file)
    kernel.serve()
    kernel.restart()
    kernel.serve()
    assert kernel.answers[reading] == (0, b"")
    writing = kernel.write(file, b"x")
    kernel.serve()
    assert kernel.answers[writing][0] == errno.EIO


@pytest.mark.parametrize("clocal", [True, False])
def test_who_waits_for_a_line_learns_of_the_carrier_s_loss(kernel: Kernel, clocal: bool) -> None:
    """TIOCMIWAIT: also where the call comes again only after the new modem has begun."""
    file = kernel.opened()
    kernel.ioctl(file, "TCSETS2", raw(clocal=clocal).pack2())
    kernel.serve()
    kernel.port.set_lines(dcd=True)
    kernel.channel.service(0.0)
    kernel.send(-1)
    carrier = kernel.ioctl(file, "TIOCMIWAIT", argument=TIOCM_CD | TIOCM_RI)
    ring = kernel.ioctl(file, "TIOCMIWAIT", argument=TIOCM_RI)
    kernel.serve()
    assert carrier not in kernel.answers
    kernel.restart()
    kernel.serve()
    gone = (0, struct.pack("<iIII", 0, 0, 0, 0)) if clocal else (errno.EIO, b"")
    assert kernel.answers[carrier] == gone
    assert (ring in kernel.answers) is not clocal
    # A wait that begins now is for what comes.
    fresh = kernel.ioctl(kernel.opened(), "TIOCMIWAIT", argument=TIOCM_CD)
    kernel.serve()
    assert fresh not in kernel.answers
    kernel.restart()
    kernel.serve()
    assert fresh not in kernel.answers


def test_more_waiting_calls_than_the_record_holds(kernel: Kernel) -> None:
    file = kernel.opened()
    kernel.ioctl(file, "TCSETS2", raw().pack2())
    reads = [kernel.read(file, size=1) for _ in range(N_SLOTS + 5)]
    kernel.serve()
    kernel.stop()
    kernel.start()
    kernel.serve()
    # Without being handed over again a few are not known: a signal ends them.
    for unique in reads:
        kernel.interrupt(unique)
    kernel.serve()
    assert {kernel.answers[unique] for unique in reads} == {(errno.EINTR, b"")}


class TestRecord:
    def test_only_what_is_ours_is_read(self) -> None:
        descriptor = Record.create()
        record = Record(descriptor)
        assert (record.state(), record.unanswered(), record.last_message()) == (None, {}, b"")
        record.close()
        os.pwrite(descriptor, b"something", 0)
        with pytest.raises(BadStateError, match="magic number"):
            Record(descriptor)
        os.ftruncate(descriptor, SIZE - 1)
        with pytest.raises(BadStateError, match=f"a record of {SIZE - 1} bytes"):
            Record(descriptor)
        os.close(descriptor)

    def test_long_messages_are_cut(self) -> None:
        descriptor = Record.create()
        record = Record(descriptor)
        record.begin(6, request(WRITE, b"x" * 1000, unique=6))
        record.begin(4, request(READ, b"y" * 10, unique=4))
        record.close()
        again = Record(descriptor)
        assert list(again.unanswered().items()) == [
            (4, request(READ, b"y" * 10, unique=4)),
            (6, request(WRITE, b"x" * 1000, unique=6)[:KEPT]),
        ]
        again.end(6)
        again.end(99)
        assert list(again.unanswered()) == [4]
        again.forget_unanswered()
        assert again.unanswered() == {}
        again.close()
        os.close(descriptor)

    @pytest.mark.parametrize(
        "data",
        [b"", b"{}", b"[]", b"null", b'{"version": 99}', b'{"version": 1, "settings": "zz"}', b"\xff", b"1"],
    )
    def test_states_that_are_none(self, data: bytes) -> None:
        with pytest.raises(BadStateError):
            PortState.unpack(data)

    def test_mutated_states(self) -> None:
        """One documented error, whatever the bytes."""
        good = Channel(Port()).terminal.state("ttyIAX0").pack()
        rng = random.Random(1)
        for _ in range(3000):
            data = bytearray(good)
            for _ in range(rng.randint(1, 4)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            try:
                PortState.unpack(bytes(data))
            except BadStateError:
                continue
