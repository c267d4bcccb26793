"""Our IAX2 against a real Asterisk: AES-128, key rotation, RSA."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from iax import (
    SLINEAR,
    ULAW,
    Call,
    CallAnswered,
    CallEnded,
    Encryption,
    IncomingCall,
    PeerConfig,
    Registered,
    RegistrationRejected,
    RegistrationReleased,
)
from iax.frames import Command, FrameType
from tests.bed.asterisk import Asterisk
from tests.peers.iax_phone import Phone, numbered, phone_at

pytestmark = [pytest.mark.peer, pytest.mark.slow]


class Echo:
    """Sends numbered frames into a call and keeps what comes back."""

    def __init__(self, phone: Phone, call: Call) -> None:
        self.call = call
        self.sent: list[bytes] = []
        self.heard: list[bytes] = []
        self.lost: list[bool] = []
        phone.on_tick = self.tick

    def tick(self) -> None:
        if self.call.state.value == "up":
            self.sent.append(numbered(len(self.sent) + 1, self.call.format))
            self.call.send_audio(self.sent[-1], trio.current_time())
            payload, lost = self.call.receive_audio()
            self.heard.append(payload)
            self.lost.append(lost)

    def assert_whole(self, least: int) -> None:
        """Nothing altered, next to nothing lost. (The order is Asterisk's affair on a busy machine.)"""
        silence = self.call.format.silence(160)
        kept = {*self.sent, silence}
        assert all(frame in kept for frame, gone in zip(self.heard, self.lost, strict=True) if not gone)
        back = [frame for frame in self.heard if frame != silence]
        print(f"{len(back)} of {len(self.sent)} frames back, {sum(self.lost)} blocks lost")
        assert len(back) > least


def plain_after_challenge(phone: Phone) -> list[bytes]:
    """What we sent after AUTHREP that a listener could read."""
    ours = [datagram for datagram, source, _ in phone.captured if source == phone.socket.address]
    long = [datagram for datagram in ours if datagram[0] & 0x80 and len(datagram) >= 12]
    replies = [d for d in long if d[10] == FrameType.IAX and d[11] == Command.AUTHREP]
    silence = SLINEAR.silence(160), ULAW.silence(160)
    return replies + [d for d in ours if any(d.endswith(block) for block in silence)]


# Asterisk 22 rotates the keys of calls that it makes, not of those it takes
@pytest.mark.parametrize("format_", [ULAW, SLINEAR])
@pytest.mark.parametrize(
    ("account", "encryption", "rotates"),
    [
        ("401", Encryption.ALLOWED, False),
        ("402", Encryption.REQUIRED, False),
        ("403", Encryption.REQUIRED, False),
    ],
)
async def test_encrypted_calls_out(
    asterisk: Asterisk, account: str, encryption: Encryption, rotates: bool, format_: object
) -> None:
    async with phone_at(asterisk) as phone:
        peer = phone.account(account, encryption=encryption)
        call = phone.endpoint.call(peer, "9002", trio.current_time(), formats=(format_,))
        echo = Echo(phone, call)
        await phone.wait(CallAnswered)
        assert call.encrypted
        assert call.link.secrecy is not None
        assert call.link.secrecy.rotates is rotates
        for _ in range(4):
            await trio.sleep(0.7)
            call.change_key(trio.current_time())
        await trio.sleep(0.7)
        call.hangup(trio.current_time())
        await phone.wait(CallEnded)
        await trio.sleep(0.2)
        keys = sum(
            datagram[0] >= 0x80 and datagram[10:12] == bytes((FrameType.IAX, Command.RTKEY))
            for datagram, _, _ in phone.captured  # full frames: enciphered audio has any two bytes
        )
        assert keys == 0, "a key went out in clear"
        echo.assert_whole(100)
        assert plain_after_challenge(phone) == []
        assert phone.endpoint.statistics().dropped == {}
        assert call.frames_unreadable == 0
        assert call.link.all_acknowledged


async def test_asterisk_calls_us_encrypted(asterisk: Asterisk) -> None:
    async with phone_at(asterisk) as phone:
        for account in ("401", "402"):
            peer = phone.account(account, encryption=Encryption.REQUIRED)
            phone.endpoint.register(peer, trio.current_time())
        await phone.wait(Registered, count=2)
        for n, account in enumerate(("401", "402"), 1):
            await trio.to_thread.run_sync(asterisk.originate, account, "9002", "5557777", "Jane Caller")
            call = (await phone.wait(IncomingCall, count=n)).call
            assert call.account == account
            assert call.link.secrecy is not None
            assert call.link.secrecy.rotates
            assert call.calling_number == "5557777"
            echo = Echo(phone, call)
            call.ringing(trio.current_time())
            call.answer(trio.current_time())
            await trio.sleep(1.5)
            call.change_key(trio.current_time())
            await trio.sleep(1.5)
            call.hangup(trio.current_time())
            await phone.wait(CallEnded, count=n)
            echo.assert_whole(100)
            await trio.sleep(0.2)
        assert phone.endpoint.statistics().dropped == {}


async def test_a_server_that_does_not_encrypt_gets_no_call_where_it_is_required(asterisk: Asterisk) -> None:
    async with phone_at(asterisk) as phone:
        peer = phone.account("113", encryption=Encryption.REQUIRED)
        phone.endpoint.call(peer, "9002", trio.current_time())
        ended = await phone.wait(CallEnded)
        assert (ended.cause, "encrypt" in ended.text) == (50, True)


@pytest.mark.asterisk_says("Undecodable", "Information element length", "Max retries exceeded")
async def test_a_wrong_secret_ends_an_encrypted_call_too(asterisk: Asterisk) -> None:
    """chan_iax2 cannot read our AUTHREP and says nothing, or refuses: in any case the call ends by itself."""
    async with phone_at(asterisk) as phone:
        peer = phone.account("402", "wrong", encryption=Encryption.REQUIRED)
        call = phone.endpoint.call(peer, "9002", trio.current_time())
        ended = await phone.wait(CallEnded, timeout_s=50)
        # 27: silence, after 20 s (31 of 31 such calls at once); now and then the noise is a frame to it, and
        # prolongs the silence, or makes it refuse (50) or forget the call (81)
        assert (ended.local, ended.cause in (27, 50, 81)) == (False, True), ended
        assert ended.call is call


async def test_dialling_quickly_and_often_encrypted(asterisk: Asterisk) -> None:
    """asterisk/asterisk#457: frames in quick succession at the start of an encrypted call."""
    async with phone_at(asterisk) as phone:
        peer = phone.account("402", encryption=Encryption.REQUIRED)
        for n in range(1, 21):
            call = phone.endpoint.call(peer, "9002", trio.current_time())
            await phone.wait(CallAnswered, count=n)
            call.send_dtmf("5", trio.current_time())
            call.send_text("quick", trio.current_time())
            call.change_key(trio.current_time())
            call.send_audio(call.format.silence(160), trio.current_time())
            call.send_dtmf("6", trio.current_time())
            call.hangup(trio.current_time())
            await phone.wait(CallEnded, count=n)
        await trio.sleep(1)
        assert phone.endpoint.statistics().dropped == {}
        log = (asterisk.rundir / "log" / "full").read_text(errors="replace")
        print(f"{log.count('Packet Decrypt Failed')} frames that Asterisk could not decrypt, of 20 calls")
        assert all(call.link.all_acknowledged for call in [call])


def rsa_keys(asterisk: Asterisk) -> tuple[bytes, bytes]:
    keys = Path(asterisk.rundir) / "lib" / "keys"
    if not (keys / "bed-peer.key").exists():
        pytest.skip("no openssl to make the keys with")
    return (keys / "bed-peer.key").read_bytes(), (keys / "bed-server.pub").read_bytes()


async def test_rsa_both_ways(asterisk: Asterisk) -> None:
    private, server = rsa_keys(asterisk)
    async with phone_at(asterisk) as phone:
        peer = PeerConfig(phone.server, "301", private_key=private, server_key=server, challenge_calls=True)
        phone.endpoint.register(peer, trio.current_time())
        await phone.wait(Registered)
        out = phone.endpoint.call(peer, "9002", trio.current_time())
        await phone.wait(CallAnswered)
        out.hangup(trio.current_time())
        await phone.wait(CallEnded)
        await trio.to_thread.run_sync(asterisk.originate, "301", "9003")
        call = (await phone.wait(IncomingCall)).call
        assert call.account == "301"
        call.answer(trio.current_time())
        await trio.sleep(0.5)
        assert call.statistics().media.frames_received > 10
        call.hangup(trio.current_time())
        await trio.sleep(0.2)


async def test_a_plain_secret_where_it_is_allowed(asterisk: Asterisk) -> None:
    async with phone_at(asterisk) as phone:
        peer = phone.account("501", allow_plaintext=True)
        registration = phone.endpoint.register(peer, trio.current_time())
        await phone.wait(Registered)
        shown = await trio.to_thread.run_sync(asterisk.cli, "iax2 show peer 501")
        assert f"Port {phone.socket.address[1]}" in shown
        call = phone.endpoint.call(peer, "9002", trio.current_time())
        await phone.wait(CallAnswered)
        call.hangup(trio.current_time())
        await phone.wait(CallEnded)
        registration.release(trio.current_time())
        assert (await phone.wait(RegistrationReleased)).confirmed
        ours = [datagram for datagram, source, _ in phone.captured if source == phone.socket.address]
        assert sum(b"secret501" in datagram for datagram in ours) >= 3  # registration, call, release


async def test_asterisk_brings_back_the_call_token_that_its_call_needs(asterisk: Asterisk) -> None:
    async with phone_at(asterisk) as phone:
        peer = phone.account("113", demand_call_token=True)
        phone.endpoint.register(peer, trio.current_time())
        await phone.wait(Registered)
        await trio.to_thread.run_sync(asterisk.originate, "113", "9003")
        call = (await phone.wait(IncomingCall)).call
        demands = [
            datagram
            for datagram, source, _ in phone.captured
            if source == phone.socket.address and datagram[10:12] == bytes((FrameType.IAX, Command.CALLTOKEN))
        ]
        assert len(demands) == 1
        call.answer(trio.current_time())
        await trio.sleep(0.5)
        assert call.statistics().media.frames_received > 10
        assert phone.endpoint.statistics().calls_offered == 1
        call.hangup(trio.current_time())
        await trio.sleep(0.2)


@pytest.mark.asterisk_says("failed to authenticate", "mismatch", "RSA", "signature", "key")
async def test_another_key_is_refused(asterisk: Asterisk) -> None:
    rsa_keys(asterisk)
    from tests.iax.keys import PRIVATE_KEY

    async with phone_at(asterisk) as phone:
        peer = PeerConfig(phone.server, "301", private_key=PRIVATE_KEY)
        phone.endpoint.register(peer, trio.current_time())
        assert (await phone.wait(RegistrationRejected)).cause == 29
