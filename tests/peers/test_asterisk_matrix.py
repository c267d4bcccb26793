"""Our IAX2 against a real Asterisk: every voice format, in clear, encrypted and trunked, calls both ways; and
voice that a lossy network takes away on its way there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import trio

from iax import (
    ALAW,
    SLINEAR,
    ULAW,
    ArrivalQueue,
    Call,
    CallAnswered,
    CallEnded,
    Encryption,
    Format,
    IncomingCall,
    Registered,
)
from tests.bed.asterisk import BED, Asterisk, free_udp_port
from tests.iax.network import Packet
from tests.peers.iax_phone import Phone, numbered, phone_at
from tests.peers.test_tshark_iax import dissect

pytestmark = [pytest.mark.peer, pytest.mark.slow]

TALK_S = 2.5
MODES = {
    "in clear": ({}, ("114", "115", "116")),
    "in full frames": ({"reliable_voice": True}, ("117", "118", "119")),
    "encrypted": ({"encryption": Encryption.REQUIRED}, ("401", "402", "403")),
    "trunked": ({"trunk": True}, ("801", "808", "809")),
}


class Talk:
    """Numbered frames into a call that echoes, and what comes back."""

    def __init__(self, phone: Phone, call: Call) -> None:
        self.call = call
        self.sent: list[bytes] = []
        self.heard: list[bytes] = []
        self.n_lost = 0
        phone.on_tick = self.tick

    def tick(self) -> None:
        if self.call.state.value == "up":
            self.sent.append(numbered(len(self.sent) + 1, self.call.format))
            self.call.send_audio(self.sent[-1], trio.current_time())
            payload, lost = self.call.receive_audio()
            if not lost and payload != self.call.format.silence(160):
                self.heard.append(payload)
            self.n_lost += lost

    def check(self, what: str) -> None:
        print(f"{what}: {len(self.heard)} of {len(self.sent)} frames back, {self.n_lost} blocks lost")
        assert set(self.heard) <= set(self.sent), f"{what}: altered audio"
        assert len(self.heard) > 10, what  # most of them on an idle machine


def is_trunk(datagram: bytes) -> bool:
    return len(datagram) > 8 and datagram[:3] == b"\x00\x00\x01"


async def both_ways(
    asterisk: Asterisk, mode: str, format_: Format, account: str, capture: list[Packet]
) -> None:
    options = MODES[mode][0]
    async with phone_at(asterisk, formats=(format_,)) as phone:
        peer = phone.account(account, **options)
        phone.endpoint.register(peer, trio.current_time())
        await phone.wait(Registered)
        for outgoing in (True, False):
            what = f"{mode}, {format_.name}, {'out' if outgoing else 'in'}"
            if outgoing:
                call = phone.endpoint.call(peer, "9002", trio.current_time())
                talk = Talk(phone, call)
                await phone.wait(CallAnswered)
            else:
                await trio.to_thread.run_sync(asterisk.originate, account, "9002")
                call = (await phone.wait(IncomingCall)).call
                talk = Talk(phone, call)
                call.answer(trio.current_time())
            await trio.sleep(TALK_S)
            assert call.format is format_, what
            assert call.encrypted is (mode == "encrypted"), what
            call.hangup(trio.current_time())
            await phone.wait(CallEnded, count=1 if outgoing else 2)
            await trio.sleep(0.2)
            talk.check(what)
            assert call.link.all_acknowledged, what
        assert phone.endpoint.statistics().dropped == {}, mode
        if mode != "encrypted":
            # under its usual port, by which tshark knows it
            usual = {phone.server: ("127.0.0.1", 4569), phone.socket.address: phone.socket.address}
            capture += [Packet(0.0, usual[a], usual[b], datagram) for datagram, a, b in phone.captured]
        ours = [d for d, source, _ in phone.captured if source == phone.socket.address]
        theirs = [d for d, source, _ in phone.captured if source != phone.socket.address]
        for way, datagrams in (("out", ours), ("in", theirs)):
            n_trunk = sum(map(is_trunk, datagrams))
            n_mini = sum(not d[0] & 0x80 and not is_trunk(d) for d in datagrams)
            if mode == "trunked" and way == "out" and format_ is SLINEAR:
                assert n_trunk == 0, "Asterisk 22 reads linear samples in trunk frames wrongly"
            elif mode == "trunked":
                assert n_trunk > 20, f"{way}: {n_trunk} trunk frames"
                assert n_mini == 0, way
            else:
                assert n_trunk == 0, way
            if mode == "in full frames" and way == "out":
                assert n_mini == 0


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
async def test_every_format_in_every_mode_both_ways(asterisk: Asterisk, tmp_path: Path) -> None:
    """Twelve phones at once, each with one format, calling and called; tshark reads what was in clear."""
    capture: list[Packet] = []
    async with trio.open_nursery() as nursery:
        for mode, (_, accounts) in MODES.items():
            for format_, account in zip((ULAW, ALAW, SLINEAR), accounts, strict=True):
                nursery.start_soon(both_ways, asterisk, mode, format_, account, capture)
    # of trunk frames tshark reads only the form with the calls' own time stamps: ours, not Asterisk's
    capture = [packet for packet in capture if packet.source[1] != 4569 or not is_trunk(packet.datagram)]
    rows = dissect(tmp_path / "iax.pcap", capture)
    assert len(rows) > 1000
    assert [row for row in rows if row[0] or "alformed" in row[1] or not row[2]] == []


async def test_what_the_network_loses_on_its_way_is_heard_all_the_same(asterisk: Asterisk) -> None:
    """5 % lost towards Asterisk: its echo still has every frame, in order."""
    port = free_udp_port()
    command = [BED / "udp-impair", "--listen", str(port), "--to", str(asterisk.iax_port)]
    command += ["--direction", "up", "--loss", "5", "--seed", "3"]
    relay = await trio.lowlevel.open_process(command, stdout=subprocess.DEVNULL)
    try:
        await trio.sleep(0.5)
        async with phone_at(asterisk, port=port) as phone:
            peer = phone.account("120", reliable_voice=True)
            now = trio.current_time()
            call = phone.endpoint.call(peer, "9002", now, formats=(ULAW,), playout=ArrivalQueue())
            talk = Talk(phone, call)
            await phone.wait(CallAnswered, 30)
            await trio.sleep(6)
            phone.on_tick = lambda: talk.heard.append(call.receive_audio()[0])
            await trio.sleep(1.0)
            resent = call.statistics().full_frames_resent
            received = call.statistics().media
            call.hangup(trio.current_time())
            await phone.wait(CallEnded)
    finally:
        relay.terminate()
        await relay.wait()
    print(f"{len(talk.sent)} sent, {resent} sent again; {received}")
    assert resent >= 5, "nothing was lost: this tests nothing"
    octets = b"".join(talk.heard).replace(ULAW.silence(160), b"")  # a queue that ran dry in mid-frame
    whole = [frame for frame in talk.sent if frame in octets or frame in talk.heard]
    assert len(whole) >= len(talk.sent) - 10, f"{len(talk.sent) - len(whole)} that Asterisk never had"
