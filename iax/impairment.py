"""A bad network, repeatable from its seed: loses, duplicates, swaps and delays datagrams."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

from iax.frames import Address

REORDER_DELAY_S = 0.03
"""A datagram chosen for reordering is held back this long: behind the next one or two of a 20 ms stream."""
MAX_HELD = 20_000
CLOCK_RESERVE_S = 0.2
CLOCK_REST_S = 5.0
"""After so long a pause a clock difference begins anew."""
MAX_CLOCKS = 10_000


@dataclass(frozen=True, slots=True)
class Impairments:
    """How bad the network is. Probabilities are 0 to 1, for each datagram by itself."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    jitter_ms: float = 0.0
    """Each datagram is delayed by 0 to this, evenly distributed."""
    clock_ppm: float = 0.0
    """The sender's clock seems this much faster (+) or slower (-): the delay shrinks from
    CLOCK_RESERVE_S, or grows, for as long as datagrams flow to one address."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("loss", "duplicate", "reorder"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} of {value} is not a probability from 0 to 1")
        if not -1000 <= self.clock_ppm <= 1000:
            raise ValueError(f"clock difference of {self.clock_ppm} ppm is not within -1000 to 1000 ppm")
        if not 0 <= self.jitter_ms <= 10_000:
            raise ValueError(f"jitter of {self.jitter_ms} ms is not within 0 to 10000 ms")


class Impairer:
    """Holds datagrams until their time comes."""

    def __init__(self, impairments: Impairments) -> None:
        self._impairments = impairments
        self._rng = random.Random(impairments.seed)
        self._held: list[tuple[float, int, bytes, Address]] = []
        self._serial = 0
        self._clocks: dict[Address, tuple[float, float]] = {}
        self.lost = 0
        self.duplicated = 0
        self.reordered = 0

    def put(self, datagram: bytes, addr: Address, now: float) -> None:
        """Take a datagram that would go to ADDR now."""
        worst, rng = self._impairments, self._rng
        if rng.random() < worst.loss or len(self._held) >= MAX_HELD:
            self.lost += 1
            return
        late_s = self._clock_delay_s(addr, now) if worst.clock_ppm else 0.0
        copies = 1
        if rng.random() < worst.duplicate:
            copies = 2
            self.duplicated += 1
        for _ in range(copies):
            due = now + late_s
            if worst.jitter_ms:
                due += rng.uniform(0, worst.jitter_ms / 1000)
            if rng.random() < worst.reorder:
                due += REORDER_DELAY_S
                self.reordered += 1
            self._serial += 1
            heapq.heappush(self._held, (due, self._serial, datagram, addr))

    def _clock_delay_s(self, addr: Address, now: float) -> float:
        began, last = self._clocks.get(addr, (now, now))
        if now - last > CLOCK_REST_S:
            began = now
        if len(self._clocks) >= MAX_CLOCKS:
            self._clocks.clear()
        self._clocks[addr] = began, now
        drift_s = (now - began) * self._impairments.clock_ppm * 1e-6
        return max(0.0, (CLOCK_RESERVE_S if self._impairments.clock_ppm > 0 else 0.0) - drift_s)

    def due(self, now: float) -> list[tuple[bytes, Address]]:
        """Return the datagrams whose time has come, in order."""
        ready = []
        while self._held and self._held[0][0] <= now:
            _, _, datagram, addr = heapq.heappop(self._held)
            ready.append((datagram, addr))
        return ready

    def next_timer(self) -> float | None:
        """Return when the next datagram is due."""
        return self._held[0][0] if self._held else None
