"""Our modem beside Debian's iaxmodem: the same faxes through the same Asterisk, in the same run.

    python -m bench.first_light            tables (about ten minutes)
    python -m bench.first_light --quick    shorter pages, fewer repetitions (about four minutes)
    python -m bench.first_light --json     a list of rows: name, ours, peer, unit

Measured twice: on this machine's kernel, where both modems are on a pseudo-terminal, and in user-mode
Linux, where ours is on its CUSE device; there each system call of either modem costs some 20 to 75 µs,
and processor time cannot be measured.
iaxmodem runs unpacked from Debian's package, its /etc/iaxmodem in a mount namespace of its own: needs root.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.rows import Row, table
from tests.bed.asterisk import HOST, Asterisk, AsteriskBed
from tests.bed.guest import REPOSITORY, Guest
from tests.system.calls import Outcome, asterisk_to_efax, efax_to_asterisk
from tests.system.documents import make_document
from tests.system.efax import open_modem
from tests.system.modem import KINDS, Account, Modem

PACKAGES = REPOSITORY / ".cache" / "guest-packages"
PLACES = {
    "kernel": "on this machine's kernel, both on a pty",
    "guest": "in user-mode Linux, ours on CUSE, iaxmodem on a pty",
}
GUEST_TIMEOUT_S = 900


@dataclass
class Figures:
    """What was measured of one modem in one place; times in seconds, memory in KiB."""

    ready_warm_s: float
    ready_cold_s: float | None
    at_median_s: float
    at_p99_s: float
    idle_cpu: float
    """Seconds of processor time a second, registered and with no call; so are the next two, in a call."""
    sending_cpu: float
    receiving_cpu: float
    resident_kib: int
    peak_kib: int
    pages_spoilt: int
    """Of the four pages of the two calls, those with any dot that differs: this machine was too busy."""


def main() -> int:
    """Measure and print; exit status 1: a call failed, so its figures mean nothing."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").split("\n\n", 1)[1])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--measure", choices=PLACES, help=argparse.SUPPRESS)  # the inner half, in its place
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        _measure_here(options.measure, options.directory, options.quick)
        return 0
    if os.geteuid() != 0:
        print("bench.first_light: iaxmodem runs only as root; run it with sudo", file=sys.stderr)
        return 1
    rows: list[Row] = []
    for place, words in PLACES.items():
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            done = subprocess.run(
                _command(place, Path(directory), options.quick), cwd=REPOSITORY, check=False
            )
            if done.returncode:
                print(f"bench.first_light: could not measure {words}; see above", file=sys.stderr)
                return 1
            figures = json.loads((Path(directory) / "figures.json").read_text())
        place_rows = _rows(place, Figures(**figures["cusemodem"]), Figures(**figures["iaxmodem"]))
        rows += place_rows
        if not options.json:
            print(table(words, place_rows), flush=True)
    if options.json:
        print(json.dumps([row.as_json() for row in rows], indent=1))
    return 0


def _command(place: str, directory: Path, quick: bool) -> list[str]:
    inner = [sys.executable, "-m", "bench.first_light", "--measure", place, "--directory", str(directory)]
    inner += ["--quick"] if quick else []
    if place == "guest":
        return Guest().command(inner, timeout_s=GUEST_TIMEOUT_S, share=[directory], real_time=True)
    return ["nice", "-n", "-10", "unshare", "--mount", *inner]


def _rows(place: str, ours: Figures, peer: Figures) -> list[Row]:
    def row(what: str, value: Callable[[Figures], float | None], unit: str) -> Row:
        return Row(f"{place}: {what}", value(ours), value(peer), unit)

    rows = [
        row("pages spoilt, of 4", lambda f: f.pages_spoilt, "pages"),
        row("memory after a call", lambda f: f.resident_kib / 1024, "MiB"),
        row("memory at most", lambda f: f.peak_kib / 1024, "MiB"),
        row("AT to OK, median", lambda f: 1000 * f.at_median_s, "ms"),
        row("AT to OK, 99 of 100", lambda f: 1000 * f.at_p99_s, "ms"),
        row("start to ready, warm", lambda f: f.ready_warm_s, "s"),
    ]
    if place == "kernel":  # the guest's kernel counts processor time by 10 ms ticks, which meet ours or miss
        rows += [
            row("processor time, sending", lambda f: 100 * f.sending_cpu, "% of a core"),
            row("processor time, receiving", lambda f: 100 * f.receiving_cpu, "% of a core"),
            row("processor time, idle", lambda f: 100 * f.idle_cpu, "% of a core"),
            row("start to ready, nothing compiled yet", lambda f: f.ready_cold_s, "s"),
        ]
    return rows


# ------------------------------------------------------------- in its place


def _measure_here(place: str, directory: Path, quick: bool) -> None:
    """Measure both modems here and leave `directory`/figures.json."""
    _unpack_iaxmodem(directory)
    if place == "kernel":
        _private_etc(directory)
    document = make_document(directory / "sent.tif", lines=300 if quick else 0)
    bed = AsteriskBed(send_tiff=document)
    try:
        asterisk = bed.start()
        figures = {
            kind: asdict(_Bench(kind, place, asterisk, document, directory=directory, quick=quick).figures())
            for kind in KINDS
        }
    finally:
        bed.clean()
    (directory / "figures.json").write_text(json.dumps(figures))


