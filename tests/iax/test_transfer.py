"""The server takes itself out of a call (TXREQ …): declined, or followed where the configuration says so."""

from __future__ import annotations

import random

import pytest

from iax import (
    Call,
    CallAnswered,
    CallEnded,
    CallState,
    CallTransferred,
    Encryption,
    Endpoint,
    IncomingCall,
    PeerConfig,
)
from iax.elements import Element, encode
from iax.frames import Address, Command, FrameType, FullFrame, decode_untrusted
from iax.impairment import Impairments
from iax.media_table import MediaTable
from iax.transfer import TRANSFER_WAIT_S
from tests.iax.network import Network, Packet, Phone
from tests.iax.rawpeer import RawPeer

SERVER: Address = ("192.0.2.1", 4569)
LEFT: Address = ("192.0.2.2", 4570)
RIGHT: Address = ("192.0.2.3", 4571)
ID = 77


class Bridge:
    """A server with a call from LEFT and one to RIGHT, both up, and voice through it."""

    def __init__(self, *, follow: bool = True, batches: bool = False, loss: float = 0.0) -> None:
        self.network = Network(Impairments(loss=loss, seed=3))
        self.server = Phone(self.network, SERVER, Endpoint(random.Random(1), accept_from_anyone=True))
        peer = PeerConfig(SERVER, "a", follow_transfers=follow)

        def phone(address: Address, seed: int) -> Phone:
            table = MediaTable(4) if batches else None
            phone = Phone(self.network, address, Endpoint(random.Random(seed), media=table))
            phone.endpoint.add_peer(peer)
            return phone

        self.left, self.right = phone(LEFT, 2), phone(RIGHT, 3)
        self.calls = [self.left.endpoint.call(peer, "1", self.network.now)]
        self.at_server = [self.server.wait(IncomingCall).call]  # type: ignore[attr-defined]
        self.at_server.append(self.server.endpoint.call(PeerConfig(RIGHT), "1", self.network.now))
        incoming = self.right.wait(IncomingCall)
        assert isinstance(incoming, IncomingCall)
        self.calls.append(incoming.call)
        incoming.call.answer(self.network.now)
        self.at_server[0].answer(self.network.now)
        self.left.wait(CallAnswered)
        self.server.wait(CallAnswered)
        self.heard: list[list[int]] = [[], []]
        self.count = 0
        self.network.ticks.append(self.tick)
        self.network.run(1)

    def tick(self) -> None:
        now = self.network.now
        self.count += 1
        for call, heard in zip(self.calls, self.heard, strict=True):
            call.send_audio(bytes([1 + self.count % 250]) * 160, now)
            heard.append(call.receive_audio()[0][0])
        for call in self.at_server:
            other = self.at_server[1 - self.at_server.index(call)]
            payload, _ = call.receive_audio()
            other.send_audio(payload, now)

    def request(self) -> None:
        """What the server says to both."""
        for call, other, address in (
            (self.at_server[0], self.at_server[1], RIGHT),
            (self.at_server[1], self.at_server[0], LEFT),
        ):
            call.send(
                Command.TXREQ,
                [
                    (Element.APPARENT_ADDR, address),
                    (Element.CALLNO, other.link.remote),
                    (Element.TRANSFERID, ID),
                ],
                self.network.now,
            )

    def ready(self) -> set[Address]:
        return {packet.source for packet in self.network.sent if command(packet) == Command.TXREADY}

    def release(self) -> None:
        for call, other in ((self.at_server[0], self.at_server[1]), (self.at_server[1], self.at_server[0])):
            call.send(Command.TXREL, [(Element.CALLNO, other.link.remote)], self.network.now)


def command(packet: Packet) -> int | None:
    frame = decode_untrusted(packet.datagram)
    return frame.subclass if isinstance(frame, FullFrame) and frame.type == FrameType.IAX else None


@pytest.mark.parametrize("batches", [False, True])
@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_the_call_goes_on_between_the_two(loss: float, batches: bool) -> None:
    bridge = Bridge(batches=batches, loss=loss)
    network = bridge.network
    bridge.request()
    assert network.run(TRANSFER_WAIT_S, lambda: bridge.ready() == {LEFT, RIGHT})
    bridge.release()
    for phone, other in ((bridge.left, RIGHT), (bridge.right, LEFT)):
        event = phone.wait(CallTransferred)
        assert isinstance(event, CallTransferred)
        assert event.address == other
    network.cores.pop(SERVER)  # the server has nothing to do with it any more
    for heard in bridge.heard:
        heard.clear()
    network.sent.clear()
    network.run(30)
    for call in bridge.calls:
        assert call.state is CallState.UP
        assert call.statistics().media.frames_received > 1000
    for heard in bridge.heard:
        voice = [number for number in heard[50:] if number != 0xFF]
        assert len(voice) > (1.0 - 2 * loss) * (len(heard) - 60)
        if not loss:
            assert len(set(voice)) == 250
    assert {packet.destination for packet in network.sent} == {LEFT, RIGHT}
    bridge.calls[0].hangup(network.now)
    ended = bridge.right.wait(CallEnded)
    assert isinstance(ended, CallEnded)
    network.run(120)
    for phone in (bridge.left, bridge.right):
        assert phone.endpoint.statistics().dialogues == 0, "no call number leaks"


def test_without_the_wish_it_is_declined_and_nothing_changes() -> None:
    bridge = Bridge(follow=False)
    bridge.network.sent.clear()
    bridge.request()
    bridge.network.run(2)
    rejections = [packet for packet in bridge.network.sent if command(packet) == Command.TXREJ]
    assert {packet.source for packet in rejections} == {LEFT, RIGHT}
    assert not bridge.ready()
    assert not any(packet.destination == LEFT for packet in bridge.network.sent if packet.source == RIGHT)


