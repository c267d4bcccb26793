"""The campaign's part in the guest: the calls, several at once.

usage: python -m tests.system.campaign_guest --directory DIR [--until SECONDS] [--lanes N] [--short]
           [--adapter cuse|pty]

Takes the cases of DIR/cases.json one by one and writes a line of DIR/results.jsonl for each call; begins no
call after SECONDS (of the epoch). A lane has a modem of each kind that the cases need, and one call at a
time. What there is to know about a call that failed is kept in DIR/failures. Exits with 0 when every case was
tried and every page was equal.
--short: a few cases with small pages instead, for the test suite.
"""

import argparse
import json
import math
import queue
import re
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.system.calls import Outcome, fax_call
from tests.system.campaign_cases import ECM, IAXMODEM, ONE_DIMENSIONAL, RATES, SHORT, TWO_DIMENSIONAL, Case
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
from tests.system.laboratory import Laboratory, Line
from tests.system.modem import PAUSE_BETWEEN_CALLS_S

SHORT_ROWS = 300
HYLAFAX_CODINGS = {ONE_DIMENSIONAL: "1-D MH", TWO_DIMENSIONAL: "2-D MR", ECM: "2-D MMR"}
SENDFAX_CODINGS = {ONE_DIMENSIONAL: "-1", TWO_DIMENSIONAL: "-2", ECM: "-3"}


@dataclass(frozen=True)
class Mark:
    """Where a modem's log and recordings stood before a call."""

    n_logged: int
    recordings: set[Path]


class CallSite:
    """Makes the calls of one laboratory and writes down how they went. rows: of each page; 0: by rate."""

    def __init__(self, laboratory: Laboratory, rows: int = 0) -> None:
        self._laboratory = laboratory
        self._rows = rows
        self._writing = threading.Lock()

    def call(self, lane: list[Line], case: Case) -> bool:
        """Make one call with the modems of a lane; True when all is well."""
        sending = next((line for line in lane if line.end == case.sender), None)
        receiving = next((line for line in lane if line.end == case.receiver and line is not sending), None)
        ours = [line for line in (sending, receiving) if line and line.end != IAXMODEM]
        marks = {
            line: Mark(len(self._laboratory.log(line)), self._laboratory.recordings(line)) for line in ours
        }
        place = self._laboratory.work / "calls" / case.name
        rows = self._rows or RATES[case.rate].rows
        started = time.time()
        try:
            outcome = fax_call(
                case.name,
                self._sender(case, sending, receiving, rows),
                self._receiver(sending, receiving),
                receiving.account if receiving else f"925{int(case.coding == ECM)}",
                document=self._laboratory.documents[rows],
                directory=place,
            )
        except Exception:  # whatever it was belongs to this call; the campaign goes on
            outcome = Outcome(case.name, time.time() - started, traceback.format_exc(), [])
        time.sleep(PAUSE_BETWEEN_CALLS_S)  # by then the call reports are out, too
        reports = {line.device.name: self._reports(line, marks[line]) for line in ours}
        ends = ((sending, "SEND"), (receiving, "CALL"))
        trouble = _another_rate(case, reports) or self._another_coding(case, ends)
        if outcome.ok and trouble:
            outcome = Outcome(outcome.name, outcome.seconds, trouble, outcome.pages)
        if not outcome.ok:
            self._keep(case, marks, place)
        self._write(case, outcome, started, reports)
        for line, mark in marks.items():
            for recording in self._laboratory.recordings(line) - mark.recordings:
                shutil.rmtree(recording, ignore_errors=True)
        shutil.rmtree(place, ignore_errors=True)
        return outcome.ok

    def _sender(self, case: Case, sending: Line | None, receiving: Line | None, rows: int) -> Sender:
        rate = RATES[case.rate]
        if sending is None:
            assert receiving is not None
            document = self._laboratory.document_numbers[rows]
            extension = f"93{rate.res_fax}{int(case.coding == ECM)}{document}"
            return AsteriskSender(self._laboratory.asterisk, receiving.account, extension)
        if sending.end.program != "hylafax":
            return EfaxSender(sending.device, capabilities=f"1,{rate.efax},0,2,0,0,0,0")
        lines = {
            "Class1TMQueryCmd": f'"!{rate.codes}"',
            "Class1ECMSupport": "Yes" if case.coding == ECM else "No",
        }
        if case.coding == ONE_DIMENSIONAL:
            lines["ModemSoftRTFCC"] = "No"  # it would recode to the best that the far end has
        configuration = "".join(f"{key}: {value}\n" for key, value in lines.items())
        modem = self._laboratory.hylafax.modem(sending.device)
        coding = SENDFAX_CODINGS[case.coding]
        return HylaFaxSender(modem, configuration=configuration, options=[coding])

    def _receiver(self, sending: Line | None, receiving: Line | None) -> Receiver:
        if receiving is None:
            assert sending is not None
            return AsteriskReceiver(self._laboratory.asterisk, sending.account)
        if receiving.end.program != "hylafax":
            return EfaxReceiver(receiving.device)
        return HylaFaxReceiver(self._laboratory.hylafax.modem(receiving.device))

    def _reports(self, line: Line, mark: Mark) -> list[str]:
        said = (text.partition("call report: ") for text in self._laboratory.log(line)[mark.n_logged :])
        return [report for _, found, report in said if found]

    def _another_coding(self, case: Case, ends: Sequence[tuple[Line | None, str]]) -> str:
        """What HylaFAX says of the coding if it was not the one that the case is about."""
        wanted = HYLAFAX_CODINGS[case.coding]
        for line, kind in ends:
            if line and line.end.program == "hylafax":
                log = self._laboratory.hylafax.modem(line.device).session_log(kind)
                said = log.read_text(errors="replace") if log and log.exists() else ""
                if not re.search(rf"(USE|REMOTE wants) {wanted}$", said, re.MULTILINE):
                    return f"HylaFAX on {line.device.name} did not use {wanted}"
        return ""

    def _write(self, case: Case, outcome: Outcome, started: float, reports: dict[str, list[str]]) -> None:
        record = {
            "case": case.as_json(),
            "name": case.name,
            "ok": outcome.ok,
            "trouble": outcome.trouble,
            "pages": [str(page) for page in outcome.pages],
            "started": started,
            "seconds": round(outcome.seconds, 1),
            "reports": reports,
            "adapter": self._laboratory.adapter,
        }
        with self._writing, (self._laboratory.directory / "results.jsonl").open("a") as results:
            results.write(json.dumps(record) + "\n")
        print(outcome, flush=True)
        for name, said in reports.items():
            print(f"  {name}: {'; '.join(said)}", flush=True)

    def _keep(self, case: Case, marks: dict[Line, Mark], place: Path) -> None:
        kept = self._laboratory.directory / "failures" / case.name
        shutil.rmtree(kept, ignore_errors=True)
        if place.exists():
            shutil.copytree(place, kept)
        kept.mkdir(parents=True, exist_ok=True)
        for line, mark in marks.items():
            name = line.device.name
            (kept / f"{name}.log").write_text("\n".join(self._laboratory.log(line)[mark.n_logged :]) + "\n")
            for recording in self._laboratory.recordings(line) - mark.recordings:
                shutil.copytree(recording, kept / f"recording-{name}", dirs_exist_ok=True)
            if line.end.program == "hylafax":
                modem = self._laboratory.hylafax.modem(line.device)
                for kind in ("SEND", "CALL"):
                    if (log := modem.session_log(kind)) and log.exists():
                        shutil.copy(log, kept / f"hylafax-{name}-{kind}.log")


