"""Two engines on one simulated line: carriers instead of signals, in block time.

Each station carries out its engine's actions as a fax modem would (preambles, training, frame times) and
hears what the other has on the air. Fax programs of `tests.host` sit on top.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from cusemodem.at import Engine, actions, events
from cusemodem.at.modulations import MODULATIONS, V21
from tests.host.class1 import Class1Program, fcs

BLOCK_S = 0.02
TRAINING_S = {"V.27ter": 0.9, "V.29": 0.25, "V.17": 1.4}
SHORT_TRAINING_S = 0.14
CED, CNG = -1, -2


@dataclass
class Air:
    """What a station transmits during one block."""

    carrier: int = 0
    "0 silence, 3 V.21, CED, CNG, or the code of a fast modulation"
    trained: bool = False
    "the fast carrier's training is over"
    flags: bool = False
    frames: list[bytes] = field(default_factory=list)
    data: bytes = b""


class Station:
    """One modem: engine, transmitter and receiver."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.output = bytearray()
        self.dialled: actions.Dial | None = None
        self.up = self.answered = self.hung_up = False
        self.spoils: Callable[[], bool] = lambda: False
        "whether the line spoils the V.21 frame that comes now"
        self._carrier = 0
        self._ahead = 0.0  # seconds of tone, preamble or training still to go
        self._tail = 0.0
        self._frames: deque[bytes] = deque()
        self._frame_left = 0.0
        self._ending = False
        self._bits = 0.0
        self._buffer = bytearray()
        self._started = False
        self._listening = 0
        self._flags_told = False
        self._receiving = False
        self._silence = 80_000

    def perform(self) -> None:
        """Carry out what the engine wants now."""
        for action in self.engine.take_actions():
            self._carry_out(action)
        self.output += self.engine.take_output()

    def event(self, event: events.Event) -> None:
        """Tell the engine."""
        self.engine.event(event)
        self.perform()

    def _carry_out(self, action: actions.Action) -> None:
        if isinstance(action, actions.Dial):
            self.dialled = action
        elif isinstance(action, actions.Answer):
            self.answered = True
        elif isinstance(action, actions.HangUp):
            self.hung_up = True
            self._carrier = 0
        elif isinstance(action, actions.SendSilence):
            self._carrier = 0
        elif isinstance(action, actions.SendCng):
            self._carrier, self._ahead = CNG, 1e9
        elif isinstance(action, actions.SendCed):
            self._carrier, self._ahead = CED, 3.3
        elif isinstance(action, actions.SendFlags):
            if self._carrier != V21:
                self._carrier, self._ahead, self._ending = V21, 1.0, False
                self._frames.clear()
        elif isinstance(action, actions.SendFrame):
            assert self._carrier == V21
            self._frames.append(action.data)
            self._frame_left = (len(action.data) + 3) * 8 * 1.05 / 300
        elif isinstance(action, actions.SendFast):
            self._carrier, self._ending, self._started, self._bits = action.code, False, False, 0.0
            modulation = MODULATIONS[action.code]
            self._ahead = SHORT_TRAINING_S if modulation.short_training else TRAINING_S[modulation.name]
            self._buffer.clear()
        elif isinstance(action, actions.EndTransmission):
            self._ending, self._tail = True, 0.05
        else:
            self._listen(action)

    def _listen(self, action: actions.Action) -> None:
        if isinstance(action, actions.ReceiveOff):
            self._listening = 0
        elif isinstance(action, actions.ReceiveV21):
            self._listening = V21
        elif isinstance(action, actions.ReceiveFast):
            self._listening = action.code
        self._flags_told = self._receiving = False

    def transmit(self) -> Air:
        """One block of sending; the engine hears of what ended in it."""
        if self._carrier == 0:
            return Air()
        air = Air(self._carrier)
        if self._ahead > 0:
            self._ahead -= BLOCK_S
            air.flags = self._carrier == V21 and self._ahead < 0.8
            if self._carrier == CED and self._ahead <= 0:
                self._carrier = 0
                self.event(events.TransmitDone())
        elif self._carrier == V21:
            air.flags = True
            self._transmit_v21(air)
        else:
            air.trained = True
            self._transmit_fast(air)
        return air

    def _transmit_v21(self, air: Air) -> None:
        if self._frames:
            self._frame_left -= BLOCK_S
            if self._frame_left <= 0:
                air.frames.append(self._frames.popleft())
                self.event(events.FrameSent())
        elif self._ending:
            self._end()

    def _transmit_fast(self, air: Air) -> None:
        self._buffer += self.engine.pull_data(400 - len(self._buffer))
        self.perform()
        self._bits += MODULATIONS[self._carrier].rate_bps * BLOCK_S
        n_bytes = int(self._bits // 8)
        self._bits -= n_bytes * 8
        data = bytes(self._buffer[:n_bytes])
        del self._buffer[: len(data)]
        fill = b"" if self._ending else (b"\0" if self._started else b"\xff") * (n_bytes - len(data))
        self._started = self._started or bool(data)
        air.data = data + fill
        if self._ending and not self._buffer:
            self._end()

    def _end(self) -> None:
        self._tail -= BLOCK_S
        if self._tail <= 0:
            self._carrier = 0
            self.event(events.TransmitDone())

    def receive(self, air: Air) -> None:
        """One block of the other's signal; a station that sends hears nothing but tones."""
        self._silence = 0 if air.carrier else self._silence + 160
        if self._carrier not in (0, CNG):
            self._flags_told = self._receiving = False
        elif self._listening:
            self._hear(air)
        self.engine.tick(self._silence)
        self.perform()

    def _hear(self, air: Air) -> None:
        if self._flags_told and air.carrier != V21:
            self._flags_told = False
            self.event(events.CarrierLost(True))
        if self._receiving and air.carrier != self._listening:
            self._receiving = False
            self.event(events.CarrierLost(False))
        if air.carrier == V21 and air.flags and not self._receiving:
            if not self._flags_told:
                self._flags_told = True
                self.event(events.FlagsDetected())
            for frame in air.frames:
                self.event(events.FrameReceived(frame + fcs(frame), not self.spoils()))
        elif air.carrier and air.carrier == self._listening and air.trained:
            if not self._receiving:
                self._receiving = True
                self.event(events.Trained())
            if air.data:
                self.event(events.DataReceived(air.data))


def run_call(
    caller: Class1Program,
    called: Class1Program,
    *,
    limit_s: float = 400.0,
    stations: tuple[Station, Station] | None = None,
    drop_at_s: float | None = None,
) -> tuple[Station, Station]:
    """Set both programs up, let the first call the second, run until both are done.

    `stations`: of an earlier call. `drop_at_s`: the network loses the call so long after its answer.
    """
    stations = stations or (Station(Engine()), Station(Engine()))
    for station in stations:
        station.dialled, station.answered, station.hung_up = None, False, False
    programs = (caller, called)
    now, asked, answered = 0.0, False, False
    drop_at = float("inf")
    while not (caller.done and called.done):
        assert now < limit_s, caller.transcript() + "\n\n" + called.transcript()
        now += BLOCK_S
        for station, program in zip(stations, programs, strict=True):
            program.receive(bytes(station.output), now)
            station.output.clear()
            station.engine.host_bytes(program.take_output(station.engine.room))
            station.perform()
        one, two = stations
        if one.dialled and not asked and two.engine.accepts_calls and now > 8:
            asked = True
            two.event(events.IncomingCall())
        if two.answered and not answered:
            answered = one.up = two.up = True
            drop_at = now + drop_at_s if drop_at_s is not None else drop_at
            two.event(events.CallAnswered())
            one.event(events.CallAnswered())
        for station, other in ((one, two), (two, one)):
            if station.hung_up and station.up:
                station.up, station.hung_up = False, False
                if other.up:
                    other.up = False
                    other.event(events.CallEnded())
        if now >= drop_at:
            drop_at = float("inf")
            for station in stations:
                if station.up:
                    station.up = False
                    station.event(events.CallEnded())
        air = one.transmit() if one.up else Air(), two.transmit() if two.up else Air()
        one.receive(air[1])
        two.receive(air[0])
    return stations
