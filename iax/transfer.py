"""Native transfer: the server between two IAX2 legs takes itself out (RFC 5456 §6.5; chan_iax2).

    server -> both     TXREQ: the other's address and call number, an id
    each -> the other  TXCNT until it answers TXACC: they can reach each other
    each -> server     TXREADY
    server -> both     TXREL; from then on the call goes on between the two, numbers and time stamps from 0
    TXREJ from anyone, or 10 s without an end: everything stays as it was

Off by default (`PeerConfig.follow_transfers`): a change of peers is a gap in the middle of a page. Only what
the server says begins it, and only the address that it names may take part.
"""

from __future__ import annotations

from dataclasses import dataclass

from iax.elements import Element, Elements, Pair, encode
from iax.frames import MAX_CALL_NUMBER, Address, Command, FrameType, FullFrame

CONNECT_EVERY_S = 0.5
TRANSFER_WAIT_S = 10.0


@dataclass(slots=True)
class Transfer:
    """One that is under way."""

    address: Address
    """The other leg's."""
    number: int
    """Its call number there."""
    id: int
    local: int
    """Our call number, towards it as towards the server."""
    deadline: float
    connect_due: float
    connected: bool = False
    """The other has answered, and the server knows."""

    @classmethod
    def asked_for(cls, elements: Elements, local: int, now: float) -> Transfer | None:
        """Return what TXREQ asks for, None if it lacks something or names nobody."""
        address = elements.address(Element.APPARENT_ADDR)
        number = elements.number(Element.CALLNO)
        id_ = elements.number(Element.TRANSFERID)
        if address is None or id_ is None or not address[1]:
            return None
        if number is None or not 1 < number <= MAX_CALL_NUMBER:
            return None
        return cls(address, number, id_, local, now + TRANSFER_WAIT_S, now)

    def frame(self, command: Command, clock: int) -> tuple[bytes, Address]:
        """Return TXCNT or TXACC for the other: neither numbered nor acknowledged."""
        pairs: list[Pair] = [(Element.TRANSFERID, self.id)]
        frame = FullFrame(self.local, self.number, clock, 0, 0, FrameType.IAX, command, encode(pairs))
        return frame.encode(), self.address

    def concerns(self, frame: FullFrame, elements: Elements, addr: Address) -> bool:
        """Say whether FRAME comes from the other and is of this transfer. chan_iax2's TXACC names no id."""
        id_ = elements.number(Element.TRANSFERID)
        unnamed = id_ is None and frame.is_command(Command.TXACC) and frame.destination == self.local
        return (
            addr == self.address
            and frame.source == self.number
            and frame.type == FrameType.IAX
            and frame.subclass in (Command.TXCNT, Command.TXACC)
            and (id_ == self.id or unnamed)
        )
