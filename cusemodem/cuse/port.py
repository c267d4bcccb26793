"""The modem's end of the serial cable: two queues, the lines, and what happened at the host's end.

A :class:`Port` is what the modem (``line.py``) holds, whichever way the host gets at it: through a CUSE
device, where ``terminal.py`` plays the part of the kernel's tty, or through a pty, where the kernel does. The
upper half of the class is for the modem, the lower half for those two.

Nothing here waits and nothing reads a clock. After the modem has changed something it tells its device
(``flush()``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from cusemodem.cuse.modem_lines import (
    TIOCM_CD,
    TIOCM_CTS,
    TIOCM_DSR,
    TIOCM_DTR,
    TIOCM_RI,
    TIOCM_RTS,
    ModemLines,
)
from cusemodem.cuse.queues import ByteQueue

# Bytes towards the host that wait for a reader: half a minute of 14400 bit/s.
INPUT_LIMIT = 65536
# Bytes towards the modem: the transmit buffer of a Linux serial port. Much more would only delay a hang-up.
OUTPUT_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Opened:
    """The host opened the port, which nobody had open."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The last open file of the port was closed or hung up."""


@dataclass(frozen=True, slots=True)
class DtrRaised:
    """The host is ready."""


@dataclass(frozen=True, slots=True)
class DtrDropped:
    """The host lets go: the modem does what &D says."""


@dataclass(frozen=True, slots=True)
class OutputWaiting:
    """Bytes for the modem arrived in an empty queue."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The port was a predecessor's, whose ``notes`` it has; what follows tells how things stand."""


PortEvent = Resumed | Opened | Closed | DtrRaised | DtrDropped | OutputWaiting


@dataclass(frozen=True, slots=True)
class PortStatistics:
    """Counts since the port was made."""

    open_count: int
    n_opens: int
    bytes_to_host: int
    bytes_to_modem: int
    # Sent by the modem while nobody had the port open, and therefore gone, as on a closed serial port.
    bytes_unheard: int
    # Bytes that the host had not read when it flushed, hung up or closed.
    bytes_flushed: int
    n_hang_ups: int
    n_interrupts: int
    n_bad_requests: int
    # ioctl number -> how often it was refused with ENOTTY
    unknown_ioctls: dict[int, int]


