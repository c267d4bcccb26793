"""T.4 one-dimensional coding (MH) of bilevel pages, for tests: bool arrays [rows, 1728], True is black."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Page = NDArray[np.bool_]
WIDTH = 1728
EOL = "000000000001"
RTC = EOL * 6

_WHITE = """
00110101 000111 0111 1000 1011 1100 1110 1111 10011 10100 00111 01000 001000 000011 110100 110101 101010
101011 0100111 0001100 0001000 0010111 0000011 0000100 0101000 0101011 0010011 0100100 0011000 00000010
00000011 00011010 00011011 00010010 00010011 00010100 00010101 00010110 00010111 00101000 00101001 00101010
00101011 00101100 00101101 00000100 00000101 00001010 00001011 01010010 01010011 01010100 01010101 00100100
00100101 01011000 01011001 01011010 01011011 01001010 01001011 00110010 00110011 00110100
""".split()
_BLACK = """
0000110111 010 11 10 011 0011 0010 00011 000101 000100 0000100 0000101 0000111 00000100 00000111 000011000
0000010111 0000011000 0000001000 00001100111 00001101000 00001101100 00000110111 00000101000 00000010111
00000011000 000011001010 000011001011 000011001100 000011001101 000001101000 000001101001 000001101010
000001101011 000011010010 000011010011 000011010100 000011010101 000011010110 000011010111 000001101100
000001101101 000011011010 000011011011 000001010100 000001010101 000001010110 000001010111 000001100100
000001100101 000001010010 000001010011 000000100100 000000110111 000000111000 000000100111 000000101000
000001011000 000001011001 000000101011 000000101100 000001011010 000001100110 000001100111
""".split()
_WHITE_MAKE_UP = """
11011 10010 010111 0110111 00110110 00110111 01100100 01100101 01101000 01100111 011001100 011001101
011010010 011010011 011010100 011010101 011010110 011010111 011011000 011011001 011011010 011011011
010011000 010011001 010011010 011000 010011011
""".split()
_BLACK_MAKE_UP = """
0000001111 000011001000 000011001001 000001011011 000000110011 000000110100 000000110101 0000001101100
0000001101101 0000001001010 0000001001011 0000001001100 0000001001101 0000001110010 0000001110011
0000001110100 0000001110101 0000001110110 0000001110111 0000001010010 0000001010011 0000001010100
0000001010101 0000001011010 0000001011011 0000001100100 0000001100101
""".split()


def _code_of_run(terminating: list[str], make_up: list[str]) -> list[str]:
    """The code of each run length 0…1728 (T.4 tables 2/T.4 and 3a/T.4)."""
    return [(make_up[run // 64 - 1] if run >= 64 else "") + terminating[run % 64] for run in range(WIDTH + 1)]


_RUN_CODES = (_code_of_run(_WHITE, _WHITE_MAKE_UP), _code_of_run(_BLACK, _BLACK_MAKE_UP))


def _reader(terminating: list[str], make_up: list[str]) -> tuple[re.Pattern[str], dict[str, int]]:
    lengths = {code: run for run, code in enumerate(terminating)}
    lengths |= {code: 64 * (i + 1) for i, code in enumerate(make_up)}
    return re.compile("|".join(lengths)), lengths


_READERS = (_reader(_WHITE, _WHITE_MAKE_UP), _reader(_BLACK, _BLACK_MAKE_UP))
_EOL_PATTERN = re.compile("0{11,}1")


@dataclass(frozen=True)
class Decoded:
    """A received page."""

    page: Page
    n_bad_rows: int
    "rows that did not decode; each shows the row above it, as fax machines do"
    rtc_seen: bool


def encode_page(page: Page, *, min_row_bits: int = 0) -> bytes:
    """EOL and row by row, then RTC, least significant bit first; fill makes each row `min_row_bits` long."""
    assert page.ndim == 2
    assert page.shape[1] == WIDTH
    parts = []
    for row in page:
        edges = np.flatnonzero(np.diff(row.astype(np.int8), prepend=0, append=-1))
        runs = np.diff(edges, prepend=0)
        code = "".join([_RUN_CODES[i & 1][run] for i, run in enumerate(runs)])
        parts.append(EOL + code + "0" * (min_row_bits - len(EOL) - len(code)))
    parts.append(RTC)
    bits = np.frombuffer("".join(parts).encode("ascii"), np.uint8) - ord("0")
    return np.packbits(bits, bitorder="little").tobytes()


def decode_page(data: bytes) -> Decoded:
    """The page in a stream of T.4 data (least significant bit first), whatever was damaged on its way."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    text = (bits + ord("0")).tobytes().decode("ascii")
    rows: list[Page] = []
    n_bad_rows = 0
    at = _EOL_PATTERN.search(text)
    while at:
        start = at.end()
        if _EOL_PATTERN.match(text, start):
            return Decoded(_stack(rows), n_bad_rows, rtc_seen=True)
        row, end = _decode_row(text, start)
        eol = _EOL_PATTERN.match(text, end)
        good = row is not None and eol is not None
        eol = eol or _EOL_PATTERN.search(text, end)
        if eol is None:
            break  # cut off in mid-row
        if not good or row is None:
            n_bad_rows += 1
            row = rows[-1] if rows else np.zeros(WIDTH, np.bool_)
        rows.append(row)
        at = eol
    return Decoded(_stack(rows), n_bad_rows, rtc_seen=False)


def _stack(rows: list[Page]) -> Page:
    return np.array(rows, np.bool_).reshape(-1, WIDTH)


def _decode_row(text: str, at: int) -> tuple[Page | None, int]:
    """One row from bit `at`, and the bit after it; None when it is no row."""
    row = np.zeros(WIDTH, np.bool_)
    pixel = colour = 0
    run = WIDTH
    while pixel < WIDTH or run >= 64:  # a make-up code is always followed by a terminating one
        pattern, lengths = _READERS[colour]
        code = pattern.match(text, at)
        if code is None or pixel > WIDTH:
            return None, at
        run = lengths[code.group()]
        if colour:
            row[pixel : pixel + run] = True
        pixel += run
        at = code.end()
        if run < 64:
            colour ^= 1
    return (row if pixel == WIDTH else None), at
