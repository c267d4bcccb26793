"""The CUSE channel of one device, without its descriptor: the kernel's requests in, replies to it out."""

from __future__ import annotations

import errno
import os

from cusemodem.cuse import messages
from cusemodem.cuse.ioctls import IOCTLS
from cusemodem.cuse.messages import (
    BadMessageError,
    Init,
    Interrupt,
    Ioctl,
    Open,
    Poll,
    Read,
    Release,
    Unsupported,
    Write,
)
from cusemodem.cuse.port import Port
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

    def __init__(self, port: Port) -> None:
        self.port = port
        self.terminal = Terminal(port)
        # Requests that the terminal has not answered yet, by their unique.
        self._calls: dict[int, Open | Read | Write | Ioctl] = {}
        self._wake_keys: dict[int, int] = {}
        self._replies: list[bytes] = []

    @property
    def n_waiting(self) -> int:
        """Calls of the host that have not ended."""
        return len(self._calls)

    def receive(self, message: bytes | bytearray | memoryview, now: float) -> None:
        """One request, as read from the descriptor."""
        try:
            request = messages.parse_request(message)
        except BadMessageError as error:
            self.port.counts["bad_requests"] += 1
            if error.unique and error.unique not in self._calls:
                self._replies.append(messages.error_reply(error.unique, errno.EIO))
            return
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
                self._wake_keys[handle] = wake_key
                ready = terminal.poll(handle, events, schedule_notify)
                self._replies.append(messages.poll_reply(unique, ready))
            case Ioctl():
                self._ioctl(request, now)
            case Interrupt(_, target):
                # Unknown targets are normal: answered before the signal was seen.
                terminal.interrupt(target, now)
            case Open(unique, flags, uid, _):
                if self._begin(unique, request):
                    terminal.open(unique, flags, uid, now)
            case Release(unique, handle):
                # Answer first: close(2) cannot be interrupted.
                self._replies.append(messages.empty_reply(unique))
                self._wake_keys.pop(handle, None)
                terminal.release(handle, now)
            case Init(unique) | Unsupported(unique):
                self._replies.append(messages.error_reply(unique, errno.ENOSYS))
        self._collect()

    def service(self, now: float) -> None:
        """The modem changed something, or :meth:`next_timer` has come."""
        self.terminal.service(now)
        self._collect()
        for handle in self.terminal.wakeups():
            self._replies.append(messages.poll_wakeup(self._wake_keys[handle]))

    def next_timer(self) -> float | None:
        """When :meth:`service` is due at the latest."""
        return self.terminal.next_timer()

    def replies(self) -> list[bytes]:
        """Messages to write to the descriptor, each in one write, in order."""
        replies, self._replies = self._replies, []
        return replies

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
            self._replies.append(messages.error_reply(request.unique, errno.ENOTTY))
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
        if self._begin(request.unique, request):
            data = request.data[: call.in_size]
            # A value is an int, whatever a 64-bit register held above it.
            argument = request.argument & 0xFFFFFFFF
            self.terminal.ioctl(request.unique, request.handle, call, argument, data, now=now)

    def _collect(self) -> None:
        for unique, outcome in self.terminal.outcomes():
            self._replies.append(_reply(self._calls.pop(unique), outcome))


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
