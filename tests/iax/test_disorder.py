"""Every frame ahead of a gap, and repeated, in every state of what is no call: our registrations (`Attempt`),
clients' with our registrar (`Registrant`), and POKE (`Poke`). In order: test_every_frame_besides_calls.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from iax import Account, Endpoint, Registration, RegistrationState
from iax.auth import md5_result
from iax.elements import Element, Pair, encode
from iax.frames import STATELESS_CALL_NUMBER, Address, Command, Control, FrameType
from iax.keepalive import POKE_WAIT_S, Poke
from iax.registrar import Registrant, Registrar
from iax.registration import Attempt
from tests.iax.rawpeer import SERVER, RawPeer

AHEAD, REPEATED = 1, 255
"""What the frame's OSeqno is beyond the one expected."""
CHALLENGE: list[Pair] = [(Element.AUTHMETHODS, 2), (Element.CHALLENGE, b"1")]
GRANT: list[Pair] = [(Element.REFRESH, 60)]
TOKEN: list[Pair] = [(Element.CALLTOKEN, b"token")]
BODIES: tuple[list[Pair], ...] = ([], CHALLENGE, GRANT, TOKEN)
IAX = int(FrameType.IAX)

Event = tuple[int, int, list[Pair]]


def frames() -> Iterator[Event]:
    """Each frame there is, and some that are not, with what may be in it."""
    for subclass in (*range(42), 64, 127, -1):
        for body in BODIES:
            yield IAX, subclass, body
    for control in (*Control, 0, 127, -1):
        yield int(FrameType.CONTROL), control, []
    for kind in (*(k for k in FrameType if k not in (FrameType.IAX, FrameType.CONTROL)), 0, 77, 255):
        yield int(kind), 4, []


def means(event: Event, distance: int) -> int | None:
    """The command that takes effect out of order, None if none does: VNAK or ACK answers the others."""
    frame_type, subclass, _ = event
    if frame_type != IAX:
        return None
    if subclass in (Command.INVAL, Command.CALLTOKEN):
        return subclass
    # only an end does not wait for what is missing
    return subclass if distance == AHEAD and subclass in (Command.HANGUP, Command.REJECT) else None


def send(peer: RawPeer, event: Event, distance: int) -> None:
    frame_type, subclass, body = event
    peer.send(subclass, type_=frame_type, payload=encode(body), o_seq=peer.o_seq + distance & 0xFF)


ASKED, ASKED_WITH_TOKEN, ACKNOWLEDGED, CHALLENGED, CHALLENGED_OFTEN = range(5)
GRANTED, REFUSED, UNKNOWN_THERE, RELEASING, RELEASING_CHALLENGED, RELEASED = range(5, 11)
STAGES = {
    "asked": ASKED,
    "asked with a token": ASKED_WITH_TOKEN,
    "acknowledged": ACKNOWLEDGED,
    "challenged": CHALLENGED,
    "challenged often": CHALLENGED_OFTEN,
    "granted": GRANTED,
    "refused": REFUSED,
    "unknown there": UNKNOWN_THERE,
    "releasing": RELEASING,
    "releasing, challenged": RELEASING_CHALLENGED,
    "released": RELEASED,
}


def registering(stage: int) -> tuple[RawPeer, Registration]:
    """A registration that has got as far as STAGE."""
    peer = RawPeer()
    registration = peer.endpoint.register(peer.config, peer.now)
    peer.got()
    if stage == ASKED_WITH_TOKEN:
        peer.send(Command.CALLTOKEN, *TOKEN, source=STATELESS_CALL_NUMBER, i_seq=1)
    elif stage == ACKNOWLEDGED:
        peer.send(Command.ACK)
    elif stage == CHALLENGED_OFTEN:
        for _ in range(3):
            peer.send(Command.REGAUTH, *CHALLENGE)
            peer.got()
    elif stage == REFUSED:
        peer.send(Command.REGREJ)
    elif stage == UNKNOWN_THERE:
        peer.send(Command.INVAL)
    elif stage >= CHALLENGED:
        peer.send(Command.REGAUTH, *CHALLENGE)
        peer.got()
    if stage in (GRANTED, RELEASING, RELEASING_CHALLENGED, RELEASED):
        peer.send(Command.REGACK, *GRANT)
        peer.got()
    if stage in (RELEASING, RELEASING_CHALLENGED, RELEASED):
        registration.release(peer.now)
        peer.o_seq, peer.i_seq, peer.number = 0, 0, peer.number + 1
        peer.got()
        if stage != RELEASING:
            peer.send(Command.REGAUTH, *CHALLENGE)
        if stage == RELEASED:
            peer.got()
            peer.send(Command.REGACK)
    peer.got()
    peer.events()
    return peer, registration


BEFORE = {GRANTED: RegistrationState.REGISTERED, RELEASED: RegistrationState.RELEASED} | {
    **dict.fromkeys((REFUSED, UNKNOWN_THERE), RegistrationState.WAITING),
    **dict.fromkeys((RELEASING, RELEASING_CHALLENGED), RegistrationState.RELEASING),
}


def after(stage: int, event: Event, distance: int) -> tuple[RegistrationState, str]:
    """The registration's state after the frame, and what its owner is told."""
    state = BEFORE.get(stage, RegistrationState.SENT)
    if stage in (GRANTED, REFUSED, UNKNOWN_THERE, RELEASED):
        return state, ""
    releasing = state is RegistrationState.RELEASING
    command = means(event, distance)
    if releasing and command in (Command.REJECT, Command.INVAL):
        return RegistrationState.RELEASED, "RegistrationReleased"
    if command == Command.REJECT:
        return RegistrationState.WAITING, "RegistrationRejected"
    if command == Command.INVAL:
        return RegistrationState.WAITING, "RegistrationTimedOut"
    return state, ""


