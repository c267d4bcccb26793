"""Ours and libspandsp's modems behind one face each, for the benches: bits to audio, audio to bits.

Which of ``MODEMS`` the package has yet, :func:`ours_has` says; nothing else need be changed for a new one.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

import dsp
from dsp import burst
from dsp.events import CarrierLost, DataReceived, FrameReceived, Trained, TrainingFailed
from dsp.v29 import V29_4800_CODE
from tests.peers import spandsp_peer as peer

Audio = NDArray[np.int16]
Bits = NDArray[np.uint8]

BLOCK = 160
#: Carrier threshold that libspandsp's own T.31 uses.
PEER_CUTOFF_DBM0 = -45.5


@dataclass(frozen=True)
class Modem:
    """One modulation at one rate, and what issue and theory say of its sensitivity (dB SNR over 0…4 kHz)."""

    name: str
    code: int  # T.31; V.29 4800 has one of ours
    peer: str
    rate: int
    ideal_db: float
    goal_db: float
    short: bool = False
    long_code: int = 0  # for a short training: the modulation whose training it relies on


MODEMS = (
    Modem("V.27ter 2400", 24, "v27ter", 2400, 7.2, 8.0),
    Modem("V.27ter 4800", 48, "v27ter", 4800, 13.4, 14.2),
    Modem("V.29 4800", V29_4800_CODE, "v29", 4800, 10.2, 11.1),
    Modem("V.29 7200", 72, "v29", 7200, 14.3, 15.2),
    Modem("V.29 9600", 96, "v29", 9600, 17.9, 18.8),
    Modem("V.17 7200", 73, "v17", 7200, 11.0, 12.2),
    Modem("V.17 9600", 97, "v17", 9600, 14.1, 15.2),
    Modem("V.17 12000", 121, "v17", 12000, 17.4, 18.4),
    Modem("V.17 14400", 145, "v17", 14400, 20.3, 21.3),
    Modem("V.17 7200 short", 74, "v17", 7200, 11.0, 12.2, short=True, long_code=73),
    Modem("V.17 9600 short", 98, "v17", 9600, 14.1, 15.2, short=True, long_code=97),
    Modem("V.17 12000 short", 122, "v17", 12000, 17.4, 18.4, short=True, long_code=121),
    Modem("V.17 14400 short", 146, "v17", 14400, 20.3, 21.3, short=True, long_code=145),
)


@cache
def ours_has(modem: Modem) -> bool:
    """Whether the package can send and receive it."""
    try:
        burst.transmit(modem.code, b"")
        dsp.Bank(1).channels[0].receive_fast(modem.code)
    except ValueError:
        return False
    return True


def random_data(n_bytes: int, seed: int) -> bytes:
    """The same bytes for the same seed."""
    return np.random.default_rng(seed).integers(0, 256, n_bytes, dtype=np.uint8).tobytes()


def bits_of(data: bytes) -> Bits:
    """Least significant bit first."""
    return np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")


@dataclass
class Heard:
    """What a receiver made of some audio."""

    trained: bool = False
    bits: Bits = field(default_factory=lambda: np.zeros(0, np.uint8))
    n_trained: int = 0
    n_carrier_lost: int = 0


# --- ours -------------------------------------------------------------------------------------------


def ours_send(modem: Modem, data: bytes) -> Audio:
    """Training, data, turn-off, at -14 dBm0; for a short training, 3 s after the beginning of a long one."""
    if not modem.short:
        return burst.transmit(modem.code, data)
    return np.concatenate(
        [_padded(burst.transmit(modem.long_code, bytes(30))), burst.transmit(modem.code, data)]
    )


#: A short training relies on a long one that came over the same line: it begins so long after it …
_SHORT_AT = 3 * 8000
#: … and there, up to 1.1 s after the beginning of the audio, receivers are told to expect it.
_EXPECT_AT = 140 * BLOCK


def _padded(long: Audio) -> Audio:
    return np.concatenate([long, np.zeros(_SHORT_AT - len(long), np.int16)])


class OurReceiver:
    """A channel that listens for one modulation."""

    def __init__(self, modem: Modem) -> None:
        self._bank = dsp.Bank(1)
        self._modem = modem
        self.channel = self._bank.channels[0]

    def hear(self, audio: Audio, lost: NDArray[np.bool_] | None = None) -> Heard:
        """All of ``audio``; ``lost`` marks stand-ins."""
        if self._modem.short:
            self.channel.receive_fast(self._modem.long_code)
            marks = None if lost is None else lost[: _EXPECT_AT // BLOCK]
            burst.listen(self._bank, audio[:_EXPECT_AT], marks)
            audio, lost = audio[_EXPECT_AT:], None if lost is None else lost[_EXPECT_AT // BLOCK :]
        self.channel.receive_fast(self._modem.code)
        events = burst.listen(self._bank, audio, lost)
        data = b"".join(event.data for event in events if isinstance(event, DataReceived))
        n_trained = sum(isinstance(event, Trained) for event in events)
        n_lost = sum(isinstance(event, CarrierLost) and not event.v21 for event in events)
        return Heard(n_trained > 0, bits_of(data), n_trained, n_lost)

    @property
    def measures(self) -> dsp.Measures:
        """What the channel measured."""
        return self.channel.measures()


def ours_frames(audio: Audio) -> list[bytes]:
    """Good V.21 frames in ``audio``, without their FCS."""
    frames, _ = burst.receive_frames(audio)
    return [frame.data[:-2] for frame in frames if isinstance(frame, FrameReceived) and frame.fcs_ok]


def ours_failures(audio: Audio, modem: Modem) -> int:
    """Trainings that failed."""
    bank = dsp.Bank(1)
    bank.channels[0].receive_fast(modem.code)
    return sum(isinstance(event, TrainingFailed) for event in burst.listen(bank, audio))


# --- libspandsp's -----------------------------------------------------------------------------------

_MAX_BITS = 1 << 22


@numba.cfunc(types.void(types.CPointer(types.int64), types.int32))
def _store_bit(state, bit):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - numba has the types
    """Put a received bit behind the count that stands first; statuses (negative) are left out."""
    if bit >= 0:
        n = state[0]
        if n < _MAX_BITS:
            numba.carray(state, _MAX_BITS // 8 + 1)[1 + (n >> 6)] |= numba.int64(bit) << (n & 63)
            state[0] = n + 1


class PeerReceiver:
    """libspandsp's receiver with its bits stored by compiled code, not by Python."""

    def __init__(self, modem: Modem, cutoff_dbm0: float = PEER_CUTOFF_DBM0) -> None:
        self._modem = modem
        self.rx = peer.ModemRx(modem.peer, modem.rate, cutoff_dbm0=cutoff_dbm0)
        self._store = np.zeros(1 + _MAX_BITS // 64 + 1, np.int64)
        library: Any = peer.load()
        set_put_bit = getattr(library, f"{modem.peer}_rx_set_put_bit")
        set_put_bit.restype, set_put_bit.argtypes = None, [ctypes.c_void_p] * 3
        set_put_bit(self.rx._p, _store_bit.address, self._store.ctypes.data)

    def hear(self, audio: Audio, lost: NDArray[np.bool_] | None = None) -> Heard:
        """All of ``audio``; where ``lost``, it is told so by its fill-in call instead of getting samples."""
        if self._modem.short:
            self.rx.rx(audio[:_EXPECT_AT])
            self.rx.clear()
            self._store[:] = 0
            self.rx.restart(self._modem.rate, short_train=True)
            audio, lost = audio[_EXPECT_AT:], None if lost is None else lost[_EXPECT_AT // BLOCK :]
        tail = np.zeros(10 * BLOCK, np.int16)
        if lost is None:
            self.rx.rx(np.concatenate([audio, tail]))
        else:
            for k, gone in enumerate(lost):
                block = audio[k * BLOCK : (k + 1) * BLOCK]
                if gone:
                    self.rx.fillin(len(block))
                else:
                    self.rx.rx(block)
            self.rx.rx(tail)
        n = int(self._store[0])
        words = self._store[1 : 2 + n // 64].astype("<i8")
        bits = np.unpackbits(words.view(np.uint8), bitorder="little")[:n]
        names = self.rx.event_names()
        return Heard("trained" in names, bits, names.count("trained"), names.count("carrier_down"))


def peer_send(modem: Modem, data: bytes) -> Audio:
    """Training, data, turn-off, at -14 dBm0; for a short training, 3 s after the beginning of a long one."""
    if not modem.short:
        return _peer_transmit(modem, data)
    long = peer.ModemTx(modem.peer, modem.rate, np.zeros(240, np.uint8)).all()
    return np.concatenate([_padded(long), _peer_transmit(modem, data)])


def _peer_transmit(modem: Modem, data: bytes) -> Audio:
    audio: Audio = peer.ModemTx(modem.peer, modem.rate, bits_of(data), short_train=modem.short).all()
    return audio


def peer_send_frames(frames: list[bytes]) -> Audio:
    """One V.21 carrier with these frames, given without their FCS."""
    audio: Audio = peer.ModemTx("v21ch2", 300, peer.HdlcTx(frames)).all()
    return audio


def peer_frames(audio: Audio) -> list[bytes]:
    """Good V.21 frames in ``audio``, without their FCS."""
    sink = peer.HdlcRx()
    peer.ModemRx("v21ch2", 300, sink).rx(np.concatenate([audio, np.zeros(10 * BLOCK, np.int16)]))
    return [frame for frame, ok in sink.frames if ok]


# --- comparing --------------------------------------------------------------------------------------


def bit_errors(sent: Bits, heard: Bits) -> int:
    """Wrong or missing bits, position by position."""
    n = min(len(sent), len(heard))
    return int(np.count_nonzero(sent[:n] != heard[:n])) + len(sent) - n


#: Bits that are looked for together when data may have moved; by chance they are found nowhere.
_WINDOW = 48
#: How far data may have moved: more than 160 samples at 14400 bit/s.
_REACH = 600


def missing_bits(sent: Bits, heard: Bits) -> int:
    """Bits of ``sent`` that did not arrive; data that have only moved did arrive."""
    n = len(sent) // _WINDOW * _WINDOW
    filler = np.full(_REACH, 2, np.uint8)
    padded = np.concatenate([filler, heard, np.full(max(n - len(heard), 0), 2, np.uint8), filler])
    offsets = _offsets(sent[:n], padded.tobytes())
    arrived = np.repeat([offset is not None for offset in offsets], _WINDOW)
    for k, offset in enumerate(offsets):  # what is next to a good window may be good in part
        if offset is None:
            continue
        right = sent[:n] == padded[offset : offset + n]
        if k + 1 < len(offsets) and offsets[k + 1] is None:
            at = (k + 1) * _WINDOW
            while at < n and right[at] and not arrived[at]:
                arrived[at] = True
                at += 1
        if k > 0 and offsets[k - 1] is None:
            at = k * _WINDOW - 1
            while at >= 0 and right[at] and not arrived[at]:
                arrived[at] = True
                at -= 1
    return n - int(arrived.sum())


def _offsets(sent: Bits, text: bytes) -> list[int | None]:
    """How far each window of ``sent`` has moved in ``text``; None: it is nowhere near."""
    offsets: list[int | None] = []
    last = _REACH
    for start in range(0, len(sent), _WINDOW):
        window = sent[start : start + _WINDOW].tobytes()
        if text[start + last : start + last + _WINDOW] == window:
            offsets.append(last)
            continue
        found = text.find(window, start, start + 2 * _REACH + _WINDOW)
        if found >= 0:
            last = found - start
        offsets.append(last if found >= 0 else None)
    return offsets
