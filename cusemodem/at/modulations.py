"""The one table of T.31 modulation codes: what +FTM and +FRM know, and which of it exists.

A code with `offered=False` has its place but is neither listed nor taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

V21: Final = 3
"""T.31's code of V.21 channel 2, the only modulation of +FTH and +FRH."""


@dataclass(frozen=True, slots=True)
class Modulation:
    """One code of +FTM and +FRM (T.31 table 3)."""

    code: int
    name: str
    rate_bps: int
    short_training: bool = False
    offered: bool = True


_ALL: Final = (
    Modulation(24, "V.27ter", 2400),
    Modulation(48, "V.27ter", 4800),
    Modulation(72, "V.29", 7200),
    Modulation(73, "V.17", 7200),
    Modulation(74, "V.17", 7200, short_training=True),
    Modulation(96, "V.29", 9600),
    Modulation(97, "V.17", 9600),
    Modulation(98, "V.17", 9600, short_training=True),
    Modulation(121, "V.17", 12000),
    Modulation(122, "V.17", 12000, short_training=True),
    Modulation(145, "V.17", 14400),
    Modulation(146, "V.17", 14400, short_training=True),
)

MODULATIONS: Final = {modulation.code: modulation for modulation in _ALL}


def offered_codes() -> tuple[int, ...]:
    """The codes that +FTM=? and +FRM=? list, ascending."""
    return tuple(code for code, modulation in MODULATIONS.items() if modulation.offered)


def offered_names() -> tuple[str, ...]:
    """The Recommendations behind those codes, V.21 first, each once."""
    names = (modulation.name for modulation in _ALL if modulation.offered)
    return tuple(dict.fromkeys(("V.21", *names)))
