"""Class 1, receiving: +FRS, +FRH, +FRM, and the wait for the first frame after D.

Commands come from `class1.py`; the cells of the table are the methods under `transitions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cusemodem.at import actions, events
from cusemodem.at.class1_machine import HALF_BLOCK, TRACK_V21, UNIT_SAMPLES, Handler, Machine
from cusemodem.at.class1_states import Abort, State, Timeout
from cusemodem.at.dle import END
from cusemodem.at.host_data import SAMPLE_RATE_HZ
from cusemodem.at.modulations import V21
from cusemodem.at.results import Result

GAP_UNIT: Final = SAMPLE_RATE_HZ // 10
"""+FCL counts in 100 ms (T.31 §8.5.1)."""


class Receiving(Machine):
    """The machine as a receiver."""

    # ------------------------------------------------------------------ commands

    def start_calling(self, *, silent: bool) -> None:
        """Our call was answered: calling tone, and the wait of an implicit +FRH=3."""
        self._tone = not silent
        self._out.act(actions.SendSilence() if silent else actions.SendCng())
        self._listen(V21)
        self._enter(State.HDLC_AWAIT)

    def await_silence(self, n_units: int) -> Result | None:
        """+FRS: OK once the line has been silent for `n_units` × 10 ms, ±10 ms; silence that was counts."""
        self._silence_wanted = max(1, n_units * UNIT_SAMPLES - HALF_BLOCK) if n_units else 0
        if self._silence_samples >= self._silence_wanted:
            return Result.OK
        self._enter(State.AWAIT_SILENCE)
        return None

    def receive_hdlc(self) -> Result | None:
        """+FRH=3: the next frame; queued frames and running flags connect at once."""
        if self._queue:
            self._report(Result.CONNECT)
            self._deliver(self._queue.get())
            return None
        self._listen(V21)
        if self._flags:
            self._connect()
        else:
            self._enter(State.HDLC_AWAIT)
        return None

    def receive_fast(self, code: int) -> Result | None:
        """+FRM: train, CONNECT, data."""
        self._listen(None)
        self._listen(code)
        self._enter(State.FAST_AWAIT)
        return None

    # ------------------------------------------------------------------ transitions

    def _data_aborted(self, event: Abort) -> None:
        self._out.data(END)
        self._aborted(event)

    def _flags_found(self, _event: events.FlagsDetected) -> None:
        self._stop_tone()
        self._flags = True
        self._connect()

    def _frame_found(self, event: events.FrameReceived) -> None:
        if self._admit(event):
            self._stop_tone()
            self._connect()
            self._deliver(event)

    def _frame_received(self, event: events.FrameReceived) -> None:
        if self._admit(event):
            self._deliver(event)

    def _frame_missing(self, event: events.CarrierLost) -> None:
        """The carrier went where a frame was due; DLE ETX tells the host that no data follows."""
        if event.v21:
            self._flags = False
            self._out.data(END)
            self._finish(Result.NO_CARRIER)

    def _hung_up_on_receiver(self, event: events.CallEnded) -> None:
        self._call_ended(event)
        self._out.data(END)
        self._finish(Result.NO_CARRIER)

    def _held_released(self, event: events.CarrierLost) -> None:
        if event.v21:
            self._flags = False
            self._finish(Result.OK)

    def _held_overtaken(self, event: events.FrameReceived) -> None:
        """The far end goes on after its final frame: that one is over."""
        self._queue_frame(event)
        if self._queue:
            self._finish(Result.OK)

    def _held_hung_up(self, event: events.CallEnded) -> None:
        self._call_ended(event)
        self._finish(Result.OK)

    def _trained(self, _event: events.Trained) -> None:
        self._enter(State.FAST_RECEIVE)
        self._report(Result.CONNECT)

    def _flags_instead(self, _event: events.FlagsDetected) -> None:
        self._wrong_carrier(None)

    def _frame_instead(self, event: events.FrameReceived) -> None:
        if self._admit(event):
            self._wrong_carrier(event)

    def _wrong_carrier(self, frame: events.FrameReceived | None) -> None:
        """V.21 where +FRM wants a fast carrier: +FCERROR, or with +FAR=1 go on as +FRH=3."""
        self.counters.wrong_carriers += 1
        self._listen(V21)
        self._flags = True
        if self._settings.number("+FAR") == 0:
            if frame is not None:
                self._queue.put(frame)
            self._finish(Result.FCERROR)
            return
        self._report(Result.FRH_3)
        self._connect()
        if frame is not None:
            self._deliver(frame)

    def _data_received(self, event: events.DataReceived) -> None:
        self._out.data(self._stuffed(event.data))

    def _fast_carrier_lost(self, event: events.CarrierLost) -> None:
        """The end of the burst, unless +FCL lets the carrier come back."""
        if not event.v21:
            if gap := self._settings.number("+FCL"):
                self._enter(State.FAST_GAP, gap * GAP_UNIT)
            else:
                self._end_burst()

    def _gap_over(self, _event: events.Trained) -> None:
        """The carrier is back, within the same burst: data goes on without another CONNECT."""
        self._enter(State.FAST_RECEIVE)

    def _gap_filled(self, event: events.DataReceived) -> None:
        self._enter(State.FAST_RECEIVE)
        self._data_received(event)

    def _gap_too_long(self, _event: Timeout) -> None:
        self._end_burst()

    def _gap_was_the_end(self, event: events.FlagsDetected | events.FrameReceived) -> None:
        """V.21 instead: the burst is over, and what comes is for the next +FRH=3."""
        self._end_burst()
        self.event(event)

    def _end_burst(self) -> None:
        """What comes next is V.21: listen at once, the host may be slow to ask."""
        self._out.data(END)
        self._listen(V21)
        self._finish(Result.NO_CARRIER)


RECEIVING: Final[Mapping[State, Mapping[type, Handler]]] = {
    State.AWAIT_SILENCE: {**TRACK_V21, events.CallEnded: Receiving._no_carrier, Abort: Receiving._ok},
    State.HDLC_AWAIT: {
        events.FlagsDetected: Receiving._flags_found,
        events.FrameReceived: Receiving._frame_found,
        events.CallEnded: Receiving._no_carrier,
        Abort: Receiving._aborted,
    },
    State.HDLC_RECEIVE: {
        events.FrameReceived: Receiving._frame_received,
        events.CarrierLost: Receiving._frame_missing,
        events.CallEnded: Receiving._hung_up_on_receiver,
        Abort: Receiving._aborted,
    },
    State.HDLC_HELD: {
        events.FrameReceived: Receiving._held_overtaken,
        events.CarrierLost: Receiving._held_released,
        events.CallEnded: Receiving._held_hung_up,
        Timeout: Receiving._ok,
        Abort: Receiving._aborted,
    },
    State.FAST_AWAIT: {
        events.Trained: Receiving._trained,
        events.FlagsDetected: Receiving._flags_instead,
        events.FrameReceived: Receiving._frame_instead,
        events.CallEnded: Receiving._no_carrier,
        Abort: Receiving._aborted,
    },
    State.FAST_RECEIVE: {
        events.DataReceived: Receiving._data_received,
        events.CarrierLost: Receiving._fast_carrier_lost,
        events.CallEnded: Receiving._hung_up_on_receiver,
        Abort: Receiving._data_aborted,
    },
    State.FAST_GAP: {
        events.Trained: Receiving._gap_over,
        events.DataReceived: Receiving._gap_filled,
        events.FlagsDetected: Receiving._gap_was_the_end,
        events.FrameReceived: Receiving._gap_was_the_end,
        events.CallEnded: Receiving._hung_up_on_receiver,
        Timeout: Receiving._gap_too_long,
        Abort: Receiving._data_aborted,
    },
}
