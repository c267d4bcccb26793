"""Registering: with a server played by hand, and with our registrar."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from itertools import pairwise

import pytest

from iax import (
    Account,
    Endpoint,
    PeerConfig,
    Registered,
    Registration,
    RegistrationRejected,
    RegistrationReleased,
    RegistrationState,
    RegistrationTimedOut,
)
from iax.elements import Element, encode
from iax.frames import STATELESS_CALL_NUMBER, Command, FrameType, FullFrame
from iax.frames import decode_untrusted as decode_frame
from iax.registrar import Registrar
from tests.iax.network import Network, Phone
from tests.iax.rawpeer import ACK, SERVER, RawPeer, elements

IAX = FrameType.IAX


def started() -> tuple[RawPeer, Registration, FullFrame]:
    peer = RawPeer()
    registration = peer.endpoint.register(peer.config, peer.now)
    (request,) = peer.got()
    return peer, registration, request


def challenged(peer: RawPeer) -> FullFrame:
    peer.send(
        Command.REGAUTH, (Element.AUTHMETHODS, 2), (Element.CHALLENGE, b"9876"), (Element.USERNAME, "101")
    )
    (answer,) = peer.got()
    return answer


def granted(peer: RawPeer, refresh_s: int | None = 60) -> None:
    pairs = [(Element.USERNAME, "101"), (Element.APPARENT_ADDR, ("192.0.2.99", 1234))]
    peer.send(Command.REGACK, *pairs, *([] if refresh_s is None else [(Element.REFRESH, refresh_s)]))


def next_request(peer: RawPeer, within_s: float) -> tuple[float, FullFrame]:
    """Wait for the next attempt; return how long it took, and its first frame."""
    began = peer.now
    while peer.now < began + within_s:
        peer.wait(0.5)
        for frame in peer.got():
            if frame.subclass in (Command.REGREQ, Command.REGREL) and not frame.retransmitted:
                peer.o_seq, peer.i_seq, peer.number = 0, 1, peer.number + 1
                return peer.now - began, frame
    raise AssertionError(f"no request within {within_s} s")


def test_the_whole_dance() -> None:
    peer, registration, request = started()
    assert request.is_command(Command.REGREQ)
    assert list(elements(request).values.items()) == [
        (Element.USERNAME, "101"),
        (Element.REFRESH, 60),
        (Element.CALLTOKEN, b""),
    ]
    peer.send(Command.CALLTOKEN, (Element.CALLTOKEN, b"tok"), source=STATELESS_CALL_NUMBER, i_seq=1)
    (again,) = peer.got()
    assert elements(again).raw(Element.CALLTOKEN) == b"tok"
    assert (again.o_seq, again.source, again.destination) == (0, request.source, 0)
    answer = challenged(peer)
    assert answer.is_command(Command.REGREQ)
    assert answer.destination == peer.number
    result = hashlib.md5(b"9876secret101").hexdigest().encode()
    assert elements(answer).raw(Element.MD5_RESULT) == result
    granted(peer, 45)
    assert peer.commands() == [ACK]
    assert peer.events() == [Registered(registration, 45, ("192.0.2.99", 1234))]
    assert registration.state is RegistrationState.REGISTERED
    assert registration.registered(peer.now)
    assert registration.registered(peer.now + 44.9)
    assert not registration.registered(peer.now + 45)


@pytest.mark.parametrize(("given", "used"), [(60, 60), (3600, 3600), (0, 60), (None, 60), (1, 10)])
def test_the_granted_time_is_obeyed(given: int | None, used: int) -> None:
    peer, registration, _ = started()
    challenged(peer)
    granted(peer, given)
    assert registration.refresh_s == used
    peer.got()
    after_s, request = next_request(peer, used)
    assert 0.75 * used - 0.5 <= after_s <= 0.85 * used + 0.5
    assert request.is_command(Command.REGREQ)
    assert registration.registered(peer.now)  # still known while it asks again


def test_many_modems_do_not_ask_in_the_same_millisecond() -> None:
    endpoint = Endpoint(random.Random(3))
    for n in range(40):
        endpoint.register(PeerConfig(SERVER, f"{n}", "x"), 1000.0)
    times = []
    while len(times) < 40:
        due = endpoint.next_timer()
        assert due is not None
        endpoint.handle_timer(due)
        now = max(due, 1000.0)
        times += [now] * sum(not datagram[2] & 0x80 for datagram, _ in endpoint.datagrams_to_send())
    assert len(set(times)) >= 39
    assert times[-1] - 1000 < 1.0


def test_no_answer_is_retried_for_ever_within_ten_seconds() -> None:
    peer, registration, _ = started()
    waits = []
    for _ in range(9):
        began = peer.now
        while not any(isinstance(event, RegistrationTimedOut) for event in peer.events()):
            peer.wait(0.5)
        assert peer.now - began < 30
        assert registration.state is RegistrationState.WAITING
        assert registration.last_error == "no answer"
        peer.got()
        waits.append(next_request(peer, 400)[0])
    for waited, nominal in zip(waits, [2, 4, 5, 5, 5, 5, 5, 5, 5], strict=True):
        assert 0.9 * nominal - 1 <= waited <= 1.1 * nominal + 1
    # the server comes back
    challenged(peer)
    granted(peer)
    assert registration.registered(peer.now)
    assert registration.last_error == ""
    assert peer.endpoint.statistics().dialogues <= 2  # the last one lingers


def test_a_refusal_is_told_and_retried_slowly() -> None:
    peer, registration, _ = started()
    challenged(peer)
    peer.send(Command.REGREJ, (Element.CAUSE, "Registration Refused"), (Element.CAUSECODE, 29))
    assert peer.commands() == [ACK]
    assert peer.events() == [RegistrationRejected(registration, 29, "Registration Refused")]
    waited, _ = next_request(peer, 60)
    assert 4 <= waited <= 6


def test_a_refusal_without_state_is_a_refusal() -> None:
    peer, _, _ = started()
    peer.send(Command.REGREJ, source=STATELESS_CALL_NUMBER, i_seq=1)
    (event,) = peer.events()
    assert isinstance(event, RegistrationRejected)
    assert peer.got() == []  # nobody to acknowledge to


@pytest.mark.parametrize(("methods", "words"), [(1, "in clear"), (4, "private key"), (8, "neither")])
def test_the_secret_is_never_given_away(methods: int, words: str) -> None:
    peer, _, _ = started()
    peer.send(Command.REGAUTH, (Element.AUTHMETHODS, methods), (Element.CHALLENGE, b"1"))
    (event,) = peer.events()
    assert isinstance(event, RegistrationRejected)
    assert words in event.text
    assert all(b"secret101" not in frame.payload for frame in peer.got())


def test_a_plain_secret_if_the_configuration_allows_it() -> None:
    peer = RawPeer()
    peer.config = PeerConfig(SERVER, "101", "secret101", allow_plaintext=True)
    registration = peer.endpoint.register(peer.config, peer.now)
    (request,) = peer.got()
    assert b"secret101" not in request.payload  # not before it is asked for
    peer.send(Command.REGAUTH, (Element.AUTHMETHODS, 1), (Element.USERNAME, "101"))
    (answer,) = peer.got()
    assert answer.is_command(Command.REGREQ)
    assert elements(answer).values == {
        Element.USERNAME: "101",
        Element.REFRESH: 60,
        Element.PASSWORD: b"secret101",
    }
    granted(peer)
    assert registration.registered(peer.now)


def test_we_are_no_oracle() -> None:
    peer, _, _ = started()
    for n in range(10):
        peer.send(Command.REGAUTH, (Element.AUTHMETHODS, 2), (Element.CHALLENGE, b"%d" % n))
    answers = [frame for frame in peer.got() if frame.is_command(Command.REGREQ)]
    assert len(answers) == 3


def test_a_server_that_only_acknowledges_has_not_answered() -> None:
    peer, registration, _ = started()
    peer.send(Command.ACK)
    peer.wait(29)
    assert peer.events() == []
    peer.wait(2)
    assert peer.events() == [RegistrationTimedOut(registration)]
    next_request(peer, 15)


def test_release() -> None:
    peer, registration, _ = started()
    challenged(peer)
    granted(peer)
    peer.events()
    peer.got()
    registration.release(peer.now)
    registration.release(peer.now)
    (request,) = peer.got()
    peer.o_seq, peer.i_seq, peer.number = 0, 1, peer.number + 1
    assert request.is_command(Command.REGREL)
    assert Element.CALLTOKEN in elements(request)
    assert challenged(peer).is_command(Command.REGREL)
    peer.send(Command.REGACK)
    assert peer.events() == [RegistrationReleased(registration, confirmed=True)]
    peer.wait(600)
    assert peer.endpoint.next_timer() is None
    assert not registration.registered(peer.now)


@pytest.mark.parametrize("rtt_s", [0.001, 0.4])
def test_no_request_is_repeated_faster_than_once_a_second(rtt_s: float) -> None:
    """The round trip is known after the challenge; the server may be near, and still slow to decide."""
    peer, _, _ = started()
    peer.now += rtt_s
    challenged(peer)
    times = [peer.now]
    for _ in range(200):
        peer.wait(0.05)
        times += [peer.now] * sum(frame.is_command(Command.REGREQ) for frame in peer.got())
    assert len(times) >= 4
    assert min(later - earlier for earlier, later in pairwise(times)) > 0.94  # looked at every 0.05 s


@pytest.mark.parametrize("lost", [1, 2])
def test_a_release_of_which_the_beginning_is_lost_is_confirmed(lost: int) -> None:
    peer, registration, _ = started()
    challenged(peer)
    granted(peer)
    peer.events()
    peer.got()
    registration.release(peer.now)
    for wait_s in (0.26, 0.5)[:lost]:
        assert [frame.subclass for frame in peer.got()] == [Command.REGREL]
        peer.wait(wait_s)
    assert [frame.subclass for frame in peer.got()] == [Command.REGREL]
    peer.o_seq, peer.i_seq, peer.number = 0, 1, peer.number + 1
    assert challenged(peer).is_command(Command.REGREL)
    peer.send(Command.REGACK)
    assert peer.events() == [RegistrationReleased(registration, confirmed=True)]


def test_a_call_token_for_what_is_no_longer_wanted_is_not_used() -> None:
    peer, registration, _ = started()
    registration.release(peer.now)
    assert registration.state is RegistrationState.RELEASED
    peer.send(Command.CALLTOKEN, (Element.CALLTOKEN, b"tok"), source=STATELESS_CALL_NUMBER, i_seq=1)
    peer.wait(30)
    assert peer.got() == []


def test_release_does_not_wait_for_a_dead_server() -> None:
    peer, registration, _ = started()
    challenged(peer)
    granted(peer)
    peer.events()
    registration.release(peer.now)
    peer.wait(0.99)
    assert peer.events() == []
    peer.wait(0.02)
    assert peer.events() == [RegistrationReleased(registration, confirmed=False)]


def test_release_of_what_was_never_registered_is_immediate() -> None:
    peer, registration, _ = started()
    registration.release(peer.now)
    assert peer.events() == [RegistrationReleased(registration, confirmed=True)]
    peer.wait(600)
    assert (IAX, Command.REGREQ) not in peer.commands()


class TestRegistrar:
    """Our own server side."""

    def server(self) -> tuple[Network, Registrar, Phone]:
        network = Network()
        registrar = Registrar({"101": Account("101", "secret101")})
        endpoint = Endpoint(random.Random(1), registrar=registrar, demand_call_token=True)
        return network, registrar, Phone(network, SERVER, endpoint)

    def client(
        self, network: Network, name: str, secret: str, refresh_s: int = 60
    ) -> tuple[Phone, Registration]:
        phone = Phone(network, ("192.0.2.9", 4570), Endpoint(random.Random(2)))
        config = PeerConfig(SERVER, name, secret, refresh_s=refresh_s)
        return phone, phone.endpoint.register(config, network.now)

    def test_remembers_and_forgets(self) -> None:
        network, registrar, _ = self.server()
        phone, registration = self.client(network, "101", "secret101", 120)
        assert phone.wait(Registered).refresh_s == 120
        assert registrar.contact("101", network.now) == phone.address
        registration.release(network.now)
        assert phone.wait(RegistrationReleased).confirmed
        assert registrar.contact("101", network.now) is None

    def test_registrations_run_out(self) -> None:
        network, registrar, _ = self.server()
        phone, _ = self.client(network, "101", "secret101")
        phone.wait(Registered)
        del network.cores[phone.address]
        network.run(69)
        assert registrar.contact("101", network.now) == phone.address
        network.run(2)
        assert registrar.contact("101", network.now) is None

    @pytest.mark.parametrize(
        ("name", "secret"), [("101", "wrong"), ("102", "secret101"), ("101", "secret101 ")]
    )
    def test_refuses(self, name: str, secret: str) -> None:
        network, registrar, _ = self.server()
        phone, _ = self.client(network, name, secret)
        assert phone.wait(RegistrationRejected).text == "Registration Refused"
        assert registrar.registered(network.now) == {}

    def test_a_client_that_does_not_answer_the_challenge_is_forgotten(self) -> None:
        network, _, server = self.server()
        for n in range(50):
            token = server.endpoint._door.tokens.make(("192.0.2.50", 5000 + n), network.now)
            payload = encode([(Element.USERNAME, "\ufffd" * 85), (Element.CALLTOKEN, token)])
            request = FullFrame(9, 0, 1, 0, 0, IAX, Command.REGREQ, payload)
            server.endpoint.receive(request.encode(), ("192.0.2.50", 5000 + n), network.now)
            ack = FullFrame(9, 0, 1, 1, 1, IAX, Command.ACK)
            for datagram, address in server.endpoint.datagrams_to_send():
                there = decode_frame(datagram)
                answer = replace(ack, destination=there.source)
                server.endpoint.receive(answer.encode(), address, network.now)
        assert server.endpoint.statistics().dialogues == 50
        network.run(25)
        assert server.endpoint.statistics().dialogues == 0

    def test_stays_registered_for_hours(self) -> None:
        network, registrar, _ = self.server()
        network.record = False
        phone, registration = self.client(network, "101", "secret101")
        for _ in range(360):
            network.run(20)
            assert registration.registered(network.now)
            assert registrar.contact("101", network.now)
        assert phone.endpoint.statistics().dialogues <= 1
