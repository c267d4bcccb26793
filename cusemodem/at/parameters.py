"""The extended commands that only hold values: what each accepts, its factory value and how it is read back.

Two kinds stand in one table. Those with a range are checked; those without are *tolerated*: init strings
written for other modems set them, we store and return what they set, and nothing else comes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_STORED: Final = 64
"""Characters kept of a tolerated command's value."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value-holding command.

    `ranges`: (low, high) of each comma-separated number, None for a tolerated command (any text).
    `bare`: read and test answers are the value alone, as T.31 writes them; else `+NAME: value` (V.250).
    """

    factory: str
    test: str
    ranges: tuple[tuple[int, int], ...] | None = None
    bare: bool = False
    meaning: str = "kept, without effect"

    def accepts(self, argument: str) -> str | None:
        """The value to store, or None when `argument` is out of range. Omitted numbers keep the factory's."""
        if self.ranges is None:
            return argument if len(argument) <= MAX_STORED else None
        given = argument.split(",")
        if len(given) > len(self.ranges):
            return None
        values = self.factory.split(",")
        for i, text in enumerate(given):
            low, high = self.ranges[i]
            if text == "":
                continue
            if not text.isdecimal() or len(text) > 9 or not low <= int(text) <= high:
                return None
            values[i] = str(int(text))
        return ",".join(values)


def _fax(factory: str, meaning: str, *ranges: tuple[int, int]) -> Parameter:
    test = ",".join(f"({low}-{high})" if high > low + 1 else f"({low},{high})" for low, high in ranges)
    return Parameter(factory, test, ranges, bare=True, meaning=meaning)


def _tolerated(factory: str, test: str) -> Parameter:
    return Parameter(factory, test)


PARAMETERS: Final = {
    # T.31 §8.5: fax parameters
    "+FAR": _fax("0", "adaptive reception: +FRH:3 in +FRM", (0, 1)),
    "+FCL": _fax("0", "tenths of a second that a carrier may be lost", (0, 255)),
    "+FDD": _fax("0", "1: DLE SUB for two DLEs", (0, 1)),
    "+FIT": _fax("0,0", "seconds of host inactivity, class kept", (0, 255), (0, 1)),
    "+FLO": _fax("1", "flow control: the device's own, kept", (0, 2)),
    "+FPR": _fax("0", "serial rate: none, kept", (0, 230400)),
    "+FAA": _fax("0", "adaptive answer: always fax", (0, 1)),
    "+FAE": _fax("0", "adaptive answer: always fax", (0, 1)),
    # V.253 §8: caller ID
    "+VCID": _fax("0", "caller-ID lines before the first RING", (0, 1)),
    # V.250 §6.2, §6.4, §6.5: accepted for other modems' init strings
    "+IFC": _tolerated("2,2", "(0-3),(0-2)"),
    "+ILRR": _tolerated("0", "(0,1)"),
    "+ICF": _tolerated("3,3", "(0-6),(0-3)"),
    "+IPR": _tolerated("0", "(),(0,300-115200)"),
    "+MS": _tolerated("", "()"),
    "+MR": _tolerated("0", "(0,1)"),
    "+MA": _tolerated("", "()"),
    "+ES": _tolerated("0,0,0", "(0-7),(0-4),(0-9)"),
    "+EB": _tolerated("0,0,0", "(0,1),(0,1),(0-255)"),
    "+ER": _tolerated("0", "(0,1)"),
    "+EFCS": _tolerated("0", "(0-2)"),
    "+ETBM": _tolerated("0,0,0", "(0-2),(0-2),(0-255)"),
    "+EWIND": _tolerated("15,15", "(1-127),(1-127)"),
    "+EFRAM": _tolerated("128,128", "(1-65535),(1-65535)"),
    "+ESR": _tolerated("0", "(0-2)"),
    "+DS": _tolerated("0,0,512,6", "(0-3),(0,1),(512-65535),(6-250)"),
    "+DR": _tolerated("0", "(0,1)"),
    "+A8E": _tolerated("0,0,0", "(0-6),(0-5),(00-FF)"),
    "+VIP": _tolerated("0", "(0)"),
    "+VGR": _tolerated("128", "(0-255)"),
    "+VGT": _tolerated("128", "(0-255)"),
    "+VIT": _tolerated("0", "(0-255)"),
    "+VDR": _tolerated("0,0", "(0,1),(0-255)"),
    "+VDT": _tolerated("0,0", "(0,1),(0-255)"),
    # other makers' class commands
    "#CLS": _tolerated("0", "(0,1)"),
    "#VLS": _tolerated("0", "(0-255)"),
}

TOLERATED_BASIC: Final = frozenset(
    "B N W Y -J -K %C \\N \\Q \\V &B &G &H &I &J &K &L &M &P &Q &R &S &U &X".split()
)
"""Basic commands of other modems that get OK and change nothing (data modes, serial port, jumpers)."""
