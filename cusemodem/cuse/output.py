"""Output processing: what oflag does to bytes on their way from the host to the modem, echo included.

The terminal's column is followed, since tabs, ONOCR and the erasing of an echoed tab depend on it.
"""

from __future__ import annotations

from cusemodem.cuse.termios import (
    IUTF8,
    OCRNL,
    OLCUC,
    ONLCR,
    ONLRET,
    ONOCR,
    OPOST,
    TABDLY,
    XTABS,
    Termios,
)

_TAB_WIDTH = 8
_TAB, _BACKSPACE, _NEWLINE, _RETURN, _DEL = b"\t\b\n\r\x7f"
# Letters of Latin-1, as the kernel knows them.
_CAPITALS = [*range(ord("A"), ord("Z") + 1), *(byte for byte in range(0xC0, 0xDF) if byte != 0xD7)]
_SMALL = [*range(ord("a"), ord("z") + 1), *(byte for byte in range(0xDF, 0x100) if byte != 0xF7)]
TO_SMALL = bytes(byte + 0x20 if byte in _CAPITALS else byte for byte in range(256))
TO_CAPITALS = bytes(byte - 0x20 if byte in _SMALL else byte for byte in range(256))
# What VWERASE takes for part of a word.
WORD = frozenset([*_CAPITALS, *_SMALL, *range(ord("0"), ord("9") + 1), ord("_")])


def is_control(byte: int) -> bool:
    """Whether a byte is a control character of ASCII."""
    return byte < ord(" ") or byte == _DEL


def is_continuation(byte: int, settings: Termios) -> bool:
    """Whether a byte goes on with a character begun before it (UTF-8)."""
    return bool(settings.iflag & IUTF8) and byte & 0xC0 == 0x80


class OutputProcessor:
    """Follows the cursor of a terminal at the other end.

    ``column`` is where it is, ``line_start`` where the line being typed began (for the erasing of tabs).
    """

    def __init__(self) -> None:
        self.column = 0
        self.line_start = 0

    def process(self, data: bytes, settings: Termios) -> bytes:
        """``data`` after the mappings of oflag; longer by tabs and line ends at most."""
        flags = settings.oflag
        if not flags & OPOST:
            return data
        if flags & (OLCUC | OCRNL | ONOCR | ONLRET) or flags & TABDLY == XTABS:
            return b"".join([self._character(byte, settings) for byte in data])
        return self._plain(data, settings)

    def _plain(self, data: bytes, settings: Termios) -> bytes:
        """The common settings, at most ONLCR: no loop over all bytes."""
        ends_line = b"\n" if settings.oflag & ONLCR else b"\r"
        _, end, last = data.rpartition(ends_line)
        if end:
            self.column = self.line_start = 0
        if settings.oflag & ONLCR:
            data = data.replace(b"\n", b"\r\n")
        for byte in last:
            self._character(byte, settings)
        return data

    def _character(self, byte: int, settings: Termios) -> bytes:
        flags = settings.oflag
        if byte == _NEWLINE:
            if flags & ONLRET:
                self.column = 0
            if flags & ONLCR:
                self.column = self.line_start = 0
                return b"\r\n"
            self.line_start = self.column
        elif byte == _RETURN:
            if flags & ONOCR and not self.column:
                return b""
            if flags & OCRNL:
                if flags & ONLRET:
                    self.column = self.line_start = 0
                return b"\n"
            self.column = self.line_start = 0
        elif byte == _TAB:
            width = _TAB_WIDTH - self.column % _TAB_WIDTH
            self.column += width
            if flags & TABDLY == XTABS:
                return b" " * width
        elif byte == _BACKSPACE:
            self.column = max(0, self.column - 1)
        elif not is_control(byte):
            if flags & OLCUC:
                byte = TO_CAPITALS[byte]
            if not is_continuation(byte, settings):
                self.column += 1
        return bytes([byte])

    def shown_control(self, byte: int) -> bytes:
        """A control character as ECHOCTL shows it: ^X."""
        self.column += 2
        return bytes([ord("^"), byte ^ 0x40])

    def erased_tab(self, width_before: int, *, after_tab: bool) -> bytes:
        """Backspaces over a tab that stood ``width_before`` columns behind the tab or line start before."""
        start = width_before if after_tab else width_before + self.line_start
        count = _TAB_WIDTH - start % _TAB_WIDTH
        self.column = max(0, self.column - count)
        return b"\b" * count
