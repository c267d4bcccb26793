"""HDLC as T.30 uses it: frame check sequence, zero insertion and deletion, flags, aborts.

Octets go least significant bit first; flag 01111110; a zero after five ones; seven ones or more abort.
The FCS is CRC-16 ITU-T (x^16+x^12+x^5+1, preset to ones, complement sent, low-order octet first).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dsp.kernel import Record, kernel

FLAG = 0x7E
#: Frames outside these bounds (octets with the FCS) are not frames of T.30 and are dropped.
MIN_FRAME = 3
MAX_FRAME = 284

_FCS_POLYNOMIAL = 0x8408  # reflected
_FCS_PRESET = 0xFFFF
_FCS_RESIDUE = 0xF0B8  # what data and a right FCS leave


def _fcs_table() -> NDArray[np.int32]:
    crc = np.arange(256)
    for _ in range(8):
        crc = np.where(crc & 1, (crc >> 1) ^ _FCS_POLYNOMIAL, crc >> 1)
    return crc.astype(np.int32)


FCS_TABLE = _fcs_table()


def fcs(data: bytes) -> bytes:
    """The two FCS octets that follow ``data`` on the line."""
    crc = _FCS_PRESET
    for octet in data:
        crc = (crc >> 8) ^ int(FCS_TABLE[(crc ^ octet) & 0xFF])
    return (crc ^ 0xFFFF).to_bytes(2, "little")


def fcs_ok(frame: bytes) -> bool:
    """Whether the last two octets of ``frame`` are its FCS."""
    return len(frame) > 2 and fcs(frame[:-2]) == frame[-2:]


# --- transmitter ---------------------------------------------------------------------------------

_QUEUE = 4096  # octets, two of them for each frame's length
_MIN_FLAGS_BETWEEN = 2  # one would do by the rules; two survive a receiver that wants its own opening flag
_MIN_FLAGS_AT_END = 2  # T.30: or the last bits are lost in the far filter
_OCTET_FLAG = 0
_OCTET_DATA = 1

#: Returned by hdlc_tx_bit instead of a bit when everything has been sent.
END = -1

HDLC_TX = np.dtype(
    [
        ("octet", "i4"),  # what is being sent, next bit lowest
        ("bits_left", "i4"),
        ("kind", "u1"),  # of the octet: _OCTET_FLAG or _OCTET_DATA
        ("ones", "i4"),
        ("crc", "i4"),
        ("frame_left", "i4"),  # data octets still to send of this frame
        ("fcs_left", "i4"),
        ("closing", "u1"),  # the flag being sent closes a frame
        ("flags_since_frame", "i4"),
        ("preamble_left", "i4"),
        ("end", "u1"),  # set from outside: stop when the queue is empty
        ("n_sent", "i4"),  # frames whose closing flag is out; the reader clears it
        ("head", "i4"),
        ("count", "i4"),
        ("queue", "u1", (_QUEUE,)),
    ],
    align=True,
)


@kernel
def hdlc_tx_start(rec: Record, preamble_flags: int) -> None:
    """Empty the queue and begin with at least ``preamble_flags`` flags."""
    rec.octet = FLAG
    rec.bits_left = 8
    rec.kind = _OCTET_FLAG
    rec.ones = 0
    rec.frame_left = 0
    rec.fcs_left = 0
    rec.closing = 0
    rec.flags_since_frame = 0
    rec.preamble_left = preamble_flags
    rec.end = 0
    rec.n_sent = 0
    rec.head = 0
    rec.count = 0


@kernel
def hdlc_tx_put(rec: Record, frame: NDArray[np.uint8], n: int) -> bool:
    """Queue a frame of ``n`` octets without FCS; False if there is no room for it."""
    if rec.count + n + 2 > _QUEUE:
        return False
    at = rec.head + rec.count
    rec.queue[at % _QUEUE] = n & 0xFF
    rec.queue[(at + 1) % _QUEUE] = n >> 8
    for k in range(n):
        rec.queue[(at + 2 + k) % _QUEUE] = frame[k]
    rec.count += n + 2
    return True


@kernel
def _take(rec: Record) -> int:
    octet = int(rec.queue[rec.head])
    rec.head = (rec.head + 1) % _QUEUE
    rec.count -= 1
    return octet


@kernel
def _next_octet(rec: Record) -> bool:
    """Choose what follows the octet just sent; False when the transmission is over."""
    if rec.kind == _OCTET_FLAG:
        rec.flags_since_frame += 1
        if rec.closing:
            rec.closing = 0
            rec.n_sent += 1
        if rec.preamble_left > 0:
            rec.preamble_left -= 1
        if rec.count > 0:
            if rec.preamble_left == 0 and rec.flags_since_frame >= _MIN_FLAGS_BETWEEN:
                rec.frame_left = _take(rec)
                rec.frame_left += _take(rec) << 8
                rec.fcs_left = 2
                rec.crc = _FCS_PRESET
                rec.ones = 0
                rec.kind = _OCTET_DATA
        elif rec.end and rec.preamble_left == 0 and rec.flags_since_frame >= _MIN_FLAGS_AT_END:
            return False
    rec.bits_left = 8
    if rec.kind == _OCTET_DATA:
        if rec.frame_left > 0:
            rec.octet = _take(rec)
            rec.crc = (rec.crc >> 8) ^ FCS_TABLE[(rec.crc ^ rec.octet) & 0xFF]
            rec.frame_left -= 1
            return True
        if rec.fcs_left > 0:
            rec.octet = (rec.crc ^ 0xFFFF) & 0xFF
            rec.crc >>= 8
            rec.fcs_left -= 1
            return True
        rec.kind = _OCTET_FLAG
        rec.closing = 1
        rec.flags_since_frame = 0
    rec.octet = FLAG
    return True


@kernel
def hdlc_tx_bit(rec: Record) -> int:
    """The next bit for the line, or ``END``."""
    if rec.kind == _OCTET_DATA and rec.ones == 5:
        rec.ones = 0
        return 0
    if rec.bits_left == 0 and not _next_octet(rec):
        return END
    bit = rec.octet & 1
    rec.octet >>= 1
    rec.bits_left -= 1
    rec.ones = rec.ones + 1 if bit else 0
    return int(bit)


# --- receiver ------------------------------------------------------------------------------------

#: What one received bit completed.
NOTHING = 0
FLAG_SEEN = 1
FRAME_GOOD = 2
FRAME_BAD = 3
ABORT = 4

HDLC_RX = np.dtype(
    [
        ("ones", "i4"),
        ("in_frame", "u1"),
        ("octet", "i4"),
        ("n_bits", "i4"),  # bits of the octet so far
        ("length", "i4"),  # octets in `frame`
        ("crc", "i4"),
        ("bits_since_flag", "i4"),
        ("n_flags", "i4"),  # consecutive flags, nothing between them
        ("frame", "u1", (MAX_FRAME,)),
    ],
    align=True,
)


@kernel
def hdlc_rx_reset(rec: Record) -> None:
    """Forget everything: wait for a flag."""
    rec.ones = 0
    rec.in_frame = 0
    rec.n_flags = 0
    rec.bits_since_flag = 1 << 20
    rec.length = 0


@kernel
def _flag(rec: Record) -> int:
    """A flag is complete: judge what stood before it."""
    result = FLAG_SEEN
    # Seven bits of the flag (its opening 0 and six 1s, or six 1s after a shared 0) are no data.
    if rec.in_frame and rec.length >= MIN_FRAME:
        whole = rec.n_bits == 7
        result = FRAME_GOOD if whole and rec.crc == _FCS_RESIDUE else FRAME_BAD
    rec.n_flags = rec.n_flags + 1 if rec.bits_since_flag <= 8 else 1
    rec.bits_since_flag = 0
    rec.in_frame = 1
    rec.n_bits = 0
    rec.octet = 0
    return result


@kernel
def hdlc_rx_bit(rec: Record, bit: int) -> int:
    """Take one bit and say what it completed.

    After ``FRAME_GOOD`` or ``FRAME_BAD``, ``frame[:length]`` is the octets with the FCS until the next bit.
    """
    if rec.bits_since_flag == 0:
        rec.length = 0
        rec.crc = _FCS_PRESET
    if rec.bits_since_flag < 1 << 20:
        rec.bits_since_flag += 1
    if bit:
        rec.ones += 1
        if rec.ones >= 7:
            rec.n_flags = 0
            if rec.ones == 7 and rec.in_frame:
                rec.in_frame = 0
                return ABORT
            return NOTHING
    else:
        ones = rec.ones
        rec.ones = 0
        if ones == 5:
            return NOTHING
        if ones == 6:
            return _flag(rec)
    if rec.in_frame == 0:
        return NOTHING
    rec.octet |= bit << rec.n_bits
    rec.n_bits += 1
    if rec.n_bits == 8:
        if rec.length == MAX_FRAME:  # too long for a frame of T.30
            rec.in_frame = 0
            return ABORT
        rec.frame[rec.length] = rec.octet
        rec.length += 1
        rec.crc = (rec.crc >> 8) ^ FCS_TABLE[(rec.crc ^ rec.octet) & 0xFF]
        rec.octet = 0
        rec.n_bits = 0
    return NOTHING


# --- whole sequences, for fast-rate ECM data and for tests -------------------------------------------


def encode(frames: Iterable[bytes], *, flags_before: int = 2, flags_between: int = 1) -> NDArray[np.uint8]:
    """Bits (0/1, in line order) of ``frames``: FCS added, zeros inserted, flags around."""
    flag = [0, 1, 1, 1, 1, 1, 1, 0]
    bits = flag * flags_before
    for frame in frames:
        ones = 0
        for octet in frame + fcs(frame):
            for k in range(8):
                bit = (octet >> k) & 1
                bits.append(bit)
                ones = ones + 1 if bit else 0
                if ones == 5:
                    bits.append(0)
                    ones = 0
        bits += flag * flags_between
    return np.array(bits, np.uint8)
