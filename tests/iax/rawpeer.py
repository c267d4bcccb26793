"""A server played by hand: each frame it sends is written in the test, each frame it gets is looked at."""

from __future__ import annotations

import random
from typing import Any

from iax import Call, Endpoint, Event, PeerConfig
from iax.elements import Element, Elements, Pair, decode_untrusted, encode
from iax.exchange import Exchange
from iax.frames import Address, Command, FrameType, FullFrame, MiniFrame
from iax.frames import decode_untrusted as decode_frame

SERVER: Address = ("192.0.2.1", 4569)
NUMBER = 5000
"""The server's own call number."""


class RawPeer:
    """Face to face with one endpoint and one dialogue of it."""

    def __init__(self, endpoint: Endpoint | Exchange | None = None, address: Address = SERVER) -> None:
        self.endpoint: Any = endpoint or Endpoint(random.Random(1), accept_from=[SERVER])
        self.address = address
        self.config = PeerConfig(SERVER, "101", "secret101")
        self.now = 1000.0
        self.number = NUMBER
        self.theirs = 0
        self.o_seq = 0
        self.i_seq = 0

    def send(
        self,
        subclass: int,
        *pairs: Pair,
        type_: int = FrameType.IAX,
        payload: bytes | None = None,
        **changes: int | bool,
    ) -> FullFrame:
        """Send a full frame, numbered as it should be unless CHANGES say otherwise."""
        fields: dict[str, int | bool] = {
            "source": self.number,
            "destination": self.theirs,
            "timestamp": int((self.now - 1000) * 1000) + 1,
            "o_seq": self.o_seq,
            "i_seq": self.i_seq,
        } | changes
        body = encode(pairs) if payload is None else payload
        frame = FullFrame(type=type_, subclass=subclass, payload=body, **fields)  # type: ignore[arg-type]
        if not frame.unnumbered and "o_seq" not in changes and subclass != Command.CALLTOKEN:
            self.o_seq = self.o_seq + 1 & 0xFF
        self.endpoint.receive(frame.encode(), self.address, self.now)
        return frame

    def mini(self, timestamp: int, payload: bytes) -> None:
        self.endpoint.receive(
            MiniFrame(self.number, timestamp & 0xFFFF, payload).encode(), self.address, self.now
        )

    def got(self) -> list[FullFrame]:
        """Return the full frames that the endpoint sent us since the last time."""
        frames = []
        for datagram, address in self.endpoint.datagrams_to_send():
            assert address == self.address
            frame = decode_frame(datagram)
            if isinstance(frame, FullFrame):
                frames.append(frame)
                self.theirs = frame.source
                if not frame.unnumbered and frame.o_seq == self.i_seq:
                    self.i_seq = self.i_seq + 1 & 0xFF
        return frames

    def commands(self) -> list[tuple[int, int]]:
        """Return (type, subclass) of what the endpoint sent."""
        return [(frame.type, frame.subclass) for frame in self.got()]

    def wait(self, duration_s: float) -> None:
        """Let time pass, running the endpoint's timers when they are due."""
        end = self.now + duration_s
        while (due := self.endpoint.next_timer()) is not None and due <= end:
            self.now = max(self.now, due)
            self.endpoint.handle_timer(self.now)
        self.now = end

    def may_be_forged(self, datagram: bytes) -> bool:
        """Say whether DATAGRAM is none that the true server could send for the dialogue, bit for bit.

        An attacker who writes the server's address, port and both call numbers right is beyond what IAX2 can
        tell apart without encryption; so is one who forges minis with the right number.
        """
        mine = self.number.to_bytes(2, "big")
        if datagram[:2] in (mine, b"\0\0"):
            return False
        full = (0x8000 | self.number).to_bytes(2, "big")
        return datagram[:2] != full or int.from_bytes(datagram[2:4], "big") & 0x7FFF != self.theirs

    def events(self) -> list[Event]:
        return self.endpoint.events()

    def dropped(self) -> dict[str, int]:
        return dict(self.endpoint.statistics().dropped)

    def called(self, number: str = "9000", **options: object) -> tuple[Call, FullFrame]:
        """Have the endpoint call us; return its call and its NEW."""
        call = self.endpoint.call(self.config, number, self.now, **options)  # type: ignore[arg-type]
        (new,) = self.got()
        assert new.is_command(Command.NEW)
        return call, new

    def up(self, **options: object) -> Call:
        """Have the endpoint call us, accept and answer."""
        call, _ = self.called(**options)
        self.send(Command.ACCEPT, (Element.FORMAT, 4))
        self.send(4, type_=FrameType.CONTROL)
        self.got()
        self.events()
        assert call.state.value == "up"
        return call


def elements(frame: FullFrame) -> Elements:
    return decode_untrusted(frame.payload)


ACK = (FrameType.IAX, Command.ACK)

EVERY_FRAME = [
    *((int(FrameType.IAX), subclass) for subclass in (*range(42), 64, 127, -1)),
    *((int(FrameType.CONTROL), subclass) for subclass in (*range(34), 127, -1)),
    *((int(kind), 4) for kind in FrameType if kind not in (FrameType.IAX, FrameType.CONTROL)),
    (0, 1),
    (77, 3),
    (255, -1),
]
"""Type and subclass of every kind of full frame, and of some that there are not."""
