"""Every frame in every state of registering, of a registrar and of POKE (calls: test_hostile)."""

from __future__ import annotations

import random
from typing import Any

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
from iax.auth import md5_result
from iax.elements import Element, Pair, encode
from iax.events import PeerRegistered, PeerUnregistered
from iax.frames import UNNUMBERED, Command, FrameType
from iax.keepalive import POKE_WAIT_S, Poke
from iax.registrar import ANSWER_WAIT_S, Registrant, Registrar
from tests.iax.rawpeer import EVERY_FRAME, SERVER, RawPeer, elements

CHALLENGE: list[Pair] = [(Element.AUTHMETHODS, 2), (Element.CHALLENGE, b"9876"), (Element.USERNAME, "101")]
GRANT: list[Pair] = [(Element.REFRESH, 60), (Element.APPARENT_ADDR, ("192.0.2.9", 4570))]
REFUSAL: list[Pair] = [(Element.CAUSE, "no"), (Element.CAUSECODE, 29)]
TOKEN: list[Pair] = [(Element.CALLTOKEN, b"token")]

ASKING = ("sent", "acknowledged", "challenged")
LEAVING = ("releasing", "releasing, challenged")
STAGES = (*ASKING, "registered", "refused", *LEAVING, "released")


def registering(stage: str) -> tuple[RawPeer, Registration]:
    """A registration brought to STAGE by the frames that lead there."""
    peer = RawPeer()
    registration = peer.endpoint.register(peer.config, peer.now)
    peer.got()
    if stage == "acknowledged":
        peer.send(Command.ACK)
    elif stage == "refused":
        peer.send(Command.REGREJ, *REFUSAL)
    elif stage != "sent":
        peer.send(Command.REGAUTH, *CHALLENGE)
    peer.got()
    if stage in (*LEAVING, "registered", "released"):
        peer.send(Command.REGACK, *GRANT)
        peer.got()
    if stage in (*LEAVING, "released"):
        peer.o_seq, peer.i_seq, peer.number = 0, 0, peer.number + 1
        registration.release(peer.now)
        peer.got()
        if stage != "releasing":
            peer.send(Command.REGAUTH, *CHALLENGE)
            peer.got()
        if stage == "released":
            peer.send(Command.REGACK)
            peer.got()
    peer.events()
    return peer, registration


def outcome(stage: str, registration: Registration, subclass: int, body: list[Pair]) -> list[object]:
    """What the owner is told of an IAX command that comes in STAGE."""
    failed = subclass in (Command.REGREJ, Command.REJECT) or (
        subclass == Command.REGAUTH and body is not CHALLENGE
    )
    if stage in ASKING:
        if subclass == Command.REGACK:
            return [Registered]
        if failed:
            return [RegistrationRejected]
        return [RegistrationTimedOut] if subclass == Command.INVAL else []
    if stage in LEAVING:
        if subclass == Command.REGACK:
            return [RegistrationReleased(registration, confirmed=True)]
        if failed or subclass == Command.INVAL:
            return [RegistrationReleased(registration, confirmed=False)]
    return []


@pytest.mark.parametrize("stage", STAGES)
def test_every_frame_while_registering(stage: str) -> None:
    for frame_type, subclass in EVERY_FRAME:
        for body in ([], CHALLENGE, GRANT, REFUSAL, TOKEN):
            peer, registration = registering(stage)
            before = registration.state
            peer.send(subclass, type_=frame_type, payload=encode(body))
            wanted = outcome(stage, registration, subclass, body) if frame_type == FrameType.IAX else []
            events = peer.events()
            told = [event if type(event) is RegistrationReleased else type(event) for event in events]
            assert told == wanted, (frame_type, subclass, body)
            state = {
                Registered: RegistrationState.REGISTERED,
                RegistrationRejected: RegistrationState.WAITING,
                RegistrationTimedOut: RegistrationState.WAITING,
                RegistrationReleased: RegistrationState.RELEASED,
            }
            assert registration.state is (state[type(events[0])] if events else before)
            sent = peer.got()
            proofs = [frame for frame in sent if Element.MD5_RESULT in elements(frame)]
            answered = (frame_type, subclass) == (FrameType.IAX, Command.REGAUTH) and body is CHALLENGE
            assert len(proofs) == (answered and stage in (*ASKING, *LEAVING))
            again = [frame for frame in sent if elements(frame).raw(Element.CALLTOKEN)]
            token = (frame_type, subclass) == (FrameType.IAX, Command.CALLTOKEN) and body is TOKEN
            assert len(again) == (token and stage in ("sent", "releasing")), (stage, subclass)
            # whatever it was: what is wanted goes on being tried, what is not has an end
            peer.wait(60)
            last = registration.state
            if stage in (*LEAVING, "released"):
                assert last is RegistrationState.RELEASED
                assert peer.endpoint.statistics().dialogues == 0
            else:
                assert last in (RegistrationState.SENT, RegistrationState.WAITING)
                assert peer.endpoint.statistics().dialogues <= 3


