"""A real Asterisk that goes away and comes back: while we register, idle, and in a call."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest
import trio

from iax import CallAnswered, CallEnded, Registered
from tests.bed.asterisk import Asterisk, AsteriskBed, run_bed
from tests.peers.iax_phone import Phone, phone_at

pytestmark = [pytest.mark.peer, pytest.mark.slow]
BACK_WITHIN_S = 10.0
SLACK_S = 2.0  # of a busy machine, and of the bed's own look whether it has booted


@pytest.fixture
def own_asterisk() -> Iterator[Asterisk]:
    bed = AsteriskBed()
    try:
        running = bed.start()
    except subprocess.CalledProcessError as error:
        bed.clean()
        pytest.skip(f"Asterisk could not be installed or started here: {error.stderr.strip()}")
    try:
        yield running
    finally:
        bed.clean()


def kill(asterisk: Asterisk) -> None:
    """As a power cut does: without a word to anyone."""
    os.kill(int((asterisk.rundir / "asterisk.pid").read_text()), signal.SIGKILL)


async def start(asterisk: Asterisk) -> None:
    await trio.to_thread.run_sync(run_bed, asterisk._environment, "start")


async def registered_again(phone: Phone, already: int) -> float:
    """Seconds until the registration after the first ALREADY ones."""
    began = trio.current_time()
    await phone.wait(Registered, BACK_WITHIN_S + SLACK_S, count=already + 1)
    return trio.current_time() - began


async def test_asterisk_restarts(own_asterisk: Asterisk) -> None:
    """Two phones: one in a call when Asterisk is killed, one that begins to register while it is away."""
    async with phone_at(own_asterisk) as phone, phone_at(own_asterisk) as other:
        peer = phone.account("101", refresh_s=10, reliable_voice=True)  # 10 s: the least it grants
        phone.endpoint.register(peer, trio.current_time())
        call = phone.endpoint.call(peer, "9002", trio.current_time())
        phone.on_tick = lambda: call.send_audio(call.format.silence(160), trio.current_time())
        await phone.wait(CallAnswered)
        await phone.wait(Registered)
        kill(own_asterisk)
        gone = trio.current_time()
        other.endpoint.register(other.account("102", refresh_s=10), gone)
        await trio.sleep(1)
        n_before = sum(isinstance(event, Registered) for event in phone.events)
        await start(own_asterisk)
        print(f"in a call: registered {await registered_again(phone, n_before):.1f} s after it is back")
        await other.wait(Registered, BACK_WITHIN_S + SLACK_S)
        ended = await phone.wait(CallEnded, 45)
        after_s = trio.current_time() - gone
        print(f"the call ended {after_s:.1f} s after the kill: {ended.cause}, {ended.text!r}")
        assert (ended.local, ended.cause) == (False, 27)
        assert ended.text.startswith("no answer from 127.0.0.1")
        n_before = sum(isinstance(event, Registered) for event in phone.events)
        await trio.to_thread.run_sync(run_bed, own_asterisk._environment, "restart")
        print(f"idle: registered {await registered_again(phone, n_before):.1f} s after it is back")
        phone.endpoint.call(peer, "9011", trio.current_time())
        await phone.wait(CallAnswered, count=2)
