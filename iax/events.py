"""What an endpoint tells its owner. All text in events is free of control characters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from iax.formats import Format
from iax.frames import Address

if TYPE_CHECKING:
    from iax.call import Call
    from iax.registrar import Registrant
    from iax.registration import Registration


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """Somebody calls: answer with `ringing`, `answer` or `reject`. Format and numbers are in the call."""

    call: Call


@dataclass(frozen=True, slots=True)
class CallAccepted:
    """The server took our call; the format is fixed. Nobody has answered yet."""

    call: Call


@dataclass(frozen=True, slots=True)
class CallProceeding:
    """The call is on its way."""

    call: Call


@dataclass(frozen=True, slots=True)
class CallProgress:
    """Audio comes before the answer."""

    call: Call


@dataclass(frozen=True, slots=True)
class CallRinging:
    """The far end rings."""

    call: Call


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """The far end answered our call."""

    call: Call


@dataclass(frozen=True, slots=True)
class CallBusy:
    """The far end is busy; `CallEnded` follows."""

    call: Call


@dataclass(frozen=True, slots=True)
class CallCongestion:
    """No way through; `CallEnded` follows."""

    call: Call


@dataclass(frozen=True, slots=True)
class CallHeld:
    """The far end put us on hold (HOLD or QUELCH); it may send music or nothing."""

    call: Call


@dataclass(frozen=True, slots=True)
class CallResumed:
    """The far end took us back from hold."""

    call: Call


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call is over, whoever ended it. Exactly one of these comes for each call."""

    call: Call
    cause: int | None
    """Q.931 cause (`iax.causes`), None if the peer gave none."""
    text: str
    local: bool
    """True if this side ended it by `hangup` or `reject`."""


@dataclass(frozen=True, slots=True)
class CallTransferred:
    """The server took itself out of the call, which goes on with the far end directly."""

    call: Call
    address: Address


@dataclass(frozen=True, slots=True)
class FormatChanged:
    """The peer's audio changed its format; both directions use the new one from now on."""

    call: Call
    format: Format


@dataclass(frozen=True, slots=True)
class DtmfBegan:
    """A key went down at the far end; `DtmfReceived` follows. Not every program tells."""

    call: Call
    digit: str
    """One of 0-9 * # A-D."""


@dataclass(frozen=True, slots=True)
class DtmfReceived:
    """A key was pressed at the far end, and is up again."""

    call: Call
    digit: str
    """One of 0-9 * # A-D."""


@dataclass(frozen=True, slots=True)
class TextReceived:
    """A text frame."""

    call: Call
    text: str


@dataclass(frozen=True, slots=True)
class VoiceReceived:
    """A voice frame of a call with `relay` set: handed on as it comes, past the jitter buffer."""

    call: Call
    timestamp: int
    """Unwrapped, ms."""
    payload: bytes


@dataclass(frozen=True, slots=True)
class Registered:
    """The server knows where to find us."""

    registration: Registration
    refresh_s: int
    """What the server granted."""
    apparent: Address | None
    """Where the server sees us; another address than our own means address translation."""


@dataclass(frozen=True, slots=True)
class RegistrationRejected:
    """The server refused; we go on trying, slowly."""

    registration: Registration
    cause: int | None
    text: str


@dataclass(frozen=True, slots=True)
class RegistrationTimedOut:
    """The server did not answer; we go on trying, ever more slowly."""

    registration: Registration


@dataclass(frozen=True, slots=True)
class RegistrationReleased:
    """The registration is withdrawn."""

    registration: Registration
    confirmed: bool
    """False if the server did not confirm in time."""


@dataclass(frozen=True, slots=True)
class PeerRegistered:
    """As a server: an account registered with us."""

    registrant: Registrant
    name: str
    address: Address
    refresh_s: int


@dataclass(frozen=True, slots=True)
class PeerUnregistered:
    """As a server: an account withdrew its registration."""

    name: str
    address: Address


Event: TypeAlias = (
    IncomingCall
    | CallAccepted
    | CallProceeding
    | CallProgress
    | CallRinging
    | CallAnswered
    | CallBusy
    | CallCongestion
    | CallHeld
    | CallResumed
    | CallEnded
    | CallTransferred
    | FormatChanged
    | DtmfBegan
    | DtmfReceived
    | TextReceived
    | VoiceReceived
    | Registered
    | RegistrationRejected
    | RegistrationTimedOut
    | RegistrationReleased
    | PeerRegistered
    | PeerUnregistered
)
