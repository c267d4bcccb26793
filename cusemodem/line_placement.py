"""Which worker serves which line: at the start, and when a reload brings, takes or changes lines."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass

from cusemodem.config import ModemConfig
from cusemodem.worker_children import Child, Children

LINES_PER_WORKER = 30
"""With `workers = auto` another process begins beyond this, if there is another processor."""

NO_ROOM = (
    "no room for another line in the process that has its port; it begins when a line there ends, or at the "
    "next start of the service"
)

_log = logging.getLogger("cusemodem.service")


def share_out(configs: Sequence[ModemConfig], n_workers: int) -> list[list[ModemConfig]]:
    """The lines of each worker: those that share a UDP port together, the rest evenly."""
    groups: dict[object, list[ModemConfig]] = {}
    for config in configs:
        groups.setdefault(config.port or config.name, []).append(config)
    if n_workers == 0:
        n_workers = min(os.cpu_count() or 1, -(-len(configs) // LINES_PER_WORKER))
    shares: list[list[ModemConfig]] = [[] for _ in range(max(1, n_workers))]
    for group in sorted(groups.values(), key=len, reverse=True):
        min(shares, key=len).extend(group)
    return [share for share in shares if share]


@dataclass
class Changes:
    """What a reload brought."""

    n_new: int = 0
    n_changed: int = 0
    n_ended: int = 0

    def __str__(self) -> str:
        return f"{self.n_new} new, {self.n_changed} changed, {self.n_ended} ended"


class Placement:
    """Gives lines to workers. A line whose new UDP port another worker has moves there."""

    def __init__(self, children: Children) -> None:
        self._children = children
        self._moving: dict[str, ModemConfig] = {}
        """Lines that begin in another worker once their old one has let them go."""
        self.unplaced: dict[str, ModemConfig] = {}
        """Lines on the UDP port of a worker that is full."""

    def begin_all(self, configs: Sequence[ModemConfig], n_workers: int) -> None:
        """Fork the first workers with their lines."""
        for share in share_out(configs, n_workers):
            self._children.fork(Child({config.name: config for config in share}))

    def apply(self, configs: Sequence[ModemConfig]) -> Changes:
        """New lines start, vanished ones end when on-hook, changed ones start anew when on-hook."""
        wanted = {config.name: config for config in configs}
        changes = Changes()
        for waiting in (self._moving, self.unplaced):
            for name, config in list(waiting.items()):
                if name not in wanted:
                    changes.n_ended += 1
                    del waiting[name]
                elif wanted[name] != config:
                    changes.n_changed += 1
                    waiting[name] = wanted[name]
        for child in list(self._children):
            for name, config in list(child.configs.items()):
                if name not in wanted:
                    changes.n_ended += 1
                    child.order("retire", name)
                    del child.configs[name]
                elif wanted[name] != config:
                    changes.n_changed += 1
                    self._change(child, wanted[name])
        present = {name for child in self._children for name in child.configs}
        present |= self._moving.keys() | self.unplaced.keys()
        for name, config in wanted.items():
            if name not in present:
                changes.n_new += 1
                self._begin(config)
        return changes

    def refused(self, child: Child, name: str) -> None:
        """A worker has no room for a line: another takes it, unless its UDP port is this one's."""
        config = child.configs.pop(name, None)
        if config is None:
            return  # retired meanwhile
        if self._owner_of_port(config) is child:
            _log.error("%s", NO_ROOM, extra={"line": name})
            self.unplaced[name] = config
        else:
            child.status["room"] = 0  # until its next status
            self._begin(config)

    def begin_released(self) -> None:
        """A line that its worker has let go may begin where it was to move; one that found no room, where
        there is some now."""
        names = {line["name"] for child in self._children for line in child.status.get("lines", ())}
        for name in [name for name in self._moving if name not in names]:
            self._begin(self._moving.pop(name))
        for name, config in list(self.unplaced.items()):
            owner = self._owner_of_port(config)
            if owner is None or owner.room > 0:
                if owner is not None:
                    owner.status["room"] = owner.room - 1
                self._begin(self.unplaced.pop(name))

    def _change(self, child: Child, config: ModemConfig) -> None:
        """Restart a line with another configuration, in another process if its new port is there."""
        owner = self._owner_of_port(config)
        if owner is None or owner is child:
            child.configs[config.name] = config
            child.order("serve", config)
        else:
            del child.configs[config.name]
            child.order("retire", config.name)
            self._moving[config.name] = config

    def _begin(self, config: ModemConfig) -> None:
        child = self._owner_of_port(config)
        if child is None:
            room = [c for c in self._children if c.pid and c.room > 0 and len(c.configs) < LINES_PER_WORKER]
            child = min(room, key=lambda c: len(c.configs), default=None)
        if child is None:
            self._children.fork(Child({config.name: config}))
        else:
            child.configs[config.name] = config
            child.order("serve", config)

    def _owner_of_port(self, config: ModemConfig) -> Child | None:
        if config.port == 0:
            return None
        for child in self._children:
            for other in child.configs.values():
                if other.port == config.port and other.name != config.name:
                    return child
        return None
