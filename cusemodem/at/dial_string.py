"""The dial string of D (V.250 §6.3.1), as far as a network without dial tone knows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_DIGITS: Final = frozenset("0123456789*#ABCD")
_IGNORED: Final = frozenset("TPW!+-()./>IG ")
"""Method (T P), wait for dial tone, flash, international, layout, and GSM's modifiers."""

MAX_DIGITS: Final = 64
"""Of the number, and of what follows the first comma."""


@dataclass(frozen=True, slots=True)
class DialString:
    """`number` is called; `after_answer` (digits and commas) is sent once it has answered.

    `silent` (`@`): no calling tone. `stay_in_command` (`;`): the call is set up, the modem stays off.
    `international`: a `+` stood before the first digit. `awaits_tone`: a `W` did, so S6 need not pass.
    """

    number: str
    after_answer: str = ""
    silent: bool = False
    stay_in_command: bool = False
    international: bool = False
    awaits_tone: bool = False

    @property
    def again(self) -> str:
        """What L dials: the same call, whatever stood behind it in its line."""
        return ("+" if self.international else "") + self.number + self.after_answer + "@" * self.silent

    @property
    def n_pauses(self) -> int:
        """How many commas wait S8 seconds each."""
        return self.after_answer.count(",")


def parse_dial_string(text: str, stored: Mapping[int, str], last: str) -> DialString | None:
    """What the argument of D asks for; None when it holds what no dial string can.

    `S=n` takes number n of `stored`, a lone `L` repeats `last` (the previous dial string).

    >>> parse_dial_string("T9W555-0100,,12;", {}, "")
    DialString(number='95550100', after_answer=',,12', silent=False, stay_in_command=True, \
international=False, awaits_tone=False)
    """
    method = text.lstrip("TP")
    if method.rstrip(";") == "L":
        text = last + (";" if method.endswith(";") else "")
    elif method.startswith("S="):
        text = _recall(method[2:], stored)
    stay = text.endswith(";")
    number: list[str] = []
    after: list[str] = []
    silent = international = awaits_tone = False
    if "+" in text:
        text = text.replace("(0)", "")  # +44 (0)20 …: the national prefix is not dialled from abroad
    for symbol in text.removesuffix(";"):
        if symbol in _DIGITS:
            (after if after else number).append(symbol)
        elif symbol == ",":
            if number:  # a pause before the first digit waits for nothing here
                after.append(symbol)
        elif symbol == "@":
            silent = True
        elif symbol == "+" and not number:
            international = True
        elif symbol == "W" and not number:
            awaits_tone = True
        elif symbol not in _IGNORED:
            return None
    if len(number) > MAX_DIGITS or len(after) > MAX_DIGITS:
        return None
    return DialString("".join(number), "".join(after), silent, stay, international, awaits_tone)


def _recall(index: str, stored: Mapping[int, str]) -> str:
    digits = index.rstrip(";")
    number = stored.get(int(digits or "0"), "?") if not digits or digits.isdecimal() else "?"
    return number + index[len(digits) :]  # '?' is no dial symbol: an empty place is an error
