"""The bad networks that faxes are tried over: for `udp-impair` in real time, and the same in virtual time."""

from __future__ import annotations

import random
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class NetworkCase:
    """What a network between a modem and its server does, as `udp-impair` has it."""

    name: str
    loss_percent: float = 0.0
    delay_ms: tuple[float, float] = (0.0, 0.0)
    reorder: bool = False
    down_only: bool = False
    "server to modem only: what a modem's own jitter buffer can mend"
    goal: Fraction = Fraction(1)
    "share of calls whose pages all arrive as they were sent"

    def reached(self, n_good: int, n_calls: int, goal: Fraction | None = None) -> bool:
        """Whether so many good calls reach the goal, or GOAL: 18 of 19 are less than 95 %."""
        return n_calls > 0 and n_good >= (self.goal if goal is None else goal) * n_calls

    def options(self, seed: int) -> list[str]:
        """For `udp-impair`."""
        low, high = self.delay_ms
        return [
            *("--loss", f"{self.loss_percent:g}", "--delay", f"{low:g}-{high:g}", "--seed", str(seed)),
            *(["--reorder"] if self.reorder else []),
            *("--direction", "down" if self.down_only else "both"),
        ]


CASES = {
    "clean": NetworkCase("clean"),
    "jitter": NetworkCase("jitter 20-60 ms in order", delay_ms=(20, 60)),
    "reordered": NetworkCase(
        "jitter 20-60 ms reordered, server to modem", delay_ms=(20, 60), reorder=True, down_only=True
    ),
    "loss-0.5": NetworkCase("loss 0.5 %", loss_percent=0.5, goal=Fraction(19, 20)),
    "loss-1": NetworkCase("loss 1 %", loss_percent=1.0, goal=Fraction(9, 10)),
}


class SpoiltPath:
    """The same as `udp-impair` does, for one client: when each datagram arrives, or that it is lost."""

    def __init__(self, case: NetworkCase, seed: int) -> None:
        self._case = case
        self._rng = random.Random(seed)
        self._last = {"up": 0.0, "down": 0.0}
        self.lost = {"up": 0, "down": 0}

    def arrival(self, way: str, now: float) -> float | None:
        """When a datagram sent `now` arrives; `way`: up (from the modem) or down. None: never."""
        case, when = self._case, now
        if way == "down" or not case.down_only:
            if self._rng.random() < case.loss_percent / 100:
                self.lost[way] += 1
                return None
            when += self._rng.uniform(*case.delay_ms) / 1000
        if not case.reorder:
            when = self._last[way] = max(when, self._last[way])
        return when
