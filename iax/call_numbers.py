"""Call numbers of one UDP port: random, at rest for a minute after use, and no other port's on this host."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Container

from iax.frames import MAX_CALL_NUMBER, STATELESS_CALL_NUMBER

QUARANTINE_S = 60.0
"""A call number is not used again for so long."""
NUMBER_CLASSES = 32
"""Call numbers are dealt out by UDP port modulo this, so that the modems of one host, which have ports in a
row, never use the same one; chan_iax2 under load mixes up callers of one host whose numbers are equal."""
OWN_CLASS_TRIES = 20
"""After so many numbers in use, which means thousands of calls a minute, any class will do."""


class CallNumbers:
    """Deals out the numbers of one port and takes them back."""

    def __init__(self, rng: random.Random, port: int) -> None:
        self._rng = rng
        self._port = port
        self._resting: deque[tuple[float, int]] = deque()
        self._rests: set[int] = set()

    def new(self, in_use: Container[int], n_in_use: int) -> int:
        """Return a number that is neither among the N_IN_USE numbers IN_USE nor resting."""
        while self._resting and n_in_use + len(self._resting) > MAX_CALL_NUMBER // 2:
            self._rests.discard(self._resting.popleft()[1])
        tries = 0
        while True:
            tries += 1
            number = self._rng.randint(STATELESS_CALL_NUMBER + 1, MAX_CALL_NUMBER)
            if tries <= OWN_CLASS_TRIES:
                number += (self._port - number) % NUMBER_CLASSES
                if number > MAX_CALL_NUMBER:
                    continue
            if number not in in_use and number not in self._rests:
                return number

    def rest(self, number: int, now: float) -> None:
        """Take NUMBER back: its dialogue is gone."""
        self._resting.append((now + QUARANTINE_S, number))
        self._rests.add(number)

    def wake(self, now: float) -> None:
        """Let go of the numbers that have rested long enough."""
        while self._resting and self._resting[0][0] <= now:
            self._rests.discard(self._resting.popleft()[1])
