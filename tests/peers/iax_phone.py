"""A phone for the tests with a real Asterisk: an endpoint on a real socket, ticking in real time."""

from __future__ import annotations

import random
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio

from iax import ALAW, ALL_FORMATS, SLINEAR, ULAW, Call, Endpoint, Event, Format, PeerConfig
from iax.frames import Address
from iax.socket import Socket
from tests.bed.asterisk import Asterisk

T = TypeVar("T")
TIMEOUT_S = 15


def numbered(n: int, format_: object) -> bytes:
    """A 20 ms frame that tells its number: level 0, 1 or 2 in each of 8 parts of 20 samples."""
    levels = {ULAW: (0xFF, 0x9F, 0x8F), ALAW: (0xD5, 0xB5, 0xA5)}
    digits = [n // 3**k % 3 for k in range(8)]
    if format_ is SLINEAR:
        return b"".join(struct.pack("!h", (0, 2000, 8000)[digit]) * 20 for digit in digits)
    return b"".join(bytes([levels[format_][digit]]) * 20 for digit in digits)


class Phone:
    """An endpoint on a real socket, ticking in real time; keeps all events and all datagrams."""

    def __init__(self, socket: Socket, server: Address, formats: Sequence[Format] = ALL_FORMATS) -> None:
        self.socket = socket
        self.server = server
        self.endpoint = Endpoint(random.Random(), formats=formats)
        self.events: list[Event] = []
        self.captured: list[tuple[bytes, Address, Address]] = []
        self.on_tick: Callable[[], None] = lambda: None
        self.worst_tick_s = 0.0

    def receive(self, datagram: bytes, addr: Address, now: float) -> None:
        self.captured.append((datagram, addr, self.socket.address))
        self.endpoint.receive(datagram, addr, now)

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        datagrams = self.endpoint.datagrams_to_send()
        self.captured += [(datagram, self.socket.address, addr) for datagram, addr in datagrams]
        return datagrams

    def account(self, name: str, secret: str | None = None, **options: Any) -> PeerConfig:  # noqa: ANN401
        secret = f"secret{name}" if secret is None else secret
        return PeerConfig(self.server, name, secret, **options)

    async def run(self) -> None:
        due = trio.current_time()
        while True:
            now = trio.current_time()
            self.socket.drain(self, now)
            self.endpoint.handle_timer(now)
            self.on_tick()
            self.socket.flush(self)
            self.events += self.endpoint.events()
            self.worst_tick_s = max(self.worst_tick_s, trio.current_time() - due)
            due += 0.02
            # as cusemodem.tick does: chan_iax2's threads swap frames that come less than 0.5 ms apart
            await trio.sleep_until(max(due, trio.current_time() + 0.005))

    def call(self, account: str, number: str, **options: object) -> Call:
        return self.endpoint.call(self.account(account), number, trio.current_time(), **options)

    async def hang_up(self) -> None:
        """End what calls there are: a phone that just vanishes makes Asterisk warn of it."""
        self.on_tick = lambda: None
        calls = [dialogue for dialogue in self.endpoint._dialogues if isinstance(dialogue, Call)]
        for call in calls:
            call.hangup(trio.current_time())
        for _ in range(50):
            if all(call.link.all_acknowledged for call in calls):
                break
            await trio.sleep(0.02)

    async def wait(self, kind: type[T], timeout_s: float = TIMEOUT_S, count: int = 1) -> T:
        with trio.move_on_after(timeout_s):
            while True:
                found = [event for event in self.events if isinstance(event, kind)]
                if len(found) >= count:
                    return found[-1]
                await trio.sleep(0.01)
        raise AssertionError(f"no {kind.__name__} within {timeout_s} s; saw {self.events}")


@asynccontextmanager
async def phone_at(
    asterisk: Asterisk, *, port: int | None = None, formats: Sequence[Format] = ALL_FORMATS
) -> AsyncIterator[Phone]:
    """PORT: of a relay to it, if not its own."""
    with await Socket.open("127.0.0.1", 0) as socket:
        phone = Phone(socket, ("127.0.0.1", port or asterisk.iax_port), formats)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(phone.run)
            try:
                yield phone
            finally:
                with trio.CancelScope(shield=True):
                    await phone.hang_up()
            nursery.cancel_scope.cancel()
