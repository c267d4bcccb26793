"""Mutated datagrams against the codec, endpoints and the exchange: `python -m tests.iax.mutation [N [SEED]]`,
ten million of them without arguments.

Good datagrams of every kind, spoiled, with the numbers of calls and registrations that exist, from the
address of their peer and from others. What reaches a line of `iax` that nothing reached before is begun from
again; the lines are watched in one batch of 64, so that the others run at full speed, and those are timed.
Nothing may be raised (by the codec: only `BadFrame`), calls with others must not lose a block of audio, and
afterwards nothing may be left. Prints what datagrams cost and how much the memory grew.
"""

from __future__ import annotations

import ctypes
import gc
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import iax
from iax import Encryption
from iax.media_table import warm_up
from tests.iax.mutation_exchange import ExchangeTarget
from tests.iax.mutation_parts import Target
from tests.iax.mutation_seeds import seeds
from tests.iax.mutation_targets import CodecTarget, EndpointTarget
from tests.iax.mutator import Mutator

N_MUTATIONS = 10_000_000
BATCH = 32
BATCHES_PER_TICK = 4
"""6,400 datagrams in a second of virtual time."""
WATCHED = 64
"""One batch of so many is watched."""
SETTLED = 0.4
"""Memory is compared from this part of a run on: until then, finished dialogues of the attack accumulate, for
each lingers and its number rests for a minute."""
MAX_GROWTH_KIB = 8192
MAX_MEAN_US = 20.0

TARGETS: tuple[Callable[[int], Target], ...] = (
    lambda _: CodecTarget(),
    EndpointTarget,
    lambda seed: EndpointTarget(seed, batches=True),
    lambda seed: EndpointTarget(seed, encryption=Encryption.REQUIRED),
    ExchangeTarget,
)


class Lines:
    """Which lines of `iax` have been reached."""

    def __init__(self) -> None:
        self._root = str(Path(iax.__file__).parent)
        self._left: dict[CodeType, set[int]] = {}
        self.n_reached = 0
        self._new = False

    def watch(self, action: Callable[[], None]) -> bool:
        """Run ACTION; return whether it reached a line that nothing had reached."""
        self._new = False
        before = sys.gettrace()  # a coverage tool's or a debugger's
        sys.settrace(self._called)
        try:
            action()
        finally:
            sys.settrace(before)
        return self._new

    def _called(self, frame: FrameType, event: str, arg: Any) -> Any:  # noqa: ANN401 - as sys has it
        code = frame.f_code
        left = self._left.get(code)
        if left is None:
            ours = code.co_filename.startswith(self._root)
            left = {line for _, _, line in code.co_lines() if line and ours}
            self._left[code] = left
        return self._reached if left else None

    def _reached(self, frame: FrameType, event: str, arg: Any) -> Any:  # noqa: ANN401 - as sys has it
        if event == "line":
            left = self._left[frame.f_code]
            if frame.f_lineno in left:
                left.discard(frame.f_lineno)
                self.n_reached += 1
                self._new = True
        return self._reached


@dataclass
class Figures:
    """What a run against one target showed."""

    name: str
    n: int = 0
    n_timed: int = 0
    cost_s: float = 0.0
    grown_kib: int = 0
    n_found: int = 0
    n_lines: int = 0
    lasted_s: float = 0.0

    @property
    def mean_us(self) -> float:
        """Processor time of a datagram."""
        return self.cost_s / max(1, self.n_timed) * 1e6


def resident_kib() -> int:
    """Return how much memory the process has."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what is free already is nobody's
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def mutate(target: Target, n: int, seed: int, lines: Lines) -> Figures:
    """Send N mutated datagrams to TARGET, and let it come to rest."""
    figures = Figures(target.name)
    began, lines_before = time.monotonic(), lines.n_reached
    mutator = Mutator(random.Random(seed), seeds())
    clock = time.process_time
    settled_kib = 0
    for turn in range(-(-n // BATCH)):
        batch = [target.aimed(mutator) for _ in range(BATCH)]
        try:
            if turn % WATCHED == 0 or turn < WATCHED:
                for one in batch:
                    if lines.watch(target.taking([one])):
                        mutator.remember(one[0])
            else:
                take = target.taking(batch)
                start = clock()
                take()
                figures.cost_s += clock() - start
                figures.n_timed += BATCH
        except Exception:
            print(
                f"{target.name}, seed {seed}, turn {turn}:", *(f"{d.hex()} {a}" for d, a in batch), sep="\n"
            )
            raise
        figures.n += BATCH
        if turn % BATCHES_PER_TICK == 0:
            target.tick()
        if not settled_kib and figures.n >= SETTLED * n:
            settled_kib = resident_kib()
    figures.grown_kib = resident_kib() - settled_kib
    target.finish()
    figures.n_found, figures.n_lines = len(mutator.found), lines.n_reached - lines_before
    figures.lasted_s = time.monotonic() - began
    return figures


def main(n: int, seed: int) -> int:
    """Print the figures of N datagrams; 1 if they cost or left too much."""
    lines = Lines()
    warm_up()
    print("   datagrams  µs each  grown KiB  new lines  found  seconds")
    runs = []
    for i, make in enumerate(TARGETS):
        runs.append(mutate(make(seed), n // len(TARGETS), seed + i, lines))
        run = runs[-1]
        print(
            f"{run.n:12,}  {run.mean_us:7.2f}  {run.grown_kib:9}  {run.n_lines:9}  {run.n_found:5}"
            f"  {run.lasted_s:7.0f}  {run.name}",
            flush=True,
        )
    mean_us = sum(run.cost_s for run in runs) / sum(run.n_timed for run in runs) * 1e6
    print(f"{sum(run.n for run in runs):12,}  {mean_us:7.2f}  all; {lines.n_reached} lines; no exception")
    too_much = mean_us > MAX_MEAN_US or max(run.grown_kib for run in runs) > MAX_GROWTH_KIB
    return int(too_much)


if __name__ == "__main__":
    sys.exit(
        main(
            int(sys.argv[1]) if len(sys.argv) > 1 else N_MUTATIONS,
            int(sys.argv[2]) if len(sys.argv) > 2 else 1,
        )
    )
