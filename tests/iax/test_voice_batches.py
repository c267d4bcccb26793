"""Batches and single datagrams: two endpoints that get the same, one in each way, do the same."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
import trio

from iax import (
    ALL_FORMATS,
    Account,
    Call,
    CallEnded,
    CallState,
    Encryption,
    Endpoint,
    Event,
    FormatChanged,
    IncomingCall,
    JitterBuffer,
    PeerConfig,
)
from iax.datagram_batch import Received, available
from iax.frames import Address, TrunkFrame, decode_untrusted
from iax.impairment import Impairer, Impairments
from iax.media_table import MediaTable
from iax.socket import Socket
from iax.trunk import MAX_TRUNK_OCTETS, TrunkSender
from iax.voice_batches import HELD
from tests.iax.spoil import spoil

SERVER: Address = ("192.0.2.1", 4569)
CLIENT: Address = ("2001:db8::9", 4570)
TABLE_SEATS = 8
"""Fewer than there are calls, so that some go without."""


def told(event: Event) -> tuple[object, ...]:
    """What an event says, its call by number."""
    values = [getattr(event, field.name) for field in fields(event)]
    return (
        type(event).__name__,
        *(v.link.local if isinstance(v, Call) else v for v in values if not hasattr(v, "release")),
    )


def content(datagrams: list[tuple[bytes, Address]]) -> Counter[tuple[object, ...]]:
    """What goes out, whichever calls share a trunk frame."""
    found: Counter[tuple[object, ...]] = Counter()
    for datagram, address in datagrams:
        if datagram[:3] != b"\0\0\1":
            found[datagram, address] += 1
            continue
        assert len(datagram) <= MAX_TRUNK_OCTETS
        frame = decode_untrusted(datagram)
        assert isinstance(frame, TrunkFrame)
        found.update((address, frame.timestamp, entry) for entry in frame.entries)
    return found


class Twins:
    """A client with single datagrams and one with batches, and a server that hears the first."""

    def __init__(self, seed: int, impairments: Impairments, encryption: Encryption, *, trunk: bool) -> None:
        self.rng = random.Random(seed)
        self.now = 1000.0
        names = [f"u{n}" for n in range(12)]
        accounts = {
            name: Account(
                name, "s" + name, encryption=encryption if n % 3 == 0 else Encryption.OFF, trunk=trunk
            )
            for n, name in enumerate(names)
        }
        self.server = Endpoint(random.Random(seed + 1), accept_from_anyone=True, accounts=accounts)
        self.single = Endpoint(random.Random(seed + 2), accept_from=[SERVER])
        self.batched = Endpoint(random.Random(seed + 2), accept_from=[SERVER], media=MediaTable(TABLE_SEATS))
        self.peers = [
            PeerConfig(SERVER, name, "s" + name, encryption=accounts[name].encryption, trunk=trunk)
            for name in names
        ]
        self.calls: list[tuple[Call, Call]] = []
        self.theirs: list[Call] = []
        self.to_client = Impairer(impairments)
        self.to_server = Impairer(impairments)
        self.spoilt = 0.002
        """The share of datagrams that come damaged."""
        self.n_compared = self.n_seated = self.n_held = 0

    def both(self) -> tuple[Endpoint, Endpoint]:
        return self.single, self.batched

    def act(self) -> None:
        """Something that a user, or the far end's, does now and then."""
        rng, now = self.rng, self.now
        what = rng.random()
        up = [pair for pair in self.calls if pair[0].state is not CallState.ENDED]
        if what < 0.03 and len(up) < 12:
            peer = rng.choice(self.peers)
            formats = rng.sample(ALL_FORMATS, 3)
            one, other = (end.call(peer, "1", now, formats=formats) for end in self.both())
            self.calls.append((one, other))
        elif what < 0.035 and len(up) < 12 and self.theirs:
            peer = PeerConfig(CLIENT, "u1", trunk=rng.random() < 0.5)
            self.theirs.append(self.server.call(peer, "2", now, formats=rng.sample(ALL_FORMATS, 2)))
        elif up and what < 0.05:
            pair = rng.choice(up)
            habit = rng.randrange(7)
            for call in pair:
                if habit == 0:
                    call.send_dtmf("5", now)
                elif habit == 1:
                    call.send_text("hello", now)
                elif habit == 2:
                    call.skip_audio(7)
                elif habit == 3:
                    call.reliable_voice = not call.reliable_voice
                elif habit == 4:
                    call.relay = not call.relay
                elif habit == 5:
                    call.jitter = JitterBuffer(20)
                    call.jitter.format = call.format
                else:
                    call.hangup(now)
        elif what < 0.06 and self.theirs:
            rng.choice(self.theirs).hangup(now)

    def serve(self) -> None:
        rng, now = self.rng, self.now
        self.server.handle_timer(now)
        for event in self.server.events():
            if isinstance(event, IncomingCall):
                event.call.answer(now)
                self.theirs.append(event.call)
            elif isinstance(event, CallEnded | FormatChanged) and event.call not in self.theirs:
                self.theirs.append(event.call)
        for call in self.theirs:
            if rng.random() < 0.98:
                quiet = rng.random() < 0.3
                n = 160 * call.format.sample_bytes
                call.send_audio(call.format.silence(160) if quiet else rng.randbytes(n), now)
        for datagram, _ in self.server.datagrams_to_send():
            sent = spoil(rng, datagram) if rng.random() < self.spoilt else datagram
            self.to_client.put(sent, CLIENT, now)

    def tick(self) -> None:
        rng = self.rng
        self.now += 0.02 if rng.random() < 0.995 else 0.3
        now = self.now
        self.act()
        for datagram, _ in self.to_server.due(now):
            self.server.receive(datagram, CLIENT, now)
        self.serve()
        arrived = [(datagram, SERVER) for datagram, _ in self.to_client.due(now)]
        arrived += [(datagram, ("192.0.2.66", 4569)) for datagram, _ in arrived[:1] if rng.random() < 0.05]
        for datagram, address in arrived:
            self.single.receive(datagram, address, now)
        self.batched.receive_batch(Received.of(arrived), len(arrived), now)
        seen: list[list[tuple[object, ...]]] = []
        offered: list[list[Call]] = []
        for endpoint in self.both():
            endpoint.handle_timer(now)
            events = endpoint.events()
            seen.append([told(event) for event in events])
            offered.append([event.call for event in events if isinstance(event, IncomingCall)])
        assert seen[0] == seen[1]
        for one, other in zip(*offered, strict=True):
            self.calls.append((one, other))
            for call in (one, other):
                call.answer(now)
        live = [pair for pair in self.calls if pair[0].state is not CallState.ENDED]
        ones, others = [one for one, _ in live], [other for _, other in live]
        self.n_seated += sum(call.seat is not None for call in others)
        rows_of_ones, fates_of_ones = self.single.receive_voice(ones)
        rows_of_others, fates_of_others = self.batched.receive_voice(others)
        assert fates_of_ones.tolist() == fates_of_others.tolist()
        assert rows_of_ones.tobytes() == rows_of_others.tobytes()
        self.n_held += int((fates_of_ones == HELD).sum())
        voice = np.frombuffer(rng.randbytes(320 * max(1, len(live))), np.uint8).reshape(-1, 320)
        self.single.send_voice(ones, voice, now)
        self.batched.send_voice(others, voice, now)
        out = self.single.datagrams_to_send()
        assert content(out) == content(self.batched.datagrams_to_send())
        for datagram, _ in out:
            self.to_server.put(datagram, SERVER, now)
        self.n_compared += len(out) + len(arrived)
        if rng.random() < 0.05:
            self.compare()

    def compare(self) -> None:
        one, other = (replace(end.statistics(), datagrams_sent=0) for end in self.both())
        assert one == other
        for call, twin in self.calls[-20:]:
            assert call.state is twin.state
            assert asdict(call.statistics()) == asdict(twin.statistics())
            assert call.link.stamps.last == twin.link.stamps.last


