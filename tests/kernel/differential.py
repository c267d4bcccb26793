"""The differential test: one program on our device and on a pty of the same kernel, step by step.

`python -m tests.kernel.differential` in a guest prints every step that differs, as JSON lines. What may
differ
is the table of docs/port.md, section "Where it differs from a tty": a step of the program (or a pattern, with
`*`) to a line, with what either side gives and why.
"""

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tests.bed.guest import REPOSITORY
from tests.kernel.host import Modem
from tests.kernel.serial_program import Program
from tests.kernel.sides import Device, Pty

MANUAL = REPOSITORY / "docs" / "port.md"
SECTION = "## Where it differs from a tty"


@dataclass(frozen=True)
class Difference:
    """A step that gives one thing on our device and another on a tty."""

    step: str
    ours: str
    tty: str


@dataclass(frozen=True)
class Listed:
    """A line of the manual's table; results that are given exactly stand in backquotes there."""

    pattern: str
    ours: str
    tty: str
    reason: str

    def allows(self, difference: Difference) -> bool:
        if not fnmatchcase(difference.step, self.pattern):
            return False
        pairs = ((self.ours, difference.ours), (self.tty, difference.tty))
        return all(not cell.startswith("`") or cell.strip("`") == result for cell, result in pairs)


def listed(manual: Path = MANUAL) -> list[Listed]:
    """The differences that the manual admits."""
    section = manual.read_text().split(SECTION, 1)[1].split("\n## ", 1)[0]
    lines = []
    for line in section.splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 4 and cells[0].startswith("`"):
            lines.append(Listed(cells[0].strip("`"), *cells[1:]))
    assert lines, f"no table of differences in {manual}"
    return lines


def judge(differences: list[Difference], admitted: list[Listed]) -> list[str]:
    """What is wrong: differences that are not listed, lines of the list that came to nothing."""
    complaints = [
        f"not listed: {difference}"
        for difference in differences
        if not any(line.allows(difference) for line in admitted)
    ]
    complaints += [
        f"listed, but no such difference: {line}"
        for line in admitted
        if not any(line.allows(difference) for difference in differences)
    ]
    return complaints


def compare(modem: Modem) -> tuple[int, list[Difference]]:
    """Run the program on both; how many steps, and which differ."""
    ours = Program(Device(modem)).run()
    pty = Pty()
    try:
        theirs = Program(pty).run()
    finally:
        pty.close()
    assert ours.keys() == theirs.keys()
    differing = [Difference(name, ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]]
    return len(ours), differing


def main() -> None:
    modem = Modem()
    n_steps, differences = compare(modem)
    for difference in differences:
        print(json.dumps([difference.step, difference.ours, difference.tty]))
    modem.end()
    print(f"{len(differences)} of {n_steps} steps differ")
    if MANUAL.exists() and SECTION in MANUAL.read_text():
        print("\n".join(judge(differences, listed())) or "the manual lists each of them")


if __name__ == "__main__":
    main()
