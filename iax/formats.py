"""The three voice formats that carry a fax, and the choice between them (RFC 5456 §8.7)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

SAMPLE_RATE = 8000
FRAME_SAMPLES = 160
FRAME_MS = 20
SAMPLES_PER_MS = SAMPLE_RATE // 1000


class Format(IntEnum):
    """A voice format; the value is its bit in FORMAT and CAPABILITY and the subclass of a voice frame."""

    ULAW = 0x04
    ALAW = 0x08
    SLINEAR = 0x40
    """16-bit signed linear, big-endian on the wire."""

    @property
    def sample_bytes(self) -> int:
        """Octets of one sample."""
        return 2 if self is Format.SLINEAR else 1

    def silence(self, n_samples: int) -> bytes:
        """Return N_SAMPLES of silence."""
        return _SILENCE[self] * n_samples


_SILENCE = {Format.ULAW: b"\xff", Format.ALAW: b"\xd5", Format.SLINEAR: b"\x00\x00"}

ULAW, ALAW, SLINEAR = Format.ULAW, Format.ALAW, Format.SLINEAR
ALL_FORMATS = (ULAW, ALAW, SLINEAR)
_BY_VALUE = {int(format_): format_ for format_ in Format}


def format_of(value: int | None) -> Format | None:
    """Return the format whose bit is VALUE, or None if it is not one of ours."""
    return None if value is None else _BY_VALUE.get(value)


def capability(formats: Sequence[Format]) -> int:
    """Return the bit mask of FORMATS."""
    mask = 0
    for format_ in formats:
        mask |= format_
    return mask


def codec_prefs(formats: Sequence[Format]) -> str:
    """Return the CODEC_PREFS text of FORMATS: letter 'A' + 1 + bit number, in order of preference."""
    return "".join(chr(ord("A") + format_.bit_length()) for format_ in formats)


def choose(
    ours: Sequence[Format], *, wanted: int | None, capable: int, preferences: str = ""
) -> Format | None:
    """Return the format for an incoming call, or None if there is none in common.

    The caller's WANTED format is taken if we have it, then the first of its PREFERENCES (CODEC_PREFS) that
    we have: then nobody transcodes. Otherwise the first of OURS that the caller is CAPABLE of.
    """
    format_ = format_of(wanted)
    if format_ in ours:
        return format_
    for letter in preferences:
        bit = ord(letter) - ord("A") - 1
        format_ = format_of(1 << bit) if 0 <= bit < 64 else None
        if format_ in ours and capable & (format_ or 0):
            return format_
    for format_ in ours:
        if capable & format_:
            return format_
    return None
