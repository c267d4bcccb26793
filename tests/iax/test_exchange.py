"""Phones, the exchange and the network between them, in one process under a virtual clock."""

from __future__ import annotations

import random

import pytest

from iax import (
    ULAW,
    Account,
    Call,
    CallAnswered,
    CallEnded,
    CallRinging,
    Endpoint,
    IncomingCall,
    PeerConfig,
    Registered,
)
from iax.exchange import Exchange
from iax.impairment import Impairments
from tests.iax.network import Network, Phone

SERVER = ("192.0.2.1", 4569)


class House:
    """An exchange and registered phones 101, 102 (number 5550102), 103."""

    def __init__(self, seed: int = 1, impairments: Impairments | None = None, n_phones: int = 2) -> None:
        self.network = Network(impairments or Impairments(seed=seed))
        accounts = [
            Account("101", "secret101"),
            Account("102", "secret102", "5550102"),
            Account("103", "secret103"),
        ]
        self.exchange = Exchange(accounts, random.Random(seed))
        self.network.add(SERVER, self.exchange)
        self.phones = []
        self.peers = []
        for n in range(n_phones):
            name = f"10{n + 1}"
            endpoint = Endpoint(random.Random(seed * 100 + n))
            self.phones.append(Phone(self.network, ("192.0.2.2", 4570 + n), endpoint))
            self.peers.append(PeerConfig(SERVER, name, f"secret{name}"))

    def register(self) -> None:
        for phone, peer in zip(self.phones, self.peers, strict=True):
            phone.endpoint.register(peer, self.network.now)
        for phone in self.phones:
            phone.wait(Registered)

    def call(self, number: str, phone: int = 0, **options: object) -> Call:
        return self.phones[phone].endpoint.call(self.peers[phone], number, self.network.now, **options)


def block(n: int) -> bytes:
    """A 20 ms frame that says which one it is."""
    return n.to_bytes(4, "big") * 40


def test_a_phone_registers_with_a_call_token_and_calls_echo() -> None:
    house = House(n_phones=1)
    house.register()
    (phone,) = house.phones
    granted = phone.last(Registered)
    assert granted.refresh_s == 60
    assert granted.apparent == phone.address
    call = house.call("echo")
    phone.wait(CallAnswered)
    heard = []

    def tick() -> None:
        call.send_audio(block(len(heard)), house.network.now)
        heard.append(call.receive_audio())

    house.network.ticks.append(tick)
    house.network.run(2.0)
    payloads = [payload for payload, lost in heard]
    assert not any(lost for _, lost in heard)
    first = payloads.index(block(0))
    assert first <= 5  # the jitter buffer's 60 ms and one tick for the way
    assert payloads[first:] == [block(n) for n in range(len(heard) - first)]
    call.hangup(house.network.now)
    ended = phone.wait(CallEnded)
    assert (ended.cause, ended.local) == (16, True)
    house.network.run(60)
    assert phone.endpoint.statistics().dialogues == 0
    assert house.exchange.statistics(house.network.now).endpoint.dialogues == 0


@pytest.mark.parametrize("number", ["102", "5550102"])
def test_phones_call_each_other_by_name_and_by_number(number: str) -> None:
    house = House()
    house.register()
    here, there = house.phones
    out = house.call(number, calling_name="Jane")
    incoming = there.wait(IncomingCall).call
    assert (incoming.called_number, incoming.calling_number, incoming.calling_name) == (number, "101", "Jane")
    incoming.ringing(house.network.now)
    here.wait(CallRinging)
    incoming.answer(house.network.now)
    here.wait(CallAnswered)
    assert out.format is incoming.format is ULAW
    heard_here, heard_there = [], []

    def tick() -> None:
        out.send_audio(block(len(heard_here)), house.network.now)
        incoming.send_audio(block(1000 + len(heard_here)), house.network.now)
        heard_here.append(out.receive_audio())
        heard_there.append(incoming.receive_audio())

    house.network.ticks.append(tick)
    house.network.run(3.0)
    for heard, base in ((heard_here, 1000), (heard_there, 0)):
        payloads = [payload for payload, _ in heard]
        first = payloads.index(block(base))
        assert first <= 6
        assert payloads[first:] == [block(base + n) for n in range(len(heard) - first)]
    incoming.hangup(house.network.now)
    ended = here.wait(CallEnded)
    assert (ended.cause, ended.local) == (16, False)
