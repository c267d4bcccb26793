"""The datagram codec: one corpus of (frame, bytes) for both directions, malformed twins, and fuzz."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iax.frames import (
    BadFrame,
    Command,
    Frame,
    FrameType,
    FullFrame,
    MetaVideo,
    MiniFrame,
    TrunkFrame,
    decode_untrusted,
    encode_subclass,
)

CORPUS: list[tuple[FullFrame | MiniFrame, str]] = [
    (FullFrame(0x1234, 0, 1, 0, 0, FrameType.IAX, Command.NEW, b"\x0b\x02\x00\x02"),
     "9234 0000 00000001 00 00 06 01 0b020002"),
    (FullFrame(2, 3, 0xFFFFFFFF, 255, 254, FrameType.IAX, Command.ACK), "8002 0003 ffffffff ff fe 06 04"),
    (FullFrame(2, 3, 20, 1, 2, FrameType.VOICE, 4, b"\xff"), "8002 0003 00000014 01 02 02 04 ff"),
    (FullFrame(2, 3, 20, 1, 2, FrameType.VOICE, 0x100), "8002 0003 00000014 01 02 02 88"),
    (FullFrame(2, 3, 20, 1, 2, FrameType.CONTROL, -1), "8002 0003 00000014 01 02 04 ff"),
    (FullFrame(0x7FFF, 0x7FFF, 20, 1, 2, FrameType.DTMF, ord("#"), b"", True),
     "ffff ffff 00000014 01 02 01 23"),
    (MiniFrame(0x7FFF, 0xFFFF, b"\x01\x02"), "7fff ffff 0102"),
    (MiniFrame(2, 0, b""), "0002 0000"),
]  # fmt: skip

DECODED_ONLY: list[tuple[Frame, str]] = [
    # µ-law as a power of two: the other way to write 0x04
    (FullFrame(2, 3, 20, 1, 2, FrameType.VOICE, 4), "8002 0003 00000014 01 02 02 82"),
    (MetaVideo(0x0123), "0000 8123 0000"),
    (TrunkFrame(0x10020, (MiniFrame(5, 0, b"ab"), MiniFrame(6, 0, b"c")), False),
     "0000 01 00 00010020  0005 0002 6162  0006 0001 63"),
    (TrunkFrame(0x10020, (MiniFrame(5, 0x14, b"ab"), MiniFrame(6, 0x28, b"")), True),
     "0000 01 01 00010020  0002 0005 0014 6162  0000 0006 0028"),
    (TrunkFrame(7, (), False), "0000 01 00 00000007"),
]  # fmt: skip

BAD = {
    "empty": "",
    "three bytes": "8002 00",
    "two-byte full frame": "8002",
    "full frame header cut": "8002 0003 00000014 01 02 02",
    "full frame from call number 0": "8000 0003 00000014 01 02 06 04",
    "subclass 2^64": "8002 0003 00000014 01 02 02 c0",
    "meta header cut": "0000 0100 000100",
    "unknown meta command": "0000 0200 00010020",
    "unknown trunk data": "0000 0102 00010020",
    "trunk entry header cut": "0000 0100 00010020 0005 00",
    "trunk entry runs past the end": "0000 0100 00010020 0005 0003 6162",
    "trunk entry of call number 0": "0000 0100 00010020 0000 0001 61",
    "trunk entry with the full bit": "0000 0100 00010020 8005 0001 61",
}


@pytest.mark.parametrize(("frame", "octets"), CORPUS)
def test_encodes(frame: FullFrame | MiniFrame, octets: str) -> None:
    assert frame.encode() == bytes.fromhex(octets)


@pytest.mark.parametrize(("frame", "octets"), [*CORPUS, *DECODED_ONLY])
def test_decodes(frame: Frame, octets: str) -> None:
    assert decode_untrusted(bytes.fromhex(octets)) == frame


@pytest.mark.parametrize("octets", BAD.values(), ids=BAD.keys())
def test_refuses(octets: str) -> None:
    with pytest.raises(BadFrame):
        decode_untrusted(bytes.fromhex(octets))


@pytest.mark.parametrize("value", [128, 129, 1000, -2, 0x102])
def test_a_subclass_without_coding_is_refused(value: int) -> None:
    if value & (value - 1) == 0 and value > 0:
        assert encode_subclass(value) == 0x87
    else:
        with pytest.raises(ValueError, match="subclass"):
            encode_subclass(value)


@given(st.binary(max_size=200))
def test_whatever_arrives_parses_or_is_a_bad_frame(datagram: bytes) -> None:
    try:
        frame = decode_untrusted(datagram)
    except BadFrame:
        return
    if isinstance(frame, FullFrame):
        again = decode_untrusted(frame.encode())
        assert again == frame


@given(
    st.builds(
        FullFrame,
        st.integers(1, 0x7FFF),
        st.integers(0, 0x7FFF),
        st.integers(0, 0xFFFFFFFF),
        st.integers(0, 255),
        st.integers(0, 255),
        st.integers(0, 255),
        st.one_of(st.integers(0, 127), st.integers(0, 63).map(lambda n: 1 << n), st.just(-1)),
        st.binary(max_size=40),
        st.booleans(),
    )
)
def test_round_trip(frame: FullFrame) -> None:
    assert decode_untrusted(frame.encode()) == frame
