"""The fax modems beside libspandsp's, on the same audio and seeds in the same run.

    python -m bench.dsp                 all of it, as tables (about an hour)
    python -m bench.dsp --quick         the same with less data (some minutes)
    python -m bench.dsp --json          a list of rows: name, ours, peer, unit, and ideal and goal where known
    python -m bench.dsp --only steady,events --match "V.29 9600"
    python -m bench.dsp --only training --write training.md     as far as it has come, after each section

Exit status 1: there is no libspandsp (apt-get install libspandsp2).
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import rows as bench_rows
from bench.fax_modems import MODEMS, Modem, ours_has
from bench.rows import Row
from tests.peers import spandsp_peer as peer


class Section(NamedTuple):
    """Rows that belong together."""

    title: str
    note: str
    rows: Callable[[Sequence[Modem], bool], Iterable[Row]]
    #: Written to a file as one line for all modulations.
    in_matrix: bool = False


def _sections() -> dict[str, Section]:
    from bench import fax_cost, fax_false, fax_impairments, fax_sensitivity, fax_start  # noqa: PLC0415 - compile at import

    def sensitivity(modems: Sequence[Modem], quick: bool) -> Iterator[Row]:
        yield from fax_sensitivity.fast_rows(modems, quick)
        yield fax_sensitivity.v21_row(quick)

    return {
        "sensitivity": Section(
            "Sensitivity",
            "SNR over 0 to 4 kHz at a bit error rate of 1e-4; signal -14 dBm0, silence before it. The ideal "
            "receiver knows the line; its figures are theory's.",
            sensitivity,
        ),
        "training": Section(
            "Trainings at the goal's SNR",
            "Trained, and the data right. Received level; noise from the signal's beginning, or a second "
            "before it.",
            fax_sensitivity.training_rows,
            in_matrix=True,
        ),
        "interoperation": Section(
            "Interoperation",
            "Trainings after which every bit is equal; ours: we receive libspandsp's signal, peer: it "
            "receives ours. Named line shapes, no noise.",
            fax_impairments.interoperation_rows,
            in_matrix=True,
        ),
        "steady": Section(
            "Steady impairments",
            "Bit error rate with noise 3 dB above the goal's SNR; missing bits count as wrong.",
            fax_impairments.steady_rows,
            in_matrix=True,
        ),
        "events": Section(
            "Slips and lost packets",
            "Noise 3 dB above the goal's SNR. For each event, the time for which data are not right, "
            "wherever they have moved to; the lost 20 ms are included. Told: which packets never came.",
            fax_impairments.event_rows,
            in_matrix=True,
        ),
        "false": Section(
            "Taken for a fax",
            "Receivers of all modulations and V.21 hear synthetic sounds on a line, -8 to -38 dBm0, in clips "
            "of 30 s; what they report, all together, as if an hour had been heard.",
            fax_false.false_rows,
        ),
        "cost": Section(
            "Cost", "Compiled loops on both sides, one core; a sample is 125 µs.", fax_cost.cost_rows
        ),
        "start": Section("Starting", "", fax_start.start_rows),
        "memory": Section("Memory", "", fax_start.memory_rows),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.dsp", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="rows as JSON on stdout, nothing else")
    parser.add_argument("--quick", action="store_true", help="less data: some minutes")
    parser.add_argument("--only", metavar="SECTIONS", help="comma-separated; all by default")
    parser.add_argument("--match", metavar="TEXT", default="", help="only modulations whose name has TEXT")
    parser.add_argument(
        "--write", metavar="FILE", type=Path, help="write the tables there, with date and machine"
    )
    return parser.parse_args()


def main() -> int:
    """Measure and print."""
    options = _arguments()
    if not peer.available():
        print(
            "bench.dsp: there is no libspandsp to compare with; apt-get install libspandsp2", file=sys.stderr
        )
        return 1
    sections = _sections()
    names = options.only.split(",") if options.only else list(sections)
    if unknown := set(names) - set(sections):
        print(
            f"bench.dsp: no section {', '.join(sorted(unknown))}; there are {', '.join(sections)}",
            file=sys.stderr,
        )
        return 2
    wanted = [modem for modem in MODEMS if options.match in modem.name]
    modems = [modem for modem in wanted if ours_has(modem)]
    skipped = [modem.name for modem in wanted if modem not in modems]
    texts = []
    all_rows: list[Row] = []
    begin = time.monotonic()
    for name in names:
        section = sections[name]
        rows = list(section.rows(modems, options.quick))
        all_rows += rows
        as_table = bench_rows.matrix if section.in_matrix else bench_rows.table
        texts.append(as_table(section.title, rows, section.note))
        if not options.json:
            print(bench_rows.table(section.title, rows, section.note), flush=True)
        if options.write:
            head = _head(skipped, time.monotonic() - begin)
            options.write.write_text(head + "\n" + "\n".join(texts), encoding="utf-8")
    if not options.json:
        for modem in skipped:
            print(f"skipped: {modem} is not there yet")
    if options.json:
        print(json.dumps([row.as_json() for row in all_rows], indent=1))
    return 0


def _head(skipped: list[str], seconds: float) -> str:
    lines = [
        "# Figures of the signal processing",
        "",
        f"`{shlex.join(['python', '-m', 'bench.dsp', *sys.argv[1:]])}` on {time.strftime('%Y-%m-%d')} "
        f"({seconds:.0f} s), state {_state()}; {_processor()}, Python {platform.python_version()}; "
        f"peer: libspandsp {_peer_version()}.",
        "Ours and the peer's figures come from the same run, audio and seeds. A row that ends with words is "
        "one to look at.",
    ]
    if skipped:
        lines.append(f"Not there yet: {', '.join(skipped)}.")
    return "\n".join(lines) + "\n"


def _state() -> str:
    """The commit, and whether it is what was measured."""
    command = ["git", "describe", "--always", "--dirty=, changed"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _peer_version() -> str:
    try:
        done = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", "libspandsp2"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "of unknown version"
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
