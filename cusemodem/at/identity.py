"""What the modem says it is: +GMI, +GMM, +GMR, +FMI, I0…I9 and their kin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cusemodem.at.modulations import offered_names

VERSION: Final = "0.1.0"


@dataclass(frozen=True, slots=True)
class Identity:
    """The texts of the identification commands; each a line of printable ASCII."""

    manufacturer: str
    model: str
    revision: str
    serial_number: str = "0"
    object_identifier: str = ""
    description: str = ""
    last_call: Callable[[], str] | None = None
    """What the line knows of its last call, as one line of text, "" if there was none yet: for I6."""

    def information(self, number: int) -> str:
        """The text of I`number` (0…9)."""
        if number == 6 and self.last_call is not None and (text := self.last_call()):
            return "".join(c if " " <= c <= "~" else "?" for c in text)
        return {
            0: self.model,
            1: self.revision,
            2: "",  # V.250 I2: the memory test's result, which is the final OK
            3: self.manufacturer,
            4: self.description,
            6: f"Class 1 fax: {', '.join(offered_names())}",
            8: self.object_identifier,
            9: self.serial_number,
        }.get(number, self.model)


CUSEMODEM: Final = Identity(
    manufacturer="cusemodem",
    model="cusemodem fax modem",
    revision=VERSION,
    description="software fax modem on an IAX2 line",
)
"""Our own name."""

IAXMODEM: Final = Identity(
    manufacturer="www.soft-switch.org",
    model="spandsp",
    revision="0.0.6",
    serial_number="42",
    object_identifier="42",
    description="IAXmodem compatible",
)
"""What IAXmodem answers, for programs configured by the modem's name."""
