"""The test coder against libtiff (by way of Pillow), and its own round trip and damage."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from tests.host.pages import random_page, text_page
from tests.host.t4 import WIDTH, Page, decode_page, encode_page

REVERSED = bytes(int(f"{i:08b}"[::-1], 2) for i in range(256))


def _libtiff_decodes(data: bytes, n_rows: int) -> Page:
    """What libtiff makes of T.4 data: a hand-made TIFF around it (Group 3, LSB first)."""
    entries = [
        (256, 4, WIDTH),
        (257, 4, n_rows),
        (258, 3, 1),
        (259, 3, 3),  # Compression: Group 3
        (262, 3, 0),  # WhiteIsZero
        (266, 3, 2),  # FillOrder: least significant bit first
        (273, 4, 8 + 2 + 10 * 12 + 4),
        (278, 4, n_rows),
        (279, 4, len(data)),
        (292, 4, 0),
    ]
    header = b"II*\0" + (8).to_bytes(4, "little") + len(entries).to_bytes(2, "little")
    for tag, kind, value in entries:
        header += b"".join(
            (
                tag.to_bytes(2, "little"),
                kind.to_bytes(2, "little"),
                bytes((1, 0, 0, 0)),
                value.to_bytes(4, "little"),
            )
        )
    with Image.open(io.BytesIO(header + bytes(4) + data)) as image:
        return np.asarray(image.convert("1"), np.bool_) ^ True


@pytest.mark.parametrize("seed", range(3))
def test_libtiff_reads_what_we_code(seed: int) -> None:
    page = random_page(seed, 60)
    np.testing.assert_array_equal(_libtiff_decodes(encode_page(page), 60), page)


def test_every_run_length_of_both_colours_survives_libtiff() -> None:
    page = np.zeros((2 * WIDTH, WIDTH), np.bool_)
    for run in range(WIDTH):
        page[run, :run] = True
        page[WIDTH + run, run:] = True
    np.testing.assert_array_equal(_libtiff_decodes(encode_page(page), len(page)), page)


def test_we_read_what_libtiff_codes() -> None:
    page = random_page(7, 60)
    file = io.BytesIO()
    Image.fromarray(page).save(file, "TIFF", compression="group3", strip_size=1 << 24)
    with Image.open(io.BytesIO(file.getvalue())) as image:
        assert isinstance(image, TiffImageFile)
        tags = image.tag_v2
        data = file.getvalue()[tags[273][0] :][: tags[279][0]]
    decoded = decode_page(data.translate(REVERSED))
    # libtiff writes no RTC, so the last row has no end
    np.testing.assert_array_equal(decoded.page[: len(page) - 1], page[: len(page) - 1])


@pytest.mark.parametrize("min_row_bits", [0, 96])
def test_round_trip(min_row_bits: int) -> None:
    for page in (text_page("round trip", 300), random_page(1)):
        decoded = decode_page(b"\xff\xff" + encode_page(page, min_row_bits=min_row_bits) + b"\0\0")
        np.testing.assert_array_equal(decoded.page, page)
        assert decoded.n_bad_rows == 0
        assert decoded.rtc_seen


def test_fill_makes_each_row_as_long_as_asked() -> None:
    blank = np.zeros((100, WIDTH), np.bool_)
    assert len(encode_page(blank, min_row_bits=192)) == (100 * 192 + 72) // 8


def test_damage_costs_rows_and_nothing_else() -> None:
    page = random_page(3)
    data = bytearray(encode_page(page))
    data[len(data) // 2] ^= 0x5A
    decoded = decode_page(bytes(data))
    assert decoded.rtc_seen
    assert 1 <= decoded.n_bad_rows <= 3
    assert len(page) - 3 <= len(decoded.page) <= len(page)
    np.testing.assert_array_equal(decoded.page[:50], page[:50])


def test_a_page_cut_off_keeps_its_whole_rows() -> None:
    page = random_page(4)
    data = encode_page(page)
    decoded = decode_page(data[: len(data) // 2])
    assert not decoded.rtc_seen
    assert 50 < len(decoded.page) < 150
    np.testing.assert_array_equal(decoded.page, page[: len(decoded.page)])


def test_noise_is_no_page_and_no_exception() -> None:
    rng = np.random.default_rng(5)
    for size in (0, 1, 100, 5000):
        decoded = decode_page(rng.bytes(size))
        assert decoded.n_bad_rows <= len(decoded.page)
