"""The service at rest: start, processor time and memory of 8 modems without a call, beside 8 iaxmodems.

    python -m bench.service            a table (two minutes); --modems N for another number
    python -m bench.service --quick    a shorter rest
    python -m bench.service --json     a list of rows: name, ours, peer, unit, goal

Every modem is a pty, is registered nowhere, and has no call. The peer is Debian's iaxmodem, one process a
modem, from the package that the tests fetch for their guest (root is needed to run it), or from `--iaxmodem
FILE.deb`; without it there are our figures alone.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.rows import Row, table
from tests.service.running import RunningService

START_GOAL_S = 1.5
IDLE_GOAL_PERCENT = 0.5
MEMORY_GOAL_MB = 200
N_STARTS = 3
"""The quickest counts: the others say how busy the machine is."""
SETTLE_S = 5.0
"""From being ready to being at rest."""
TIMEOUT_S = 120.0
LAST_PORT = 45_998
PACKAGES = Path(__file__).parent.parent / ".cache" / "guest-packages"


@dataclass
class Measured:
    """Of one set of modems."""

    start_s: float
    start_cpu_s: float
    idle_percent: float
    pss_mb: float
    n_processes: int


# --- what the kernel says of processes ----------------------------------------------------------------------


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def cpu_s(pids: list[int]) -> float:
    """Processor time of all their threads, with what they spent in the kernel."""
    total_ns = 0
    for pid in pids:
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            total_ns += int(path.read_text().split()[0])
    return total_ns / 1e9


def pss_mb(pids: list[int]) -> float:
    """Proportional set size: a page that several processes share counts once."""
    total_kib = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total_kib += int(line.split()[1])
    return total_kib / 1024


# --- the two --------------------------------------------------------------------------------------------


def _until(what: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not what():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the modems do not start")
        time.sleep(0.005)


@contextmanager
def ours(n_modems: int) -> Iterator[tuple[float, int]]:
    """Our service, ready; the seconds that took, and its process."""
    with tempfile.TemporaryDirectory() as name, RunningService(Path(name)) as service:
        for k in range(n_modems):
            service.modem(k, "refresh = 0")
        began = time.monotonic()
        service.start(ready=False)
        assert service.process is not None
        _until(service.is_ready, service.process)
        yield time.monotonic() - began, service.process.pid


@contextmanager
def iaxmodems(n_modems: int, package: Path) -> Iterator[tuple[float, int]]:
    """Debian's iaxmodem, a process a modem; the seconds until all devices are there, and their parent."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        subprocess.run(["dpkg-deb", "-x", package, place / "package"], check=True)
        devices = [place / f"tty{k}" for k in range(n_modems)]
        for directory in ("upper", "work", "config"):
            (place / directory).mkdir()
        for k, device in enumerate(devices):
            text = f"device {device}\nowner root:root\nmode 660\nport {LAST_PORT - k}\nrefresh 0\n"
            text += "server 127.0.0.1\npeername x\nsecret x\ncodec ulaw\n"
            (place / "config" / f"modem{k}").write_text(text)
        layers = f"lowerdir=/etc,upperdir={place / 'upper'},workdir={place / 'work'}"
        program = place / "package" / "usr" / "bin" / "iaxmodem"
        script = (  # iaxmodem reads /etc/iaxmodem and nothing else
            f"mount -t overlay overlay -o {layers} /etc && mkdir -p /etc/iaxmodem && "
            f"cp {place}/config/* /etc/iaxmodem && echo mounted && read go && "
            f"for k in $(seq 0 {n_modems - 1}); do {program} modem$k >/dev/null 2>&1 & done; wait"
        )
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            if process.stdout.readline() != "mounted\n":
                raise RuntimeError("iaxmodem cannot be run here: its configuration cannot be laid over /etc")
            began = time.monotonic()
            process.stdin.write("\n")
            process.stdin.flush()
            _until(lambda: all(device.exists() for device in devices), process)
            yield time.monotonic() - began, process.pid
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def measure(run: Callable[[], AbstractContextManager[tuple[float, int]]], idle_s: float) -> Measured:
    """Start it some times, and the last time let it rest for `idle_s`."""
    starts = []
    for n in range(N_STARTS):
        with run() as (start_s, pid):
            starts.append((start_s, cpu_s(family(pid))))
            if n < N_STARTS - 1:
                continue
            time.sleep(SETTLE_S)
            pids = family(pid)
            before, began = cpu_s(pids), time.monotonic()
            time.sleep(idle_s)
            percent = (cpu_s(pids) - before) / (time.monotonic() - began) * 100
            return Measured(*min(starts), percent, pss_mb(pids), len(pids))
    raise AssertionError("never")


def rows(n_modems: int, us: Measured, them: Measured | None) -> list[Row]:
    """Side by side."""
    many = f"{n_modems} modems"
    return [
        Row(f"start of {many}, compiled before", us.start_s, them and them.start_s, "s", goal=START_GOAL_S),
        Row("processor time of that start", us.start_cpu_s, them and them.start_cpu_s, "s"),
        Row(
            f"{many} at rest, of one core",
            us.idle_percent,
            them and them.idle_percent,
            "%",
            goal=IDLE_GOAL_PERCENT,
        ),
        Row(f"memory of {many} (PSS)", us.pss_mb, them and them.pss_mb, "MB", goal=MEMORY_GOAL_MB),
        Row("processes", us.n_processes, them and them.n_processes, ""),
    ]


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.service",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--modems", type=int, default=8, metavar="N")
    parser.add_argument("--iaxmodem", type=Path, metavar="FILE.deb", help="Debian's package of the peer")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    idle_s = 10.0 if options.quick else 40.0
    package = options.iaxmodem or next(PACKAGES.glob("iaxmodem_*.deb"), None)
    us = measure(lambda: ours(options.modems), idle_s)
    them, note = None, "No peer: there is no package of iaxmodem here (`--iaxmodem FILE.deb`)."
    if package is not None and os.geteuid() == 0:
        them, note = measure(lambda: iaxmodems(options.modems, package), idle_s), f"Peer: {package.name}."
    measured = rows(options.modems, us, them)
    if options.json:
        print(json.dumps([row.as_json() for row in measured]))
    else:
        print(table("The service at rest", measured, note))
    return 0


if __name__ == "__main__":
    sys.exit(main())
