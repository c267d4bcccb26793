"""What the configuration says about one line's calls, and what a line counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import iax
from cusemodem.call_causes import USUAL_CAUSES
from cusemodem.report import CallReport
from cusemodem.tap import Tap


@dataclass(frozen=True)
class LineStatistics:
    """Counters of one line since it was made."""

    calls_out: int
    calls_in: int
    calls_refused: int
    bytes_to_host_dropped: int


@dataclass(frozen=True)
class LineOptions:
    """What the configuration says about one line's calls."""

    calling_number: str = ""
    calling_name: str = ""
    formats: Sequence[iax.Format] = iax.ALL_FORMATS
    """Voice formats, the preferred one first."""
    local_time: Callable[[], time.struct_time] = time.localtime
    """For the DATE and TIME of caller ID."""
    on_report: Callable[[CallReport], None] | None = None
    """Called with each call's report at its end."""
    tap: Tap | None = None
    """Records or replays the line's calls."""
    causes: Mapping[int, str] = field(default_factory=lambda: USUAL_CAUSES)
    """The result of a failed call, by its cause."""
    busy_when_closed: bool = False
    """Refuse calls while no program has the port open."""
    dsp_debug: bool = False
    """Log every order to the DSP channel and everything it reports."""
