"""Our IAX2 against a real Asterisk: registration, calls out and in, causes, audio; tshark's opinion."""

from __future__ import annotations

import cmath
import json
import math
import struct
import subprocess
import time
from itertools import pairwise

import pytest
import trio

from iax import (
    ALAW,
    SLINEAR,
    ULAW,
    Call,
    CallAccepted,
    CallAnswered,
    CallBusy,
    CallCongestion,
    CallEnded,
    CallProgress,
    CallRinging,
    DtmfBegan,
    DtmfReceived,
    IncomingCall,
    Presentation,
    Registered,
    RegistrationRejected,
    RegistrationReleased,
    TextReceived,
)
from tests.bed.asterisk import BED, Asterisk, free_udp_port
from tests.peers.iax_phone import numbered, phone_at

pytestmark = [pytest.mark.peer, pytest.mark.slow]


async def test_registers_and_withdraws(asterisk: Asterisk) -> None:
    async with phone_at(asterisk) as phone:
        registration = phone.endpoint.register(phone.account("101"), trio.current_time())
        event = await phone.wait(Registered)
        assert event.refresh_s == 60
        assert event.apparent == phone.socket.address
        assert registration.registered(trio.current_time())
        shown = await trio.to_thread.run_sync(asterisk.cli, "iax2 show peer 101")
        assert f"Port {phone.socket.address[1]}" in shown
        registration.release(trio.current_time())
        assert (await phone.wait(RegistrationReleased)).confirmed
        shown = await trio.to_thread.run_sync(asterisk.cli, "iax2 show peer 101")
        assert f"Port {phone.socket.address[1]}" not in shown


@pytest.mark.asterisk_says("MD5 secret mismatch", "failed to authenticate")
async def test_a_wrong_secret_is_refused(asterisk: Asterisk) -> None:
    async with phone_at(asterisk) as phone:
        phone.endpoint.register(phone.account("102", "wrong"), trio.current_time())
        refused = await phone.wait(RegistrationRejected)
        assert (refused.cause, refused.text) == (29, "Registration Refused")
        phone.endpoint.call(phone.account("102", "wrong"), "9002", trio.current_time())
        ended = await phone.wait(CallEnded)
        assert (ended.cause, ended.local) == (50, False)
        assert "authority" in ended.text.lower()


@pytest.mark.parametrize("format_", [ULAW, ALAW, SLINEAR])
async def test_every_sample_comes_back_from_echo(asterisk: Asterisk, format_: object) -> None:
    async with phone_at(asterisk) as phone:
        call = phone.call("103", "9002", formats=(format_,))
        sent: list[bytes] = []
        heard: list[bytes] = []
        lost: list[bool] = []

        def tick() -> None:
            if call.state.value == "up":
                sent.append(numbered(len(sent) + 1, format_))
                call.send_audio(sent[-1], trio.current_time())
                payload, is_lost = call.receive_audio()
                heard.append(payload)
                lost.append(is_lost)

        phone.on_tick = tick
        await phone.wait(CallAnswered)
        assert call.format is format_
        await trio.sleep(4.0)
        call.hangup(trio.current_time())
        await phone.wait(CallEnded)
        first = heard.index(sent[0])
        assert first < 15
        n = len(heard) - first
        assert n > 150
        media = call.statistics().media
        assert media.frames_duplicate == 0
        # what arrived is never altered, repeated or out of order
        kept = iter(sent)
        assert all(frame in kept for frame, gone in zip(heard[first:], lost[first:], strict=True) if not gone)
        # both programs run on a busy machine: a stall longer than the buffer may cost a few blocks, no more
        print(f"{sum(lost)} of {n} blocks lost, worst tick {phone.worst_tick_s * 1000:.0f} ms, {media}")
        assert sum(lost) <= n // 20


