"""Whole faxes over a bad network, in real time: a modem, a real Asterisk, `udp-impair` between them.

usage: python -m tests.system.bad_network --directory DIR [--runs N] [--cases clean,jitter,…]
           [--ways sends,receives] [--modems cusemodem,iaxmodem] [--lines N] [--seed N]
           [--minutes N] [--short] [--goal RATIO]

Two pages with error correction at V.17 14400 a call, Asterisk's ReceiveFAX and SendFAX at the far end, the
Class 1 host of tests.host on the modem's pseudo-terminal. Calls go on several lines at once, the modems in
turn, each on a path of its own that is spoilt from the call's seed and clean between calls. Prints why calls
failed, the machine's load, and a table; exits with 0 when ours reaches the goal of every case. As root it
runs in namespaces of its own (`namespace-run`), where Debian's iaxmodem can be installed. What modems and
hosts said of calls that failed is kept in DIR. The same in virtual time: `tests.call.bad_network`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import queue
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing.queues import Queue
from pathlib import Path

import numpy as np

from tests.bed.asterisk import HOST, Asterisk, AsteriskBed, FaxResult, free_udp_port
from tests.bed.guest import BED, REPOSITORY
from tests.bed.network_cases import CASES, NetworkCase
from tests.host.pages import random_page, text_page
from tests.host.t4 import Page
from tests.host.t30_ecm import EcmFaxReceiver, EcmFaxSender
from tests.peers import spandsp_peer as spandsp
from tests.system.host_on_device import HostOnDevice
from tests.system.host_on_device import run as run_hosts
from tests.system.modem import KINDS, PAUSE_BETWEEN_CALLS_S, Account, Modem

PAGES = (text_page("bad network", 1100), random_page(7, 350))
SHORT_PAGES = (text_page("bad network", 200), random_page(7, 60))
WAYS = ("sends", "receives")
RECEIVER, SENDER = "9000", "9001"
FIRST_ACCOUNT = 601  # without call tokens, which iaxmodem does not have
CALL_LIMIT_S = 200.0


@dataclass(frozen=True)
class Trial:
    """One call to make."""

    modem: str
    case: str
    way: str
    seed: int

    def __str__(self) -> str:
        return f"{self.modem} {self.way}, {CASES[self.case].name}, seed {self.seed}"


@dataclass(frozen=True)
class Verdict:
    """What became of it."""

    trial: Trial
    trouble: str
    "empty: every page is what was sent, and both ends say so"
    seconds: float
    report: str = ""
    "the modem's call report, of ours"


class Relay:
    """`udp-impair` for one modem; clean until told otherwise."""

    def __init__(self, server_port: int, directory: Path, name: str) -> None:
        self.port = free_udp_port()
        while not 1024 < self.port < 60_000:
            self.port = free_udp_port()
        self._control = directory / f"{name}.json"
        self._log = (directory / f"{name}.log").open("w")
        self._stamp = 0
        self.set(CASES["clean"], 1)
        self._process = subprocess.Popen(
            [
                *(("nice", "-n", "-10") if os.geteuid() == 0 else ()),
                *(BED / "udp-impair", "--listen", str(self.port), "--to", str(server_port)),
                *("--control", self._control, "--seconds", "1000000"),
            ],
            stdout=self._log,
            stderr=self._log,
        )

    def set(self, case: NetworkCase, seed: int) -> None:
        """Spoil the path so from within 0.2 s on."""
        settings = {
            "loss": case.loss_percent,
            "delay": case.delay_ms,
            "reorder": case.reorder,
            "direction": "down" if case.down_only else "both",
            "seed": seed,
        }
        new = self._control.with_suffix(".new")
        new.write_text(json.dumps(settings))
        new.replace(self._control)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()


class Lane:
    """One line: modem after modem of one kind on it, one call at a time."""

    def __init__(
        self, number: int, kind: str, asterisk: Asterisk, directory: Path, pages: Sequence[Page]
    ) -> None:
        self.pages = pages
        self.kind = kind
        self.name = f"{kind}-{number}"
        self.account = str(FIRST_ACCOUNT + number)
        self.asterisk = asterisk
        self.directory = directory / self.name
        self.directory.mkdir(parents=True, exist_ok=True)
        self.relay = Relay(asterisk.iax_port, self.directory, "relay")
        account = Account(HOST, self.relay.port, self.account, f"secret{self.account}")
        place = self.directory if kind == "cusemodem" else Path("/tmp")  # iaxmodem takes no long path
        device = place / f"ttyIAX{number}"
        adapter = "pty" if kind == "cusemodem" else ""
        port = free_udp_port() if kind == "iaxmodem" else 0
        self.modem = Modem(kind, device, account, port, self.directory, adapter=adapter)

    def call(self, trial: Trial) -> Verdict:
        """Make one call; the line is clean and rested afterwards."""
        n_before = len(self._results())
        n_reports = len(self._reports())
        program: EcmFaxSender | EcmFaxReceiver
        program = EcmFaxSender(self.pages, RECEIVER) if trial.way == "sends" else EcmFaxReceiver()
        self.relay.set(CASES[trial.case], trial.seed)
        time.sleep(0.5)
        started = time.monotonic()
        troubles = []
        if not self._run(program, dial=trial.way == "receives"):
            troubles.append("the call does not end")
        self.relay.set(CASES["clean"], 1)
        all_confirmed = isinstance(program, EcmFaxSender) and program.n_pages_confirmed == len(self.pages)
        if program.failed and not all_confirmed:  # Asterisk may have hung up before the end of our DCN
            troubles.append(f"host: {program.failed}")
        result = self._wait_result(n_before)
        if result is None:
            troubles.append("Asterisk knows of no fax")
        elif not result.succeeded:
            troubles.append(f"Asterisk: {result.status} {result.error} {result.statusstr}")
        if (good := self._n_good(program, result)) != len(self.pages):
            troubles.append(f"{good} of {len(self.pages)} pages good")
        seconds = time.monotonic() - started
        time.sleep(PAUSE_BETWEEN_CALLS_S)
        report = "".join(self._reports()[n_reports:][-1:])
        trouble = "; ".join(troubles)
        if trouble:
            file = self.directory / f"{trial.case}-{trial.way}-{trial.seed}.txt"
            file.write_text(f"{trouble}\n{report}\n{program.transcript()}\n")
        return Verdict(trial, trouble, seconds, report)

    def _run(self, program: EcmFaxSender | EcmFaxReceiver, *, dial: bool) -> bool:
        """Run the host on the device until it is done; whether it came to an end."""
        dial_at: float | None = None

        def on_step(now: float) -> None:
            nonlocal dial, dial_at
            if isinstance(program, EcmFaxReceiver) and program.ready and dial_at is None:
                dial_at = now + (PAUSE_BETWEEN_CALLS_S if self.kind == "iaxmodem" else 0.0)  # after ATZ
            if dial and dial_at is not None and now >= dial_at:
                dial = False
                command = f"channel originate Local/{self.account}@bed-ring/n extension {SENDER}@bed"
                self.asterisk.cli(command)

        with HostOnDevice(self.modem.device, program) as host:
            return run_hosts([host], CALL_LIMIT_S, on_step)

    def _results(self) -> list[FaxResult]:
        """What Asterisk says of this line's faxes so far."""
        return [
            row
            for row in self.asterisk.results()
            if f"IAX2/{self.account}-" in row.channel or f"Local/{self.account}@" in row.channel
        ]

    def _wait_result(self, n_before: int) -> FaxResult | None:
        until = time.monotonic() + 40  # Asterisk's own timers, when its peer is silent
        while time.monotonic() < until:
            if len(rows := self._results()) > n_before:
                return rows[n_before]
            time.sleep(0.2)
        return None

    def _n_good(self, program: EcmFaxSender | EcmFaxReceiver, result: FaxResult | None) -> int:
        pages: Sequence[Page] = []
        if isinstance(program, EcmFaxReceiver):
            pages = program.pages
        elif result is not None and Path(result.file).exists():
            try:
                pages = [np.asarray(page, np.bool_) for page, _ in spandsp.read_tiff(result.file)]
            except OSError:
                pages = []
        return sum(
            len(got) >= len(sent) and np.array_equal(got[: len(sent)], sent)
            for sent, got in zip(self.pages, pages, strict=False)
        )

    def _reports(self) -> list[str]:
        if self.kind != "cusemodem":
            return []
        lines = self.modem.log.read_text(errors="replace").splitlines()
        return [line.partition("call report: ")[2] for line in lines if "call report: " in line]


