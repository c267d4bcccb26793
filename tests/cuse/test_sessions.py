"""The controlling terminal, as far as it goes: who has it, and which signals follow."""

import errno
import os
import signal
import struct
from dataclasses import replace

import pytest

from cusemodem.cuse import termios
from cusemodem.cuse.control import Caller
from cusemodem.cuse.sessions import Process, SystemProcesses
from cusemodem.cuse.termios import INITIAL
from cusemodem.cuse.waits import Outcome
from tests.cuse.host import Host, with_flags

SHELL, JOB, OTHER, STRANGER = (Caller(1000, pid) for pid in (100, 101, 102, 200))
DENIED, NO_TERMINAL = Outcome(error=errno.EPERM), Outcome(error=errno.ENOTTY)


class Town:
    """Process 100 leads a session with group 101 in it; 200 leads another."""

    def __init__(self) -> None:
        self.processes = {
            100: Process(session=100, group=100, has_terminal=False, started=1),
            101: Process(session=100, group=101, has_terminal=False, started=2),
            102: Process(session=100, group=101, has_terminal=False, started=3),
            200: Process(session=200, group=200, has_terminal=False, started=4),
        }
        self.signals: list[tuple[int, str]] = []

    def find(self, pid: int) -> Process | None:
        return self.processes.get(pid)

    def signal(self, group: int, number: int) -> None:
        self.signals.append((group, signal.Signals(number).name))


@pytest.fixture
def town() -> Town:
    return Town()


@pytest.fixture
def host(town: Town) -> Host:
    host = Host(INITIAL, town)
    host.open()
    return host


def test_it_is_nobodys_at_first(host: Host) -> None:
    for name in ("TIOCNOTTY", "TIOCGPGRP", "TIOCGSID"):
        assert host.ioctl(1, name, caller=SHELL) == NO_TERMINAL
    assert host.ioctl(1, "TIOCSPGRP", data=bytes(4), caller=SHELL) == NO_TERMINAL


def test_a_session_leader_takes_it(host: Host) -> None:
    assert host.ioctl(1, "TIOCSCTTY", caller=JOB) == DENIED
    assert host.ioctl(1, "TIOCSCTTY", caller=SHELL) == Outcome()
    assert host.ioctl(1, "TIOCSCTTY", caller=SHELL) == Outcome(), "asking again does no harm"
    for caller in (SHELL, JOB):
        assert host.ioctl(1, "TIOCGSID", caller=caller) == Outcome(data=struct.pack("<i", 100))
        assert host.ioctl(1, "TIOCGPGRP", caller=caller) == Outcome(data=struct.pack("<i", 100))
    assert host.ioctl(1, "TIOCGPGRP", caller=STRANGER) == NO_TERMINAL
    assert host.ioctl(1, "TIOCSCTTY", caller=STRANGER) == DENIED
    assert host.ioctl(1, "TIOCSCTTY", 1, caller=Caller(0, 200)) == Outcome(), "root may steal it"


def test_who_has_another_terminal_gets_none(host: Host, town: Town) -> None:
    town.processes[100] = replace(town.processes[100], has_terminal=True)
    assert host.ioctl(1, "TIOCSCTTY", caller=SHELL) == DENIED
    assert host.ioctl(1, "TIOCSCTTY", caller=Caller(0, 0)) == DENIED, "a process that cannot be seen"


def test_jobs_come_to_the_foreground(host: Host) -> None:
    host.ioctl(1, "TIOCSCTTY", caller=SHELL)

    def bring(group: int, caller: Caller) -> Outcome | None:
        return host.ioctl(1, "TIOCSPGRP", data=struct.pack("<i", group), caller=caller)

    assert bring(101, SHELL) == Outcome()
    assert host.ioctl(1, "TIOCGPGRP", caller=JOB) == Outcome(data=struct.pack("<i", 101))
    assert bring(-1, SHELL) == Outcome(error=errno.EINVAL)
    assert bring(999, SHELL) == Outcome(error=errno.ESRCH)
    assert bring(200, SHELL) == DENIED
    assert bring(200, STRANGER) == NO_TERMINAL


def test_characters_and_window_size_signal_the_foreground(host: Host, town: Town) -> None:
    host.send(b"\x03")
    assert town.signals == [], "nobody's terminal"
    host.ioctl(1, "TIOCSCTTY", caller=SHELL)
    host.ioctl(1, "TIOCSPGRP", data=struct.pack("<i", 101), caller=SHELL)
    host.send(b"\x03\x1c\x1a")
    for _ in range(2):
        host.ioctl(1, "TIOCSWINSZ", data=struct.pack("<4H", 24, 80, 0, 0), caller=SHELL)
    assert town.signals == [(101, "SIGINT"), (101, "SIGQUIT"), (101, "SIGTSTP"), (101, "SIGWINCH")]


def test_a_lost_carrier_hangs_up_the_session(host: Host, town: Town) -> None:
    host.terminal.change_settings(with_flags(INITIAL, cflag=INITIAL.cflag & ~termios.CLOCAL))
    host.port.set_lines(dcd=True)
    host.ioctl(1, "TIOCSCTTY", caller=SHELL)
    host.ioctl(1, "TIOCSPGRP", data=struct.pack("<i", 101), caller=SHELL)
    host.port.set_lines(dcd=False)
    host.service()
    assert town.signals == [(100, "SIGHUP"), (100, "SIGCONT"), (101, "SIGHUP"), (101, "SIGCONT")]
    host.open(os.O_NONBLOCK)
    assert host.ioctl(2, "TIOCGSID", caller=SHELL) == NO_TERMINAL


def test_the_leader_gives_it_up(host: Host, town: Town) -> None:
    host.ioctl(1, "TIOCSCTTY", caller=SHELL)
    host.ioctl(1, "TIOCSPGRP", data=struct.pack("<i", 101), caller=SHELL)
    assert host.ioctl(1, "TIOCNOTTY", caller=SHELL) == Outcome()
    assert town.signals == [(101, "SIGHUP"), (101, "SIGCONT")]
    assert host.ioctl(1, "TIOCGSID", caller=JOB) == NO_TERMINAL


def test_a_later_process_of_the_same_number_is_not_signalled(host: Host, town: Town) -> None:
    host.ioctl(1, "TIOCSCTTY", caller=SHELL)
    town.processes[100] = replace(town.processes[100], started=99)
    host.send(b"\x03")
    assert town.signals == []
    assert host.ioctl(1, "TIOCGSID", caller=JOB) == NO_TERMINAL
    assert host.ioctl(1, "TIOCSCTTY", caller=STRANGER) == Outcome()


def test_the_machines_own_processes() -> None:
    me = SystemProcesses().find(os.getpid())
    assert me is not None
    assert (me.session, me.group) == (os.getsid(0), os.getpgrp())
    assert me.started > 0
    assert SystemProcesses().find(0) is None
    assert SystemProcesses().find(2**31 - 2) is None
