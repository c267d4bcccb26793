"""Registering with a server and staying registered (RFC 5456 §6.1).

    WAITING -> SENT -> [challenged -> SENT] -> REGISTERED -> (80 % of the granted time) -> SENT ...
    no answer: -> WAITING, 2 s, 4 s, then 5 s; an attempt itself sends at 0, 1, 3, 7, 11 ... 20 s
    REGREJ:    -> WAITING, 5 s, 10 s ... 5 min; it never stops trying
    release(): -> RELEASING -> RELEASED

So a server that comes back is asked within 10 s, and one that is away gets less than a datagram a second.
With several servers the next one is asked when one does not answer or refuses, and the first one again at
each refresh. `Registration` is what the owner holds; each attempt is a dialogue of its own, `Attempt`, with
a fresh call number.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from iax.auth import AuthenticationRefusedError, PeerConfig, answer_challenge
from iax.call_machine import MAX_CHALLENGES
from iax.causes import FACILITY_REJECTED, cause_text
from iax.dialogue import Desk, Dialogue
from iax.elements import Element, Elements, Pair
from iax.events import (
    Event,
    Registered,
    RegistrationRejected,
    RegistrationReleased,
    RegistrationTimedOut,
)
from iax.frames import Address, Command, FullFrame
from iax.keepalive import KeepAlive, Poke

MIN_REFRESH_S = 10
DEFAULT_REFRESH_S = 60
REFRESH_AT = 0.8
REFRESH_SPREAD = 0.05
"""Attempts come at 75 to 85 % of the granted time, so that many modems do not ask in the same millisecond."""
RETRY_FIRST_S = 2.0
RETRY_MAX_S = 5.0
"""With the 4 s since an attempt's last repetition, a server that returns is asked within 10 s."""
RETRY_REJECTED_S = 5.0
RETRY_REJECTED_MAX_S = 300.0
RETRY_SPREAD = 0.1
NEXT_SERVER_S = 1.0
MIN_TIMEOUT_S = 1.0
"""REGREQ is repeated no faster than this, however near the server is."""
RELEASE_WAIT_S = 1.0
RELEASE_TIMEOUT_S = 0.25
"""REGREL is, for there is little time: at 0.25 and 0.75 s."""
ATTEMPT_WAIT_S = 30.0
"""A server that acknowledges the request but never decides has not answered."""
FAILOVER_WAIT_S = 6.0
"""The same, if there is another server to ask."""
NAT_KEEP_ALIVE_S = 20.0
"""NATs forget a UDP peer after 30 s and more (RFC 4787 REQ-5 asks for 2 min)."""


class RegistrationState(Enum):
    """Where a registration stands."""

    WAITING = "waiting"
    SENT = "sent"
    REGISTERED = "registered"
    RELEASING = "releasing"
    RELEASED = "released"