def _unpack_iaxmodem(directory: Path) -> None:
    (package,) = PACKAGES.glob("iaxmodem_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, directory / "package"], check=True)
    os.environ["PATH"] = f"{directory / 'package' / 'usr' / 'bin'}:{os.environ['PATH']}"


def _private_etc(directory: Path) -> None:
    """Lay a writable view over /etc in our mount namespace: iaxmodem knows only /etc/iaxmodem."""
    upper, work = directory / "etc-upper", directory / "etc-work"
    upper.mkdir()
    work.mkdir()
    layers = f"lowerdir=/etc,upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, "/etc"], check=True)


class _Bench:
    """The measurements of one modem."""

    account = "601"

    def __init__(
        self, kind: str, place: str, asterisk: Asterisk, document: Path, *, directory: Path, quick: bool
    ) -> None:
        self._kind = kind
        self._asterisk = asterisk
        self._document = document
        self._directory = directory / kind
        self._directory.mkdir()
        self._quick = quick
        self._pages_spoilt = 0
        self._device = Path("/dev/ttyIAX0") if place == "guest" else self._directory / "ttyIAX0"
        self._adapter = "cuse" if place == "guest" else "pty"

    def figures(self) -> Figures:
        """All of them; raises RuntimeError when a call fails."""
        warm = statistics.median(self._ready_s({}) for _ in range(3 if self._quick else 7))
        cold = None
        if self._kind == "cusemodem" and self._adapter == "pty":  # the compiler is the same in the guest
            with tempfile.TemporaryDirectory(dir=self._directory) as cache:
                cold = self._ready_s({"NUMBA_CACHE_DIR": cache})
        with self._running() as modem:
            sending = self._call_cpu(modem, lambda: self._send(modem))
        with self._running() as modem:
            idle = _idle_cpu(modem, 5 if self._quick else 30)
            latencies = sorted(_at_latencies(modem.device, 200 if self._quick else 2000))
            receiving = self._call_cpu(modem, lambda: self._receive(modem))
            memory = modem.memory_kib()
        return Figures(
            ready_warm_s=warm,
            ready_cold_s=cold,
            at_median_s=statistics.median(latencies),
            at_p99_s=latencies[int(0.99 * len(latencies))],
            idle_cpu=idle,
            sending_cpu=sending,
            receiving_cpu=receiving,
            resident_kib=memory["VmRSS"],
            peak_kib=memory["VmHWM"],
            pages_spoilt=self._pages_spoilt,
        )

    def _modem(self, environment: dict[str, str]) -> Modem:
        account = Account(HOST, self._asterisk.iax_port, self.account, f"secret{self.account}")
        return Modem(
            self._kind,
            self._device,
            account,
            4570,
            self._directory,
            adapter=self._adapter,
            environment=os.environ | environment,
        )

    def _running(self) -> Modem:
        time.sleep(1)  # iaxmodem: a late predecessor deletes its successor's link
        return self._modem({})

    def _ready_s(self, environment: dict[str, str]) -> float:
        time.sleep(1)
        with self._modem(environment) as modem:
            self._asterisk.wait_registered(self.account)
            return modem.ready_s

    def _call_cpu(self, modem: Modem, call: Callable[[], Outcome]) -> float:
        self._asterisk.wait_registered(self.account)
        before, started = modem.cpu_s(), time.monotonic()
        outcome = call()
        used, elapsed = modem.cpu_s() - before, time.monotonic() - started
        self._pages_spoilt += sum(page.difference is not None for page in outcome.pages)
        if outcome.trouble or not outcome.pages:
            raise RuntimeError(f"a call to be measured failed: {outcome}\n{modem.log.read_text()[-2000:]}")
        return used / elapsed

    def _send(self, modem: Modem) -> Outcome:
        place = self._directory / "send"
        return efax_to_asterisk(
            modem, self._asterisk, self._document, place, account=self.account, extension="9022"
        )

    def _receive(self, modem: Modem) -> Outcome:
        return asterisk_to_efax(
            modem,
            self._asterisk,
            self._document,
            self._directory / "receive",
            account=self.account,
            extension="9032",
        )


def _idle_cpu(modem: Modem, seconds: float) -> float:
    before = modem.cpu_s()
    time.sleep(seconds)
    return (modem.cpu_s() - before) / seconds


def _at_latencies(device: Path, count: int) -> Iterator[float]:
    """Seconds from writing AT to having read OK, on the device."""
    with open_modem(device) as modem:
        os.set_blocking(modem, True)
        os.write(modem, b"ATE0\r")
        _read_until_ok(modem)
        for _ in range(count):
            started = time.perf_counter()
            os.write(modem, b"AT\r")
            _read_until_ok(modem)
            yield time.perf_counter() - started
            time.sleep(0.003)


def _read_until_ok(modem: int) -> None:
    heard = b""
    while not heard.endswith(b"OK\r\n"):
        heard += os.read(modem, 256)


if __name__ == "__main__":
    if not shutil.which("efax"):
        sys.exit("bench.first_light: no efax; `make bench` installs what is needed")
    sys.exit(main())
