"""The host's end of the port: the part of the kernel's tty layer, for a CUSE device whose kernel side has
none.

Open files, terminal settings, blocked calls, poll, hang-up. Every call carries a ``token`` of the adapter's
choice and ends in one ``(token, Outcome)`` of :meth:`Terminal.outcomes`, at once or later. ``now`` is any
steady clock in seconds.

States of the port as the host sees it:

* *closed*: no open file. Input from the modem is not heard.
* *open*: each open raises DTR and RTS (unless the speed is B0), one that waits for a carrier too.
* *closing*: the last file but for opens that wait was closed with HUPCL, but the modem has not yet taken
  what was written: DTR drops when it has, or after ``CLOSING_WAIT_S``.
* *hung up* is a state of an open file, not of the port: its calls fail, while files opened later work.

Settings live as long as the port, not as an open file.
"""

from __future__ import annotations

import errno
import os
import select
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from cusemodem.cuse.control import ROOT, Caller, Control
from cusemodem.cuse.discipline import Flow, InputBuffer, Signal
from cusemodem.cuse.ioctls import IoctlCall
from cusemodem.cuse.modem_lines import TIOCM_DTR, TIOCM_RTS
from cusemodem.cuse.output import OutputProcessor
from cusemodem.cuse.port import Port
from cusemodem.cuse.sessions import Processes, Session
from cusemodem.cuse.state import FileState, PortState
from cusemodem.cuse.termios import CREAD, CRTSCTS, INITIAL, IXON, Termios
from cusemodem.cuse.waits import CarrierWait, Outcome, ReadWait, Wait, WriteWait

# How long the last close leaves the modem to take what was written before DTR drops: two ticks. A modem in
# command mode takes it at once; one in the middle of a page must hang up now.
CLOSING_WAIT_S = 0.04

_POLL_INPUT = select.POLLIN | select.POLLRDNORM
_POLL_OUTPUT = select.POLLOUT | select.POLLWRNORM
_POLL_HUNG_UP = _POLL_INPUT | _POLL_OUTPUT | select.POLLERR | select.POLLHUP


@dataclass(eq=False, slots=True)
class OpenFile:
    """One open(2) of the node; dup and fork share it."""

    number: int
    # The token of the open(2), and the adapter's name for the file in poll wake-ups.
    opened_by: int = 0
    wake_key: int = 0
    hung_up: bool = False
    # What a sleeper in poll asked for since it was last woken; 0 when nobody sleeps.
    poll_wanted: int = 0
    # What poll was told, less what has ceased to hold since.
    poll_told: int = 0
    # Bytes received by the port when poll was told, so that edge-triggered epoll wakes for each arrival.
    poll_received: int = 0


