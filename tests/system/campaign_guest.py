"""The campaign's part in the guest: one service with all modems, one Asterisk, several calls at once.

usage: python -m tests.system.campaign_guest --directory DIR --until SECONDS [--lanes N] [--adapter cuse]

Takes the cases of DIR/cases.json one by one and writes a line of DIR/results.jsonl for each call; begins no
call after SECONDS (of the epoch). A lane has four modems, two of HylaFAX and two of efax, and one call at a
time. What there is to know about a call that failed is kept in DIR/failures.
"""

import argparse
import json
import queue
import shutil
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bed.asterisk import HOST, Asterisk, AsteriskBed
from tests.system.calls import Outcome, fax_call
from tests.system.campaign_cases import ECM, ONE_DIMENSIONAL, RATES, Case, End
from tests.system.documents import make_document
from tests.system.ends import (
    AsteriskReceiver,
    AsteriskSender,
    EfaxReceiver,
    EfaxSender,
    HylaFaxReceiver,
    HylaFaxSender,
    Receiver,
    Sender,
)
from tests.system.hylafax import HylaFax
from tests.system.modem import PAUSE_BETWEEN_CALLS_S

PAGES = "text,halftone,text"
ROWS = sorted({rate.rows for rate in RATES.values()})
FIRST_ACCOUNT = 601
MODEMS_A_LANE = (End("hylafax", "1"), End("hylafax", "1.0"), End("efax"), End("efax"))


@dataclass(frozen=True)
class Line:
    """A modem of the service, and the program that it is for."""

    number: int
    end: End

    @property
    def device(self) -> Path:
        return Path(f"/dev/ttyIAX{self.number}")

    @property
    def account(self) -> str:
        return str(FIRST_ACCOUNT + self.number)


