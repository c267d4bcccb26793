"""One figure of a bench beside its peer's, and how rows are printed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """``ours`` and ``peer`` were measured in the same run; None: there was nothing to measure."""

    name: str
    ours: float | None
    peer: float | None
    unit: str
    ideal: float | None = None
    goal: float | None = None
    #: Whether more is better; decides what "worse than the peer" means.
    more_is_better: bool = False
    #: Smaller differences than this mean nothing.
    tolerance: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Without what is not known."""
        return {
            key: value for key, value in asdict(self).items() if value is not None or key in ("ours", "peer")
        }

    @property
    def verdict(self) -> str:
        """What a reader should look at: worse than the peer, or beyond the goal."""
        sign = -1 if self.more_is_better else 1
        said = []
        if self.ours is None:
            said.append("FAILS")
        elif self.peer is not None and sign * (self.ours - self.peer) > 1e-9 + self.tolerance:
            said.append("worse than peer")
        if self.goal is not None and self.ours is not None and sign * (self.ours - self.goal) > 1e-9:
            said.append("misses goal")
        return ", ".join(said)


#: Columns of words, not of figures.
_WORDS = (0, 5, 6)


def table(title: str, rows: Iterable[Row], note: str = "") -> str:
    """Rows as a Markdown table that also reads well on a terminal."""
    columns = ["", "ideal", "peer", "ours", "goal", "unit", ""]
    cells = [
        [row.name, *map(_figure, (row.ideal, row.peer, row.ours, row.goal)), row.unit, row.verdict]
        for row in rows
    ]
    used = [i for i in range(len(columns)) if any(line[i] not in ("", "–") for line in cells)]
    widths = {i: max(3, *(len(line[i]) for line in [columns, *cells])) for i in used}

    def joined(line: list[str]) -> str:
        padded = [line[i].ljust(widths[i]) if i in _WORDS else line[i].rjust(widths[i]) for i in used]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[i] if i in _WORDS else "-" * (widths[i] - 1) + ":" for i in used]
    head = [f"## {title}", "", note, ""] if note else [f"## {title}", ""]
    return "\n".join([*head, joined(columns), f"| {' | '.join(rule)} |", *map(joined, cells)]) + "\n"


def matrix(title: str, rows: Iterable[Row], note: str = "") -> str:
    """Rows named "column: line" (or "column, line") as one table, a cell being "peer / ours".

    A cell to look at is bold, and named below the table with what is the matter.
    """
    columns: list[str] = []
    lines: dict[str, dict[str, str]] = {}
    units: dict[str, None] = {}
    remarks = []
    for row in rows:
        column, separator, line = row.name.partition(": ")
        if not separator:
            column, _, line = row.name.partition(", ")
        if column not in columns:
            columns.append(column)
        cell = f"{_figure(row.peer)} / {_figure(row.ours)}"
        if row.verdict:
            remarks.append(f"- {row.name}: {cell} {row.unit}; {row.verdict}")
        lines.setdefault(line, {})[column] = f"**{cell}**" if row.verdict else cell
        units[row.unit if row.goal is None else f"{row.unit}, goal {_figure(row.goal)}"] = None
    head = ["peer / ours", *columns]
    cells = [[line, *(by_column.get(column, "") for column in columns)] for line, by_column in lines.items()]
    widths = [max(len(line[i]) for line in [head, *cells]) for i in range(len(head))]

    def joined(line: list[str]) -> str:
        padded = [word.rjust(widths[i]) if i else word.ljust(widths[0]) for i, word in enumerate(line)]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    about = " ".join(
        [note, f"Unit: {'; '.join(units)}.", *([] if remarks else ["No cell is worse than the peer's."])]
    )
    text = [
        f"## {title}",
        "",
        about.strip(),
        "",
        joined(head),
        f"| {' | '.join(rule)} |",
        *map(joined, cells),
    ]
    return "\n".join([*text, *(["", *remarks] if remarks else [])]) + "\n"


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 1:
        return f"{value:.1f}"
    return f"{value:.2g}"
