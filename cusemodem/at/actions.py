"""What the engine wants of the line: orders for the call and the modem (frozen values, no behaviour)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dial:
    """Call `number`; when answered send `after_answer` (digits, each comma a pause of `pause_s`), then
    report CallAnswered.

    `silent`: no calling tone (dial modifier `@`). `timeout_s`: the engine gives up after this long (S7) and
    hangs up itself. `calling_name` and `calling_number` are +VSID's; empty: use the configured ones.
    """

    number: str
    after_answer: str = ""
    silent: bool = False
    timeout_s: float = 60.0
    pause_s: float = 5.0
    calling_name: str = ""
    calling_number: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer the ringing call; report CallAnswered when audio flows."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call, whatever its state; a ringing one is refused."""


@dataclass(frozen=True, slots=True)
class TakeOffHook:
    """Busied out (ATH1): incoming calls are refused until GoOnHook or the end of a call."""


@dataclass(frozen=True, slots=True)
class GoOnHook:
    """No longer busied out."""


@dataclass(frozen=True, slots=True)
class SendSilence:
    """Drop any carrier or tone now."""


@dataclass(frozen=True, slots=True)
class SendCng:
    """Send the calling tone until another Send order."""


@dataclass(frozen=True, slots=True)
class SendCed:
    """Send silence, answer tone, silence; report TransmitDone."""


@dataclass(frozen=True, slots=True)
class SendFlags:
    """Raise the V.21 carrier: preamble, then flags between the frames."""


@dataclass(frozen=True, slots=True)
class SendFrame:
    """Send one V.21 frame, without its check sequence; report FrameSent."""

    data: bytes


@dataclass(frozen=True, slots=True)
class SendFast:
    """Send the turn-on sequence of T.31 modulation `code`, then the data of `pull_data`."""

    code: int


@dataclass(frozen=True, slots=True)
class EndTransmission:
    """No more frames or data: finish the burst and report TransmitDone."""


@dataclass(frozen=True, slots=True)
class ReceiveOff:
    """Listen to nothing."""


@dataclass(frozen=True, slots=True)
class ReceiveV21:
    """Listen for V.21 frames."""


@dataclass(frozen=True, slots=True)
class ReceiveFast:
    """Listen for T.31 modulation `code`, and for V.21 flags beside it."""

    code: int


Action = (
    Dial
    | Answer
    | HangUp
    | TakeOffHook
    | GoOnHook
    | SendSilence
    | SendCng
    | SendCed
    | SendFlags
    | SendFrame
    | SendFast
    | EndTransmission
    | ReceiveOff
    | ReceiveV21
    | ReceiveFast
)