class Registration:
    """One account at one server. Make it with `Endpoint.register`, end it with `release`."""

    def __init__(
        self,
        peer: PeerConfig,
        desk: Desk,
        start: Callable[[Registration, float], Attempt],
        poke: Callable[[Registration, float], Poke],
        *,
        first_at: float,
        addresses: tuple[Address, ...],
        local_address: Callable[[Address], Address | None] | None = None,
    ) -> None:
        self.peer = peer
        self.state = RegistrationState.WAITING
        self.refresh_s = 0
        """The time granted last, in seconds."""
        self.apparent: Address | None = None
        self.last_error = ""
        """Why the last attempt failed; "" after a success."""
        self._desk = desk
        self._start = start
        self._poke = poke
        self._due: float | None = first_at
        self._expires = -1.0
        self._failures = 0
        self._attempt: Attempt | None = None
        self._addresses = addresses
        self._asked = 0
        self._granted_by = addresses[0]
        self._local_address = local_address
        self._keep_alive = KeepAlive()

    @property
    def address(self) -> Address:
        """The server that knows us, or that is being asked."""
        return self._addresses[self._asked]

    @property
    def nat_s(self) -> float:
        """How often the server is poked to keep a NAT's door open; 0: not."""
        return self._keep_alive.interval_s

    def move(self, addresses: tuple[Address, ...], now: float) -> None:
        """The servers have other addresses now. One that has gone from the list is left at once."""
        current = self.address
        self._addresses = addresses
        if current in addresses:
            self._asked = addresses.index(current)
            return
        self._asked = 0
        self._keep_alive.stop()
        if self.state in (RegistrationState.RELEASING, RegistrationState.RELEASED):
            return
        if self._attempt is not None:
            self._attempt.abandon(now)
            self._attempt = None
        self.state = RegistrationState.WAITING
        self._due = now

    def registered(self, now: float) -> bool:
        """Say whether the server knows us: granted, and not run out."""
        return now < self._expires

    def release(self, now: float) -> None:
        """Withdraw the registration (REGREL). `RegistrationReleased` comes within about a second, confirmed
        or not."""
        if self.state in (RegistrationState.RELEASING, RegistrationState.RELEASED):
            return
        self._keep_alive.stop()
        if self._attempt is not None:
            self._attempt.abandon(now)
        if self._granted_by in self._addresses:
            self._asked = self._addresses.index(self._granted_by)
        if not self.registered(now):
            self._released(confirmed=True)
            return
        self.state = RegistrationState.RELEASING
        self._attempt = self._start(self, now)
        self._attempt.begin(Command.REGREL, now)
        self._due = now + RELEASE_WAIT_S

    def next_timer(self) -> float | None:
        """Return when `handle_timer` has something to do."""
        poke = self._keep_alive.due
        if poke is None or self._due is None:
            return self._due if poke is None else poke
        return min(self._due, poke)

    def handle_timer(self, now: float) -> None:
        """Start an attempt that is due, or stop waiting for a release."""
        if self._keep_alive.due is not None and now >= self._keep_alive.due:
            self._keep_alive.poked(now)
            self._poke(self, now)
        if self._due is None or now < self._due:
            return
        self._due = None
        if self.state is RegistrationState.RELEASING:
            if self._attempt is not None:
                self._attempt.abandon(now)
            self._released(confirmed=False)
            return
        if self.state is RegistrationState.REGISTERED:
            self._asked = 0  # the first server is asked again, whichever has us now
        self.state = RegistrationState.SENT
        self._attempt = self._start(self, now)
        self._attempt.begin(Command.REGREQ, now)

    # -- the attempt's side

    def granted(self, refresh_s: int | None, apparent: Address | None, now: float) -> None:
        """REGACK came."""
        self._attempt = None
        if self.state is RegistrationState.RELEASING:
            self._released(confirmed=True)
            return
        self.refresh_s = max(MIN_REFRESH_S, refresh_s or DEFAULT_REFRESH_S)
        self.apparent = apparent
        self.last_error = ""
        self.state = RegistrationState.REGISTERED
        self._failures = 0
        self._granted_by = self.address
        self._keep_alive.start(self._keep_alive_s(), now)
        self._expires = now + self.refresh_s
        spread = self._desk.rng.uniform(-REFRESH_SPREAD, REFRESH_SPREAD)
        self._due = now + self.refresh_s * (REFRESH_AT + spread)
        self._desk.events.append(Registered(self, self.refresh_s, apparent))

    def rejected(self, cause: int | None, text: str, now: float) -> None:
        """REGREJ came, or we refuse to answer the challenge."""
        self._attempt = None
        if self.state is RegistrationState.RELEASING:
            self._released(confirmed=False)
            return
        if self._granted_by == self.address:
            self._expires = -1.0
        self.last_error = text
        event = RegistrationRejected(self, cause, text)
        self._retry(RETRY_REJECTED_S, RETRY_REJECTED_MAX_S, event, now)

    def timed_out(self, now: float) -> None:
        """No answer came."""
        self._attempt = None
        if self.state is RegistrationState.RELEASING:
            self._released(confirmed=False)
            return
        self.last_error = "no answer"
        self._retry(RETRY_FIRST_S, RETRY_MAX_S, RegistrationTimedOut(self), now)

    def poke_failed(self, now: float) -> None:
        """The server does not answer POKE: do not wait for the next refresh."""
        self._keep_alive.stop()
        if self.state is RegistrationState.REGISTERED:
            self._due = now

    def attempt_wait_s(self) -> float:
        """How long an attempt waits for the server's decision."""
        return ATTEMPT_WAIT_S if len(self._addresses) == 1 else FAILOVER_WAIT_S

    def _retry(self, first_s: float, max_s: float, event: Event, now: float) -> None:
        self.state = RegistrationState.WAITING
        self._asked = (self._asked + 1) % len(self._addresses)
        if self._asked:
            delay_s = NEXT_SERVER_S
        else:
            delay_s = min(first_s * 2 ** min(self._failures, 10), max_s)
            self._failures += 1
        self._due = now + delay_s * self._desk.rng.uniform(1 - RETRY_SPREAD, 1 + RETRY_SPREAD)
        self._keep_alive.stop()
        self._desk.events.append(event)

    def _keep_alive_s(self) -> float:
        wanted = self.peer.keep_alive_s
        if wanted is not None:
            return wanted
        if self.apparent is None or self._local_address is None:
            return 0.0
        ours = self._local_address(self.address)
        return NAT_KEEP_ALIVE_S if ours is not None and ours != self.apparent else 0.0

    def _released(self, *, confirmed: bool) -> None:
        self.state = RegistrationState.RELEASED
        self._expires = -1.0
        self._due = None
        self._attempt = None
        self._desk.events.append(RegistrationReleased(self, confirmed))


