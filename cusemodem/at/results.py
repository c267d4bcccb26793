"""Result codes and information text, and how V, Q and X shape them (V.250 §5.7, §6.2; T.31 §8.4)."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Result(Enum):
    """A result code: its verbose text and its numeric form."""

    OK = ("OK", "0")
    CONNECT = ("CONNECT", "1")
    RING = ("RING", "2")
    NO_CARRIER = ("NO CARRIER", "3")
    ERROR = ("ERROR", "4")
    NO_DIALTONE = ("NO DIALTONE", "6")
    BUSY = ("BUSY", "7")
    NO_ANSWER = ("NO ANSWER", "8")
    FCERROR = ("+FCERROR", "+F4")
    FRH_3 = ("+FRH:3", "+FRH:3")

    @property
    def text(self) -> str:
        """The verbose form, without its frame."""
        return self.value[0]

    @property
    def number(self) -> str:
        """The numeric form, without its terminator."""
        return self.value[1]


CALL_FAILURES: Final = {
    result.text: result for result in (Result.BUSY, Result.NO_ANSWER, Result.NO_DIALTONE, Result.NO_CARRIER)
}
"""The results a dialled call can fail with, by the text the line uses."""

_HIDDEN: Final = {
    # V.250 table 3: X0 and X1 know neither busy nor dial tone, X2 no busy, X3 no dial tone.
    0: {Result.BUSY, Result.NO_DIALTONE},
    1: {Result.BUSY, Result.NO_DIALTONE},
    2: {Result.BUSY},
    3: {Result.NO_DIALTONE},
    4: set(),
}


def as_progress(result: Result, call_progress: int) -> Result:
    """`result` as the X setting (0…4) lets the host see it: what X hides becomes NO CARRIER."""
    return Result.NO_CARRIER if result in _HIDDEN[call_progress] else result


def format_result(result: Result, *, verbose: bool, s3: int, s4: int) -> bytes:
    """A result code line: `<S3><S4>OK<S3><S4>` or `0<S3>` (V.250 §6.2.6)."""
    if verbose:
        return _framed(result.text.encode("ascii"), s3, s4)
    return result.number.encode("ascii") + bytes((s3,))


def format_text(text: str, *, verbose: bool, s3: int, s4: int) -> bytes:
    """An information text line: `<S3><S4>text<S3><S4>` or `text<S3><S4>` (V.250 §6.2.6)."""
    encoded = text.encode("utf-8", "replace")
    if verbose:
        return _framed(encoded, s3, s4)
    return encoded + bytes((s3, s4))


def _framed(text: bytes, s3: int, s4: int) -> bytes:
    ends = bytes((s3, s4))
    return ends + text + ends
