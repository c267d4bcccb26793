"""AES-128 frames: coding, keys, key rotation, and what is done with frames that no key fits."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iax import (
    Account,
    Call,
    CallAnswered,
    CallEnded,
    Encryption,
    Endpoint,
    IncomingCall,
    PeerConfig,
    Registered,
)
from iax.auth import md5_key
from iax.elements import Element
from iax.encryption import FrameCipher, Secrecy, UnreadableFrame
from iax.exchange import Exchange
from iax.frames import Command, FrameType, FullFrame, encode_mini
from iax.impairment import Impairments
from tests.iax.network import Network, Packet, Phone
from tests.iax.rawpeer import SERVER, RawPeer

ALLOWED, REQUIRED, OFF = Encryption.ALLOWED, Encryption.REQUIRED, Encryption.OFF
KEY = bytes(range(16))


def test_a_frame_as_chan_iax2_reads_it() -> None:
    """Zero vector, 16 to 31 octets in front, octet 15's low nibble counts those beyond 16."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    for n in range(1, 40):
        datagram = FullFrame(5, 7, 1234, 1, 2, FrameType.TEXT, 0, bytes(n)).encode()
        secret = FrameCipher(KEY, random.Random(n)).encrypt(datagram)
        assert secret[:4] == datagram[:4]
        assert (len(secret) - 4) % 16 == 0
        decryptor = Cipher(algorithms.AES(KEY), modes.CBC(bytes(16))).decryptor()
        plain = decryptor.update(secret[4:]) + decryptor.finalize()
        assert plain[16 + (plain[15] & 15) :] == datagram[4:]


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=0, max_size=400), st.booleans(), st.integers(0, 2**32))
def test_what_is_encrypted_comes_back(payload: bytes, full: bool, seed: int) -> None:
    cipher = FrameCipher(KEY, random.Random(seed))
    datagram = (
        FullFrame(5, 7, 1234, 1, 2, FrameType.VOICE, 4, payload).encode()
        if full
        else encode_mini(5, 99, payload)
    )
    assert cipher.decrypt_untrusted(cipher.encrypt(datagram)) == datagram


@settings(max_examples=500, deadline=None)
@given(st.binary(min_size=12, max_size=100))
def test_noise_is_unreadable_or_something(datagram: bytes) -> None:
    secrecy = Secrecy(KEY, random.Random(1), rotates=False)
    for reveal in (secrecy.reveal_full_untrusted, secrecy.reveal_mini_untrusted):
        first = datagram[0] | 0x80 if reveal == secrecy.reveal_full_untrusted else datagram[0] & 0x7F
        with suppress(UnreadableFrame):
            assert len(reveal(bytes([first]) + datagram[1:], 0.0)) >= 4


class World:
    """Two phones and an exchange that encrypts."""

    def __init__(
        self, ours: Encryption, theirs: Encryption, *, impairments: Impairments | None = None, **options: bool
    ) -> None:
        self.network = Network(impairments or Impairments())
        accounts = [
            Account("a", "sa", "100", encryption=theirs, **options),
            Account("b", "sb", "200", encryption=theirs, **options),
        ]
        self.network.add(SERVER, Exchange(accounts, random.Random(1)))
        self.a = Phone(self.network, ("192.0.2.2", 4570), Endpoint(random.Random(2)))
        self.b = Phone(self.network, ("192.0.2.3", 4570), Endpoint(random.Random(3)))
        self.peer_a = PeerConfig(SERVER, "a", "sa", encryption=ours)
        self.peer_b = PeerConfig(SERVER, "b", "sb", encryption=ours)
        self.b.endpoint.register(self.peer_b, self.network.now)
        self.b.wait(Registered)

    def call(self) -> tuple[Call, Call]:
        out = self.a.endpoint.call(self.peer_a, "200", self.network.now)
        incoming = self.b.wait(IncomingCall)
        assert isinstance(incoming, IncomingCall)
        incoming.call.answer(self.network.now)
        self.a.wait(CallAnswered)
        return out, incoming.call


def test_a_call_encrypted_on_both_legs_whose_keys_change() -> None:
    world = World(REQUIRED, ALLOWED)
    network = world.network
    out, into = world.call()
    assert out.encrypted
    assert into.encrypted
    heard: list[tuple[bytes, bool]] = []
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        out.send_audio(bytes([0x80 | count % 100]) * 160, network.now)
        into.send_audio(b"\x55" * 160, network.now)
        heard.append(into.receive_audio())
        out.receive_audio()

    network.ticks.append(tick)
    network.run(1000)  # at least three keys of each sender
    assert not any(lost for _, lost in heard[10:])
    first = next(n for n, (block, _) in enumerate(heard) if block[0] == 0x81)
    assert [block[0] for block, _ in heard[first:]] == [
        0x80 | n % 100 for n in range(1, len(heard) - first + 1)
    ]
    for phone in (world.a, world.b):
        assert phone.endpoint.statistics().dropped == {}
    sounds = [packet for packet in network.sent if b"\x55" * 16 in packet.datagram]
    assert sounds == []
    rotations = sum(
        packet.datagram[0] & 0x80 and packet.datagram[10:12] == bytes((FrameType.IAX, Command.RTKEY))
        for packet in network.sent  # full frames: enciphered audio has any two octets
    )
    assert rotations == 0, "a key in clear"