class Terminal:
    """The tty over one :class:`Port`."""

    def __init__(self, port: Port, processes: Processes | None = None) -> None:
        """``processes`` are those that TIOCSCTTY is about; by default, this machine's."""
        self.port = port
        self.settings: Termios = INITIAL
        self.output = OutputProcessor()
        self.input = InputBuffer(self.settings, self.output)
        self.session = Session(processes)
        self.input_stopped = False
        self.exclusive = False
        self._control = Control(self)
        self._files: dict[int, OpenFile] = {}
        self._next_file = 1
        self._readers: deque[ReadWait] = deque()
        self._writers: deque[WriteWait] = deque()
        self._others: list[Wait] = []
        self._n_received = 0
        self._closing_until: float | None = None
        # Counts the changes of open files, for the state that outlives the process.
        self._files_version = 0
        self._outcomes: list[tuple[int, Outcome]] = []
        self._wakeups: list[int] = []

    # Calls of the host

    def open(self, token: int, flags: int, uid: int, now: float) -> int:
        """open(2) with ``flags`` by user ``uid``; the outcome's value is the number of the open file, also
        returned.

        Errors: EBUSY while another has it for itself (TIOCEXCL).
        """
        if self.exclusive and uid != 0:
            self._finish(token, Outcome(error=errno.EBUSY))
            return 0
        if self._closing_until is not None:
            self._finish_closing()
        file = OpenFile(self._next_file, opened_by=token)
        self._next_file += 1
        self._files[file.number] = file
        self._files_version += 1
        self.port.file_opened()
        self.raise_host_lines()
        if flags & os.O_NONBLOCK or self.settings.local or self.port.carrier:
            self._finish(token, Outcome(value=file.number))
        else:
            self._others.append(CarrierWait(token, file))
        return file.number

    def release(self, number: int, now: float) -> None:
        """The last copy of an open file is closed. The adapter has answered already; nothing can go wrong."""
        file = self._files.pop(number, None)
        self._files_version += 1
        if file is None or file.hung_up:
            return
        self.port.files_closed()
        if self.port.open_count == len(self._waiting_opens()):
            self._last_close(now)

    def read(self, token: int, number: int, size: int, nonblocking: bool, now: float) -> None:
        """read(2); the outcome's data are the bytes. Errors: EAGAIN, EINTR, EBADF."""
        file = self._file(token, number)
        if file is None:
            return
        if self._readers and nonblocking:
            self._finish(token, Outcome(error=errno.EAGAIN))
            return
        self._receive()
        self._readers.append(ReadWait(token, file, size, nonblocking))
        self._advance_in_turn(self._readers, now)

    def write(self, token: int, number: int, data: bytes, nonblocking: bool, now: float) -> None:
        """write(2); the outcome's value is the count of bytes taken. Errors: EAGAIN, EINTR, EIO, EBADF."""
        file = self._file(token, number)
        if file is None:
            return
        if self._writers and nonblocking:
            self._finish(token, Outcome(error=errno.EAGAIN))
            return
        self._writers.append(WriteWait(token, file, data, nonblocking))
        self._advance_in_turn(self._writers, now)

    def ioctl(
        self,
        token: int,
        number: int,
        call: IoctlCall,
        argument: int,
        data: bytes,
        *,
        now: float,
        caller: Caller = ROOT,
    ) -> None:
        """ioctl(2) of a call in the table, with the caller's memory (``data``) in hand.

        Errors: EIO when hung up, EINTR, and what the call itself gives.
        """
        file = self._file(token, number)
        if file is None:
            return
        self._receive()
        result = self._control.execute(call, token, file, argument, data, caller=caller)
        if isinstance(result, Outcome):
            self._finish(token, result)
        else:
            self._others.append(result)
            self._advance_others(now)

    def poll(self, number: int, wanted: int, wake: bool, wake_key: int = 0) -> int:
        """The events that hold for an open file; with ``wake``, its ``wake_key`` is in a later
        :meth:`wakeups`, once, when one of the events ``wanted`` comes.
        """
        file = self._files.get(number)
        if file is None:
            return select.POLLNVAL
        if file.wake_key != wake_key:
            file.wake_key = wake_key
            self._files_version += 1
        self._receive()
        events = self._poll_events(file)
        file.poll_told = events
        file.poll_received = self._n_received
        if wake:
            file.poll_wanted |= wanted | select.POLLERR | select.POLLHUP
        return events

    def is_hung_up(self, number: int) -> bool:
        """Whether an open file is dead: every ioctl but TIOCSPGRP gives EIO, unknown ones too."""
        file = self._files.get(number)
        return file is not None and file.hung_up

    def interrupt(self, token: int, now: float) -> bool:
        """A signal is pending for the caller: end its call. Returns whether it was still waiting."""
        for queue in (self._readers, self._writers, self._others):
            for wait in queue:
                if wait.token == token:
                    queue.remove(wait)  # type: ignore[arg-type]
                    self.port.counts["interrupts"] += 1
                    outcome = wait.interrupted()
                    if isinstance(wait, CarrierWait):
                        self.release(wait.file.number, now)
                    self._finish(token, outcome)
                    # The next in turn may have what it wants.
                    self._advance(now)
                    return True
        return False

    # The adapter's turn

    def service(self, now: float) -> None:
        """Look at what changed at the port, in the queues, on the clock; then see outcomes and wakeups."""
        if self.port.take_carrier_loss() and not self.settings.local:
            self.hang_up_files()
        self._receive()
        self._advance(now)
        if self._closing_until is not None and (not self.port.to_modem or now >= self._closing_until):
            self.port.flush_output()
            self._finish_closing()
        for file in self._files.values():
            if file.poll_wanted:
                self._wake_if_due(file)

    def next_timer(self) -> float | None:
        """When :meth:`service` has to be called at the latest, if nothing happens before."""
        if not (self._others or self._readers or self._closing_until):
            return None
        deadlines = [wait.deadline for wait in self._others]
        if self._readers:
            deadlines.append(self._readers[0].deadline)
        deadlines.append(self._closing_until)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def outcomes(self) -> list[tuple[int, Outcome]]:
        """Calls that ended since the last call of this: (token, outcome)."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def wakeups(self) -> list[int]:
        """Keys of the open files whose sleepers in poll shall ask again."""
        wakeups, self._wakeups = self._wakeups, []
        return wakeups

    # A life after this process

    def remarkable(self) -> tuple[object, ...]:
        """Something that differs whenever :meth:`state` does, but for counts of bytes; cheap to compare."""
        return (
            self.settings,
            self.port.lines.state,
            self._files_version,
            self.exclusive,
            self.input_stopped,
            self.port.output_stopped,
            self._control.window_size,
            self._control.serial,
            self._control.locks,
            self.session.state,
            self.port.notes,
        )

    def state(self, name: str) -> PortState:
        """What a successor has to know."""
        port = self.port
        return PortState(
            name=name,
            settings=self.settings.pack2(),
            lines=port.lines.state,
            line_changes=dict(port.lines.changes),
            bytes_to_host=port.counts["bytes_to_host"],
            bytes_to_modem=port.counts["bytes_to_modem"],
            next_file=self._next_file,
            files=tuple(
                FileState(file.number, file.hung_up, file.opened_by, file.wake_key)
                for file in self._files.values()
            ),
            exclusive=self.exclusive,
            input_stopped=self.input_stopped,
            output_stopped=port.output_stopped,
            window_size=self._control.window_size,
            serial=self._control.serial,
            locks=self._control.locks,
            session=self.session.state,
            notes=port.notes,
        )

    def resume(
        self, state: PortState, waits_for_carrier: Collection[int] = (), forget: Collection[int] = ()
    ) -> None:
        """Go on where a predecessor left: open files but those to ``forget``, settings, lines, and of the
        opens (by token) those that wait for a carrier. The modem learns of it by events, as of a first open.

        The carrier of a predecessor is still there: end it with :meth:`power_cycled` when all its waiting
        calls are in again.
        """
        port = self.port
        self.settings = INITIAL.changed(state.settings)
        self.input.change_settings(self.settings)
        control = self._control
        control.window_size, control.serial, control.locks = state.window_size, state.serial, state.locks
        self.session.resume(state.session)
        self._next_file = state.next_file
        for saved in state.files:
            if saved.number in forget:
                continue
            file = OpenFile(saved.number, saved.opened_by, saved.wake_key, saved.hung_up)
            self._files[file.number] = file
            if not file.hung_up:
                port.file_opened()
            if file.opened_by in waits_for_carrier:
                self._others.append(CarrierWait(file.opened_by, file))
        port.resume(state.lines, state.line_changes, state.bytes_to_host, state.bytes_to_modem)
        port.notes = state.notes
        if port.open_count:
            self.exclusive, self.input_stopped = state.exclusive, state.input_stopped
            port.output_stopped = state.output_stopped
        elif self.settings.hangs_up_on_close:
            # The last close may have been waiting for the modem to take its bytes.
            self._finish_closing()

    def power_cycled(self, now: float) -> int:
        """The modem is a new one, idle: a carrier of the old one is lost. Returns the lines (TIOCM bits) that
        changed, as TIOCMIWAIT sees it.
        """
        before = dict(self.port.lines.changes)
        self.port.set_lines(dcd=False, ri=False, cts=True, dsr=True)
        self.service(now)
        return sum(line for line, count in self.port.lines.changes.items() if count != before[line])

    def all_wake_keys(self) -> list[int]:
        """Of every open file that was ever polled."""
        return [file.wake_key for file in self._files.values() if file.wake_key]

    # For control.py

    def change_settings(self, settings: Termios) -> None:
        """New settings, at once. B0 drops DTR and RTS, a speed after B0 raises them again."""
        had_speed, self.settings = bool(self.settings.ospeed), settings
        self.input.change_settings(settings)
        if not settings.iflag & IXON:
            self.port.output_paused = False
        if had_speed and not settings.ospeed:
            self._drop_host_lines()
        elif settings.ospeed and not had_speed:
            self.raise_host_lines()

    def raise_host_lines(self) -> None:
        """DTR and RTS on, as an open does, unless the speed is B0."""
        if self.settings.ospeed:
            self.port.drive_host_lines(TIOCM_DTR | TIOCM_RTS, 0)

    def flush_input(self) -> None:
        """Drop what the host has not read."""
        self.port.flush_input()
        self.port.counts["bytes_flushed"] += self.input.clear()

    def type_input(self, data: bytes) -> None:
        """Bytes for the line discipline, from the modem or as if (TIOCSTI)."""
        self._n_received += len(data)
        for effect in self.input.receive(data):
            match effect:
                case Signal(number, flushes):
                    if flushes:
                        self.port.flush_output()
                    if self.settings.iflag & IXON:
                        self.port.output_paused = False
                    self.session.signal(number)
                case Flow(stops):
                    self.port.output_paused = stops
                case echo:
                    # Without a carrier echo would reach the modem's command interpreter, which would take its
                    # own result codes and echo for commands, answer them, and never end. With one it is for
                    # the caller at the far end.
                    if self.port.carrier and self.port.to_modem.room:
                        self.port.put_output(echo)

    def hang_up_files(self) -> None:
        """From now on the open files are dead: a lost carrier, or TIOCVHANGUP. An open that waits for a
        carrier goes on waiting, as serial drivers begin it anew.
        """
        waiting = self._waiting_opens()
        live = [file for file in self._files.values() if not file.hung_up and file.number not in waiting]
        if not live:
            return
        self.port.counts["hang_ups"] += 1
        for file in live:
            file.hung_up = True
        self._files_version += 1
        self.port.files_closed(len(live))
        self.port.flush_output()
        self.session.hang_up()
        self._reset_session()
        if self.settings.hangs_up_on_close:
            self._hang_up_line()

    # Inside

    def _waiting_opens(self) -> set[int]:
        """The numbers of files whose open waits for a carrier."""
        return {wait.file.number for wait in self._others if isinstance(wait, CarrierWait)}

    def _file(self, token: int, number: int) -> OpenFile | None:
        file = self._files.get(number)
        if file is None:
            self._finish(token, Outcome(error=errno.EBADF))
        return file

    def _finish(self, token: int, outcome: Outcome) -> None:
        self._outcomes.append((token, outcome))

    def _receive(self) -> None:
        """From the port's queue through the line discipline into the buffer of the readers."""
        port = self.port
        if self.input_stopped or not port.to_host:
            return
        # With hardware flow control the modem keeps its data while RTS is off.
        if self.settings.cflag & CRTSCTS and not port.rts:
            return
        data = port.to_host.take(port.to_host.limit - len(self.input))
        if not data:
            return
        if self.settings.cflag & CREAD:
            self.type_input(data)
        else:
            port.counts["bytes_flushed"] += len(data)

    def _advance(self, now: float) -> None:
        if self._readers:
            self._advance_in_turn(self._readers, now)
        if self._writers:
            self._advance_in_turn(self._writers, now)
        if self._others:
            self._advance_others(now)

    def _advance_in_turn(self, queue: deque[ReadWait] | deque[WriteWait], now: float) -> None:
        while queue:
            wait: Wait = queue[0]
            outcome = wait.advance(self, now)
            if outcome is None:
                return
            queue.popleft()
            self._finish(wait.token, outcome)

    def _advance_others(self, now: float) -> None:
        waiting: list[Wait] = []
        waits: Sequence[Wait] = self._others
        self._others = []
        for wait in waits:
            outcome = wait.advance(self, now)
            if outcome is None:
                waiting.append(wait)
                continue
            self._finish(wait.token, outcome)
        self._others = waiting + self._others

    def _poll_events(self, file: OpenFile) -> int:
        if file.hung_up:
            return _POLL_HUNG_UP
        settings = self.settings
        # With VMIN and no VTIME, poll waits for as many bytes as read does.
        minimum = settings.minimum if settings.minimum and not settings.timeout_s else 1
        events = _POLL_INPUT if self.input.has(minimum) else 0
        to_modem = self.port.to_modem
        if not self._writers and len(to_modem) <= to_modem.limit // 2:
            events |= _POLL_OUTPUT
        return events

    def _wake_if_due(self, file: OpenFile) -> None:
        events = self._poll_events(file)
        news = events & ~file.poll_told
        if file.poll_received != self._n_received:
            news |= events & _POLL_INPUT
        file.poll_told &= events
        if news & file.poll_wanted:
            file.poll_wanted = 0
            self._wakeups.append(file.wake_key)

    def _last_close(self, now: float) -> None:
        self._reset_session()
        if self.settings.hangs_up_on_close:
            self._closing_until = now + CLOSING_WAIT_S
            if not self.port.to_modem:
                self._finish_closing()

    def _finish_closing(self) -> None:
        self._closing_until = None
        self._hang_up_line()

    def _hang_up_line(self) -> None:
        """DTR falls; an open that waits for a carrier raises it again."""
        self._drop_host_lines()
        if self.port.open_count:
            self.raise_host_lines()

    def _drop_host_lines(self) -> None:
        self.port.drive_host_lines(0, TIOCM_DTR | TIOCM_RTS)

    def _reset_session(self) -> None:
        """What ends with the last open file: unread input, exclusive use, suspended flow."""
        self.flush_input()
        self.exclusive = False
        self.input_stopped = False
        self.port.output_stopped = self.port.output_paused = False
