"""Keeping a NAT's door to the server open with POKE, which also tells early that the server has gone."""

from __future__ import annotations

from typing import Protocol

from iax.dialogue import Desk, Dialogue
from iax.elements import Elements
from iax.frames import Address, Command, FullFrame

POKE_WAIT_S = 6.0


class KeepAlive:
    """When the next POKE is due."""

    def __init__(self) -> None:
        self.interval_s = 0.0
        self.due: float | None = None

    def start(self, interval_s: float, now: float) -> None:
        """Poke every INTERVAL_S from now on; 0: never."""
        self.interval_s = interval_s
        self.due = now + interval_s if interval_s > 0 else None

    def poked(self, now: float) -> None:
        """Note that POKE goes out now."""
        self.due = now + self.interval_s

    def stop(self) -> None:
        """No more until `start`."""
        self.interval_s, self.due = 0.0, None


class PokeOwner(Protocol):
    """Whoever wants to know that the server is gone."""

    def poke_failed(self, now: float) -> None:
        """The server did not answer."""


class Poke(Dialogue):
    """One POKE and its PONG."""

    def __init__(self, desk: Desk, local: int, address: Address, now: float, owner: PokeOwner) -> None:
        super().__init__(desk, local, address, now)
        self._owner = owner
        self._deadline = now + POKE_WAIT_S

    def begin(self, now: float) -> None:
        """Send POKE."""
        self.send(Command.POKE, [], now)

    def handle(self, frame: FullFrame, elements: Elements, now: float) -> None:
        """Any answer will do."""
        self.finish(now)

    def own_timer(self) -> float | None:
        """Return when we stop waiting."""
        return self._deadline

    def handle_own_timer(self, now: float) -> None:
        """Stop waiting."""
        self.handle_dead(now)

    def handle_dead(self, now: float) -> None:
        """No answer."""
        self.link.stop()
        self.finish(now)
        self._owner.poke_failed(now)
