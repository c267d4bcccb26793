"""Servers whose names change their meaning, with a resolver and a clock of our own."""

from __future__ import annotations

import itertools
import random

import pytest
import trio
import trio.testing

from iax import Endpoint, PeerConfig
from iax.frames import Address
from iax.server_names import LOOK_AGAIN_S, TROUBLED_S, ServerNames
from iax.socket import SocketError

OLD: Address = ("192.0.2.1", 4569)
NEW: Address = ("192.0.2.2", 4569)
SPARE: Address = ("2001:db8::5", 4570)


class Resolver:
    """Says what it is told, slowly, and keeps account."""

    def __init__(self, *names: tuple[str, Address]) -> None:
        self.meaning: dict[str, tuple[Address, ...]] = {name: (address,) for name, address in names}
        self.asked_at: list[float] = []
        self.takes_s = 0.0

    async def __call__(self, host: str, port: int) -> tuple[Address, ...]:
        self.asked_at.append(trio.current_time())
        await trio.sleep(self.takes_s)
        if host not in self.meaning:
            raise SocketError(f"cannot find the server {host}: no; check its name")
        return self.meaning[host]


@pytest.fixture
def clock() -> trio.testing.MockClock:
    return trio.testing.MockClock(autojump_threshold=0)


async def test_all_servers_in_their_order(clock: trio.testing.MockClock) -> None:
    resolver = Resolver(("pbx", OLD), ("spare", SPARE))
    names = ServerNames([("pbx", 4569), ("lost", 4569), ("spare", 4570)], resolver)
    assert await names.look_up() == (OLD, SPARE)
    resolver.meaning = {"lost": (NEW, OLD)}
    assert await names.look_up() == (OLD, NEW, SPARE), "what cannot be found keeps its last meaning"
    with pytest.raises(SocketError, match="cannot find the server nowhere"):
        await ServerNames([("nowhere", 4569)], resolver).look_up()


async def test_a_server_that_moves_is_followed(clock: trio.testing.MockClock) -> None:
    resolver = Resolver(("pbx", OLD))
    names = ServerNames([("pbx", 4569)], resolver)
    peer = PeerConfig((await names.look_up())[0], "fax", "secret")
    endpoint = Endpoint(random.Random(1))
    endpoint.add_peer(peer)
    told: list[tuple[Address, ...]] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: names.follow(endpoint, peer, on_change=told.append))
        await trio.sleep(LOOK_AGAIN_S / 2)
        resolver.meaning["pbx"] = (NEW,)
        assert endpoint.address_of(peer) == OLD
        await trio.sleep(LOOK_AGAIN_S)
        assert endpoint.address_of(peer) == NEW
        assert endpoint.accepts_from(NEW)
        assert not endpoint.accepts_from(OLD)
        del resolver.meaning["pbx"]
        await trio.sleep(10 * LOOK_AGAIN_S)
        assert endpoint.address_of(peer) == NEW, "no answer is no change"
        nursery.cancel_scope.cancel()
    assert told == [(NEW,)]
    assert 11 <= len(resolver.asked_at) <= 13


async def test_trouble_asks_sooner_and_then_ever_less_often(clock: trio.testing.MockClock) -> None:
    resolver = Resolver(("pbx", OLD))
    names = ServerNames([("pbx", 4569)], resolver)
    peer = PeerConfig((await names.look_up())[0], "fax", "secret")
    endpoint = Endpoint(random.Random(1))
    registration = endpoint.register(peer, trio.current_time())
    moved_at: list[float] = []
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            while True:  # the server is gone: nothing that goes out is answered
                endpoint.handle_timer(trio.current_time())
                for _, address in endpoint.datagrams_to_send():
                    if address == NEW:
                        moved_at.append(trio.current_time())
                await trio.sleep(0.02)

        nursery.start_soon(run)
        nursery.start_soon(names.follow, endpoint, peer, registration)
        await trio.sleep(900)
        asked_at = resolver.asked_at[1:]
        pauses = [later - sooner for sooner, later in itertools.pairwise(asked_at)]
        assert asked_at[0] < 20 + 5 + TROUBLED_S, "after the first attempt has failed"
        assert pauses == sorted(pauses)
        assert pauses[0] < 3 * TROUBLED_S
        assert pauses[-1] > LOOK_AGAIN_S / 2
        resolver.meaning["pbx"] = (NEW,)
        changed_at = trio.current_time()
        await trio.sleep(2 * LOOK_AGAIN_S)
        assert moved_at
        assert moved_at[0] - changed_at < LOOK_AGAIN_S + 5
        nursery.cancel_scope.cancel()


async def test_a_slow_look_up_holds_up_nothing(clock: trio.testing.MockClock) -> None:
    resolver = Resolver(("pbx", OLD))
    names = ServerNames([("pbx", 4569)], resolver)
    peer = PeerConfig((await names.look_up())[0], "fax", "secret")
    endpoint = Endpoint(random.Random(1))
    endpoint.add_peer(peer)
    resolver.takes_s = 60.0
    ticks: list[float] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(names.follow, endpoint, peer)
        while trio.current_time() < 2 * LOOK_AGAIN_S:
            ticks.append(trio.current_time())
            await trio.sleep(0.02)
        nursery.cancel_scope.cancel()
    assert len(resolver.asked_at) == 2
    assert max(later - sooner for sooner, later in itertools.pairwise(ticks)) < 0.03


async def test_addresses_need_no_look_up(clock: trio.testing.MockClock) -> None:
    names = ServerNames([("192.0.2.1", 4569), ("2001:db8::1", 4569), ("fe80::1%eth0", 4569)])
    assert names.fixed
    with trio.fail_after(1):
        await names.follow(Endpoint(random.Random(1)), PeerConfig(OLD))
    assert not ServerNames([("pbx.example.org", 4569)]).fixed
