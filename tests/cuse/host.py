"""A host for tests: settings, and a port whose terminal is driven by plain calls under a virtual clock."""

import os
import struct
from collections.abc import Callable
from dataclasses import replace

from cusemodem.cuse import termios
from cusemodem.cuse.control import ROOT, Caller
from cusemodem.cuse.ioctls import IOCTLS
from cusemodem.cuse.port import Port
from cusemodem.cuse.sessions import Processes
from cusemodem.cuse.terminal import Terminal
from cusemodem.cuse.termios import INITIAL, Termios
from cusemodem.cuse.waits import Outcome

NUMBERS = {call.name: call.number for call in IOCTLS.values()}


def with_flags(
    settings: Termios,
    *,
    iflag: int | None = None,
    lflag: int | None = None,
    cflag: int | None = None,
    cc: bytes | None = None,
) -> Termios:
    """``settings`` with the given parts replaced."""
    return replace(
        settings,
        iflag=settings.iflag if iflag is None else iflag,
        lflag=settings.lflag if lflag is None else lflag,
        cflag=settings.cflag if cflag is None else cflag,
        cc=settings.cc if cc is None else cc,
    )


def raw(
    *, vmin: int = 1, vtime: int = 0, iflag: int = 0, oflag: int = 0, lflag: int = 0, clocal: bool = True
) -> Termios:
    """Settings of a program that wants plain bytes."""
    cc = bytearray(INITIAL.cc)
    cc[termios.VMIN], cc[termios.VTIME] = vmin, vtime
    cflag = INITIAL.cflag if clocal else INITIAL.cflag & ~termios.CLOCAL
    return replace(INITIAL, iflag=iflag, oflag=oflag, lflag=lflag, cflag=cflag, cc=bytes(cc))


class Host:
    """Calls on a terminal. A call gives its outcome, or None while it waits; :meth:`ended` tells later."""

    def __init__(self, settings: Termios | None = None, processes: Processes | None = None) -> None:
        self.port = Port()
        self.terminal = Terminal(self.port, processes)
        self.now = 1000.0
        self._token = 0
        self._outcomes: dict[int, Outcome] = {}
        if settings is not None:
            self.terminal.change_settings(settings)
            self.port.events()

    def _call(
        self, function: Callable[..., object], *arguments: object, **keywords: object
    ) -> Outcome | None:
        self._token += 1
        function(self._token, *arguments, **keywords)
        return self.ended(self._token)

    @property
    def last(self) -> int:
        """The token of the last call."""
        return self._token

    def ended(self, token: int) -> Outcome | None:
        """The outcome of a call, if there is one by now."""
        self._outcomes.update(self.terminal.outcomes())
        return self._outcomes.pop(token, None)

    def service(self) -> None:
        self.terminal.service(self.now)

    def advance(self, seconds: float) -> None:
        """Let time pass as an adapter does: never past the next timer in one step."""
        end = self.now + seconds
        while (due := self.terminal.next_timer()) is not None and due <= end:
            self.now = max(self.now, due)
            self.service()
        self.now = end

    def open(self, flags: int = 0, *, uid: int = 0) -> int:
        outcome = self._call(self.terminal.open, flags, uid, self.now)
        assert outcome is not None
        assert not outcome.error, os.strerror(outcome.error)
        return outcome.value

    def try_open(self, flags: int = 0, *, uid: int = 0) -> Outcome | None:
        return self._call(self.terminal.open, flags, uid, self.now)

    def close(self, file: int) -> None:
        self.terminal.release(file, self.now)

    def read(self, file: int, size: int = 1024, *, nonblocking: bool = False) -> Outcome | None:
        return self._call(self.terminal.read, file, size, nonblocking, self.now)

    def write(self, file: int, data: bytes, *, nonblocking: bool = False) -> Outcome | None:
        return self._call(self.terminal.write, file, data, nonblocking, self.now)

    def ioctl(
        self, file: int, name: str, argument: int = 0, data: bytes = b"", *, caller: Caller = ROOT
    ) -> Outcome | None:
        call = IOCTLS[NUMBERS[name]]
        return self._call(self.terminal.ioctl, file, call, argument, data, now=self.now, caller=caller)

    def get_int(self, file: int, name: str) -> int:
        outcome = self.ioctl(file, name)
        assert outcome is not None
        assert not outcome.error
        return int(struct.unpack("<i", outcome.data)[0])

    def set_int(self, file: int, name: str, value: int) -> Outcome | None:
        return self.ioctl(file, name, data=struct.pack("<i", value))

    def interrupt(self, token: int) -> Outcome | None:
        self.terminal.interrupt(token, self.now)
        return self.ended(token)

    def send(self, data: bytes) -> None:
        """From the modem."""
        assert self.port.put_input(data) == len(data)
        self.service()
