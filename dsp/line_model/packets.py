"""Impairments of the digital part: companding, slips, delay, lost packets."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dsp import g711
from dsp.level import BLOCK
from dsp.line_model.analogue import FractionalDelay
from dsp.line_model.impairment import Impairment, Samples, checked, samples_in

#: Coding laws by name: there and back.
LAWS = {
    "ulaw": (g711.ulaw_encode, g711.ulaw_decode),
    "alaw": (g711.alaw_encode, g711.alaw_decode),
}
#: What stands in for a packet that never arrived.
FILLS = ("silence", "repeat")


def to_int16(x: Samples) -> NDArray[np.int16]:
    """Rounded and clipped."""
    return np.clip(np.rint(x), -32768, 32767).astype(np.int16)


class Codec(Impairment):
    """G.711 there and back by ``law``: "ulaw" or "alaw"."""

    def __init__(self, law: str) -> None:
        if law not in LAWS:
            raise ValueError(f"codec {law!r} is none of {', '.join(LAWS)}")
        self._encode, self._decode = LAWS[law]

    def process(self, x: Samples) -> Samples:
        """Quantise."""
        return self._decode(self._encode(to_int16(x))).astype(np.float64)


def codecs(laws: Iterable[str]) -> list[Impairment]:
    """G.711 by each of ``laws`` in turn, with an analogue stretch between two of them.

    The same law twice without one would change nothing more: the second coder would see the very values that
    it codes. Between two converters the sampling instants differ; here by half a sample.
    """
    stages: list[Impairment] = []
    for law in laws:
        if stages:
            stages.append(FractionalDelay(0.5))
        stages.append(Codec(law))
    return stages


class Slip(Impairment):
    """``n_samples`` (±8000) too many at ``at_s``, or as many too few: once.

    What is too much is the last samples once more (or silence, with ``fill="silence"``).
    """

    def __init__(self, at_s: float, n_samples: int, fill: str = "repeat") -> None:
        self._at = samples_in("slip at", at_s)
        self._n = int(checked("slip", n_samples, -8000, 8000, "samples"))
        if fill not in FILLS:
            raise ValueError(f"fill {fill!r} is none of {', '.join(FILLS)}")
        self._repeat = fill == "repeat"
        self.reset(np.random.default_rng(0))

    def reset(self, rng: np.random.Generator) -> None:
        """Begin anew."""
        self._position = 0
        self._past = np.zeros(max(self._n, 0))

    def process(self, x: Samples) -> Samples:
        """Pass on all but at the moment itself."""
        at = self._at - self._position
        self._position += len(x)
        if self._n < 0:
            begin, end = np.clip([at, at - self._n], 0, len(x))
            return np.concatenate([x[:begin], x[end:]])
        y = x
        if 0 <= at < len(x):
            before = np.concatenate([self._past, x[:at]])
            again = before[len(before) - self._n :] if self._repeat else np.zeros(self._n)
            y = np.concatenate([x[:at], again, x[at:]])
        joined = np.concatenate([self._past, x])
        self._past = joined[len(joined) - len(self._past) :]
        return y


class BlockLoss(Impairment):
    """20 ms packets that never arrive, with silence or the last packet in their place.

    Lost are those that hold the moments ``at_s``, one every ``every_s`` seconds, and each of the others with
    probability ``share`` (0…1); none before ``from_s``. Must be the last impairment of a line, since
    ``marks`` counts its blocks.
    """

    def __init__(
        self,
        *,
        share: float = 0.0,
        every_s: float | None = None,
        at_s: Iterable[float] = (),
        fill: str = "silence",
        from_s: float = 0.0,
    ) -> None:
        self._share = checked("loss", share, 0.0, 1.0, "")
        self._every = None if every_s is None else samples_in("loss every", every_s)
        if self._every is not None and self._every < BLOCK:
            raise ValueError(f"loss every {every_s:g} s is less than one packet of 0.02 s")
        self._at = {samples_in("loss at", at) // BLOCK for at in at_s}
        if fill not in FILLS:
            raise ValueError(f"fill {fill!r} is none of {', '.join(FILLS)}")
        self._repeat = fill == "repeat"
        self._from = samples_in("loss from", from_s)
        self.reset(np.random.default_rng(0))

    def reset(self, rng: np.random.Generator) -> None:
        """Begin anew, with accidents of ``rng``."""
        self._rng = rng
        self._part = np.zeros(0)
        self._last = np.zeros(BLOCK)
        #: For each packet that came out, whether it is a stand-in.
        self.marks: list[bool] = []

    def _is_lost(self) -> bool:
        chance = self._rng.random() < self._share
        number = len(self.marks)
        start = number * BLOCK
        if start < self._from:
            return False
        due = self._every is not None and (start - self._from + BLOCK) % self._every < BLOCK
        return chance or due or number in self._at

    def _packet(self, packet: Samples) -> Samples:
        lost = self._is_lost()
        self.marks.append(lost)
        if not lost:
            self._last = packet
            return packet
        return self._last[: len(packet)] if self._repeat else np.zeros(len(packet))

    def process(self, x: Samples) -> Samples:
        """Pass on whole packets."""
        joined = np.concatenate([self._part, x])
        n = len(joined) // BLOCK * BLOCK
        self._part = joined[n:]
        return np.concatenate([np.zeros(0), *(self._packet(p) for p in joined[:n].reshape(-1, BLOCK))])

    def flush(self) -> Samples:
        """The last, short packet."""
        part, self._part = self._part, np.zeros(0)
        return self._packet(part) if len(part) else part
