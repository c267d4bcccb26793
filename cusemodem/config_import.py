"""IAXmodem's files as ours: what each line means to IAXmodem, and which lines are doubtful.

IAXmodem reads generously: prefixes of keywords count, unknown lines do not, a `%` makes it ignore a line,
`record no` switches recording on. The result means what IAXmodem made of the file, and every line where
that may surprise is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cusemodem.config import read_entry, read_text
from cusemodem.config_forms import NO_WORDS, Entry, Problem
from cusemodem.config_keys import FLAGS, IAX2_PORT, IAXMODEM_KEYS

_KEYWORDS = sorted(IAXMODEM_KEYS, key=len, reverse=True)


@dataclass
class Imported:
    """A file in our form, and what is doubtful about it."""

    text: str
    doubts: list[Problem] = field(default_factory=list)


def convert(path: Path) -> Imported:
    """Read an IAXmodem file. Raises ConfigError when it cannot be read at all."""
    result = Imported("")
    text = read_text(path)

    def doubt(line: int, key: str, said: str) -> None:
        result.doubts.append(Problem(path, line, key, said))

    values: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        _read_line(number, line, values, doubt)
    kept = _checked(values, doubt)
    if "device" not in values:
        doubt(1, "device", f"is not given; IAXmodem makes /dev/iaxmodem, here it is /dev/{path.name}")
    if "port" not in values:
        doubt(1, "port", f"is not given; IAXmodem then takes {IAX2_PORT}, which Asterisk on this machine has")
    if "codec" not in values:
        said = "is not given; IAXmodem then prefers slinear, here it is ulaw, as the telephone network has it"
        doubt(1, "codec", f"{said}; the others are offered too")
    if "peername" not in values and values.get("refresh", (0, ""))[1] != "0":
        doubt(1, "peername", "is not given; write the name the server knows this modem by, or refresh = 0")
    lines = [f"# from {path}", "[modem]", *kept, ""]
    result.text = "\n".join(lines)
    return result


def _read_line(
    number: int, line: str, values: dict[str, tuple[int, str]], doubt: Callable[[int, str, str], None]
) -> None:
    setting = line.partition(";")[0].strip()
    if not setting:
        return
    keyword, *rest = setting.split(None, 1)
    value = rest[0] if rest else ""
    key = next((known for known in _KEYWORDS if keyword.lower().startswith(known)), "")
    if "%" in line:
        doubt(number, key, "has a `%`, for which IAXmodem ignores the line; left out")
    elif not key:
        if not setting.startswith("#"):
            doubt(number, keyword.lower(), "is no keyword, and IAXmodem ignores it; left out")
    else:
        if keyword.lower() != key:
            doubt(number, keyword.lower(), f"is {key} to IAXmodem, which looks at the beginning; written so")
        if key in FLAGS and value.lower() in NO_WORDS:
            doubt(number, key, f"`{setting}` switches it on in IAXmodem; written so")
        if key in values:
            doubt(number, key, f"is given in line {values[key][0]} too; the last counts")
        values[key] = (number, "yes" if key in FLAGS else value)


def _checked(values: dict[str, tuple[int, str]], doubt: Callable[[int, str, str], None]) -> list[str]:
    """Our lines, with those that would be refused as comments."""
    lines = []
    for key, (number, value) in values.items():
        if key == "skew":
            doubt(number, key, "is not needed: the modem follows the far end's clock by itself; left out")
            continue
        if key == "port" and value.lstrip("-").isdigit():
            port = int(value)
            value = "any" if port < 0 else str(port or IAX2_PORT)  # noqa: PLW2901
        try:
            fields = read_entry(Entry(number, key, value), IAXMODEM_KEYS) if value != "any" else {}
        except ValueError as error:
            doubt(number, key, f"{error}; left as a comment")
            lines.append(f"# {key} = {value}")
            continue
        if key == "mode":
            value = f"{fields['mode']:o}"  # noqa: PLW2901
        lines.append(f"{key} = {value}")
    return lines
