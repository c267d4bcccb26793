"""One configured line and what there is of it at the moment, and what the process around it wants to know."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import trio

import iax
from cusemodem.config import ModemConfig
from cusemodem.cuse.port import Port
from cusemodem.device_node import Device
from cusemodem.line import Line
from cusemodem.report import CallReport
from cusemodem.tap import Tap

_log = logging.getLogger("cusemodem.run")


class LineState(Enum):
    """Where a configured line stands."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    """Out of service, to be tried again."""
    ENDED = "ended"


@dataclass(eq=False)
class Served:
    """One configured line and what there is of it."""

    config: ModemConfig
    state: LineState = LineState.STARTING
    reason: str = ""
    """Why it is not ready, in one sentence."""
    n_restarts: int = 0
    line: Line | None = None
    port: Port | None = None
    device: Device | None = None
    registration: iax.Registration | None = None
    replacement: ModemConfig | None = None
    retiring: trio.Event = field(default_factory=trio.Event)
    """To end when the line is on-hook; at once with `urgent`."""
    urgent: bool = False
    keep: bool = False
    """When it ends so, a successor goes on with its device."""
    failed: trio.Event = field(default_factory=trio.Event)
    tried: trio.Event = field(default_factory=trio.Event)
    """It has been ready or has failed, once."""


@dataclass
class Hooks:
    """What the process around the worker wants to know or adds."""

    on_ready: Callable[[Served], None] = lambda _served: None
    on_failure: Callable[[Served, float], None] = lambda served, pause_s: _log.error(
        "%s; next try in %.0f s", served.reason, pause_s, extra={"line": served.config.name}
    )
    on_report: Callable[[Served, CallReport], None] = lambda _served, _report: None
    new_tap: Callable[[ModemConfig], Tap | None] = lambda _config: None
    state: Path | None = None
    """Where the modems' stored profiles are; None: nowhere."""
