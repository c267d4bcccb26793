"""Whether what should be read is read: a tick alone may go on while a device's reader is stuck."""

from __future__ import annotations

import select
from collections.abc import Mapping
from typing import Protocol


class Reader(Protocol):
    """Something with a descriptor that is read whenever something is there."""

    n_reads: int

    def fileno(self) -> int:
        """The descriptor."""


class Liveness:
    """Looks now and then; what was readable at two looks and has not been read between them is stuck."""

    def __init__(self) -> None:
        self._waiting: dict[str, int] = {}
        """For each reader that had something to read at the last look: how often it had read until then."""

    def stuck(self, readers: Mapping[str, Reader]) -> list[str]:
        """The names of the stuck ones. Look no more often than any reader may take."""
        poller = select.poll()
        names = {}
        for name, reader in readers.items():
            names[reader.fileno()] = name
            poller.register(reader.fileno(), select.POLLIN)
        readable = {names[descriptor] for descriptor, _ in poller.poll(0)}
        before = self._waiting
        self._waiting = {name: readers[name].n_reads for name in sorted(readable)}
        return [name for name, n_reads in self._waiting.items() if before.get(name) == n_reads]
