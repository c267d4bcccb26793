"""Phones, the exchange and the network between them, in one process under a virtual clock."""

from __future__ import annotations

import cmath
import math
import random
import struct
from itertools import pairwise

import pytest

from iax import (
    ULAW,
    Account,
    Call,
    CallAccepted,
    CallAnswered,
    CallEnded,
    CallRinging,
    DtmfBegan,
    DtmfReceived,
    Endpoint,
    Format,
    IncomingCall,
    PeerConfig,
    Registered,
    TextReceived,
    milliwatt,
)
from iax.auth import md5_result
from iax.elements import Element
from iax.exchange import Exchange
from iax.frames import Command, Control, FrameType
from iax.impairment import Impairments
from iax.keypad import DTMF_S
from iax.milliwatt import PEAK_0_DBM0
from tests.iax.network import LATENCY_S, Network, Packet, Phone
from tests.iax.rawpeer import RawPeer, elements
from tests.iax.spoil import spoil

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


@pytest.mark.parametrize(
    ("number", "cause"),
    [("busy", 17), ("congestion", 34), ("nowhere", 3), ("103", 20), ("", 3), ("1031", 3)],
)
def test_failures_have_their_causes(number: str, cause: int) -> None:
    house = House()
    house.register()
    call = house.call(number)
    ended = house.phones[0].wait(CallEnded)
    assert (ended.call, ended.cause, ended.local) == (call, cause, False)


def test_noanswer_rings_until_the_caller_gives_up() -> None:
    house = House()
    house.register()
    call = house.call("noanswer")
    (phone, _) = house.phones
    phone.wait(CallRinging)
    house.network.run(120)
    assert call.state.value == "ringing"
    call.hangup(house.network.now)
    house.network.run(15)
    assert house.exchange.statistics(house.network.now).endpoint.calls == 0


def test_delay5_answers_after_five_seconds() -> None:
    house = House()
    house.register()
    house.call("delay5")
    (phone, _) = house.phones
    phone.wait(CallRinging)
    began = house.network.now
    phone.wait(CallAnswered)
    assert house.network.now - began == pytest.approx(5.0, abs=0.05)


@pytest.mark.parametrize("format_", list(Format))
def test_milliwatt_is_1004_hz_at_0_dbm0(format_: Format) -> None:
    house = House()
    house.register()
    call = house.call("milliwatt", formats=(format_,))
    phone = house.phones[0]
    phone.wait(CallAnswered)
    heard = bytearray()
    lost = []

    def tick() -> None:
        payload, is_lost = call.receive_audio()
        heard.extend(payload)
        lost.append(is_lost)

    house.network.ticks.append(tick)
    house.network.run(2.0)
    assert not any(lost)
    samples = decode(bytes(heard), format_)[-12000:]
    power = sum(x * x for x in samples) / len(samples)
    level_dbm0 = 10 * math.log10(power / (PEAK_0_DBM0**2 / 2))
    assert level_dbm0 == pytest.approx(0, abs=0.1)
    spectrum = sum(x * cmath.exp(-2j * math.pi * 1004 * n / 8000) for n, x in enumerate(samples))
    assert 2 * abs(spectrum) ** 2 / len(samples) ** 2 / power > 0.998


def decode(payload: bytes, format_: Format) -> list[int]:
    """Samples by the formulae of G.711, independent of the encoder."""
    if format_ is Format.SLINEAR:
        return list(struct.unpack(f"!{len(payload) // 2}h", payload))
    samples = []
    for octet in payload:
        if format_ is Format.ULAW:
            code = ~octet & 0xFF
            magnitude = (((code & 15) << 3) + 132 << (code >> 4 & 7)) - 132
            samples.append(-magnitude if code & 0x80 else magnitude)
        else:
            code = octet ^ 0x55
            segment = code >> 4 & 7
            magnitude = (code & 15) << 4 | 8
            if segment:
                magnitude = magnitude + 256 << segment - 1
            samples.append(magnitude if code & 0x80 else -magnitude)
    return samples


@pytest.mark.parametrize("format_", [Format.ULAW, Format.ALAW])
def test_the_tone_encoders_are_g711(format_: Format) -> None:
    encode = milliwatt._ulaw if format_ is Format.ULAW else milliwatt._alaw
    levels = decode(bytes(range(256)), format_)
    for octet, level in enumerate(levels):
        assert encode(level) == octet or (level == 0 and octet == 0x7F)  # µ-law's other zero
    decoded = decode(bytes(encode(sample) for sample in range(-32768, 32768, 7)), format_)
    assert decoded == sorted(decoded)


