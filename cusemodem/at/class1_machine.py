"""What all states of the class 1 machine share: state and timer, what the receiver listens to, the queue of
received frames, the end of a wait. What the states do is `class1_sending.py`'s and `class1_receiving.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from cusemodem.at import actions, events
from cusemodem.at.class1_states import Abort, State, Timeout
from cusemodem.at.dle import END, stuff
from cusemodem.at.frame_queue import FrameQueue, is_final, is_noise
from cusemodem.at.host_data import SAMPLE_RATE_HZ, BurstData, DiscardedData, FrameData
from cusemodem.at.modulations import V21
from cusemodem.at.outbox import Outbox
from cusemodem.at.results import Result
from cusemodem.at.settings import Settings

BLOCK: Final = 160
"""Samples of one tick."""

HALF_BLOCK: Final = BLOCK // 2
"""A time that would be over within this is over now: no result is more than 10 ms off (T.31's unit)."""

UNIT_SAMPLES: Final = 80
"""+FTS and +FRS count in 10 ms (T.31 §8.3.1, §8.3.2)."""

HELD_LIMIT: Final = 5 * SAMPLE_RATE_HZ
"""OK after a final frame waits no longer than this for the carrier to go (chosen: a far end that never
drops its carrier shall not hold up the host)."""

Handler = Callable[[Any, Any], None]
"""What a table's cell holds: a method of the machine that takes the event."""


@dataclass(slots=True)
class Counters:
    """What happened so far, over all calls."""

    frames_sent: int = 0
    frames_received: int = 0
    frames_bad: int = 0
    frames_dropped: int = 0
    wrong_carriers: int = 0
    inactivity_timeouts: int = 0


class Machine:
    """State, timer, receiver and frame queue of one class 1 machine. `report` takes every result."""

    transitions: ClassVar[Mapping[State, Mapping[type, Handler]]] = {}
    """The whole table; `class1.py` fills it in."""

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

    # ------------------------------------------------------------------ common steps

    def event(self, event: events.Event | Timeout | Abort) -> None:
        """Take one event of the modem or the call."""
        if not isinstance(event, Timeout | Abort):
            self._block_heard = True
        handler = self.transitions[self.state].get(type(event))
        if handler is not None:
            handler(self, event)

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

    # ------------------------------------------------------------------ transitions of several states

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


TRACK_V21: Final[dict[type, Handler]] = {
    events.FlagsDetected: Machine._note_flags,
    events.FrameReceived: Machine._queue_frame,
    events.CarrierLost: Machine._note_carrier_lost,
}
"""Where a V.21 receiver may be filling the queue while nobody waits for it."""
