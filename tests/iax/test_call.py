"""Calls to a server played by hand: every answer to NEW, every end, every frame that must not matter."""

from __future__ import annotations

import hashlib

import pytest

from iax import (
    ALAW,
    ULAW,
    CallAccepted,
    CallAnswered,
    CallBusy,
    CallCongestion,
    CallEnded,
    CallProceeding,
    CallProgress,
    CallRinging,
    CallState,
    PeerConfig,
    Presentation,
)
from iax.call_machine import COMMANDS, CONTROLS, MAX_CHALLENGES
from iax.elements import Element
from iax.frames import STATELESS_CALL_NUMBER, Command, Control, FrameType
from tests.iax.rawpeer import ACK, SERVER, RawPeer, elements

IAX, CONTROL, VOICE = FrameType.IAX, FrameType.CONTROL, FrameType.VOICE
SILENT = b"\xff" * 160


class TestCallingOut:
    def test_new_says_everything_in_the_right_order(self) -> None:
        peer = RawPeer()
        peer.config = PeerConfig(SERVER, "101", "secret101", context="fax")
        _, new = peer.called("0123#", calling_number="555", calling_name="Jane", formats=(ALAW, ULAW))
        assert (new.destination, new.o_seq, new.i_seq) == (0, 0, 0)
        values = elements(new).values
        assert next(iter(values)) is Element.VERSION
        assert list(values)[-1] is Element.CALLTOKEN
        assert values == {
            Element.VERSION: 2,
            Element.CALLED_NUMBER: "0123#",
            Element.CODEC_PREFS: "ED",
            Element.CALLING_NUMBER: "555",
            Element.CALLINGPRES: 0,
            Element.CALLINGTON: 0,
            Element.CALLINGTNS: 0,
            Element.CALLING_NAME: "Jane",
            Element.DNID: "0123#",
            Element.CALLED_CONTEXT: "fax",
            Element.USERNAME: "101",
            Element.FORMAT: 8,
            Element.FORMAT2: 8,
            Element.CAPABILITY: 12,
            Element.CAPABILITY2: 12,
            Element.CALLTOKEN: b"",
        }
        assert b"secret" not in new.payload

    @pytest.mark.parametrize(
        ("number", "config", "call", "sent"),
        [
            ("555", None, None, Presentation.ALLOWED),
            ("", None, None, Presentation.UNAVAILABLE),
            ("555", None, Presentation.RESTRICTED, Presentation.RESTRICTED),
            ("555", Presentation.RESTRICTED, None, Presentation.RESTRICTED),
            ("555", Presentation.RESTRICTED, Presentation.ALLOWED, Presentation.ALLOWED),
        ],
    )
    def test_the_number_may_be_withheld(
        self, number: str, config: Presentation | None, call: Presentation | None, sent: Presentation
    ) -> None:
        peer = RawPeer()
        peer.config = PeerConfig(SERVER, "101", "secret101", presentation=config)
        _, new = peer.called("1", calling_number=number, presentation=call, ani="556")
        assert elements(new).number(Element.CALLINGPRES) == sent
        assert elements(new).text(Element.CALLING_NUMBER) == number
        assert elements(new).text(Element.CALLING_ANI) == "556"

    def test_the_call_token_is_returned_once_more_with_the_same_number(self) -> None:
        peer = RawPeer()
        call, new = peer.called()
        peer.send(Command.CALLTOKEN, (Element.CALLTOKEN, b"token"), source=STATELESS_CALL_NUMBER, i_seq=1)
        (again,) = peer.got()
        assert again.is_command(Command.NEW)
        assert (again.source, again.o_seq, again.i_seq, again.retransmitted) == (new.source, 0, 0, False)
        assert elements(again).raw(Element.CALLTOKEN) == b"token"
        assert elements(again).values | {Element.CALLTOKEN: b""} == elements(new).values
        peer.i_seq = 1
        peer.send(Command.ACCEPT, (Element.FORMAT, 4))
        assert call.state is CallState.ACCEPTED

    def test_endless_and_late_call_tokens_are_ignored(self) -> None:
        peer = RawPeer()
        call, _ = peer.called()
        for _ in range(10):
            for _ in range(2):  # doubled: one answer, or there would be two dialogues at the server
                peer.send(Command.CALLTOKEN, (Element.CALLTOKEN, b"x"), source=STATELESS_CALL_NUMBER, i_seq=1)
            peer.now += 1.1
        assert len(peer.got()) == 3
        peer.send(Command.ACCEPT, (Element.FORMAT, 4))
        peer.got()
        peer.send(Command.CALLTOKEN, (Element.CALLTOKEN, b"x"), i_seq=1)
        assert peer.got() == []
        assert call.state is CallState.ACCEPTED

    def test_md5(self) -> None:
        peer = RawPeer()
        call, _ = peer.called()
        peer.send(Command.AUTHREQ, (Element.AUTHMETHODS, 3), (Element.CHALLENGE, b"123456"))
        (reply,) = peer.got()
        assert reply.is_command(Command.AUTHREP)
        expected = hashlib.md5(b"123456secret101").hexdigest().encode()
        assert elements(reply).values == {Element.MD5_RESULT: expected}
        peer.send(Command.ACCEPT, (Element.FORMAT2, 4), (Element.FORMAT, 8))
        assert peer.commands() == [ACK]
        assert call.format is ULAW  # FORMAT2 wins
        assert peer.events() == [CallAccepted(call)]

    def test_we_are_no_oracle(self) -> None:
        peer = RawPeer()
        peer.called()
        for n in range(10):
            peer.send(Command.AUTHREQ, (Element.AUTHMETHODS, 2), (Element.CHALLENGE, b"%d" % n))
        assert sum(frame.is_command(Command.AUTHREP) for frame in peer.got()) == MAX_CHALLENGES
        peer = RawPeer()
        peer.up()
        peer.send(Command.AUTHREQ, (Element.AUTHMETHODS, 2), (Element.CHALLENGE, b"1"))
        assert peer.commands() == [ACK]

    @pytest.mark.parametrize(("methods", "words"), [(1, "in clear"), (4, "private key"), (8, "neither MD5")])
    def test_other_methods_are_refused(self, methods: int, words: str) -> None:
        peer = RawPeer()
        call, _ = peer.called()
        peer.send(Command.AUTHREQ, (Element.AUTHMETHODS, methods), (Element.CHALLENGE, b"1"))
        (hangup,) = peer.got()
        assert hangup.is_command(Command.HANGUP)
        assert b"secret101" not in hangup.payload
        (ended,) = peer.events()
        assert isinstance(ended, CallEnded)
        assert ended.call is call
        assert words in ended.text

    def test_a_plain_secret_if_the_configuration_allows_it(self) -> None:
        peer = RawPeer()
        peer.config = PeerConfig(SERVER, "101", "secret101", allow_plaintext=True)
        peer.called()
        peer.send(Command.AUTHREQ, (Element.AUTHMETHODS, 1))
        (reply,) = peer.got()
        assert elements(reply).values == {Element.PASSWORD: b"secret101"}

    def test_the_way_to_a_call_that_is_up(self) -> None:
        peer = RawPeer()
        call, _ = peer.called()
        steps = [
            (Command.ACCEPT, IAX, CallAccepted(call), CallState.ACCEPTED),
            (Control.PROCEEDING, CONTROL, CallProceeding(call), CallState.ACCEPTED),
            (Control.PROGRESS, CONTROL, CallProgress(call), CallState.ACCEPTED),
            (Control.RINGING, CONTROL, CallRinging(call), CallState.RINGING),
            (Control.ANSWER, CONTROL, CallAnswered(call), CallState.UP),
        ]
        for subclass, type_, event, state in steps:
            peer.send(subclass, *([(Element.FORMAT, 4)] if type_ == IAX else []), type_=type_)
            assert peer.commands() == [ACK]
            assert peer.events() == [event]
            assert call.state is state

    @pytest.mark.parametrize(
        ("control", "kind", "cause"), [(Control.BUSY, CallBusy, 17), (Control.CONGESTION, CallCongestion, 34)]
    )
    def test_busy_and_congestion(self, control: int, kind: type, cause: int) -> None:
        peer = RawPeer()
        call, _ = peer.called()
        peer.send(Command.ACCEPT, (Element.FORMAT, 4))
        peer.events()
        peer.got()
        peer.send(control, type_=CONTROL)
        (hangup,) = peer.got()
        assert hangup.is_command(Command.HANGUP)
        first, second = peer.events()
        assert isinstance(first, kind)
        assert isinstance(second, CallEnded)
        assert (second.call, second.cause, second.local) == (call, cause, False)

    @pytest.mark.parametrize("command", [Command.REJECT, Command.HANGUP])
    @pytest.mark.parametrize("cause", [1, 3, 16, 17, 19, 20, 34, 50, None])
    def test_refusals_and_hang_ups_carry_their_causes(self, command: Command, cause: int | None) -> None:
        peer = RawPeer()
        call, _ = peer.called()
        pairs = [(Element.CAUSE, "no\r\nway")] + ([] if cause is None else [(Element.CAUSECODE, cause)])
        peer.send(command, *pairs)
        assert peer.commands() == [ACK]
        assert peer.events() == [CallEnded(call, cause, "noway", local=False)]
        assert call.state is CallState.ENDED

    def test_a_format_that_was_not_offered(self) -> None:
        peer = RawPeer()
        call, _ = peer.called(formats=(ULAW,))
        peer.send(Command.ACCEPT, (Element.FORMAT, 8))
        (hangup,) = peer.got()
        assert elements(hangup).number(Element.CAUSECODE) == 58
        (ended,) = peer.events()
        assert isinstance(ended, CallEnded)
        assert ended.cause == 58
        assert call.state is CallState.ENDED

    def test_no_answer_at_all(self) -> None:
        peer = RawPeer()
        call, _ = peer.called()
        peer.wait(19)
        assert peer.events() == []
        peer.wait(10)
        (ended,) = peer.events()
        assert ended == CallEnded(call, 27, "no answer from 192.0.2.1:4569", local=False)
        assert not call.heard
        peer.wait(15)
        assert peer.endpoint.statistics().dialogues == 0

    def test_a_server_that_acknowledges_new_and_dies(self) -> None:
        peer = RawPeer()
        call, _ = peer.called()
        peer.send(Command.ACK)
        peer.wait(60)
        (ended,) = peer.events()
        assert isinstance(ended, CallEnded)
        assert (ended.call, ended.cause) == (call, 27)
        assert call.heard

    def test_given_up_before_the_server_answered(self) -> None:
        peer = RawPeer()
        call, _ = peer.called()
        call.hangup(peer.now)
        assert peer.events() == [CallEnded(call, 16, "normal clearing", local=True)]
        peer.wait(1)
        assert peer.got() == []
        peer.send(Command.ACCEPT, (Element.FORMAT, 4))  # it was on its way
        hangups = [frame for frame in peer.got() if frame.is_command(Command.HANGUP)]
        assert len(hangups) == 1
        assert hangups[0].destination == peer.number
        assert peer.events() == []

    def test_given_up_before_the_call_token_came(self) -> None:
        peer = RawPeer()
        call, _ = peer.called()
        call.hangup(peer.now)
        peer.send(Command.CALLTOKEN, (Element.CALLTOKEN, b"token"), source=STATELESS_CALL_NUMBER, i_seq=1)
        peer.wait(30)
        assert peer.got() == []  # or the call would be placed, and ring somewhere

    @pytest.mark.parametrize("number", ["1" * 80, "12\r\n3", "\x00", "ü" * 60])
    def test_numbers_that_cannot_be_dialled(self, number: str) -> None:
        peer = RawPeer()
        with pytest.raises(ValueError, match="number to dial"):
            peer.endpoint.call(peer.config, number, peer.now)
        assert peer.endpoint.statistics().dialogues == 0