BAD = Impairments(loss=0.02, duplicate=0.02, reorder=0.05, jitter_ms=30, seed=5)


@pytest.mark.parametrize("trunk", [False, True])
@pytest.mark.parametrize("impairments", [Impairments(), BAD])
@pytest.mark.parametrize("seed", range(2))
def test_both_ways_do_the_same(seed: int, impairments: Impairments, trunk: bool) -> None:
    twins = Twins(seed, impairments, Encryption.ALLOWED, trunk=trunk)
    for _ in range(1200):
        twins.tick()
    twins.compare()
    assert twins.n_compared > 3_000
    assert twins.n_seated > 1_500


@pytest.mark.parametrize("trunk", [False, True])
def test_both_ways_do_the_same_with_damaged_datagrams(trunk: bool) -> None:
    twins = Twins(7, BAD, Encryption.ALLOWED, trunk=trunk)
    twins.spoilt = 0.3
    for _ in range(800):
        twins.tick()
    twins.compare()
    assert sum(twins.batched.statistics().dropped.values()) > 100


def test_seats_come_back_when_calls_are_gone() -> None:
    twins = Twins(9, BAD, Encryption.OFF, trunk=False)
    for _ in range(500):
        twins.tick()
    for pair in twins.calls:
        for call in pair:
            call.hangup(twins.now)
    twins.act = lambda: None  # type: ignore[method-assign]
    for call in twins.theirs:
        call.hangup(twins.now)
    for _ in range(1600):
        twins.tick()
    assert twins.batched.statistics().dialogues == 0
    assert twins.batched._media is not None
    assert twins.batched._media.n_free == TABLE_SEATS


