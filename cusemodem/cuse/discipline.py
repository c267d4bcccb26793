"""The line discipline: what the terminal settings do to bytes on their way from the modem to the host.

Plain bytes with the mappings of iflag, or in canonical mode lines, which a person edits: erase, word erase,
kill, literal next, reprint, end of file (``editing.py``). Characters of ISIG, and in canonical mode START and
STOP, are taken out and reported. The other direction is ``output.py``.

Without canonical mode XON and XOFF (0x11, 0x13) are bytes like any other, IXON or not: fax pages contain
them, and the port stops and starts its flow without them.
"""

from __future__ import annotations

import signal
from collections import deque
from dataclasses import dataclass
from functools import lru_cache

from cusemodem.cuse.editing import BUFFER_SIZE, LineEditor, echoed
from cusemodem.cuse.output import TO_SMALL, OutputProcessor
from cusemodem.cuse.termios import (
    DISABLED,
    ECHO,
    ECHONL,
    ICRNL,
    IEXTEN,
    IGNCR,
    INLCR,
    ISIG,
    ISTRIP,
    IUCLC,
    IXANY,
    IXON,
    NOFLSH,
    PARMRK,
    VEOF,
    VEOL,
    VEOL2,
    VINTR,
    VQUIT,
    VSTART,
    VSTOP,
    VSUSP,
    Termios,
)

_NEWLINE, _RETURN = b"\n\r"
_SIGNALS = ((VINTR, signal.SIGINT), (VQUIT, signal.SIGQUIT), (VSUSP, signal.SIGTSTP))


@dataclass(frozen=True, slots=True)
class Signal:
    """A character of ISIG arrived: for the processes at the terminal; unless NOFLSH, output is dropped."""

    number: signal.Signals
    flushes: bool


@dataclass(frozen=True, slots=True)
class Flow:
    """STOP (``stops``) or START arrived, or with IXANY any character after a STOP."""

    stops: bool


# What received bytes lead to, in order: bytes to echo, or one of the two above.
Effect = bytes | Signal | Flow


@lru_cache(maxsize=64)
def _input_mapping(iflag: int, extended: bool) -> tuple[bytes | None, bytes]:
    """What iflag does to each byte: a table for bytes.translate (None: nothing) and the bytes to drop."""
    drop = b"\r" if iflag & IGNCR else b""
    table = bytearray(range(256))
    if iflag & ICRNL:
        table[_RETURN] = _NEWLINE
    if iflag & INLCR:
        table[_NEWLINE] = _RETURN
    if iflag & IUCLC and extended:
        table = bytearray(table.translate(TO_SMALL))
    if iflag & ISTRIP:
        table = bytearray(table[byte & 0x7F] for byte in range(256))
        if drop:
            drop += bytes([_RETURN | 0x80])
    return (None if table == bytes(range(256)) else bytes(table)), drop


@lru_cache(maxsize=64)
def _signal_characters(cc: bytes) -> dict[int, signal.Signals]:
    return {cc[index]: number for index, number in reversed(_SIGNALS) if cc[index] != DISABLED}


def processed_input(data: bytes, settings: Termios) -> bytes:
    """``data`` from the modem after the mappings of iflag."""
    table, drop = _input_mapping(settings.iflag, bool(settings.lflag & IEXTEN))
    if table is not None or drop:
        data = data.translate(table, drop)
    if settings.iflag & PARMRK and not settings.iflag & ISTRIP:
        data = data.replace(b"\xff", b"\xff\xff")
    return data


