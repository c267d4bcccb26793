"""The line discipline: what the terminal settings do to bytes on their way between host and modem.

Towards the host: ISTRIP, INLCR, IGNCR, ICRNL, PARMRK, and in canonical mode lines with erase, kill and end of
file. Towards the modem: OPOST with ONLCR and OCRNL. As much as ``cat``, ``echo``, probing scripts and a
person at a terminal program need.

XON and XOFF (0x11, 0x13) are bytes like any other in both directions, IXON and IXOFF or not: fax pages
contain them, and the port stops and starts its flow without them. Characters of ISIG pass through too, since
a CUSE device is nobody's controlling terminal and no signal can follow from them.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache

from cusemodem.cuse.termios import (
    ECHO,
    ECHOCTL,
    ECHOE,
    ECHOK,
    ECHONL,
    ICRNL,
    IGNCR,
    INLCR,
    ISTRIP,
    OCRNL,
    ONLCR,
    OPOST,
    PARMRK,
    VEOF,
    VEOL,
    VEOL2,
    VERASE,
    VKILL,
    Termios,
)

_DEL = 0x7F
_NEWLINE = ord("\n")
_TAB = ord("\t")
_RUBOUT = b"\b \b"
_DISABLED = 0  # a control character of NUL is no character


@lru_cache(maxsize=64)
def _input_mapping(iflag: int) -> tuple[bytes | None, bytes]:
    """What iflag does to each byte: a table for bytes.translate (None: nothing) and the bytes to drop."""
    drop = b"\r" if iflag & IGNCR else b""
    table = bytearray(range(256))
    if iflag & ICRNL:
        table[ord("\r")] = _NEWLINE
    if iflag & INLCR:
        table[_NEWLINE] = ord("\r")
    if iflag & ISTRIP:
        table = bytearray(table[byte & 0x7F] for byte in range(256))
        if drop:
            drop += bytes([ord("\r") | 0x80])
    return (None if table == bytes(range(256)) else bytes(table)), drop


def processed_input(data: bytes, settings: Termios) -> bytes:
    """``data`` from the modem after the mappings of iflag."""
    table, drop = _input_mapping(settings.iflag)
    if table is not None or drop:
        data = data.translate(table, drop)
    if settings.iflag & PARMRK and not settings.iflag & ISTRIP:
        data = data.replace(b"\xff", b"\xff\xff")
    return data


def processed_output(data: bytes, settings: Termios) -> bytes:
    """``data`` from the host after the mappings of oflag; at most twice as long."""
    if not settings.oflag & OPOST:
        return data
    if settings.oflag & OCRNL:
        data = data.replace(b"\r", b"\n")
    if settings.oflag & ONLCR:
        data = data.replace(b"\n", b"\r\n")
    return data


class InputBuffer:
    """Input that waits for a reader: complete lines in canonical mode, else plain bytes.

    :meth:`receive` returns what the settings would echo.
    """

    def __init__(self, settings: Termios) -> None:
        self._settings = settings
        self._raw = bytearray()
        self._lines: deque[bytearray] = deque()
        self._unfinished = bytearray()

    def __len__(self) -> int:
        """Bytes held, readable or not."""
        return len(self._raw) + len(self._unfinished) + sum(map(len, self._lines))

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
            self._raw = bytearray().join([*self._lines, self._unfinished])
            self._lines.clear()
            self._unfinished = bytearray()

    def clear(self) -> int:
        """Drop everything; returns how many bytes that was."""
        dropped = len(self)
        self._raw.clear()
        self._lines.clear()
        self._unfinished.clear()
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

    def receive(self, data: bytes) -> bytes:
        """Take ``data`` from the modem; returns what ECHO sends back, before output processing."""
        settings = self._settings
        data = processed_input(data, settings)
        if settings.canonical:
            return b"".join([self._receive_canonical(byte) for byte in data])
        self._raw += data
        return _echo(data, settings) if settings.lflag & ECHO else b""

    def _receive_canonical(self, byte: int) -> bytes:
        settings = self._settings
        lflag, cc = settings.lflag, settings.cc
        line = self._unfinished
        if byte == _NEWLINE or (byte != _DISABLED and byte in (cc[VEOL], cc[VEOL2])):
            line.append(byte)
            self._finish_line()
            return _echo(bytes([byte]), settings) if lflag & (ECHO | ECHONL) else b""
        if byte != _DISABLED:
            if byte == cc[VEOF]:
                self._finish_line()
                return b""
            if byte == cc[VERASE]:
                if not line:
                    return b""
                line.pop()
                return self._echo_erase(byte, ECHOE, 1)
            if byte == cc[VKILL]:
                erased = len(line)
                line.clear()
                return self._echo_erase(byte, ECHOK, erased)
        line.append(byte)
        return _echo(bytes([byte]), settings) if lflag & ECHO else b""

    def _finish_line(self) -> None:
        self._lines.append(self._unfinished)
        self._unfinished = bytearray()

    def _echo_erase(self, byte: int, visible: int, count: int) -> bytes:
        if not self._settings.lflag & ECHO:
            return b""
        if self._settings.lflag & visible:
            return _RUBOUT * count
        return _echo(bytes([byte]), self._settings)


def _echo(data: bytes, settings: Termios) -> bytes:
    """``data`` as ECHO shows it: control characters as ^X with ECHOCTL."""
    if not settings.lflag & ECHOCTL:
        return data
    if not any(byte < ord(" ") or byte == _DEL for byte in data):
        return data
    return b"".join(
        bytes([ord("^"), byte ^ 0x40])
        if (byte < ord(" ") and byte not in (_TAB, _NEWLINE)) or byte == _DEL
        else bytes([byte])
        for byte in data
    )
