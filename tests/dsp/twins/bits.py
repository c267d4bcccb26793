"""Slow twins of the bit kernels: scramblers and HDLC as their definitions read, on lists and strings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

FLAG = "01111110"


def scramble_v29(data: Sequence[int], past: Sequence[int]) -> list[int]:
    """V.29 §7, V.17 §4: 1 + x^-18 + x^-23; ``past``: the 23 line bits before, oldest first."""
    line = list(past)
    for bit in data:
        line.append(bit ^ line[-18] ^ line[-23])
    return line[len(past) :]


def scramble_v27ter(data: Sequence[int], past: Sequence[int]) -> list[int]:
    """V.27ter §5: 1 + x^-6 + x^-7 with the guard; ``past``: the 12 line bits before, oldest first.

    The guard counts the bits for which the line has gone on repeating itself with a period of 8, 9 or 12
    (and so of 1, 2, 3, 4 or 6); the bit after the 33rd is inverted.
    """
    line = list(past)
    repeating = 0
    for bit in data:
        out = bit ^ line[-6] ^ line[-7]
        if repeating >= 33:
            out ^= 1
            repeating = 0
        elif out != line[-8] and out != line[-9] and out != line[-12]:
            repeating = 0
        else:
            repeating += 1
        line.append(out)
    return line[len(past) :]


def crc(bits: str) -> str:
    """The 16 check bits in line order: remainder of long division by x^16 + x^12 + x^5 + 1.

    Preset to ones, that is with the first 16 bits inverted; the complement of the remainder is sent, highest
    power first.
    """
    dividend = [int(bit) for bit in bits] + [0] * 16
    for k in range(16):
        dividend[k] ^= 1
    for k in range(len(bits)):
        if dividend[k]:
            for power in (16, 12, 5, 0):
                dividend[k + 16 - power] ^= 1
    return "".join(str(bit ^ 1) for bit in dividend[len(bits) :])


def line_bits(octets: bytes) -> str:
    """Least significant bit first."""
    return "".join(f"{octet:08b}"[::-1] for octet in octets)


def octets_of(bits: str) -> bytes:
    """The reverse; a rest of less than eight bits is left out."""
    return bytes(int(bits[k : k + 8][::-1], 2) for k in range(0, len(bits) - 7, 8))


def hdlc_transmission(frames: Sequence[bytes], preamble_flags: int) -> str:
    """Preamble, each frame with its check bits and two flags after it."""
    sent = FLAG * preamble_flags
    for frame in frames:
        content = line_bits(frame)
        sent += re.sub("11111", "111110", content + crc(content)) + FLAG * 2
    return sent


def hdlc_frames(line: str, most_octets: int = 284) -> list[tuple[bytes, bool]]:
    """(octets with the check sequence, whether it is right) of all that lies between two flags.

    Bits that are left over make a frame bad, and count with the flag's own seven up to its last one.
    """
    frames = []
    flags = [match.start() for match in re.finditer(f"(?={FLAG})", line)]
    for this, following in pairwise(flags):
        content = line[this + 8 : following]
        if "1111111" in content:
            continue
        data = re.sub("111110", "11111", content + FLAG[:-1]) if following >= this + 8 else ""
        octets = octets_of(data)
        if not 3 <= len(octets) <= most_octets:
            continue
        checked = line_bits(octets)
        frames.append((octets, len(data) % 8 == 7 and crc(checked[:-16]) == checked[-16:]))
    return frames
