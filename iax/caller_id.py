"""How a caller's number may be shown (Q.931 §4.5.10, RFC 5456 §8.6.29)."""

from __future__ import annotations

from enum import IntEnum


class Presentation(IntEnum):
    """The value of CALLINGPRES: whether the number may be shown, and who has checked it."""

    ALLOWED = 0x00
    ALLOWED_CHECKED = 0x01
    """The network has verified it."""
    ALLOWED_WRONG = 0x02
    """The network has found it wrong."""
    ALLOWED_OF_NETWORK = 0x03
    """The network has put it there."""
    RESTRICTED = 0x20
    """Withheld: it goes along for the exchanges on the way, which do not show it to the called party."""
    RESTRICTED_CHECKED = 0x21
    RESTRICTED_WRONG = 0x22
    RESTRICTED_OF_NETWORK = 0x23
    UNAVAILABLE = 0x43
    """There is none."""
