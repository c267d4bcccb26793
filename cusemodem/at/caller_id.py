"""Caller-ID lines, in IAXmodem's words (`NMBR=`, `NAME=`, …), and the cleaning of network text."""

from __future__ import annotations

from typing import Final

from cusemodem.at.events import CallerId

MAX_LENGTH: Final = 80
"""Characters of one caller-ID value; longer ones are cut."""

NONE: Final = "<NONE>"
"""What stands for a value the network did not give."""


def sanitise(text: str) -> str:
    """Network text made fit for a line of its own: no control, format or line-breaking characters.

    >>> sanitise("Joe\\r\\nCONNECT\\r\\n")
    'JoeCONNECT'
    """
    return "".join(char for char in text[: 4 * MAX_LENGTH] if char.isprintable())[:MAX_LENGTH]


def caller_lines(caller: CallerId) -> list[str]:
    """The lines of +VCID=1 and +VRID, in order; `PASS` stays empty, for secrets are not for showing."""
    values = (
        ("DATE", caller.date),
        ("TIME", caller.time),
        ("NAME", caller.name),
        ("NMBR", caller.number),
        ("ANID", caller.ani),
        ("USER", caller.username),
        ("PASS", ""),
        ("CDID", caller.context),
        ("NDID", caller.called_number),
    )
    return [f"{tag}={sanitise(value) or NONE}" for tag, value in values]