def serve(lane: Lane, trials: Queue[Trial], verdicts: Queue[Verdict | str], ends: float) -> None:
    """Make calls until there are no more, or it is `ends` by the monotonic clock."""
    try:
        with lane.modem:
            lane.asterisk.wait_registered(lane.account, 60)
            while time.monotonic() < ends:
                try:
                    trial = trials.get_nowait()
                except queue.Empty:
                    break
                verdicts.put(lane.call(trial))
    except Exception:
        verdicts.put(f"{lane.name}: {traceback.format_exc()}")
    finally:
        lane.relay.stop()


def run(
    trials: Sequence[Trial], n_lines: int, directory: Path, minutes: float, pages: Sequence[Page]
) -> list[Verdict]:
    """The calls, `n_lines` at a time, the modems in turn; none is begun after `minutes`."""
    ends = time.monotonic() + minutes * 60
    document = directory / "sent.tif"
    spandsp.write_tiff(document, pages, yres=98.0)
    bed = AsteriskBed(send_tiff=document)
    verdicts: list[Verdict] = []
    try:
        asterisk = bed.start()
        kinds = sorted({trial.modem for trial in trials})
        queues: dict[str, Queue[Trial]] = {kind: multiprocessing.Queue() for kind in kinds}
        for trial in trials:
            queues[trial.modem].put(trial)
        done: Queue[Verdict | str] = multiprocessing.Queue()
        time.sleep(0.5)  # the queues' feeders
        processes = []
        for n in range(n_lines):
            kind = kinds[n % len(kinds)]
            lane = Lane(n, kind, asterisk, directory, pages)
            process = multiprocessing.Process(
                target=serve, args=(lane, queues[kind], done, ends), name=lane.name
            )
            process.start()
            processes.append(process)
            time.sleep(1.5)  # iaxmodems started in the same second use the same call numbers
        while len(verdicts) < len(trials):
            try:
                verdict = done.get(timeout=5)
            except queue.Empty:
                if not any(process.is_alive() for process in processes):
                    break
                continue
            if isinstance(verdict, str):
                print(verdict, flush=True)
                continue
            verdicts.append(verdict)
            outcome = verdict.trouble or "ok"
            load = os.getloadavg()[0]
            print(f"{verdict.trial}: {outcome} in {verdict.seconds:.0f} s, load {load:.1f}", flush=True)
            if verdict.trouble and verdict.report:
                print(f"  {verdict.report}", flush=True)
        for process in processes:
            process.join(30)
            if process.is_alive():
                process.terminate()
    finally:
        shutil.copytree(bed.rundir / "log", directory / "asterisk", dirs_exist_ok=True)
        bed.clean()
    return verdicts


