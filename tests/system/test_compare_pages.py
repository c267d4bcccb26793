"""The judge of the pages must itself see every difference, and ignore only what it says it ignores."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from tests.system.compare_pages import Header, all_equal, compare, main


def page(height: int = 60, *, shift: int = 0, width: int = 64) -> Image.Image:
    """A white page with a frame that begins at row 20 + shift."""
    image = Image.new("1", (width, height), 1)
    ImageDraw.Draw(image).rectangle((10, 20 + shift, 50, 40 + shift), outline=0)
    return image


def save(path: Path, *pages: Image.Image) -> Path:
    pages[0].save(path, save_all=True, append_images=list(pages[1:]), compression="group4")
    return path


def test_equal_documents_are_equal_in_one_file_or_a_file_a_page(tmp_path: Path) -> None:
    sent = save(tmp_path / "sent.tif", page(), page(shift=3))
    files = [save(tmp_path / "1.tif", page()), save(tmp_path / "2.tif", page(shift=3))]
    assert all_equal(compare(sent, [sent]))
    assert all_equal(compare(sent, files))


def test_one_dot_is_found_and_placed(tmp_path: Path) -> None:
    sent = save(tmp_path / "sent.tif", page())
    spoilt = page()
    spoilt.putpixel((33, 57), 0)
    (comparison,) = compare(sent, [save(tmp_path / "received.tif", spoilt)])
    assert comparison.difference == "differs within rows 57..57, dots 33..33"


@pytest.mark.parametrize(
    ("received", "difference"),
    [
        (page(height=59), "59 rows, expected 60"),
        (page(height=61), "61 rows, expected 60"),
        (page(width=65), "65 dots wide, sent 64"),
    ],
)
def test_other_sizes_differ(tmp_path: Path, received: Image.Image, difference: str) -> None:
    sent = save(tmp_path / "sent.tif", page())
    (comparison,) = compare(sent, [save(tmp_path / "received.tif", received)])
    assert comparison.difference == difference


def test_missing_and_surplus_pages_differ(tmp_path: Path) -> None:
    two = save(tmp_path / "two.tif", page(), page())
    one = save(tmp_path / "one.tif", page())
    assert [c.difference for c in compare(two, [one])] == [None, "was not received"]
    assert [c.difference for c in compare(one, [two])] == [None, "was received but never sent"]
    assert [c.difference for c in compare(one, [])] == ["was not received"]


def test_header_rows_are_ignored_only_where_the_header_is(tmp_path: Path) -> None:
    sent = save(tmp_path / "sent.tif", page())
    with_header = page(height=66, shift=6)  # 20 rows in place of the first 14
    ImageDraw.Draw(with_header).line((2, 5, 40, 5), fill=0)
    received = save(tmp_path / "received.tif", with_header)
    assert all_equal(compare(sent, [received], header=Header(14, 20)))
    assert not all_equal(compare(sent, [received]))
    with_header.putpixel((3, 20), 0)  # the first row that counts
    assert not all_equal(compare(sent, [save(tmp_path / "spoilt.tif", with_header)], header=Header(14, 20)))


def test_stray_rows_are_allowed_up_to_the_bound(tmp_path: Path) -> None:
    sent = save(tmp_path / "sent.tif", page())
    received = save(tmp_path / "received.tif", page(height=63))
    assert all_equal(compare(sent, [received], stray_rows=3))
    assert not all_equal(compare(sent, [received], stray_rows=2))


def test_command_line_says_a_line_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sent = save(tmp_path / "sent.tif", page())
    longer = save(tmp_path / "longer.tif", page(height=62))
    assert main([str(sent), str(longer), "--stray-rows", "2"]) == 0
    assert main([str(sent), str(longer), "--header", "0:1"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "page 1: equal; 2 stray rows at the end",
        "page 1: 62 rows, expected 61; not compared: a header line of 1 rows in place of the first 0",
    ]


def test_no_pages_at_all_are_not_equal() -> None:
    assert not all_equal([])


def test_a_broken_file_is_a_difference(tmp_path: Path) -> None:
    sent = save(tmp_path / "sent.tif", page())
    (tmp_path / "page.001").write_bytes(b"")
    (comparison,) = compare(sent, [tmp_path / "page.001"])
    assert str(comparison).startswith("page 1: what was received cannot be read: ")


def test_rows_that_a_program_does_not_send_are_left_out_at_the_end_only_if_asked_for(tmp_path: Path) -> None:
    sent, received = save(tmp_path / "sent.tif", page()), save(tmp_path / "received.tif", page(height=59))
    (comparison,) = compare(sent, [received], unsent_rows=1)
    assert comparison.difference is None
    assert comparison.unsent_rows == 1
    assert "without the last 1 rows" in str(comparison)
    assert not all_equal(compare(sent, [save(tmp_path / "short.tif", page(height=58))], unsent_rows=1))
    shifted = save(tmp_path / "shifted.tif", page(height=59, shift=-1))
    assert not all_equal(compare(sent, [shifted], unsent_rows=1))
