"""A call in progress under forged frames, and every frame in every state."""

from __future__ import annotations

import random

import pytest

from iax import Account, Call, CallAnswered, CallEnded, CallState, Endpoint, PeerConfig, Registered
from iax.admission import Drop
from iax.elements import Element, encode
from iax.exchange import Exchange
from iax.frames import Address, Command, Control, FrameType, FullFrame, MiniFrame, encode_mini
from tests.iax.network import Network, Packet, Phone
from tests.iax.rawpeer import EVERY_FRAME, NUMBER, SERVER, RawPeer

QUALIFY_NUMBER = 7


def test_a_thousand_forged_frames_a_second_from_a_hundred_addresses() -> None:
    """The forgers know both call numbers, sequence numbers and our address, but not the server's.

    Their POKEs, more than are answered, do not keep the server's from being answered (`qualify`).
    """
    network = Network(record=False)
    network.add(SERVER, Exchange([Account("a", "sa")], random.Random(1)))
    phone = Phone(network, ("192.0.2.2", 4570), Endpoint(random.Random(2)))
    peer = PeerConfig(SERVER, "a", "sa")
    registration = phone.endpoint.register(peer, network.now)
    phone.wait(Registered)
    call = phone.endpoint.call(peer, "echo", network.now)
    phone.wait(CallAnswered)
    rng = random.Random(3)
    forgers: list[Address] = [(f"198.51.100.{n}", rng.randrange(1024, 65536)) for n in range(99)]
    forgers.append((SERVER[0], SERVER[1] + 1))
    heard: list[tuple[bytes, bool]] = []
    count = forged = asked = 0
    answers: list[Packet] = []

    def note(packet: Packet) -> bool:
        if packet.destination == SERVER and packet.datagram[2:4] == QUALIFY_NUMBER.to_bytes(2, "big"):
            answers.append(packet)
        return False

    network.drop = note

    def tick() -> None:
        nonlocal count, forged, asked
        for n in range(6):
            poke = FullFrame(9, 0, 1, 0, 0, FrameType.IAX, Command.POKE)
            phone.endpoint.receive(poke.encode(), forgers[(count + n) % 100], network.now)
        if count % 50 == 49:
            asked += 1
            poke = FullFrame(QUALIFY_NUMBER, 0, 1, 0, 0, FrameType.IAX, Command.POKE)
            phone.endpoint.receive(poke.encode(), SERVER, network.now)
        for _ in range(20):  # 1,000 a second
            forged += 1
            link = call.link
            command = rng.choice(list(Command))
            kind = rng.randrange(4)
            if kind == 0:
                datagram = encode_mini(link.remote, rng.randrange(1 << 16), b"\0" * 160)
            elif kind == 1:
                body = encode([(Element.CAUSECODE, 16)])
                frame = FullFrame(
                    link.remote, link.local, 1, link.i_seq, link.o_seq, FrameType.IAX, command, body
                )
                datagram = frame.encode()
            elif kind == 2:
                control = rng.choice(list(Control))
                datagram = FullFrame(
                    link.remote, link.local, 1, link.i_seq, link.o_seq, FrameType.CONTROL, control
                ).encode()
            else:
                new = [(Element.VERSION, 2), (Element.CALLED_NUMBER, "1"), (Element.CAPABILITY, 4)]
                datagram = FullFrame(
                    rng.randrange(1, 32768), 0, 1, 0, 0, FrameType.IAX, command, encode(new)
                ).encode()
            phone.endpoint.receive(datagram, rng.choice(forgers), network.now)
        count += 1
        call.send_audio(count.to_bytes(4, "big") * 40, network.now)
        heard.append(call.receive_audio())

    network.ticks.append(tick)
    network.run(60)
    assert forged >= 59_000
    assert call.state is CallState.UP
    assert registration.registered(network.now)
    first = next(n for n, (block, _) in enumerate(heard) if block[:4] == (1).to_bytes(4, "big"))
    assert not any(lost for _, lost in heard[first:])
    assert [int.from_bytes(block[:4], "big") for block, _ in heard[first:]] == [
        *range(1, len(heard) - first + 1)
    ]
    assert [event for event in phone.collect() if isinstance(event, CallEnded)] == []
    assert phone.endpoint.statistics().dialogues <= 2
    dropped = phone.endpoint.statistics().dropped
    assert sum(dropped.values()) > 0.7 * forged
    assert dropped[Drop.REPLY_LIMIT.value] > 50 * 100
    assert len(answers) == asked >= 59
    assert {packet.datagram[10:] for packet in answers} == {bytes((FrameType.IAX, Command.PONG))}


