"""T.31 service class 1: what +FTS, +FRS, +FTH, +FRH, +FTM and +FRM do on an established call.

One machine, `State` × event, in the table `TRANSITIONS`; a pair that is not there is ignored by decision,
and a test goes through the whole product. Three rules hold everywhere:

1. The host's bytes mean what `HOST_MODES` says for the state: a command line, data, an abort, or something
   to keep until the state ends.
2. Every wait ends with exactly one result, handed to `report`, in the same tick as its cause.
3. Time is the sample count: `tick` is the only clock.

The call itself (hook, ringing, S7) is `call_control.py`'s; this machine begins with `start_calling` or
`start_answering` and is told of the end by CallEnded. The implicit first commands of T.31 §8.2 live here:
after D the modem waits as for +FRH=3, after A it sends as for +FTH=3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cusemodem.at import actions, events
from cusemodem.at.class1_machine import BLOCK, TRACK_V21, Counters, Handler
from cusemodem.at.class1_receiving import RECEIVING, Receiving
from cusemodem.at.class1_sending import SENDING, Sending
from cusemodem.at.class1_states import HOST_MODES, HostMode, State, Timeout
from cusemodem.at.host_data import BUFFER, SAMPLE_RATE_HZ
from cusemodem.at.results import Result

__all__ = ["BLOCK", "TRANSITIONS", "Class1", "Counters"]

PAUSE: Final = SAMPLE_RATE_HZ // 10
"""A host silent for 100 ms may have ended its data; AT after that is a command (chosen)."""


class Class1(Sending, Receiving):
    """The machine as the engine sees it."""

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

    def reset(self) -> None:
        """The call is over or the host let go of the modem: everything off, nothing kept."""
        self._out.act(actions.SendSilence(), actions.ReceiveOff())
        self._listening = None
        self._tone = False
        self._forget_received()
        self._enter(State.COMMAND)


TRANSITIONS: Final[Mapping[State, Mapping[type, Handler]]] = {
    State.COMMAND: {**TRACK_V21, events.CallEnded: Class1._call_ended},
    **SENDING,
    **RECEIVING,
}

Class1.transitions = TRANSITIONS
