"""The states of a call, and a call's figures."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from iax.playout import MediaStatistics

DTMF_DIGITS = "0123456789*#ABCD"


class CallState(Enum):
    """Where a call stands."""

    CALLING = "calling"
    AUTHENTICATING = "authenticating"
    OFFERED = "offered"
    ACCEPTED = "accepted"
    RINGING = "ringing"
    UP = "up"
    ENDED = "ended"


BEFORE_ANSWER = frozenset({CallState.ACCEPTED, CallState.RINGING})
WITH_MEDIA = frozenset({CallState.ACCEPTED, CallState.RINGING, CallState.UP})
ALIVE = frozenset(CallState) - {CallState.ENDED}


@dataclass(frozen=True, slots=True)
class CallStatistics:
    """A call's figures, for the call report."""

    media: MediaStatistics
    frames_sent: int
    rtt_ms: float | None
    full_frames_resent: int
    duplicates: int
    frames_out_of_state: int
    peer_loss_count: int | None
    """Voice frames that the peer says it lost."""
    peer_jitter_ms: int | None
    duration_s: float | None
    """From the answer to the end; None if it was never answered or is not over."""
