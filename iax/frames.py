"""The IAX2 datagrams: full frames, mini frames and meta (trunk) frames, to and from bytes.

Everything whose name ends in ``_untrusted`` reads bytes that anyone may have sent; it either returns or
raises `BadFrame`, never anything else. Lengths are compared before any field is read. Source: RFC 5456 §8.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import TypeAlias

Address: TypeAlias = tuple[str, int]
"""(numeric host, UDP port)."""

MAX_CALL_NUMBER = 0x7FFF
STATELESS_CALL_NUMBER = 1
"""The dummy source call number of answers that keep no state (call tokens); no dialogue ever has it."""

MAX_TRUNK_ENTRIES = 512


class BadFrame(Exception):  # noqa: N818 - the name says what it is: a bad frame
    """The datagram is not IAX2; the text says why. The only exception that parsing network bytes raises."""


class FrameType(IntEnum):
    """Frame types of full frames (RFC 5456 §8.2)."""

    DTMF = 1  # the key comes up; subclass is the ASCII digit
    VOICE = 2
    VIDEO = 3
    CONTROL = 4
    NULL = 5
    IAX = 6
    TEXT = 7
    IMAGE = 8
    HTML = 9
    COMFORT_NOISE = 10
    MODEM = 11
    DTMF_BEGIN = 12  # chan_iax2 only


class Command(IntEnum):
    """Subclasses of `FrameType.IAX` (RFC 5456 §8.4)."""

    NEW = 1
    PING = 2
    PONG = 3
    ACK = 4
    HANGUP = 5
    REJECT = 6
    ACCEPT = 7
    AUTHREQ = 8
    AUTHREP = 9
    INVAL = 10
    LAGRQ = 11
    LAGRP = 12
    REGREQ = 13
    REGAUTH = 14
    REGACK = 15
    REGREJ = 16
    REGREL = 17
    VNAK = 18
    DPREQ = 19
    DPREP = 20
    DIAL = 21
    TXREQ = 22
    TXCNT = 23
    TXACC = 24
    TXREADY = 25
    TXREL = 26
    TXREJ = 27
    QUELCH = 28
    UNQUELCH = 29
    POKE = 30
    PAGE = 31
    MWI = 32
    UNSUPPORT = 33
    TRANSFER = 34
    PROVISION = 35
    FWDOWNL = 36
    FWDATA = 37
    TXMEDIA = 38
    RTKEY = 39
    CALLTOKEN = 40


UNNUMBERED = frozenset({Command.ACK, Command.INVAL, Command.TXCNT, Command.TXACC, Command.VNAK})
"""Commands that consume no sequence number and are never acknowledged (RFC 5456 §7.2)."""


class Control(IntEnum):
    """Subclasses of `FrameType.CONTROL` that a modem acts upon (RFC 5456 §8.3 and chan_iax2)."""

    HANGUP = 1
    RINGING = 3
    ANSWER = 4
    BUSY = 5
    CONGESTION = 8
    PROGRESS = 14
    PROCEEDING = 15
    HOLD = 16
    UNHOLD = 17
    SOURCE_UPDATE = 20
    SOURCE_CHANGE = 26


# Full frame, 12 bytes:
# - F=1 and source call number (15 bits)
# - R and destination call number (15 bits)
# - timestamp, ms, 32 bits
# - OSeqno, ISeqno, frame type, C and subclass (8 bits each)
_FULL = Struct("!HHIBBBB")
# Mini frame, 4 bytes: F=0 and source call number (15 bits, not 0); low 16 bits of the timestamp
_MINI = Struct("!HH")
# Meta trunk, 8 bytes: 16 zero bits; V=0 and command 1; command data; trunk timestamp, 32 bits
_TRUNK = Struct("!HBBI")
# Trunk entries: command data 0: call number, length; command data 1: length, call number, 16-bit timestamp
_TRUNK_ENTRY = Struct("!HH")
_TRUNK_ENTRY_TIMESTAMPED = Struct("!HHH")


@dataclass(frozen=True, slots=True)
class FullFrame:
    """A full frame: reliable signalling, or voice with its whole timestamp."""

    source: int
    destination: int
    timestamp: int
    """Milliseconds since the sender's first frame of the dialogue, modulo 2^32."""
    o_seq: int
    i_seq: int
    type: int
    subclass: int
    """Value below 128, a power of two, or -1."""
    payload: bytes = b""
    retransmitted: bool = False

    def encode(self) -> bytes:
        """Return the datagram."""
        return (
            _FULL.pack(
                0x8000 | self.source,
                (0x8000 if self.retransmitted else 0) | self.destination,
                self.timestamp & 0xFFFFFFFF,
                self.o_seq,
                self.i_seq,
                self.type,
                encode_subclass(self.subclass),
            )
            + self.payload
        )

    def is_command(self, command: Command) -> bool:
        """Say whether this is the given IAX command."""
        return self.type == FrameType.IAX and self.subclass == command

    @property
    def unnumbered(self) -> bool:
        """True if the frame consumes no sequence number."""
        return self.type == FrameType.IAX and self.subclass in UNNUMBERED