def test_the_called_peer_refuses() -> None:
    house = House()
    house.register()
    here, there = house.phones
    house.call("102")
    there.wait(IncomingCall).call.reject(house.network.now)
    ended = here.wait(CallEnded)
    assert (ended.cause, ended.text) == (17, "Busy")


def test_the_called_peer_is_gone() -> None:
    house = House()
    house.register()
    del house.network.cores[house.phones[1].address]
    house.call("102")
    ended = house.phones[0].wait(CallEnded)
    assert ended.cause == 27


def test_the_caller_gives_up_while_it_rings() -> None:
    house = House()
    house.register()
    here, there = house.phones
    out = house.call("102")
    incoming = there.wait(IncomingCall).call
    incoming.ringing(house.network.now)
    here.wait(CallRinging)
    out.hangup(house.network.now, 16)
    ended = there.wait(CallEnded)
    assert (ended.call, ended.cause, ended.local) == (incoming, 16, False)


def test_codecs_are_chosen_end_to_end() -> None:
    house = House()
    house.register()
    here, there = house.phones
    out = house.call("102", formats=(Format.SLINEAR, Format.ALAW))
    incoming = there.wait(IncomingCall).call
    assert incoming.format is Format.SLINEAR
    incoming.accept(house.network.now, Format.ALAW)
    here.wait(CallAccepted)
    assert out.format is Format.ALAW


def test_dtmf_and_text_cross_the_bridge() -> None:
    house = House()
    house.register()
    here, there = house.phones
    out = house.call("102")
    incoming = there.wait(IncomingCall).call
    incoming.answer(house.network.now)
    here.wait(CallAnswered)
    out.send_dtmf("5", house.network.now)
    incoming.send_text("hello", house.network.now)
    assert there.wait(DtmfBegan).digit == "5"
    began = house.network.now
    assert there.wait(DtmfReceived).digit == "5"
    assert house.network.now - began == pytest.approx(DTMF_S, abs=0.001), "it lasts as long behind the bridge"
    assert here.wait(TextReceived).text == "hello"


def test_strangers_and_wrong_secrets_cannot_call() -> None:
    house = House()
    house.register()
    for config in (PeerConfig(SERVER, "101", "wrong"), PeerConfig(SERVER, "nobody", "secret101")):
        call = house.phones[0].endpoint.call(config, "echo", house.network.now)
        house.network.run(10)
        ended = house.phones[0].last(CallEnded)
        assert (ended.call, ended.cause, ended.text) == (call, 50, "No authority found")
    house.phones[0].endpoint.call(PeerConfig(SERVER), "echo", house.network.now)
    house.network.run(10)
    assert "secret" in house.phones[0].last(CallEnded).text


def test_the_exchange_forwards_at_once_and_adds_no_jitter() -> None:
    house = House()
    house.register()
    here, there = house.phones
    out = house.call("102")
    incoming = there.wait(IncomingCall).call
    incoming.answer(house.network.now)
    here.wait(CallAnswered)
    house.network.ticks.append(lambda: out.send_audio(block(0), house.network.now))
    house.network.run(1.0)
    house.network.sent.clear()
    house.network.run(1.0)
    voice = [packet for packet in house.network.sent if len(packet.datagram) == 164]
    incoming_times = [packet.time for packet in voice if packet.destination == SERVER]
    outgoing_times = [packet.time for packet in voice if packet.source == SERVER]
    outgoing_times = [time for time in outgoing_times if time > incoming_times[0]]
    assert len(outgoing_times) >= 49
    for came, went in zip(incoming_times, outgoing_times, strict=False):
        assert went - came == pytest.approx(LATENCY_S)  # the way there, and nothing in the house


