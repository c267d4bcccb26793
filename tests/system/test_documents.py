"""The test documents: repeatable, and what efax gets holds exactly the page."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.system.compare_pages import all_equal, compare, load_pages
from tests.system.documents import make_document, previews, single_strip_pages

needs_tiff_tools = pytest.mark.skipif(not shutil.which("tiffcp"), reason="no tiffcp: install libtiff-tools")


def test_same_arguments_same_bytes_other_seed_other_bytes(tmp_path: Path) -> None:
    first = make_document(tmp_path / "1.tif", lines=100).read_bytes()
    assert make_document(tmp_path / "2.tif", lines=100).read_bytes() == first
    assert make_document(tmp_path / "3.tif", lines=100, seed=2).read_bytes() != first


@needs_tiff_tools
def test_single_strip_pages_are_the_pages_and_end_with_rtc(tmp_path: Path) -> None:
    document = make_document(tmp_path / "doc.tif", pages="text,halftone,blank", lines=200)
    pages = single_strip_pages(document, tmp_path)
    assert all_equal(compare(document, pages))
    assert all(page.read_bytes().endswith(bytes.fromhex("001001" * 3)) for page in pages)
    with Image.open(pages[0]) as image:
        assert (image.width, image.height, image.info["dpi"]) == (1728, 200, (204.0, 98.0))


def test_previews_have_square_dots(tmp_path: Path) -> None:
    document = make_document(tmp_path / "doc.tif", lines=1078)
    files = previews(document, tmp_path, "page")
    assert [file.name for file in files] == ["page-1.png", "page-2.png"]
    assert load_pages([files[0]])[0].size == (864, 1122)
