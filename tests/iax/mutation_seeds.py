"""Good datagrams of every kind, for mutation to begin from."""

from __future__ import annotations

import random

from iax.elements import KINDS, Element, Kind, Pair, Value, encode
from iax.encryption import FrameCipher
from iax.formats import Format
from iax.frames import STATELESS_CALL_NUMBER, Command, FrameType, FullFrame, MiniFrame
from iax.trunk import TrunkSender

KEY = bytes(range(16))
SOURCE, DESTINATION = 0x1234, 0x2345
"""Placeholders: whoever sends a datagram writes the numbers of a dialogue there."""

_VALUES: dict[Kind, Value] = {
    Kind.TEXT: "9000",
    Kind.RAW: b"123456789",
    Kind.EMPTY: None,
    Kind.U8: 16,
    Kind.U16: 2,
    Kind.U32: 4,
    Kind.U64: 4,
    Kind.ADDRESS: ("198.51.100.2", 4569),
}
_OTHERS: dict[Element, Value] = {
    Element.ENCRYPTION: 0x8001,
    Element.CHALLENGE: bytes(16),
    Element.MD5_RESULT: b"0" * 32,
    Element.RSA_RESULT: b"A" * 172,
    Element.CALLNO: 77,
    Element.REFRESH: 60,
    Element.CODEC_PREFS: "CDJ",
    Element.CAPABILITY: 0x4C,
    Element.CAPABILITY2: 0x4C,
    Element.DATETIME: 26 << 25 | 11 << 21 | 29 << 16 | 22 << 11,
    Element.VARIABLE: "name=value",
    Element.CALLTOKEN: b"1000000?" + b"0" * 40,
    Element.CALLING_NAME: "Zoë \u202e\x07",
}


def pair(element: Element) -> Pair:
    """The element with a value as programs send it."""
    return element, _OTHERS.get(element, _VALUES[KINDS[element]])


def pairs(names: str) -> list[Pair]:
    return [pair(Element[name]) for name in names.split()]


NEW = pairs(
    "VERSION CALLED_NUMBER CODEC_PREFS CALLING_NUMBER CALLINGPRES CALLINGTON CALLINGTNS CALLING_NAME DNID"
    " CALLED_CONTEXT USERNAME FORMAT FORMAT2 CAPABILITY CAPABILITY2 DATETIME CALLTOKEN"
)
CALL = [one for one in NEW if one[0] not in (Element.CALLED_NUMBER, Element.USERNAME, Element.CALLTOKEN)]
"""NEW without what differs."""
BODIES: dict[Command, list[list[Pair]]] = {
    Command.NEW: [NEW, [*NEW[:-1], (Element.CALLTOKEN, b"")], NEW[:-1], [*NEW, *pairs("ENCRYPTION")]],
    Command.ACCEPT: [pairs("FORMAT FORMAT2"), pairs("FORMAT")],
    Command.AUTHREQ: [
        pairs("AUTHMETHODS CHALLENGE USERNAME"),
        pairs("AUTHMETHODS CHALLENGE USERNAME ENCRYPTION"),
        [(Element.AUTHMETHODS, 7), *pairs("CHALLENGE USERNAME")],
    ],
    Command.AUTHREP: [pairs("MD5_RESULT"), pairs("RSA_RESULT"), pairs("PASSWORD")],
    Command.REJECT: [pairs("CAUSE CAUSECODE")],
    Command.HANGUP: [pairs("CAUSE CAUSECODE")],
    Command.PONG: [pairs("RR_JITTER RR_LOSS RR_PKTS RR_DELAY RR_DROPPED RR_OOO")],
    Command.REGREQ: [
        [*pairs("USERNAME REFRESH"), (Element.CALLTOKEN, b"")],
        pairs("USERNAME REFRESH CALLTOKEN"),
        pairs("USERNAME MD5_RESULT REFRESH"),
        pairs("USERNAME RSA_RESULT REFRESH"),
    ],
    Command.REGAUTH: [
        pairs("AUTHMETHODS CHALLENGE USERNAME"),
        [(Element.AUTHMETHODS, 4), *pairs("CHALLENGE USERNAME")],
    ],
    Command.REGACK: [pairs("USERNAME DATETIME REFRESH APPARENT_ADDR CALLING_NUMBER CALLING_NAME MSGCOUNT")],
    Command.REGREJ: [pairs("CAUSE CAUSECODE")],
    Command.REGREL: [[*pairs("USERNAME"), (Element.CALLTOKEN, b"")], pairs("USERNAME MD5_RESULT")],
    Command.TXREQ: [pairs("APPARENT_ADDR CALLNO TRANSFERID")],
    Command.TXCNT: [pairs("TRANSFERID")],
    Command.TXACC: [pairs("TRANSFERID"), []],
    Command.TXREADY: [pairs("CALLNO")],
    Command.TXREL: [pairs("CALLNO"), []],
    Command.RTKEY: [pairs("CHALLENGE")],
    Command.CALLTOKEN: [pairs("CALLTOKEN"), [(Element.CALLTOKEN, b"")]],
    Command.PROVISION: [pairs("PROVISIONING AESPROVISIONING PROVVER")],
    Command.FWDATA: [pairs("FWBLOCKDESC FWBLOCKDATA")],
}