class Attempt(Dialogue):
    """One REGREQ or REGREL and its answers."""

    def __init__(self, desk: Desk, local: int, address: Address, now: float, owner: Registration) -> None:
        super().__init__(desk, local, address, now)
        self._owner = owner
        self._command = Command.REGREQ
        self._challenges = 0
        self._deadline = now + owner.attempt_wait_s()

    def begin(self, command: Command, now: float) -> None:
        """Send REGREQ or REGREL."""
        self._command = command
        timeout_s = RELEASE_TIMEOUT_S if command is Command.REGREL else MIN_TIMEOUT_S
        self.link.first_timeout_s = self.link.min_timeout_s = timeout_s
        self.request(command, self._pairs(), now)

    def abandon(self, now: float) -> None:
        """The owner does not wait any more."""
        if not self.finished:
            self.link.stop()
            self.finish(now)

    def _pairs(self) -> list[Pair]:
        peer = self._owner.peer
        pairs: list[Pair] = [(Element.USERNAME, peer.username)]
        if self._command is Command.REGREQ:
            pairs.append((Element.REFRESH, min(max(peer.refresh_s, MIN_REFRESH_S), 0xFFFF)))
        return pairs

    def handle(self, frame: FullFrame, elements: Elements, now: float) -> None:
        """Act on the server's answer."""
        if frame.is_command(Command.REGAUTH):
            self._on_challenge(elements, now)
        elif frame.is_command(Command.REGACK):
            self.finish(now)
            self._owner.granted(
                elements.number(Element.REFRESH), elements.address(Element.APPARENT_ADDR), now
            )
        elif frame.is_command(Command.REGREJ) or frame.is_command(Command.REJECT):
            cause = elements.number(Element.CAUSECODE)
            self.finish(now)
            self._owner.rejected(cause, elements.text(Element.CAUSE) or cause_text(cause), now)

    def _on_challenge(self, elements: Elements, now: float) -> None:
        self._challenges += 1
        if self._challenges > MAX_CHALLENGES:
            return
        try:
            proof = answer_challenge(
                self._owner.peer, elements.number(Element.AUTHMETHODS), elements.raw(Element.CHALLENGE)
            )
        except AuthenticationRefusedError as error:
            self.finish(now)
            self._owner.rejected(FACILITY_REJECTED, str(error), now)
            return
        self.send(self._command, [*self._pairs(), proof], now)

    def own_timer(self) -> float | None:
        """Return when we stop waiting for a decision."""
        return self._deadline

    def handle_own_timer(self, now: float) -> None:
        """Stop waiting."""
        self.handle_invalid(now)

    def handle_dead(self, now: float) -> None:
        """No answer."""
        self.finish(now)
        self._owner.timed_out(now)

    def handle_invalid(self, now: float) -> None:
        """The server knows nothing of this attempt: as good as no answer."""
        if not self.finished:
            self.link.stop()
            self.finish(now)
            self._owner.timed_out(now)
