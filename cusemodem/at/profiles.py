"""What &W, &Y and &Z store: two profiles, which of them is in force at the start, and telephone numbers.

Kept as JSON text by whoever made the engine (`store`): a modem's memory survives its program.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from cusemodem.at.caller_id import MAX_LENGTH, sanitise
from cusemodem.at.dial_string import parse_dial_string
from cusemodem.at.parameters import PARAMETERS
from cusemodem.at.settings import FACTORY_BASIC, HIGHEST_BASIC, Settings

N_PROFILES: Final = 2
N_NUMBERS: Final = 10
_FORMAT: Final = 1


class ProfileError(ValueError):
    """Stored text that is not what `as_text` wrote, in one sentence."""


@dataclass(slots=True)
class Profiles:
    """The stored profiles; None in `stored` is a place never written, which stands for factory settings."""

    stored: list[Settings | None] = field(default_factory=lambda: [None] * N_PROFILES)
    at_start: int = 0
    numbers: dict[int, str] = field(default_factory=dict)
    store: Callable[[str], bool] = field(default=lambda _text: True, repr=False)
    """Keeps the text of all of it; False when that failed."""
    trouble: str = ""
    """What is wrong with the memory, in one sentence."""

    def load(self, number: int) -> Settings:
        """A copy of profile `number`; +FCLASS is 0 in every one (T.31 §8.2)."""
        settings = Settings()
        if (kept := self.stored[number]) is not None:
            settings.load(kept)
        return settings

    def write(self, number: int, settings: Settings) -> bool:
        """&W: keep a copy of `settings`; False, and nothing is changed, when it cannot be stored."""
        before = self.stored[number]
        kept = Settings()
        kept.load(settings)
        kept.fax_class = "0"
        kept.registers.set(1, 0)
        self.stored[number] = kept
        if self._keep():
            return True
        self.stored[number] = before
        return False

    def choose(self, number: int) -> bool:
        """&Y: the profile in force at the start."""
        before, self.at_start = self.at_start, number
        if self._keep():
            return True
        self.at_start = before
        return False

    def remember(self, place: int, number: str) -> bool:
        """&Z: a telephone number, or with "" none any more."""
        before = dict(self.numbers)
        self.numbers[place] = number
        if not number:
            del self.numbers[place]
        if self._keep():
            return True
        self.numbers = before
        return False

    def _keep(self) -> bool:
        kept = self.store(self.as_text())
        self.trouble = "" if kept else "the profiles cannot be stored, see the log"
        return kept

    def as_text(self) -> str:
        """All of it as JSON, for `read_profiles`."""
        document = {
            "format": _FORMAT,
            "at_start": self.at_start,
            "profiles": [None if kept is None else _as_values(kept) for kept in self.stored],
            "numbers": {str(place): number for place, number in sorted(self.numbers.items())},
        }
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def read_profiles(text: str) -> Profiles:
    """The profiles that `as_text` wrote. Raises ProfileError for anything else."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise ProfileError("is not JSON") from None
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise ProfileError(f'has no "format": {_FORMAT}')
    profiles = Profiles()
    stored = document.get("profiles")
    if not isinstance(stored, list) or len(stored) != N_PROFILES:
        raise ProfileError(f'has not {N_PROFILES} "profiles"')
    profiles.stored = [None if values is None else _from_values(values) for values in stored]
    profiles.at_start = _number(document.get("at_start"), "at_start", N_PROFILES - 1)
    numbers = document.get("numbers")
    if not isinstance(numbers, dict):
        raise ProfileError('has no "numbers"')
    for place, number in numbers.items():
        known = place.isascii() and place.isdigit() and int(place[:9]) < N_NUMBERS
        if not known or not isinstance(number, str) or parse_dial_string(number, {}, "") is None:
            raise ProfileError(f"has a telephone number {place[:20]!r} that cannot be dialled")
        profiles.numbers[int(place)] = number
    return profiles


def _as_values(settings: Settings) -> dict[str, Any]:
    return {
        "basic": settings.basic,
        "pulse": settings.pulse,
        "parameters": settings.parameters,
        "registers": {str(n): value for n, value in settings.registers.changed()},
        "calling_name": settings.calling_name,
        "calling_number": settings.calling_number,
        "country": settings.country,
    }


def _from_values(values: Any) -> Settings:  # noqa: ANN401 - whatever the file holds
    if not isinstance(values, dict) or set(values) - set(_as_values(Settings())):
        raise ProfileError("has a profile with other things than settings")
    settings = Settings()
    for name, value in _mapping(values, "basic").items():
        if name not in FACTORY_BASIC:
            raise ProfileError(f"sets an unknown command {name[:20]!r}")
        settings.basic[name] = _number(value, name, HIGHEST_BASIC[name])
    for name, value in _mapping(values, "parameters").items():
        parameter = PARAMETERS.get(name)
        if parameter is None or not isinstance(value, str) or parameter.accepts(value) != value:
            raise ProfileError(f"gives {name[:20]} a value that it does not take")
        settings.parameters[name] = value
    for name, value in _mapping(values, "registers").items():
        good = isinstance(value, int) and name.isascii() and name.isdigit()
        if not (good and settings.registers.set(int(name[:9]), value)):
            raise ProfileError(f"gives S{name[:20]} a value that it does not take")
    settings.pulse = values.get("pulse") is True
    settings.calling_name = _text(values, "calling_name", MAX_LENGTH)
    settings.calling_number = _text(values, "calling_number", MAX_LENGTH)
    country = values.get("country", settings.country)
    if not isinstance(country, str) or len(country) != 2 or not set(country) <= set("0123456789ABCDEF"):
        raise ProfileError("gives +GCI a value that it does not take")
    settings.country = country
    return settings


def _mapping(values: dict[str, Any], key: str) -> dict[str, Any]:
    found = values.get(key, {})
    if not isinstance(found, dict):
        raise ProfileError(f"has no list of settings under {key!r}")
    return found


def _number(value: object, name: str, highest: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= highest:
        raise ProfileError(f"gives {name} a value that it does not take")
    return value


def _text(values: dict[str, Any], key: str, longest: int) -> str:
    value = values.get(key, "")
    if not isinstance(value, str) or len(value) > longest or sanitise(value) != value:
        raise ProfileError(f"has no line of text under {key!r}")
    return value
