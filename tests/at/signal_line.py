"""An engine with a real DSP channel, in sample time: `now` is the number of samples processed so far.

What the engine says in a block is said at that block's end; what it orders takes effect with the next block's
first sample, which is the same moment.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import dsp
from cusemodem.at import Engine, actions, events
from cusemodem.modem_events import engine_event

BLOCK = dsp.BLOCK


class SignalLine:
    """`heard(at, n)`: the audio received from sample `at` on; all that is sent is kept in `sent`."""

    def __init__(self, heard: Callable[[int, int], NDArray[np.int16]] | None = None) -> None:
        self.bank = dsp.Bank(1)
        self.channel = self.bank.channels[0]
        self.engine = Engine()
        self.now = 0
        self.said = bytearray()
        self._heard = heard or (lambda _at, n: np.zeros(n, np.int16))
        self._sent: list[NDArray[np.int16]] = []
        self.host(b"ATE0+FCLASS=1;D1;\r")
        self.engine.event(events.CallAnswered())
        self.perform()

    def host(self, data: bytes) -> bytes:
        """The host writes; what is said at once."""
        before = len(self.said)
        self.engine.host_bytes(data)
        self.perform()
        return bytes(self.said[before:])

    def until(self, text: bytes, within_s: float = 20.0) -> int:
        """Let time pass until `text` is said; the sample time of it."""
        before, limit = len(self.said), self.now + int(within_s * 8000)
        while len(self.said) == before:
            assert self.now < limit, f"{text!r} was not said in {within_s} s"
            self.block()
        assert bytes(self.said[before:]) == text
        return self.now

    def run_to(self, sample: int) -> None:
        """Let time pass up to a block's boundary."""
        while self.now < sample:
            self.block()

    def block(self) -> None:
        """One tick, in the order of the product's own."""
        rx = self._heard(self.now, BLOCK).reshape(1, BLOCK)
        tx = self.bank.process(rx, np.zeros(1, np.uint8))
        self._sent.append(tx[0].copy())
        self.now += BLOCK
        for _, event in self.bank.events():
            if (translated := engine_event(event)) is not None:
                self.engine.event(translated)
        self.engine.tick(self.channel.silence_samples)
        self.perform()
        if data := self.engine.pull_data(self.channel.room):
            self.channel.write(data)
        self.perform()

    @property
    def sent(self) -> NDArray[np.int16]:
        """Everything transmitted, from sample 0 on."""
        return np.concatenate(self._sent) if self._sent else np.zeros(0, np.int16)

    def carrier_from(self, sample: int) -> int:
        """The first sample after `sample` that is not silence."""
        return sample + int(np.flatnonzero(self.sent[sample:])[0])

    @property
    def carrier_end(self) -> int:
        """One after the last sample that is not silence."""
        return int(np.flatnonzero(self.sent)[-1]) + 1

    def perform(self) -> None:
        """Carry out what the engine wants."""
        while todo := self.engine.take_actions():
            for action in todo:
                self._carry_out(action)
        self.said += self.engine.take_output()

    def _carry_out(self, action: actions.Action) -> None:
        channel = self.channel
        plain: dict[type, Callable[[], None]] = {
            actions.SendSilence: channel.send_silence,
            actions.SendCng: channel.send_cng,
            actions.SendCed: channel.send_ced,
            actions.SendFlags: channel.send_flags,
            actions.EndTransmission: channel.end,
            actions.ReceiveOff: channel.receive_off,
            actions.ReceiveV21: channel.receive_v21,
        }
        if isinstance(action, actions.SendFrame):
            channel.send_frame(action.data)
        elif isinstance(action, actions.SendFast):
            channel.send_fast(action.code)
        elif isinstance(action, actions.ReceiveFast):
            channel.receive_fast(action.code)
        elif type(action) in plain:
            plain[type(action)]()
