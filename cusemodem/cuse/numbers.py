"""Device numbers: one major for all modems, a minor each.

A CUSE device with a number of the kernel's choice uses up a whole major out of a pool of some 150. The range
for local use (240-254) is ours to choose from, as long as no driver has settled there: the kernel gives out
dynamic numbers from its upper end. A number that was chosen stays the same over restarts.
"""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import count
from pathlib import Path

LOCAL_MAJORS = range(240, 255)
LARGEST_MAJOR = 511
LARGEST_MINOR = (1 << 20) - 1
N_MAJORS = 3
N_MINORS = 4

_DEVICES = Path("/sys/dev/char")


def majors_to_try() -> list[int]:
    """Majors for local use that other drivers do not use, those with modems already first."""
    ours: set[int] = set()
    others: set[int] = set()
    for link in _DEVICES.glob("*:*") if _DEVICES.is_dir() else ():
        with suppress(OSError, ValueError):
            major = int(link.name.partition(":")[0])
            if major in LOCAL_MAJORS:
                (ours if link.readlink().parent.name == "cuse" else others).add(major)
    free = [major for major in LOCAL_MAJORS if major not in others]
    return sorted(free, key=lambda major: major not in ours)[:N_MAJORS]


def minors_to_try(name: str, major: int) -> list[int]:
    """Minors that are likely free, best first: the number at the end of the name, then the lowest ones."""
    taken = _taken_minors(major)
    digits = re.search(r"[0-9]{1,6}$", name)
    wanted = [int(digits[0])] if digits and int(digits[0]) not in taken else []
    for minor in count():
        if len(wanted) == N_MINORS or minor > LARGEST_MINOR:
            return wanted
        if minor not in taken and minor not in wanted:
            wanted.append(minor)
    return wanted


def _taken_minors(major: int) -> set[int]:
    """Those of devices that are there now; a region without any is known to the kernel only."""
    return {int(link.name.partition(":")[2]) for link in _DEVICES.glob(f"{major}:*")}
