"""A modem for programs, as a process: our AT engine on a CUSE device, with a line that a test plays.

`python -m tests.kernel.at_modem NAME KIND`. KIND is

* `engine`: the engine alone; a call that is answered is a caller who says nothing.
* `data`: the same, but ATA connects to a far end: its bytes go both ways until DTR falls or it hangs up.
* `loop`: no modem, but the plug that pyserial's tests ask for: TX to RX, RTS to CTS, DTR to DSR.

Standard input and output as in `modem_server.py`.
"""

import json
import os
import sys
from typing import Any

import trio

from cusemodem.at import Engine, actions, events
from cusemodem.cuse.device import open_cuse
from cusemodem.cuse.port import DtrDropped, DtrRaised, Port

TICK_S = 0.02


class Modem:
    """The engine and what a test sees of it."""

    def __init__(self, kind: str) -> None:
        self.port = Port()
        self.kind = kind
        self.engine = Engine()
        self.heard = b""
        self.said = b""
        self.far_heard = b""
        self.events: list[str] = []
        self.actions: list[str] = []
        self._connected = False
        self._unsent = b""
        self._tail = b""

    def on_activity(self) -> None:
        if self.kind == "loop":
            self._loop()
            return
        self._take()
        for event in self.port.events():
            self.events.append(type(event).__name__)
            if isinstance(event, DtrDropped):
                self._disconnect()
                self.engine.dtr_dropped()
            elif isinstance(event, DtrRaised):
                self.engine.dtr_raised()
        self._finish()

    def _loop(self) -> None:
        self.events += [type(event).__name__ for event in self.port.events()]
        data = self.port.take_output(1 << 20) if len(self._unsent) < 65536 else b""
        self._send(data)
        self.port.set_lines(cts=self.port.rts, dsr=self.port.dtr)

    def _take(self) -> None:
        while data := self.port.take_output(4096 if self._connected else self.engine.room):
            if self._connected:
                self.far_heard += data
                continue
            self.heard += data
            # mgetty writes byte by byte.
            self._tail = (self._tail + data)[-4:]
            if self.kind == "data" and self._tail.upper() == b"ATA\r":
                self._connect()
            else:
                self.engine.host_bytes(data)

    def _connect(self) -> None:
        # The engine sees a caller who gives up and an empty command; the rest of the call is ours.
        self.engine.event(events.CallerGone())
        self.engine.host_bytes(b"\x08\x08\x08\r")
        self.engine.take_output()
        self._connected = True
        self._send(b"\r\nCONNECT 9600\r\n")
        self.port.set_lines(dcd=True, ri=False)

    def _disconnect(self) -> None:
        if self._connected:
            self._connected = False
            self.port.set_lines(dcd=False)
            self._send(b"\r\nNO CARRIER\r\n")

    def _finish(self) -> None:
        for action in self.engine.take_actions():
            self.actions.append(type(action).__name__)
            if isinstance(action, actions.Answer):
                self.engine.event(events.CallAnswered())
            elif isinstance(action, actions.SendCed):
                self.engine.event(events.TransmitDone())
        self._send(self.engine.take_output())
        if not self._connected:
            self.port.set_lines(dcd=self.engine.dcd, ri=self.engine.ring_indicator)

    def _send(self, data: bytes) -> None:
        self.said += data
        self._unsent += data
        self._unsent = self._unsent[self.port.put_input(self._unsent) :]

    def tick(self) -> None:
        if self.kind == "loop":
            self._send(b"")
            return
        self.engine.tick(1 << 20)
        self._finish()

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        match order.pop("do"):
            case "ring":
                self.engine.event(events.IncomingCall(events.CallerId(number="5551234", name="JANE")))
            case "gone":
                self.engine.event(events.CallerGone())
            case "ended":
                self.engine.event(events.CallEnded())
            case "far":
                self._send(bytes.fromhex(order["data"]))
            case "far hangs up":
                self._disconnect()
            case "status":
                status = {
                    "dtr": self.port.dtr,
                    "open_count": self.port.open_count,
                    "heard": self.heard.hex(),
                    "said": self.said.hex(),
                    "far_heard": self.far_heard.hex(),
                    "events": self.events,
                    "actions": self.actions,
                    "hang_ups": self.port.statistics().n_hang_ups,
                    "bad_requests": self.port.statistics().n_bad_requests,
                    "unknown_ioctls": {hex(k): v for k, v in self.port.statistics().unknown_ioctls.items()},
                }
                if order.get("clear", True):
                    self.heard = self.said = self.far_heard = b""
                    self.events, self.actions = [], []
                return status
        return {}


async def main(name: str, kind: str) -> None:
    modem = Modem(kind)
    async with open_cuse(name, modem.port, modem.on_activity) as device, trio.open_nursery() as nursery:

        async def tick() -> None:
            while True:
                await trio.sleep(TICK_S)
                modem.tick()
                device.flush()

        nursery.start_soon(tick)
        print(json.dumps({"ready": device.path, "resumed": False}), flush=True)
        buffer = b""
        async for chunk in trio.lowlevel.FdStream(os.dup(0)):
            buffer += chunk
            while b"\n" in buffer:
                line, buffer = buffer.split(b"\n", 1)
                answer = modem.obey(json.loads(line))
                modem.on_activity()
                device.flush()
                print(json.dumps(answer), flush=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
