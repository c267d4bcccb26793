"""Several servers, names that move, NATs, call numbers of one host, trunk frames out."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from iax import (
    Account,
    Call,
    CallAnswered,
    CallHeld,
    CallResumed,
    Endpoint,
    PeerConfig,
    Registered,
    Registration,
    RegistrationReleased,
)
from iax.call_numbers import NUMBER_CLASSES
from iax.elements import Element
from iax.exchange import Exchange
from iax.frames import Address, Command, Control, FrameType, TrunkFrame
from iax.frames import decode_untrusted as decode_frame
from tests.iax.network import Network, Packet, Phone
from tests.iax.rawpeer import RawPeer

FIRST: Address = ("192.0.2.1", 4569)
SECOND: Address = ("2001:db8::2", 4569)
THIRD: Address = ("192.0.2.33", 4569)
PHONE: Address = ("192.0.2.9", 4570)
PEER = PeerConfig(FIRST, "a", "sa", alternatives=(SECOND, THIRD))


def world(*servers: Address, **options: object) -> tuple[Network, Phone]:
    network = Network()
    for server in servers:
        network.add(server, Exchange([Account("a", "sa")], random.Random(1)))
    return network, Phone(network, PHONE, Endpoint(random.Random(2), **options))  # type: ignore[arg-type]


def registered(network: Network, phone: Phone, peer: PeerConfig = PEER) -> Registration:
    registration = phone.endpoint.register(peer, network.now)
    phone.wait(Registered)
    return registration


def test_the_next_server_is_asked_and_calls_follow() -> None:
    network, phone = world(THIRD)
    began = network.now
    registration = registered(network, phone)
    assert registration.address == THIRD
    assert network.now - began < 16
    call = phone.endpoint.call(PEER, "echo", network.now)
    phone.wait(CallAnswered)
    assert call.link.address == THIRD


def test_the_first_server_has_us_back_when_it_returns() -> None:
    network, phone = world(SECOND)
    registration = registered(network, phone)
    assert registration.address == SECOND
    network.run(100)
    assert registration.address == SECOND
    assert registration.registered(network.now)
    network.add(FIRST, Exchange([Account("a", "sa")], random.Random(1)))
    network.run(60)
    assert registration.address == FIRST
    registration.release(network.now)
    released = phone.wait(RegistrationReleased)
    assert isinstance(released, RegistrationReleased)
    assert released.confirmed


@pytest.mark.parametrize("servers", [1, 2])
def test_registered_within_ten_seconds_of_the_servers_return(servers: int) -> None:
    peer = PEER if servers == 2 else PeerConfig(FIRST, "a", "sa")
    for away_s in (1.0, 7.3, 29.0, 61.7, 300.0, *(3300.0 + 3.7 * n for n in range(10))):
        network, phone = world()
        phone.endpoint.register(peer, network.now)
        network.run(away_s)
        requests = [
            packet.time
            for packet in network.sent
            if packet.destination == FIRST and packet.datagram[11] == Command.REGREQ
        ]
        gaps = [b - a for a, b in pairwise(requests)]
        assert min(gaps, default=1) >= 0.999
        network.add(FIRST, Exchange([Account("a", "sa")], random.Random(1)))
        began = network.now
        phone.wait(Registered, timeout_s=40)
        assert network.now - began <= (10 if servers == 1 else 30)


def test_a_name_that_means_another_address() -> None:
    network, phone = world(FIRST)
    peer = PeerConfig(FIRST, "a", "sa")
    registration = registered(network, phone, peer)
    call = phone.endpoint.call(peer, "echo", network.now)
    phone.wait(CallAnswered)
    network.add(THIRD, Exchange([Account("a", "sa")], random.Random(1)))
    phone.endpoint.move_peer(peer, [THIRD], network.now)
    phone.wait(Registered, count=2)
    assert registration.address == THIRD
    assert phone.endpoint.address_of(peer) == THIRD
    assert [phone.endpoint.accepts_from(addr) for addr in (FIRST, SECOND, THIRD)] == [False, False, True]
    assert call.state.value == "up"
    assert call.link.address == FIRST
    phone.endpoint.move_peer(peer, [], network.now)  # a look-up that found nothing changes nothing
    assert registration.address == THIRD


@pytest.mark.parametrize(
    ("nat", "wanted", "pokes"), [(True, None, 4), (False, None, 0), (False, 30.0, 3), (True, 0.0, 0)]
)
def test_a_nat_is_kept_open(nat: bool, wanted: float | None, pokes: int) -> None:
    ours = ("10.0.0.7", 4570) if nat else PHONE
    network, phone = world(FIRST, local_address=lambda _server: ours)
    registration = registered(network, phone, PeerConfig(FIRST, "a", "sa", 3600, keep_alive_s=wanted))
    network.run(95)
    sent = [packet for packet in network.sent if packet.datagram[10:12] == bytes((6, Command.POKE))]
    assert len(sent) == pokes
    assert registration.nat_s == (wanted if wanted is not None else 20.0 * nat)


def test_a_server_that_no_longer_answers_poke_is_asked_to_register_again() -> None:
    network, phone = world(FIRST, local_address=lambda _server: ("10.0.0.7", 4570))
    registration = registered(network, phone, PeerConfig(FIRST, "a", "sa", 3600))
    exchange = network.cores.pop(FIRST)
    network.run(40)
    assert registration.state.value in ("sent", "waiting")
    network.cores[FIRST] = exchange
    began = network.now
    phone.wait(Registered, count=2)
    assert network.now - began < 10


def test_processes_of_one_host_do_not_share_call_numbers() -> None:
    used: list[set[int]] = []
    for port in range(4570, 4570 + NUMBER_CLASSES):
        endpoint = Endpoint(random.Random(1), port=port)  # all with the same random numbers
        calls = [endpoint.call(PEER, "1", 0.0) for _ in range(100)]
        used.append({call.link.local for call in calls})
        assert len(used[-1]) == 100
        assert min(used[-1]) > 1
        assert max(used[-1]) <= 0x7FFF
    assert len(set.union(*used)) == 100 * NUMBER_CLASSES


def test_one_process_may_still_use_nearly_all_numbers() -> None:
    endpoint = Endpoint(random.Random(1), port=4570)
    assert len({endpoint.call(PEER, "1", 0.0).link.local for _ in range(15_000)}) == 15_000


def test_voice_of_all_calls_goes_out_in_trunk_frames() -> None:
    network, phone = world(FIRST)
    peer = PeerConfig(FIRST, "a", "sa", trunk=True)
    calls: list[Call] = [phone.endpoint.call(peer, "echo", network.now) for _ in range(10)]
    phone.wait(CallAnswered, count=10)
    heard: dict[Call, list[bytes]] = {call: [] for call in calls}
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        for n, call in enumerate(calls):
            call.send_audio(bytes([n, count % 256]) * 80, network.now)
            block, lost = call.receive_audio()
            assert not lost
            heard[call].append(block)

    network.ticks.append(tick)
    network.run(80)  # over a wrap of the 16-bit stamps
    for n, call in enumerate(calls):
        first = heard[call].index(bytes([n, 1]) * 80)
        assert heard[call][first:] == [bytes([n, k % 256]) * 80 for k in range(1, count - first + 1)]

    def trunks(packet: Packet) -> bool:
        return packet.source == PHONE and isinstance(decode_frame(packet.datagram), TrunkFrame)

    sent = [packet for packet in network.sent if trunks(packet)]
    assert max(len(packet.datagram) for packet in sent) <= 1240
    assert 2 * count - 20 <= len(sent) <= 2 * count  # ten calls in two datagrams


def test_calls_are_taken_from_servers_and_from_the_hosts_allowed_besides() -> None:
    endpoint = Endpoint(random.Random(1))
    peer = PeerConfig(FIRST, "a", "sa", alternatives=(SECOND,), accept_from=("198.51.100.7", "2001:db8::7"))
    assert not endpoint.accepts_from(FIRST)
    endpoint.add_peer(peer)
    endpoint.add_peer(peer)  # two lines of one server
    allowed = [FIRST, SECOND, ("198.51.100.7", 999), ("2001:db8::7", 4569)]
    refused = [THIRD, (FIRST[0], FIRST[1] + 1), ("198.51.100.8", 999)]
    assert all(map(endpoint.accepts_from, allowed))
    assert not any(map(endpoint.accepts_from, refused))
    endpoint.remove_peer(peer)
    assert all(map(endpoint.accepts_from, allowed))
    endpoint.remove_peer(peer)
    assert not any(map(endpoint.accepts_from, allowed))


def test_the_hosts_allowed_besides_are_challenged_like_the_server() -> None:
    elsewhere: Address = ("198.51.100.7", 4569)
    endpoint = Endpoint(random.Random(1))
    endpoint.add_peer(PeerConfig(FIRST, "a", "sa", challenge_calls=True, accept_from=(elsewhere[0],)))
    peer = RawPeer(endpoint, elsewhere)
    new = [(Element.VERSION, 2), (Element.USERNAME, "a"), (Element.CAPABILITY, 4), (Element.FORMAT, 4)]
    peer.send(Command.NEW, *new, destination=0)
    assert peer.commands() == [(FrameType.IAX, Command.AUTHREQ)]
    assert peer.events() == []


def test_trunk_senders_go_with_their_calls() -> None:
    endpoint = Endpoint(random.Random(1))
    for n in range(50):
        server = (f"192.0.2.{n}", 4569)
        call = endpoint.call(PeerConfig(server, "a", "sa", trunk=True), "1", 0.0)
        endpoint.datagrams_to_send()
        assert len(endpoint._desk.trunks) == n + 1
        call.hangup(0.0)
    for second in range(60):
        endpoint.handle_timer(float(second))
        endpoint.datagrams_to_send()
    assert endpoint.statistics().dialogues == 0
    assert len(endpoint._desk.trunks) == 0


def test_hold_is_told() -> None:
    peer = RawPeer()
    call = peer.up()
    peer.send(Control.HOLD, type_=FrameType.CONTROL)
    peer.send(Control.UNHOLD, type_=FrameType.CONTROL)
    peer.send(Command.QUELCH)
    peer.send(Command.UNQUELCH)
    assert peer.events() == [CallHeld(call), CallResumed(call)] * 2
