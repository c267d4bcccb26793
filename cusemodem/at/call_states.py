"""The states of the call machine (`call_control.py`), and what the host may want of a call."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from cusemodem.at.dial_string import DialString


class CallState(Enum):
    """Where the call stands."""

    ON_HOOK = auto()
    OFF_HOOK = auto()
    "busied out by ATH1"
    RINGING = auto()
    DIAL_PAUSE = auto()
    "off-hook for S6 seconds before blind dialling (X0, X1, X3)"
    DIALLING = auto()
    ANSWERING = auto()
    HANDSHAKE = auto()
    "D or A was answered, audio flows; the first CONNECT is due within S7"
    HANDOVER = auto()
    "the same after D or A on a call that was up (an operator's): given up, the call stays"
    CONNECTED = auto()


@dataclass(frozen=True, slots=True)
class DialCommand:
    """D with a number."""

    dial: DialString


@dataclass(frozen=True, slots=True)
class OriginateCommand:
    """D without a number: on a call, start calling tone and V.21 reception."""

    silent: bool = False


@dataclass(frozen=True, slots=True)
class AnswerCommand:
    """A, or the S0 automatic."""


@dataclass(frozen=True, slots=True)
class HangUpCommand:
    """H0."""


@dataclass(frozen=True, slots=True)
class ReleaseCommand:
    """Z, &F, DTR went off, or nobody has the port open: a call ends, one that only rings goes on ringing."""


@dataclass(frozen=True, slots=True)
class OffHookCommand:
    """H1."""


@dataclass(frozen=True, slots=True)
class AbortCommand:
    """The host sent a character while D or A was under way."""


@dataclass(frozen=True, slots=True)
class Expired:
    """S7 seconds have passed without a carrier."""


@dataclass(slots=True)
class CallCounters:
    """Calls so far."""

    calls_out: int = 0
    calls_in: int = 0
    calls_answered: int = 0
    calls_failed: int = 0
    events_ignored: int = 0
