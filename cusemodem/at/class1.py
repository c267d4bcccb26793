"""T.31 service class 1: what +FTS, +FRS, +FTH, +FRH, +FTM and +FRM do on an established call.

One machine, `State` × event, in `TRANSITIONS` at the end of this file; a pair that is not there is ignored
by decision, and a test goes through the whole product. Three rules hold everywhere:

1. The host's bytes mean what `HOST_MODES` says for the state: a command line, data, an abort, or something
   to keep until the state ends.
2. Every wait ends with exactly one result, handed to `report`, in the same tick as its cause.
3. Time is the sample count: `tick` is the only clock.

The call itself (hook, ringing, S7) is `call_control.py`'s; this machine begins with `start_calling` or
`start_answering` and is told of the end by CallEnded. The implicit first commands of T.31 §8.2 live here:
after D the modem waits as for +FRH=3, after A it sends as for +FTH=3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cusemodem.at import actions, events
from cusemodem.at.class1_states import HOST_MODES, Abort, HostMode, State, Timeout
from cusemodem.at.dle import END, Unstuffer, stuff
from cusemodem.at.frame_queue import FrameQueue, is_final, is_noise
from cusemodem.at.host_data import BUFFER, SAMPLE_RATE_HZ, BurstData, DiscardedData, FrameData
from cusemodem.at.modulations import MODULATIONS, V21
from cusemodem.at.outbox import Outbox
from cusemodem.at.results import Result
from cusemodem.at.settings import Settings

BLOCK: Final = 160
"""Samples of one tick."""

UNIT_SAMPLES: Final = 80
"""+FTS and +FRS count in 10 ms (T.31 §8.3.1, §8.3.2)."""

DATA_LIMIT: Final = 5 * SAMPLE_RATE_HZ
"""The host must begin within 5 s of CONNECT (T.31 §8.3.3, §8.3.5), and go on within 5 s once what it sent has
gone out (chosen)."""

GAP_UNIT: Final = SAMPLE_RATE_HZ // 10
"""+FCL counts in 100 ms (T.31 §8.5.1)."""

HELD_LIMIT: Final = 5 * SAMPLE_RATE_HZ
"""OK after a final frame waits no longer than this for the carrier to go (chosen: a far end that never
drops its carrier shall not hold up the host)."""

PAUSE: Final = SAMPLE_RATE_HZ // 10
"""A host silent for 100 ms may have ended its data; AT after that is a command (chosen)."""


@dataclass(slots=True)
class Counters:
    """What happened so far, over all calls."""

    frames_sent: int = 0
    frames_received: int = 0
    frames_bad: int = 0
    frames_dropped: int = 0
    wrong_carriers: int = 0
    inactivity_timeouts: int = 0


class Class1:
    """The machine. `report` takes the result that ends a wait; CONNECT and its kin go there too."""

    def __init__(self, settings: Settings, outbox: Outbox, report: Callable[[Result], None]) -> None:
        self.state = State.COMMAND
        self.counters = Counters()
        self._settings = settings
        self._out = outbox
        self._report = report
        self._timer: int | None = None
        self._block_heard = False  # this block's events have come, its tick has not
        self._listening: int | None = None  # None, V21 or a fast code
        self._flags = False  # a V.21 carrier with flags is being received
        self._tone = False  # calling or answer tone is being sent
        self._queue = FrameQueue()
        self._silence_samples = 0
        self._silence_wanted = 0
        self._frame: FrameData | None = None
        self._burst: BurstData | None = None
        self._discarded: DiscardedData | None = None
        self._end_result = Result.OK
        self._host_idle_samples = 0
        self._after_pause = False

    # ------------------------------------------------------------------ for the engine

    @property
    def host_mode(self) -> HostMode:
        """What the host's bytes mean now."""
        return HOST_MODES[self.state]

    @property
    def room(self) -> int:
        """Bytes of host data wanted now; outside +FTM the whole buffer's worth."""
        return BUFFER if self._burst is None else self._burst.room

    @property
    def awaits_host(self) -> bool:
        """It is the host's turn: a command or data is due, and nothing of the last is still on its way."""
        if self.state is State.FAST_SEND:
            return not self._data_in_hand
        return self.state in (State.COMMAND, State.HDLC_SEND, State.DISCARD)

    @property
    def has_frames(self) -> bool:
        """Received frames wait for +FRH; they are delivered even after the far end has hung up."""
        return len(self._queue) > 0

    def event(self, event: events.Event | Timeout | Abort) -> None:
        """Take one event of the modem or the call."""
        if not isinstance(event, Timeout | Abort):
            self._block_heard = True
        handler = TRANSITIONS[self.state].get(type(event))
        if handler is not None:
            handler(self, event)

    def tick(self, silence_samples: int) -> None:
        """One block has passed; the received line has been silent for `silence_samples` at its end."""
        self._silence_samples = silence_samples
        self._block_heard = False
        self._host_idle_samples += BLOCK
        if self._host_idle_samples >= PAUSE:
            self._after_pause = True
        if self._burst is not None:
            self._burst.tick(BLOCK)
        if self.state is State.AWAIT_SILENCE and silence_samples >= self._silence_wanted:
            self._finish(Result.OK)
        elif self._timer is not None and not self._data_in_hand:
            self._timer -= BLOCK
            if self._timer <= 0:
                self._timer = None
                self.event(Timeout())

    @property
    def idle(self) -> bool:
        """Time passing changes nothing: no command waits and no timer runs."""
        waits = self._timer is not None or self._burst is not None
        return self.state is State.COMMAND and self._after_pause and not waits

    @property
    def _data_in_hand(self) -> bool:
        """The line still lives on what the host sent: the host is not inactive yet."""
        return self.state is State.FAST_SEND and self._burst is not None and not self._burst.starving

    def reset(self) -> None:
        """The call is over or the host let go of the modem: everything off, nothing kept."""
        self._out.act(actions.SendSilence(), actions.ReceiveOff())
        self._listening = None
        self._tone = False
        self._forget_received()
        self._enter(State.COMMAND)

    # ------------------------------------------------------------------ commands

    def start_calling(self, *, silent: bool) -> None:
        """Our call was answered: calling tone, and the wait of an implicit +FRH=3."""
        self._tone = not silent
        self._out.act(actions.SendSilence() if silent else actions.SendCng())
        self._listen(V21)
        self._enter(State.HDLC_AWAIT)

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

    def await_silence(self, n_units: int) -> Result | None:
        """+FRS: OK once the line has been silent for `n_units` × 10 ms; silence that was counts."""
        self._silence_wanted = n_units * UNIT_SAMPLES
        if self._silence_samples >= self._silence_wanted:
            return Result.OK
        self._enter(State.AWAIT_SILENCE)
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

    def _enter(self, state: State, timer: int | None = None) -> None:
        """Go to `state` for at most `timer` samples; actions ordered now take effect with the next block."""
        self.state = state
        self._timer = timer + BLOCK if timer is not None and self._block_heard else timer
        self._frame = self._burst = self._discarded = None

    def _finish(self, result: Result) -> None:
        """End the wait: command state first, for the result may start the next command of the line."""
        self._enter(State.COMMAND)
        self._report(result)

    def _listen(self, code: int | None) -> None:
        """Point the receiver; nothing is restarted when it already listens to `code`."""
        if code == self._listening:
            return
        self._listening = code
        self._forget_received()
        if code is None:
            self._out.act(actions.ReceiveOff())
        elif code == V21:
            self._out.act(actions.ReceiveV21())
        else:
            self._out.act(actions.ReceiveFast(code))

    def _forget_received(self) -> None:
        self._flags = False
        self._queue.clear()

    def _stop_tone(self) -> None:
        if self._tone:
            self._tone = False
            self._out.act(actions.SendSilence())

    def _begin_frame(self) -> None:
        self._enter(State.HDLC_SEND, DATA_LIMIT)
        self._frame = FrameData()

    def _connect(self) -> None:
        self._enter(State.HDLC_RECEIVE)
        self._report(Result.CONNECT)

    def _stuffed(self, data: bytes) -> bytes:
        return stuff(data, pairs_as_sub=self._settings.number("+FDD") == 1)

    def _deliver(self, frame: events.FrameReceived) -> None:
        """Hand a frame over (CONNECT was said); OK of a final one waits for the end of the carrier."""
        self._out.data(self._stuffed(frame.data) + END)
        if not frame.fcs_ok:
            self._finish(Result.ERROR)
        elif is_final(frame.data) and self._flags:
            self._enter(State.HDLC_HELD, HELD_LIMIT)
        else:
            self._finish(Result.OK)

    def _cut_short(self, result: Result) -> None:
        """Stop sending; what the host had under way is swallowed up to its end."""
        data = self._frame or self._burst
        unstuffer = data.unstuffer if data is not None else Unstuffer()
        self._out.act(actions.SendSilence())
        self._enter(State.DISCARD)
        self._discarded = DiscardedData(unstuffer)
        self._report(result)

    def _admit(self, frame: events.FrameReceived) -> bool:
        """Count a received frame; False for noise, which the host never sees."""
        if is_noise(frame):
            self.counters.frames_dropped += 1
            return False
        if frame.fcs_ok:
            self.counters.frames_received += 1
        else:
            self.counters.frames_bad += 1
        self._flags = True
        return True

    # ------------------------------------------------------------------ transitions

    def _note_flags(self, _event: events.FlagsDetected) -> None:
        self._flags = self._listening == V21

    def _note_carrier_lost(self, event: events.CarrierLost) -> None:
        if event.v21:
            self._flags = False

    def _queue_frame(self, event: events.FrameReceived) -> None:
        if self._listening == V21 and self._admit(event) and not self._queue.put(event):
            self.counters.frames_dropped += 1

    def _call_ended(self, _event: events.CallEnded) -> None:
        """Far-end hang-up: nothing is said, frames not yet fetched stay."""
        self._listening = None
        self._flags = self._tone = False

    def _no_carrier(self, event: events.CallEnded) -> None:
        self._call_ended(event)
        self._finish(Result.NO_CARRIER)

    def _ok(self, _event: Timeout | Abort) -> None:
        self._finish(Result.OK)

    def _aborted(self, _event: Abort) -> None:
        self._stop_tone()
        self._listen(None)
        self._finish(Result.OK)

    def _data_aborted(self, event: Abort) -> None:
        self._out.data(END)
        self._aborted(event)

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


