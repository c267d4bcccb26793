"""What the line tells the engine: the call's fate and the modem's findings (frozen values, no behaviour).

The engine sees a telephone call and a fax modem only through these; the line translates them one to one
from the IAX2 call and the DSP channel.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CallerId:
    """Who calls, as the network tells it. Distrusted text: the engine strips it before output.

    An empty field was not given. `date` is month and day (`1231`), `time` is `2359`, both local.
    """

    name: str = ""
    number: str = ""
    ani: str = ""
    username: str = ""
    context: str = ""
    called_number: str = ""
    date: str = ""
    time: str = ""


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """A call rings (once per call; the engine makes the 5 s cadence)."""

    caller: CallerId = field(default_factory=CallerId)


@dataclass(frozen=True, slots=True)
class CallerGone:
    """The caller gave up before we answered."""


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """Audio flows: the far end answered our call, or our `Answer` took effect."""


@dataclass(frozen=True, slots=True)
class CallFailed:
    """Our call was not answered; `result` is `BUSY`, `NO ANSWER`, `NO DIALTONE` or `NO CARRIER`."""

    result: str


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The far end hung up (or the network lost the call)."""


@dataclass(frozen=True, slots=True)
class BusyTone:
    """The modem hears busy or congestion tone."""


@dataclass(frozen=True, slots=True)
class DtmfReceived:
    """The network signalled a DTMF digit."""

    digit: str


@dataclass(frozen=True, slots=True)
class FlagsDetected:
    """V.21 HDLC flags recognised; once per carrier."""


@dataclass(frozen=True, slots=True)
class FrameReceived:
    """A V.21 frame: address, control, …, and the two bytes of the check sequence."""

    data: bytes
    fcs_ok: bool


@dataclass(frozen=True, slots=True)
class Trained:
    """The fast receiver has trained; data follows."""


@dataclass(frozen=True, slots=True)
class TrainingFailed:
    """The fast receiver saw a training it could not use."""


@dataclass(frozen=True, slots=True)
class DataReceived:
    """Bytes of the fast receiver, first bit in the least significant place."""

    data: bytes


@dataclass(frozen=True, slots=True)
class CarrierLost:
    """The carrier being received has gone: V.21's or the fast modem's."""

    v21: bool


@dataclass(frozen=True, slots=True)
class FrameSent:
    """The closing flag of a V.21 frame of ours is out."""


@dataclass(frozen=True, slots=True)
class TransmitDone:
    """Answer tone, V.21 carrier or fast burst has been sent to its end."""


Event = (
    IncomingCall
    | CallerGone
    | CallAnswered
    | CallFailed
    | CallEnded
    | BusyTone
    | DtmfReceived
    | FlagsDetected
    | FrameReceived
    | Trained
    | TrainingFailed
    | DataReceived
    | CarrierLost
    | FrameSent
    | TransmitDone
)
