"""One dialogue: a call number of ours, a peer's address, a `Link`, and what the dialogue is about.

`Call`, `Registration` and `Registrant` are dialogues. The endpoint owns them, gives them the frames that
match and runs their timers; a dialogue reports through the `Desk` that the endpoint lends it.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from iax.elements import Element, Elements, Pair, encode
from iax.frames import STATELESS_CALL_NUMBER, Address, Command, FrameType, FullFrame
from iax.reliability import Link, Order
from iax.trunk import Trunks

if TYPE_CHECKING:
    from iax.events import Event

LINGER_S = 10.0
"""A finished dialogue stays for so long, so that repeated frames still find it and are acknowledged."""
MAX_CALL_TOKENS = 3
"""A server that answers every token with another one is not followed further."""
CALL_TOKEN_REST_S = 1.0
"""Two tokens in a row: our request was doubled on its way. Following both would open two dialogues there."""


class Scheduler(Protocol):
    """What a dialogue asks of its endpoint."""

    def reschedule(self, dialogue: Dialogue) -> None:
        """Look at the dialogue's `next_timer` again."""

    def remote_learned(self, dialogue: Dialogue) -> None:
        """Note that the peer's call number is known."""

    def move(self, dialogue: Dialogue, address: Address, remote: int, now: float) -> None:
        """Let the dialogue go on with another peer."""


@dataclass(slots=True)
class Desk:
    """The endpoint's things that its dialogues write to."""

    scheduler: Scheduler
    rng: random.Random
    outbox: deque[tuple[bytes, Address]] = field(default_factory=deque)
    events: deque[Event] = field(default_factory=deque)
    trunks: Trunks = field(default_factory=Trunks)