Handler = Callable[[Class1, Any], None]

_TRACK_V21: Final[Mapping[type, Handler]] = {
    events.FlagsDetected: Class1._note_flags,
    events.FrameReceived: Class1._queue_frame,
    events.CarrierLost: Class1._note_carrier_lost,
}

TRANSITIONS: Final[Mapping[State, Mapping[type, Handler]]] = {
    State.COMMAND: {**_TRACK_V21, events.CallEnded: Class1._call_ended},
    State.ANSWER_TONE: {
        events.TransmitDone: Class1._answer_tone_sent,
        events.CallEnded: Class1._no_carrier,
        Abort: Class1._aborted,
    },
    State.SEND_SILENCE: {Timeout: Class1._ok, events.CallEnded: Class1._no_carrier},
    State.AWAIT_SILENCE: {**_TRACK_V21, events.CallEnded: Class1._no_carrier, Abort: Class1._ok},
    State.HDLC_SEND: {Timeout: Class1._host_inactive, events.CallEnded: Class1._hung_up_on_sender},
    State.HDLC_SENDING: {
        events.FrameSent: Class1._frame_sent,
        events.CallEnded: Class1._hung_up_on_sender,
    },
    State.HDLC_ENDING: {
        events.TransmitDone: Class1._burst_sent,
        events.CallEnded: Class1._no_carrier,
    },
    State.FAST_SEND: {Timeout: Class1._host_inactive, events.CallEnded: Class1._hung_up_on_sender},
    State.FAST_DRAIN: {events.CallEnded: Class1._no_carrier},
    State.FAST_ENDING: {
        events.TransmitDone: Class1._burst_sent,
        events.CallEnded: Class1._no_carrier,
    },
    State.HDLC_AWAIT: {
        events.FlagsDetected: Class1._flags_found,
        events.FrameReceived: Class1._frame_found,
        events.CallEnded: Class1._no_carrier,
        Abort: Class1._aborted,
    },
    State.HDLC_RECEIVE: {
        events.FrameReceived: Class1._frame_received,
        events.CarrierLost: Class1._frame_missing,
        events.CallEnded: Class1._hung_up_on_receiver,
        Abort: Class1._aborted,
    },
    State.HDLC_HELD: {
        events.FrameReceived: Class1._held_overtaken,
        events.CarrierLost: Class1._held_released,
        events.CallEnded: Class1._held_hung_up,
        Timeout: Class1._ok,
        Abort: Class1._aborted,
    },
    State.FAST_AWAIT: {
        events.Trained: Class1._trained,
        events.FlagsDetected: Class1._flags_instead,
        events.FrameReceived: Class1._frame_instead,
        events.CallEnded: Class1._no_carrier,
        Abort: Class1._aborted,
    },
    State.FAST_RECEIVE: {
        events.DataReceived: Class1._data_received,
        events.CarrierLost: Class1._fast_carrier_lost,
        events.CallEnded: Class1._hung_up_on_receiver,
        Abort: Class1._data_aborted,
    },
    State.FAST_GAP: {
        events.Trained: Class1._gap_over,
        events.DataReceived: Class1._gap_filled,
        events.FlagsDetected: Class1._gap_was_the_end,
        events.FrameReceived: Class1._gap_was_the_end,
        events.CallEnded: Class1._hung_up_on_receiver,
        Timeout: Class1._gap_too_long,
        Abort: Class1._data_aborted,
    },
    State.DISCARD: {events.CallEnded: Class1._call_ended},
}
