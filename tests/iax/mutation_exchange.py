"""The exchange under mutation: an attacker with an account of his own, who returns call tokens, calls
everything there is, and is called; while two others talk."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from iax import Account, Call, Encryption, Endpoint, IncomingCall, PeerConfig
from iax.call_state import ALIVE
from iax.elements import Element, encode
from iax.exchange import EXTENSIONS, Exchange
from iax.formats import Format
from iax.frames import Address
from tests.iax.keys import PUBLIC_KEY
from tests.iax.mutation_parts import (
    FOE,
    QUIET_S,
    TICK_S,
    Attacked,
    Batch,
    Conversation,
    place_call,
    receive_all,
)
from tests.iax.mutation_seeds import CALL
from tests.iax.mutator import HEADER, MAX_OCTETS, Mutator
from tests.iax.network import Core

EXCHANGE: Address = ("192.0.2.1", 4569)
PHONES: tuple[Address, ...] = (("192.0.2.9", 4570), ("192.0.2.9", 4571))
MAX_DIALOGUES = 8000
"""There were never more than this in runs of ten million; the exchange's own limit is 16,000."""


class ExchangeTarget:
    """An exchange that demands call tokens, and two phones of it."""

    name = "exchange"

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 1000.0
        accounts = (
            Account("a", "sa", "100"),
            Account("b", "sb", "200"),
            Account("9000", "secret", "300"),
            Account("key", "", "301", public_key=PUBLIC_KEY),
            Account("secret", "secret", "302", encryption=Encryption.ALLOWED, trunk=True),
        )
        self.exchange = Exchange(accounts, random.Random(seed + 1))
        self.endpoint = self.exchange._endpoint
        self.phones = [Endpoint(random.Random(seed + 2 + n)) for n in range(2)]
        peers = [PeerConfig(EXCHANGE, name, "s" + name) for name in "ab"]
        for phone, peer in zip(self.phones, peers, strict=True):
            phone.register(peer, self.now)
        self.attacked = Attacked(self.rng)
        self._pass_time(50)
        call = self.phones[0].call(peers[0], "200", self.now, formats=[Format.ULAW])
        other = None
        for _ in range(50):
            self._pass_time(1)
            for event in self.phones[1].events():
                if isinstance(event, IncomingCall):
                    other = event.call
                    other.answer(self.now)
        assert other is not None
        self.conversation = Conversation(call, other)
        dialogues = [d for d in self.endpoint._dialogues if isinstance(d, Call)]
        self.attacked.friends = [d for d in dialogues if d.link.address in PHONES]
        assert len(self.attacked.friends) == 2
        self.n_ticks = 0

    def _pass_time(self, n_ticks: int, tick_s: float = TICK_S) -> None:
        for _ in range(n_ticks):
            self.now += tick_s
            cores: tuple[Core, ...] = (self.exchange, *self.phones)
            for core in cores:
                core.handle_timer(self.now)
            self._carry()

    def _carry(self) -> None:
        moved = True
        while moved:
            moved = False
            for datagram, to in self.exchange.datagrams_to_send():
                if to in PHONES:
                    self.phones[PHONES.index(to)].receive(datagram, EXCHANGE, self.now)
                    moved = True
            for phone, address in zip(self.phones, PHONES, strict=True):
                datagrams = phone.datagrams_to_send()
                self.receive([(datagram, address) for datagram, _ in datagrams])
                moved |= bool(datagrams)

    # -- the attack

    def _token(self) -> bytes:
        tokens = self.endpoint._door.tokens
        assert tokens is not None
        return encode([(Element.CALLTOKEN, tokens.make(FOE, self.now))])

    def aimed(self, mutator: Mutator) -> tuple[bytes, Address]:
        datagram, address = self.attacked.aimed(mutator)
        opening = len(datagram) >= HEADER and datagram[0] & 0x80 and not (datagram[2] & 0x7F | datagram[3])
        if opening and address == FOE and self.rng.random() < 0.15:
            datagram = datagram[: MAX_OCTETS - 80] + self._token()
        return datagram, address

    def taking(self, batch: Batch) -> Callable[[], None]:
        return partial(receive_all, self.exchange, batch, self.now)

    def receive(self, batch: Batch) -> None:
        self.taking(batch)()

    def tick(self) -> None:
        self.n_ticks += 1
        self.conversation.send(self.now)
        self._pass_time(1)
        self.conversation.hear()
        for phone in self.phones:  # the attacker may call them: they are busy
            for event in phone.events():
                if isinstance(event, IncomingCall):
                    event.call.reject(self.now)
        self.exchange.notices()
        if self.n_ticks % 8 == 0:
            self._make_call()
        if self.n_ticks % 50 == 0:
            self._check()
        if self.n_ticks % 10 == 0:
            self.attacked.look_around([d for d in self.endpoint._dialogues if d.link.address not in PHONES])
        if self.n_ticks % 500 == 0:
            self.endpoint._registrar.remember("9000", FOE, self.now + 60)  # type: ignore[union-attr]

    def _make_call(self) -> None:
        """A call of the attacker's that he proves to be his: to whatever there is."""
        name = "9000" if self.rng.random() < 0.7 else "secret"
        called = self.rng.choice((*EXTENSIONS, "300", "302", "200", "nobody"))
        new = [*CALL, (Element.CALLED_NUMBER, called), (Element.USERNAME, name)]
        if name == "secret":
            new.append((Element.ENCRYPTION, 0x8001))
        place_call(self.endpoint, self.receive, encode(new) + self._token(), self.rng)

    def _check(self) -> None:
        statistics = self.endpoint.statistics()
        assert statistics.dialogues <= MAX_DIALOGUES, statistics
        assert len(self.endpoint._dialogues._timers) < 10 * MAX_DIALOGUES
        alive = sum(1 for d in self.endpoint._dialogues if isinstance(d, Call) and d.state in ALIVE)
        exchange = self.exchange
        for held in (exchange._other, exchange._echoing, exchange._tones):
            assert len(held) <= alive + 10
        self.conversation.check()
        registered = exchange.registered(self.now)
        assert [registered.get(name) for name in "ab"] == [*PHONES]

    def finish(self) -> None:
        """Let the attack end; after a while all is as if it had never been."""
        for _ in range(100):
            self.conversation.send(self.now)
            self._pass_time(1)
            self.conversation.hear()
        self._check()
        assert self.exchange.statistics(self.now).bridges >= 1
        self.conversation.ends[0].hangup(self.now)
        end = self.now + QUIET_S
        while self.now < end:
            for phone in self.phones:
                for event in phone.events():
                    if isinstance(event, IncomingCall):
                        event.call.reject(self.now)
            self._pass_time(1, 0.1)
        exchange, endpoint = self.exchange, self.endpoint
        statistics = exchange.statistics(self.now)
        assert (statistics.bridges, statistics.endpoint.calls) == (0, 0)
        assert [exchange.registered(self.now).get(name) for name in "ab"] == [*PHONES]
        assert statistics.endpoint.dialogues <= 2, "registrations may be under way"
        assert len(endpoint._dialogues.by_remote) <= 2
        assert len(endpoint._desk.trunks) == 0
        assert endpoint._incoming == 0
        assert not exchange._echoing
        assert not exchange._tones
        assert not exchange._later
        assert len(endpoint._dialogues._numbers._rests) <= 8
        for phone in self.phones:
            assert phone.statistics().calls == 0