def test_when_the_two_cannot_reach_each_other_all_stays_as_it_was() -> None:
    bridge = Bridge()
    network = bridge.network
    network.drop = lambda packet: {packet.source, packet.destination} == {LEFT, RIGHT}
    bridge.request()
    network.run(TRANSFER_WAIT_S + 3)
    assert not bridge.ready()
    rejections = [packet for packet in network.sent if command(packet) == Command.TXREJ]
    assert {packet.source for packet in rejections} == {LEFT, RIGHT}
    for heard in bridge.heard:
        heard.clear()
    network.run(2)
    for heard in bridge.heard:
        assert 0xFF not in heard, "voice through the server goes on"
    assert [call.link.address for call in bridge.calls] == [SERVER, SERVER]


class TestHostile:
    """Who may take part, and when."""

    def begun(self) -> tuple[RawPeer, Call]:
        peer = RawPeer()
        peer.config = PeerConfig(("192.0.2.1", 4569), "101", "secret101", follow_transfers=True)
        call = peer.up()
        peer.send(
            Command.TXREQ,
            (Element.APPARENT_ADDR, RIGHT),
            (Element.CALLNO, 9),
            (Element.TRANSFERID, ID),
        )
        datagrams = peer.endpoint.datagrams_to_send()
        assert [address for _, address in datagrams if address != peer.address] == [RIGHT]
        return peer, call

    def frame(self, peer: RawPeer, command: Command, *, source: int = 9, id_: int = ID) -> bytes:
        payload = encode([(Element.TRANSFERID, id_)])
        return FullFrame(source, peer.theirs, 5, 0, 0, FrameType.IAX, command, payload).encode()

    def test_only_the_one_that_was_named(self) -> None:
        peer, _ = self.begun()
        for address, source, id_ in ((LEFT, 9, ID), (RIGHT, 10, ID), (RIGHT, 9, ID + 1)):
            for what in (Command.TXACC, Command.TXCNT):
                peer.endpoint.receive(self.frame(peer, what, source=source, id_=id_), address, peer.now)
        assert peer.commands() == []
        assert peer.dropped()["wrong address for that call number"] == 6

    def test_it_may_say_nothing_else(self) -> None:
        peer, call = self.begun()
        for what in (Command.HANGUP, Command.TXREL, Command.PING, Command.INVAL):
            peer.endpoint.receive(self.frame(peer, what), RIGHT, peer.now)
        assert peer.commands() == []
        assert call.state is CallState.UP

    def test_the_server_must_release_what_is_ready(self) -> None:
        peer, call = self.begun()
        peer.send(Command.TXREL, (Element.CALLNO, 9))
        assert call.link.address == peer.address
        peer.endpoint.receive(self.frame(peer, Command.TXACC), RIGHT, peer.now)
        assert (FrameType.IAX, Command.TXREADY) not in peer.commands()  # TXREL ended it

    @pytest.mark.parametrize("number", [0, 1, 40_000, 0xFFFF])
    def test_a_call_number_that_there_is_not_is_not_gone_on_with(self, number: int) -> None:
        peer, call = self.begun()
        peer.endpoint.receive(self.frame(peer, Command.TXACC), RIGHT, peer.now)
        peer.got()
        peer.send(Command.TXREL, (Element.CALLNO, number))
        assert (call.link.address, call.link.remote) == (RIGHT, 9)

    def test_media_alone_does_not_move(self) -> None:
        peer, call = self.begun()
        peer.endpoint.receive(self.frame(peer, Command.TXACC), RIGHT, peer.now)
        assert (FrameType.IAX, Command.TXREADY) in peer.commands()
        peer.send(Command.TXMEDIA, (Element.CALLNO, 9))
        assert (FrameType.IAX, Command.TXREJ) in peer.commands()
        assert call.link.address == peer.address

    @pytest.mark.parametrize(
        "pairs",
        [
            [],
            [(Element.APPARENT_ADDR, RIGHT), (Element.CALLNO, 9)],
            [(Element.APPARENT_ADDR, (RIGHT[0], 0)), (Element.CALLNO, 9), (Element.TRANSFERID, 1)],
            [(Element.APPARENT_ADDR, RIGHT), (Element.CALLNO, 0), (Element.TRANSFERID, 1)],
            [(Element.APPARENT_ADDR, RIGHT), (Element.CALLNO, 1), (Element.TRANSFERID, 1)],
        ],
    )
    def test_an_impossible_wish_is_declined(self, pairs: list[tuple[Element, object]]) -> None:
        peer = RawPeer()
        peer.config = PeerConfig(("192.0.2.1", 4569), "101", "secret101", follow_transfers=True)
        peer.up()
        peer.send(Command.TXREQ, *pairs)  # type: ignore[arg-type]
        assert peer.commands() == [(FrameType.IAX, Command.TXREJ)]

    def test_before_the_answer_to_new_it_is_declined(self) -> None:
        peer = RawPeer()
        peer.config = PeerConfig(
            ("192.0.2.1", 4569), "101", "secret101", follow_transfers=True, encryption=Encryption.OFF
        )
        peer.called()
        peer.send(
            Command.TXREQ, (Element.APPARENT_ADDR, RIGHT), (Element.CALLNO, 9), (Element.TRANSFERID, ID)
        )
        assert peer.commands() == [(FrameType.IAX, Command.TXREJ)]