@pytest.mark.parametrize("n_calls", [1, 7, 40])
def test_trunk_frames_are_packed_alike(n_calls: int) -> None:
    rng = random.Random(n_calls)
    singly, batched = TrunkSender(1.0), TrunkSender(1.0)
    for tick in range(50):
        now = 1.0 + tick * 0.02
        octets = np.array([rng.choice([164, 324]) for _ in range(n_calls)], np.int64)
        minis = np.frombuffer(rng.randbytes(324 * n_calls), np.uint8).reshape(n_calls, 324)
        if tick % 3 == 0:  # one that has no seat
            for sender in (singly, batched):
                sender.add(99, tick, bytes(160), now)
        for mini, length in zip(minis, octets, strict=True):
            source, stamp = mini[:2].tobytes(), mini[2:4].tobytes()
            singly.add(
                int.from_bytes(source, "big"), int.from_bytes(stamp, "big"), mini[4:length].tobytes(), now
            )
        batched.add_batch(minis, octets, now)
        assert batched.take() == singly.take()


@pytest.mark.skipif(not available(), reason="no recvmmsg here")
@pytest.mark.parametrize("host", ["127.0.0.1", ""])
async def test_calls_over_real_sockets_in_batches(host: str) -> None:
    """A hundred calls between two endpoints with tables: every frame arrives once, and in order."""
    with await Socket.open("127.0.0.1") as here, await Socket.open(host) as there:
        assert here.use_batches()
        assert there.use_batches()
        port = there.address[1]
        server = Endpoint(random.Random(1), accept_from_anyone=True, max_incoming=200, media=MediaTable(128))
        client = Endpoint(random.Random(2), media=MediaTable(128))
        now = 1000.0
        mine = [client.call(PeerConfig(("127.0.0.1", port)), "1", now) for _ in range(100)]
        theirs: dict[int, Call] = {}
        heard: dict[int, list[int]] = {call.link.local: [] for call in mine}
        sent = 0
        with trio.fail_after(60):
            for tick in range(250):
                now += 0.02
                for socket, endpoint in ((here, client), (there, server)):
                    socket.drain(endpoint, now)
                    endpoint.handle_timer(now)
                    for event in endpoint.events():
                        if isinstance(event, IncomingCall):
                            event.call.answer(now)
                            theirs[event.call.link.remote] = event.call
                if tick > 20:
                    assert all(call.state is CallState.UP for call in mine)
                    sent += 1
                    rows = np.full((100, 320), 1 + sent % 200, np.uint8)
                    client.send_voice(mine, rows, now)
                    calls = [theirs[call.link.local] for call in mine]
                    got, _ = server.receive_voice(calls)
                    for call, row in zip(mine, got[:, :160], strict=True):
                        assert len(set(row.tolist())) == 1
                        heard[call.link.local].append(int(row[0]))
                for socket, endpoint in ((here, client), (there, server)):
                    socket.flush(endpoint)
                await trio.lowlevel.checkpoint()
        assert here.send_errors == there.send_errors == 0
        wanted = [1 + n % 200 for n in range(1, sent + 1)]
        for numbers in heard.values():
            voice = [number for number in numbers if number != 0xFF]
            assert voice == wanted[: len(voice)]
            assert len(voice) > sent - 10


def test_a_table_may_come_later() -> None:
    """Calls that are up go on as they are; new ones take seats."""
    twins = Twins(3, BAD, Encryption.OFF, trunk=False)
    twins.batched = Endpoint(random.Random(3 + 2), accept_from=[SERVER])
    for _ in range(400):
        twins.tick()
    assert twins.n_seated == 0
    twins.batched.use_table(MediaTable(TABLE_SEATS))
    for _ in range(800):
        twins.tick()
    twins.compare()
    assert twins.n_seated > 1_000
