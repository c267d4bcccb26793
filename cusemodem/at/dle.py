"""DLE stuffing of the data between host and modem (T.31 §8.3.1).

Towards the host every DLE is doubled, or with +FDD=1 two in a row become DLE SUB. From the host: DLE DLE is
one DLE, DLE SUB two, DLE ETX the end; any other pair is ignored.
"""

from __future__ import annotations

from typing import Final

ETX: Final = 0x03
DLE: Final = 0x10
SUB: Final = 0x1A

END: Final = bytes((DLE, ETX))
"""End of data, in both directions."""

_DLE: Final = bytes((DLE,))


def stuff(data: bytes, *, pairs_as_sub: bool = False) -> bytes:
    """`data` with every DLE doubled, without the DLE ETX that ends it.

    `pairs_as_sub` (+FDD=1): two DLEs in a row become DLE SUB, so that data of nothing but DLEs does not grow.

    >>> stuff(bytes((DLE, DLE, DLE, 1)), pairs_as_sub=True).hex(" ")
    '10 1a 10 10 01'
    """
    if not pairs_as_sub:
        return data.replace(_DLE, _DLE + _DLE)
    singles = [part.replace(_DLE, _DLE + _DLE) for part in data.split(_DLE + _DLE)]
    return bytes((DLE, SUB)).join(singles)


class Unstuffer:
    """Takes a stuffed byte stream apart, in any pieces."""

    def __init__(self) -> None:
        self._after_dle = False
        self.ended = False

    def feed(self, stuffed: bytes | bytearray, max_bytes: int) -> tuple[bytes, int]:
        """(payload, n_consumed): stops after DLE ETX (`ended` is then True) or at `max_bytes` of payload.

        The payload may exceed `max_bytes` by one byte, when a DLE SUB stands at the limit.
        """
        payload = bytearray()
        position = 0
        while position < len(stuffed) and len(payload) < max_bytes and not self.ended:
            if self._after_dle:
                self._after_dle = False
                second = stuffed[position]
                position += 1
                if second == DLE:
                    payload.append(DLE)
                elif second == SUB:
                    payload += _DLE + _DLE
                elif second == ETX:
                    self.ended = True
                continue
            stop = stuffed.find(_DLE, position)
            end = min(len(stuffed) if stop < 0 else stop, position + max_bytes - len(payload))
            payload += stuffed[position:end]
            position = end
            if position == stop:
                self._after_dle = True
                position += 1
        return bytes(payload), position
