"""What the host may have to wait for: one class for each kind of call that can block.

A wait is made when its request comes, and asked again (:meth:`Wait.advance`) whenever something changed,
until it gives an outcome. It can have a deadline. A signal ends it early (:meth:`Wait.interrupted`).
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from cusemodem.cuse.modem_lines import MODEM_LINES

if TYPE_CHECKING:
    from cusemodem.cuse.terminal import OpenFile, Terminal


class Outcome(NamedTuple):
    """How a call ended: a positive errno, or a value (bytes written, a file) and bytes for the caller."""

    error: int = 0
    value: int = 0
    data: bytes = b""


INTERRUPTED = Outcome(error=errno.EINTR)
HUNG_UP = Outcome(error=errno.EIO)


class Wait(ABC):
    """A call of the host that has not ended; ``token`` is the adapter's name for it."""

    deadline: float | None = None

    def __init__(self, token: int, file: OpenFile) -> None:
        self.token = token
        self.file = file

    @abstractmethod
    def advance(self, terminal: Terminal, now: float) -> Outcome | None:
        """The outcome, or None to go on waiting."""

    def interrupted(self) -> Outcome:
        """The outcome when a signal ends the wait."""
        return INTERRUPTED


class ReadWait(Wait):
    """read(2): a line in canonical mode, else as VMIN and VTIME say (termios(3)).

    * VMIN > 0, VTIME = 0: until VMIN bytes are there.
    * VMIN > 0, VTIME > 0: the same, or until VTIME passed since the last byte; the first byte is waited for
      without limit, and bytes that already wait start the clock too.
    * VMIN = 0: what is there; VTIME is how long to wait for a first byte.
    """

    def __init__(self, token: int, file: OpenFile, size: int, nonblocking: bool) -> None:
        super().__init__(token, file)
        self._size = size
        self._nonblocking = nonblocking
        self._taken = b""
        self._minimum = 0
        self._gap_s = 0.0

    def _start(self, terminal: Terminal, now: float) -> None:
        settings = terminal.settings
        self._minimum = 1
        if not settings.canonical:
            if settings.minimum:
                self._minimum = min(settings.minimum, self._size)
                self._gap_s = settings.timeout_s
            else:
                self.deadline = now + settings.timeout_s

    def advance(self, terminal: Terminal, now: float) -> Outcome | None:
        """Take what is there; see the class."""
        if not self._minimum:
            self._start(terminal, now)
        if self.file.hung_up or not self._size:
            return Outcome(data=self._taken)
        if terminal.input.has():
            if terminal.settings.canonical:
                return Outcome(data=self._taken + terminal.input.read(self._size - len(self._taken)))
            self._taken += terminal.input.read(self._size - len(self._taken))
            if len(self._taken) >= self._minimum:
                return Outcome(data=self._taken)
            if self._gap_s:
                self.deadline = now + self._gap_s
        if self.deadline is not None and now >= self.deadline:
            return Outcome(data=self._taken)
        if self._nonblocking:
            return Outcome(data=self._taken) if self._taken else Outcome(error=errno.EAGAIN)
        return None

    def interrupted(self) -> Outcome:
        """What was taken so far is not lost."""
        return Outcome(data=self._taken) if self._taken else INTERRUPTED


class WriteWait(Wait):
    """write(2): until every byte is in the queue towards the modem."""

    def __init__(self, token: int, file: OpenFile, data: bytes, nonblocking: bool) -> None:
        super().__init__(token, file)
        self._data = data
        self._nonblocking = nonblocking
        self._n_taken = 0

    def advance(self, terminal: Terminal, now: float) -> Outcome | None:
        """Fill the queue."""
        if self.file.hung_up:
            return Outcome(value=self._n_taken) if self._n_taken else HUNG_UP
        size = len(self._data)
        if self._n_taken < size and (room := terminal.port.to_modem.room):
            # Output processing may make the piece longer than the room: the queue's limit is not a sharp one.
            piece = self._data[self._n_taken : self._n_taken + room]
            terminal.port.put_output(terminal.output.process(piece, terminal.settings))
            self._n_taken += len(piece)
        if self._n_taken == size:
            return Outcome(value=size)
        return self.interrupted(errno.EAGAIN) if self._nonblocking else None

    def interrupted(self, error: int = errno.EINTR) -> Outcome:
        """A count of the bytes taken so far, or the error when there are none."""
        return Outcome(value=self._n_taken) if self._n_taken else Outcome(error=error)


class DrainWait(Wait):
    """Until the modem took every byte (tcdrain); then ``then`` is done, which may be one more wait."""

    def __init__(self, token: int, file: OpenFile, then: Callable[[float], Outcome | Wait]) -> None:
        super().__init__(token, file)
        self._then = then
        self._followed_by: Wait | None = None

    def advance(self, terminal: Terminal, now: float) -> Outcome | None:
        """Look whether the queue is empty."""
        if self.file.hung_up:
            return HUNG_UP
        if self._followed_by is None:
            if terminal.port.to_modem:
                return None
            following = self._then(now)
            if isinstance(following, Outcome):
                return following
            self._followed_by = following
        outcome = self._followed_by.advance(terminal, now)
        self.deadline = self._followed_by.deadline
        return outcome


class BreakWait(Wait):
    """The duration of a break."""

    def __init__(self, token: int, file: OpenFile, until: float) -> None:
        super().__init__(token, file)
        self.deadline: float = until

    def advance(self, terminal: Terminal, now: float) -> Outcome | None:
        """Look at the time."""
        return Outcome() if now >= self.deadline or self.file.hung_up else None


class LineWait(Wait):
    """TIOCMIWAIT: until one of the lines in ``mask`` (TIOCM bits) changes."""

    def __init__(self, token: int, file: OpenFile, mask: int, terminal: Terminal) -> None:
        super().__init__(token, file)
        self._lines = [line for line in terminal.port.lines.changes if line & mask & MODEM_LINES]
        self._before = self._counts(terminal)

    def _counts(self, terminal: Terminal) -> list[int]:
        return [terminal.port.lines.changes[line] for line in self._lines]

    def advance(self, terminal: Terminal, now: float) -> Outcome | None:
        """Compare the counts of changes."""
        if self.file.hung_up:
            return HUNG_UP
        return Outcome() if self._counts(terminal) != self._before else None


class CarrierWait(Wait):
    """open(2) without O_NONBLOCK while CLOCAL is off: until DCD is on."""

    def advance(self, terminal: Terminal, now: float) -> Outcome | None:
        """Look at DCD, and at CLOCAL, which another open file may have set meanwhile."""
        if terminal.port.carrier or terminal.settings.local:
            # Whatever another open file did to DTR meanwhile.
            terminal.raise_host_lines()
            return Outcome(value=self.file.number)
        return None
