"""The session whose controlling terminal the port would be, as far as a CUSE device can be one.

The kernel keeps no record of it: ``/dev/tty`` does not open, and background jobs are not stopped. What can be
done is done here: TIOCSCTTY and its relations answer as a tty's, and the signals a tty would send are sent,
which the system allows to root, to CAP_KILL and to the same user only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Process:
    """What the port needs to know of a process."""

    session: int
    group: int
    # Whether it has a controlling terminal that the kernel knows of.
    has_terminal: bool
    # Tells it from a later one of the same number.
    started: int


class Processes(Protocol):
    """The system's processes."""

    def find(self, pid: int) -> Process | None:
        """A process or thread; None when there is none of that number, or it cannot be seen."""

    def signal(self, group: int, number: int) -> None:
        """Signal a process group, if it is there and we may."""


class SystemProcesses:
    """Those of this machine, by /proc."""

    def find(self, pid: int) -> Process | None:
        """See :class:`Processes`."""
        if pid <= 0:
            return None
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (OSError, UnicodeDecodeError):
            return None
        # proc(5) from field 3 on: state, ppid, pgrp, session, tty_nr, …, 22: starttime
        return Process(
            session=int(fields[3]),
            group=int(fields[2]),
            has_terminal=fields[4] != "0",
            started=int(fields[19]),
        )

    def signal(self, group: int, number: int) -> None:
        """See :class:`Processes`."""
        with contextlib.suppress(OSError):
            os.killpg(group, number)


class Session:
    """Who controls the terminal, if anybody."""

    def __init__(self, processes: Processes | None = None) -> None:
        self._processes: Processes = processes or SystemProcesses()
        self._leader = 0
        self._started = 0
        self._foreground = 0

    @property
    def state(self) -> tuple[int, int, int]:
        """For a successor's :meth:`resume`."""
        return self._leader, self._started, self._foreground

    def resume(self, state: tuple[int, int, int]) -> None:
        """Go on where a predecessor left; a leader that is gone meanwhile counts for nothing."""
        self._leader, self._started, self._foreground = state

    def take(self, pid: int, *, steals: bool) -> int:
        """TIOCSCTTY by process ``pid``; ``steals``: root with an argument of 1. Returns 0 or EPERM."""
        caller = self._processes.find(pid)
        if caller is None:
            return errno.EPERM
        is_leader = caller.session == pid
        if is_leader and caller.session == self._current():
            return 0
        if not is_leader or caller.has_terminal or (self._current() and not steals):
            return errno.EPERM
        self._leader, self._started, self._foreground = pid, caller.started, caller.group
        return 0

    def give_up(self, pid: int) -> int:
        """TIOCNOTTY: the leader's leaving ends the session's hold. Returns 0 or ENOTTY."""
        if not self.is_of(pid):
            return errno.ENOTTY
        if pid == self._leader:
            self.signal(signal.SIGHUP)
            self.signal(signal.SIGCONT)
            self._leader = 0
        return 0

    def is_of(self, pid: int) -> bool:
        """Whether the port is the controlling terminal of process ``pid``."""
        leader = self._current()
        if not leader:
            return False
        caller = self._processes.find(pid)
        return caller is not None and caller.session == leader

    @property
    def leader(self) -> int:
        """The session's number (TIOCGSID)."""
        return self._leader

    @property
    def foreground(self) -> int:
        """The process group that gets the terminal's signals (TIOCGPGRP)."""
        return self._foreground

    def set_foreground(self, pid: int, group: int) -> int:
        """TIOCSPGRP by process ``pid``. Returns 0, ENOTTY, EINVAL, ESRCH or EPERM."""
        if not self.is_of(pid):
            return errno.ENOTTY
        if group < 0:
            return errno.EINVAL
        member = self._processes.find(group)
        if member is None:
            return errno.ESRCH
        if member.session != self._leader:
            return errno.EPERM
        self._foreground = group
        return 0

    def signal(self, number: signal.Signals) -> None:
        """Signal the foreground process group, as the terminal does for ^C."""
        if self._current() and self._foreground:
            self._processes.signal(self._foreground, number)

    def hang_up(self) -> None:
        """The terminal is gone: SIGHUP and SIGCONT to the foreground group and to the leader's own."""
        leader = self._current()
        if not leader:
            return
        own = self._processes.find(leader)
        groups = {self._foreground, own.group if own else 0} - {0}
        for group in sorted(groups):
            self._processes.signal(group, signal.SIGHUP)
            self._processes.signal(group, signal.SIGCONT)
        self._leader = 0

    def _current(self) -> int:
        """The leader while it lives, else 0."""
        if self._leader:
            leader = self._processes.find(self._leader)
            if leader is None or leader.started != self._started:
                self._leader = 0
        return self._leader
