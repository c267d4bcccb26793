"""Class 1, sending: answer tone, +FTS, +FTH, +FTM, and what is swallowed after a transmission was cut short.

Commands and host data come from `class1.py`; the cells of the table are the methods under `transitions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cusemodem.at import actions, events
from cusemodem.at.class1_machine import UNIT_SAMPLES, Handler, Machine
from cusemodem.at.class1_states import Abort, State, Timeout
from cusemodem.at.dle import Unstuffer
from cusemodem.at.frame_queue import is_final
from cusemodem.at.host_data import SAMPLE_RATE_HZ, BurstData, DiscardedData, FrameData
from cusemodem.at.modulations import MODULATIONS
from cusemodem.at.results import Result

DATA_LIMIT: Final = 5 * SAMPLE_RATE_HZ
"""The host must begin within 5 s of CONNECT (T.31 §8.3.3, §8.3.5), and go on within 5 s once what it sent has
gone out (chosen)."""


class Sending(Machine):
    """The machine as a transmitter."""

    # ------------------------------------------------------------------ commands

    def start_answering(self) -> None:
        """We answered: answer tone, then flags as with an implicit +FTH=3."""
        self._listen(None)
        self._tone = True
        self._out.act(actions.SendCed())
        self._enter(State.ANSWER_TONE)

    def send_silence(self, n_units: int) -> Result | None:
        """+FTS: any carrier off, `n_units` × 10 ms of silence, OK."""
        self._listen(None)
        self._out.act(actions.SendSilence())
        if n_units == 0:
            return Result.OK
        self._enter(State.SEND_SILENCE, n_units * UNIT_SAMPLES)
        return None

    def send_hdlc(self) -> Result | None:
        """+FTH=3: V.21 carrier, CONNECT at once, then frames."""
        self._listen(None)
        self._out.act(actions.SendFlags())
        self._begin_frame()
        return Result.CONNECT

    def send_fast(self, code: int) -> Result | None:
        """+FTM: turn-on sequence, CONNECT at its start (T.31 §8.3.3), then data."""
        self._listen(None)
        self._out.act(actions.SendFast(code))
        self._enter(State.FAST_SEND, DATA_LIMIT)
        self._burst = BurstData(MODULATIONS[code].rate_bps)
        return Result.CONNECT

    # ------------------------------------------------------------------ the host's data

    def host_data(self, data: bytes | bytearray) -> int:
        """Take data in HDLC_SEND, FAST_SEND or DISCARD; how many bytes were taken (0: no room now).

        What follows DLE ETX is left alone: it may be the next command.
        """
        after_pause, self._after_pause = self._after_pause, False
        self._host_idle_samples = 0
        n_taken = 0
        if self._discarded is not None:
            n_taken, self._after_pause = self._discarded.take(data, after_pause=after_pause)
            if self._discarded.ended:
                self._enter(State.COMMAND)
        elif self._frame is not None:
            n_taken = self._frame.take(data)
            self._timer = DATA_LIMIT
            if self._frame.ended:
                self._send_frame(self._frame.frame())
        elif self._burst is not None:
            n_taken = self._burst.take(data)
            if n_taken:
                self._timer = DATA_LIMIT
            if self._burst.ended:
                self.state, self._timer = State.FAST_DRAIN, None
                self._end_drained_burst()
        return n_taken

    def pull_data(self, max_bytes: int) -> bytes:
        """Up to `max_bytes` of +FTM data for the transmitter."""
        if self._burst is None:
            return b""
        data = self._burst.pull(max_bytes)
        self._end_drained_burst()
        return data

    def _end_drained_burst(self) -> None:
        if self.state is State.FAST_DRAIN and self._burst is not None and self._burst.empty:
            self._out.act(actions.EndTransmission())
            self._end_result = Result.OK
            self._enter(State.FAST_ENDING)

    def _send_frame(self, frame: bytes | None) -> None:
        if frame:
            self.counters.frames_sent += 1
            self._out.act(actions.SendFrame(frame))
            if not is_final(frame):
                self._enter(State.HDLC_SENDING)
                return
        # a final frame, an empty one, which only ends the carrier (T.31 §8.3.5), or none at all
        self._out.act(actions.EndTransmission())
        self._end_result = Result.ERROR if frame is None else Result.OK
        self._enter(State.HDLC_ENDING)

    # ------------------------------------------------------------------ common steps

    @property
    def _data_in_hand(self) -> bool:
        """The line still lives on what the host sent: the host is not inactive yet."""
        return self.state is State.FAST_SEND and self._burst is not None and not self._burst.starving

    def _begin_frame(self) -> None:
        self._enter(State.HDLC_SEND, DATA_LIMIT)
        self._frame = FrameData()

    def _cut_short(self, result: Result) -> None:
        """Stop sending; what the host had under way is swallowed up to its end."""
        data = self._frame or self._burst
        unstuffer = data.unstuffer if data is not None else Unstuffer()
        self._out.act(actions.SendSilence())
        self._enter(State.DISCARD)
        self._discarded = DiscardedData(unstuffer)
        self._report(result)

    # ------------------------------------------------------------------ transitions

    def _answer_tone_sent(self, _event: events.TransmitDone) -> None:
        self._tone = False
        self._out.act(actions.SendFlags())
        self._begin_frame()
        self._report(Result.CONNECT)

    def _host_inactive(self, _event: Timeout) -> None:
        self.counters.inactivity_timeouts += 1
        self._cut_short(Result.ERROR)

    def _hung_up_on_sender(self, event: events.CallEnded) -> None:
        self._call_ended(event)
        self._cut_short(Result.NO_CARRIER)

    def _frame_sent(self, _event: events.FrameSent) -> None:
        self._begin_frame()
        self._report(Result.CONNECT)

    def _burst_sent(self, _event: events.TransmitDone) -> None:
        self._finish(self._end_result)


SENDING: Final[Mapping[State, Mapping[type, Handler]]] = {
    State.ANSWER_TONE: {
        events.TransmitDone: Sending._answer_tone_sent,
        events.CallEnded: Sending._no_carrier,
        Abort: Sending._aborted,
    },
    State.SEND_SILENCE: {Timeout: Sending._ok, events.CallEnded: Sending._no_carrier},
    State.HDLC_SEND: {Timeout: Sending._host_inactive, events.CallEnded: Sending._hung_up_on_sender},
    State.HDLC_SENDING: {
        events.FrameSent: Sending._frame_sent,
        events.CallEnded: Sending._hung_up_on_sender,
    },
    State.HDLC_ENDING: {
        events.TransmitDone: Sending._burst_sent,
        events.CallEnded: Sending._no_carrier,
    },
    State.FAST_SEND: {Timeout: Sending._host_inactive, events.CallEnded: Sending._hung_up_on_sender},
    State.FAST_DRAIN: {events.CallEnded: Sending._no_carrier},
    State.FAST_ENDING: {
        events.TransmitDone: Sending._burst_sent,
        events.CallEnded: Sending._no_carrier,
    },
    State.DISCARD: {events.CallEnded: Sending._call_ended},
}
