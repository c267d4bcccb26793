"""Information elements: one table, from which the encoder and the decoder both work (RFC 5456 §8.6).

All text that comes out of `decode_untrusted` is free of control characters, so no name or cause sent by the
network can forge a line of modem output or of a log.
"""

from __future__ import annotations

import ipaddress
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum
from struct import Struct
from typing import TypeAlias

from iax.frames import Address, BadFrame

MAX_VARIABLES = 32
MAX_UNKNOWN = 32
"""So many elements that we do not know are kept of a frame."""


class Element(IntEnum):
    """Information element numbers."""

    CALLED_NUMBER = 1
    CALLING_NUMBER = 2
    CALLING_ANI = 3
    CALLING_NAME = 4
    CALLED_CONTEXT = 5
    USERNAME = 6
    PASSWORD = 7
    CAPABILITY = 8
    FORMAT = 9
    LANGUAGE = 10
    VERSION = 11
    ADSICPE = 12
    DNID = 13
    AUTHMETHODS = 14
    CHALLENGE = 15
    MD5_RESULT = 16
    RSA_RESULT = 17
    APPARENT_ADDR = 18
    REFRESH = 19
    DPSTATUS = 20
    CALLNO = 21
    CAUSE = 22
    IAX_UNKNOWN = 23
    MSGCOUNT = 24
    AUTOANSWER = 25
    MUSICONHOLD = 26
    TRANSFERID = 27
    RDNIS = 28
    PROVISIONING = 29
    AESPROVISIONING = 30
    DATETIME = 31
    DEVICETYPE = 32
    SERVICEIDENT = 33
    FIRMWAREVER = 34
    FWBLOCKDESC = 35
    FWBLOCKDATA = 36
    PROVVER = 37
    CALLINGPRES = 38
    CALLINGTON = 39
    CALLINGTNS = 40
    SAMPLINGRATE = 41
    CAUSECODE = 42
    ENCRYPTION = 43
    ENCKEY = 44
    CODEC_PREFS = 45
    RR_JITTER = 46
    RR_LOSS = 47
    RR_PKTS = 48
    RR_DELAY = 49
    RR_DROPPED = 50
    RR_OOO = 51
    VARIABLE = 52
    OSPTOKEN = 53
    CALLTOKEN = 54
    CAPABILITY2 = 55
    FORMAT2 = 56
    CALLINGANI2 = 57


class Kind(Enum):
    """How an element's value is coded."""

    TEXT = "UTF-8 text"
    RAW = "octets"
    EMPTY = "nothing"
    U8 = "8-bit number"
    U16 = "16-bit number"
    U32 = "32-bit number"
    U64 = "version octet and 64-bit number"
    ADDRESS = "socket address"


# The one table. CHALLENGE and the results stay octets: they are hashed and compared as they came.
KINDS: dict[Element, Kind] = {
    Element.CALLED_NUMBER: Kind.TEXT,
    Element.CALLING_NUMBER: Kind.TEXT,
    Element.CALLING_ANI: Kind.TEXT,
    Element.CALLING_NAME: Kind.TEXT,
    Element.CALLED_CONTEXT: Kind.TEXT,
    Element.USERNAME: Kind.TEXT,
    Element.PASSWORD: Kind.RAW,
    Element.CAPABILITY: Kind.U32,
    Element.FORMAT: Kind.U32,
    Element.LANGUAGE: Kind.TEXT,
    Element.VERSION: Kind.U16,
    Element.ADSICPE: Kind.U16,
    Element.DNID: Kind.TEXT,
    Element.AUTHMETHODS: Kind.U16,
    Element.CHALLENGE: Kind.RAW,
    Element.MD5_RESULT: Kind.RAW,
    Element.RSA_RESULT: Kind.RAW,
    Element.APPARENT_ADDR: Kind.ADDRESS,
    Element.REFRESH: Kind.U16,
    Element.DPSTATUS: Kind.U16,
    Element.CALLNO: Kind.U16,
    Element.CAUSE: Kind.TEXT,
    Element.IAX_UNKNOWN: Kind.U8,
    Element.MSGCOUNT: Kind.U16,
    Element.AUTOANSWER: Kind.EMPTY,
    Element.MUSICONHOLD: Kind.TEXT,
    Element.TRANSFERID: Kind.U32,
    Element.RDNIS: Kind.TEXT,
    Element.PROVISIONING: Kind.RAW,
    Element.AESPROVISIONING: Kind.RAW,
    Element.DATETIME: Kind.U32,
    Element.DEVICETYPE: Kind.TEXT,
    Element.SERVICEIDENT: Kind.TEXT,
    Element.FIRMWAREVER: Kind.U16,
    Element.FWBLOCKDESC: Kind.U32,
    Element.FWBLOCKDATA: Kind.RAW,
    Element.PROVVER: Kind.U32,
    Element.CALLINGPRES: Kind.U8,
    Element.CALLINGTON: Kind.U8,
    Element.CALLINGTNS: Kind.U16,
    Element.SAMPLINGRATE: Kind.U16,
    Element.CAUSECODE: Kind.U8,
    Element.ENCRYPTION: Kind.U16,
    Element.ENCKEY: Kind.RAW,
    Element.CODEC_PREFS: Kind.TEXT,
    Element.RR_JITTER: Kind.U32,
    Element.RR_LOSS: Kind.U32,
    Element.RR_PKTS: Kind.U32,
    Element.RR_DELAY: Kind.U16,
    Element.RR_DROPPED: Kind.U32,
    Element.RR_OOO: Kind.U32,
    Element.VARIABLE: Kind.TEXT,
    Element.OSPTOKEN: Kind.RAW,
    Element.CALLTOKEN: Kind.RAW,
    Element.CAPABILITY2: Kind.U64,
    Element.FORMAT2: Kind.U64,
    Element.CALLINGANI2: Kind.U32,
}