class Dialogue:
    """Base of calls and registrations: sequence handling, call tokens, lingering, life and death."""

    def __init__(self, desk: Desk, local: int, address: Address, now: float, remote: int = 0) -> None:
        self.desk = desk
        self.link = Link(desk.outbox, local, address, now, remote)
        self.scheduled: float | None = None
        """The earliest timer that the endpoint has noted for us; the endpoint's own."""
        self.gone = False
        """True when the endpoint may free the call number."""
        self.opening = b""
        """The peer's first frame, less what retransmission changes: tells its repetition from a new call."""
        self._linger_until: float | None = None
        self._call_tokens = 0
        self._call_token_at = -1e9
        self._request: tuple[Command, list[Pair]] | None = None

    # -- for subclasses

    def handle(self, frame: FullFrame, elements: Elements, now: float) -> None:
        """Act on a frame that came in order."""
        raise NotImplementedError

    def handle_after_end(self, now: float) -> None:
        """Act on a new frame that came after the end; it is acknowledged in any case."""

    def handle_early_voice(self, frame: FullFrame, now: float) -> None:
        """Take the audio of a full voice frame that is a duplicate or ahead of a gap."""

    def handle_from_elsewhere(self, frame: FullFrame, elements: Elements, addr: Address, now: float) -> bool:
        """Act on a frame from ADDR, which is not the peer's; return False if it is no business of ours."""
        return False

    def handle_invalid(self, now: float) -> None:
        """Act on INVAL: the peer says that it does not know this dialogue."""

    def handle_dead(self, now: float) -> None:
        """Act on the end of all retransmissions: the peer does not answer."""
        raise NotImplementedError

    def handle_own_timer(self, now: float) -> None:
        """Do what is due besides retransmission."""

    def own_timer(self) -> float | None:
        """Return when `handle_own_timer` has something to do."""
        return None

    # -- sending

    def request(self, command: Command, pairs: list[Pair], now: float) -> None:
        """Send the frame that starts the dialogue, with an empty call token at its end (AST-2009-006)."""
        self._request = (command, pairs)
        self._send_request(b"", now)

    def _send_request(self, token: bytes, now: float) -> None:
        assert self._request is not None
        command, pairs = self._request
        self.send(command, [*pairs, (Element.CALLTOKEN, token)], now)

    def send(
        self, command: Command, pairs: Sequence[Pair], now: float, *, echo: FullFrame | None = None
    ) -> None:
        """Send a numbered IAX command; as an answer to ECHO it carries that frame's time stamp."""
        timestamp = None if echo is None else echo.timestamp
        self.link.send_command(command, encode(pairs), now, timestamp=timestamp)
        self.desk.scheduler.reschedule(self)

    def send_frame(self, frame_type: FrameType, subclass: int, payload: bytes, now: float) -> None:
        """Send any other numbered frame."""
        self.link.send(frame_type, subclass, payload, now)
        self.desk.scheduler.reschedule(self)

    # -- the endpoint's side

    def receive(self, frame: FullFrame, elements: Elements, now: float) -> None:
        """Take a full frame whose address and call numbers match."""
        link = self.link
        if frame.is_command(Command.CALLTOKEN):
            self._receive_call_token(elements.raw(Element.CALLTOKEN), now)
            return
        if link.remote == 0 and frame.source != STATELESS_CALL_NUMBER:
            link.remote = frame.source
            self.desk.scheduler.remote_learned(self)
        order = link.receive(frame, now)
        if order is Order.AHEAD:
            if _ends_everything(frame):
                link.skip_to(frame)
                order = Order.IN_ORDER
            else:
                link.request_missing(frame.timestamp)
        if order is Order.IN_ORDER:
            if self._linger_until is None:
                self.handle(frame, elements, now)
            else:
                self.handle_after_end(now)
            link.acknowledge(frame)
        elif frame.type == FrameType.VOICE:
            if self._linger_until is None:
                self.handle_early_voice(frame, now)
        elif frame.is_command(Command.INVAL):
            self.handle_invalid(now)
        self._settle(now)
        self.desk.scheduler.reschedule(self)

    def reveal_untrusted(self, datagram: bytes, now: float) -> bytes:
        """Return a full frame of this dialogue in clear; raise `BadFrame`."""
        secrecy = self.link.secrecy
        return datagram if secrecy is None else secrecy.reveal_full_untrusted(datagram, now)

    def _receive_call_token(self, token: bytes, now: float) -> None:
        # only while our first request is unanswered and wanted; a forged or late one changes nothing
        if self._request is None or self.link.remote or not token or self._call_tokens == MAX_CALL_TOKENS:
            return
        if self.finished:  # given up meanwhile; the server, which keeps no state, need not hear of it
            return
        if now - self._call_token_at < CALL_TOKEN_REST_S:
            return
        self._call_token_at = now
        self._call_tokens += 1
        self.link.restart()
        self._send_request(token, now)

    def handle_timer(self, now: float) -> None:
        """Retransmit and do the dialogue's own due things."""
        if not self.link.handle_timer(now):
            self.link.stop()
            if self._linger_until is None:
                self.handle_dead(now)
        own = self.own_timer()
        if own is not None and own <= now and self._linger_until is None:
            self.handle_own_timer(now)
        self._settle(now)

    def next_timer(self) -> float | None:
        """Return when `handle_timer` has something to do."""
        resend = self.link.next_timer()
        if self._linger_until is not None:
            return self._linger_until if resend is None else resend
        own = self.own_timer()
        if resend is None or own is None:
            return own if resend is None else resend
        return min(resend, own)

    def finish(self, now: float) -> None:
        """The dialogue is over but for acknowledgements: linger, then go."""
        if self._linger_until is None:
            self._linger_until = now + LINGER_S
            self.desk.scheduler.reschedule(self)

    @property
    def finished(self) -> bool:
        """True once the dialogue is over."""
        return self._linger_until is not None

    def _settle(self, now: float) -> None:
        if self._linger_until is not None and now >= self._linger_until and self.link.all_acknowledged:
            self.gone = True


def _ends_everything(frame: FullFrame) -> bool:
    return frame.type == FrameType.IAX and frame.subclass in (Command.HANGUP, Command.REJECT)
