"""Admission, matching, bounds and fuzz: what a stranger, a forger or a broken program can do."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iax import Account, CallEnded, CallState, Endpoint, IncomingCall, PeerConfig
from iax.admission import MAX_ANSWER_RATIO, STATELESS_REPLIES_PER_S, Drop
from iax.auth import CALL_TOKEN_LIFE_S, CallTokens
from iax.call_numbers import QUARANTINE_S
from iax.elements import Element, encode
from iax.frames import (
    MAX_CALL_NUMBER,
    STATELESS_CALL_NUMBER,
    Command,
    FrameType,
    FullFrame,
    MiniFrame,
    decode_untrusted,
)
from iax.registrar import Registrar
from tests.iax.rawpeer import ACK, SERVER, RawPeer, elements
from tests.iax.spoil import spoil

STRANGER = ("203.0.113.66", 4569)
NEW = ((Element.VERSION, 2), (Element.CALLED_NUMBER, "101"), (Element.FORMAT, 4), (Element.CAPABILITY, 4))


def accepting(**options: object) -> RawPeer:
    return RawPeer(Endpoint(random.Random(1), accept_from=[SERVER[0]], **options))  # type: ignore[arg-type]


def server() -> Endpoint:
    """Anyone may call it or register, who returns a call token."""
    registrar = Registrar({"a": Account("a", "sa")})
    return Endpoint(random.Random(1), accept_from_anyone=True, demand_call_token=True, registrar=registrar)


class TestAdmission:
    def test_calls_come_from_allowed_addresses_only(self) -> None:
        peer = accepting()
        peer.send(Command.NEW, *NEW, destination=0)
        (event,) = peer.events()
        assert isinstance(event, IncomingCall)
        stranger = RawPeer(peer.endpoint, STRANGER)
        stranger.send(Command.NEW, *NEW, destination=0)
        assert (
            stranger.endpoint.datagrams_to_send()[1:] == []
        )  # only the ACK to the first: no answer for strangers
        assert stranger.events() == []
        assert peer.dropped() == {Drop.ADDRESS_NOT_ALLOWED.value: 1}

    def test_an_address_may_be_tied_to_its_port(self) -> None:
        peer = RawPeer(Endpoint(random.Random(1), accept_from=[SERVER]), (SERVER[0], 9999))
        peer.send(Command.NEW, *NEW, destination=0)
        assert peer.events() == []
        assert peer.dropped() == {Drop.ADDRESS_NOT_ALLOWED.value: 1}

    def test_registering_allows_the_server_to_call(self) -> None:
        peer = RawPeer(Endpoint(random.Random(1)))
        peer.send(Command.NEW, *NEW, destination=0)
        assert peer.events() == []
        peer.endpoint.register(peer.config, peer.now)
        peer.endpoint.datagrams_to_send()
        peer.send(Command.NEW, *NEW, destination=0, source=77, o_seq=0)
        assert len(peer.events()) == 1

    def test_beyond_the_limit_calls_are_refused_without_state(self) -> None:
        peer = accepting(max_incoming=2)
        for n in range(5):
            peer.send(Command.NEW, *NEW, destination=0, source=100 + n, o_seq=0)
        rejects = [frame for frame in peer.got() if frame.is_command(Command.REJECT)]
        assert [frame.source for frame in rejects] == [STATELESS_CALL_NUMBER] * 3
        assert [frame.destination for frame in rejects] == [102, 103, 104]
        assert elements(rejects[0]).number(Element.CAUSECODE) == 42
        assert len(peer.events()) == 2
        assert peer.endpoint.statistics().dialogues == 2

    def test_registrations_are_for_servers(self) -> None:
        peer = accepting()
        peer.send(Command.REGREQ, (Element.USERNAME, "101"), destination=0)
        assert peer.got() == []
        assert peer.dropped() == {Drop.NO_REGISTRAR.value: 1}

    def test_poke_is_answered_without_state_to_anyone(self) -> None:
        peer = RawPeer(Endpoint(random.Random(1)), STRANGER)
        peer.send(Command.POKE, destination=0, timestamp=77, payload=bytes.fromhex("360a") + b"0123456789")
        (pong,) = peer.got()
        assert pong.is_command(Command.PONG)
        assert (pong.destination, pong.timestamp, pong.payload) == (peer.number, 77, b"")
        assert peer.endpoint.statistics().dialogues == 0

    def test_answers_to_strangers_are_limited(self) -> None:
        peer = RawPeer(Endpoint(random.Random(1)), STRANGER)
        for _ in range(5 * STATELESS_REPLIES_PER_S):
            peer.send(Command.POKE, destination=0)
        assert len(peer.got()) == STATELESS_REPLIES_PER_S
        assert peer.dropped() == {Drop.REPLY_LIMIT.value: 4 * STATELESS_REPLIES_PER_S}
        peer.now += 1
        peer.send(Command.POKE, destination=0)
        assert len(peer.got()) == 1

    def test_strangers_do_not_silence_us_towards_our_server(self) -> None:
        """Without an answer to `qualify` Asterisk takes us for unreachable."""
        endpoint = Endpoint(random.Random(1))
        stranger, ours = RawPeer(endpoint, STRANGER), RawPeer(endpoint)
        endpoint.register(ours.config, ours.now)
        ours.got()
        for _ in range(300):
            stranger.send(Command.POKE, destination=0)
        assert len(stranger.got()) == STATELESS_REPLIES_PER_S
        ours.send(Command.POKE, destination=0)
        assert ours.commands() == [(FrameType.IAX, Command.PONG)]

    def test_pokes_of_strangers_do_not_keep_call_tokens_from_others(self) -> None:
        registrar = Registrar({"a": Account("a", "sa")})
        endpoint = Endpoint(
            random.Random(1), accept_from_anyone=True, demand_call_token=True, registrar=registrar
        )
        stranger, client, registered = (
            RawPeer(endpoint, address) for address in (STRANGER, ("192.0.2.8", 4570), ("192.0.2.9", 4570))
        )
        registrar.remember("a", registered.address, registered.now + 60)
        for _ in range(300):
            stranger.send(Command.POKE, destination=0)
        stranger.got()
        request = [(Element.USERNAME, "b"), (Element.CALLTOKEN, b"")]
        client.send(Command.REGREQ, *request, destination=0)
        assert client.commands() == [(FrameType.IAX, Command.CALLTOKEN)]
        registered.send(Command.POKE, destination=0)  # it keeps a NAT's door open so
        assert registered.commands() == [(FrameType.IAX, Command.PONG)]
        for _ in range(300):
            stranger.send(Command.REGREQ, *request, destination=0)
        assert len(stranger.got()) == STATELESS_REPLIES_PER_S - 1
        registered.send(Command.REGREQ, *request, destination=0)
        assert registered.commands() == [(FrameType.IAX, Command.CALLTOKEN)]

    @pytest.mark.parametrize(
        "command", [Command.ACK, Command.INVAL, Command.VNAK, Command.HANGUP, Command.ACCEPT]
    )
    def test_nothing_else_opens_a_dialogue(self, command: Command) -> None:
        peer = accepting()
        peer.send(command, destination=0)
        assert peer.got() == []
        assert peer.dropped() == {Drop.NOT_AN_OPENING.value: 1}


class TestCallTokens:
    def test_a_token_is_good_for_its_address_and_time_only(self) -> None:
        tokens = CallTokens(random.Random(1))
        token = tokens.make(SERVER, 1000.0)
        assert tokens.valid_untrusted(token, SERVER, 1000.0)
        assert tokens.valid_untrusted(token, SERVER, 1000.0 + CALL_TOKEN_LIFE_S)
        assert not tokens.valid_untrusted(token, SERVER, 1000.3 + CALL_TOKEN_LIFE_S)
        assert not tokens.valid_untrusted(token, SERVER, 990.0)
        assert not tokens.valid_untrusted(token, SERVER, 1016.0)  # the same letter, of another time
        assert not tokens.valid_untrusted(b"?" + token[1:], SERVER, 1000.0)
        assert not tokens.valid_untrusted(token, STRANGER, 1000.0)
        assert not tokens.valid_untrusted(token, (SERVER[0], 4570), 1000.0)
        assert not CallTokens(random.Random(2)).valid_untrusted(token, SERVER, 1000.0)

    @given(st.binary(max_size=64))
    def test_no_other_token_is_good(self, token: bytes) -> None:
        assert not CallTokens(random.Random(1)).valid_untrusted(token, SERVER, 1000.0)

    def test_state_comes_after_the_token(self) -> None:
        peer = accepting(demand_call_token=True)
        peer.send(Command.NEW, *NEW, (Element.CALLTOKEN, b""), destination=0)
        (demand,) = peer.got()
        assert demand.is_command(Command.CALLTOKEN)
        assert (demand.source, demand.o_seq, demand.i_seq) == (STATELESS_CALL_NUMBER, 0, 1)
        assert peer.endpoint.statistics().dialogues == 0
        token = elements(demand).raw(Element.CALLTOKEN)
        peer.send(Command.NEW, *NEW, (Element.CALLTOKEN, token), destination=0, o_seq=0, i_seq=0)
        assert len(peer.events()) == 1
        # the first NEW, doubled by the network, must not disturb the call
        peer.send(Command.NEW, *NEW, (Element.CALLTOKEN, b""), destination=0, o_seq=0, i_seq=0)
        assert peer.events() == []
        assert peer.endpoint.statistics().calls == 1

    @pytest.mark.parametrize("command", [Command.NEW, Command.REGREQ, Command.REGREL])
    def test_what_cannot_open_anything_gets_no_token(self, command: Command) -> None:
        peer = RawPeer(server())
        other = (Element.USERNAME, "a") if command is Command.NEW else (Element.VERSION, 2)
        for pair in ((Element.CALLTOKEN, b""), other, (Element.USERNAME, "")):
            peer.send(command, pair, (Element.CALLTOKEN, b""), destination=0)
        assert peer.got() == []
        assert peer.dropped() == {Drop.NOT_WORTH_A_TOKEN.value: 3}

    @settings(max_examples=1000, deadline=None)
    @given(
        st.sampled_from([Command.NEW, Command.REGREQ, Command.REGREL, Command.POKE, *Command]),
        st.lists(
            st.one_of(
                st.just((Element.VERSION, b"\0\2")),
                st.just((Element.CALLTOKEN, b"")),
                st.tuples(st.just(Element.USERNAME), st.binary(max_size=3)),
                st.tuples(st.integers(0, 60), st.binary(max_size=4)),
            ),
            max_size=4,
        ),
    )
    def test_nobody_is_sent_much_more_than_came_with_his_address(
        self, command: Command, pairs: list[tuple[int, bytes]]
    ) -> None:
        endpoint = server()
        payload = b"".join(bytes([number, len(data)]) + data for number, data in pairs)
        forged = FullFrame(9, 0, 1, 0, 0, FrameType.IAX, command, payload).encode()
        endpoint.receive(forged, STRANGER, 1000.0)
        sent = sum(len(datagram) for datagram, _ in endpoint.datagrams_to_send())
        assert sent <= MAX_ANSWER_RATIO * len(forged)
        endpoint.handle_timer(1010.0)
        assert endpoint.datagrams_to_send() == []

    def test_the_most_that_is_sent_for_what_came(self) -> None:
        peer = RawPeer(server())
        request = peer.send(
            Command.REGREQ, (Element.USERNAME, "a"), (Element.CALLTOKEN, b""), destination=0
        ).encode()
        ((demand, _),) = peer.endpoint.datagrams_to_send()
        assert len(demand) / len(request) == pytest.approx(MAX_ANSWER_RATIO, abs=0.01)

    def test_of_one_server_calls_must_bring_a_token(self) -> None:
        """Its address in one blind datagram makes nothing ring."""
        wary = RawPeer(Endpoint(random.Random(1)))
        wary.endpoint.add_peer(PeerConfig(SERVER, "101", "s", demand_call_token=True))
        wary.endpoint.add_peer(PeerConfig(("192.0.2.7", 4569), "102", "s"))
        easy = RawPeer(wary.endpoint, ("192.0.2.7", 4569))
        easy.send(Command.NEW, *NEW, (Element.CALLTOKEN, b""), destination=0)
        assert easy.commands() == [ACK]
        assert len(easy.events()) == 1
        for username in ("101", "102", ""):
            pairs = [*NEW, (Element.USERNAME, username), (Element.CALLTOKEN, b"")]
            wary.send(Command.NEW, *pairs, destination=0, o_seq=0)
            (demand,) = wary.got()
            assert demand.is_command(Command.CALLTOKEN)
        assert wary.events() == []
        token = elements(demand).raw(Element.CALLTOKEN)
        wary.send(Command.NEW, *NEW, (Element.CALLTOKEN, token), destination=0, o_seq=0, i_seq=0)
        (incoming,) = wary.events()
        assert isinstance(incoming, IncomingCall)

    def test_a_caller_that_knows_no_tokens_is_refused(self) -> None:
        peer = accepting(demand_call_token=True)
        peer.send(Command.NEW, *NEW, destination=0)
        (reject,) = peer.got()
        assert reject.is_command(Command.REJECT)
        assert peer.endpoint.statistics().dialogues == 0


class TestMatching:
    """A forged frame needs the address, the port and both call numbers."""

    @pytest.mark.parametrize(
        "command", [Command.HANGUP, Command.REJECT, Command.INVAL, Command.VNAK, Command.ACK]
    )
    @pytest.mark.parametrize("wrong", ["host", "port", "source", "destination"])
    def test_forged_full_frames(self, command: Command, wrong: str) -> None:
        peer = RawPeer()
        call = peer.up()
        call.send_dtmf("1", peer.now)
        peer.got()
        forger = RawPeer(peer.endpoint)
        forger.theirs, forger.o_seq, forger.i_seq, forger.now = peer.theirs, peer.o_seq, 200, peer.now
        if wrong == "host":
            forger.address = (STRANGER[0], SERVER[1])
        elif wrong == "port":
            forger.address = (SERVER[0], SERVER[1] + 1)
        elif wrong == "source":
            forger.number += 1
        else:
            forger.theirs = forger.theirs + 1 & MAX_CALL_NUMBER or 2
        forger.send(command)
        assert call.state is CallState.UP
        assert peer.endpoint.datagrams_to_send() == []
        assert peer.events() == []
        reason = {
            "host": Drop.WRONG_ADDRESS,
            "port": Drop.WRONG_ADDRESS,
            "source": Drop.WRONG_CALL_NUMBER,
            "destination": Drop.NO_DIALOGUE,
        }[wrong]
        assert peer.dropped() == {reason.value: 1}

    @pytest.mark.parametrize("state", ["calling", "accepted", "up"])
    def test_a_new_call_with_the_number_of_one_that_we_made_is_asked_about(self, state: str) -> None:
        """Its forger needs the server's address and the server's call number only."""
        peer = RawPeer()
        if state == "up":
            call = peer.up()
        else:
            call, _ = peer.called()
            answer = [(Element.FORMAT, 4)] if state == "accepted" else []
            peer.send(Command.ACCEPT if state == "accepted" else Command.LAGRQ, *answer)
            peer.got()
            peer.events()
        assert call.state.value == state
        peer.now += 0.1
        peer.send(Command.NEW, *NEW, destination=0, o_seq=0, i_seq=0)
        assert peer.commands() == [(FrameType.IAX, Command.PING)]
        assert call.state.value == state
        peer.now += 0.01
        peer.send(Command.PONG)
        peer.wait(3)
        assert call.state.value == state
        assert peer.events() == []

    def test_forged_minis(self) -> None:
        peer = RawPeer()
        call = peer.up()
        peer.send(4, type_=FrameType.VOICE, payload=b"\xff" * 160)
        for address, number in ((STRANGER, peer.number), (SERVER, peer.number + 1)):
            peer.endpoint.receive(MiniFrame(number, 40, b"\x01" * 160).encode(), address, peer.now)
        assert call.statistics().media.frames_received == 1
        assert peer.dropped() == {Drop.NO_DIALOGUE.value: 2}

    def test_nothing_is_answered_with_inval(self) -> None:
        peer = RawPeer()
        for command in Command:
            peer.send(command, destination=1234)
        assert peer.got() == []

    def test_trunk_frames_with_the_calls_own_time_stamps(self) -> None:
        peer = RawPeer()
        call = peer.up()
        peer.send(4, type_=FrameType.VOICE, payload=b"\xff" * 160, timestamp=100)
        for n in range(1, 4):
            head = bytes.fromhex("0000 0101 00000000")
            entry = peer.number.to_bytes(2, "big") + (100 + n * 20).to_bytes(2, "big") + bytes([n]) * 160
            other = bytes.fromhex("0001 0777 0000 01")
            peer.endpoint.receive(head + bytes.fromhex("00a0") + entry + other, SERVER, peer.now)
        heard = [call.receive_audio()[0][0] for _ in range(4)]
        assert heard == [0xFF, 1, 2, 3]
        assert peer.dropped() == {Drop.NO_DIALOGUE.value: 3}

    def test_trunk_frames_with_the_trunks_time_stamp(self) -> None:
        """The trunk's clock has another zero than the call's: chan_iax2 begins at 0 when the trunk does."""
        peer = RawPeer()
        call = peer.up()
        heard = []
        peer.send(4, type_=FrameType.VOICE, payload=bytes([1]) * 160, timestamp=40)
        # the trunk's timer now and then skips a turn, or runs twice; it may not cost audio
        turns = [[n] for n in range(2, 10)] + [[], [10, 11]] + [[12, 13], []] + [[n] for n in range(14, 200)]
        for turn, numbers in enumerate(turns):
            peer.now += 0.02
            clock = turn if turn < 150 else turn - 140  # the trunk begins anew, as it does with its peer
            head = bytes.fromhex("0000 0100") + (clock * 20).to_bytes(4, "big")
            prefix = peer.number.to_bytes(2, "big") + bytes.fromhex("00a0")
            datagram = head + b"".join(prefix + bytes([n]) * 160 for n in numbers)
            peer.endpoint.receive(datagram, SERVER, peer.now)
            peer.endpoint.receive(datagram, SERVER, peer.now)  # doubled by the network
            heard.append(call.receive_audio())
        octets = [payload[0] for payload, _ in heard]
        assert octets[octets.index(1) :] == list(range(1, 1 + len(octets) - octets.index(1)))
        assert len(octets) - octets.index(1) > 190
        assert not any(lost for _, lost in heard)


class TestCallNumbers:
    def test_are_random_distinct_and_not_small(self) -> None:
        endpoint = Endpoint(random.Random(4))
        peer = PeerConfig(SERVER, "101", "x")
        numbers = [endpoint.call(peer, "1", 0.0).link.local for _ in range(500)]
        assert len(set(numbers)) == 500
        assert all(2 <= number <= MAX_CALL_NUMBER for number in numbers)
        assert sorted(numbers) != numbers

    def test_rest_for_a_minute(self) -> None:
        class Few(random.Random):
            def randint(self, a: int, b: int) -> int:
                return a + super().randrange(3)

        peer = RawPeer(Endpoint(Few(1)))
        call = peer.endpoint.call(peer.config, "1", peer.now)
        first = call.link.local
        call.hangup(peer.now)
        peer.wait(11)
        assert peer.endpoint.statistics().dialogues == 0
        others = {peer.endpoint.call(peer.config, "1", peer.now).link.local for _ in range(2)}
        assert first not in others
        peer.wait(QUARANTINE_S)
        peer.endpoint.handle_timer(peer.now)
        assert peer.endpoint.call(peer.config, "1", peer.now).link.local == first


class TestFuzz:
    """Whatever arrives, nothing is raised and no table grows."""

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.binary(max_size=64), max_size=20))
    def test_garbage(self, datagrams: list[bytes]) -> None:
        endpoint = Endpoint(random.Random(1), accept_from=[SERVER])
        for datagram in datagrams:
            endpoint.receive(datagram, SERVER, 1000.0)
        endpoint.handle_timer(1100.0)
        assert endpoint.statistics().datagrams_received == len(datagrams)

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.one_of(st.just(FrameType.IAX), st.integers(0, 20)),
                st.integers(0, 63),
                st.integers(0, 255),
                st.integers(0, 255),
                st.integers(0, 0xFFFFFFFF),
                st.lists(st.tuples(st.integers(0, 60), st.binary(max_size=20)), max_size=5),
            ),
            max_size=30,
        )
    )
    def test_frames_of_the_right_call_with_anything_in_them(self, frames: list) -> None:  # type: ignore[type-arg]
        peer = RawPeer()
        call, _ = peer.called()
        for type_, subclass, o_seq, i_seq, timestamp, pairs in frames:
            payload = b"".join(bytes([number, len(data)]) + data for number, data in pairs)
            peer.now += 0.01
            peer.send(subclass, type_=type_, payload=payload, o_seq=o_seq, i_seq=i_seq, timestamp=timestamp)
            peer.endpoint.handle_timer(peer.now)
        assert len([event for event in peer.events() if isinstance(event, CallEnded)]) <= 1
        assert len(call.receive_audio()[0]) in (160, 320)
        assert peer.endpoint.statistics().dialogues == 1

    @pytest.mark.parametrize("seed", range(2))
    def test_a_call_survives_a_flood(self, seed: int) -> None:
        """1000 spoiled datagrams a second, from the server's own address and others, for ten seconds."""
        rng = random.Random(seed)
        peer = RawPeer(Endpoint(random.Random(seed), accept_from=[SERVER], max_incoming=3))
        call = peer.up()
        real = [
            frame.encode()
            for frame in (
                FullFrame(peer.number, 0, 1, 0, 0, FrameType.IAX, Command.NEW, encode(NEW)),
                FullFrame(peer.number, peer.theirs + 1, 5, 2, 2, FrameType.IAX, Command.HANGUP),
                FullFrame(peer.number + 1, peer.theirs, 5, 2, 2, FrameType.IAX, Command.INVAL),
                FullFrame(9, 0, 1, 0, 0, FrameType.IAX, Command.POKE),
                MiniFrame(peer.number + 1, 100, bytes(160)),
            )
        ]
        real.append(bytes.fromhex("0000 0101 00000000 00a0 1388 0000") + bytes(160))
        heard = []
        peer.send(4, type_=FrameType.VOICE, payload=bytes([1]) * 160, timestamp=0)
        for n in range(1, 500):
            for _ in range(20):
                datagram = (
                    spoil(rng, rng.choice(real)) if rng.random() < 0.8 else rng.randbytes(rng.randrange(80))
                )
                address = rng.choice([SERVER, STRANGER, (SERVER[0], rng.randrange(65536))])
                if address == SERVER and not peer.may_be_forged(datagram):
                    continue
                peer.endpoint.receive(datagram, address, peer.now)
            peer.mini(n * 20, bytes([1 + n % 200]) * 160)
            heard.append(call.receive_audio())
            call.send_audio(b"\xff" * 160, peer.now)
            peer.now += 0.02
            peer.endpoint.handle_timer(peer.now)
            for datagram, _ in peer.endpoint.datagrams_to_send():
                frame = decode_untrusted(datagram)
                if isinstance(frame, FullFrame) and not frame.unnumbered and frame.destination == peer.number:
                    peer.i_seq = frame.o_seq + 1 & 0xFF
                    peer.send(Command.ACK)
        assert call.state is CallState.UP
        first = next(at for at, (payload, _) in enumerate(heard) if payload[0] != 0xFF)
        octets = [payload[0] for payload, _ in heard[first:]]
        assert len(octets) > 490
        assert octets == [1 + n % 200 for n in range(len(octets))]
        assert not any(lost for _, lost in heard)
        assert peer.endpoint.statistics().dialogues <= 4
        assert all(isinstance(event, IncomingCall) for event in peer.events())
        assert sum(peer.dropped().values()) > 1000