_NUMBERS: dict[Kind, Struct] = {Kind.U8: Struct("!B"), Kind.U16: Struct("!H"), Kind.U32: Struct("!I")}
_U64 = Struct("!BQ")
_ADDRESS_LENGTHS = (16, 28)

Value: TypeAlias = str | int | bytes | Address | None
Pair: TypeAlias = tuple[Element, Value]


def clean_text(text: str) -> str:
    """Return TEXT without control, format, surrogate, unassigned and line-separating characters."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char
        for char in text
        if not (category := unicodedata.category(char)).startswith("C") and category not in ("Zl", "Zp")
    )


def fit_text(text: str, n_octets: int = 255) -> str:
    """Return the longest beginning of TEXT that has at most N_OCTETS octets of UTF-8."""
    octets = text.encode("utf-8", "replace")
    return text if len(octets) <= n_octets else octets[:n_octets].decode("utf-8", "ignore")


@dataclass(frozen=True, slots=True)
class Elements:
    """The information elements of one frame; absent ones read as "", b"" or None."""

    values: dict[Element, Value]
    variables: tuple[str, ...] = ()
    """Every VARIABLE element, "name=value"."""
    unknown: tuple[tuple[int, bytes], ...] = ()
    """Number and octets of elements that the table lacks, in their order."""

    def __contains__(self, element: Element) -> bool:
        return element in self.values

    def text(self, element: Element) -> str:
        """Return a text element, or ""."""
        value = self.values.get(element)
        return value if isinstance(value, str) else ""

    def raw(self, element: Element) -> bytes:
        """Return an octet element, or b""."""
        value = self.values.get(element)
        return value if isinstance(value, bytes) else b""

    def number(self, element: Element) -> int | None:
        """Return a numeric element, or None."""
        value = self.values.get(element)
        return value if isinstance(value, int) else None

    def address(self, element: Element) -> Address | None:
        """Return a socket address, or None."""
        value = self.values.get(element)
        return value if isinstance(value, tuple) else None

    def encode(self) -> bytes:
        """Return the octets: what the table has, VARIABLEs, and what is unknown as it came. Text that would
        not fit (each octet that was no UTF-8 has become three) is cut."""
        pairs = [*self.values.items(), *((Element.VARIABLE, variable) for variable in self.variables)]
        fitting: list[Pair] = [
            (element, fit_text(value) if isinstance(value, str) else value) for element, value in pairs
        ]
        return encode(fitting, self.unknown)


NO_ELEMENTS = Elements({})


def encode_datetime(moment: datetime) -> int:
    """Return the value of DATETIME for a local time from 2000 to 2127 (RFC 5456 §8.6.28)."""
    if not 2000 <= moment.year < 2128:
        raise ValueError(f"DATETIME holds the years 2000 to 2127, not {moment.year}")
    return (
        (moment.year - 2000) << 25
        | moment.month << 21
        | moment.day << 16
        | moment.hour << 11
        | moment.minute << 5
        | moment.second >> 1
    )


def datetime_of(elements: Elements) -> datetime | None:
    """Return DATETIME, the sender's local time; None if it is absent or no date."""
    value = elements.number(Element.DATETIME)
    if value is None:
        return None
    try:
        return datetime(  # the sender does not tell its zone
            2000 + (value >> 25),
            value >> 21 & 15,
            value >> 16 & 31,
            value >> 11 & 31,
            value >> 5 & 63,
            (value & 31) << 1,
        )
    except ValueError:
        return None


