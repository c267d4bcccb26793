"""The fax campaign: HylaFAX in Class 1 and 1.0 and efax send and receive three pages through Asterisk.

usage: python -m tests.system.campaign --directory DIR [--runs 20] [--programs hylafax-1,hylafax-1.0,efax-1]
           [--adapter cuse|pty] [--far asterisk|iaxmodem] [--lanes 2] [--minutes M] [--only TEXT] [--table]
           [--busy-loops N]

Every coding and every rate in turn, LANES calls at once: on the CUSE devices of one service in a guest of
uml-run, or on its pseudo-terminals in namespaces of this machine (root's), which bear more calls. What has
been done in DIR is not done again; a call that failed stays failed. Ends after M minutes at the latest.
Prints the table, and exits with 0 when every call was made and every page was equal.
--far iaxmodem: the other end is efax on an iaxmodem. --table: print it only. --only: the cases whose name
has TEXT. --busy-loops: so many programs that never wait run meanwhile, in sessions of their own, at ordinary
priority like the fax programs; the modems and Asterisk come first, as a unit file would have it.
"""

import argparse
import json
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bed.guest import BED, REPOSITORY, Guest
from tests.system.campaign_cases import RATES, Case, End, Row, plan

GUEST_MINUTES = 25
"""A guest is started afresh after so long, so that one that dies takes little with it."""
LOAD_EVERY_S = 5.0


def main() -> int:
    """Run what is left to do, and print the table."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").split("usage: ", 1)[1])
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--programs", default="hylafax-1,hylafax-1.0,efax-1")
    parser.add_argument("--far", choices=("asterisk", "iaxmodem"), default="asterisk")
    parser.add_argument("--adapter", choices=("cuse", "pty"), default="cuse")
    parser.add_argument("--lanes", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--only", default="")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--busy-loops", type=int, default=0)
    options = parser.parse_args()
    directory: Path = options.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    programs = [End(*name.split("-")) for name in options.programs.split(",")]
    planned = plan(programs, options.runs, iaxmodem=options.far == "iaxmodem")
    cases = [case for case in planned if options.only in case.name]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    ends = time.time() + 60 * options.minutes
    with load_average_written(directory / "load.jsonl"), busy_loops(options.busy_loops):
        while not options.table and (left := to_do(cases, results(directory))) and time.time() < ends:
            before = len(left)
            until = min(ends, time.time() + 60 * GUEST_MINUTES)
            run_cases(directory, left, until=until, lanes=options.lanes, adapter=options.adapter)
            if len(to_do(cases, results(directory))) == before:
                print(f"no call was made; see {directory}/guest.log", file=sys.stderr)
                break
    print(table(results(directory), loads(directory / "load.jsonl")))
    done = results(directory)
    return 0 if not to_do(cases, done) and all(result["ok"] for result in done) else 1


def run_cases(directory: Path, cases: Sequence[Case], *, until: float, lanes: int, adapter: str) -> None:
    """One guest, or namespaces; takes the cases in order and begins no call after `until`."""
    (directory / "cases.json").write_text(json.dumps([case.as_json() for case in cases]))
    command = [sys.executable, "-m", "tests.system.campaign_guest", "--directory", str(directory)]
    command += ["--until", str(until), "--lanes", str(lanes), "--adapter", adapter]
    timeout_s = int(until - time.time()) + 400
    if adapter == "cuse":
        command = Guest(memory="4G").command(command, timeout_s=timeout_s, share=[directory], real_time=True)
    else:
        options = ["--timeout", str(timeout_s), "--share", str(directory)]
        command = [str(BED / "namespace-run"), *options, "--", *command]
    with (directory / "guest.log").open("a") as log:
        guest = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            log.write(f"exit status {guest.wait()}\n")
        finally:  # SIGTERM, for one
            guest.terminate()
            guest.wait()


def results(directory: Path) -> list[dict[str, Any]]:
    """Every call made so far."""
    try:
        lines = (directory / "results.jsonl").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


def to_do(cases: Sequence[Case], done: Sequence[dict[str, Any]]) -> list[Case]:
    """The cases that have not been tried."""
    names = {result["name"] for result in done}
    return [case for case in cases if case.name not in names]


@contextmanager
def load_average_written(file: Path) -> Iterator[None]:
    """Write this machine's load average of a minute, with the time, every few seconds."""
    over = threading.Event()

    def write() -> None:
        with file.open("a") as lines:
            while True:
                load = float(Path("/proc/loadavg").read_text().split()[0])
                lines.write(f"[{time.time():.0f}, {load}]\n")
                lines.flush()
                if over.wait(LOAD_EVERY_S):
                    return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def busy_loops(n: int) -> Iterator[None]:
    """Programs that take all the processor time they get."""
    loop = ["sh", "-c", "while :; do :; done"]
    running = [subprocess.Popen(loop, stdin=subprocess.DEVNULL, start_new_session=True) for _ in range(n)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def loads(file: Path) -> list[tuple[float, float]]:
    """(time, load average) pairs."""
    return [tuple(json.loads(line)) for line in file.read_text().splitlines()]


def load_during(result: dict[str, Any], samples: Sequence[tuple[float, float]]) -> float:
    """The mean load average of one call."""
    begin, end = result["started"], result["started"] + result["seconds"]
    within = [load for at, load in samples if begin - LOAD_EVERY_S <= at <= end + LOAD_EVERY_S]
    return statistics.fmean(within) if within else float("nan")


def table(done: Sequence[dict[str, Any]], samples: Sequence[tuple[float, float]]) -> str:
    """Program, class, coding, rate, direction: pixel-equal of all, and the load average meanwhile."""
    rows: dict[Row, list[dict[str, Any]]] = defaultdict(list)
    for result in done:
        for row in Case.from_json(result["case"]).rows():
            rows[row].append(result)
    lines = [
        "| program | class | coding | rate | direction | equal | load |",
        "|---|---|---|---|---|---|---|",
    ]
    for row, calls in sorted(rows.items()):
        good = [call["ok"] for call in calls]
        load = sorted(load_during(call, samples) for call in calls)
        spread = f"{load[0]:.1f}" if len(load) == 1 else f"{load[0]:.1f}–{load[-1]:.1f}"
        lines.append(f"| {' | '.join(row)} | {sum(good)} of {len(good)} | {spread} |")
    return "\n".join([*lines, "", summary(done, samples)])


def summary(done: Sequence[dict[str, Any]], samples: Sequence[tuple[float, float]]) -> str:
    """The same with a column for each rate, whatever the far end."""
    cells: dict[tuple[str, ...], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for result in done:
        for row in Case.from_json(result["case"]).rows():
            cells[row.program, row.fax_class, row.direction, row.coding][row.rate].append(result)
    rates = [rate for rate in RATES if any(rate in by_rate for by_rate in cells.values())]
    lines = ["| " + " | ".join(["program", "class", "", "coding", *rates, "all", "load"]) + " |"]
    lines.append("|" + (len(rates) + 6) * "---|")
    for key, by_rate in sorted(cells.items()):
        every = [call for calls in by_rate.values() for call in calls]
        load = [load_during(call, samples) for call in every]
        counts = [_n_of_m(by_rate[rate]) if rate in by_rate else "" for rate in rates]
        lines.append(f"| {' | '.join([*key, *counts, _n_of_m(every)])} | {min(load):.0f}–{max(load):.0f} |")
    return "\n".join(lines)


def _n_of_m(calls: Sequence[dict[str, Any]]) -> str:
    return f"{sum(call['ok'] for call in calls)}/{len(calls)}"


if __name__ == "__main__":
    sys.exit(main())
