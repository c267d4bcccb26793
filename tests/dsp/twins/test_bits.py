"""The bit kernels do what their slow twins do, for any input."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.hdlc import (
    END,
    FRAME_BAD,
    FRAME_GOOD,
    HDLC_RX,
    HDLC_TX,
    hdlc_rx_bit,
    hdlc_rx_reset,
    hdlc_tx_bit,
    hdlc_tx_put,
    hdlc_tx_start,
)
from dsp.kernel import argument, records
from dsp.scrambler import V27TER_SCRAMBLER, V29_SCRAMBLER, mask_kernel, push_kernel
from tests.dsp.twins import bits as twin

# Long stretches of one value or of a period are what guards, stuffing and aborts are about.
patterns = st.lists(
    st.tuples(st.text("01", min_size=1, max_size=13), st.integers(1, 40)), min_size=1, max_size=12
)
texts = patterns.map(lambda runs: "".join(text * times for text, times in runs))


def kernel_scramble(kind: int, data: list[int], state: int) -> list[int]:
    line = []
    for bit in data:
        line.append(bit ^ mask_kernel(kind, state))
        state = push_kernel(kind, state, line[-1])
    return line


def past_bits(state: int, n: int) -> list[int]:
    return [state >> k & 1 for k in reversed(range(n))]


@settings(derandomize=True, deadline=None)
@given(text=texts, state=st.integers(0, (1 << 23) - 1))
def test_v29_scrambler(text: str, state: int) -> None:
    data = [int(bit) for bit in text]
    assert kernel_scramble(V29_SCRAMBLER, data, state) == twin.scramble_v29(data, past_bits(state, 23))


@settings(derandomize=True, deadline=None)
@given(text=texts, state=st.integers(0, (1 << 12) - 1))
def test_v27ter_scrambler(text: str, state: int) -> None:
    data = [int(bit) for bit in text]
    assert kernel_scramble(V27TER_SCRAMBLER, data, state) == twin.scramble_v27ter(data, past_bits(state, 12))


def test_the_guard_is_exercised() -> None:
    """All ones from a state of all zeros repeat with period 2^7 - 1 only; zeros from zeros repeat at once."""
    line = twin.scramble_v27ter([0] * 200, [0] * 12)
    assert 1 in line
    assert line.index(1) == 33
    assert kernel_scramble(V27TER_SCRAMBLER, [0] * 200, 0) == line


def kernel_frames(line: str) -> list[tuple[bytes, bool]]:
    rec = argument(records(HDLC_RX, 1))[0]
    hdlc_rx_reset(rec)
    frames = []
    for bit in line:
        result = hdlc_rx_bit(rec, int(bit))
        if result in (FRAME_GOOD, FRAME_BAD):
            frames.append((rec["frame"][: rec["length"]].tobytes(), result == FRAME_GOOD))
    return frames


@settings(derandomize=True, deadline=None)
@given(text=texts, frames=st.lists(st.binary(min_size=1, max_size=40), max_size=3), cut=st.integers(0, 400))
def test_hdlc_receiver(text: str, frames: list[bytes], cut: int) -> None:
    sent = twin.hdlc_transmission(frames, 2)
    damaged = sent[:cut] + text + sent[cut:] + text
    for line in (text, sent, damaged, sent[:cut] + sent[cut + 1 :]):
        assert kernel_frames(line) == twin.hdlc_frames(line)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(length=st.integers(275, 295), seed=st.integers(0, 99))
def test_hdlc_receiver_at_the_longest_frame(length: int, seed: int) -> None:
    frame = np.random.default_rng(seed).integers(0, 256, length, dtype=np.uint8).tobytes()
    line = twin.hdlc_transmission([frame], 2)
    assert kernel_frames(line) == twin.hdlc_frames(line)
    assert len(kernel_frames(line)) == (length + 2 <= 284)


@settings(derandomize=True, deadline=None)
@given(
    frames=st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=5), preamble=st.integers(2, 40)
)
def test_hdlc_transmitter(frames: list[bytes], preamble: int) -> None:
    rec = argument(records(HDLC_TX, 1))[0]
    hdlc_tx_start(rec, preamble)
    for frame in frames:
        assert hdlc_tx_put(rec, np.frombuffer(frame, np.uint8).copy(), len(frame))
    rec["end"] = 1
    sent = ""
    while (bit := hdlc_tx_bit(rec)) != END:
        sent += str(bit)
    assert sent == twin.hdlc_transmission(frames, preamble)
