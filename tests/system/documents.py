"""Test documents: made repeatably, and in the form that each fax program reads."""

import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

MAKER = Path(__file__).parent.parent / "bed" / "make-fax-tiff"
SINGLE_STRIP = 100_000  # rows per strip: more than any page has
STRIP_OFFSETS, STRIP_BYTE_COUNTS = 273, 279  # TIFF 6.0 tags, types and units
LONG, RATIONAL, INCH = 4, 5, 2
RETURN_TO_CONTROL = b"\x00\x10\x01" * 3  # T.4 §4.1.4: six EOLs


def make_document(
    path: Path, *, pages: str = "text,halftone", seed: int = 1, resolution: str = "standard", lines: int = 0
) -> Path:
    """Write a multi-page bilevel TIFF, uncompressed, and return its path.

    `pages`: kinds joined by commas, of text, halftone, blank, black, noise. The same arguments always
    give the same bytes. `lines`: rows of a page, 0 for the whole sheet at that resolution.
    """
    command = [
        sys.executable,
        str(MAKER),
        str(path),
        "--pages",
        pages,
        "--seed",
        str(seed),
        "--res",
        resolution,
    ]
    if lines:
        command += ["--lines", str(lines)]
    subprocess.run(command, check=True)
    return path


def single_strip_pages(source: Path, directory: Path) -> list[Path]:
    """Write each page of `source` to a file of its own, in the form that efax sends faithfully.

    One-dimensional Group 3 in one strip, which ends with RTC where the file ends: efax does not look at
    the strip's length but sends all that follows its start up to an RTC, of other pages and TIFF
    directories too, and it drops a last row that no EOL follows.
    """
    with Image.open(source) as image:
        count = getattr(image, "n_frames", 1)
    pages = []
    for number in range(count):
        target = directory / f"{source.stem}-{number + 1}.tif"
        subprocess.run(
            ["tiffcp", "-c", "g3:1d", "-r", str(SINGLE_STRIP), f"{source},{number}", target], check=True
        )
        target.write_bytes(_directory_first(target))
        pages.append(target)
    return pages


def _directory_first(page: Path) -> bytes:
    """The same single-strip TIFF page with the directory in front of the strip."""
    with Image.open(page) as image:
        tags = image.tag_v2  # type: ignore[attr-defined]
        (offset,), (length,) = tags[STRIP_OFFSETS], tags[STRIP_BYTE_COUNTS]
        fields = [(tag, LONG, tags[tag]) for tag in (256, 257, 259, 262, 266, 277, 278)]
        fields += [(258, LONG, 1)]
        fields += [
            (STRIP_OFFSETS, LONG, 0),
            (STRIP_BYTE_COUNTS, LONG, length + len(RETURN_TO_CONTROL)),
            (292, LONG, tags.get(292, 0)),
        ]
        resolutions = [round(float(tags[tag])) for tag in (282, 283)]
    n_fields = len(fields) + 3
    after = 8 + 2 + 12 * n_fields + 4
    fields += [(282, RATIONAL, after), (283, RATIONAL, after + 8), (296, LONG, INCH)]
    strip = page.read_bytes()[offset : offset + length] + RETURN_TO_CONTROL
    directory = struct.pack("<H", n_fields)
    for tag, kind, value in sorted(fields):
        directory += struct.pack("<HHII", tag, kind, 1, after + 16 if tag == STRIP_OFFSETS else value)
    ratios = struct.pack("<4I", resolutions[0], 1, resolutions[1], 1)
    return b"II*\0" + struct.pack("<I", 8) + directory + bytes(4) + ratios + strip


def joined(pages: Sequence[Path], target: Path) -> Path:
    """Write the pages of several files as one Group 4 document; returns its path."""
    subprocess.run(["tiffcp", "-c", "g4", *map(str, pages), str(target)], check=True)
    return target


def previews(tiff: Path, directory: Path, stem: str) -> list[Path]:
    """Write each page of `tiff` as a PNG half as wide, with square pixels; return their paths."""
    written = []
    with Image.open(tiff) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            page = image.convert("L")
            x_dpi, y_dpi = (float(value) for value in page.info.get("dpi", (204, 98)))
            width = page.width // 2
            height = round(page.height / 2 * x_dpi / y_dpi)
            target = directory / f"{stem}-{number + 1}.png"
            page.resize((width, height), Image.Resampling.BOX).save(target)
            written.append(target)
    return written
