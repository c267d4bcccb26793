"""A modem for tests, as a process: says OK on a CUSE device, and does what it is told on its standard input.

Each line of standard input is one JSON object with a key `do`; each gets one JSON line back. With a second
argument, the socket of a keeper, the device outlives the process.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import trio

from cusemodem.cuse.device import open_cuse
from cusemodem.cuse.port import Port
from cusemodem.cuse.store import KeeperStore


class Modem:
    """Answers each line that starts with AT; holds its hands still while `holding`."""

    def __init__(self) -> None:
        self.port = Port()
        self.holding = False
        self.answering = True
        self.heard = b""
        self.events: list[str] = []
        self._line = b""
        self._unsent = b""

    def on_activity(self) -> None:
        self.events += [type(event).__name__ for event in self.port.events()]
        self._send(b"")
        if self.holding:
            return
        data = self.port.take_output(1 << 20)
        self.heard += data
        if not self.answering:
            return
        self._line += data
        while b"\r" in self._line:
            command, self._line = self._line.split(b"\r", 1)
            if command.strip().upper().startswith(b"AT"):
                self._send(b"\r\nOK\r\n")

    def _send(self, data: bytes) -> None:
        self._unsent += data
        self._unsent = self._unsent[self.port.put_input(self._unsent) :]

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        port = self.port
        match order.pop("do"):
            case "send":
                self._send(bytes.fromhex(order["data"]))
            case "lines":
                port.set_lines(**order)
            case "hang_up":
                port.hang_up()
            case "set":
                for name, value in order.items():
                    setattr(self, name, value)
            case "take":
                self.heard += port.take_output(order["max_bytes"])
            case "reset":
                self.holding, self.answering, self.heard, self.events = False, True, b"", []
                self._line = self._unsent = b""
                port.take_output(1 << 20)
                port.set_lines(dcd=False, ri=False, cts=True, dsr=True)
            case "note":
                port.notes = order["text"]
            case "status":
                status = {
                    "dtr": port.dtr,
                    "rts": port.rts,
                    "open_count": port.open_count,
                    "heard": self.heard.hex(),
                    "events": self.events,
                    "unsent": len(self._unsent),
                    "waiting": port.output_waiting,
                    "hang_ups": port.statistics().n_hang_ups,
                    "interrupts": port.statistics().n_interrupts,
                    "unknown_ioctls": {str(k): v for k, v in port.statistics().unknown_ioctls.items()},
                    "notes": port.notes,
                    "descriptors": len(list(Path("/proc/self/fd").iterdir())),
                }
                self.heard, self.events = b"", []
                return status
        return {}


async def main(name: str, keeper: str = "") -> None:
    modem = Modem()
    store = KeeperStore(Path(keeper)) if keeper else None
    async with open_cuse(name, modem.port, modem.on_activity, store=store) as device:
        print(json.dumps({"ready": device.path, "resumed": device.resumed}), flush=True)
        device.keep = False
        buffer = b""
        async for chunk in trio.lowlevel.FdStream(os.dup(0)):
            buffer += chunk
            while b"\n" in buffer:
                line, buffer = buffer.split(b"\n", 1)
                answer = modem.obey(json.loads(line))
                modem.on_activity()
                device.flush()
                print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