def table(verdicts: Sequence[Verdict]) -> str:
    """A row a case: calls whose pages are all good of those made, modem sends | modem receives."""
    kinds = sorted({verdict.trial.modem for verdict in verdicts})
    rows = [f"{'network':44}" + "".join(f"{kind + ' sends | receives':>30}" for kind in kinds)]
    for key, case in CASES.items():
        cells = []
        for kind in kinds:
            ways = []
            for way in WAYS:
                those = [
                    v for v in verdicts if (v.trial.case, v.trial.way, v.trial.modem) == (key, way, kind)
                ]
                ways.append(f"{sum(not v.trouble for v in those)}/{len(those)}" if those else "-")
            cells.append(" | ".join(ways))
        if any(cell != "- | -" for cell in cells):
            rows.append(f"{case.name:44}" + "".join(f"{cell:>30}" for cell in cells))
    return "\n".join(rows)


def reached(verdicts: Sequence[Verdict], trials: Sequence[Trial], goal: Fraction | None = None) -> bool:
    """Whether ours reaches the goal of every case, or GOAL, each way that was to be tried."""
    for case, way in {(trial.case, trial.way) for trial in trials if trial.modem == "cusemodem"}:
        wanted = [t for t in trials if (t.modem, t.case, t.way) == ("cusemodem", case, way)]
        good = [v for v in verdicts if v.trial in wanted and not v.trouble]
        if not CASES[case].reached(len(good), len(wanted), goal):
            return False
    return bool(verdicts)


def main() -> int:
    """Make the calls and print the table."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").split("usage: ", 1)[1])
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--modems", default="cusemodem")
    parser.add_argument("--lines", type=int, default=4)
    parser.add_argument("--short", action="store_true", help="two short pages")
    parser.add_argument("--minutes", type=float, default=600, help="begin no call after so long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--goal", type=Fraction, help="share of good calls to ask for, not each case's own")
    options = parser.parse_args()
    directory: Path = options.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0 and os.environ.get("UML_RUN") != "1":
        command = [BED / "namespace-run", "--share", directory, "--", sys.executable, "-m", __spec__.name]
        return subprocess.call([*command, *sys.argv[1:]], cwd=REPOSITORY)
    modems = options.modems.split(",")
    if not set(modems) <= set(KINDS):
        parser.error(f"--modems: some of {', '.join(KINDS)}")
    if "iaxmodem" in modems and not shutil.which("iaxmodem"):
        subprocess.run([BED / "guest-packages", "install", "iaxmodem"], check=True, capture_output=True)
    trials = [
        Trial(modem, case, way, options.seed + n)
        for n in range(options.runs)
        for case in options.cases.split(",")
        for way in options.ways.split(",")
        for modem in modems
    ]
    verdicts = run(trials, options.lines, directory, options.minutes, SHORT_PAGES if options.short else PAGES)
    print(table(verdicts))
    if len(verdicts) < len(trials):
        print(f"only {len(verdicts)} of {len(trials)} calls were made")
    return 0 if reached(verdicts, trials, options.goal) else 1


if __name__ == "__main__":
    sys.exit(main())