def encode(pairs: Iterable[Pair], unknown: Iterable[tuple[int, bytes]] = ()) -> bytes:
    """Return the octets of PAIRS in their order, and of the elements UNKNOWN to the table, by number; raise
    ValueError or TypeError if a value does not fit."""
    parts: list[bytes] = []
    for element, value in pairs:
        parts += _framed(element, element.name, _encode_value(element, value))
    for number, data in unknown:
        parts += _framed(number, f"element {number}", data)
    return b"".join(parts)


def _framed(number: int, name: str, data: bytes) -> tuple[bytes, bytes]:
    if len(data) > 255:
        raise ValueError(f"{name} has {len(data)} octets; an information element holds 255")
    return bytes((number, len(data))), data


def _encode_value(element: Element, value: Value) -> bytes:
    kind = KINDS[element]
    if kind is Kind.TEXT and isinstance(value, str):
        return value.encode()
    if kind is Kind.RAW and isinstance(value, bytes):
        return value
    if kind is Kind.EMPTY and value is None:
        return b""
    if kind is Kind.ADDRESS and isinstance(value, tuple):
        return _encode_address(value)
    if isinstance(value, int):
        if kind is Kind.U64 and 0 <= value < 1 << 64:
            return _U64.pack(0, value)
        struct = _NUMBERS.get(kind)
        if struct is not None and 0 <= value < 1 << 8 * struct.size:
            return struct.pack(value)
    raise ValueError(f"{element.name} is {kind.value}; {value!r} is not")


def _encode_address(address: Address) -> bytes:
    # struct sockaddr_in / sockaddr_in6 with the family in the byte order of the common machine
    # (little-endian)
    host, port = address
    packed = ipaddress.ip_address(host).packed
    if len(packed) == 4:
        return b"\x02\x00" + port.to_bytes(2, "big") + packed + bytes(8)
    return b"\x0a\x00" + port.to_bytes(2, "big") + bytes(4) + packed + bytes(4)


def decode_untrusted(payload: bytes) -> Elements:
    """Return the elements of PAYLOAD; raise `BadFrame` if any one is malformed. Unknown ones are kept."""
    if not payload:
        return NO_ELEMENTS
    values: dict[Element, Value] = {}
    variables: list[str] = []
    unknown: list[tuple[int, bytes]] = []
    for number, data in _split_untrusted(payload):
        if number not in _KNOWN:
            if len(unknown) < MAX_UNKNOWN:
                unknown.append((number, data))
            continue
        element = Element(number)
        value = _decode_value_untrusted(element, data)
        if element is Element.VARIABLE:
            if len(variables) < MAX_VARIABLES:
                variables.append(str(value))
        else:
            values[element] = value
    return Elements(values, tuple(variables), tuple(unknown))


_KNOWN = frozenset(int(element) for element in Element)


def _split_untrusted(payload: bytes) -> Iterator[tuple[int, bytes]]:
    position, end = 0, len(payload)
    while position < end:
        if end - position < 2:
            raise BadFrame("information element without a length")
        number, length = payload[position], payload[position + 1]
        position += 2
        if length > end - position:
            raise BadFrame(f"information element {number} runs past the datagram")
        yield number, payload[position : position + length]
        position += length


def _decode_value_untrusted(element: Element, data: bytes) -> Value:
    kind = KINDS[element]
    if kind is Kind.TEXT:
        return clean_text(data.decode("utf-8", "replace"))
    if kind is Kind.RAW:
        return data
    if kind is Kind.EMPTY:
        return None
    if kind is Kind.ADDRESS:
        return _decode_address_untrusted(data)
    if kind is Kind.U64:
        if len(data) != _U64.size:
            raise BadFrame(f"{element.name} of {len(data)} octets")
        version, value = _U64.unpack(data)
        if version != 0:
            raise BadFrame(f"{element.name} version {version}")
        return int(value)
    struct = _NUMBERS[kind]
    if len(data) != struct.size:
        raise BadFrame(f"{element.name} of {len(data)} octets")
    return int(struct.unpack(data)[0])


def _decode_address_untrusted(data: bytes) -> Address:
    if len(data) not in _ADDRESS_LENGTHS:
        raise BadFrame(f"socket address of {len(data)} octets")
    port = int.from_bytes(data[2:4], "big")
    packed = data[4:8] if len(data) == 16 else data[8:24]
    host = ipaddress.ip_address(packed)
    mapped = host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None
    return str(mapped or host), port  # a server with one socket for both families sees IPv4 as ::ffff:a.b.c.d
