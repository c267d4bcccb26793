"""Error correction mode as a Class 1 host does it: HDLC in the fast data, partial pages (T.30 Annex A)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from tests.host.t30 import ADDRESS, CONTROL

FCD, RCP = 0x06, 0x86
PPS, PPR, CTC, CTR, EOR, ERR, RNR, RR = 0xBE, 0xBC, 0x12, 0xC4, 0xCE, 0x1C, 0xEC, 0x6E
NULL = 0x00
NAMES = {
    PPS: "PPS", PPR: "PPR", CTC: "CTC", CTR: "CTR", EOR: "EOR", ERR: "ERR", RNR: "RNR", RR: "RR",
}  # fmt: skip
FRAME_OCTETS = 256
FRAMES_PER_BLOCK = 256
PREAMBLE_S = 0.2
"flags before the first frame, so that the receiver is in step (T.30 §A.3.2: 200 ms, +100 ms)"
N_RCP = 3

_FLAG = "01111110"
_FLAG_AT = re.compile("0111111(?=0)")


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x8408 if crc & 1 else crc >> 1
        table.append(crc)
    return table


_TABLE = _crc_table()


def fcs(frame: bytes) -> bytes:
    """The two check octets, as they stand in the stream (x^16 + x^12 + x^5 + 1)."""
    crc = 0xFFFF
    for byte in frame:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return (crc ^ 0xFFFF).to_bytes(2, "little")


def partial_pages(data: bytes) -> list[list[bytes]]:
    """The coded page as blocks of up to 256 frames of 256 octets, the last one filled up with zeros."""
    octets = [
        data[at : at + FRAME_OCTETS].ljust(FRAME_OCTETS, b"\0") for at in range(0, len(data), FRAME_OCTETS)
    ]
    return [octets[at : at + FRAMES_PER_BLOCK] for at in range(0, len(octets), FRAMES_PER_BLOCK)]


def encode(frames: Mapping[int, bytes], bits_per_s: int) -> bytes:
    """One transmission of numbered frames: flags, an FCD each, RCP three times; for +FTM, LSB first."""
    n_flags = max(2, round(PREAMBLE_S * bits_per_s / 8))
    bodies = [bytes((ADDRESS, CONTROL, FCD, number)) + data for number, data in sorted(frames.items())]
    bodies += [bytes((ADDRESS, CONTROL, RCP))] * N_RCP
    parts = [_FLAG * n_flags]
    for body in bodies:
        bits = np.unpackbits(np.frombuffer(body + fcs(body), np.uint8), bitorder="little")
        text = (bits + ord("0")).tobytes().decode("ascii")
        parts += [text.replace("11111", "111110"), _FLAG]
    parts.append(_FLAG * 2)
    text = "".join(parts)
    bits = np.frombuffer(text.encode("ascii"), np.uint8) - ord("0")
    return np.packbits(bits, bitorder="little").tobytes()


def decode(data: bytes) -> Iterator[bytes]:
    """The frames in received fast data whose FCS is right, without it."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    text = (bits + ord("0")).tobytes().decode("ascii")
    flags = [match.start() for match in _FLAG_AT.finditer(text)]
    for start, end in pairwise(flags):
        body = text[start + 8 : end].replace("111110", "11111")
        if len(body) < 40 or len(body) % 8:
            continue
        octets = np.packbits(
            np.frombuffer(body.encode("ascii"), np.uint8) - ord("0"), bitorder="little"
        ).tobytes()
        if fcs(octets[:-2]) == octets[-2:]:
            yield octets[:-2]


def numbered_frames(data: bytes) -> dict[int, bytes]:
    """Frame number to data of every good FCD in received fast data."""
    return {
        frame[3]: frame[4:]
        for frame in decode(data)
        if frame[:3] == bytes((ADDRESS, CONTROL, FCD)) and len(frame) == 4 + FRAME_OCTETS
    }


def missing_map(missing: Sequence[int]) -> bytes:
    """FIF of PPR: one bit a frame, set where it has to come again (T.30 §A.4.4)."""
    bits = np.zeros(FRAMES_PER_BLOCK, np.uint8)
    bits[list(missing)] = 1
    return np.packbits(bits, bitorder="little").tobytes()


def read_missing_map(fif: bytes) -> list[int]:
    """The frame numbers that a PPR asks for."""
    return [int(n) for n in np.flatnonzero(np.unpackbits(np.frombuffer(fif, np.uint8), bitorder="little"))]
