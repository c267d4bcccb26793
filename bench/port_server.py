"""The modem behind the port that `bench.port` measures: `python -m bench.port_server cuse|pty PATH`.

The AT engine over a port, or one of the simpler things that a bench wants to see; each line of standard input
names one:

* `engine`: commands are answered by the AT engine.
* `echo`: each byte comes back.
* `stamp`: some milliseconds after a byte, the clock's reading of that moment comes (8 bytes, nanoseconds).
* `sink N`: bytes are dropped; when N have come, one byte is sent.
* `source N`: after a byte from the host, N bytes come as fast as they are taken.
"""

from __future__ import annotations

import os
import struct
import sys
import time

import trio

from cusemodem.at import Engine
from cusemodem.cuse.device import open_cuse
from cusemodem.cuse.port import Port
from cusemodem.cuse.pty import open_pty

STAMP_DELAY_S = 0.003
REFILL = 32768
"""Room in the port at which `source` goes on."""
_CHUNK = bytes(range(256)) * 64


class Modem:
    """What the bench talks to."""

    def __init__(self) -> None:
        self.port = Port()
        self.mode = "engine"
        self.n_expected = 0
        self.stamp_wanted = trio.Event()
        self._engine = Engine()
        self._n_left = 0

    def obey(self, order: str) -> None:
        """One line of standard input."""
        mode, _, number = order.partition(" ")
        self.mode, self.n_expected, self._n_left = mode, int(number or 0), int(number or 0)

    def on_activity(self) -> None:
        """The host did something, or took something."""
        port = self.port
        port.events()
        match self.mode:
            case "engine":
                while data := port.take_output(self._engine.room):
                    self._engine.host_bytes(data)
                if said := self._engine.take_output():
                    port.put_input(said)
                self._engine.take_actions()
            case "echo":
                if data := port.take_output(4096):
                    port.put_input(data)
            case "stamp":
                if port.take_output(4096):
                    self.stamp_wanted.set()
            case "sink":
                while data := port.take_output(65536):
                    self._n_left -= len(data)
                    if self._n_left == 0:
                        port.put_input(b"k")
            case "source":
                if port.take_output(4096):
                    self._n_left = self.n_expected
                if port.to_host.room >= REFILL:
                    self._pour()

    def _pour(self) -> None:
        while self._n_left and (taken := self.port.put_input(_CHUNK[: self._n_left])):
            self._n_left -= taken


async def main(kind: str, path: str) -> None:
    """Serve until standard input ends."""
    modem = Modem()
    adapter = open_cuse if kind == "cuse" else open_pty
    async with adapter(path, modem.port, modem.on_activity) as device, trio.open_nursery() as nursery:

        async def stamps() -> None:
            while True:
                await modem.stamp_wanted.wait()
                modem.stamp_wanted = trio.Event()
                await trio.sleep(STAMP_DELAY_S)
                modem.port.put_input(struct.pack("<Q", time.monotonic_ns()))
                device.flush()

        nursery.start_soon(stamps)
        print("ready", flush=True)
        buffer = b""
        async for chunk in trio.lowlevel.FdStream(os.dup(0)):
            buffer += chunk
            while b"\n" in buffer:
                line, buffer = buffer.split(b"\n", 1)
                modem.obey(line.decode("ascii"))
                print("done", flush=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
