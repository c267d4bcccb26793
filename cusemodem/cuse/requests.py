"""The CUSE channel of one device, without its descriptor: the kernel's requests in, replies to it out."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from cusemodem.cuse import messages
from cusemodem.cuse.control import Caller
from cusemodem.cuse.ioctls import IOCTLS, IoctlCall
from cusemodem.cuse.messages import (
    INTERRUPT_BIT,
    RESEND_BIT,
    BadMessageError,
    Init,
    Interrupt,
    Ioctl,
    Opcode,
    Open,
    Poll,
    Read,
    Release,
    Request,
    Unsupported,
    Write,
)
from cusemodem.cuse.port import Port
from cusemodem.cuse.record import Record
from cusemodem.cuse.sessions import Processes
from cusemodem.cuse.state import PortState
from cusemodem.cuse.terminal import Terminal
from cusemodem.cuse.waits import Outcome

# Different unknown ioctl numbers that are counted one by one; a caller can make up four billion.
UNKNOWN_IOCTLS_KEPT = 64


class Channel:
    """Serves the requests for one port.

    ``receive`` takes what was read from the descriptor, ``service`` lets the port's changes through,
    ``replies`` gives what is to be written. No input raises: a message that cannot be understood is counted
    and refused.
    """

    def __init__(
        self,
        port: Port,
        name: str = "",
        record: Record | None = None,
        processes: Processes | None = None,
    ) -> None:
        """``record`` is kept up to date for a successor, under the device's ``name``; ``processes`` are
        those whose terminal the port may be, by default this machine's.
        """
        self.port = port
        self.terminal = Terminal(port, processes)
        self._name = name
        self._record = record
        self._saved: tuple[object, ...] = ()
        # Lines that changed when the modem of a predecessor gave way to this one.
        self._power_cycled_lines = 0
        # Requests that the terminal has not answered yet, by their unique.
        self._calls: dict[int, Open | Read | Write | Ioctl] = {}
        self._answered: list[int] = []
        self._replies: list[bytes] = []

    @property
    def n_waiting(self) -> int:
        """Calls of the host that have not ended."""
        return len(self._calls)

    def is_timeless(self, message: bytes | bytearray | memoryview) -> bool:
        """Whether the time does not matter to a request and to what follows from it: to a poll, and while
        nothing waits to a write, and to a read without VTIME. A reading of the clock may cost as much as the
        rest."""
        opcode = int.from_bytes(message[4:8], "little")
        if opcode == Opcode.POLL:
            return True
        if self._calls or self.terminal.next_timer() is not None:
            return False
        return opcode == Opcode.WRITE or (opcode == Opcode.READ and not self.terminal.settings.timeout_s)

    def receive(self, message: bytes | bytearray | memoryview, now: float) -> None:
        """One request, as read from the descriptor."""
        try:
            request = messages.parse_request(message)
        except BadMessageError as error:
            self.port.counts["bad_requests"] += 1
            if error.unique and error.unique not in self._calls:
                self._replies.append(messages.error_reply(error.unique, errno.EIO))
            return
        if isinstance(request, Write) and request.unique & RESEND_BIT:
            # A predecessor took it: see `resume`.
            self._replies.append(messages.write_reply(request.unique, len(request.data)))
            return
        self._serve(request, now)
        self._collect()
        if self._record is not None and request.unique in self._calls:
            self._record.begin(request.unique, message)

    def _serve(self, request: Request, now: float) -> None:
        terminal = self.terminal
        match request:
            case Read(unique, handle, offset, size, flags):
                # The kernel asks for the rest of a large read, whose first part was filled: that part is
                # enough.
                if offset:
                    self._replies.append(messages.read_reply(unique, b""))
                elif self._begin(unique, request):
                    terminal.read(unique, handle, size, bool(flags & os.O_NONBLOCK), now)
            case Write(unique, handle, _, data, flags):
                if self._begin(unique, request):
                    terminal.write(unique, handle, data, bool(flags & os.O_NONBLOCK), now)
            case Poll(unique, handle, wake_key, schedule_notify, events):
                ready = terminal.poll(handle, events, schedule_notify, wake_key)
                self._replies.append(messages.poll_reply(unique, ready))
            case Ioctl():
                self._ioctl(request, now)
            case Interrupt(_, target):
                # An unknown target is one that was answered before the signal was seen: then the kernel
                # ignores what we say. Or a predecessor died with it in hand: then this alone frees the
                # caller, even for SIGKILL.
                if not terminal.interrupt(target, now) and target:
                    self._replies.append(messages.error_reply(target, errno.EINTR))
            case Open(unique, flags, uid, _):
                if self._begin(unique, request):
                    terminal.open(unique, flags, uid, now)
            case Release(unique, handle):
                # Answer first: close(2) cannot be interrupted.
                self._replies.append(messages.empty_reply(unique))
                terminal.release(handle, now)
            case Init(unique) | Unsupported(unique):
                self._replies.append(messages.error_reply(unique, errno.ENOSYS))

    def service(self, now: float) -> bool:
        """The modem changed something, or :meth:`next_timer` has come. Returns whether sleepers in poll are
        woken, who will ask again.
        """
        self.terminal.service(now)
        self._collect()
        wakeups = self.terminal.wakeups()
        for key in wakeups:
            self._replies.append(messages.poll_wakeup(key))
        return bool(wakeups)

    def next_timer(self) -> float | None:
        """When :meth:`service` is due at the latest."""
        return self.terminal.next_timer()

    def replies(self) -> list[bytes]:
        """Messages to write to the descriptor, each in one write, in order."""
        replies, self._replies = self._replies, []
        if self._record is not None:
            # Before the host can know of a change, a successor must.
            remarkable = self.terminal.remarkable()
            if remarkable != self._saved:
                self._record.save(self.terminal.state(self._name))
                self._saved = remarkable
        return replies

    def sent(self) -> None:
        """The replies are with the kernel: a successor need not answer them."""
        if self._record is not None and self._answered:
            for unique in self._answered:
                self._record.end(unique)
            self._answered.clear()

    def resume(
        self, state: PortState, is_waiting: Callable[[int], bool], resend: Callable[[], bool], now: float
    ) -> None:
        """Take over from a predecessor, which may have been killed between any two instructions.

        Its unanswered calls go on, but for writes: their bytes went to a modem that is no more, so they are
        done, and lost, as on a cable whose modem loses power. Every sleeper in poll is woken to ask again.

        ``is_waiting`` asks the kernel whether the request of a number is really unanswered. ``resend`` asks
        it to hand all of those over once more; where it cannot, they are taken from the record.
        """
        assert self._record is not None
        recorded, last = self._record.unanswered(), self._record.last_message()
        opening = {file.opened_by: file.number for file in state.files if is_waiting(file.opened_by)}
        if resend():
            self._record.forget_unanswered()
            self.terminal.resume(state, forget=opening.values())
            self._go_on(now)
            return
        waits_for_carrier = opening.keys() & recorded.keys()
        self.terminal.resume(state, waits_for_carrier)
        for unique, number in opening.items():
            if unique in waits_for_carrier:
                self._calls[unique] = Open(unique, 0, 0, 0)
            else:
                self._replies.append(messages.open_reply(unique, number))
        if last:
            unique = messages.IN_HEADER.unpack_from(last)[2]
            if not unique & INTERRUPT_BIT:
                recorded.setdefault(unique, last)
        for unique, message in recorded.items():
            if unique not in opening:
                if is_waiting(unique):
                    self._resume_call(unique, message, now)
                else:
                    self._answered.append(unique)
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        self._power_cycled_lines = self.terminal.power_cycled(now)
        self._collect()
        self._replies += [messages.poll_wakeup(key) for key in self.terminal.all_wake_keys()]

    def _resume_call(self, unique: int, message: bytes, now: float) -> None:
        assert self._record is not None
        opcode = messages.IN_HEADER.unpack_from(message)[1]
        if opcode == messages.Opcode.WRITE:
            _, _, size, *_ = messages.TRANSFER_IN.unpack_from(message, messages.IN_HEADER.size)
            self._replies.append(messages.write_reply(unique, size))
            self._answered.append(unique)
            return
        self._serve(messages.parse_request(message), now)
        self._collect()
        if unique in self._calls:
            self._record.begin(unique, message)
        else:
            self._answered.append(unique)

    def _begin(self, unique: int, request: Open | Read | Write | Ioctl) -> bool:
        """Remember a call until its outcome; a number that is still in use is refused without an answer."""
        if unique in self._calls:
            self.port.counts["bad_requests"] += 1
            return False
        self._calls[unique] = request
        return True

    def _ioctl(self, request: Ioctl, now: float) -> None:
        call = IOCTLS.get(request.number)
        unsupported = call is None or (request.from_32_bit and call.name in ("TIOCGSERIAL", "TIOCSSERIAL"))
        if call is None or unsupported:
            unknown = self.port.unknown_ioctls
            if request.number in unknown or len(unknown) < UNKNOWN_IOCTLS_KEPT:
                unknown[request.number] += 1
            error = errno.EIO if self.terminal.is_hung_up(request.handle) else errno.ENOTTY
            self._replies.append(messages.error_reply(request.unique, error))
            return
        if len(request.data) < call.in_size or request.out_size < call.out_size:
            # The first time the kernel knows only the bare argument: have it bring the memory behind it.
            if request.data or request.out_size:
                self.port.counts["bad_requests"] += 1
                self._replies.append(messages.error_reply(request.unique, errno.EINVAL))
                return
            self._replies.append(
                messages.ioctl_retry(request.unique, request.argument, call.in_size, call.out_size)
            )
            return
        if self._is_over(request, call):
            self._replies.append(messages.ioctl_reply(request.unique, 0))
            return
        if self._begin(request.unique, request):
            data = request.data[: call.in_size]
            # A value is an int, whatever a 64-bit register held above it.
            argument = request.argument & 0xFFFFFFFF
            caller = Caller(request.uid, request.pid)
            self.terminal.ioctl(request.unique, request.handle, call, argument, data, now=now, caller=caller)

    def _is_over(self, request: Ioctl, call: IoctlCall) -> bool:
        """Whether a predecessor's TIOCMIWAIT waited for a line that changed since, before it came again."""
        return bool(
            call.name == "TIOCMIWAIT"
            and request.unique & RESEND_BIT
            and request.argument & self._power_cycled_lines
            and not self.terminal.is_hung_up(request.handle)
        )

    def _collect(self) -> None:
        for unique, outcome in self.terminal.outcomes():
            self._replies.append(_reply(self._calls.pop(unique), outcome))
            if self._record is not None:
                self._answered.append(unique)


def _reply(request: Open | Read | Write | Ioctl, outcome: Outcome) -> bytes:
    if outcome.error:
        return messages.error_reply(request.unique, outcome.error)
    match request:
        case Read(unique):
            return messages.read_reply(unique, outcome.data)
        case Write(unique):
            return messages.write_reply(unique, outcome.value)
        case Open(unique):
            return messages.open_reply(unique, outcome.value)
        case Ioctl(unique):
            return messages.ioctl_reply(unique, outcome.value, outcome.data)
