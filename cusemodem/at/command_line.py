"""Collecting command lines from single characters (V.250 §5.2): prefix, editing, termination, repetition.

The body's grammar is `grammar.py`'s. Nothing here answers; a line that became too long is handed over as
such.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

MAX_BODY: Final = 1024
"""Characters of a line's body (V.250 asks for 40, HylaFAX and Windows need up to 255; chosen)."""

_CAN, _DEL = 0x18, 0x7F
_N_CONTROLS: Final = 0x20


@dataclass(frozen=True, slots=True)
class Line:
    """A finished command line's body; `too_long` ones have none."""

    body: str
    too_long: bool = False


class _State(Enum):
    IDLE = auto()
    PREFIX = auto()
    BODY = auto()
    OVERFLOW = auto()


class CommandLine:
    """One byte in, a finished line out when there is one. The top bit of each byte is ignored."""

    def __init__(self) -> None:
        self._state = _State.IDLE
        self._body = bytearray()
        self._last = ""

    @property
    def in_progress(self) -> bool:
        """A prefix has come but no terminator yet."""
        return self._state is not _State.IDLE

    def cancel(self) -> None:
        """Forget the unfinished line."""
        self._state = _State.IDLE
        self._body.clear()

    def feed(self, byte: int, s3: int, s5: int) -> Line | None:
        """Take one byte; `s3` ends a line, `s5` (and DEL) deletes the character before it."""
        char = byte & 0x7F
        if self._state is _State.IDLE:
            if char in b"Aa":
                self._state = _State.PREFIX
            return None
        if self._state is _State.PREFIX:
            return self._after_a(char)
        if char == s3:
            return self._finish()
        if char in (s5, _DEL):
            del self._body[-1:]
        elif char == _CAN:
            self.cancel()
        elif char < _N_CONTROLS:
            pass  # fill, tabs, escape sequences, stray flow control (V.250 §5.2.2)
        elif len(self._body) < MAX_BODY:
            self._body.append(char)
        else:
            self._state = _State.OVERFLOW
        return None

    def _after_a(self, char: int) -> Line | None:
        if char in b"Tt":
            self._state = _State.BODY
            self._body.clear()
        elif char == ord("/"):
            self._state = _State.IDLE
            return Line(self._last)
        elif char not in b"Aa":
            self._state = _State.IDLE
        return None

    def _finish(self) -> Line:
        too_long = self._state is _State.OVERFLOW
        body = "" if too_long else self._body.decode("ascii")
        self.cancel()
        if not too_long:
            self._last = body
        return Line(body, too_long)