class Laboratory:
    """All that the lanes share."""

    def __init__(self, directory: Path, n_lanes: int) -> None:
        self.directory = directory
        self.work = Path("/tmp/campaign")  # the guest's own, forgotten with it
        self.work.mkdir()
        self.documents = {
            rows: make_document(self.work / f"doc-{k}.tif", pages=PAGES, lines=rows, seed=40 + k)
            for k, rows in enumerate(ROWS)
        }
        self.lanes = [
            [Line(len(MODEMS_A_LANE) * lane + k, end) for k, end in enumerate(MODEMS_A_LANE)]
            for lane in range(n_lanes)
        ]
        self.lines = [line for lane in self.lanes for line in lane]
        self.asterisk: Asterisk
        self.hylafax: HylaFax
        self._results = threading.Lock()

    @contextmanager
    def open(self) -> Iterator[None]:
        """Asterisk, the service and HylaFAX, as long as it lasts."""
        bed = AsteriskBed()
        try:
            self.asterisk = bed.start()
            for document in self.documents.values():
                shutil.copy(document, bed.rundir / "play" / document.name)
            with self._service(), self._hylafax():
                yield
        finally:
            self._keep(bed.rundir / "log", "asterisk")
            bed.clean()

    @contextmanager
    def _service(self) -> Iterator[None]:
        self._configure()
        program = Path(sys.executable).parent / "cusemodem"
        command = ["nice", "-n", "-10", str(program), "--config", str(self.work / "etc"), "-F"]
        with (self.work / "service.out").open("wb") as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + 120
            while not all(line.device.exists() for line in self.lines):
                if process.poll() is not None or time.monotonic() > deadline:
                    said = (self.work / "service.out").read_text(errors="replace")
                    raise RuntimeError(f"the service did not start: {said[-2000:]}")
                time.sleep(0.1)
            for line in self.lines:
                self.asterisk.wait_registered(line.account, timeout_s=60)
            yield
        finally:
            process.terminate()
            process.wait(20)
            self._keep(self.work / "log", "modems")

    def _configure(self) -> None:
        modems = self.work / "etc" / "modems"
        modems.mkdir(parents=True)
        paths = {key: self.work / key for key in ("log", "state", "control", "pid_file")}
        text = ["[service]", *(f"{key} = {path}" for key, path in paths.items()), "[defaults]"]
        text += [f"server = {HOST}:{self.asterisk.iax_port}", "adapter = cuse", "refresh = 60", "port = any"]
        text += ["owner = uucp:uucp", "mode = 660", "record = yes", ""]
        (self.work / "etc" / "cusemodem.conf").write_text("\n".join(text))
        for line in self.lines:
            account = line.account
            text = ["[modem]", f"peername = {account}", f"secret = secret{account}", f"cidnumber = {account}"]
            (modems / line.device.name).write_text("\n".join([*text, ""]))

    @contextmanager
    def _hylafax(self) -> Iterator[None]:
        classes = {line.device: line.end.fax_class for line in self.lines if line.end.program == "hylafax"}
        logs = self.work / "hylafax"
        logs.mkdir()
        try:
            with HylaFax(list(classes), logs, classes=classes) as self.hylafax:
                yield
        finally:
            self._keep(logs, "hylafax")

    def _keep(self, source: Path, name: str) -> None:
        """Logs of this guest, of which only the last guest's are kept."""
        shutil.copytree(source, self.directory / "last-guest" / name, dirs_exist_ok=True)

    def call(self, lane: list[Line], case: Case) -> None:
        """Make the call, note it, keep what failed."""
        sending, receiving = _pick(lane, case)
        used = [line for line in (sending, receiving) if line]
        place = self.work / "calls" / case.name
        logged = {line: len(self._log(line)) for line in used}
        recordings = {line: set(self._recordings(line)) for line in used}
        rows = RATES[case.rate].rows
        started = time.time()
        try:
            outcome = fax_call(
                case.name,
                self._sender(case, sending, receiving),
                self._receiver(case, sending, receiving),
                self._number(case, receiving),
                document=self.documents[rows],
                directory=place,
            )
        except Exception:
            outcome = Outcome(case.name, time.time() - started, traceback.format_exc(), [])
        time.sleep(PAUSE_BETWEEN_CALLS_S)  # by then the call reports are out, too
        reports = {
            line.device.name: [
                text.partition("call report: ")[2]
                for text in self._log(line)[logged[line] :]
                if "call report: " in text
            ]
            for line in used
        }
        trouble = outcome.trouble or _another_rate(case, reports)
        ok = outcome.ok and not trouble
        if not ok:
            self._keep_failure(case, used, place, logged, recordings)
        for line in used:
            for recording in set(self._recordings(line)) - recordings[line]:
                shutil.rmtree(recording, ignore_errors=True)
        shutil.rmtree(place, ignore_errors=True)
        record = {
            "case": case.as_json(),
            "name": case.name,
            "ok": ok,
            "trouble": trouble,
            "pages": [str(page) for page in outcome.pages],
            "started": started,
            "seconds": round(outcome.seconds, 1),
            "reports": reports,
        }
        with self._results, (self.directory / "results.jsonl").open("a") as results:
            results.write(json.dumps(record) + "\n")
        print(f"{time.strftime('%H:%M:%S')} {outcome}", flush=True)

    def _number(self, case: Case, receiving: Line | None) -> str:
        return receiving.account if receiving else f"925{int(case.coding == ECM)}"

    def _sender(self, case: Case, sending: Line | None, receiving: Line | None) -> Sender:
        rate = RATES[case.rate]
        if sending is None:
            assert receiving is not None
            extension = f"93{rate.res_fax}{int(case.coding == ECM)}{ROWS.index(rate.rows)}"
            return AsteriskSender(self.asterisk, receiving.account, extension)
        if sending.end.program == "efax":
            return EfaxSender(sending.device, capabilities=f"1,{rate.efax},0,2,0,0,0,0")
        lines = {
            "Class1TMQueryCmd": f'"!{rate.codes}"',
            "Class1ECMSupport": "Yes" if case.coding == ECM else "No",
            "Use2D": "No" if case.coding == ONE_DIMENSIONAL else "Yes",
        }
        configuration = "".join(f"{key}: {value}\n" for key, value in lines.items())
        return HylaFaxSender(self.hylafax.modem(sending.device), configuration=configuration)

    def _receiver(self, case: Case, sending: Line | None, receiving: Line | None) -> Receiver:
        if receiving is None:
            assert sending is not None
            return AsteriskReceiver(self.asterisk, sending.account)
        if receiving.end.program == "efax":
            return EfaxReceiver(receiving.device)
        return HylaFaxReceiver(self.hylafax.modem(receiving.device))

    def _log(self, line: Line) -> list[str]:
        try:
            return (self.work / "log" / line.device.name).read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []

    def _recordings(self, line: Line) -> list[Path]:
        place = self.work / "state" / "recordings" / line.device.name
        return sorted(place.iterdir()) if place.exists() else []

    def _keep_failure(
        self,
        case: Case,
        used: list[Line],
        place: Path,
        logged: dict[Line, int],
        recordings: dict[Line, set[Path]],
    ) -> None:
        kept = self.directory / "failures" / case.name
        shutil.rmtree(kept, ignore_errors=True)
        if place.exists():
            shutil.copytree(place, kept)
        kept.mkdir(parents=True, exist_ok=True)
        for line in used:
            name = line.device.name
            (kept / f"{name}.log").write_text("\n".join(self._log(line)[logged[line] :]) + "\n")
            for recording in set(self._recordings(line)) - recordings[line]:
                shutil.copytree(recording, kept / f"recording-{name}", dirs_exist_ok=True)
            if line.end.program == "hylafax":
                for kind in ("SEND", "CALL"):
                    log = self.hylafax.modem(line.device).session_log(kind)
                    if log and log.exists():
                        shutil.copy(log, kept / f"hylafax-{name}-{kind}.log")


def _pick(lane: list[Line], case: Case) -> tuple[Line | None, Line | None]:
    """The lane's modems for the two ends, different ones; None for Asterisk."""
    sending = next((line for line in lane if line.end == case.sender), None)
    receiving = next((line for line in lane if line.end == case.receiver and line is not sending), None)
    return sending, receiving


def _another_rate(case: Case, reports: dict[str, list[str]]) -> str:
    """What the modem says if it was not this rate; the call then says nothing about it."""
    for name, said in reports.items():
        if not said:
            return f"{name}: no call report"
        if not any(case.rate in report for report in said):
            return f"{name}: not at {case.rate}: {said[-1]}"
    return ""


def main() -> int:
    """Run the cases; 0 when none is left."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").split("usage: ", 1)[1])
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--until", type=float, required=True)
    parser.add_argument("--lanes", type=int, default=3)
    options = parser.parse_args()
    cases: queue.SimpleQueue[Case] = queue.SimpleQueue()
    for values in json.loads((options.directory / "cases.json").read_text()):
        cases.put(Case.from_json(values))
    laboratory = Laboratory(options.directory, options.lanes)
    with laboratory.open():

        def work(lane: list[Line]) -> None:
            while time.time() < options.until:
                try:
                    case = cases.get_nowait()
                except queue.Empty:
                    return
                laboratory.call(lane, case)

        threads = [threading.Thread(target=work, args=(lane,)) for lane in laboratory.lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return 0 if cases.empty() else 1


if __name__ == "__main__":
    sys.exit(main())
