"""The line being typed in canonical mode, and how its editing shows at the other end.

What a person at a terminal meets: VERASE, VWERASE, VKILL, VLNEXT, VREPRINT with ECHO, ECHOE, ECHOK, ECHOKE,
ECHOCTL and ECHOPRT. Behaves as N_TTY of Linux does, as seen on a pty beside it.
"""

from __future__ import annotations

from cusemodem.cuse.output import WORD, OutputProcessor, is_continuation, is_control
from cusemodem.cuse.termios import (
    DISABLED,
    ECHO,
    ECHOCTL,
    ECHOE,
    ECHOK,
    ECHOKE,
    ECHOPRT,
    IEXTEN,
    ISTRIP,
    PARMRK,
    VERASE,
    VKILL,
    VLNEXT,
    VREPRINT,
    VWERASE,
    Termios,
)

# The longest line, its end included (MAX_INPUT and one); what is typed beyond it takes the place of the last.
BUFFER_SIZE = 4096
_TAB = ord("\t")
_RUBOUT = b"\b \b"


def echoed(byte: int, settings: Termios, output: OutputProcessor) -> bytes:
    """``byte`` as ECHO shows it, after output processing: control characters as ^X with ECHOCTL."""
    if settings.lflag & ECHOCTL and is_control(byte) and byte != _TAB:
        return output.shown_control(byte)
    return output.process(bytes([byte]), settings)


class LineEditor:
    """The unfinished line. ``quoting``: VLNEXT was typed, and the next byte is taken as it is."""

    def __init__(self, output: OutputProcessor) -> None:
        self._output = output
        self.line = bytearray()
        self.quoting = False
        # Inside \.../ of ECHOPRT.
        self._erasing = False

    def clear(self) -> None:
        """Drop the line."""
        self.line = bytearray()
        self.quoting = self._erasing = False

    def take(self) -> bytearray:
        """The line, which is finished; a new one begins."""
        line, self.line = self.line, bytearray()
        return line

    def append(self, byte: int, settings: Termios, echo: bytearray) -> None:
        """A byte of the line itself."""
        if settings.lflag & ECHO:
            self._finish_erasing(settings, echo)
            if not self.line:
                self._output.line_start = self._output.column
            echo += echoed(byte, settings, self._output)
        if len(self.line) >= BUFFER_SIZE - 1:
            self.line.pop()
        self.line.append(byte)
        if byte == 0xFF and settings.iflag & PARMRK and not settings.iflag & ISTRIP:
            self.line.append(byte)

    def edit(self, byte: int, settings: Termios, echo: bytearray) -> bool:
        """Do what an editing character asks for; returns whether it was one."""
        if byte == DISABLED:
            return False
        lflag, cc = settings.lflag, settings.cc
        extended = bool(lflag & IEXTEN)
        if byte in (cc[VERASE], cc[VKILL]) or (extended and byte == cc[VWERASE]):
            self._erase(byte, settings, echo)
        elif extended and byte == cc[VLNEXT]:
            self.quoting = True
            if lflag & ECHO:
                self._finish_erasing(settings, echo)
                if lflag & ECHOCTL:
                    echo += self._output.process(b"^\b", settings)
        elif extended and lflag & ECHO and byte == cc[VREPRINT]:
            self._finish_erasing(settings, echo)
            echo += echoed(byte, settings, self._output)
            echo += self._output.process(b"\n", settings)
            for typed in self.line:
                echo += echoed(typed, settings, self._output)
        else:
            return False
        return True

    def _finish_erasing(self, settings: Termios, echo: bytearray) -> None:
        if self._erasing:
            self._erasing = False
            echo += self._output.process(b"/", settings)

    def _erase(self, byte: int, settings: Termios, echo: bytearray) -> None:
        lflag, cc, line = settings.lflag, settings.cc, self.line
        if not line:
            return
        erases_one = byte == cc[VERASE]
        erases_word = not erases_one and byte == cc[VWERASE]
        shows_each = lflag & ECHOK and lflag & ECHOKE and lflag & ECHOE
        if not erases_one and not erases_word and not (lflag & ECHO and shows_each):
            line.clear()
            if lflag & ECHO:
                self._finish_erasing(settings, echo)
                echo += echoed(cc[VKILL], settings, self._output)
                if lflag & ECHOK:
                    echo += self._output.process(b"\n", settings)
            return
        in_word = False
        while line:
            start = len(line) - 1
            while start and is_continuation(line[start], settings):
                start -= 1
            first = line[start]
            if is_continuation(first, settings):
                break
            if erases_word:
                if first in WORD:
                    in_word = True
                elif in_word:
                    break
            character = bytes(line[start:])
            del line[start:]
            if lflag & ECHO:
                self._echo_erased(character, byte, settings, echo)
            if erases_one:
                break
        if not line and lflag & ECHO:
            self._finish_erasing(settings, echo)

    def _echo_erased(self, character: bytes, byte: int, settings: Termios, echo: bytearray) -> None:
        lflag, output = settings.lflag, self._output
        first = character[0]
        if lflag & ECHOPRT:
            if not self._erasing:
                self._erasing = True
                echo += output.process(b"\\", settings)
            echo += echoed(first, settings, output)
            echo += character[1:]
        elif byte == settings.cc[VERASE] and not lflag & ECHOE:
            echo += echoed(byte, settings, output)
        elif first == _TAB:
            width, after_tab = 0, False
            for typed in reversed(self.line):
                if typed == _TAB:
                    after_tab = True
                    break
                if is_control(typed):
                    width += 2 if lflag & ECHOCTL else 0
                elif not is_continuation(typed, settings):
                    width += 1
            echo += output.erased_tab(width, after_tab=after_tab)
        else:
            if is_control(first) and lflag & ECHOCTL:
                echo += output.process(_RUBOUT, settings)
            if not is_control(first) or lflag & ECHOCTL:
                echo += output.process(_RUBOUT, settings)
