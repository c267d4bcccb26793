"""One channel: its record, what it does with 20 ms of audio, and the Python handle on it.

A channel sends one thing (silence, a tone, digits, V.21 frames, a fast modem's data) and listens for one
modem (none, V.21, or a fast one and V.21 flags in parallel) and, if asked, for DTMF and call progress; level
and silence are metered and CNG and CED heard all the time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp.call_progress import (
    NAMES,
    PROGRESS_RX,
    PROGRESS_TX,
    progress_rx_block,
    progress_tx_block,
    progress_tx_start,
)
from dsp.dtmf import (
    DIGITS,
    DTMF_RX,
    DTMF_TX,
    QUEUE,
    QUIET_POWER,
    dtmf_rx_block,
    dtmf_rx_quiet,
    dtmf_tx_block,
    dtmf_tx_put,
    dtmf_tx_start,
)
from dsp.events import (
    DATA_RECEIVED,
    EVENTS,
    FAST_CARRIER_LOST,
    FLAGS_DETECTED,
    FRAME_SENT,
    TRAINED,
    TRAINING_FAILED,
    TRANSMIT_DONE,
    V21_CARRIER_LOST,
    push,
    push_data,
)
from dsp.fate import Fate
from dsp.hdlc import MAX_FRAME, hdlc_tx_put
from dsp.kernel import Record, argument, kernel
from dsp.level import BLOCK, LEVEL, dbm0_to_rms, level_block, rms_to_dbm0
from dsp.measures import Measures
from dsp.qam_rx import qam_rx_block, qam_rx_start, qam_rx_stop
from dsp.qam_rx_state import (
    DATA,
    EVENT_CARRIER_LOST,
    EVENT_FAILED,
    EVENT_TRAINED,
    QAM_RX,
    TRAINING,
)
from dsp.qam_tx import QAM_TX, TX_RING, qam_tx_block, qam_tx_start, qam_tx_write
from dsp.tones import TONE_RX, TONE_TX, ced_tx_block, cng_tx_block, tone_rx_block, tone_tx_start
from dsp.v21 import LEVEL_DBM0, V21_RX, V21_TX, v21_rx_block, v21_rx_reset, v21_tx_block, v21_tx_start

_LOST = int(Fate.LOST)
_HELD = int(Fate.HELD)
# What a channel sends.
_TX_SILENCE = 0
_TX_CNG = 1
_TX_CED = 2
_TX_V21 = 3
_TX_FAST = 4
_TX_DTMF = 5
_TX_PROGRESS = 6
# What it listens for.
_RX_OFF = 0
_RX_V21 = 1
_RX_FAST = 2
# What else: bits.
_LISTEN_DTMF = 1
_LISTEN_PROGRESS = 2

#: A run of lost blocks longer than this is no gap in a signal: the channel then hears silence.
_MAX_LOST_RUN = 10

#: Room for the data of several blocks: the fast receiver waits after a gap to see what it was.
_MAX_OCTETS_A_BLOCK = 256

CHANNEL = np.dtype(
    [
        ("tx_mode", "u1"),
        ("rx_mode", "u1"),
        ("listening", "u1"),  # bits _LISTEN_…
        ("tx_gain", "f4"),  # 1: every signal at its own standard level
        ("say_flags", "u1"),  # report flags of a carrier that was there before it was asked for
        ("measured", "u1"),  # the kind of receiver that had a carrier last
        ("lost_run", "i4"),
        ("n_lost", "i8"),
        ("n_clipped", "i8"),
        ("level", LEVEL),
        ("tone_tx", TONE_TX),
        ("tone_rx", TONE_RX),
        ("dtmf_tx", DTMF_TX),
        ("dtmf_rx", DTMF_RX),
        ("progress_tx", PROGRESS_TX),
        ("progress_rx", PROGRESS_RX),
        ("v21_tx", V21_TX),
        ("qam_tx", QAM_TX),
        ("qam_rx", QAM_RX),
        ("v21_rx", V21_RX),
        ("events", EVENTS),
    ],
    align=True,
)


@kernel
def _transmit(rec: Record, out: NDArray[np.float32]) -> None:
    """Set ``out`` to the next 160 samples, on the int16 scale."""
    if rec.tx_mode == _TX_CNG:
        cng_tx_block(rec.tone_tx, out)
    elif rec.tx_mode == _TX_CED:
        ced_tx_block(rec.tone_tx, out)
        if rec.tone_tx.done:
            rec.tx_mode = _TX_SILENCE
            push(rec.events, TRANSMIT_DONE)
    elif rec.tx_mode == _TX_V21:
        v21_tx_block(rec.v21_tx, out)
        for _ in range(rec.v21_tx.hdlc.n_sent):
            push(rec.events, FRAME_SENT)
        rec.v21_tx.hdlc.n_sent = 0
        if rec.v21_tx.done:
            rec.tx_mode = _TX_SILENCE
            push(rec.events, TRANSMIT_DONE)
    elif rec.tx_mode == _TX_FAST:
        qam_tx_block(rec.qam_tx, out)
        if rec.qam_tx.done:
            rec.tx_mode = _TX_SILENCE
            push(rec.events, TRANSMIT_DONE)
    elif rec.tx_mode == _TX_DTMF:
        dtmf_tx_block(rec.dtmf_tx, out)
        if rec.dtmf_tx.done:
            rec.tx_mode = _TX_SILENCE
            push(rec.events, TRANSMIT_DONE)
    elif rec.tx_mode == _TX_PROGRESS:
        progress_tx_block(rec.progress_tx, out)


@kernel
def _receive_fast(rec: Record, x: NDArray[np.float32], lost: bool) -> None:
    octets = np.empty(_MAX_OCTETS_A_BLOCK, np.uint8)
    n = qam_rx_block(rec.qam_rx, x, lost, octets)
    happened = rec.qam_rx.events
    if happened & EVENT_FAILED:
        push(rec.events, TRAINING_FAILED)
    if happened & EVENT_TRAINED:
        if rec.v21_rx.carrier:
            push(rec.events, V21_CARRIER_LOST)
        v21_rx_reset(rec.v21_rx)
        push(rec.events, TRAINED)
    if n > 0:
        push_data(rec.events, DATA_RECEIVED, octets, n)
    if happened & EVENT_CARRIER_LOST:
        push(rec.events, FAST_CARRIER_LOST)


@kernel
def _receive(rec: Record, x: NDArray[np.float32], lost: bool) -> None:
    """Take 160 samples; ``lost``: they are only a stand-in for what never arrived."""
    level_block(rec.level, x, lost)
    if not lost:
        tone_rx_block(rec.tone_rx, x, rec.level.power, rec.events)
        if rec.listening & _LISTEN_DTMF:
            if rec.level.power > np.float32(QUIET_POWER):
                dtmf_rx_block(rec.dtmf_rx, x, rec.level.dc, rec.events)
            else:
                dtmf_rx_quiet(rec.dtmf_rx)
        if rec.listening & _LISTEN_PROGRESS:
            progress_rx_block(rec.progress_rx, x, rec.level.dc, rec.level.power, rec.events)
    if rec.rx_mode == _RX_OFF:
        return
    if rec.say_flags:
        rec.say_flags = 0
        if rec.v21_rx.carrier:
            push(rec.events, FLAGS_DETECTED)
    if rec.rx_mode == _RX_FAST:
        _receive_fast(rec, x, lost)
        if rec.qam_rx.state >= TRAINING:
            rec.measured = _RX_FAST
        if rec.qam_rx.state == DATA:  # its data must not be mistaken for flags
            return
    if not lost:
        v21_rx_block(rec.v21_rx, x, rec.level.dc, rec.events)
        if rec.v21_rx.carrier:
            rec.measured = _RX_V21


@kernel
def channel_block(
    rec: Record, rx: NDArray[np.int16], fate: int, tx: NDArray[np.int16], work: NDArray[np.float32]
) -> None:
    """20 ms of one channel: ``rx`` in, ``tx`` out, events into ``rec.events``; ``work`` (2, 160): scratch."""
    x = work[0]
    out = work[1]
    rec.events.n = 0
    rec.events.n_data = 0
    if fate != _HELD:
        lost = fate == _LOST
        if lost:
            rec.n_lost += 1
            rec.lost_run += 1
        else:
            rec.lost_run = 0
        silent = rec.lost_run > _MAX_LOST_RUN
        for k in range(BLOCK):
            x[k] = np.float32(0.0) if silent else np.float32(rx[k])
        _receive(rec, x, lost and not silent)

    if rec.tx_mode == _TX_SILENCE:
        for k in range(BLOCK):
            tx[k] = 0
        return
    _transmit(rec, out)
    gain = rec.tx_gain
    for k in range(BLOCK):
        sample = np.rint(out[k] * gain)
        if sample > np.float32(32767.0):
            sample = np.float32(32767.0)
            rec.n_clipped += 1
        elif sample < np.float32(-32768.0):
            sample = np.float32(-32768.0)
            rec.n_clipped += 1
        tx[k] = np.int16(sample)


# --- orders ----------------------------------------------------------------------------------------
# One kernel for all of them, so that there is only one to load before the first call.

_SEND_SILENCE = 0
_SEND_CNG = 1
_SEND_CED = 2
_SEND_FLAGS = 3
_SEND_FRAME = 4
_SEND_FAST = 5
_WRITE = 6
_END = 7
_RECEIVE_OFF = 8
_RECEIVE_V21 = 9
_RECEIVE_FAST = 10
_SEND_DTMF = 11
_SEND_PROGRESS = 12
_LISTEN = 13


@kernel
def order(state: Record, i: int, what: int, n: int, octets: NDArray[np.uint8]) -> int:
    """Change what channel ``i`` does; ``n`` is a modulation code, or says how many ``octets`` to take.

    Returns how many octets were taken, or for a modulation code whether there is such a modulation.
    """
    rec = state[i]
    if what == _SEND_SILENCE:
        rec.tx_mode = _TX_SILENCE
    elif what == _SEND_CNG:
        tone_tx_start(rec.tone_tx)
        rec.tx_mode = _TX_CNG
    elif what == _SEND_CED:
        tone_tx_start(rec.tone_tx)
        rec.tx_mode = _TX_CED
    elif what == _SEND_FLAGS:
        if rec.tx_mode == _TX_V21:
            rec.v21_tx.hdlc.end = 0
        else:
            v21_tx_start(rec.v21_tx)
            rec.tx_mode = _TX_V21
    elif what == _SEND_FRAME:
        return n if hdlc_tx_put(rec.v21_tx.hdlc, octets, n) else 0
    elif what == _SEND_FAST:
        if not qam_tx_start(rec.qam_tx, n):
            return 0
        rec.tx_mode = _TX_FAST
        return 1
    elif what == _WRITE:
        return qam_tx_write(rec.qam_tx, octets, n) if rec.tx_mode == _TX_FAST else 0
    elif what == _SEND_DTMF:
        if rec.tx_mode != _TX_DTMF:
            dtmf_tx_start(rec.dtmf_tx)
        if not dtmf_tx_put(rec.dtmf_tx, octets, n):
            return 0
        rec.tx_mode = _TX_DTMF
    elif what == _SEND_PROGRESS:
        progress_tx_start(rec.progress_tx, n)
        rec.tx_mode = _TX_PROGRESS
    elif what == _LISTEN:
        rec.listening = n
    elif what == _END:
        rec.v21_tx.hdlc.end = 1
        rec.qam_tx.end = 1
    elif what == _RECEIVE_OFF:
        rec.rx_mode = _RX_OFF
        qam_rx_stop(rec.qam_rx)
    else:
        mode = _RX_V21
        if what == _RECEIVE_FAST:
            if not qam_rx_start(rec.qam_rx, n):
                return 0
            mode = _RX_FAST
        else:
            qam_rx_stop(rec.qam_rx)
        if rec.rx_mode == _RX_OFF:
            v21_rx_reset(rec.v21_rx)
        rec.say_flags = rec.v21_rx.carrier
        rec.rx_mode = mode
    return 1


class Channel:
    """Handle on channel ``i`` of a bank. Orders take effect with the next block; events are the bank's."""

    def __init__(self, state: NDArray[np.void], i: int, octets: NDArray[np.uint8]) -> None:
        plain = state.view(np.ndarray)
        self._state = argument(state)
        self._i = i
        self._octets = octets  # where octets are put for a kernel; shared by a bank's channels
        self._record = plain[i : i + 1]
        self._silence_samples = self._record["level"]["silence_samples"]
        self._power = self._record["level"]["power"]
        self._tx_mode = self._record["tx_mode"]
        self.set_transmit_level(LEVEL_DBM0)
        self._waiting = self._record["qam_tx"]["ring_count"]

    def _order(self, what: int, code: int = 0) -> int:
        return int(order(self._state, self._i, what, code, self._octets))

    def _order_with(self, what: int, octets: bytes) -> int:
        n = min(len(octets), self._octets.size)
        self._octets[:n] = np.frombuffer(octets, np.uint8, n)
        return int(order(self._state, self._i, what, n, self._octets))

    # transmit

    def set_transmit_level(self, level_dbm0: float) -> None:
        """Send modem signals at this level instead of -14 dBm0; tones go up and down with it.

        Raises ``ValueError`` outside -60…-3 dBm0: above it the peaks would be cut.
        """
        if not -60.0 <= level_dbm0 <= -3.0:
            raise ValueError(f"transmit level {level_dbm0:g} dBm0 is outside -60 to -3")
        self._record["tx_gain"] = dbm0_to_rms(level_dbm0) / dbm0_to_rms(LEVEL_DBM0)

    def send_silence(self) -> None:
        """Drop any carrier or tone now, with all that was queued; no event follows."""
        self._order(_SEND_SILENCE)

    def send_cng(self) -> None:
        """Send CNG, 1100 Hz 0.5 s on and 3 s off, until another order (T.30 §4.2)."""
        self._order(_SEND_CNG)

    def send_ced(self) -> None:
        """Send CED: 200 ms silence, 3 s of 2100 Hz, 75 ms silence, then ``TransmitDone`` (T.30 §4.1)."""
        self._order(_SEND_CED)

    def send_dtmf(self, digits: str) -> None:
        """Send digits, one of ``0123456789*#ABCD`` each, 100 ms on and 100 ms off; then ``TransmitDone``.

        While digits are being sent more may be added. Raises ``ValueError`` for other characters and for no
        digits, ``BufferError`` if more than 64 would wait.
        """
        if not digits or any(digit not in DIGITS for digit in digits):
            raise ValueError(f"{digits!r} is not a string of the DTMF digits 0-9, *, #, A-D")
        places = bytes(DIGITS.index(digit) for digit in digits)
        if len(digits) > QUEUE or not self._order_with(_SEND_DTMF, places):
            raise BufferError(f"more than {QUEUE} DTMF digits would wait")

    def send_call_progress(self, name: str) -> None:
        """Send one of ``dsp.call_progress.NAMES`` with its cadence until another order."""
        if name not in NAMES:
            raise ValueError(f"call-progress tone {name!r} is none of {', '.join(NAMES)}")
        self._order(_SEND_PROGRESS, NAMES.index(name))

    def send_flags(self) -> None:
        """Put the V.21 carrier up: a preamble of 37 flags, then flags until there are frames.

        If it is up already it stays, without a new preamble, and an ``end()`` not yet executed is taken back.
        """
        self._order(_SEND_FLAGS)

    def send_frame(self, frame: bytes) -> None:
        """Queue one V.21 frame (address, control, …; the FCS is added); ``FrameSent`` when it has gone out.

        Raises ``ValueError`` for an empty frame or one longer than T.30's, ``RuntimeError`` without
        ``send_flags()`` before, ``BufferError`` when 4 KiB are waiting already.
        """
        if not 1 <= len(frame) <= MAX_FRAME - 2:
            raise ValueError(f"a frame has 1 to {MAX_FRAME - 2} octets without its FCS, not {len(frame)}")
        if self._tx_mode[0] != _TX_V21:
            raise RuntimeError("no V.21 carrier to send a frame on; call send_flags() first")
        if not self._order_with(_SEND_FRAME, frame):
            raise BufferError("too many V.21 frames are waiting; wait for FrameSent")

    def send_fast(self, code: int) -> None:
        """Send the turn-on sequence of fast modulation ``code`` (T.31 +FTM), then what ``write()`` brings.

        Ones are sent until the first octet has been written, zeros whenever data are late after it.
        Raises ``ValueError`` if this package has no such modulation; what was being sent goes on then.
        """
        if not self._order(_SEND_FAST, code):
            raise ValueError(f"no fast modulation has the code {code}")

    @property
    def room(self) -> int:
        """How many octets ``write()`` takes now; 0 unless a fast modem is sending."""
        return TX_RING - int(self._waiting[0]) if self._tx_mode[0] == _TX_FAST else 0

    def write(self, data: bytes) -> int:
        """Queue data for the fast modem (least significant bit first); returns how many octets it took."""
        return self._order_with(_WRITE, data)

    def end(self) -> None:
        """Finish: send what is queued, turn off (V.21: after two flags); then ``TransmitDone``."""
        self._order(_END)

    # receive

    def listen_for(self, *, dtmf: bool = False, call_progress: bool = False) -> None:
        """Besides a modem, hear DTMF digits (``DtmfDetected``) and call-progress tones (``ToneDetected``).

        Each costs a few ns a sample, so neither is on before it is asked for.
        """
        self._order(_LISTEN, _LISTEN_DTMF * dtmf + _LISTEN_PROGRESS * call_progress)

    def receive_off(self) -> None:
        """Listen for nothing."""
        self._order(_RECEIVE_OFF)

    def receive_v21(self) -> None:
        """Listen for V.21 HDLC frames.

        A V.21 carrier that is being received already, perhaps while listening for a fast modem, goes on
        being received, and its ``FlagsDetected`` is repeated at once.
        """
        self._order(_RECEIVE_V21)

    def receive_fast(self, code: int) -> None:
        """Listen for fast modulation ``code`` (T.31 +FRM), and for V.21 until it has trained.

        Raises ``ValueError`` if this package has no such modulation; what was being received goes on then.
        """
        if not self._order(_RECEIVE_FAST, code):
            raise ValueError(f"no fast modulation has the code {code}")

    # both

    def reset(self) -> None:
        """Become as new, but for the transmit level: what a call leaves behind must not colour the next."""
        gain = self._record["tx_gain"].copy()
        self._record[...] = np.zeros((), self._record.dtype)
        self._record["tx_gain"] = gain
        self.receive_off()

    # measures

    @property
    def silence_samples(self) -> int:
        """How long the received level has been below -36 dBm0 without a break."""
        return int(self._silence_samples[0])

    @property
    def level_dbm0(self) -> float:
        """Received level over the last 20 ms."""
        return rms_to_dbm0(float(self._power[0]) ** 0.5)

    def measures(self) -> Measures:
        """What has been measured so far."""
        rec = self._record[0]
        v21 = rec["v21_rx"]
        fast = rec["qam_rx"]
        level_dbm0 = self.level_dbm0
        if rec["measured"] == _RX_V21:
            level_dbm0 = rms_to_dbm0(float(v21["carrier_power"]) ** 0.5)
        elif rec["measured"] == _RX_FAST:
            level_dbm0 = float(fast["level_dbm0"])
        return Measures(
            level_dbm0=level_dbm0,
            snr_db=float(fast["snr_db"]),
            evm=float(fast["evm"]),
            carrier_offset_hz=float(fast["carrier_offset_hz"]),
            clock_offset_ppm=float(fast["clock_offset_ppm"]),
            n_trained=int(fast["n_trained"]),
            n_training_failed=int(fast["n_failed"]),
            n_frames_good=int(v21["n_good"]),
            n_frames_bad=int(v21["n_bad"]),
            n_lost_blocks=int(rec["n_lost"]),
            n_clipped_samples=int(rec["n_clipped"]),
        )
