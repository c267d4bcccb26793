"""Device numbers: one major for all modems, a minor each.

A CUSE device with a number of the kernel's choice uses up a whole major out of a pool of some 150; the range
for local use (240-254) is ours to choose from, and a fixed one stays the same over restarts.
"""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import count
from pathlib import Path

DEFAULT_MAJOR = 240
LARGEST_MINOR = (1 << 20) - 1
N_TRIES = 4

_CLASS = Path("/sys/class/cuse")


def minors_to_try(name: str, major: int) -> list[int]:
    """Minors that are likely free, best first: the number at the end of the name, then the lowest ones."""
    taken = _taken_minors(major)
    digits = re.search(r"[0-9]{1,6}$", name)
    wanted = [int(digits[0])] if digits and int(digits[0]) not in taken else []
    for minor in count():
        if len(wanted) == N_TRIES or minor > LARGEST_MINOR:
            return wanted
        if minor not in taken and minor not in wanted:
            wanted.append(minor)
    return wanted


def _taken_minors(major: int) -> set[int]:
    """Those of CUSE devices that are there now; of other drivers the kernel knows only."""
    taken = set()
    for entry in _CLASS.glob("*/dev") if _CLASS.is_dir() else ():
        with suppress(OSError, ValueError):
            its_major, minor = map(int, entry.read_text().split(":"))
            if its_major == major:
                taken.add(minor)
    return taken
