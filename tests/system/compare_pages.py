"""Compare the pages of a received fax with the pages that were sent, dot for dot.

usage: python -m tests.system.compare_pages SENT.tif RECEIVED... [--header SENT:RECEIVED] [--stray-rows N]
           [--unsent-rows N]

RECEIVED is one TIFF of all pages, or one file a page in order. Exit status 0: the same pages; 1: not.
Width, rows, dots and page count must agree. What is ignored is exactly this, and nothing unless asked for:

--header S:R      the first S rows of each sent page, in whose place R rows were received: the line that a
                  sending program writes at the top (efax: 14:20, and 4:24 at fine resolution)
--stray-rows N    up to N rows at the end of a received page that were not sent
--unsent-rows N   up to N rows at the end of a page that its program does not send
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageChops


class Header(NamedTuple):
    """How many rows of the sent page a header line stands in for, and how many rows it has."""

    sent: int = 0
    received: int = 0


NO_HEADER = Header()
# What efax 0.9a does to the top of a page, seen at 98 and at 196 rows an inch.
EFAX_HEADER_STANDARD, EFAX_HEADER_FINE = Header(14, 20), Header(4, 24)


@dataclass(frozen=True)
class PageComparison:
    """One page: its number from 1, what differs (nothing: None), and what was ignored."""

    number: int
    difference: str | None
    stray_rows: int = 0
    header: Header = NO_HEADER
    unsent_rows: int = 0

    def __str__(self) -> str:
        text = f"page {self.number}: {self.difference or 'equal'}"
        if any(self.header):
            text += f"; not compared: a header line of {self.header.received} rows"
            text += f" in place of the first {self.header.sent}"
        if self.stray_rows:
            text += f"; {self.stray_rows} stray rows at the end"
        if self.unsent_rows:
            text += f"; without the last {self.unsent_rows} rows"
        return text


def compare(
    sent: Path,
    received: Sequence[Path],
    *,
    header: Header = NO_HEADER,
    stray_rows: int = 0,
    unsent_rows: int = 0,
) -> list[PageComparison]:
    """Compare page by page; a page that only one side has is a difference."""
    expected = load_pages([sent])
    try:
        actual = load_pages(received)
    except (OSError, SyntaxError) as error:  # a call that broke off can leave part of a file
        return [PageComparison(1, f"what was received cannot be read: {error}", header=header)]
    comparisons = [
        compare_page(number, a, b, header=header, stray_rows=stray_rows, unsent_rows=unsent_rows)
        for number, (a, b) in enumerate(zip(expected, actual, strict=False), start=1)
    ]
    comparisons += [
        PageComparison(number, "was not received") for number in range(len(actual) + 1, len(expected) + 1)
    ]
    comparisons += [
        PageComparison(number, "was received but never sent")
        for number in range(len(expected) + 1, len(actual) + 1)
    ]
    return comparisons


def compare_page(
    number: int,
    sent: Image.Image,
    received: Image.Image,
    *,
    header: Header = NO_HEADER,
    stray_rows: int = 0,
    unsent_rows: int = 0,
) -> PageComparison:
    """Compare two bilevel images."""
    if sent.width != received.width:
        return PageComparison(number, f"{received.width} dots wide, sent {sent.width}", header=header)
    rows = sent.height - header.sent
    extra = received.height - header.received - rows
    if not -unsent_rows <= extra <= stray_rows:
        sizes = f"{received.height} rows, expected {rows + header.received}"
        return PageComparison(number, sizes, header=header)
    rows += min(extra, 0)
    expected = sent.crop((0, header.sent, sent.width, header.sent + rows))
    actual = received.crop((0, header.received, sent.width, header.received + rows))
    box = ImageChops.logical_xor(expected, actual).getbbox()
    difference = None
    if box:
        left, top, right, bottom = box
        first, last = top + header.sent, bottom - 1 + header.sent
        difference = f"differs within rows {first}..{last}, dots {left}..{right - 1}"
    return PageComparison(number, difference, max(extra, 0), header, max(-extra, 0))


def all_equal(comparisons: Sequence[PageComparison]) -> bool:
    """Whether there is a page, and none differs."""
    return bool(comparisons) and all(page.difference is None for page in comparisons)


def load_pages(files: Sequence[Path]) -> list[Image.Image]:
    """All frames of all files, in order, as bilevel images."""
    pages = []
    for file in files:
        with Image.open(file) as image:
            for frame in range(getattr(image, "n_frames", 1)):
                image.seek(frame)
                pages.append(image.convert("1"))
    return pages


def efax_header(sent: Path) -> Header:
    """The rows that efax's header line concerns, which depend on the resolution of the document."""
    with Image.open(sent) as image:
        fine = float(image.info["dpi"][1]) > 150
    return EFAX_HEADER_FINE if fine else EFAX_HEADER_STANDARD


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line a page; 0 when all are equal."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").split("\n\n", 1)[1])
    parser.add_argument("sent", type=Path)
    parser.add_argument("received", type=Path, nargs="+")
    parser.add_argument("--header", type=_header, default=NO_HEADER)
    parser.add_argument("--stray-rows", type=int, default=0)
    parser.add_argument("--unsent-rows", type=int, default=0)
    options = parser.parse_args(arguments)
    comparisons = compare(
        options.sent,
        options.received,
        header=options.header,
        stray_rows=options.stray_rows,
        unsent_rows=options.unsent_rows,
    )
    for comparison in comparisons:
        print(comparison)
    return 0 if all_equal(comparisons) else 1


def _header(text: str) -> Header:
    sent, _, received = text.partition(":")
    return Header(int(sent), int(received))


if __name__ == "__main__":
    sys.exit(main())
