"""The codec of kernel messages."""

import random
import struct

import pytest

from cusemodem.cuse import messages
from cusemodem.cuse.messages import (
    BadMessageError,
    Init,
    Interrupt,
    Ioctl,
    Open,
    Poll,
    Read,
    Release,
    Request,
    Unsupported,
    Write,
)


def request(opcode: int, body: bytes, *, unique: int = 7, uid: int = 10, pid: int = 4711) -> bytes:
    return struct.pack("<IIQQIIIHH", 40 + len(body), opcode, unique, 0, uid, 20, pid, 0, 0) + body


# Every request that reaches a device, as the kernel lays it out (linux/fuse.h), and what it means.
CASES: list[tuple[bytes, Request]] = [
    (request(4096, struct.pack("<IIII", 7, 38, 0, 1)), Init(7, 7, 38, 1)),
    (request(14, struct.pack("<II", 0o4002, 0)), Open(7, 0o4002, 10, 4711)),
    (
        request(15, struct.pack("<QQIIQII", 3, 0, 1024, 0, 0, 0o4002, 0)),
        Read(7, handle=3, offset=0, size=1024, flags=0o4002),
    ),
    (
        request(16, struct.pack("<QQIIQII", 3, 65536, 4, 0, 0, 2, 0) + b"ATZ\r"),
        Write(7, handle=3, offset=65536, data=b"ATZ\r", flags=2),
    ),
    (request(18, struct.pack("<QIIQ", 3, 2, 0, 0)), Release(7, 3)),
    (
        request(39, struct.pack("<QIIQII", 3, 2, 0x5401, 0x7FFF_1234_5678, 0, 36)),
        Ioctl(7, 3, 0x5401, 0x7FFF_1234_5678, b"", 36, 10, 4711, from_32_bit=False),
    ),
    (
        request(39, struct.pack("<QIIQII", 3, 0b1001, 0x5418, 64, 4, 0) + b"\6\0\0\0"),
        Ioctl(7, 3, 0x5418, 64, b"\6\0\0\0", 0, 10, 4711, from_32_bit=True),
    ),
    (request(40, struct.pack("<QQII", 3, 99, 1, 0x45)), Poll(7, 3, 99, True, 0x45)),
    (request(36, struct.pack("<Q", 6)), Interrupt(7, 6)),
    (request(26, struct.pack("<IIII", 7, 38, 0, 0)), Unsupported(7, 26)),
]


@pytest.mark.parametrize(("message", "meaning"), CASES, ids=[type(case[1]).__name__ for case in CASES])
def test_requests(message: bytes, meaning: Request) -> None:
    assert messages.parse_request(message) == meaning
    assert type(messages.parse_request(message)) is type(meaning)
    assert messages.parse_request(bytearray(message)) == meaning
    assert messages.parse_request(memoryview(message)) == meaning


@pytest.mark.parametrize("message", [case[0] for case in CASES[:-1]])
def test_a_request_cut_anywhere_is_refused_by_its_number(message: bytes) -> None:
    for size in range(len(message)):
        cut = message[:size]
        with pytest.raises(BadMessageError) as caught:
            messages.parse_request(cut)
        assert caught.value.unique == (7 if size >= 40 else 0)
        if size >= 40:
            told = struct.pack("<I", size) + cut[4:]
            with pytest.raises(BadMessageError) as caught:
                messages.parse_request(told)
            assert caught.value.unique == 7


def test_header_extensions_are_no_part_of_the_body() -> None:
    # total_extlen counts 8-byte units behind the body (protocol 7.38).
    write = struct.pack("<QQIIQII", 3, 0, 2, 0, 0, 2, 0) + b"AT"
    message = struct.pack("<IIQQIIIHH", 40 + len(write) + 16, 16, 7, 0, 0, 0, 1, 2, 0) + write + bytes(16)
    assert messages.parse_request(message) == Write(7, 3, 0, b"AT", 2)


def test_mutated_requests_raise_nothing_else() -> None:
    rng = random.Random(1)
    refused = 0
    for _ in range(30_000):
        message = bytearray(rng.choice(CASES)[0])
        for _ in range(rng.randrange(1, 6)):
            match rng.randrange(3):
                case 0:
                    message[rng.randrange(len(message))] = rng.randrange(256)
                case 1:
                    message = message[: rng.randrange(1, len(message) + 1)]
                case 2:
                    message += rng.randbytes(rng.randrange(20))
        if rng.random() < 0.5 and len(message) >= 4:
            message[:4] = struct.pack("<I", len(message))
        try:
            messages.parse_request(message)
        except BadMessageError:
            refused += 1
    assert 0 < refused < 30_000


def header(reply: bytes) -> tuple[int, int, int]:
    length, error, unique = struct.unpack_from("<IiQ", reply)
    assert length == len(reply)
    return error, unique, length - 16


def test_greeting() -> None:
    reply = messages.init_reply(Init(1, 7, 38, 1), "ttyIAX0", 65536, (240, 7))
    assert header(reply) == (0, 1, 72 + len("DEVNAME=ttyIAX0") + 1)
    assert struct.unpack_from("<IIIIIIII", reply, 16) == (7, 31, 0, 1, 65536, 65536, 240, 7)
    assert reply[16 + 72 :] == b"DEVNAME=ttyIAX0\0"
    assert struct.unpack_from("<II", messages.init_reply(Init(1, 7, 26, 1), "x", 1), 16) == (7, 26)


def test_replies() -> None:
    assert messages.error_reply(5, 11) == struct.pack("<IiQ", 16, -11, 5)
    assert messages.empty_reply(5) == struct.pack("<IiQ", 16, 0, 5)
    assert messages.open_reply(5, 3)[16:] == struct.pack("<QII", 3, 0, 0)
    assert messages.read_reply(5, b"OK")[16:] == b"OK"
    assert messages.write_reply(5, 4)[16:] == struct.pack("<II", 4, 0)
    assert messages.ioctl_reply(5, 0, b"abcd")[16:] == struct.pack("<iIII", 0, 0, 0, 0) + b"abcd"
    assert messages.poll_reply(5, 0x41)[16:] == struct.pack("<II", 0x41, 0)
    assert messages.poll_wakeup(99) == struct.pack("<IiQQ", 24, 1, 0, 99)


def test_ioctl_retries_ask_for_the_memory_one_way() -> None:
    assert messages.ioctl_retry(5, 0x1000, 36, 0)[16:] == struct.pack("<iIIIQQ", 0, 4, 1, 0, 0x1000, 36)
    assert messages.ioctl_retry(5, 0x1000, 0, 36)[16:] == struct.pack("<iIIIQQ", 0, 4, 0, 1, 0x1000, 36)
