"""All dialogues of one endpoint: found by our call number, or by the peer's address and call number; their
timers; and the end of each, when its number is put to rest."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator

from iax.call_numbers import CallNumbers
from iax.dialogue import Dialogue
from iax.frames import Address

MAX_DIALOGUES = 16_000


class Dialogues:
    """The dialogues of one UDP port."""

    def __init__(
        self,
        rng: random.Random,
        port: int,
        *,
        on_known: Callable[[Dialogue, Dialogue | None], None],
        on_free: Callable[[Dialogue], None],
    ) -> None:
        """PORT: our own, which the call numbers go by.

        ON_KNOWN: called when a dialogue's peer is known, and with the dialogue, over by then, that had the
        same peer's number before. ON_FREE: called as each dialogue goes for good.
        """
        self.by_remote: dict[tuple[Address, int], Dialogue] = {}
        """By the peer's address and call number."""
        self._by_local: dict[int, Dialogue] = {}
        self._numbers = CallNumbers(rng, port)
        self._on_known, self._on_free = on_known, on_free
        self._timers: list[tuple[float, int, Dialogue]] = []
        self._serial = 0

    def __len__(self) -> int:
        return len(self._by_local)

    def __iter__(self) -> Iterator[Dialogue]:
        return iter(self._by_local.values())

    def get(self, local: int) -> Dialogue | None:
        """Return the dialogue with our call number LOCAL."""
        return self._by_local.get(local)

    def new_number(self) -> int:
        """Return a call number for a new dialogue."""
        return self._numbers.new(self._by_local, len(self._by_local))

    def add(self, dialogue: Dialogue) -> None:
        """Take a new dialogue in; the peer's call number may be known already."""
        link = dialogue.link
        self._by_local[link.local] = dialogue
        if link.remote:
            self.remote_learned(dialogue)

    def free(self, dialogue: Dialogue, now: float) -> None:
        """Forget a dialogue; its number rests."""
        dialogue.gone = True
        link = dialogue.link
        self._by_local.pop(link.local, None)
        if self.by_remote.get((link.address, link.remote)) is dialogue:
            del self.by_remote[link.address, link.remote]
        self._numbers.rest(link.local, now)
        self._on_free(dialogue)

    # -- what dialogues call (`Scheduler`)

    def reschedule(self, dialogue: Dialogue) -> None:
        """Note the dialogue's next timer."""
        due = dialogue.next_timer()
        if due is None or (dialogue.scheduled is not None and dialogue.scheduled <= due):
            return
        dialogue.scheduled = due
        self._serial += 1
        heapq.heappush(self._timers, (due, self._serial, dialogue))

    def remote_learned(self, dialogue: Dialogue) -> None:
        """Note the peer's call number."""
        key = dialogue.link.address, dialogue.link.remote
        before = self.by_remote.get(key)
        self.by_remote[key] = dialogue
        self._on_known(dialogue, before)

    def move(self, dialogue: Dialogue, address: Address, remote: int, now: float) -> None:
        """Let the dialogue go on with another peer, at ADDRESS with call number REMOTE."""
        link = dialogue.link
        if self.by_remote.get((link.address, link.remote)) is dialogue:
            del self.by_remote[link.address, link.remote]
        link.move(address, remote, now)
        self.remote_learned(dialogue)

    # -- time

    def next_timer(self) -> float | None:
        """Return when `handle_timer` has something to do, or None."""
        return self._timers[0][0] if self._timers else None

    def handle_timer(self, now: float) -> None:
        """Run the timers that are due, and let go of numbers that have rested."""
        timers = self._timers
        while timers and timers[0][0] <= now:
            due, _, dialogue = heapq.heappop(timers)
            if dialogue.scheduled != due:
                continue  # an older note; a newer one is in the heap
            dialogue.scheduled = None
            if self._by_local.get(dialogue.link.local) is not dialogue:
                continue  # freed meanwhile; one that is only `gone` is freed here
            dialogue.handle_timer(now)
            if dialogue.gone:
                self.free(dialogue, now)
            else:
                self.reschedule(dialogue)
        self._numbers.wake(now)
