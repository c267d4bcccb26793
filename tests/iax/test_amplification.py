"""How much more goes out than came in, for those who write somebody else's address on their datagrams."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from iax import Account, Call, Endpoint, IncomingCall, PeerConfig
from iax.admission import MAX_ANSWER_RATIO
from iax.elements import Element, Pair, encode
from iax.exchange import Exchange
from iax.frames import Address, Command, FrameType, FullFrame
from iax.registrar import Registrar
from tests.iax.mutation_seeds import CALL, seeds
from tests.iax.mutator import Mutator
from tests.iax.network import Core
from tests.iax.rawpeer import SERVER, RawPeer

VICTIM: Address = ("203.0.113.66", 4569)
ACCOUNTS = {"101": Account("101", "secret101")}


def modem() -> tuple[Core, Endpoint]:
    endpoint = Endpoint(random.Random(1), accept_from=[SERVER])
    return endpoint, endpoint


def server() -> tuple[Core, Endpoint]:
    """An endpoint that takes calls and registrations from anywhere, with a call token."""
    endpoint = Endpoint(
        random.Random(1),
        accept_from_anyone=True,
        demand_call_token=True,
        accounts=ACCOUNTS,
        registrar=Registrar(ACCOUNTS),
    )
    return endpoint, endpoint


def exchange() -> tuple[Core, Endpoint]:
    core = Exchange(ACCOUNTS.values(), random.Random(1))
    return core, core._endpoint


def answers(core: Core, datagram: bytes, now: float) -> list[bytes]:
    core.receive(datagram, VICTIM, now)
    sent = core.datagrams_to_send()
    assert all(address == VICTIM for _, address in sent)
    return [answer for answer, _ in sent]


def opening(command: Command, *pairs: Pair) -> bytes:
    return FullFrame(5, 0, 1, 0, 0, FrameType.IAX, command, encode(pairs)).encode()


@pytest.mark.parametrize("make", [modem, server, exchange])
def test_a_stranger_gets_one_answer_at_most_and_hardly_more_octets(
    make: Callable[[], tuple[Core, Endpoint]],
) -> None:
    core, endpoint = make()
    mutator = Mutator(random.Random(2), seeds())
    datagrams = [*seeds(), *(bytes(mutator.datagram()) for _ in range(20_000))]
    n_in = n_out = n_answers = 0
    for n, datagram in enumerate(datagrams):
        sent = answers(core, datagram, 1000 + n / 100)  # slower than the limit of answers in a second
        assert len(sent) <= 1
        octets = sum(map(len, sent))
        assert octets <= MAX_ANSWER_RATIO * len(datagram), datagram.hex()
        n_in, n_out, n_answers = n_in + len(datagram), n_out + octets, n_answers + len(sent)
    assert n_answers > 20
    assert n_out < 0.1 * n_in
    assert endpoint.statistics().dialogues == 0
    core.handle_timer(2000)
    assert core.datagrams_to_send() == []


@pytest.mark.parametrize(
    "datagram",
    [
        opening(Command.POKE),
        opening(Command.NEW),
        opening(Command.NEW, (Element.CALLTOKEN, b"")),
        opening(Command.NEW, (Element.VERSION, 2)),
        opening(Command.NEW, (Element.VERSION, 2), (Element.CALLTOKEN, b"")),
        opening(Command.REGREQ, (Element.CALLTOKEN, b"")),
        opening(Command.REGREQ, (Element.USERNAME, "u")),
        opening(Command.REGREQ, (Element.USERNAME, "u"), (Element.CALLTOKEN, b"")),
        opening(Command.REGREL, (Element.USERNAME, "u"), (Element.CALLTOKEN, b"")),
        opening(Command.REGREL, (Element.USERNAME, ""), (Element.CALLTOKEN, b"")),
    ],
    ids=lambda datagram: f"{Command(datagram[11]).name} of {len(datagram)}",
)
@pytest.mark.parametrize("make", [server, exchange])
def test_the_shortest_requests(make: Callable[[], tuple[Core, Endpoint]], datagram: bytes) -> None:
    core, _ = make()
    sent = answers(core, datagram, 1000.0)
    assert sum(map(len, sent)) <= MAX_ANSWER_RATIO * len(datagram)


def test_beyond_the_limit_there_is_silence() -> None:
    core, _ = exchange()
    n_out = sum(
        len(answers(core, opening(Command.REGREQ, (Element.USERNAME, "u"), (Element.CALLTOKEN, b"")), 1000.0))
        for _ in range(5000)
    )
    assert n_out == 200


def forged_call(endpoint: Endpoint, *, rings: bool) -> tuple[int, int, int]:
    """Forge one NEW from SERVER; return its octets, and the datagrams and octets that SERVER gets for it."""
    peer = RawPeer(endpoint)
    new = opening(Command.NEW, *CALL, (Element.CALLED_NUMBER, "101"), (Element.CALLTOKEN, b""))
    endpoint.receive(new, SERVER, peer.now)
    sent = endpoint.datagrams_to_send()
    while peer.now < 1120:
        for event in endpoint.events():
            if rings and isinstance(event, IncomingCall):
                event.call.ringing(peer.now)
        peer.wait(0.1)
        sent += endpoint.datagrams_to_send()
    assert {address for _, address in sent} <= {SERVER}
    assert not any(isinstance(dialogue, Call) for dialogue in endpoint._dialogues)
    return len(new), len(sent), sum(len(datagram) for datagram, _ in sent)


def test_a_call_forged_from_the_servers_address_ends_by_itself() -> None:
    """It is repeated to the server for 20 s; the rest of us is quiet. Only a call token can prevent it."""
    came, n_sent, sent = forged_call(Endpoint(random.Random(1), accept_from=[SERVER]), rings=True)
    assert n_sent <= 30
    assert sent <= 6 * came


def test_with_a_call_token_not_even_that() -> None:
    endpoint = Endpoint(random.Random(1))
    endpoint.add_peer(PeerConfig(SERVER, demand_call_token=True))
    came, n_sent, sent = forged_call(endpoint, rings=True)
    assert n_sent == 1
    assert sent <= MAX_ANSWER_RATIO * came


def test_vnak_does_not_make_a_storm() -> None:
    """1,000 forged VNAKs in a second ask for three frames that wait."""
    peer = RawPeer()
    call = peer.up()
    for digit in "123":
        call.send_dtmf(digit, peer.now)
    peer.got()
    sent = came = 0
    for _ in range(1000):
        peer.wait(0.001)
        frame = peer.send(Command.VNAK, i_seq=peer.i_seq - 3 & 0xFF)
        came += len(frame.encode())
        sent += sum(len(datagram) for datagram, _ in peer.endpoint.datagrams_to_send())
    assert sent <= 0.1 * came
    assert sent > 0