def challenged() -> tuple[RawPeer, Registrar, list[Pair]]:
    """A registrar that has asked us for a proof; and the right one."""
    registrar = Registrar({"101": Account("101", "secret101")})
    peer = RawPeer(Endpoint(random.Random(1), registrar=registrar))
    peer.send(Command.REGREQ, (Element.USERNAME, "101"), destination=0)
    (challenge,) = peer.got()
    proof = md5_result(elements(challenge).raw(Element.CHALLENGE), "secret101")
    return peer, registrar, [(Element.USERNAME, "101"), (Element.MD5_RESULT, proof)]


@pytest.mark.parametrize("stage", ["challenged", "granted", "refused", "withdrawn", "gone"])
def test_every_frame_at_a_registrar(stage: str) -> None:
    wrong: list[Pair] = [(Element.USERNAME, "101"), (Element.MD5_RESULT, b"0" * 32)]
    for frame_type, subclass in EVERY_FRAME:
        for kind in ("nothing", "wrong", "right"):
            peer, registrar, right = challenged()
            if stage == "gone":
                peer.wait(ANSWER_WAIT_S + 0.1)
            elif stage != "challenged":
                command = Command.REGREL if stage == "withdrawn" else Command.REGREQ
                peer.send(command, *(wrong if stage == "refused" else right))
            peer.got()
            peer.events()
            there = registrar.contact("101", peer.now)
            body = {"nothing": [], "wrong": wrong, "right": right}[kind]
            peer.send(subclass, type_=frame_type, payload=encode(body))
            asked = stage == "challenged" and frame_type == FrameType.IAX
            good = asked and kind == "right"
            events = [type(event) for event in peer.events()]
            if good and subclass == Command.REGREQ:
                assert events == [PeerRegistered]
                assert registrar.contact("101", peer.now) == SERVER
            elif good and subclass == Command.REGREL:
                assert events == [PeerUnregistered]
                assert registrar.contact("101", peer.now) is None
            else:
                assert events == [], (frame_type, subclass, kind)
                assert registrar.contact("101", peer.now) == there
            refused = asked and not good and subclass in (Command.REGREQ, Command.REGREL)
            assert any(frame.is_command(Command.REGREJ) for frame in peer.got()) == refused
            (registrant,) = [d for d in peer.endpoint._dialogues if isinstance(d, Registrant)]
            ends = asked and subclass in (Command.REGREQ, Command.REGREL, Command.INVAL)
            assert registrant.finished == (ends or stage != "challenged")
            peer.wait(60)
            assert peer.endpoint.statistics().dialogues == 0


@pytest.mark.parametrize("stage", ["sent", "acknowledged", "answered", "failed"])
def test_every_frame_after_poke(stage: str) -> None:
    for frame_type, subclass in EVERY_FRAME:
        peer = RawPeer()
        peer.config = PeerConfig(SERVER, "101", "secret101", 3600, keep_alive_s=100.0)
        registration: Registration = peer.endpoint.register(peer.config, peer.now)
        peer.got()
        peer.send(Command.REGACK, (Element.REFRESH, 3600))
        peer.wait(100)
        peer.got()
        (poke,) = [d for d in peer.endpoint._dialogues if isinstance(d, Poke)]
        peer.o_seq, peer.i_seq, peer.number, peer.theirs = 0, 1, peer.number + 1, poke.link.local
        if stage == "acknowledged":
            peer.send(Command.ACK)
        elif stage == "answered":
            peer.send(Command.PONG)
        elif stage == "failed":
            peer.wait(POKE_WAIT_S + 0.1)
        peer.got()
        peer.theirs = poke.link.local  # not that of the attempt that follows
        finished = poke.finished
        assert finished == (stage in ("answered", "failed"))
        peer.send(subclass, type_=frame_type)
        silent: set[Any] = {*UNNUMBERED, Command.CALLTOKEN}
        answer = frame_type != FrameType.IAX or subclass not in silent
        assert poke.finished == (finished or answer), (frame_type, subclass)
        peer.wait(POKE_WAIT_S + 0.1)
        assert poke.finished
        asks_again = registration.state is not RegistrationState.REGISTERED
        failed = stage == "failed" or (stage != "answered" and not answer)
        assert asks_again == failed, (frame_type, subclass)
        peer.wait(20)
        assert poke.gone