class Port:
    """One serial port, seen from the modem."""

    def __init__(self, *, input_limit: int = INPUT_LIMIT, output_limit: int = OUTPUT_LIMIT) -> None:
        self.to_host = ByteQueue(input_limit)
        self.to_modem = ByteQueue(output_limit)
        self.lines = ModemLines()
        self.counts: Counter[str] = Counter()
        self.unknown_ioctls: Counter[int] = Counter()
        # The host suspended its output (tcflow), or the far end did (STOP, with IXON and ICANON).
        self.output_stopped = False
        self.output_paused = False
        self.notes = ""
        """What the modem wants its successor to know (its settings): kept with a port that outlives it."""
        self._open_count = 0
        self._carrier_lost = False
        self._events: list[PortEvent] = []
        self._changed = False

    # The modem's side

    @property
    def open_count(self) -> int:
        """Open files of the port; dup and fork share one."""
        return self._open_count

    @property
    def dtr(self) -> bool:
        """Data terminal ready: somebody at the host wants the modem."""
        return self.lines.is_on(TIOCM_DTR)

    @property
    def rts(self) -> bool:
        """Request to send; with hardware flow control, whether the host takes data."""
        return self.lines.is_on(TIOCM_RTS)

    @property
    def output_waiting(self) -> int:
        """Bytes that :meth:`take_output` would give."""
        return 0 if self.output_stopped or self.output_paused else len(self.to_modem)

    def take_output(self, max_bytes: int) -> bytes:
        """Bytes from the host, at most ``max_bytes``; none while its output is suspended."""
        if self.output_stopped or self.output_paused:
            return b""
        data = self.to_modem.take(max_bytes)
        if data:
            self.counts["bytes_to_modem"] += len(data)
            self._changed = True
        return data

    def put_input(self, data: bytes) -> int:
        """Bytes for the host; returns how many were taken, the rest is the caller's to offer again.

        While nobody has the port open all are taken, and gone.
        """
        if not self._open_count:
            self.counts["bytes_unheard"] += len(data)
            return len(data)
        taken = self.to_host.put(data)
        if taken:
            self.counts["bytes_to_host"] += taken
            self._changed = True
        return taken

    def set_lines(
        self,
        *,
        dcd: bool | None = None,
        ri: bool | None = None,
        cts: bool | None = None,
        dsr: bool | None = None,
    ) -> None:
        """Drive the lines that are given. DCD going off is a lost carrier: see :meth:`hang_up`."""
        for line, on in ((TIOCM_RI, ri), (TIOCM_CTS, cts), (TIOCM_DSR, dsr)):
            if on is not None and self.lines.set_modem_line(line, on):
                self._changed = True
        if dcd is not None and self.lines.set_modem_line(TIOCM_CD, dcd):
            self._changed = True
            self._carrier_lost |= not dcd

    def hang_up(self) -> None:
        """The carrier is lost, whether or not DCD showed it: unless CLOCAL, the open files are dead from now
        on.

        Readers get 0, writers EIO, poll HUP; files opened later work.
        """
        self.lines.set_modem_line(TIOCM_CD, False)
        self._carrier_lost = self._changed = True

    def events(self) -> list[PortEvent]:
        """What the host did since the last call, oldest first."""
        events, self._events = self._events, []
        return events

    @property
    def has_events(self) -> bool:
        """Whether :meth:`events` has something to tell."""
        return bool(self._events)

    def statistics(self) -> PortStatistics:
        """A snapshot of the counts."""
        count = self.counts
        return PortStatistics(
            open_count=self._open_count,
            n_opens=count["opens"],
            bytes_to_host=count["bytes_to_host"],
            bytes_to_modem=count["bytes_to_modem"],
            bytes_unheard=count["bytes_unheard"],
            bytes_flushed=count["bytes_flushed"],
            n_hang_ups=count["hang_ups"],
            n_interrupts=count["interrupts"],
            n_bad_requests=count["bad_requests"],
            unknown_ioctls=dict(self.unknown_ioctls),
        )

    # The host's side, for terminal.py and pty.py

    @property
    def carrier(self) -> bool:
        """DCD."""
        return self.lines.is_on(TIOCM_CD)

    def take_changed(self) -> bool:
        """Whether the modem changed anything since the last call; if not, there is nothing to tell."""
        changed, self._changed = self._changed, False
        return changed

    def take_carrier_loss(self) -> bool:
        """Whether the carrier was lost since the last call."""
        lost, self._carrier_lost = self._carrier_lost, False
        return lost

    def resume(self, lines: int, line_changes: dict[int, int], n_to_host: int, n_to_modem: int) -> None:
        """Lines and counts as a predecessor left them; the modem is told of DTR if it is on."""
        self._events.insert(0, Resumed())
        self.lines.state = lines
        self.lines.changes.update(line_changes)
        self.counts["bytes_to_host"], self.counts["bytes_to_modem"] = n_to_host, n_to_modem
        if self.dtr:
            self._events.append(DtrRaised())

    def file_opened(self) -> None:
        """One more open file."""
        self.counts["opens"] += 1
        self._open_count += 1
        if self._open_count == 1:
            self._events.append(Opened())

    def files_closed(self, n_files: int = 1) -> None:
        """So many open files less."""
        if n_files <= 0:
            return
        self._open_count -= n_files
        assert self._open_count >= 0
        if self._open_count == 0:
            self._events.append(Closed())

    def drive_host_lines(self, lines: int, clear: int) -> None:
        """The host clears the lines ``clear``, then sets the lines ``lines`` (TIOCM bits)."""
        if self.lines.set_host_lines(lines, clear) & TIOCM_DTR:
            self._events.append(DtrRaised() if self.dtr else DtrDropped())

    def put_output(self, data: bytes) -> int:
        """Bytes for the modem, all of them even beyond the limit: callers look at ``to_modem.room`` first."""
        if data:
            if not self.to_modem:
                self._events.append(OutputWaiting())
            self.to_modem.put_whole(data)
        return len(data)

    def flush_input(self) -> None:
        """Drop what the host has not taken yet."""
        self.counts["bytes_flushed"] += self.to_host.clear()

    def flush_output(self) -> None:
        """Drop what the modem has not taken yet."""
        self.to_modem.clear()
