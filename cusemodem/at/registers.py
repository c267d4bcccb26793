"""S registers: ranges, factory values and bit access (V.250 §5.3.2, at home in every Hayes modem).

Registers without a meaning here are stored and read back, because init strings of other modems set them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Register:
    """One register's factory value, range and unit."""

    factory: int
    low: int
    high: int
    meaning: str


REGISTERS: Final = {
    0: Register(0, 0, 255, "rings before the modem answers by itself; 0: never"),
    1: Register(0, 0, 255, "rings of the present call"),
    2: Register(43, 0, 255, "escape character"),
    3: Register(13, 0, 127, "line terminator"),
    4: Register(10, 0, 127, "response formatting character"),
    5: Register(8, 0, 127, "line editing character"),
    6: Register(2, 0, 255, "seconds before blind dialling (X0, X1, X3)"),
    7: Register(60, 1, 255, "seconds from dialling or answering to the first carrier"),
    8: Register(5, 0, 255, "seconds of a comma in the dial string"),
    10: Register(0, 0, 255, "kept; a fax's lost carrier is +FCL's"),
}

_OTHER: Final = Register(0, 0, 255, "stored, without effect")
HIGHEST: Final = 255


class Registers:
    """The S registers of one engine; unknown ones (0…255) exist with value 0."""

    def __init__(self) -> None:
        self._values: dict[int, int] = {}

    def __getitem__(self, number: int) -> int:
        return self._values.get(number, REGISTERS.get(number, _OTHER).factory)

    def set(self, number: int, value: int) -> bool:
        """Store `value`; False (and no change) when the register or the value does not exist."""
        register = describe(number)
        if register is None or not register.low <= value <= register.high:
            return False
        self._values[number] = value
        return True

    def set_bit(self, number: int, bit: int, value: int) -> bool:
        """Set one bit (0…7) of a register; False when register, bit or the resulting value does not exist."""
        if describe(number) is None or bit > 7 or value > 1:
            return False
        mask = 1 << bit
        return self.set(number, (self[number] & ~mask) | (mask if value else 0))

    def copy(self) -> Registers:
        """An independent copy."""
        other = Registers()
        other._values = dict(self._values)
        return other

    def changed(self) -> list[tuple[int, int]]:
        """(number, value) of the registers that were set, ascending."""
        return sorted(self._values.items())

    def in_use(self) -> list[tuple[int, int]]:
        """(number, value) of the registers with a meaning and those that were set, ascending."""
        return [(number, self[number]) for number in sorted({*REGISTERS, *self._values})]


def describe(number: int) -> Register | None:
    """The range of register `number`, or None when there is no such register."""
    return REGISTERS.get(number, _OTHER) if 0 <= number <= HIGHEST else None
