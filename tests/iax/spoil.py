"""Spoiled datagrams, for fuzz tests."""

from __future__ import annotations

import random


def spoil(rng: random.Random, datagram: bytes) -> bytes:
    """A datagram cut, lengthened or with some octets changed."""
    octets = bytearray(datagram)
    for _ in range(rng.randrange(1, 4)):
        kind = rng.randrange(3)
        if kind == 0:
            del octets[rng.randrange(len(octets) + 1) :]
        elif kind == 1 and octets:
            octets[rng.randrange(len(octets))] = rng.randrange(256)
        else:
            octets += rng.randbytes(rng.randrange(8))
    return bytes(octets)
