"""What each ioctl of a serial port does. The numbers and sizes are in ``ioctls.py``."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from signal import SIGWINCH
from struct import Struct
from typing import TYPE_CHECKING

from cusemodem.cuse.modem_lines import HOST_LINES, MODEM_LINES
from cusemodem.cuse.termios import CLOCAL, TERMIOS, Termios
from cusemodem.cuse.waits import HUNG_UP, BreakWait, DrainWait, LineWait, Outcome, Wait

if TYPE_CHECKING:
    from cusemodem.cuse.ioctls import IoctlCall
    from cusemodem.cuse.terminal import OpenFile, Terminal

_INT = Struct("<i")
_WORD = Struct("<I")
# struct serial_struct of 64-bit callers: type, line, port, irq, flags, xmit_fifo_size, custom_divisor,
# baud_base, close_delay, io_type, hub6, closing_wait, closing_wait2, iomem_base, iomem_reg_shift, port_high,
# iomap_base
_SERIAL = Struct("<iiIiiiiiHBxiHH4xQH2xIQ")
_PORT_16550A = 4
_FIFO_SIZE = 16
_BAUD_BASE = 115200
# Flags that mean "38400 is really another speed"; a modem without a speed of its own has none.
_ASYNC_SPD_MASK = 0x1030
# Flags that anybody may change: those, and low latency.
_ASYNC_USER_MASK = 0x2000 | _ASYNC_SPD_MASK
_TRANSMITTER_EMPTY = 1

BREAK_S = 0.25
_N_TTY = 0
_TCIFLUSH, _TCOFLUSH, _TCIOFLUSH = range(3)

_DONE = Outcome()
_INVALID = Outcome(error=errno.EINVAL)
_NOT_CONTROLLING = Outcome(error=errno.ENOTTY)
_NOT_PERMITTED = Outcome(error=errno.EPERM)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call: user and thread, as the kernel gives them (0: it cannot be seen from here)."""

    uid: int
    pid: int


ROOT = Caller(0, 0)


