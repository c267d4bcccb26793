"""Under systemd the service's first process keeps its workers' devices, and systemd's store has copies.

So a worker that dies finds its devices here, and the whole service finds them again when systemd starts it.
Without systemd a keeper process does it, which the workers start and find by themselves.
"""

from __future__ import annotations

import logging
import selectors
from collections.abc import Collection
from pathlib import Path

from cusemodem.cuse import systemd_store
from cusemodem.cuse.keeper import Keeper, listen

_log = logging.getLogger("cusemodem.service")


class PortKeeping:
    """The keeper in the supervisor, if systemd has a store for it; without one all of this does nothing."""

    def __init__(self, path: Path, selector: selectors.BaseSelector, names: Collection[str]) -> None:
        """Begin, with what systemd passes of the devices `names`; others end. `path` is where the workers
        look for a keeper."""
        self._keeper: Keeper | None = None
        if not systemd_store.has_store():
            return
        passed = systemd_store.take_passed(names)
        try:
            listener = listen(path)
            trouble = "" if listener is not None else "another process has it"
        except OSError as error:
            listener, trouble = None, str(error.strerror)
        if listener is None:
            _log.warning("the ports will not outlive this service: %s: %s", path, trouble)
            for name, descriptors in passed.items():
                descriptors.close()
                systemd_store.drop(name)  # else the node stays, and the worker could not make it anew
            return
        put, remove = systemd_store.put, systemd_store.remove
        self._keeper = Keeper(listener, selector, on_keep=put, on_let_go=remove)
        for name, descriptors in passed.items():
            _log.info("systemd kept /dev/%s", name)
            self._keeper.adopt(name, descriptors.channel, descriptors.record)

    @property
    def outlives_stop(self) -> bool:
        """Whether somebody else decides, after our end, if the devices end too."""
        return self._keeper is not None

    def next_timer(self) -> float | None:
        """When `expire` is due (monotonic clock)."""
        return self._keeper.next_timer() if self._keeper is not None else None

    def expire(self) -> None:
        """Let go of what nobody came for."""
        if self._keeper is not None:
            self._keeper.expire()

    def forget(self) -> None:
        """In a forked child: what the keeper has is none of its business."""
        if self._keeper is not None:
            self._keeper.close_descriptors()
