"""Makes bad datagrams out of good ones: octets changed, cut, doubled and joined; lengths that lie; numbers of
dialogues that exist written in, so that the damage gets past the door."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from iax.elements import Element, encode
from iax.frames import FrameType
from tests.iax.mutation_seeds import pair

MAX_OCTETS = 4096
"""As many as the endpoint's socket takes."""
MAX_FOUND = 4000
SPECIAL = bytes((0, 1, 2, 4, 5, 6, 8, 0x0A, 0x0C, 0x10, 0x1F, 0x28, 0x36, 0x40, 0x7F, 0x80, 0xFE, 0xFF))
HEADER = 12
_ELEMENTS = [encode([pair(element)]) for element in Element]


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a frame must carry for a dialogue to take it, as its peer would send it now."""

    source: int
    destination: int
    o_seq: int
    i_seq: int


def aim(octets: bytearray, numbers: Numbers, rng: random.Random) -> None:
    """Write NUMBERS into a frame of whatever kind; one frame in four keeps its own sequence numbers, and
    one in ten is a few off."""
    source, n = numbers.source, len(octets)
    if n >= HEADER and octets[0] & 0x80:
        octets[0], octets[1] = 0x80 | source >> 8 & 0x7F, source & 0xFF
        octets[2] = octets[2] & 0x80 | numbers.destination >> 8
        octets[3] = numbers.destination & 0xFF
        chance = rng.random()
        if chance < 0.65:
            octets[8], octets[9] = numbers.o_seq, numbers.i_seq
        elif chance < 0.75:
            octets[8] = numbers.o_seq + SPECIAL[int(rng.random() * len(SPECIAL))] & 0xFF
            octets[9] = numbers.i_seq + SPECIAL[int(rng.random() * len(SPECIAL))] & 0xFF
    elif n >= 4 and octets[0] | octets[1]:
        octets[0], octets[1] = source >> 8 & 0x7F, source & 0xFF
    elif n >= HEADER and octets[2] == 1:
        at, step, first = 8, 6 if octets[3] else 4, 2 if octets[3] else 0
        while at + step <= n:
            length = octets[at + 2 - first] << 8 | octets[at + 3 - first]
            octets[at + first], octets[at + first + 1] = source >> 8 & 0x7F, source & 0xFF
            at += step + length


class Mutator:
    """One stream of bad datagrams. `found`: those that reached something new, to begin from again."""

    def __init__(self, rng: random.Random, good: Sequence[bytes]) -> None:
        self.rng = rng
        self._good = tuple(good)
        self.found: list[bytes] = []
        self._edits: tuple[Callable[[bytearray], None], ...] = (
            *(self._flip, self._flip, self._set, self._set, self._insert, self._delete, self._cut),
            *(self._repeat, self._splice, self._lie, self._lie, self._element, self._subclass, self._time),
        )

    def datagram(self) -> bytearray:
        """A datagram with 0 to many faults; two in five are whole, for they go furthest."""
        random = self.rng.random
        octets = bytearray(self._base())
        while random() < 0.6:
            self._edits[int(random() * len(self._edits))](octets)
        del octets[MAX_OCTETS:]
        return octets

    def remember(self, datagram: bytes) -> None:
        """Begin from this one too."""
        if len(self.found) < MAX_FOUND:
            self.found.append(datagram)

    def _base(self) -> bytes:
        pool = self.found if self.found and self.rng.random() < 0.3 else self._good
        return pool[int(self.rng.random() * len(pool))]

    def _at(self, octets: bytearray) -> int:
        return int(self.rng.random() * len(octets))

    def _octet(self) -> int:
        chance = self.rng.random()
        return int(chance * 512) if chance < 0.5 else SPECIAL[int(chance * 997) % len(SPECIAL)]

    # -- on any datagram

    def _flip(self, octets: bytearray) -> None:
        if octets:
            octets[self._at(octets)] ^= 1 << int(self.rng.random() * 8)

    def _set(self, octets: bytearray) -> None:
        if octets:
            octets[self._at(octets)] = self._octet()

    def _insert(self, octets: bytearray) -> None:
        at = int(self.rng.random() * (len(octets) + 1))
        octets[at:at] = bytes((self._octet(),)) * (1 + int(self.rng.random() * 4))

    def _delete(self, octets: bytearray) -> None:
        at = int(self.rng.random() * (len(octets) + 1))
        del octets[at : at + 1 + int(self.rng.random() * 8)]

    def _cut(self, octets: bytearray) -> None:
        del octets[int(self.rng.random() * (len(octets) + 1)) :]

    def _repeat(self, octets: bytearray) -> None:
        at = int(self.rng.random() * (len(octets) + 1))
        part = octets[at : at + int(self.rng.random() * 40)]
        octets[at:at] = part * (1 + int(self.rng.random() * 3))

    def _splice(self, octets: bytearray) -> None:
        other = self._base()
        at = int(self.rng.random() * (len(octets) + 1))
        octets[at:] = other[int(self.rng.random() * len(other)) if self.rng.random() < 0.5 else at :]

    # -- on what it is

    def _lie(self, octets: bytearray) -> None:
        """Another length of an information element, or of a trunk frame's entry."""
        places = []
        if len(octets) > HEADER and octets[0] & 0x80:
            at = HEADER
            while at + 1 < len(octets):
                places.append(at + 1)
                at += 2 + octets[at + 1]
        elif len(octets) > HEADER and octets[:3] == b"\0\0\1":
            at, step, length = 8, 6 if octets[3] else 4, 0 if octets[3] else 2
            while at + step <= len(octets):
                places.append(at + length + 1)
                at += step + (octets[at + length] << 8 | octets[at + length + 1])
        if places:
            at = places[int(self.rng.random() * len(places))]
            change = self._octet() if self.rng.random() < 0.4 else octets[at] + int(self.rng.random() * 9) - 4
            octets[at] = change & 0xFF

    def _element(self, octets: bytearray) -> None:
        """One more information element at the end."""
        if len(octets) >= HEADER and octets[0] & 0x80:
            octets += _ELEMENTS[int(self.rng.random() * len(_ELEMENTS))]

    def _subclass(self, octets: bytearray) -> None:
        """The same as another command."""
        if len(octets) >= HEADER and octets[0] & 0x80:
            octets[10] = FrameType.IAX if self.rng.random() < 0.7 else int(self.rng.random() * 14)
            octets[11] = int(self.rng.random() * 42)

    def _time(self, octets: bytearray) -> None:
        """Another time stamp."""
        at = 4 if octets and octets[0] & 0x80 else 2
        if len(octets) >= at + 4:
            octets[at : at + 2] = bytes((self._octet(), self._octet()))
