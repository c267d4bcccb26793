"""The configuration's keys for what fax programs see of calls: results, ring, numbers, the modem's name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from cusemodem.call_causes import read_causes

Fields = dict[str, Any]

LONGEST_BUSY_S = 600


def _read_causes(text: str) -> Fields:
    return {"causes": tuple(read_causes(text).items())}


def _read_busy(text: str) -> Fields:
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9])?", text) or float(text) > LONGEST_BUSY_S:
        raise ValueError(f"{text!r} is out of place; write seconds from 0 to {LONGEST_BUSY_S}")
    return {"busy_after_call_s": float(text)}


def _read_rings(text: str) -> Fields:
    """`NUMBER:KIND, …`: KIND is one letter or digit, which stands behind RING."""
    kinds = {}
    for item in text.split(","):
        number, _, kind = item.strip().partition(":")
        if not (re.fullmatch(r"[0-9A-Za-z*#+_.-]{1,40}", number) and re.fullmatch(r"[0-9A-Za-z]", kind)):
            said = "write the called number and one letter or digit, for example 5550101:1, 5550102:2"
            raise ValueError(f"{item.strip()!r} is no distinctive ring; {said}")
        kinds[number] = kind.upper()
    return {"ring_types": tuple(kinds.items())}


def _read_prefix(text: str) -> Fields:
    if not re.fullmatch(r"\+|[0-9]{0,8}", text):
        raise ValueError(f"{text!r} is no prefix; write digits, for example 00 or 011, or + to keep it")
    return {"international_prefix": text}


def _read_identity(text: str) -> Fields:
    if text not in ("cusemodem", "iaxmodem"):
        raise ValueError(f"{text!r} is no name we have; write cusemodem or iaxmodem")
    return {"identity": text}


CALL_KEYS: dict[str, Callable[[str], Fields]] = {
    "causes": _read_causes,
    "busy_after_call": _read_busy,
    "distinctive_ring": _read_rings,
    "international_prefix": _read_prefix,
    "identity": _read_identity,
}