async def test_milliwatt_is_1004_hz(asterisk: Asterisk) -> None:
    async with phone_at(asterisk) as phone:
        call = phone.call("104", "9003", formats=(SLINEAR,))
        heard = bytearray()

        def tick() -> None:
            if call.state.value == "up":
                call.send_audio(SLINEAR.silence(160), trio.current_time())
                heard.extend(call.receive_audio()[0])

        phone.on_tick = tick
        await phone.wait(CallAnswered)
        await trio.sleep(2.5)
        samples = struct.unpack(f"!{len(heard) // 2}h", heard)[-16000:]
        assert len(samples) == 16000
        power = sum(x * x for x in samples) / len(samples)
        level_dbm0 = 10 * math.log10(power / (22657**2 / 2))
        real = sum(x * math.cos(2 * math.pi * 1004 * n / 8000) for n, x in enumerate(samples))
        imaginary = sum(x * math.sin(2 * math.pi * 1004 * n / 8000) for n, x in enumerate(samples))
        tone = 2 * (real**2 + imaginary**2) / len(samples) ** 2
        print(f"level {level_dbm0:.2f} dBm0, {tone / power:.4f} of it at 1004 Hz")
        assert abs(level_dbm0) < 1
        assert tone / power > 0.99


@pytest.mark.parametrize(
    ("number", "kind", "cause"), [("9004", CallBusy, 17), ("9005", CallCongestion, 34), ("9010", None, 1)]
)
async def test_failures_have_their_causes(
    asterisk: Asterisk, number: str, kind: type | None, cause: int
) -> None:
    async with phone_at(asterisk) as phone:
        phone.call("105", number)
        ended = await phone.wait(CallEnded)
        assert (ended.cause, ended.local) == (cause, False)
        assert kind is None or any(isinstance(event, kind) for event in phone.events)


@pytest.mark.asterisk_says("request '8888888@bed' does not exist")
async def test_a_wrong_extension_is_refused(asterisk: Asterisk) -> None:
    async with phone_at(asterisk) as phone:
        phone.call("105", "8888888")
        ended = await phone.wait(CallEnded)
        assert (ended.cause, ended.local) == (3, False)
        assert not any(isinstance(event, CallAccepted) for event in phone.events)


async def test_the_far_end_hangs_up(asterisk: Asterisk) -> None:
    async with phone_at(asterisk) as phone:
        call = phone.call("106", "9011")
        phone.on_tick = lambda: call.send_audio(call.format.silence(160), trio.current_time())
        await phone.wait(CallAnswered)
        began = trio.current_time()
        ended = await phone.wait(CallEnded)
        assert (ended.cause, ended.local) == (16, False)
        assert 2.5 < trio.current_time() - began < 4
        assert call.statistics().duration_s == pytest.approx(3, abs=0.5)


async def test_ringing_and_early_media(asterisk: Asterisk) -> None:
    async with phone_at(asterisk) as phone:
        ringing = phone.call("107", "9006")
        await phone.wait(CallRinging)
        ringing.hangup(trio.current_time())
        await phone.wait(CallEnded)
        early = phone.call("107", "9012", formats=(ULAW,))
        await phone.wait(CallProgress)
        await trio.sleep(1)
        payload, lost = early.receive_audio()
        assert early.jitter.statistics().frames_received > 20
        assert len(payload) == 160
        assert not lost


async def test_asterisk_calls_us(asterisk: Asterisk) -> None:
    async with phone_at(asterisk) as phone:
        phone.endpoint.register(phone.account("108"), trio.current_time())
        await phone.wait(Registered)
        await trio.to_thread.run_sync(asterisk.originate, "108", "9002", "5557777", "Jane Caller")
        call = (await phone.wait(IncomingCall)).call
        assert (call.calling_number, call.calling_name, call.called_number) == (
            "5557777",
            "Jane Caller",
            "108",
        )
        call.ringing(trio.current_time())
        await trio.sleep(0.5)
        sent: list[bytes] = []
        heard: list[bytes] = []

        def tick() -> None:
            if call.state.value == "up":
                sent.append(numbered(len(sent) + 1, call.format))
                call.send_audio(sent[-1], trio.current_time())
                heard.append(call.receive_audio()[0])

        phone.on_tick = tick
        call.answer(trio.current_time())
        await trio.sleep(3)
        common = [frame for frame in sent if frame in heard]
        assert len(common) > 100
        first = heard.index(common[0])
        assert heard[first : first + len(common)] == common
        call.hangup(trio.current_time())


