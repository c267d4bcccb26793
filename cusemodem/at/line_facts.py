"""What the engine cannot know but a person asks it for (I6, I7, I11): the line tells, as lines of text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

Lines = Callable[[], Sequence[str]]


def _nothing() -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class LineFacts:
    """Each may answer nothing; what it answers is cleaned before it is shown."""

    last_call: Lines = _nothing
    """I6: the report of the last call."""
    line: Lines = _nothing
    """I7: device, account, registration."""
    quality: Lines = _nothing
    """I11: what the present or last call's signals were like."""


NO_FACTS: Final = LineFacts()