def _another_rate(case: Case, reports: dict[str, list[str]]) -> str:
    """What the modem reports if the call was not at its rate; it then says nothing about that."""
    for name, said in reports.items():
        if not said:
            return f"{name}: no call report"
        if not any(case.rate in report for report in said):
            return f"{name}: not at {case.rate}: {said[-1]}"
    return ""


def main() -> int:
    """Make the calls."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").split("usage: ", 1)[1])
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--until", type=float, default=math.inf)
    parser.add_argument("--lanes", type=int, default=2)
    parser.add_argument("--adapter", choices=("cuse", "pty"), default="cuse")
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    cases: Collection[Case] = SHORT
    if not options.short:
        listed = json.loads((options.directory / "cases.json").read_text())
        cases = [Case.from_json(values) for values in listed]
    rows = {SHORT_ROWS} if options.short else {RATES[case.rate].rows for case in cases}
    ends = {end for case in cases for end in (case.sender, case.receiver)}
    laboratory = Laboratory(options.directory, options.lanes, rows, ends, adapter=options.adapter)
    site = CallSite(laboratory, SHORT_ROWS if options.short else 0)
    left: queue.SimpleQueue[Case] = queue.SimpleQueue()
    for case in cases:
        left.put(case)
    verdicts: list[bool] = []

    def work(lane: list[Line]) -> None:
        while time.time() < options.until:
            try:
                case = left.get_nowait()
            except queue.Empty:
                return
            verdicts.append(site.call(lane, case))

    with laboratory.open():
        threads = [threading.Thread(target=work, args=(lane,)) for lane in laboratory.lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return 0 if len(verdicts) == len(cases) and all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
