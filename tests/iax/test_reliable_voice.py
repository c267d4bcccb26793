"""Voice in full frames: what a receiver that keeps to the numbers hears is whole and in order."""

from __future__ import annotations

import random

import pytest

from iax import (
    SLINEAR,
    ULAW,
    Account,
    Call,
    CallAnswered,
    CallEnded,
    Encryption,
    Endpoint,
    Event,
    Format,
    IncomingCall,
    PeerConfig,
    Registered,
)
from iax.events import VoiceReceived
from iax.impairment import Impairments
from iax.media import MAX_VOICE_UNACKNOWLEDGED
from iax.registrar import Registrar
from tests.iax.network import Network, Packet, Phone

SERVER, CLIENT = ("192.0.2.1", 4569), ("192.0.2.2", 4570)


class Bridge:
    """A server that hands on voice as chan_iax2 does: full frames in the order of their numbers only."""

    def __init__(self, network: Network, encryption: Encryption) -> None:
        accounts = {"101": Account("101", "secret101", encryption=encryption)}
        self.registrar = Registrar(accounts)
        endpoint = Endpoint(
            random.Random(1), accept_from_anyone=True, accounts=accounts, registrar=self.registrar
        )
        self.phone = Phone(network, SERVER, endpoint)
        self.heard: list[int] = []

    def take(self, call: Call) -> None:
        call.relay = True
        call.handle_early_voice = lambda _frame, _now: None  # type: ignore[method-assign]

    def collect(self) -> None:
        for event in self.phone.endpoint.events():
            self.phone.events.append(event)
            if isinstance(event, VoiceReceived):
                self.heard.append(int.from_bytes(event.payload[:4], "big"))


def connect(
    network: Network, *, incoming: bool, encryption: Encryption = Encryption.OFF, reliable: bool = True
) -> tuple[Bridge, Call, Phone]:
    bridge = Bridge(network, encryption)
    phone = Phone(network, CLIENT, Endpoint(random.Random(2)))
    peer = PeerConfig(SERVER, "101", "secret101", encryption=encryption, reliable_voice=reliable)
    phone.endpoint.register(peer, network.now)
    phone.wait(Registered)
    if incoming:
        to = PeerConfig(CLIENT, "101", "secret101", encryption=encryption)
        bridge.take(bridge.phone.endpoint.call(to, "101", network.now))
        event = phone.wait(IncomingCall)
        assert isinstance(event, IncomingCall)
        call = event.call
        call.answer(network.now)
        bridge.phone.wait(CallAnswered)
    else:
        call = phone.endpoint.call(peer, "900", network.now)
        event = bridge.phone.wait(IncomingCall)
        assert isinstance(event, IncomingCall)
        bridge.take(event.call)
        event.call.answer(network.now)
        phone.wait(CallAnswered)
    return bridge, call, phone


def talk(network: Network, bridge: Bridge, call: Call, n_frames: int) -> list[int]:
    sent: list[int] = []

    def tick() -> None:
        bridge.collect()
        if len(sent) < n_frames:
            sent.append(len(sent))
            call.send_audio(sent[-1].to_bytes(4, "big") * 40, network.now)

    network.ticks.append(tick)
    network.run(n_frames * 0.02 + 8)
    network.ticks.clear()
    bridge.collect()
    return sent


@pytest.mark.parametrize("incoming", [False, True])
@pytest.mark.parametrize("encryption", [Encryption.OFF, Encryption.REQUIRED])
@pytest.mark.parametrize("loss", [0.0, 0.01, 0.05, 0.1])
def test_every_frame_arrives_once_and_in_order(loss: float, encryption: Encryption, incoming: bool) -> None:
    network = Network(Impairments(loss=loss, seed=4), record=False)
    bridge, call, phone = connect(network, incoming=incoming, encryption=encryption)
    sent = talk(network, bridge, call, 1500)
    assert bridge.heard == sent
    assert call.link.all_acknowledged
    assert not phone.seen(CallEnded)


def test_without_it_voice_is_lost() -> None:
    network = Network(Impairments(loss=0.1, seed=4), record=False)
    bridge, call, _ = connect(network, incoming=False, reliable=False)
    sent = talk(network, bridge, call, 500)
    assert 400 < len(bridge.heard) < 480
    assert len(sent) == 500


def test_a_network_that_stands_still_for_5_s_does_not_end_the_call() -> None:
    network = Network(record=False)
    bridge, call, phone = connect(network, incoming=False)
    dead = [network.now + 4, network.now + 9]
    most = 0

    def drop(packet: Packet) -> bool:
        nonlocal most
        most = max(most, call.link.n_unacknowledged)
        return dead[0] <= packet.time < dead[1]

    network.drop = drop
    sent = talk(network, bridge, call, 1000)
    assert most <= MAX_VOICE_UNACKNOWLEDGED + 4
    assert not phone.seen(CallEnded)
    assert set(bridge.heard) <= set(sent)
    assert len(bridge.heard) >= 1000 - 250  # less what mini frames lost, plus what was sent again
    assert bridge.heard[-400:] == sent[-400:], "afterwards all is as before"


@pytest.mark.parametrize(("format_", "n_trunk"), [(ULAW, 50), (SLINEAR, 0)])
def test_linear_audio_stays_out_of_trunk_frames(format_: Format, n_trunk: int) -> None:
    """Asterisk 22 does not turn its octets round there (tests.peers.test_asterisk_matrix)."""
    network = Network()
    Bridge(network, Encryption.OFF)
    phone = Phone(network, CLIENT, Endpoint(random.Random(2)))
    peer = PeerConfig(SERVER, "101", "secret101", trunk=True)
    call = phone.endpoint.call(peer, "900", network.now, formats=(format_,))
    server = network.cores[SERVER]
    assert isinstance(server, Endpoint)
    assert network.run(5, lambda: any(isinstance(e, IncomingCall) for e in _answering(server, network)))
    phone.wait(CallAnswered)
    network.sent.clear()
    for _ in range(51):  # the first is a full frame
        call.send_audio(format_.silence(160), network.now)
        network.run(0.02)
    voice = [p.datagram for p in network.sent if p.source == CLIENT and not p.datagram[0] & 0x80]
    assert len(voice) == 50
    assert sum(datagram[:2] == b"\0\0" for datagram in voice) == n_trunk


def _answering(server: Endpoint, network: Network) -> list[Event]:
    events = server.events()
    for event in events:
        if isinstance(event, IncomingCall):
            event.call.answer(network.now)
    return events