def in_state(state: CallState) -> tuple[RawPeer, Call]:
    """A call brought into STATE by the frames that lead there."""
    if state in (CallState.AUTHENTICATING, CallState.OFFERED):
        accounts = {"u": Account("u", "s")} if state is CallState.AUTHENTICATING else None
        peer = RawPeer(Endpoint(random.Random(1), accept_from=[SERVER], accounts=accounts))
        new = [(Element.VERSION, 2), (Element.CAPABILITY, 4), (Element.FORMAT, 4), (Element.USERNAME, "u")]
        peer.send(Command.NEW, *new)
        (call,) = [d for d in peer.endpoint._dialogues if isinstance(d, Call)]
        peer.got()
        if call.link.remote and not peer.theirs:
            peer.theirs = call.link.local
    else:
        peer = RawPeer()
        call, _ = peer.called()
        if state is not CallState.CALLING:
            peer.send(Command.ACCEPT, (Element.FORMAT, 4))
        if state in (CallState.RINGING, CallState.UP):
            peer.send(Control.RINGING, type_=FrameType.CONTROL)
        if state is CallState.UP:
            peer.send(Control.ANSWER, type_=FrameType.CONTROL)
        if state is CallState.ENDED:
            call.hangup(peer.now)
        peer.got()
    assert call.state is state
    peer.events()
    return peer, call


# What may follow from each state by one frame of the peer's; all else leaves the state alone.
C, D, O, A, R, U, E = (  # noqa: E741
    CallState.CALLING,
    CallState.AUTHENTICATING,
    CallState.OFFERED,
    CallState.ACCEPTED,
    CallState.RINGING,
    CallState.UP,
    CallState.ENDED,
)
ENDING = {Command.HANGUP, Command.REJECT}


def expected(state: CallState, frame_type: int, subclass: int) -> CallState:
    if state is E:
        return E
    if frame_type == FrameType.IAX:
        if subclass in ENDING:
            return E
        if subclass == Command.INVAL and state is C:
            return E
        if subclass == Command.ACCEPT and state is C:
            return A
        if subclass == Command.AUTHREQ and state is C:
            return C
        if subclass == Command.AUTHREP and state is D:
            return E  # without proof
        return state
    if frame_type == FrameType.CONTROL and state in (A, R, U):
        if subclass == Control.HANGUP:
            return E
        if state is not U:
            if subclass in (Control.BUSY, Control.CONGESTION):
                return E
            if subclass == Control.RINGING:
                return R
            if subclass == Control.ANSWER:
                return U
    return state


TRANSFER = [(Element.APPARENT_ADDR, ("192.0.2.99", 4569)), (Element.CALLNO, 9), (Element.TRANSFERID, 5)]


@pytest.mark.parametrize("transferring", [False, True])
@pytest.mark.parametrize("state", list(CallState), ids=lambda state: state.value)
def test_every_frame_in_every_state(state: CallState, transferring: bool) -> None:
    bodies = [[], [(Element.FORMAT, 4)], [(Element.AUTHMETHODS, 2), (Element.CHALLENGE, b"1")], TRANSFER]
    for frame_type, subclass in EVERY_FRAME:
        for body in bodies:
            peer, call = in_state(state)
            if transferring:
                call.follow_transfers = True
                peer.send(Command.TXREQ, *TRANSFER)
            peer.send(subclass, type_=frame_type, payload=encode(body))
            wanted = expected(state, frame_type, subclass)
            if (
                state is C
                and (frame_type, subclass) == (FrameType.IAX, Command.AUTHREQ)
                and body != bodies[2]
            ):
                wanted = E  # a challenge without a challenge
            assert call.state is wanted, (frame_type, subclass, body)
            ends = [event for event in peer.events() if isinstance(event, CallEnded)]
            assert len(ends) == (state not in (E, D) and wanted is E)
            # a minute later, with nobody there any more, it has gone; its owner was told if he knew of it
            peer.wait(60)
            ends += [event for event in peer.events() if isinstance(event, CallEnded)]
            assert len(ends) == (state not in (E, D)), (frame_type, subclass, body)
            assert call.state is E
            peer.send(Command.PING)
            assert peer.endpoint.statistics().dialogues <= 1


def test_minis_in_every_state() -> None:
    for state in CallState:
        peer, call = in_state(state)
        peer.endpoint.receive(MiniFrame(NUMBER, 20, b"\xff" * 160).encode(), SERVER, peer.now)
        assert call.state is state