@pytest.mark.parametrize("distance", [AHEAD, REPEATED], ids=["ahead", "repeated"])
@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES.keys())
def test_every_frame_in_every_state_of_our_registration(stage: int, distance: int) -> None:
    for event in frames():
        peer, registration = registering(stage)
        assert registration.state is BEFORE.get(stage, RegistrationState.SENT)
        send(peer, event, distance)
        wanted, told = after(stage, event, distance)
        assert registration.state is wanted, event
        assert [type(e).__name__ for e in peer.events()] == ([told] if told else []), event
        sent = peer.got()
        again = [f for f in sent if f.subclass in (Command.REGREQ, Command.REGREL) and f.type == IAX]
        asked_first = stage in (ASKED, RELEASING)
        new = [f for f in again if not f.retransmitted]
        assert len(new) == (asked_first and event == (IAX, Command.CALLTOKEN, TOKEN)), event
        # nothing gets stuck: it asks again, or has been released, and what was over is gone
        at_most_s = 1.1 if wanted is RegistrationState.RELEASING else 52.0
        peer.wait(at_most_s)
        again = [f for f in peer.got() if f.is_command(Command.REGREQ) and not f.retransmitted]
        released = wanted in (RegistrationState.RELEASING, RegistrationState.RELEASED)
        assert bool(again) is not released, event
        if released:
            assert registration.state is RegistrationState.RELEASED
            peer.wait(40)
            assert peer.endpoint.statistics().dialogues == 0
        assert sum(isinstance(d, Attempt) and not d.finished for d in peer.endpoint._dialogues) <= 1


CLIENT: Address = ("192.0.2.8", 4570)


def at_the_registrar(stage: str) -> tuple[RawPeer, Registrar, Registrant]:
    registrar = Registrar({"u": Account("u", "su")})
    peer = RawPeer(Endpoint(random.Random(1), registrar=registrar), CLIENT)
    if stage.startswith("known"):
        registrar.remember("u", CLIENT, peer.now + 60)
    peer.send(Command.REGREQ, (Element.USERNAME, "u"), destination=0)
    (registrant,) = [d for d in peer.endpoint._dialogues if isinstance(d, Registrant)]
    peer.got()
    proof: Pair = (Element.MD5_RESULT, md5_result(registrant._challenge, "su"))
    if stage == "granted":
        peer.send(Command.REGREQ, (Element.USERNAME, "u"), proof)
    elif stage == "refused":
        peer.send(Command.REGREQ, (Element.USERNAME, "u"), (Element.MD5_RESULT, b"0" * 32))
    elif stage == "withdrawn":
        peer.send(Command.REGREL, (Element.USERNAME, "u"), proof)
    peer.got()
    peer.events()
    return peer, registrar, registrant


@pytest.mark.parametrize("distance", [AHEAD, REPEATED], ids=["ahead", "repeated"])
@pytest.mark.parametrize("stage", ["challenged", "known, challenged", "granted", "refused", "withdrawn"])
def test_every_frame_in_every_state_of_a_clients_registration(stage: str, distance: int) -> None:
    for event in frames():
        peer, registrar, registrant = at_the_registrar(stage)
        known = registrar.contact("u", peer.now)
        assert (known is not None) == (stage in ("known, challenged", "granted"))
        if event[:2] in ((IAX, Command.REGREQ), (IAX, Command.REGREL)):  # even with the right proof
            proof: Pair = (Element.MD5_RESULT, md5_result(registrant._challenge, "su"))
            event = (*event[:2], [(Element.USERNAME, "u"), proof])  # noqa: PLW2901
        send(peer, event, distance)
        assert peer.events() == []
        assert not {(IAX, Command.REGACK), (IAX, Command.REGREJ)} & set(peer.commands())
        assert registrar.contact("u", peer.now) == known
        over = "challenged" not in stage or means(event, distance) == Command.INVAL
        assert registrant.finished is over, event
        peer.wait(45)
        assert peer.endpoint.statistics().dialogues == 0, event
        assert not peer.endpoint._dialogues.by_remote


class Owner:
    """Counts the failures of POKE."""

    failed = 0

    def poke_failed(self, now: float) -> None:
        self.failed += 1


@pytest.mark.parametrize("distance", [AHEAD, REPEATED], ids=["ahead", "repeated"])
@pytest.mark.parametrize("stage", ["sent", "answered", "unanswered"])
def test_every_frame_in_every_state_of_poke(stage: str, distance: int) -> None:
    for event in frames():
        peer, owner = RawPeer(), Owner()
        endpoint = peer.endpoint
        poke = Poke(endpoint._desk, endpoint._dialogues.new_number(), SERVER, peer.now, owner)
        endpoint._dialogues.add(poke)
        poke.begin(peer.now)
        peer.got()
        if stage == "answered":
            peer.send(Command.PONG)
        elif stage == "unanswered":
            peer.wait(POKE_WAIT_S)
        peer.got()
        assert poke.finished is (stage != "sent")
        failures = owner.failed
        assert failures == (stage == "unanswered")
        send(peer, event, distance)
        answers = means(event, distance) in (Command.HANGUP, Command.REJECT)
        assert poke.finished is (stage != "sent" or answers), event
        assert owner.failed == failures
        peer.wait(45)
        assert owner.failed == (stage == "unanswered" or (stage == "sent" and not answers)), event
        assert endpoint.statistics().dialogues == 0, event
        assert peer.events() == []
