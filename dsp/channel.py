"""The Python handle on one channel of a bank: what it is to send and to listen for, what it has measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp.call_progress import NAMES
from dsp.channel_kernel import (
    CHANNEL,
    LISTEN_DTMF,
    LISTEN_PROGRESS,
    ORDER_END,
    ORDER_LISTEN,
    ORDER_RECEIVE_FAST,
    ORDER_RECEIVE_OFF,
    ORDER_RECEIVE_V21,
    ORDER_SEND_CED,
    ORDER_SEND_CNG,
    ORDER_SEND_DTMF,
    ORDER_SEND_FAST,
    ORDER_SEND_FLAGS,
    ORDER_SEND_FRAME,
    ORDER_SEND_PROGRESS,
    ORDER_SEND_SILENCE,
    ORDER_WRITE,
    RX_FAST,
    RX_V21,
    TX_FAST,
    TX_V21,
    channel_block,
    order,
)
from dsp.dtmf import DIGITS, QUEUE
from dsp.hdlc import MAX_FRAME
from dsp.interruption import interruptions
from dsp.kernel import argument
from dsp.level import dbm0_to_rms, rms_to_dbm0
from dsp.measures import Measures
from dsp.qam_rx_state import SYMBOL_RING
from dsp.qam_tx import TX_RING
from dsp.v21 import LEVEL_DBM0, v21_carrier_offset_hz, v21_snr_db

__all__ = ["CHANNEL", "Channel", "channel_block"]


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
        self._n_seen = 0
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
        self._order(ORDER_SEND_SILENCE)

    def send_cng(self) -> None:
        """Send CNG, 1100 Hz 0.5 s on and 3 s off, until another order (T.30 §4.2)."""
        self._order(ORDER_SEND_CNG)

    def send_ced(self) -> None:
        """Send CED: 200 ms silence, 3 s of 2100 Hz, 75 ms silence, then ``TransmitDone`` (T.30 §4.1)."""
        self._order(ORDER_SEND_CED)

    def send_dtmf(self, digits: str) -> None:
        """Send digits, one of ``0123456789*#ABCD`` each, 100 ms on and 100 ms off; then ``TransmitDone``.

        While digits are being sent more may be added. Raises ``ValueError`` for other characters and for no
        digits, ``BufferError`` if more than 64 would wait.
        """
        if not digits or any(digit not in DIGITS for digit in digits):
            raise ValueError(f"{digits!r} is not a string of the DTMF digits 0-9, *, #, A-D")
        places = bytes(DIGITS.index(digit) for digit in digits)
        if len(digits) > QUEUE or not self._order_with(ORDER_SEND_DTMF, places):
            raise BufferError(f"more than {QUEUE} DTMF digits would wait")

    def send_call_progress(self, name: str) -> None:
        """Send one of ``dsp.call_progress.NAMES`` with its cadence until another order."""
        if name not in NAMES:
            raise ValueError(f"call-progress tone {name!r} is none of {', '.join(NAMES)}")
        self._order(ORDER_SEND_PROGRESS, NAMES.index(name))

    def send_flags(self) -> None:
        """Put the V.21 carrier up: a preamble of 37 flags, then flags until there are frames.

        If it is up already it stays, without a new preamble, and an ``end()`` not yet executed is taken back.
        """
        self._order(ORDER_SEND_FLAGS)

    def send_frame(self, frame: bytes) -> None:
        """Queue one V.21 frame (address, control, …; the FCS is added); ``FrameSent`` when it has gone out.

        Raises ``ValueError`` for an empty frame or one longer than T.30's, ``RuntimeError`` without
        ``send_flags()`` before, ``BufferError`` when 4 KiB are waiting already.
        """
        if not 1 <= len(frame) <= MAX_FRAME - 2:
            raise ValueError(f"a frame has 1 to {MAX_FRAME - 2} octets without its FCS, not {len(frame)}")
        if self._tx_mode[0] != TX_V21:
            raise RuntimeError("no V.21 carrier to send a frame on; call send_flags() first")
        if not self._order_with(ORDER_SEND_FRAME, frame):
            raise BufferError("too many V.21 frames are waiting; wait for FrameSent")

    def send_fast(self, code: int) -> None:
        """Send the turn-on sequence of fast modulation ``code`` (T.31 +FTM), then what ``write()`` brings.

        Ones are sent until the first octet has been written, zeros whenever data are late after it.
        Raises ``ValueError`` if this package has no such modulation; what was being sent goes on then.
        """
        if not self._order(ORDER_SEND_FAST, code):
            raise ValueError(f"no fast modulation has the code {code}")

    @property
    def room(self) -> int:
        """How many octets ``write()`` takes now; 0 unless a fast modem is sending."""
        return TX_RING - int(self._waiting[0]) if self._tx_mode[0] == TX_FAST else 0

    def write(self, data: bytes) -> int:
        """Queue data for the fast modem (least significant bit first); returns how many octets it took."""
        return self._order_with(ORDER_WRITE, data)

    def end(self) -> None:
        """Finish: send what is queued (V.21: or else the preamble), turn off; then ``TransmitDone``."""
        self._order(ORDER_END)

    # receive

    def listen_for(self, *, dtmf: bool = False, call_progress: bool = False) -> None:
        """Besides a modem, hear DTMF digits (``DtmfDetected``) and call-progress tones (``ToneDetected``).

        Each costs a few ns a sample, so neither is on before it is asked for.
        """
        self._order(ORDER_LISTEN, LISTEN_DTMF * dtmf + LISTEN_PROGRESS * call_progress)

    def receive_off(self) -> None:
        """Listen for nothing."""
        self._order(ORDER_RECEIVE_OFF)

    def receive_v21(self) -> None:
        """Listen for V.21 HDLC frames.

        A V.21 carrier that is being received already, perhaps while listening for a fast modem, goes on
        being received, and its ``FlagsDetected`` is repeated at once.
        """
        self._order(ORDER_RECEIVE_V21)

    def receive_fast(self, code: int) -> None:
        """Listen for fast modulation ``code`` (T.31 +FRM), and for V.21 until it has trained.

        Raises ``ValueError`` if this package has no such modulation; what was being received goes on then.
        """
        if not self._order(ORDER_RECEIVE_FAST, code):
            raise ValueError(f"no fast modulation has the code {code}")

    # both

    def reset(self) -> None:
        """Become as new, but for the transmit level: what a call leaves behind must not colour the next."""
        gain = self._record["tx_gain"].copy()
        self._record[...] = np.zeros((), self._record.dtype)
        self._record["tx_gain"] = gain
        self.receive_off()

    # symbols

    def watch_symbols(self, on: bool = True) -> None:
        """From now on leave each symbol of the fast receiver for :meth:`symbols`, or no longer."""
        self._record["qam_rx"]["watched"] = on
        self._n_seen = int(self._record["qam_rx"]["n_watched"][0])

    def symbols(self) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
        """The symbols since the last call, as ``received`` and ``decided`` points of unit mean energy.

        To be called after every block: no more than 128 are kept. In a training ``decided`` are the known
        points; with V.17's code they are those of the likeliest path so far, as the receiver's loops have it.
        """
        fast = self._record[0]["qam_rx"]
        end = int(fast["n_watched"])
        n = min(end - self._n_seen if end >= self._n_seen else end, SYMBOL_RING)
        self._n_seen = end
        places = np.arange(end - n, end) % SYMBOL_RING
        return fast["watched_received"][places], fast["watched_decided"][places]

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
        if rec["measured"] == RX_V21:
            level_dbm0 = rms_to_dbm0(float(v21["carrier_power"]) ** 0.5)
        elif rec["measured"] == RX_FAST:
            level_dbm0 = float(fast["level_dbm0"])
        return Measures(
            level_dbm0=level_dbm0,
            snr_db=float(fast["snr_db"]),
            evm=float(fast["evm"]),
            carrier_offset_hz=float(fast["carrier_offset_hz"]),
            clock_offset_ppm=float(fast["clock_offset_ppm"]),
            n_trained=int(fast["n_trained"]),
            n_training_failed=int(fast["n_failed"]),
            v21_snr_db=v21_snr_db(v21),
            v21_carrier_offset_hz=v21_carrier_offset_hz(v21),
            n_frames_good=int(v21["n_good"]),
            n_frames_bad=int(v21["n_bad"]),
            n_lost_blocks=int(rec["n_lost"]),
            n_lost_samples=int(fast["n_lost_samples"]),
            n_slips=int(fast["n_relocked"]),
            n_clipped_samples=int(rec["n_clipped"]),
            interruptions=interruptions(fast["interruptions"]),
        )
