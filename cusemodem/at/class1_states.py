"""The states and private events of the class 1 machine (`class1.py`), and what a host byte means in each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


class State(Enum):
    """What the modem is doing for the host."""

    COMMAND = auto()
    "nothing: command lines; a V.21 receiver may still be filling the frame queue"
    ANSWER_TONE = auto()
    "A: silence, CED, silence"
    SEND_SILENCE = auto()
    "+FTS"
    AWAIT_SILENCE = auto()
    "+FRS"
    HDLC_SEND = auto()
    "+FTH: flags on the line, the host writes a frame"
    HDLC_SENDING = auto()
    "+FTH: a frame with more to come goes out"
    HDLC_ENDING = auto()
    "+FTH: the last frame goes out, then the carrier drops"
    FAST_SEND = auto()
    "+FTM: the host writes data"
    FAST_DRAIN = auto()
    "+FTM: DLE ETX came, the transmitter has not taken all data yet"
    FAST_ENDING = auto()
    "+FTM: last data and turn-off sequence"
    HDLC_AWAIT = auto()
    "+FRH or D: no flags yet"
    HDLC_RECEIVE = auto()
    "+FRH: CONNECT was said, a frame is coming"
    HDLC_HELD = auto()
    "+FRH: a final frame was delivered, OK waits for the carrier to drop"
    FAST_AWAIT = auto()
    "+FRM: no training yet"
    FAST_RECEIVE = auto()
    "+FRM: data flows"
    FAST_GAP = auto()
    "+FRM: the carrier has gone, +FCL lets it come back"
    DISCARD = auto()
    "sending was cut short: the host's data is swallowed up to its end"


class HostMode(Enum):
    """What a byte of the host means."""

    COMMAND = auto()
    DATA = auto()
    ABORT = auto()
    KEEP = auto()


HOST_MODES: Final = {
    State.COMMAND: HostMode.COMMAND,
    State.ANSWER_TONE: HostMode.ABORT,
    State.SEND_SILENCE: HostMode.KEEP,
    State.AWAIT_SILENCE: HostMode.ABORT,
    State.HDLC_SEND: HostMode.DATA,
    State.HDLC_SENDING: HostMode.KEEP,
    State.HDLC_ENDING: HostMode.KEEP,
    State.FAST_SEND: HostMode.DATA,
    State.FAST_DRAIN: HostMode.KEEP,
    State.FAST_ENDING: HostMode.KEEP,
    State.HDLC_AWAIT: HostMode.ABORT,
    State.HDLC_RECEIVE: HostMode.ABORT,
    State.HDLC_HELD: HostMode.ABORT,
    State.FAST_AWAIT: HostMode.ABORT,
    State.FAST_RECEIVE: HostMode.ABORT,
    State.FAST_GAP: HostMode.ABORT,
    State.DISCARD: HostMode.DATA,
}


@dataclass(frozen=True, slots=True)
class Timeout:
    """The state's timer has run out."""


@dataclass(frozen=True, slots=True)
class Abort:
    """The host sent a character to end the wait."""
