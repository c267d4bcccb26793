"""Calls over a network that loses, doubles and delays up to 3 s: every one ends in a defined state."""

from __future__ import annotations

import random

import pytest

from iax import (
    Account,
    Call,
    CallEnded,
    CallState,
    Encryption,
    Endpoint,
    IncomingCall,
    PeerConfig,
    Registered,
)
from iax.call_numbers import QUARANTINE_S
from iax.exchange import Exchange
from iax.frames import Address
from tests.iax.network import Network, Phone
from tests.iax.rawpeer import SERVER

LOSS = DUPLICATE = DELAYED = 0.1
MAX_DELAY_S = 3.0


class LyingNetwork(Network):
    """A tenth lost, a tenth doubled, a tenth up to 3 s late."""

    def lie(self, seed: int) -> None:
        rng = random.Random(seed)
        put = self._impairer.put

        def late(tagged: bytes, destination: Address, now: float) -> None:
            if rng.random() < LOSS:
                return
            for _ in range(2 if rng.random() < DUPLICATE else 1):
                delay_s = rng.uniform(0, MAX_DELAY_S) if rng.random() < DELAYED else 0.0
                put(tagged, destination, now + delay_s)

        self._impairer.put = late  # type: ignore[method-assign]


def run(n_calls: int, seed: int, encryption: Encryption) -> tuple[int, int]:
    """Make N_CALLS from one phone to another; return how many were answered, and how many were offered."""
    rng = random.Random(seed)
    network = LyingNetwork(record=False)
    accounts = [
        Account(name, f"s{name}", number, encryption=encryption)
        for name, number in (("a", "100"), ("b", "200"))
    ]
    exchange = Exchange(accounts, random.Random(seed + 1))
    network.add(SERVER, exchange)
    a = Phone(network, ("192.0.2.2", 4570), Endpoint(random.Random(seed + 2)))
    b = Phone(network, ("192.0.2.3", 4570), Endpoint(random.Random(seed + 3)))
    peer_a = PeerConfig(SERVER, "a", "sa", encryption=encryption)
    b.endpoint.register(PeerConfig(SERVER, "b", "sb", encryption=encryption), network.now)
    b.wait(Registered)
    network.lie(seed)
    calls: list[Call] = []
    ends: dict[Call, int] = {}
    answered = offered = 0
    todo: list[tuple[float, Call]] = []

    def tick() -> None:
        nonlocal answered, offered
        for phone in (a, b):
            for event in phone.endpoint.events():
                if isinstance(event, IncomingCall):
                    offered += 1
                    choice = rng.random()
                    if choice < 0.1:
                        event.call.reject(network.now)
                    elif choice < 0.9:
                        event.call.ringing(network.now)
                        event.call.answer(network.now)
                        todo.append((network.now + rng.uniform(0, 8), event.call))
                    else:
                        event.call.ringing(network.now)
                elif isinstance(event, CallEnded):
                    ends[event.call] = ends.get(event.call, 0) + 1
                    answered += event.call.statistics().duration_s is not None and event.call.outgoing
        for when, call in todo[:]:
            if network.now >= when:
                todo.remove((when, call))
                call.hangup(network.now)

    network.ticks.append(tick)
    for _ in range(n_calls):
        call = a.endpoint.call(
            peer_a, rng.choice(["200", "200", "200", "echo", "busy", "nowhere"]), network.now
        )
        calls.append(call)
        todo.append((network.now + rng.uniform(0.1, 20), call))
        network.run(rng.uniform(0, 0.4))
    network.run(120)
    assert all(call.state is CallState.ENDED for call in calls)
    assert all(ends[call] == 1 for call in calls), "each call ends exactly once"
    network.run(QUARANTINE_S + 5)
    for endpoint, left in ((a.endpoint, 0), (b.endpoint, 1), (exchange._endpoint, 1)):
        statistics = endpoint.statistics()
        assert statistics.calls == 0
        assert statistics.dialogues <= left, "a call number has leaked (a registration may be under way)"
        assert endpoint._incoming == 0
        assert len(endpoint._dialogues.by_remote) <= left
    assert exchange.statistics(network.now).bridges == 0
    return answered, offered


@pytest.mark.parametrize("encryption", [Encryption.OFF, Encryption.REQUIRED])
@pytest.mark.parametrize("seed", [1, 2])
def test_every_call_ends_and_no_number_leaks(seed: int, encryption: Encryption) -> None:
    answered, offered = run(1000, seed, encryption)
    assert answered > 250
    assert offered > 250