class Control:
    """Executes ioctls on one terminal, and keeps what only they can see: window size, serial_struct, locks
    of settings.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self.window_size = bytes(8)
        # of struct serial_struct: flags, close_delay, closing_wait
        self.serial = (0, 50, 3000)
        # As struct termios: what is set here nobody can change (TIOCSLCKTRMIOS).
        self.locks = bytes(TERMIOS.size)
        self._now: dict[str, Callable[[int, bytes], Outcome]] = {
            "TIOCGLCKTRMIOS": lambda _argument, _data: Outcome(data=self.locks),
            "TCGETS": lambda _argument, _data: Outcome(data=terminal.settings.pack()),
            "TCGETS2": lambda _argument, _data: Outcome(data=terminal.settings.pack2()),
            "TCGETA": lambda _argument, _data: Outcome(data=terminal.settings.pack_termio()),
            "TCSETS": self._set,
            "TCSETS2": self._set,
            "TCSETA": self._set,
            "TIOCCBRK": lambda _argument, _data: _DONE,
            "TCXONC": self._flow,
            "TCFLSH": self._flush,
            "FIONREAD": lambda _argument, _data: _int(self._readable()),
            "TIOCOUTQ": lambda _argument, _data: _int(len(terminal.port.to_modem)),
            "TIOCEXCL": lambda _argument, _data: self._exclude(True),
            "TIOCNXCL": lambda _argument, _data: self._exclude(False),
            "TIOCGEXCL": lambda _argument, _data: _int(int(terminal.exclusive)),
            "TIOCMGET": lambda _argument, _data: _int(terminal.port.lines.state & (HOST_LINES | MODEM_LINES)),
            "TIOCMBIS": lambda _argument, data: self._drive(_word(data), 0),
            "TIOCMBIC": lambda _argument, data: self._drive(0, _word(data)),
            "TIOCMSET": lambda _argument, data: self._drive(_word(data), HOST_LINES),
            "TIOCGICOUNT": lambda _argument, _data: self._counts(),
            "TIOCGSOFTCAR": lambda _argument, _data: _int(int(terminal.settings.local)),
            "TIOCSSOFTCAR": self._set_soft_carrier,
            "TIOCGSERIAL": lambda _argument, _data: self._serial(),
            "TIOCSERGETLSR": lambda _argument, _data: _int(
                0 if terminal.port.to_modem else _TRANSMITTER_EMPTY
            ),
            "TIOCGWINSZ": lambda _argument, _data: Outcome(data=self.window_size),
            "TIOCSWINSZ": self._set_window_size,
            "TIOCGETD": lambda _argument, _data: _int(_N_TTY),
            "TIOCSETD": lambda _argument, data: _DONE if _word(data) == _N_TTY else _INVALID,
        }

    def execute(
        self, call: IoctlCall, token: int, file: OpenFile, argument: int, data: bytes, *, caller: Caller
    ) -> Outcome | Wait:
        """Do ``call`` for an open file, with ``data`` from the caller's memory: its outcome, or a wait."""
        if file.hung_up:
            return _NOT_CONTROLLING if call.name == "TIOCSPGRP" else HUNG_UP
        match call.name:
            case "TCSETSW" | "TCSETSW2" | "TCSETAW":
                return DrainWait(token, file, lambda _now: self._set(argument, data))
            case "TCSETSF" | "TCSETSF2" | "TCSETAF":
                # As the kernel does it: input is dropped now, so what comes during the wait is kept.
                self._terminal.flush_input()
                return DrainWait(token, file, lambda _now: self._set(argument, data))
            case "TCSBRK" if argument:
                return DrainWait(token, file, lambda _now: _DONE)
            case "TCSBRK" | "TCSBRKP":
                duration_s = argument / 10 if argument else BREAK_S
                return DrainWait(token, file, lambda now: BreakWait(token, file, now + duration_s))
            case "TIOCSBRK":
                return DrainWait(token, file, lambda _now: _DONE)
            case "TIOCMIWAIT":
                return LineWait(token, file, argument, self._terminal)
            case "TIOCSSERIAL":
                return self._set_serial(data, caller)
            case "TIOCSLCKTRMIOS":
                if caller.uid:
                    return _NOT_PERMITTED
                self.locks = data
                return _DONE
            case "TIOCVHANGUP":
                if caller.uid:
                    return _NOT_PERMITTED
                self._terminal.hang_up_files()
                return _DONE
            case "TIOCSTI":
                if caller.uid and not self._terminal.session.is_of(caller.pid):
                    return _NOT_PERMITTED
                self._terminal.type_input(data)
                return _DONE
            case "TIOCSCTTY" | "TIOCNOTTY" | "TIOCGPGRP" | "TIOCSPGRP" | "TIOCGSID":
                return self._of_session(call.name, argument, data, caller)
            case _:
                return self._now[call.name](argument, data)

    def _of_session(self, name: str, argument: int, data: bytes, caller: Caller) -> Outcome:
        session = self._terminal.session
        match name:
            case "TIOCSCTTY":
                return Outcome(error=session.take(caller.pid, steals=argument == 1 and not caller.uid))
            case "TIOCNOTTY":
                return Outcome(error=session.give_up(caller.pid))
            case "TIOCSPGRP":
                return Outcome(error=session.set_foreground(caller.pid, int(_INT.unpack(data)[0])))
            case _:
                if not session.is_of(caller.pid):
                    return _NOT_CONTROLLING
                return _int(session.foreground if name == "TIOCGPGRP" else session.leader)

    def _set(self, _argument: int, data: bytes) -> Outcome:
        terminal = self._terminal
        settings: Termios = terminal.settings.changed(data)
        if any(self.locks):
            settings = settings.with_locked(self.locks, terminal.settings)
        terminal.change_settings(settings)
        return _DONE

    def _set_soft_carrier(self, _argument: int, data: bytes) -> Outcome:
        settings = self._terminal.settings
        cflag = settings.cflag | CLOCAL if _word(data) else settings.cflag & ~CLOCAL
        self._terminal.change_settings(settings.with_cflag(cflag))
        return _DONE

    def _flow(self, argument: int, _data: bytes) -> Outcome:
        terminal = self._terminal
        match argument:
            case 0:  # TCOOFF
                terminal.port.output_stopped = True
            case 1 if terminal.port.output_stopped:
                terminal.port.output_stopped = terminal.port.output_paused = False
            case 1:  # TCOON
                # What a STOP from the far end stopped, only its START starts.
                pass
            case 2 | 3:  # TCIOFF, TCION
                # A serial port would send XOFF or XON. We own the modem too: it simply is not read.
                terminal.input_stopped = argument == 2
            case _:
                return _INVALID
        return _DONE

    def _flush(self, argument: int, _data: bytes) -> Outcome:
        if argument not in (_TCIFLUSH, _TCOFLUSH, _TCIOFLUSH):
            return _INVALID
        if argument in (_TCIFLUSH, _TCIOFLUSH):
            self._terminal.flush_input()
        if argument in (_TCOFLUSH, _TCIOFLUSH):
            self._terminal.port.flush_output()
        return _DONE

    def _readable(self) -> int:
        return self._terminal.input.readable

    def _exclude(self, exclusive: bool) -> Outcome:
        self._terminal.exclusive = exclusive
        return _DONE

    def _drive(self, lines: int, clear: int) -> Outcome:
        self._terminal.port.drive_host_lines(lines, clear)
        return _DONE

    def _counts(self) -> Outcome:
        count = self._terminal.port.counts
        return Outcome(
            data=self._terminal.port.lines.pack_counts(count["bytes_to_host"], count["bytes_to_modem"])
        )

    def _serial(self) -> Outcome:
        flags, close_delay, closing_wait = self.serial
        fields = (_PORT_16550A, 0, 0, 0, flags, _FIFO_SIZE, 0, _BAUD_BASE, close_delay)
        return Outcome(data=_SERIAL.pack(*fields, 0, 0, closing_wait, 0, 0, 0, 0, 0))

    def _set_serial(self, data: bytes, caller: Caller) -> Outcome:
        fields = _SERIAL.unpack(data)
        flags, baud_base, close_delay, closing_wait = fields[4], fields[7], fields[8], fields[11]
        if caller.uid:
            fixed = (baud_base, close_delay, closing_wait) == (_BAUD_BASE, *self.serial[1:])
            if not fixed or (flags ^ self.serial[0]) & ~_ASYNC_USER_MASK:
                return _NOT_PERMITTED
        self.serial = (flags & ~_ASYNC_SPD_MASK, close_delay, closing_wait)
        return _DONE

    def _set_window_size(self, _argument: int, data: bytes) -> Outcome:
        if data != self.window_size:
            self.window_size = data
            self._terminal.session.signal(SIGWINCH)
        return _DONE


def _int(value: int) -> Outcome:
    return Outcome(data=_INT.pack(value))


def _word(data: bytes) -> int:
    return int(_WORD.unpack(data)[0])