class TestEnding:
    def test_our_hang_up_is_repeated_until_acknowledged(self) -> None:
        peer = RawPeer()
        call = peer.up()
        call.hangup(peer.now, 16, "bye\n")
        (hangup,) = peer.got()
        assert elements(hangup).values == {Element.CAUSE: "bye", Element.CAUSECODE: 16}
        assert peer.events() == [CallEnded(call, 16, "bye", local=True)]
        call.hangup(peer.now)
        call.reject(peer.now)
        assert peer.got() == []
        assert peer.events() == []
        peer.wait(1)
        assert (IAX, Command.HANGUP) in peer.commands()
        peer.send(Command.ACK)
        peer.wait(5)
        assert peer.got() == []
        assert peer.endpoint.statistics().dialogues == 1  # lingers
        peer.wait(6)
        assert peer.endpoint.statistics().dialogues == 0

    def test_a_repeated_hang_up_of_theirs_is_acknowledged_while_lingering(self) -> None:
        peer = RawPeer()
        peer.up()
        at = peer.o_seq
        peer.send(Command.HANGUP, (Element.CAUSECODE, 16))
        assert peer.commands() == [ACK]
        peer.wait(5)
        peer.send(Command.HANGUP, (Element.CAUSECODE, 16), o_seq=at, retransmitted=True)
        assert peer.commands() == [ACK]
        assert len(peer.events()) == 1

    def test_a_hang_up_ahead_of_a_gap_ends_the_call(self) -> None:
        peer = RawPeer()
        call = peer.up()
        peer.send(Command.HANGUP, (Element.CAUSECODE, 16), o_seq=peer.o_seq + 3)
        (ack,) = peer.got()
        assert ack.is_command(Command.ACK)
        assert ack.i_seq == peer.o_seq + 4
        assert call.state is CallState.ENDED

    def test_a_hang_up_from_the_past_does_nothing(self) -> None:
        peer = RawPeer()
        call = peer.up()
        peer.send(Command.HANGUP, (Element.CAUSECODE, 16), o_seq=peer.o_seq - 2 & 255)
        assert call.state is CallState.UP

    def test_nothing_goes_out_after_the_end(self) -> None:
        peer = RawPeer()
        call = peer.up()
        peer.send(Command.HANGUP)
        peer.got()
        call.send_audio(SILENT, peer.now)
        call.send_dtmf("1", peer.now)
        call.answer(peer.now)
        assert peer.got() == []
        assert len(call.receive_audio()[0]) == 160


@pytest.mark.parametrize("state", CallState)
def test_every_command_in_every_state_is_handled_or_ignored(state: CallState) -> None:
    """The whole product of states and frames: nothing raises; what is not in the tables has no effect."""
    for subclass in range(128):
        for type_, table in ((IAX, COMMANDS), (CONTROL, CONTROLS)):
            peer = RawPeer()
            call, _ = peer.called()
            call.state = state
            peer.send(subclass, type_=type_, payload=b"")
            entry = table.get(subclass)
            if entry is None or state not in entry[0]:
                events = peer.events()
                # INVAL is handled below the tables; ended calls are only kept for acknowledgements
                if not (type_ == IAX and subclass == Command.INVAL):
                    assert events == [], (state, type_, subclass)
                    assert call.state is state
            frames = peer.got()
            if not (type_ == IAX and subclass in (2 + 2, 10, 18, 23, 24, 40)):
                assert frames, f"{state} {type_} {subclass}: not acknowledged"
