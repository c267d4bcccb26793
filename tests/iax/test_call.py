"""Calls against a server played by hand: every answer to NEW, every end, every frame that must not matter."""

from __future__ import annotations

import hashlib
import random

import pytest

from iax import (
    ALAW,
    SLINEAR,
    ULAW,
    Account,
    CallAccepted,
    CallAnswered,
    CallBusy,
    CallCongestion,
    CallEnded,
    CallProceeding,
    CallProgress,
    CallRinging,
    CallState,
    DtmfBegan,
    DtmfReceived,
    Endpoint,
    FormatChanged,
    IncomingCall,
    PeerConfig,
    Presentation,
    TextReceived,
)
from iax.call_machine import COMMANDS, CONTROLS, MAX_CHALLENGES
from iax.elements import Element
from iax.formats import Format
from iax.frames import STATELESS_CALL_NUMBER, Command, Control, FrameType
from iax.keypad import MAX_KEYS
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


class TestInACall:
    def test_ping_pong_with_a_receiver_report(self) -> None:
        peer = RawPeer()
        call = peer.up()
        peer.send(4, type_=VOICE, payload=SILENT)
        peer.got()
        ping = peer.send(Command.PING)
        (pong,) = peer.got()
        assert pong.is_command(Command.PONG)
        assert pong.timestamp == ping.timestamp
        assert elements(pong).number(Element.RR_PKTS) == 1
        assert set(elements(pong).values) == {Element(n) for n in range(46, 52)}
        peer.wait(10.1)
        assert (IAX, Command.PING) in peer.commands()
        loss = (Element.RR_LOSS, 5 << 24 | 77)
        peer.send(Command.PONG, loss, (Element.RR_JITTER, 3))
        assert call.statistics().peer_loss_count == 77
        assert call.statistics().peer_jitter_ms == 3

    def test_lag_request(self) -> None:
        peer = RawPeer()
        peer.up()
        lagrq = peer.send(Command.LAGRQ)
        (lagrp,) = peer.got()
        assert lagrp.is_command(Command.LAGRP)
        assert lagrp.timestamp == lagrq.timestamp

    def test_transfer_is_declined(self) -> None:
        peer = RawPeer()
        call = peer.up()
        peer.send(Command.TXREQ, (Element.APPARENT_ADDR, ("203.0.113.1", 4569)), (Element.CALLNO, 7))
        assert peer.commands() == [(IAX, Command.TXREJ)]
        peer.send(Command.TXREL, (Element.CALLNO, 7))
        assert call.link.address == SERVER
        assert call.state is CallState.UP

    @pytest.mark.parametrize(
        "subclass", [Command.PROVISION, Command.FWDOWNL, Command.DPREQ, Command.DIAL, Command.PAGE, 77, 127]
    )
    def test_unknown_commands_are_unsupported(self, subclass: int) -> None:
        peer = RawPeer()
        call = peer.up()
        peer.send(subclass)
        (reply,) = peer.got()
        assert reply.is_command(Command.UNSUPPORT)
        assert elements(reply).values == {Element.IAX_UNKNOWN: subclass}
        assert call.state is CallState.UP

    def test_unsupport_is_not_answered_with_unsupport(self) -> None:
        peer = RawPeer()
        peer.up()
        peer.send(Command.UNSUPPORT, (Element.IAX_UNKNOWN, 77))
        assert peer.commands() == [ACK]

    @pytest.mark.parametrize("type_", [3, 5, 8, 9, 10, 11, 12, 99])
    def test_other_frame_types_are_acknowledged(self, type_: int) -> None:
        peer = RawPeer()
        call = peer.up()
        peer.send(5, type_=type_, payload=b"\x01\xff\xff")
        assert peer.commands() == [ACK]
        assert peer.events() == []
        assert call.state is CallState.UP

    def test_dtmf_and_text(self) -> None:
        peer = RawPeer()
        call = peer.up()
        for type_ in (FrameType.DTMF_BEGIN, FrameType.DTMF):
            peer.send(ord("#"), type_=type_)
            peer.send(ord("x"), type_=type_)
        peer.send(0, type_=FrameType.TEXT, payload=b"hello\r\nCONNECT\0")
        assert peer.events() == [
            DtmfBegan(call, "#"),
            DtmfReceived(call, "#"),
            TextReceived(call, "helloCONNECT"),
        ]
        peer.got()
        for press in (call.send_dtmf, call.dtmf_down, call.dtmf_up):
            with pytest.raises(ValueError, match="DTMF"):
                press("x", peer.now)
        call.dtmf_down("*", peer.now)
        call.dtmf_up("*", peer.now)
        assert peer.commands() == [(FrameType.DTMF_BEGIN, ord("*")), (FrameType.DTMF, ord("*"))]

    def test_digits_that_are_dialled_at_once_are_pressed_one_after_the_other(self) -> None:
        peer = RawPeer()
        call = peer.up()
        began = peer.now
        for digit in "12a":
            call.send_dtmf(digit, peer.now)
        pressed = []
        while len(pressed) < 6:
            assert peer.now < began + 1
            for frame in peer.got():
                if frame.type in (FrameType.DTMF_BEGIN, FrameType.DTMF) and not frame.retransmitted:
                    pressed.append((chr(frame.subclass), frame.type, peer.now - began))
            peer.send(Command.ACK)
            peer.wait(0.01)
        assert [key for key, _, _ in pressed] == list("1122AA")
        assert [type_ for _, type_, _ in pressed] == [FrameType.DTMF_BEGIN, FrameType.DTMF] * 3
        times = [time for _, _, time in pressed]
        assert times == pytest.approx([0.0, 0.1, 0.18, 0.28, 0.36, 0.46], abs=0.011)

    def test_more_digits_than_anyone_dials_take_no_room(self) -> None:
        peer = RawPeer()
        call = peer.up()
        for _ in range(1000):
            call.send_dtmf("1", peer.now)
        n_digits = 0
        for _ in range(3000):
            peer.wait(0.01)
            n_digits += sum(f.type == FrameType.DTMF and not f.retransmitted for f in peer.got())
            peer.send(Command.ACK)
        assert n_digits == MAX_KEYS
        assert call.state is CallState.UP

    def test_audio_both_ways(self) -> None:
        peer = RawPeer()
        call = peer.up()
        for n in range(20):
            if n == 0:
                peer.send(4, type_=VOICE, payload=bytes([n + 1]) * 160, timestamp=20)
            else:
                peer.mini(20 + n * 20, bytes([n + 1]) * 160)
            peer.now += 0.02
        heard = [call.receive_audio() for _ in range(4)]
        assert heard == [(bytes([n + 1]) * 160, False) for n in range(16, 20)]
        peer.got()
        call.send_audio(SILENT, peer.now)
        (voice,) = peer.got()
        assert (voice.type, voice.subclass, voice.payload) == (VOICE, 4, SILENT)
        assert voice.timestamp % 20 == 0

    def test_a_lost_first_voice_frame_is_asked_for_and_costs_no_audio(self) -> None:
        peer = RawPeer()
        call = peer.up()
        lost_o_seq = peer.o_seq
        for n in range(1, 6):
            peer.now += 0.02
            peer.mini(n * 20, bytes([n]) * 160)
        assert peer.commands() == [(IAX, Command.VNAK)]
        peer.send(
            4, type_=VOICE, payload=bytes([99]) * 160, timestamp=0, o_seq=lost_o_seq, retransmitted=True
        )
        assert call.statistics().media.frames_received == 6
        assert call.statistics().media.restarts == 0

    def test_a_voice_frame_ahead_of_a_gap_is_heard_at_once(self) -> None:
        peer = RawPeer()
        call = peer.up()
        peer.send(4, type_=VOICE, payload=SILENT, timestamp=20, o_seq=peer.o_seq + 1)
        assert peer.commands() == [(IAX, Command.VNAK)]
        assert call.statistics().media.frames_received == 1

    def test_a_change_of_format_in_mid_call(self) -> None:
        peer = RawPeer()
        call = peer.up()
        peer.send(4, type_=VOICE, payload=SILENT, timestamp=20)
        peer.send(0x40, type_=VOICE, payload=bytes(320), timestamp=40)
        assert peer.events() == [FormatChanged(call, SLINEAR)]
        assert call.receive_audio() == (bytes(320), False)
        peer.got()
        call.send_audio(bytes(320), peer.now)
        assert peer.commands() == [(VOICE, 0x40)]
        peer.send(0x100, type_=VOICE, payload=bytes(33), timestamp=60)  # G.729 was never offered
        assert call.format is SLINEAR
        assert call.statistics().frames_out_of_state == 1

    def test_dead_peer(self) -> None:
        peer = RawPeer()
        call = peer.up()
        peer.got()
        peer.wait(40)
        (ended,) = peer.events()
        assert ended == CallEnded(call, 27, "no answer from 192.0.2.1:4569", local=False)
        assert call.heard

    def test_forged_inval_does_not_end_a_call_that_is_up(self) -> None:
        peer = RawPeer()
        call = peer.up()
        peer.send(Command.INVAL)
        assert peer.commands() == [(IAX, Command.PING)]
        peer.now += 0.01
        peer.send(Command.PONG)
        peer.wait(3)
        assert call.state is CallState.UP
        peer.send(Command.INVAL)
        peer.wait(2.1)
        (ended,) = peer.events()
        assert isinstance(ended, CallEnded)
        assert ended.cause == 81

    def test_inval_ends_a_call_that_is_not_up(self) -> None:
        peer = RawPeer()
        call, _ = peer.called()
        peer.send(Command.INVAL)
        assert call.state is CallState.ENDED


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
