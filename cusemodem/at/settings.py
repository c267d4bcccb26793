"""Everything a profile holds: what Z brings back, &F sets to factory values and &W keeps.

T.31 §8.2 has Z set +FCLASS to 0; the caller-ID and fax parameters and &C, &D are part of the profile too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cusemodem.at.parameters import PARAMETERS
from cusemodem.at.registers import Registers

FACTORY_BASIC: Final = {"E": 1, "L": 2, "M": 1, "Q": 0, "V": 1, "X": 4, "&C": 1, "&D": 2}
"""Commands that set one number, with its factory value."""

HIGHEST_BASIC: Final = {"E": 1, "L": 3, "M": 3, "Q": 1, "V": 1, "X": 4, "&C": 1, "&D": 3}
"""And their highest values."""


@dataclass(slots=True)
class Settings:
    """The settings in force. Basic commands by their letter, value-holding extended ones in `parameters`."""

    basic: dict[str, int] = field(default_factory=lambda: dict(FACTORY_BASIC))
    pulse: bool = False
    fax_class: str = "0"
    parameters: dict[str, str] = field(default_factory=dict)
    calling_name: str = ""
    calling_number: str = ""
    country: str = "B5"  # T.35 code of the USA, as modems have it from the factory
    registers: Registers = field(default_factory=Registers)

    def parameter(self, name: str) -> str:
        """The value of a value-holding command (`+FAR`, …)."""
        return self.parameters.get(name, PARAMETERS[name].factory)

    def number(self, name: str, index: int = 0) -> int:
        """One number of a ranged parameter's value."""
        return int(self.parameter(name).split(",")[index])

    def load(self, other: Settings) -> None:
        """Become a copy of `other`."""
        self.basic = dict(other.basic)
        self.pulse = other.pulse
        self.fax_class = other.fax_class
        self.parameters = dict(other.parameters)
        self.calling_name = other.calling_name
        self.calling_number = other.calling_number
        self.country = other.country
        self.registers = other.registers.copy()

    @property
    def echo(self) -> bool:
        """E1: characters of the command state are echoed."""
        return self.basic["E"] == 1

    @property
    def quiet(self) -> bool:
        """Q1: no result codes."""
        return self.basic["Q"] == 1

    @property
    def verbose(self) -> bool:
        """V1: results as text."""
        return self.basic["V"] == 1

    @property
    def call_progress(self) -> int:
        """X: which call failures have names of their own (0…4)."""
        return self.basic["X"]

    @property
    def is_fax_class_1(self) -> bool:
        """+FCLASS=1 or 1.0."""
        return self.fax_class in ("1", "1.0")
