"""IAX2: frames, calls and registrations, sans I/O.

`Endpoint` is one UDP socket's worth of calls; `iax.socket` moves its datagrams, `iax.exchange` is a small
exchange built on it.
"""

from iax.arrival_queue import ArrivalQueue
from iax.auth import Account, PeerConfig
from iax.call import Call
from iax.call_state import CallState, CallStatistics
from iax.caller_id import Presentation
from iax.encryption import Encryption
from iax.endpoint import Endpoint, EndpointStatistics
from iax.events import (
    CallAccepted,
    CallAnswered,
    CallBusy,
    CallCongestion,
    CallEnded,
    CallHeld,
    CallProceeding,
    CallProgress,
    CallResumed,
    CallRinging,
    CallTransferred,
    DtmfBegan,
    DtmfReceived,
    Event,
    FormatChanged,
    IncomingCall,
    Registered,
    RegistrationRejected,
    RegistrationReleased,
    RegistrationTimedOut,
    TextReceived,
)
from iax.formats import ALAW, ALL_FORMATS, SLINEAR, ULAW, Format
from iax.frames import Address, BadFrame
from iax.jitter import JitterBuffer
from iax.playout import MediaStatistics, Playout
from iax.registration import Registration, RegistrationState

__all__ = [
    "ALAW",
    "ALL_FORMATS",
    "SLINEAR",
    "ULAW",
    "Account",
    "Address",
    "ArrivalQueue",
    "BadFrame",
    "Call",
    "CallAccepted",
    "CallAnswered",
    "CallBusy",
    "CallCongestion",
    "CallEnded",
    "CallHeld",
    "CallProceeding",
    "CallProgress",
    "CallResumed",
    "CallRinging",
    "CallState",
    "CallStatistics",
    "CallTransferred",
    "DtmfBegan",
    "DtmfReceived",
    "Encryption",
    "Endpoint",
    "EndpointStatistics",
    "Event",
    "Format",
    "FormatChanged",
    "IncomingCall",
    "JitterBuffer",
    "MediaStatistics",
    "PeerConfig",
    "Playout",
    "Presentation",
    "Registered",
    "Registration",
    "RegistrationRejected",
    "RegistrationReleased",
    "RegistrationState",
    "RegistrationTimedOut",
    "TextReceived",
]
