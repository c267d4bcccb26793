"""The Class 1 hosts of tests.host on real devices, in real time."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tests.host.class1 import Class1Program

POLL_S = 0.01


class HostOnDevice:
    """A program with the device open for as long as `with` lasts."""

    def __init__(self, device: Path, program: Class1Program) -> None:
        self.program = program
        self._device = device
        self._waiting = b""
        self._descriptor = -1

    def __enter__(self) -> HostOnDevice:
        self._descriptor = os.open(self._device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        subprocess.run(["stty", "-F", self._device, "raw", "-echo", "clocal"], check=True)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    @property
    def done(self) -> bool:
        """The program has come to its end, and the device has taken its last word."""
        return self.program.done and not self._waiting

    def step(self, now: float) -> None:
        """Move bytes both ways once, as far as the device goes along."""
        said = b""
        with suppress(BlockingIOError):
            said = os.read(self._descriptor, 4096)
        self.program.receive(said, now)
        self._waiting += self.program.take_output()
        while self._waiting:
            try:
                n = os.write(self._descriptor, self._waiting[:1024])
            except BlockingIOError:
                break
            self._waiting = self._waiting[n:]
            self.program.tick(now)
            self._waiting += self.program.take_output()


def run(
    hosts: Sequence[HostOnDevice], limit_s: float, on_step: Callable[[float], None] = lambda _now: None
) -> bool:
    """Run all until they are done, or `limit_s` is over; whether they are."""
    until = time.monotonic() + limit_s
    while not all(host.done for host in hosts):
        now = time.monotonic()
        if now > until:
            return False
        on_step(now)
        for host in hosts:
            host.step(now)
        time.sleep(POLL_S)
    return True
