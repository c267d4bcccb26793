"""Calls that are up, with a server played by hand: voice, keys, text, and what the server asks meanwhile."""

from __future__ import annotations

import pytest

from iax import (
    SLINEAR,
    CallEnded,
    CallState,
    DtmfBegan,
    DtmfReceived,
    FormatChanged,
    TextReceived,
)
from iax.elements import Element
from iax.frames import Command, FrameType
from iax.keypad import MAX_KEYS
from tests.iax.rawpeer import ACK, SERVER, RawPeer, elements

IAX, CONTROL, VOICE = FrameType.IAX, FrameType.CONTROL, FrameType.VOICE
SILENT = b"\xff" * 160


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