def test_keys_change_over_a_bad_network_and_nothing_is_altered() -> None:
    world = World(REQUIRED, ALLOWED, impairments=Impairments(0.05, 0.05, 0.05, 30, seed=4))
    network = world.network
    out, into = world.call()
    sent: set[bytes] = {b"\xff" * 160}
    wrong: list[bytes] = []
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        frame = count.to_bytes(4, "big") * 40
        sent.add(frame)
        out.send_audio(frame, network.now)
        if count % 100 == 0:
            out.change_key(network.now)
        block, lost = into.receive_audio()
        if not lost and block not in sent:
            wrong.append(block)

    network.ticks.append(tick)
    network.run(200)
    assert count > 9000
    assert out.state is into.state
    assert into.state.value == "up"
    # with the wrong key a mini frame passes for one of ours 1 time in 1000; 100 changes of key, 5 % reordered
    assert len(wrong) <= 5
    assert into.statistics().media.samples_lost < 0.15 * 160 * count


@pytest.mark.parametrize(("ours", "theirs", "encrypted"), [(OFF, ALLOWED, False), (ALLOWED, OFF, False)])
def test_one_side_without_encryption(ours: Encryption, theirs: Encryption, encrypted: bool) -> None:
    out, into = World(ours, theirs).call()
    assert out.encrypted is into.encrypted is encrypted


@pytest.mark.parametrize(("ours", "theirs"), [(REQUIRED, OFF), (OFF, REQUIRED)])
def test_required_means_required(ours: Encryption, theirs: Encryption) -> None:
    world = World(ours, theirs)
    world.a.endpoint.call(world.peer_a, "200", world.network.now)
    ended = world.a.wait(CallEnded)
    assert isinstance(ended, CallEnded)
    assert ended.cause == 50
    assert "ncrypt" in ended.text


def test_a_wrong_secret_is_refused_at_once() -> None:
    world = World(REQUIRED, REQUIRED)
    began = world.network.now
    world.a.endpoint.call(PeerConfig(SERVER, "a", "wrong", encryption=REQUIRED), "200", began)
    ended = world.a.wait(CallEnded)
    assert isinstance(ended, CallEnded)
    assert (ended.cause, ended.text) == (50, "No authority found")
    assert world.network.now - began < 1


def test_the_challenge_repeated_in_clear_is_a_duplicate() -> None:
    peer = RawPeer()
    config = PeerConfig(SERVER, "101", "secret101", encryption=REQUIRED)
    call = peer.endpoint.call(config, "9000", peer.now)
    peer.got()
    pairs = ((Element.AUTHMETHODS, 2), (Element.CHALLENGE, b"77"), (Element.ENCRYPTION, 0x8001))
    peer.send(Command.AUTHREQ, *pairs)
    (authrep, _) = peer.endpoint.datagrams_to_send()[0]
    cipher = FrameCipher(md5_key(b"77", "secret101"), random.Random(3))
    assert cipher.decrypt_untrusted(authrep)[10:12] == bytes((FrameType.IAX, Command.AUTHREP))
    peer.send(Command.AUTHREQ, *pairs, o_seq=0, retransmitted=True)
    ((answer, _),) = peer.endpoint.datagrams_to_send()
    assert cipher.decrypt_untrusted(answer)[10:12] == bytes((FrameType.IAX, Command.ACK))
    assert call.encrypted
    # neither a plain ACCEPT nor noise moves the call
    peer.send(Command.ACCEPT, (Element.FORMAT, 4), i_seq=2)
    assert call.state.value == "calling"
    assert sum(peer.dropped().values()) == 1
    accept = FullFrame(
        peer.number, call.link.local, 50, 1, 2, FrameType.IAX, Command.ACCEPT, bytes((9, 4, 0, 0, 0, 4))
    )
    peer.endpoint.receive(cipher.encrypt(accept.encode()), SERVER, peer.now)
    assert call.state.value == "accepted"
    # once the peer has shown the key, not even a refusal counts in clear
    peer.send(Command.HANGUP, (Element.CAUSECODE, 16), o_seq=2)
    assert call.state.value == "accepted"


def test_frames_sent_before_the_key_are_repeated_in_clear_and_old_ones_under_their_key() -> None:
    network = Network()
    exchange = Exchange([Account("a", "sa", encryption=REQUIRED)], random.Random(1))
    network.add(SERVER, exchange)
    phone = Phone(network, ("192.0.2.2", 4570), Endpoint(random.Random(2)))
    rng = random.Random(7)

    def drop(packet: Packet) -> bool:
        return packet.destination == SERVER and rng.random() < 0.4

    network.drop = drop
    call = phone.endpoint.call(PeerConfig(SERVER, "a", "sa", encryption=REQUIRED), "echo", network.now)
    phone.wait(CallAnswered, timeout_s=60)
    for digit in "1234":
        call.send_dtmf(digit, network.now)
        call.change_key(network.now)
    network.run(30)
    assert call.state.value == "up"
    assert call.link.all_acknowledged
    assert call.link.frames_resent > 3