@pytest.mark.asterisk_says("Call rejected by .*: Busy")
async def test_a_refused_call_is_busy_for_asterisk(asterisk: Asterisk) -> None:
    async with phone_at(asterisk) as phone:
        phone.endpoint.register(phone.account("109"), trio.current_time())
        await phone.wait(Registered)
        caller = phone.call("110", "109")
        incoming = (await phone.wait(IncomingCall)).call
        incoming.reject(trio.current_time())
        await phone.wait(CallBusy)
        ended = await phone.wait(CallEnded, count=2)
        assert ended.call is caller
        assert ended.cause == 17


async def test_text_and_dtmf_both_ways(asterisk: Asterisk) -> None:
    async with phone_at(asterisk) as phone:
        call = phone.call("111", "9016")
        phone.on_tick = lambda: call.send_audio(call.format.silence(160), trio.current_time())
        assert (await phone.wait(TextReceived)).text == "hello from the bed"
        await phone.wait(DtmfReceived, count=5)
        assert "".join(event.digit for event in phone.events if isinstance(event, DtmfBegan)) == "1234#"
        digits = "".join(event.digit for event in phone.events if isinstance(event, DtmfReceived))
        assert digits == "1234#"
        call.hangup(trio.current_time())
        collecting = phone.call("111", "9017")
        phone.on_tick = lambda: collecting.send_audio(collecting.format.silence(160), trio.current_time())
        await phone.wait(CallAnswered, count=2)
        await trio.sleep(0.5)
        for digit in "4711":
            collecting.send_dtmf(digit, trio.current_time())
            await trio.sleep(0.2)
        await phone.wait(CallEnded, count=2)
        assert "\t4711\n" in (asterisk.rundir / "rec" / "digits.tsv").read_text()
        quick = phone.call("111", "9017")
        phone.on_tick = lambda: quick.send_audio(quick.format.silence(160), trio.current_time())
        await phone.wait(CallAnswered, count=3)
        await trio.sleep(0.5)
        for digit in "8826":
            quick.send_dtmf(digit, trio.current_time())
        await phone.wait(CallEnded, count=3)
        assert "\t8826\n" in (asterisk.rundir / "rec" / "digits.tsv").read_text()


async def test_a_key_is_down_for_as_long_as_it_was_pressed(asterisk: Asterisk) -> None:
    """Asterisk's Echo() sends back the beginning and the end of a digit, each when it comes."""
    async with phone_at(asterisk) as phone:
        call = phone.call("111", "9002")
        times: list[float] = []

        def tick() -> None:
            call.send_audio(call.format.silence(160), trio.current_time())
            keys = [event for event in phone.events if isinstance(event, DtmfBegan | DtmfReceived)]
            times.extend([trio.current_time()] * (len(keys) - len(times)))

        phone.on_tick = tick
        await phone.wait(CallAnswered)
        call.send_dtmf("5", trio.current_time(), duration_s=0.5)
        assert (await phone.wait(DtmfBegan)).digit == "5"
        assert (await phone.wait(DtmfReceived)).digit == "5"
        await trio.sleep(0.05)
        began, ended = times
        print(f"0.5 s come back as {ended - began:.3f} s")
        assert 0.4 < ended - began < 0.65
        call.hangup(trio.current_time())
        await trio.sleep(0.1)


