"""What a channel has to say: event classes for Python, and the buffer in which kernels note them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dsp.kernel import Record, kernel


@dataclass(frozen=True, slots=True)
class FlagsDetected:
    """V.21 HDLC flags recognised; once a carrier."""


@dataclass(frozen=True, slots=True)
class FrameReceived:
    """One V.21 HDLC frame: address, control, …, and the two FCS octets."""

    data: bytes
    fcs_ok: bool


@dataclass(frozen=True, slots=True)
class Trained:
    """The fast receiver has trained; data follow."""


@dataclass(frozen=True, slots=True)
class TrainingFailed:
    """A training sequence was seen but not learnt; the receiver goes on searching."""


@dataclass(frozen=True, slots=True)
class DataReceived:
    """Bits of the fast modem, packed least significant bit first."""

    data: bytes


@dataclass(frozen=True, slots=True)
class CarrierLost:
    """The carrier being received has gone: ``v21`` says whether it was V.21 or a fast modem's."""

    v21: bool


@dataclass(frozen=True, slots=True)
class FrameSent:
    """The closing flag of a queued V.21 frame has gone out."""


@dataclass(frozen=True, slots=True)
class TransmitDone:
    """CED is over, or the carrier is off after ``end()``: silence from here on."""


@dataclass(frozen=True, slots=True)
class ToneDetected:
    """A tone is being heard.

    ``name`` is ``"ced"`` or ``"cng"``, or of a channel that listens for call progress one of ``"dial"``,
    ``"busy"``, ``"congestion"`` and ``"ringback"``.
    """

    name: str


@dataclass(frozen=True, slots=True)
class DtmfDetected:
    """A DTMF digit, one of ``0123456789*#ABCD``, is being heard; once a key press."""

    digit: str


Event: TypeAlias = (
    FlagsDetected
    | FrameReceived
    | Trained
    | TrainingFailed
    | DataReceived
    | CarrierLost
    | FrameSent
    | TransmitDone
    | ToneDetected
    | DtmfDetected
)

# --- the kernels' side -----------------------------------------------------------------------------

FLAGS_DETECTED = 1
FRAME_GOOD = 2
FRAME_BAD = 3
TRAINED = 4
TRAINING_FAILED = 5
DATA_RECEIVED = 6
V21_CARRIER_LOST = 7
FAST_CARRIER_LOST = 8
FRAME_SENT = 9
TRANSMIT_DONE = 10
CED_DETECTED = 11
CNG_DETECTED = 12
DTMF_DETECTED = 13
DIAL_DETECTED = 14
BUSY_DETECTED = 15
CONGESTION_DETECTED = 16
RINGBACK_DETECTED = 17

#: More than 20 ms can bring: 6 bits of V.21 end at most one frame; a fast modem trains or is lost once.
_MAX_EVENTS = 32
_MAX_DATA = 1024

EVENTS = np.dtype(
    [
        ("n", "i4"),
        ("n_data", "i4"),
        ("kind", "u1", (_MAX_EVENTS,)),
        ("start", "i4", (_MAX_EVENTS,)),  # of its octets in `octets`
        ("length", "i4", (_MAX_EVENTS,)),
        ("octets", "u1", (_MAX_DATA,)),
    ],
    align=True,
)


@kernel
def push(rec: Record, kind: int) -> None:
    """Note an event without data."""
    if rec.n < _MAX_EVENTS:
        rec.kind[rec.n] = kind
        rec.length[rec.n] = 0
        rec.n += 1


@kernel
def push_data(rec: Record, kind: int, data: NDArray[np.uint8], n: int) -> None:
    """Note an event with the first ``n`` octets of ``data``."""
    if rec.n < _MAX_EVENTS and rec.n_data + n <= _MAX_DATA:
        rec.kind[rec.n] = kind
        rec.start[rec.n] = rec.n_data
        rec.length[rec.n] = n
        for k in range(n):
            rec.octets[rec.n_data + k] = data[k]
        rec.n_data += n
        rec.n += 1


_PLAIN: dict[int, Event] = {
    FLAGS_DETECTED: FlagsDetected(),
    TRAINED: Trained(),
    TRAINING_FAILED: TrainingFailed(),
    V21_CARRIER_LOST: CarrierLost(v21=True),
    FAST_CARRIER_LOST: CarrierLost(v21=False),
    FRAME_SENT: FrameSent(),
    TRANSMIT_DONE: TransmitDone(),
    CED_DETECTED: ToneDetected("ced"),
    CNG_DETECTED: ToneDetected("cng"),
    DIAL_DETECTED: ToneDetected("dial"),
    BUSY_DETECTED: ToneDetected("busy"),
    CONGESTION_DETECTED: ToneDetected("congestion"),
    RINGBACK_DETECTED: ToneDetected("ringback"),
}


def decode(rec: Any) -> list[Event]:  # noqa: ANN401 - numpy.void, whose fields have no static type
    """The events noted in one EVENTS record, in the order in which they happened."""
    events: list[Event] = []
    for k in range(int(rec["n"])):
        kind = int(rec["kind"][k])
        plain = _PLAIN.get(kind)
        if plain is not None:
            events.append(plain)
            continue
        start = int(rec["start"][k])
        data = rec["octets"][start : start + int(rec["length"][k])].tobytes()
        if kind == DATA_RECEIVED:
            events.append(DataReceived(data))
        elif kind == DTMF_DETECTED:
            events.append(DtmfDetected(data.decode()))
        else:
            events.append(FrameReceived(data, kind == FRAME_GOOD))
    return events