@dataclass(frozen=True, slots=True)
class MiniFrame:
    """Unreliable voice in the format of the last full voice frame."""

    source: int
    timestamp: int
    """Low 16 bits of the sender's timestamp."""
    payload: bytes

    def encode(self) -> bytes:
        """Return the datagram."""
        return encode_mini(self.source, self.timestamp, self.payload)


@dataclass(frozen=True, slots=True)
class TrunkFrame:
    """Voice of several calls in one datagram."""

    timestamp: int
    """Of the trunk, whose zero is not that of any call."""
    entries: tuple[MiniFrame, ...]
    timestamped: bool
    """True if the entries carry their calls' own time stamps; else theirs is 0 and the trunk's counts."""


@dataclass(frozen=True, slots=True)
class MetaVideo:
    """A meta video frame: recognised in order to be dropped."""

    source: int


Frame: TypeAlias = FullFrame | MiniFrame | TrunkFrame | MetaVideo


def encode_subclass(value: int) -> int:
    """Return the C bit and subclass of VALUE; raise ValueError if it has no coding."""
    if 0 <= value < 0x80:
        return value
    if value == -1:
        return 0xFF
    if value > 0 and value & (value - 1) == 0:
        return 0x80 | (value.bit_length() - 1)
    raise ValueError(f"subclass {value} is neither below 128 nor a power of two")


def encode_mini(source: int, timestamp: int, payload: bytes) -> bytes:
    """Return a mini frame; only the low 16 bits of TIMESTAMP travel."""
    return _MINI.pack(source, timestamp & 0xFFFF) + payload


def decode_untrusted(datagram: bytes) -> Frame:
    """Return the frame in DATAGRAM; raise `BadFrame`."""
    if len(datagram) < 4:
        raise BadFrame(f"{len(datagram)} bytes are shorter than any frame")
    if datagram[0] & 0x80:
        return _decode_full_untrusted(datagram)
    source, second = _MINI.unpack_from(datagram)
    if source:
        return MiniFrame(source, second, datagram[4:])
    if second & 0x8000:
        return MetaVideo(second & 0x7FFF)
    return _decode_trunk_untrusted(datagram)


def _decode_full_untrusted(datagram: bytes) -> FullFrame:
    if len(datagram) < _FULL.size:
        raise BadFrame(f"full frame of {len(datagram)} bytes: its header has 12")
    source, destination, timestamp, o_seq, i_seq, frame_type, subclass = _FULL.unpack_from(datagram)
    source &= 0x7FFF
    if source == 0:
        raise BadFrame("full frame from call number 0")
    if subclass == 0xFF:
        subclass = -1
    elif subclass & 0x80:
        if subclass & 0x7F > 63:
            raise BadFrame(f"subclass 2^{subclass & 0x7F}")
        subclass = 1 << (subclass & 0x7F)
    return FullFrame(
        source,
        destination & 0x7FFF,
        timestamp,
        o_seq,
        i_seq,
        frame_type,
        subclass,
        datagram[_FULL.size :],
        bool(destination & 0x8000),
    )


def _decode_trunk_untrusted(datagram: bytes) -> TrunkFrame:
    if len(datagram) < _TRUNK.size:
        raise BadFrame(f"meta frame of {len(datagram)} bytes: its header has 8")
    _, command, data, timestamp = _TRUNK.unpack_from(datagram)
    if command != 1:
        raise BadFrame(f"meta command {command}")
    if data not in (0, 1):
        raise BadFrame(f"meta trunk data {data}")
    header = _TRUNK_ENTRY_TIMESTAMPED if data else _TRUNK_ENTRY
    entries: list[MiniFrame] = []
    position = _TRUNK.size
    while position < len(datagram):
        if len(datagram) - position < header.size:
            raise BadFrame("trunk entry header runs past the datagram")
        if len(entries) == MAX_TRUNK_ENTRIES:
            raise BadFrame(f"more than {MAX_TRUNK_ENTRIES} trunk entries")
        if data:
            length, source, entry_timestamp = header.unpack_from(datagram, position)
        else:
            source, length = header.unpack_from(datagram, position)
            entry_timestamp = 0
        position += header.size
        if length > len(datagram) - position:
            raise BadFrame("trunk entry runs past the datagram")
        if not 0 < source <= MAX_CALL_NUMBER:
            raise BadFrame(f"trunk entry of call number {source}")
        entries.append(MiniFrame(source, entry_timestamp, datagram[position : position + length]))
        position += length
    return TrunkFrame(timestamp, tuple(entries), bool(data))