@pytest.mark.parametrize("seed", range(40))
def test_calls_through_a_terrible_network(seed: int) -> None:
    """Register, call, answer, talk, hang up; a tenth is lost, doubled, swapped, and all is late."""
    worst = Impairments(loss=0.1, duplicate=0.1, reorder=0.1, jitter_ms=30, seed=seed)
    house = House(seed, worst)
    house.network.record = False
    house.register()
    here, there = house.phones
    out = house.call("102")
    incoming = there.wait(IncomingCall).call
    incoming.ringing(house.network.now)
    here.wait(CallRinging)
    incoming.answer(house.network.now)
    here.wait(CallAnswered)
    heard: list[tuple[bytes, bool]] = []
    sent = 0

    def tick() -> None:
        nonlocal sent
        out.send_audio(block(sent), house.network.now)
        incoming.send_audio(block(sent), house.network.now)
        sent += 1
        heard.append(incoming.receive_audio())
        out.receive_audio()

    house.network.ticks.append(tick)
    house.network.run(20.0)
    house.network.ticks.clear()
    assert out.state.value == incoming.state.value == "up"
    # silence aside, each block comes at most once, in order, and at its exact place
    silence = out.format.silence(160)
    places = [
        (at, int.from_bytes(p[:4], "big")) for at, (p, lost) in enumerate(heard) if not lost and p != silence
    ]
    assert len(places) > 0.6 * sent
    numbers = [number for _, number in places]
    assert numbers == sorted(set(numbers))
    offsets = [at - number for at, number in places]
    jumps = sum(later != earlier for earlier, later in pairwise(offsets))
    assert jumps <= incoming.statistics().media.restarts
    out.hangup(house.network.now)
    assert there.wait(CallEnded).cause == 16
    for phone in house.phones:
        assert phone.network.run(60, lambda phone=phone: phone.endpoint.statistics().calls == 0)
    house.network.run(40)
    assert house.exchange.statistics(house.network.now).endpoint.calls == 0


def test_the_exchanges_own_impairments_are_those_asked_for() -> None:
    network = Network()
    exchange = Exchange(
        [Account("101", "secret101")],
        random.Random(1),
        impairments=Impairments(loss=0.05, duplicate=0.02, reorder=0.02, jitter_ms=10, seed=3),
    )
    network.add(SERVER, exchange)
    phone = Phone(network, ("192.0.2.2", 4570), Endpoint(random.Random(2)))
    config = PeerConfig(SERVER, "101", "secret101")
    phone.endpoint.register(config, network.now)
    phone.wait(Registered)
    call = phone.endpoint.call(config, "echo", network.now)
    phone.wait(CallAnswered)
    lost = []

    def tick() -> None:
        call.send_audio(block(len(lost)), network.now)
        lost.append(call.receive_audio()[1])

    network.ticks.append(tick)
    network.run(60)
    assert 0.03 < lost.count(True) / len(lost) < 0.075
    statistics = exchange.statistics(network.now)
    assert statistics.datagrams_lost > 100
    assert statistics.datagrams_duplicated > 30
    assert statistics.datagrams_reordered > 30
    assert call.statistics().media.frames_duplicate > 30
    assert call.statistics().media.frames_reordered > 20


@pytest.mark.parametrize("bad", [{"loss": 1.5}, {"duplicate": -0.1}, {"reorder": 2}, {"jitter_ms": -1}])
def test_impossible_impairments_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad)).removesuffix("_ms")):
        Impairments(**bad)


def test_a_call_of_an_hour_across_all_wraps() -> None:
    """More than 256 full frames each way, and 54 wraps of the 16-bit time stamp."""
    house = House()
    house.network.record = False
    house.register()
    here, there = house.phones
    out = house.call("102")
    incoming = there.wait(IncomingCall).call
    incoming.answer(house.network.now)
    here.wait(CallAnswered)
    state = {"sent": 0, "good": 0, "lost": 0}

    def tick() -> None:
        out.send_audio(block(state["sent"]), house.network.now)
        state["sent"] += 1
        payload, lost = incoming.receive_audio()
        state["lost"] += lost
        state["good"] += 0 < state["sent"] - int.from_bytes(payload[:4], "big") <= 6

    house.network.ticks.append(tick)
    house.network.run(3600)
    assert out.state.value == incoming.state.value == "up"
    assert state["lost"] == 0
    assert state["good"] >= state["sent"] - 6
    media = incoming.statistics().media
    assert (media.restarts, media.frames_late, media.samples_dropped) == (0, 0, 0)


@pytest.mark.parametrize("lost_frame", range(30))
def test_the_loss_of_any_single_full_frame_is_survived(lost_frame: int) -> None:
    """Register and make a call; the nth full frame of all that travel is lost."""
    house = House()
    seen = 0

    def drop(packet: Packet) -> bool:
        nonlocal seen
        if packet.datagram[0] & 0x80:
            seen += 1
            return seen - 1 == lost_frame
        return False

    house.network.drop = drop
    house.register()
    here, there = house.phones
    house.call("102")
    incoming = there.wait(IncomingCall).call
    incoming.ringing(house.network.now)
    here.wait(CallRinging)
    incoming.answer(house.network.now)
    here.wait(CallAnswered)
    incoming.hangup(house.network.now)
    assert here.wait(CallEnded).cause == 16
    assert here.endpoint.statistics().calls == there.endpoint.statistics().calls == 0
    assert seen > lost_frame