class InputBuffer:
    """Input that waits for a reader: complete lines in canonical mode, else plain bytes."""

    def __init__(self, settings: Termios, output: OutputProcessor | None = None) -> None:
        """``output`` follows the cursor that echo moves."""
        self._settings = settings
        self._output = output or OutputProcessor()
        self._editor = LineEditor(self._output)
        self._raw = bytearray()
        self._lines: deque[bytearray] = deque()
        self._stopped = False

    def __len__(self) -> int:
        """Bytes held, readable or not."""
        return len(self._raw) + len(self._editor.line) + sum(map(len, self._lines))

    @property
    def readable(self) -> int:
        """Bytes that reads would give now (FIONREAD)."""
        return len(self._raw) + sum(map(len, self._lines))

    def has(self, minimum: int = 1) -> bool:
        """Whether a read has something to give: ``minimum`` bytes, or in canonical mode a line or its end."""
        return bool(self._lines) if self._settings.canonical else len(self._raw) >= minimum

    def change_settings(self, settings: Termios) -> None:
        """New settings. A change of ICANON keeps what waits: all as one line, or all as plain bytes."""
        was_canonical, self._settings = self._settings.canonical, settings
        if settings.canonical and not was_canonical and self._raw:
            self._lines.append(self._raw)
            self._raw = bytearray()
        elif was_canonical and not settings.canonical:
            self._raw = bytearray().join([*self._lines, self._editor.line])
            self._lines.clear()
            self._editor.clear()

    def clear(self) -> int:
        """Drop everything; returns how many bytes that was."""
        dropped = len(self)
        self._raw.clear()
        self._lines.clear()
        self._editor.clear()
        return dropped

    def read(self, max_bytes: int) -> bytes:
        """Up to ``max_bytes`` bytes, in canonical mode of one line; empty at an end of file."""
        if not self._settings.canonical:
            data = bytes(self._raw[:max_bytes])
            del self._raw[:max_bytes]
            return data
        line = self._lines[0]
        data = bytes(line[:max_bytes])
        del line[:max_bytes]
        if not line:
            self._lines.popleft()
        return data

    def receive(self, data: bytes) -> list[Effect]:
        """Take ``data`` from the modem; what it leads to. Echo is after output processing."""
        settings = self._settings
        if not settings.canonical and not settings.lflag & ECHO and not self._editor.quoting:
            special = bytes(_signal_characters(settings.cc)) if settings.lflag & ISIG else b""
            if not special or len(data.translate(None, special)) == len(data):
                self._raw += processed_input(data, settings)
                return []
        effects: list[Effect] = []
        echo = bytearray()
        for byte in data:
            effect = self._character(byte, echo)
            if effect is not None:
                if isinstance(effect, Flow):
                    effects += [bytes(echo), effect] if echo else [effect]
                else:
                    # Echo of before the signal is dropped with the rest of the output.
                    if echo and not effect.flushes:
                        effects.append(bytes(echo))
                    effects.append(effect)
                    if settings.lflag & ECHO:
                        effects.append(echoed(byte, settings, self._output))
                echo.clear()
        if echo:
            effects.append(bytes(echo))
        return effects

    def _character(self, byte: int, echo: bytearray) -> Signal | Flow | None:
        """One byte from the modem, its echo appended to ``echo``."""
        settings = self._settings
        iflag, lflag, cc = settings.iflag, settings.lflag, settings.cc
        if iflag & ISTRIP:
            byte &= 0x7F
        if iflag & IUCLC and lflag & IEXTEN:
            byte = TO_SMALL[byte]
        if self._editor.quoting:
            self._editor.quoting = False
            self._append(byte, echo)
            return None
        if byte != DISABLED:
            if iflag & IXON and settings.canonical and byte in (cc[VSTART], cc[VSTOP]):
                self._stopped = byte != cc[VSTART]
                return Flow(stops=self._stopped)
            if lflag & ISIG and (number := _signal_characters(cc).get(byte)):
                self._stopped = False
                if not lflag & NOFLSH:
                    self.clear()
                return Signal(number, flushes=not lflag & NOFLSH)
        is_mapped = False
        if byte == _RETURN:
            if iflag & IGNCR:
                return None
            if iflag & ICRNL:
                byte, is_mapped = _NEWLINE, True
        elif byte == _NEWLINE and iflag & INLCR:
            byte = _RETURN
        if settings.canonical:
            self._canonical(byte, echo)
        elif byte == _NEWLINE and is_mapped and lflag & ECHO:
            # N_TTY shows a newline that was a carriage return as one, and any other as ^J.
            echo += self._output.process(b"\n", settings)
            self._raw.append(byte)
        else:
            self._append(byte, echo)
        if self._stopped and iflag & IXON and iflag & IXANY:
            self._stopped = False
            return Flow(stops=False)
        return None

    def _append(self, byte: int, echo: bytearray) -> None:
        settings = self._settings
        if settings.canonical:
            self._editor.append(byte, settings, echo)
        else:
            if settings.lflag & ECHO:
                echo += echoed(byte, settings, self._output)
            self._raw.append(byte)
            if byte == 0xFF and settings.iflag & PARMRK and not settings.iflag & ISTRIP:
                self._raw.append(byte)

    def _canonical(self, byte: int, echo: bytearray) -> None:
        settings = self._settings
        lflag, cc = settings.lflag, settings.cc
        editor = self._editor
        if editor.edit(byte, settings, echo):
            return
        if byte == _NEWLINE:
            if lflag & (ECHO | ECHONL):
                echo += self._output.process(b"\n", settings)
        elif byte != DISABLED and byte == cc[VEOF]:
            self._lines.append(editor.take())
            return
        elif byte != DISABLED and (byte == cc[VEOL] or (byte == cc[VEOL2] and lflag & IEXTEN)):
            if lflag & ECHO:
                echo += echoed(byte, settings, self._output)
        else:
            editor.append(byte, settings, echo)
            return
        line = editor.take()
        # A line as long as the buffer loses its last byte to its end.
        del line[BUFFER_SIZE - 1 :]
        line.append(byte)
        self._lines.append(line)
