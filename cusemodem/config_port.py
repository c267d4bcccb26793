"""The keys of a modem's serial port: how its node is numbered, kept, and what a closed port means to callers.

Readers as in `config_keys`: text to fields, or ValueError with what is wrong; what to write.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Callable

from cusemodem.config_telephone import Fields
from cusemodem.cuse.numbers import LARGEST_MAJOR


def _read_major(text: str) -> Fields:
    if text == "auto":
        return {"major": None}
    if text == "dynamic":
        return {"major": 0}
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 0 <= int(text) <= LARGEST_MAJOR:
        raise ValueError(f"{text!r} is no major number; write auto, dynamic, or a number from 240 to 254")
    return {"major": int(text)}


def _flag_reader(field: str) -> Callable[[str], Fields]:
    def read(text: str) -> Fields:
        states = configparser.RawConfigParser.BOOLEAN_STATES
        if text.lower() not in states:
            raise ValueError(f"{text!r} is neither yes nor no; write yes or no")
        return {field: states[text.lower()]}

    return read


PORT_KEYS: dict[str, Callable[[str], Fields]] = {
    "major": _read_major,
    "keep": _flag_reader("keep"),
    "busy_when_closed": _flag_reader("busy_when_closed"),
}
