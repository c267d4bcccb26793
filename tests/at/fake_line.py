"""A line for engine tests: carries out actions in block time and lets the test play the far end.

Everything the engine orders is logged. Tones, frames and bursts take the time they would take on a line, so
that a transcript's timing is the real one; what is *received* is the test's to say (`far`).
"""

from __future__ import annotations

from cusemodem.at import Engine, actions, events

BLOCK = 160
FOREVER = 80_000
"""Samples of silence on an idle line."""


class FakeLine:
    """One engine on a simulated line; `log` holds all actions, `seen` all output."""

    def __init__(self, engine: Engine | None = None) -> None:
        self.engine = engine or Engine()
        self.log: list[actions.Action] = []
        self.seen = bytearray()
        self.sent = bytearray()
        "the data of all bursts"
        self.frames: list[bytes] = []
        self.n_blocks = 0
        self.silence_samples = FOREVER
        self.answer_at_once = True
        self.read_rate = 24
        "bytes a block the transmitter takes of a burst (1200 a second: 9600 bit/s)"
        self._jobs: list[tuple[int, events.Event | None]] = []
        self._transmitting = False
        self._perform()

    # ------------------------------------------------------------------ host side

    def host(self, data: bytes) -> bytes:
        """The host writes; what the engine answers at once."""
        before = len(self.seen)
        self.engine.host_bytes(data)
        self._perform()
        return bytes(self.seen[before:])

    def far(self, *happened: events.Event) -> bytes:
        """Events of the line; what the engine says to them at once."""
        before = len(self.seen)
        for event in happened:
            if isinstance(event, events.IncomingCall):
                self.block(event)  # RING counts from the block in which the call came
                continue
            self.engine.event(event)
            self._perform()
        return bytes(self.seen[before:])

    def run(self, seconds: float) -> bytes:
        """Let time pass; what was said meanwhile."""
        before = len(self.seen)
        for _ in range(round(seconds * 50)):
            self.block()
        return bytes(self.seen[before:])

    def until(self, text: bytes, within_s: float) -> float:
        """Let time pass until exactly `text` was said; how long that took."""
        before, start = len(self.seen), self.n_blocks
        while len(self.seen) == before:
            assert (self.n_blocks - start) / 50 < within_s, f"nothing said in {within_s} s, not {text!r}"
            self.block()
        assert bytes(self.seen[before:]) == text
        return (self.n_blocks - start) / 50

    # ------------------------------------------------------------------ one block

    def block(self, *happened: events.Event) -> None:
        """20 ms: the transmitter works, its events, the far end's and the tick reach the engine."""
        self.n_blocks += 1
        if self._transmitting:
            self.sent += self.engine.pull_data(self.read_rate)
            self._perform()
        due = [event for at, event in self._jobs if at <= self.n_blocks and event is not None]
        self._jobs = [(at, event) for at, event in self._jobs if at > self.n_blocks]
        for event in (*due, *happened):
            self.engine.event(event)
            self._perform()
        self.engine.tick(self.silence_samples)
        self._perform()

    def take_log(self) -> list[actions.Action]:
        """The actions since the last call."""
        log, self.log = self.log, []
        return log

    def dials(self) -> list[actions.Dial]:
        """The calls placed since the log was last taken."""
        return [action for action in self.take_log() if isinstance(action, actions.Dial)]

    def _later(self, seconds: float, event: events.Event | None) -> None:
        busy_until = max([at for at, _ in self._jobs], default=self.n_blocks)
        self._jobs.append((busy_until + max(1, round(seconds * 50)), event))

    def _perform(self) -> None:
        for action in self.engine.take_actions():
            self.log.append(action)
            self._carry_out(action)
        self.seen += self.engine.take_output()

    def _carry_out(self, action: actions.Action) -> None:
        if isinstance(action, actions.Answer) and self.answer_at_once:
            self._later(0.02, events.CallAnswered())
        elif isinstance(action, actions.SendCed):
            self._later(3.3, events.TransmitDone())
        elif isinstance(action, actions.SendFlags):
            self._later(1.0, None)  # the preamble
        elif isinstance(action, actions.SendFrame):
            self.frames.append(action.data)
            self._later((len(action.data) + 3) * 8 / 300, events.FrameSent())
        elif isinstance(action, actions.SendFast):
            self._transmitting = True
        elif isinstance(action, actions.EndTransmission):
            self._transmitting = False
            self._later(0.1, events.TransmitDone())
        elif isinstance(action, actions.SendSilence | actions.HangUp):
            self._transmitting = False
            self._jobs.clear()


def line_on_call() -> FakeLine:
    """On a call in class 1, in command state, nothing heard yet."""
    line = FakeLine()
    line.host(b"ATE0+FCLASS=1;D5;\r")
    line.far(events.CallAnswered())
    line.take_log()
    return line
