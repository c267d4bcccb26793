"""A real Asterisk on the loopback address (`asterisk-bed`), for tests and benches."""

import csv
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

BED = Path(__file__).parent
HOST = "127.0.0.1"


@dataclass(frozen=True)
class FaxResult:
    """One line of the bed's `fax/results.tsv`: how Asterisk saw the end of one fax."""

    uniqueid: str
    direction: str
    exten: str
    channel: str
    status: str
    error: str
    pages: str
    rate: str
    ecm: str
    resolution: str
    remote: str
    file: str
    statusstr: str

    @property
    def succeeded(self) -> bool:
        return self.status == "SUCCESS"


class Asterisk:
    """A started bed. Accounts, secrets and extensions: `tests/bed/README.md`."""

    def __init__(self, environment: dict[str, str], rundir: Path, iax_port: int) -> None:
        self.host = HOST
        self.iax_port = iax_port
        self.rundir = rundir
        self._environment = environment

    def cli(self, text: str) -> str:
        """Run one Asterisk console command and return what it prints."""
        return run_bed(self._environment, "cli", text)

    def originate(
        self, account: str, extension: str, number: str = "5551234", name: str = "Bed Caller"
    ) -> None:
        """Ring `account` with this caller's number and name; when it answers, run `extension`."""
        run_bed(self._environment, "originate", account, extension, number, name)

    def wait_registered(self, account: str, timeout_s: int = 15) -> None:
        """Return when `account` has registered; subprocess.CalledProcessError if it does not."""
        run_bed(self._environment, "wait-peer", account, str(timeout_s))

    def results(self) -> list[FaxResult]:
        """Every fax that has ended so far, oldest first."""
        with (self.rundir / "fax" / "results.tsv").open(newline="") as lines:
            rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
        return [FaxResult(*row) for row in rows[1:]]

    def results_of(self, account: str) -> list[FaxResult]:
        """Those of calls from or to one account."""
        return [r for r in self.results() if re.match(rf"(IAX2|Local)/{account}\b", r.channel)]

    def wait_results(self, count: int, timeout_s: float, *, account: str = "") -> list[FaxResult]:
        """Return `results()`, or those of one account, as soon as there are `count`; TimeoutError if not."""
        deadline = time.monotonic() + timeout_s
        while len(results := self.results_of(account) if account else self.results()) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"Asterisk reports {len(results)} of {count} faxes after {timeout_s:g} s")
            time.sleep(0.2)
        return results


class AsteriskBed:
    """Installs (the first time), configures, starts and stops one Asterisk."""

    def __init__(self, *, send_tiff: Path | None = None, iax_port: int | None = None) -> None:
        self._iax_port = iax_port or free_udp_port()
        self._top = Path(tempfile.mkdtemp(prefix="bed-"))  # short: a unix socket lives in it
        self.rundir = self._top / "run"
        self._environment = os.environ | {
            "ASTERISK_BED_RUN": str(self.rundir),
            "ASTERISK_BED_IAX_PORT": str(self._iax_port),
            "ASTERISK_BED_STATIC_PORT": str(free_udp_port(count=8)),
        }
        if send_tiff:
            self._environment["ASTERISK_BED_SEND_TIFF"] = str(send_tiff)

    def start(self) -> Asterisk:
        run_bed(self._environment, "start")
        return Asterisk(self._environment, self.rundir, self._iax_port)

    def clean(self) -> None:
        """Stop Asterisk and delete its run directory."""
        try:
            run_bed(self._environment, "clean")
        finally:
            shutil.rmtree(self._top, ignore_errors=True)


def run_bed(environment: dict[str, str], *arguments: str) -> str:
    """Run `asterisk-bed` and return its standard output; CalledProcessError carries its stderr."""
    return subprocess.run(
        [BED / "asterisk-bed", *arguments],
        env=environment,
        text=True,
        capture_output=True,
        check=True,
        stdin=subprocess.DEVNULL,
    ).stdout


def free_udp_port(count: int = 1) -> int:
    """The first of `count` successive UDP ports of the loopback address that are free now."""
    for _ in range(100):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((HOST, 0))
            first: int = probe.getsockname()[1]
        if first + count > 65535:
            continue
        try:
            for port in range(first, first + count):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                    probe.bind((HOST, port))
        except OSError:
            continue
        return first
    raise OSError(f"no {count} successive free UDP ports on {HOST}")
