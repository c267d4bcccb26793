"""G.711 companding by tables: 16-bit linear ↔ µ-law and A-law octets as they stand on the wire.

All functions take arrays of any shape and return a new array of that shape. Linear values use the whole
int16 range: µ-law's 14-bit numbers are multiplied by 4, A-law's 13-bit ones by 8 (G.711 tables 1a–2b).
Other integers will do if they are in range (``ValueError`` if not); fractions raise ``TypeError``.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Whole = TypeVar("Whole", np.int16, np.uint8)

_ULAW_BIAS = 33 * 4
_ALAW_EVEN_BITS = 0x55  # inverted on the wire


def _decode_ulaw() -> NDArray[np.int16]:
    code: NDArray[np.int64] = ~np.arange(256) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + _ULAW_BIAS) << ((code >> 4) & 7)) - _ULAW_BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _decode_alaw() -> NDArray[np.int16]:
    code = np.arange(256) ^ _ALAW_EVEN_BITS
    segment = (code >> 4) & 7
    step = ((code & 0x0F) << 4) + 8
    magnitude = np.where(segment == 0, step, (step + 0x100) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _segment(magnitude: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of the segment: how far the highest set bit is above bit 7."""
    return np.searchsorted(256 << np.arange(8), magnitude, side="right").astype(np.int64)


def _all_int16() -> NDArray[np.int64]:
    """Every int16 value, in the order of its bits taken as uint16."""
    return np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int64)


def _encode_ulaw() -> NDArray[np.uint8]:
    linear = _all_int16()
    magnitude: NDArray[np.int64] = np.minimum(np.abs(linear) + _ULAW_BIAS, 0x7FFF)
    segment = _segment(magnitude)
    code = (segment << 4) | ((magnitude >> (segment + 3)) & 0x0F)
    code ^= np.where(linear >= 0, 0xFF, 0x7F)
    return code.astype(np.uint8)


def _encode_alaw() -> NDArray[np.uint8]:
    linear = _all_int16()
    magnitude = np.where(linear >= 0, linear, ~linear)
    segment = _segment(magnitude)
    code = (segment << 4) | ((magnitude >> np.maximum(segment + 3, 4)) & 0x0F)
    code ^= np.where(linear >= 0, 0x80, 0x00) ^ _ALAW_EVEN_BITS
    return code.astype(np.uint8)


_ULAW_TO_LINEAR = _decode_ulaw()
_ALAW_TO_LINEAR = _decode_alaw()
_LINEAR_TO_ULAW = _encode_ulaw()
_LINEAR_TO_ALAW = _encode_alaw()


def _whole(name: str, values: ArrayLike, dtype: type[Whole]) -> NDArray[Whole]:
    """``values`` as an array of ``dtype``; nothing is rounded or wrapped to make it one."""
    array = np.asarray(values)
    if array.dtype == dtype:
        return array
    limits = np.iinfo(dtype)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name}: expected whole numbers of {limits.dtype}, got {array.dtype}")
    if array.size and not (limits.min <= array.min() and array.max() <= limits.max):
        raise ValueError(f"{name}: expected {limits.min} to {limits.max}, got {array.min()} to {array.max()}")
    return array.astype(dtype)


def ulaw_encode(linear: ArrayLike) -> NDArray[np.uint8]:
    """Int16 samples to µ-law octets."""
    return _LINEAR_TO_ULAW[_whole("linear", linear, np.int16).view(np.uint16)]


def ulaw_decode(octets: ArrayLike) -> NDArray[np.int16]:
    """µ-law octets to int16 samples (±32124 at most)."""
    return _ULAW_TO_LINEAR[_whole("octets", octets, np.uint8)]


def alaw_encode(linear: ArrayLike) -> NDArray[np.uint8]:
    """Int16 samples to A-law octets."""
    return _LINEAR_TO_ALAW[_whole("linear", linear, np.int16).view(np.uint16)]


def alaw_decode(octets: ArrayLike) -> NDArray[np.int16]:
    """A-law octets to int16 samples (±32256 at most)."""
    return _ALAW_TO_LINEAR[_whole("octets", octets, np.uint8)]
