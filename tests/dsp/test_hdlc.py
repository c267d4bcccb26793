from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp import hdlc
from dsp.kernel import records


def receive(bits: Iterable[int]) -> list[tuple[bytes, bool]]:
    rec = records(hdlc.HDLC_RX, 1)[0]
    hdlc.hdlc_rx_reset(rec)
    frames = []
    for bit in bits:
        result = hdlc.hdlc_rx_bit(rec, int(bit))
        if result in (hdlc.FRAME_GOOD, hdlc.FRAME_BAD):
            frames.append((rec.frame[: rec.length].tobytes(), result == hdlc.FRAME_GOOD))
    return frames


def transmit(frames: list[bytes], preamble: int = 3) -> list[int]:
    rec = records(hdlc.HDLC_TX, 1)[0]
    hdlc.hdlc_tx_start(rec, preamble)
    for frame in frames:
        assert hdlc.hdlc_tx_put(rec, np.frombuffer(frame, np.uint8).copy(), len(frame))
    rec.end = 1
    bits = []
    while (bit := hdlc.hdlc_tx_bit(rec)) != hdlc.END:
        bits.append(bit)
    assert rec.n_sent == len(frames)
    return bits


FLAG = [0, 1, 1, 1, 1, 1, 1, 0]
FRAME = b"\xff\x13\x84"


def test_fcs_of_a_known_frame() -> None:
    # CRC-16/X-25 of "123456789" is 0x906E.
    assert hdlc.fcs(b"123456789") == b"\x6e\x90"
    assert hdlc.fcs_ok(b"123456789\x6e\x90")
    assert not hdlc.fcs_ok(b"123456788\x6e\x90")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=282), min_size=1, max_size=4))
def test_frames_arrive_whatever_they_contain(frames: list[bytes]) -> None:
    assert receive(transmit(frames)) == [(frame + hdlc.fcs(frame), True) for frame in frames]


def test_the_line_never_has_six_ones_within_a_frame() -> None:
    bits = "".join(map(str, transmit([b"\xff" * 20], preamble=2)))
    assert bits.startswith("01111110" * 2)
    assert bits.endswith("01111110" * 2)
    assert "111111" not in bits[16:-16]


def test_zero_is_inserted_after_a_frame_that_ends_in_five_ones() -> None:
    # The last octet of the FCS may end in 11111: then a 0 stands before the closing flag.
    for value in range(65536):
        frame = value.to_bytes(2, "little")
        if hdlc.fcs(frame)[1] >> 3 == 0b11111 and not hdlc.fcs(frame)[1] & 0x04:
            break
    assert receive(transmit([frame])) == [(frame + hdlc.fcs(frame), True)]


def test_flags_may_share_a_zero() -> None:
    shared = [0, 1, 1, 1, 1, 1, 1] * 4 + [0]
    body = hdlc.encode([FRAME], flags_before=0, flags_between=0)
    assert receive([*shared, *body, *FLAG]) == [(FRAME + hdlc.fcs(FRAME), True)]


def test_closing_flag_is_the_next_opening_flag() -> None:
    bits = hdlc.encode([FRAME, b"\xff\x13\x8c"], flags_before=1, flags_between=1)
    assert [ok for _, ok in receive(bits)] == [True, True]


def test_consecutive_flags_are_counted() -> None:
    rec = records(hdlc.HDLC_RX, 1)[0]
    hdlc.hdlc_rx_reset(rec)
    counts = []
    for bit in [1, 0, 1, *FLAG, *FLAG, *FLAG, 0, 0, 1, *FLAG]:
        if hdlc.hdlc_rx_bit(rec, bit) == hdlc.FLAG_SEEN:
            counts.append(int(rec.n_flags))
    assert counts == [1, 2, 3, 1]


def test_a_flipped_bit_is_noticed() -> None:
    good = hdlc.encode([bytes(range(40))], flags_before=2)
    rng = np.random.default_rng(3)
    for position in rng.choice(np.arange(20, len(good) - 12), 60, replace=False):
        bits = good.copy()
        bits[position] ^= 1
        assert not any(ok for _, ok in receive(bits))


def test_an_aborted_frame_is_dropped_and_the_next_one_taken() -> None:
    bits = (
        [*FLAG, 1, 0, 1, 0, 1, 0, 1, 0]
        + [0, 1] * 30
        + [1] * 9
        + [*FLAG, *hdlc.encode([FRAME], flags_before=1)]
    )
    assert receive(bits) == [(FRAME + hdlc.fcs(FRAME), True)]


@pytest.mark.parametrize(("length", "taken"), [(282, True), (283, False), (400, False)])
def test_over_long_frames_are_dropped(length: int, taken: bool) -> None:
    frames = receive(hdlc.encode([bytes(length), FRAME]))
    assert frames[-1] == (FRAME + hdlc.fcs(FRAME), True)
    assert len(frames) == 1 + taken


def test_two_octets_between_flags_are_no_frame() -> None:
    assert receive([*FLAG, *[0, 1, 0, 0] * 4, *FLAG]) == []


def test_a_frame_of_broken_octets_is_bad() -> None:
    bits = hdlc.encode([b"\xff\x03\x20\x20\x20"], flags_before=1).tolist()
    del bits[30]
    assert [ok for _, ok in receive(bits)] == [False]


def test_the_queue_refuses_what_it_cannot_hold_and_keeps_the_rest() -> None:
    rec = records(hdlc.HDLC_TX, 1)[0]
    hdlc.hdlc_tx_start(rec, 1)
    frame = np.zeros(282, np.uint8)
    taken = 0
    while hdlc.hdlc_tx_put(rec, frame, len(frame)):
        taken += 1
    assert taken == 4096 // 284
    rec.end = 1
    bits = []
    while (bit := hdlc.hdlc_tx_bit(rec)) != hdlc.END:
        bits.append(bit)
    assert len(receive(bits)) == taken


@pytest.mark.parametrize("preamble", [2, 3, 37])
def test_an_end_without_a_frame_leaves_the_preamble_whole(preamble: int) -> None:
    assert transmit([], preamble) == FLAG * preamble
