"""What the modem says it is: +GMI, +GMM, +GMR, +FMI, I0…I9 and their kin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
    revision="0.0.5",
    serial_number="42",
    object_identifier="42",
    description="IAXmodem compatible",
)
"""What Debian's package of IAXmodem 1.2.0 answers, for programs configured by the modem's name."""
