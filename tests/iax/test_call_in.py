"""Calls from a server played by hand."""

from __future__ import annotations

import random

import pytest

from iax import (
    ALAW,
    SLINEAR,
    ULAW,
    Account,
    CallEnded,
    CallState,
    Endpoint,
    IncomingCall,
)
from iax.elements import Element
from iax.formats import Format
from iax.frames import Command, Control, FrameType
from tests.iax.rawpeer import ACK, SERVER, RawPeer, elements

IAX, CONTROL, VOICE = FrameType.IAX, FrameType.CONTROL, FrameType.VOICE
SILENT = b"\xff" * 160


class TestCalledIn:
    NEW = (
        (Element.VERSION, 2),
        (Element.CALLED_NUMBER, "101"),
        (Element.CALLING_NUMBER, "555\r\n"),
        (Element.CALLING_NAME, "Jane\r\nRING"),
        (Element.CALLINGPRES, 0x20),
        (Element.DNID, "5550101"),
        (Element.CALLING_ANI, "556"),
        (Element.CALLED_CONTEXT, "fax"),
        (Element.USERNAME, "pbx"),
        (Element.FORMAT, 8),
        (Element.CAPABILITY, 0x4C),
        (Element.CALLTOKEN, b""),
    )

    def offered(self) -> tuple[RawPeer, object]:
        peer = RawPeer()
        peer.send(Command.NEW, *self.NEW, destination=0)
        (ack,) = peer.got()
        assert ack.is_command(Command.ACK)
        (event,) = peer.events()
        assert isinstance(event, IncomingCall)
        return peer, event.call

    def test_ring_and_answer(self) -> None:
        peer, call = self.offered()
        assert call.format is ALAW  # what the caller wants
        assert (call.calling_number, call.calling_name) == ("555", "JaneRING")
        assert (call.called_number, call.dnid, call.ani) == ("101", "5550101", "556")
        assert (call.called_context, call.username, call.presentation) == ("fax", "pbx", 0x20)
        call.ringing(peer.now)
        accept, ringing = peer.got()
        assert elements(accept).values == {Element.FORMAT: 8, Element.FORMAT2: 8}
        assert (ringing.type, ringing.subclass) == (CONTROL, Control.RINGING)
        call.answer(peer.now)
        assert peer.commands() == [(CONTROL, Control.ANSWER)]
        assert call.state is CallState.UP

    @pytest.mark.parametrize(
        ("wanted", "capable", "preferences", "chosen"),
        [
            (1 << 1, 0x4E, "CHE", SLINEAR),  # GSM wanted; of what it prefers, linear is the first of ours
            (1 << 1, 0x4E, "CEHD", ALAW),
            (1 << 1, 0x4E, "", ULAW),  # no preference: ours
            (1 << 1, 0x48, "DE", ALAW),  # it prefers what it cannot do
            (8, 0x4C, "HD", ALAW),  # what is wanted wins
            (1 << 1, 0x4E, "\u00e9@A~", ULAW),  # nonsense
        ],
    )
    def test_the_callers_preferences(
        self, wanted: int, capable: int, preferences: str, chosen: Format
    ) -> None:
        peer = RawPeer()
        pairs = [pair for pair in self.NEW if pair[0] not in (Element.FORMAT, Element.CAPABILITY)]
        wide = [(Element.FORMAT2, wanted), (Element.CAPABILITY2, capable), (Element.CODEC_PREFS, preferences)]
        peer.send(Command.NEW, *pairs, *wide, destination=0)
        peer.got()
        (event,) = peer.events()
        assert event.call.format is chosen  # type: ignore[union-attr]

    def test_reject(self) -> None:
        peer, call = self.offered()
        call.reject(peer.now)
        (reject,) = peer.got()
        assert reject.is_command(Command.REJECT)
        assert elements(reject).values == {Element.CAUSE: "Busy", Element.CAUSECODE: 17}
        assert peer.events() == [CallEnded(call, 17, "Busy", local=True)]

    def test_the_caller_gives_up(self) -> None:
        peer, call = self.offered()
        call.ringing(peer.now)
        peer.got()
        peer.send(Command.HANGUP, (Element.CAUSECODE, 16))
        assert peer.commands() == [ACK]
        assert peer.events() == [CallEnded(call, 16, "normal clearing", local=False)]
        call.answer(peer.now)
        assert peer.got() == []

    def test_a_repeated_new_is_the_same_call(self) -> None:
        peer, _ = self.offered()
        peer.send(Command.NEW, *self.NEW, destination=0, o_seq=0, i_seq=0, retransmitted=True)
        assert peer.commands() == [ACK]
        assert peer.events() == []
        assert peer.endpoint.statistics().calls == 1

    def test_a_new_call_with_an_old_number_ends_the_old_call_unless_the_peer_still_knows_it(self) -> None:
        peer, call = self.offered()
        call.ringing(peer.now)
        call.answer(peer.now)
        peer.got()
        peer.now += 5
        new = {"destination": 0, "o_seq": 0, "i_seq": 0}
        peer.send(Command.NEW, *self.NEW, **new)
        (ping,) = peer.got()
        assert ping.is_command(Command.PING)
        peer.now += 0.01
        peer.send(Command.PONG, timestamp=ping.timestamp)  # so it was forged
        peer.wait(3)
        assert call.state is CallState.UP
        peer.got()
        peer.send(Command.NEW, *self.NEW, **new)
        peer.wait(2.1)  # no PONG: the peer did restart
        (ended,) = peer.events()
        assert isinstance(ended, CallEnded)
        assert (ended.call, ended.cause) == (call, 81)
        peer.send(Command.NEW, *self.NEW, **new, retransmitted=True)
        (incoming,) = peer.events()
        assert isinstance(incoming, IncomingCall)
        assert peer.endpoint.statistics().calls == 1

    def test_progress_of_an_outgoing_call_means_nothing_in_an_incoming_one(self) -> None:
        peer, call = self.offered()
        call.ringing(peer.now)
        peer.got()
        for control in (Control.ANSWER, Control.BUSY, Control.CONGESTION, Control.RINGING):
            peer.send(control, type_=CONTROL)
        peer.send(Command.ACCEPT, (Element.FORMAT, 4))
        assert call.state is CallState.RINGING
        assert peer.events() == []

    @pytest.mark.parametrize(
        ("replace", "cause"),
        [
            ({Element.FORMAT: 2, Element.CAPABILITY: 2}, 58),
            ({Element.VERSION: 1}, 29),
        ],
    )
    def test_impossible_calls_are_refused_unheard(self, replace: dict[Element, int], cause: int) -> None:
        peer = RawPeer()
        pairs = [(element, replace.get(element, value)) for element, value in self.NEW]
        peer.send(Command.NEW, *pairs, destination=0)
        (reject,) = peer.got()
        assert reject.is_command(Command.REJECT)
        assert elements(reject).number(Element.CAUSECODE) == cause
        assert peer.events() == []

    @pytest.mark.parametrize(
        ("wanted", "capable", "expected"),
        [
            (4, 4, ULAW),
            (8, 0x0C, ALAW),
            (0x40, 0x4C, SLINEAR),
            (2, 0x4A, ALAW),
            (0, 0x42, SLINEAR),
            (4, 0, ULAW),
            (8, 4, ALAW),  # it wants what it forgot to name among what it can do
        ],
    )
    def test_codec_choice(self, wanted: int, capable: int, expected: Format) -> None:
        peer = RawPeer()
        values = {Element.FORMAT: wanted, Element.CAPABILITY: capable}
        peer.send(Command.NEW, *[(e, values.get(e, v)) for e, v in self.NEW], destination=0)
        (event,) = peer.events()
        assert isinstance(event, IncomingCall)
        call = event.call
        assert call.format is expected
        call.answer(peer.now)
        peer.got()
        peer.send(int(expected), type_=VOICE, payload=expected.silence(160))
        assert call.statistics().media.frames_received == 1

    def test_inval_before_the_proof_is_told_to_nobody(self) -> None:
        peer = RawPeer(Endpoint(random.Random(1), accept_from=[SERVER], accounts={"u": Account("u", "s")}))
        peer.send(Command.NEW, *self.NEW, destination=0)
        (challenge,) = peer.got()
        assert challenge.is_command(Command.AUTHREQ)
        peer.send(Command.INVAL)
        peer.wait(60)
        assert peer.events() == []
        assert peer.endpoint.statistics().dialogues == 0