@pytest.mark.parametrize("seed", range(20))
def test_spoiled_datagrams_raise_nothing_and_leave_nothing(seed: int) -> None:
    """A fifth of all datagrams of whole calls has wrong, missing or additional octets."""
    rng = random.Random(seed)
    house = House(seed)
    house.network.record = False
    house.register()
    house.network.spoil = lambda packet: (
        spoil(rng, packet.datagram) if rng.random() < 0.2 else packet.datagram
    )
    calls: list[Call] = []

    def tick() -> None:
        for phone in house.phones:
            for event in phone.endpoint.events():
                if isinstance(event, IncomingCall):
                    event.call.answer(house.network.now)
                    calls.append(event.call)
        for call in calls:
            call.send_audio(block(7), house.network.now)
            assert len(call.receive_audio()[0]) == 160 * call.format.sample_bytes

    house.network.ticks.append(tick)
    for number in ("102", "echo", "milliwatt", "busy", "nowhere", "delay5"):
        calls.append(house.call(number, calling_name="Ž" * 60))
        house.network.run(3)
    for call in calls:
        call.hangup(house.network.now)
    house.network.spoil = None
    house.network.run(100)
    for statistics in (
        *(phone.endpoint.statistics() for phone in house.phones),
        house.exchange.statistics(house.network.now).endpoint,
    ):
        assert statistics.calls == 0
        assert statistics.dialogues <= 2  # registrations


def test_names_in_any_script_fit_or_are_cut_whole() -> None:
    house = House()
    house.register()
    for name, heard in (("Ž" * 60, "Ž" * 39), ("\U0001f4e0" * 30, "\U0001f4e0" * 19), ("a\r\nb", "ab")):
        out = house.call("102", calling_name=name)
        seen = len([event for event in house.phones[1].collect() if isinstance(event, IncomingCall)])
        incoming = house.phones[1].wait(IncomingCall, count=seen + 1).call
        assert incoming.calling_name == heard
        out.hangup(house.network.now)
        house.network.run(1)


def test_a_caller_that_ignores_busy_is_hung_up() -> None:
    exchange = Exchange([Account("101", "secret101")], random.Random(1))
    peer = RawPeer(exchange, ("192.0.2.77", 4569))
    new = [
        (Element.VERSION, 2),
        (Element.CALLED_NUMBER, "busy"),
        (Element.USERNAME, "101"),
        (Element.FORMAT, 4),
    ]
    peer.send(Command.NEW, *new, (Element.CALLTOKEN, b""), destination=0)
    (demand,) = peer.got()
    token = elements(demand).raw(Element.CALLTOKEN)
    peer.o_seq = 0
    peer.send(Command.NEW, *new, (Element.CALLTOKEN, token), destination=0)
    (challenge,) = peer.got()
    proof = md5_result(elements(challenge).raw(Element.CHALLENGE), "secret101")
    peer.send(Command.AUTHREP, (Element.MD5_RESULT, proof))
    assert [frame.subclass for frame in peer.got() if not frame.unnumbered] == [Command.ACCEPT, Control.BUSY]
    peer.send(Command.ACK)
    peer.wait(9.9)
    assert (FrameType.IAX, Command.HANGUP) not in peer.commands()
    peer.send(Command.ACK)
    peer.wait(0.2)
    assert (FrameType.IAX, Command.HANGUP) in peer.commands()


def test_accounts_must_not_collide() -> None:
    for accounts in (
        [Account("a", "x", "1"), Account("b", "x", "1")],
        [Account("a", "x"), Account("b", "x", "a")],
        [Account("echo", "x")],
        [Account("a", "x", "busy")],
    ):
        with pytest.raises(ValueError, match="already taken"):
            Exchange(accounts, random.Random(1))


@pytest.mark.parametrize("text", ["", "a", "a:", ":x", "a:x:1:2"])
def test_accounts_are_written_name_secret_number(text: str) -> None:
    with pytest.raises(ValueError, match="NAME:SECRET"):
        Account.parse(text)


def test_account_syntax() -> None:
    assert Account.parse("a:x") == Account("a", "x")
    assert Account.parse("a:x:123") == Account("a", "x", "123")
    assert "x" not in repr(Account("a", "x")).replace("Account", "")
