"""The port beside a pty with the same modem above it, in one run, in user-mode Linux.

    python -m bench.port            a table (about a minute)
    python -m bench.port --quick    fewer repetitions
    python -m bench.port --json     a list of rows: name, ours, peer, unit, goal

In the guest each system call costs some 20 to 75 µs, the host's as well as ours: compare with the pty, whose
bytes the kernel carries.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import statistics
import struct
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

from bench.rows import Row, table
from tests.bed.guest import REPOSITORY, Guest, missing_for_guest

PATHS = {"cuse": "/dev/ttyIAX0", "pty": "/tmp/bench-port-pty"}
SIZES = (64, 256, 1024, 4096)
LATENCY_GOAL = 2.0
"""Times the pty's latency."""
THROUGHPUT_GOAL = 1.0
"""MB/s either way."""
ROUNDS = 3
MIN_TOTAL = 256_000
"""Bytes of a measure of throughput."""
GUEST_TIMEOUT_S = 200


class Server:
    """One `bench.port_server`."""

    def __init__(self, kind: str) -> None:
        self.path = PATHS[kind]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.port_server", kind, self.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def _answer(self) -> None:
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise RuntimeError("the server of the port has ended")

    def tell(self, order: str) -> None:
        """Change what the modem does; done when this returns."""
        assert self._process.stdin is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        self._answer()

    def end(self) -> None:
        """Stop it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@contextmanager
def _opened(path: str) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(file, termios.TCSANOW)
        yield file
    finally:
        os.close(file)


def _read_exactly(file: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += os.read(file, size - len(data))
    return data


def _times(count: int, once: Callable[[], object]) -> list[float]:
    """Microseconds that each of so many took, after a tenth more to warm up."""
    for _ in range(count // 10):
        once()
    found = []
    for _ in range(count):
        start = time.perf_counter()
        once()
        found.append(1e6 * (time.perf_counter() - start))
    return sorted(found)


def _measure(server: Server, count: int) -> dict[str, float]:
    """Every figure of one kind of port."""
    figures: dict[str, float] = {}

    def latency(name: str, times: list[float]) -> None:
        figures[f"{name}, median"] = statistics.median(times)
        figures[f"{name}, 99 of 100"] = sorted(times)[int(0.99 * len(times))]

    with _opened(server.path) as file:

        def byte_there_and_back() -> None:
            os.write(file, b"x")
            os.read(file, 1)

        def at_to_ok() -> None:
            os.write(file, b"AT\r")
            _read_exactly(file, 6)

        poller = select.poll()
        poller.register(file, select.POLLIN)

        def wake_up() -> float:
            os.write(file, b"x")
            poller.poll(5000)
            now = time.monotonic_ns()
            (sent,) = struct.unpack("<Q", _read_exactly(file, 8))
            return float(now - sent) / 1000

        server.tell("echo")
        latency("1 byte there and back", _times(count, byte_there_and_back))
        server.tell("engine")
        os.write(file, b"ATE0\r")
        while not os.read(file, 100).endswith(b"OK\r\n"):
            pass
        latency("AT to OK", _times(count, at_to_ok))
        server.tell("stamp")
        latency("poll wake-up", [wake_up() for _ in range(count // 4)])
        for size in SIZES:
            total = max(size * count, MIN_TOTAL)
            figures[f"write, {size} bytes at a time"] = _write_mb_per_s(server, file, size, total)
            figures[f"read, {size} bytes at a time"] = _read_mb_per_s(server, file, size, total)
    return figures


def _write_mb_per_s(server: Server, file: int, size: int, total: int) -> float:
    server.tell(f"sink {total}")
    piece, left = bytes(size), total
    start = time.perf_counter()
    while left:
        left -= os.write(file, piece[:left])
    os.read(file, 1)
    return total / (time.perf_counter() - start) / 1e6


def _read_mb_per_s(server: Server, file: int, size: int, total: int) -> float:
    server.tell(f"source {total}")
    start = time.perf_counter()
    os.write(file, b"g")
    left = total
    while left:
        left -= len(os.read(file, min(size, left)))
    return total / (time.perf_counter() - start) / 1e6


def _measure_here(count: int) -> list[Row]:
    """Both kinds in turn, several times; of each figure the round that the machine disturbed least."""
    servers = {kind: Server(kind) for kind in PATHS}
    rounds: dict[str, list[dict[str, float]]] = {kind: [] for kind in PATHS}
    for _ in range(ROUNDS):
        for kind, server in servers.items():
            rounds[kind].append(_measure(server, count))
    for server in servers.values():
        server.end()
    rows = []
    for name in rounds["pty"][0]:
        is_rate = name.startswith(("write", "read"))
        ours, peer = (
            (max if is_rate else min)(figures[name] for figures in rounds[kind]) for kind in ("cuse", "pty")
        )
        goal = THROUGHPUT_GOAL if is_rate else LATENCY_GOAL * peer
        rows.append(Row(name, ours, peer, "MB/s" if is_rate else "µs", goal=goal, more_is_better=is_rate))
    return rows


def main() -> int:
    """Measure in a guest and print; exit status 1: it could not be measured."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").split("\n\n", 1)[1])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # the half inside the guest
    options = parser.parse_args()
    count = 300 if options.quick else 2000
    if options.here:
        print(json.dumps([asdict(row) for row in _measure_here(count)]))
        return 0
    if missing := missing_for_guest():
        print(f"bench.port: no user-mode Linux here: install {', '.join(missing)}", file=sys.stderr)
        return 1
    arguments = ["--quick"] if options.quick else []
    done = Guest()(
        [sys.executable, "-m", "bench.port", "--here", *arguments],
        timeout_s=GUEST_TIMEOUT_S,
        real_time=True,
        cwd=REPOSITORY,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("[{")]
    if not lines:
        print(f"bench.port: status {done.returncode}: {done.stderr[-2000:]}", file=sys.stderr)
        return 1
    rows = [Row(**fields) for fields in json.loads(lines[0])]
    if options.json:
        print(json.dumps([row.as_json() for row in rows], indent=1))
    else:
        print(table("The port beside a pty", rows, "In user-mode Linux, the same modem above both."))
    return 0


if __name__ == "__main__":
    sys.exit(main())