@pytest.mark.asterisk_says("Call rejected by .*: Busy")
async def test_a_withheld_number_is_withheld_behind_asterisk(asterisk: Asterisk) -> None:
    async with phone_at(asterisk) as phone:
        phone.endpoint.register(phone.account("109"), trio.current_time())
        await phone.wait(Registered)
        for n, presentation in enumerate((Presentation.ALLOWED, Presentation.RESTRICTED), 1):
            phone.call("110", "109", calling_number="5551234", presentation=presentation)
            incoming = (await phone.wait(IncomingCall, count=n)).call
            assert incoming.presentation == presentation
            incoming.reject(trio.current_time())
            await phone.wait(CallEnded, count=2 * n)


async def test_qualify_pokes_are_answered(asterisk: Asterisk) -> None:
    async with phone_at(asterisk) as phone:
        phone.endpoint.register(phone.account("803"), trio.current_time())
        await phone.wait(Registered)
        await trio.sleep(3)
        shown = await trio.to_thread.run_sync(asterisk.cli, "iax2 show peer 803")
        assert "Status       : OK" in shown, shown


@pytest.mark.parametrize(
    ("account", "format_"),
    [("701", ULAW), ("702", ALAW), ("703", SLINEAR), ("806", SLINEAR), ("807", SLINEAR)],
)
async def test_the_server_chooses_the_format(asterisk: Asterisk, account: str, format_: object) -> None:
    async with phone_at(asterisk) as phone:
        peer = phone.account(account, "" if account == "806" else None)  # 806 has no secret
        call = phone.endpoint.call(peer, "9003", trio.current_time())
        phone.on_tick = lambda: call.send_audio(call.format.silence(160), trio.current_time())
        await phone.wait(CallAnswered)
        assert call.format is format_
        await trio.sleep(0.5)
        assert call.statistics().media.frames_received > 15
        call.hangup(trio.current_time())
        await trio.sleep(0.1)


@pytest.mark.parametrize(
    ("account", "cause", "words"),
    [("704", 58, "codec"), ("402", 50, "authority"), ("501", 50, "in clear"), ("301", 50, "private key")],
)
@pytest.mark.asterisk_says("incompatible with our capability", "force encrypt", "failed to authenticate")
async def test_what_cannot_work_is_refused_with_a_reason(
    asterisk: Asterisk, account: str, cause: int, words: str
) -> None:
    """No format in common; encryption forced, which is off here; nothing but a plain secret."""
    async with phone_at(asterisk) as phone:
        phone.call(account, "9002")
        ended = await phone.wait(CallEnded)
        assert ended.cause == cause
        assert words in ended.text


async def test_trunk_frames_are_heard_whole(asterisk: Asterisk) -> None:
    async with phone_at(asterisk) as phone:
        phone.endpoint.register(phone.account("801"), trio.current_time())
        await phone.wait(Registered)
        await trio.to_thread.run_sync(asterisk.originate, "801", "9003")
        call = (await phone.wait(IncomingCall)).call
        call.answer(trio.current_time())
        lost: list[bool] = []

        def tick() -> None:
            call.send_audio(call.format.silence(160), trio.current_time())
            lost.append(call.receive_audio()[1])

        phone.on_tick = tick
        await trio.sleep(3)
        assert any(datagram[:4] == b"\0\0\1\0" for datagram, _, _ in phone.captured), "no trunk frame came"
        media = call.statistics().media
        print(media)
        assert media.frames_received > 130
        assert sum(lost) <= 7
        call.hangup(trio.current_time())


async def test_thirty_two_modems_register_from_one_port(asterisk: Asterisk) -> None:
    async with phone_at(asterisk) as phone:
        for account in range(101, 133):
            phone.endpoint.register(phone.account(str(account)), trio.current_time())
        await phone.wait(Registered, count=32)
        shown = await trio.to_thread.run_sync(asterisk.cli, "iax2 show peers")
        assert sum(str(phone.socket.address[1]) in line for line in shown.splitlines()) == 32


