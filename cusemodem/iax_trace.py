"""`iax2debug`: every IAX2 full frame in the log, as tshark would name it. Secrets' digests are masked."""

from __future__ import annotations

import logging

from iax import Endpoint
from iax.elements import Element
from iax.elements import decode_untrusted as decode_elements
from iax.frames import Address, BadFrame, Command, Control, FrameType, FullFrame, decode_untrusted

_MASKED = {Element.PASSWORD, Element.MD5_RESULT, Element.RSA_RESULT, Element.CALLTOKEN}
_log = logging.getLogger("cusemodem.iax2")


class TracedEndpoint:
    """Stands between socket and endpoint; logs what passes."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def receive(self, datagram: bytes, addr: Address, now: float) -> None:
        """Pass a datagram on."""
        _trace("received from", datagram, addr)
        self._endpoint.receive(datagram, addr, now)

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        """What has to go out."""
        datagrams = self._endpoint.datagrams_to_send()
        for datagram, addr in datagrams:
            _trace("sent to", datagram, addr)
        return datagrams


def _trace(what: str, datagram: bytes, addr: Address) -> None:
    if not datagram or not datagram[0] & 0x80:
        return  # a mini frame: fifty a second
    _log.info("%s %s:%d %s", what, addr[0], addr[1], describe(datagram))


def describe(datagram: bytes) -> str:
    """One line of printable text for a datagram, whatever is in it."""
    try:
        frame = decode_untrusted(datagram)
    except BadFrame as error:
        return f"bad frame of {len(datagram)} bytes: {error}"
    if not isinstance(frame, FullFrame):
        return type(frame).__name__
    name = _name(frame)
    numbers = (
        f"{frame.source}->{frame.destination} ts {frame.timestamp} oseq {frame.o_seq} iseq {frame.i_seq}"
    )
    again = " again" if frame.retransmitted else ""
    return f"{name}{again} {numbers}{_elements(frame)}"


def _name(frame: FullFrame) -> str:
    kinds: dict[int, type[Command] | type[Control]] = {
        FrameType.IAX: Command,
        FrameType.CONTROL: Control,
    }
    try:
        kind = FrameType(frame.type).name
    except ValueError:
        kind = f"type {frame.type}"
    try:
        return kinds[frame.type](frame.subclass).name if frame.type in kinds else f"{kind} {frame.subclass}"
    except ValueError:
        return f"{kind} {frame.subclass}"


def _elements(frame: FullFrame) -> str:
    if frame.type != FrameType.IAX:
        return ""
    try:
        found = decode_elements(frame.payload)
    except BadFrame as error:
        return f" bad elements: {error}"
    return "".join(f" {e.name}={'***' if e in _MASKED else repr(v)}" for e, v in found.values.items())
