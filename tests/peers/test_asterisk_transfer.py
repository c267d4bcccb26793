"""A server between us and a real Asterisk takes itself out (TXREQ): followed by both, or declined by us.

Asterisk itself has not asked for transfers since release 12, but goes along with one: so it is the far end
here, and the server that asks is a few lines on our endpoint.
"""

from __future__ import annotations

import pytest
import trio

from iax import ULAW, Call, CallAnswered, CallEnded, CallTransferred, Endpoint, IncomingCall, PeerConfig
from iax.elements import Element
from iax.frames import Command, FrameType
from tests.bed.asterisk import Asterisk
from tests.peers.iax_phone import Phone, numbered, phone_at

pytestmark = [pytest.mark.peer, pytest.mark.slow]
ID = 4711


class Talk:
    """Numbered frames into the call, and those that come back from Asterisk's echo."""

    def __init__(self, phone: Phone, call: Call) -> None:
        self.call = call
        self.sent: list[bytes] = []
        self.heard: list[bytes] = []
        phone.on_tick = self.tick

    def tick(self) -> None:
        if self.call.state.value == "up":
            self.sent.append(numbered(len(self.sent) + 1, ULAW))
            self.call.send_audio(self.sent[-1], trio.current_time())
            payload, lost = self.call.receive_audio()
            if not lost and payload in self.sent:
                self.heard.append(payload)


def answers(server: Phone, call: Call) -> set[int]:
    """The IAX commands that came from the far end of CALL."""
    return {
        datagram[11]
        for datagram, source, _ in server.captured
        if source == call.link.address and datagram[0] & 0x80 and datagram[10] == FrameType.IAX
    }


async def until(server: Phone, legs: tuple[Call, ...], command: Command) -> None:
    """Until COMMAND has come from the far ends of all LEGS."""
    for _ in range(200):
        if all(command in answers(server, leg) for leg in legs):
            return
        await trio.sleep(0.05)
    raise AssertionError(f"no {command.name}; instead: {[answers(server, leg) for leg in legs]}")


@pytest.mark.parametrize("follow", [True, False])
async def test_transfer(asterisk: Asterisk, *, follow: bool) -> None:
    async with phone_at(asterisk) as phone, phone_at(asterisk) as server:
        server.endpoint = Endpoint(server.endpoint._rng, accept_from_anyone=True)
        peer = PeerConfig(server.socket.address, "a", follow_transfers=follow)
        call = phone.endpoint.call(peer, "1", trio.current_time(), formats=(ULAW,))
        ours = (await server.wait(IncomingCall)).call
        theirs = server.endpoint.call(server.account("804"), "9002", trio.current_time(), formats=(ULAW,))
        legs = (ours, theirs)

        def relay() -> None:
            for leg, other in (legs, legs[::-1]):
                other.send_audio(leg.receive_audio()[0], trio.current_time())

        server.on_tick = relay
        await server.wait(CallAnswered)
        ours.answer(trio.current_time())
        await phone.wait(CallAnswered)
        talk = Talk(phone, call)
        await trio.sleep(1)
        assert talk.heard
        for leg, other in (legs, legs[::-1]):
            pairs = [(Element.APPARENT_ADDR, other.link.address), (Element.CALLNO, other.link.remote)]
            leg.send(Command.TXREQ, [*pairs, (Element.TRANSFERID, ID)], trio.current_time())
        if follow:
            await until(server, legs, Command.TXREADY)
            remotes = [leg.link.remote for leg in legs]
            for leg, remote in zip(legs, remotes[::-1], strict=True):
                leg.send(Command.TXREL, [(Element.CALLNO, remote)], trio.current_time())
            await phone.wait(CallTransferred)
            server.on_tick = lambda: None
            talk.heard.clear()
            await trio.sleep(2)
            assert len(talk.heard) > 10, "no echo straight from Asterisk"
            assert call.link.address == phone.server
        else:
            await until(server, (ours,), Command.TXREJ)
            talk.heard.clear()
            await trio.sleep(1)
            assert talk.heard, "the call through the server is disturbed"
            assert call.link.address == server.socket.address
        shown = await trio.to_thread.run_sync(asterisk.cli, "iax2 show channels")
        assert "IAX2/804-" in shown, shown
        call.hangup(trio.current_time())
        await phone.wait(CallEnded)
        await trio.sleep(0.5)
        assert call.link.all_acknowledged