def phase_cycles(block: bytes, first_sample: int) -> float:
    """Phase of the 1004 Hz tone in a block of slinear, against a clock that counts samples."""
    samples = struct.unpack(f"!{len(block) // 2}h", block)
    turned = (x * cmath.exp(-2j * math.pi * 1004 * (first_sample + n) / 8000) for n, x in enumerate(samples))
    return cmath.phase(sum(turned)) / (2 * math.pi) % 1


async def test_loss_does_not_move_what_follows_by_a_sample(asterisk: Asterisk) -> None:
    """3 % lost, 0 to 30 ms late: the tone that Asterisk sends keeps its phase across every gap."""
    port = free_udp_port()
    command = [
        *(str(BED / "udp-impair"), "--listen", str(port), "--to", str(asterisk.iax_port)),
        *("--direction", "down", "--loss", "3", "--delay", "0-30", "--media-only", "--seed", "5"),
    ]
    relay = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    assert relay.stdout is not None
    try:
        await trio.sleep(0.5)
        async with phone_at(asterisk) as phone:
            phone.server = ("127.0.0.1", port)
            call = phone.call("112", "9003", formats=(SLINEAR,))
            heard: list[tuple[bytes, bool]] = []

            def tick() -> None:
                if call.state.value == "up":
                    call.send_audio(SLINEAR.silence(160), trio.current_time())
                    heard.append(call.receive_audio())

            phone.on_tick = tick
            await phone.wait(CallAnswered, 30)
            await trio.sleep(8)
            media = call.statistics().media
            call.hangup(trio.current_time())
            await trio.sleep(0.3)
    finally:
        relay.terminate()
        counts = json.loads(await relay.stdout.receive_some())
        await relay.wait()
    silence = SLINEAR.silence(160)
    phases = [
        phase_cycles(block, at * 160)
        for at, (block, lost) in enumerate(heard)
        if not lost and block != silence
    ]
    steps = [abs((later - earlier + 0.5) % 1 - 0.5) for earlier, later in pairwise(phases)]
    moved = media.restarts + (media.samples_dropped + media.samples_inserted) // 160
    jumps = sum(step > 0.02 for step in steps)
    print(counts, media, f"{len(phases)} blocks, {jumps} jumps of the phase, {moved} moves of the buffer")
    assert counts["lost"]["down"] > 3
    assert len(phases) > len(heard) - 20 - 2 * counts["lost"]["down"]
    assert jumps <= moved


async def test_a_stall_of_both_ends_of_a_call_costs_no_audio(asterisk: Asterisk) -> None:
    """Two modems of one process: Asterisk stamps the time in which it stood, and no audio is missing."""
    async with phone_at(asterisk, formats=(ULAW,)) as phone:
        accounts = [phone.account(name) for name in ("107", "108")]
        for account in accounts:
            phone.endpoint.register(account, trio.current_time())
        await phone.wait(Registered, count=2)
        calls = [phone.call("107", "108")]
        calls.append((await phone.wait(IncomingCall)).call)
        calls[1].answer(trio.current_time())
        await phone.wait(CallAnswered)
        heard: dict[Call, list[tuple[bytes, bool]]] = {call: [] for call in calls}
        n_ticks = 0

        def tick() -> None:
            nonlocal n_ticks
            n_ticks += 1
            if n_ticks == 100:
                time.sleep(0.4)
            for call in calls:
                if not call.jitter.hold(160):
                    heard[call].append(call.receive_audio())
                call.send_audio(numbered(n_ticks, ULAW), trio.current_time())

        phone.on_tick = tick
        await trio.sleep(4.5)
    sent = {numbered(n, ULAW): n for n in range(1, n_ticks + 1)}
    for call in calls:
        numbers = [sent[payload] for payload, _ in heard[call] if payload in sent]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert numbers[0] < 50
        assert numbers[-1] > 150
        assert not any(lost for _, lost in heard[call])
        assert call.jitter.statistics().gaps_closed == 1
