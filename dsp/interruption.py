"""Where a fast signal was interrupted: which samples the receiver had to do without, and where it slipped.

Gaps and slips are overcome without a training, so nothing else tells the layer above that data are missing or
have moved. The receiver notes each one in its record; the last of them are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dsp.kernel import Record, kernel

#: Interruptions that are kept: the last ones; a power of two.
KEPT = 32

LOST, GAP, SLIP = range(3)
_NAMES = ("lost", "gap", "slip")

#: The log of one receiver; a zeroed record is empty.
INTERRUPTIONS = np.dtype(
    [
        ("n", "i4"),  # since the receiver was started
        ("kind", "u1", (KEPT,)),
        ("at", "i8", (KEPT,)),
        ("n_samples", "i4", (KEPT,)),
    ],
    align=True,
)


@dataclass(frozen=True, slots=True)
class Interruption:
    """One interruption of a fast signal between training and carrier off."""

    #: "lost": marked as never arrived; "gap": quiet, as packets filled with silence on the way are; "slip":
    #: the signal went on at another instant or phase, as after samples dropped or inserted.
    kind: str
    #: First sample of it, counted since the order to receive; of a gap or slip to some ms.
    at_sample: int
    #: How long it was; 0 for a slip: how far the signal has moved, only its data can tell.
    n_samples: int


@kernel
def note_interruption(log: Record, kind: int, at: int, n_samples: int) -> None:
    """Append an interruption; a lost block that follows a lost block makes it longer."""
    last = (log.n - 1) % KEPT
    if kind == LOST and log.n > 0 and log.kind[last] == LOST and log.at[last] + log.n_samples[last] == at:
        log.n_samples[last] += n_samples
        return
    place = log.n % KEPT
    log.kind[place] = kind
    log.at[place] = at
    log.n_samples[place] = n_samples
    log.n += 1


def interruptions(log: Any) -> tuple[Interruption, ...]:  # noqa: ANN401 - a record of INTERRUPTIONS
    """What the record holds, oldest first."""
    n = int(log["n"])
    places = [k % KEPT for k in range(max(n - KEPT, 0), n)]
    return tuple(
        Interruption(_NAMES[int(log["kind"][k])], int(log["at"][k]), int(log["n_samples"][k])) for k in places
    )
