"""The payload of a voice frame: one block of samples in the call's format (µ-law, A-law, signed linear)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import iax
from dsp import g711

Samples = NDArray[np.int16]


def decode(payload: bytes, fmt: iax.Format) -> Samples:
    """One block of payload in `fmt` as int16 samples."""
    if fmt == iax.Format.ULAW:
        return g711.ulaw_decode(np.frombuffer(payload, np.uint8))
    if fmt == iax.Format.ALAW:
        return g711.alaw_decode(np.frombuffer(payload, np.uint8))
    return np.frombuffer(payload, ">i2").astype(np.int16)


def encode(samples: Samples, fmt: iax.Format) -> bytes:
    """int16 samples as payload in `fmt`; signed linear goes in network byte order."""
    if fmt == iax.Format.ULAW:
        return g711.ulaw_encode(samples).tobytes()
    if fmt == iax.Format.ALAW:
        return g711.alaw_encode(samples).tobytes()
    return samples.astype(">i2").tobytes()
