from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dsp import g711

Companding = Callable[[Any], np.ndarray]
CODES = np.arange(256, dtype=np.uint8)
LINEAR = np.arange(-32768, 32768).astype(np.int16)


@pytest.mark.parametrize(
    ("encode", "decode", "name"),
    [(g711.ulaw_encode, g711.ulaw_decode, "ulaw"), (g711.alaw_encode, g711.alaw_decode, "alaw")],
)
@pytest.mark.filterwarnings("ignore:'audioop' is deprecated:DeprecationWarning")
def test_every_decoded_value_is_the_standard_librarys(
    encode: Companding, decode: Companding, name: str
) -> None:
    audioop = pytest.importorskip("audioop", reason="removed from Python 3.13")
    expected = np.frombuffer(getattr(audioop, f"{name}2lin")(CODES.tobytes(), 2), np.int16)
    assert np.array_equal(decode(CODES), expected)


@pytest.mark.parametrize(
    ("encode", "decode"), [(g711.ulaw_encode, g711.ulaw_decode), (g711.alaw_encode, g711.alaw_decode)]
)
def test_an_output_value_is_encoded_as_its_own_code(encode: Companding, decode: Companding) -> None:
    again = encode(decode(CODES))
    # µ-law has two zeros, which are one number.
    assert np.array_equal(decode(again), decode(CODES))
    assert np.count_nonzero(again != CODES) <= 1


@pytest.mark.parametrize(
    ("encode", "decode"), [(g711.ulaw_encode, g711.ulaw_decode), (g711.alaw_encode, g711.alaw_decode)]
)
def test_companding_is_monotonic_and_within_half_a_step(encode: Companding, decode: Companding) -> None:
    out = decode(encode(LINEAR)).astype(int)
    assert np.all(np.diff(out) >= 0)
    magnitude = np.abs(LINEAR.astype(int))
    half_step = np.maximum(8, (magnitude + 132) // 32 + 1)
    inside = magnitude <= 32124
    assert np.all(np.abs(out - LINEAR)[inside] <= half_step[inside])


def test_known_codes() -> None:
    # G.711 tables 1a and 2a: the ends of the range, and silence.
    assert g711.ulaw_decode([0x00, 0x80, 0xFF, 0x7F]).tolist() == [-32124, 32124, 0, 0]
    assert g711.alaw_decode([0x2A, 0xAA, 0xD5, 0x55]).tolist() == [-32256, 32256, 8, -8]
    assert g711.ulaw_encode(0) == 0xFF
    assert g711.alaw_encode(0) == 0xD5
    assert g711.ulaw_encode([32767, -32768]).tolist() == [0x80, 0x00]
    assert g711.alaw_encode([32767, -32768]).tolist() == [0xAA, 0x2A]


@pytest.mark.parametrize("encode", [g711.ulaw_encode, g711.alaw_encode])
def test_what_is_no_linear_sample_is_refused(encode: Companding) -> None:
    with pytest.raises(ValueError, match="linear: expected -32768 to 32767, got 40000 to 40000"):
        encode(np.array([40000]))
    with pytest.raises(TypeError, match="linear: expected whole numbers of int16, got float64"):
        encode(np.zeros(160))
    assert np.array_equal(encode(LINEAR.astype(np.int64)), encode(LINEAR))
    assert len(encode([])) == 0


@pytest.mark.parametrize("decode", [g711.ulaw_decode, g711.alaw_decode])
def test_what_is_no_octet_is_refused(decode: Companding) -> None:
    with pytest.raises(ValueError, match="octets: expected 0 to 255, got 256 to 256"):
        decode([256])


def test_any_shape_is_kept() -> None:
    block = np.arange(-160, 160, dtype=np.int16).reshape(2, 160)
    assert g711.ulaw_encode(block).shape == (2, 160)
    assert g711.alaw_decode(g711.alaw_encode(block)).shape == (2, 160)


def test_strided_input() -> None:
    every_other = LINEAR[::2]
    assert np.array_equal(g711.ulaw_encode(every_other), g711.ulaw_encode(LINEAR)[::2])
