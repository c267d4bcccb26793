"""A program that has a modem's device open, for tests."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from tests.service.running import eventually


class Terminal:
    """Opens `path` as fax programs do, and keeps what the modem says in `heard`."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self.heard = b""

    def say(self, text: str) -> None:
        os.write(self._descriptor, text.encode() + b"\r")

    def has_heard(self, what: bytes) -> bool:
        with suppress(BlockingIOError):
            self.heard += os.read(self._descriptor, 4096)
        return what in self.heard

    def ask(self, text: str, answer: bytes = b"OK") -> None:
        self.heard = b""
        self.say(text)
        eventually(lambda: self.has_heard(answer))

    def close(self) -> None:
        os.close(self._descriptor)
