"""The keys of the serial port."""

from __future__ import annotations

from pathlib import Path

import pytest

from cusemodem.config import ConfigError, ModemConfig, load


def loaded(tmp_path: Path, *lines: str) -> ModemConfig:
    file = tmp_path / "ttyIAX0"
    file.write_text("\n".join(["[modem]", "peername = fax0", *lines, ""]))
    return load(file)


def test_without_a_word(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    assert (config.major, config.keep, config.busy_when_closed) == (None, True, False)


@pytest.mark.parametrize(
    ("text", "major"), [("auto", None), ("dynamic", 0), ("0", 0), ("240", 240), ("511", 511)]
)
def test_major(text: str, major: int | None, tmp_path: Path) -> None:
    assert loaded(tmp_path, f"major = {text}").major == major


@pytest.mark.parametrize("text", ["-1", "512", "24O", "any", "1e2"])
def test_majors_that_are_none(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no major number; write auto, dynamic, or a number from 240 to"):
        loaded(tmp_path, f"major = {text}")


def test_flags(tmp_path: Path) -> None:
    config = loaded(tmp_path, "keep = no", "busy_when_closed = yes")
    assert (config.keep, config.busy_when_closed) == (False, True)
    with pytest.raises(ConfigError, match="'perhaps' is neither yes nor no; write yes or no"):
        loaded(tmp_path, "keep = perhaps")


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("/dev/iax/tty0", "is in a directory below /dev, where lock files of fax programs do not work"),
        ("/dev/tty!0", "is no name for a device"),
        ("/dev/" + "x" * 32, "is no name for a device"),
        ("/dev/", "is a directory"),
        ("ttyIAX0", "is not an absolute path"),
        ("/srv/../dev/ttyIAX0", "is no name for a device"),
    ],
)
def test_names_that_are_refused(device: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        loaded(tmp_path, f"device = {device}")