def full(frame_type: int, subclass: int, payload: bytes = b"", *, opening: bool = False) -> bytes:
    destination, number = (0, 0) if opening else (DESTINATION, 1)
    return FullFrame(SOURCE, destination, 20, number, number, frame_type, subclass, payload).encode()


OPENINGS = frozenset({Command.NEW, Command.REGREQ, Command.REGREL, Command.POKE})


def command_frames() -> list[bytes]:
    """Every command with its elements, and with none; the openings as such and within a dialogue."""
    frames = []
    for command in Command:
        for body in (*BODIES.get(command, []), []):
            payload = encode(body)
            frames.append(full(FrameType.IAX, command, payload))
            if command in OPENINGS:
                frames.append(full(FrameType.IAX, command, payload, opening=True))
    for element in Element:  # each element by itself, and all that belong nowhere
        frames.append(full(FrameType.IAX, Command.PONG, encode([pair(element)])))
    everything = encode(pair(element) for element in Element)
    frames += [full(FrameType.IAX, command, everything) for command in (Command.ACCEPT, Command.REGACK)]
    frames.append(full(FrameType.IAX, Command.NEW, everything, opening=True))
    frames.append(full(FrameType.IAX, Command.MWI, bytes((200, 3, 1, 2, 3)) + everything))
    token = encode(pairs("CALLTOKEN"))
    frames.append(
        FullFrame(STATELESS_CALL_NUMBER, 9, 1, 0, 1, FrameType.IAX, Command.CALLTOKEN, token).encode()
    )
    return frames


def other_full_frames() -> list[bytes]:
    """Voice in each format, control, DTMF, text and what is of no use to a modem."""
    frames = [full(FrameType.VOICE, format_, bytes(160 * format_.sample_bytes)) for format_ in Format]
    frames += [full(FrameType.VOICE, 1 << bit, bytes(33)) for bit in (0, 1, 9, 40, 63)]
    frames += [full(FrameType.CONTROL, subclass) for subclass in (*range(34), -1)]
    frames += [full(FrameType.CONTROL, 34, bytes(40)), full(0, 0), full(99, 5, b"x"), full(255, -1)]
    frames += [full(FrameType.DTMF, ord(digit)) for digit in "05*#AZ"]
    frames += [full(kind, 1, b"some text\n\0") for kind in FrameType if kind is not FrameType.IAX]
    return frames


def media_frames() -> list[bytes]:
    """Mini frames, video, and trunk frames of both kinds."""
    frames = [MiniFrame(SOURCE, 20, bytes(n)).encode() for n in (0, 1, 33, 160, 320, 1400)]
    frames += [bytes((0, 0, 0x80 | SOURCE >> 8, SOURCE & 0xFF, 0, 20)) + bytes(50)]
    for n_entries in (1, 3, 7):
        trunk = TrunkSender(0.0)
        for n in range(n_entries):
            trunk.add(SOURCE, 20 * n, bytes(160), 1.0)
        frames += trunk.take()
        plain = b"".join(SOURCE.to_bytes(2, "big") + b"\0\xa0" + bytes(160) for _ in range(n_entries))
        frames.append(b"\0\0\1\0\0\0\0\x14" + plain)
    frames.append(b"\0\0\1\1\0\0\0\x14" + 512 * b"\0\1\x12\x34\0\x14\xff")
    return frames


def seeds() -> list[bytes]:
    """All of them, and some of them encrypted."""
    plain = command_frames() + other_full_frames() + media_frames()
    cipher = FrameCipher(KEY, random.Random(1))
    encrypted = [cipher.encrypt(datagram) for datagram in plain[::9] if datagram[0] | datagram[1]]
    return plain + encrypted
