"""Whole faxes over a bad network, in virtual time: our modem, and libspandsp as Asterisk's res_fax has it.

usage: python -m tests.call.bad_network [--runs N] [--cases clean,jitter,…] [--ways sends,receives]
                                        [--code 145] [--seed N] [--log DIR] [--mini]

Two pages with error correction a call. The modem, its AT engine, DSP, jitter buffer and IAX2 are the
product's own, under the host program of tests.host; the far end is a fax terminal of libspandsp behind an
endpoint without a jitter buffer, which is what Asterisk's ReceiveFAX and SendFAX are. Prints a table and,
for each call that failed, why.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import iax
from cusemodem.line import decode, encode
from iax.events import VoiceReceived
from iax.registrar import Registrar
from tests.bed.network_cases import CASES, NetworkCase, SpoiltPath
from tests.call.world import EXCHANGE, World
from tests.host.pages import random_page, text_page
from tests.host.t4 import Page
from tests.host.t30_ecm import EcmFaxReceiver, EcmFaxSender
from tests.peers import spandsp_peer as spandsp

SERVER_NUMBER = "900"
CALL_LIMIT_S = 400.0
WAYS = ("sends", "receives")
PAGES = (text_page("bad network", 1100), random_page(7, 350))
CODES_FROM = {145: (145, 121, 97, 73, 96, 72, 48, 24), 96: (96, 72, 48, 24)}


class FaxServer:
    """Asterisk as a fax machine: what comes in goes to libspandsp in the order of its arrival, whatever is
    missing (full frames in the order of their numbers); what goes out is paced by a clock of its own."""

    def __init__(self, rng: random.Random) -> None:
        accounts = {"modem0": iax.Account("modem0", "secret-modem0", "100")}
        self.registrar = Registrar(accounts)
        self.endpoint = iax.Endpoint(
            rng, accept_from_anyone=True, accounts=accounts, registrar=self.registrar, demand_call_token=True
        )
        self.terminal: spandsp.FaxTerminal | None = None
        self.call: iax.Call | None = None
        self._up = False
        self.ended: iax.CallEnded | None = None

    def dial(self, account: str, now: float) -> None:
        """Call a modem that has registered."""
        address = self.registrar.contact(account, now)
        assert address is not None, f"{account} has not registered"
        peer = iax.PeerConfig(address, account, f"secret-{account}")
        self._take(self.endpoint.call(peer, "100", now, formats=(iax.Format.SLINEAR,)))

    def _take(self, call: iax.Call) -> None:
        call.relay = True
        call.handle_early_voice = lambda _frame, _now: None  # type: ignore[method-assign]
        self.call = call

    def step(self, now: float) -> None:
        """20 ms of the terminal's time."""
        self.endpoint.handle_timer(now)
        self.service(now)
        if self._up and self.call is not None and self.terminal is not None:
            block = np.zeros(160, np.int16)
            made = self.terminal.tx(160)
            block[: len(made)] = made
            self.call.send_audio(encode(block, self.call.format), now)
            if self.terminal.done:
                self.call.hangup(now)
                self._up = False

    def service(self, now: float) -> None:
        """Do what datagrams that have just come ask for."""
        for event in self.endpoint.events():
            if isinstance(event, iax.IncomingCall):
                self._take(event.call)
                event.call.answer(now)
                self._up = True
            elif isinstance(event, iax.CallAnswered):
                self._up = True
            elif isinstance(event, iax.CallEnded):
                self._up = False
                self.ended = event
                if self.terminal is not None and not self.terminal.done:
                    self.terminal.terminate()
            elif isinstance(event, VoiceReceived) and self._up and self.terminal is not None:
                self.terminal.rx(decode(event.payload, event.call.format))


class BadWorld(World):
    """One modem and a fax server in the place of the exchange, with a bad network between them."""

    def __init__(self, case: NetworkCase, seed: int, *, reliable_voice: bool) -> None:
        super().__init__(1, seed=seed, formats=(iax.Format.SLINEAR,), reliable_voice=reliable_voice)
        self.path = SpoiltPath(case, seed)
        self.server = FaxServer(random.Random(seed + 2))
        self._phase_s = random.Random(seed + 3).uniform(0.0005, 0.0195)

    def step(self) -> None:
        """20 ms for everyone."""
        super().step()
        self.server.step(self.now)
        self._collect_server()

    def send(self, datagram: bytes, source: tuple[str, int], destination: tuple[str, int]) -> None:
        """Put a datagram on the wire."""
        when = self.path.arrival("down" if source == EXCHANGE else "up", self.now + self._phase_s)
        if when is not None:
            heapq.heappush(self._in_flight, (when, next(self._order), datagram, source, destination))

    def _collect_server(self) -> None:
        for datagram, destination in self.server.endpoint.datagrams_to_send():
            self.send(datagram, EXCHANGE, destination)

    def _deliver(self) -> None:
        while self._in_flight and self._in_flight[0][0] <= self.now:
            _, _, datagram, source, destination = heapq.heappop(self._in_flight)
            if destination == EXCHANGE:
                self.server.endpoint.receive(datagram, source, self.now)
                self.server.service(self.now)
                self._collect_server()
            else:
                self.stations[0].lines.endpoint.receive(datagram, source, self.now)


@dataclass(frozen=True)
class Trial:
    """One call to make."""

    case: str
    way: str
    seed: int
    code: int = 145
    log: str = ""
    reliable: bool = True
    "voice in full frames"


@dataclass(frozen=True)
class Verdict:
    """What became of it."""

    trial: Trial
    trouble: str
    "empty: every page is what was sent, and both ends say so"
    call_s: float
    report: str
    n_frames_again: int


def run(trial: Trial) -> Verdict:
    """Make one call."""
    with tempfile.TemporaryDirectory() as place:
        return _run(trial, Path(place))


def _run(trial: Trial, place: Path) -> Verdict:
    world = BadWorld(CASES[trial.case], trial.seed, reliable_voice=trial.reliable)
    (station,) = world.stations
    codes = CODES_FROM[trial.code]
    modems = ("v27ter", "v29", "v17") if trial.code == 145 else ("v27ter", "v29")
    file = place / "page.tif"
    program: EcmFaxSender | EcmFaxReceiver
    world.run(3.0)
    started = world.now
    if trial.way == "sends":
        world.server.terminal = spandsp.FaxTerminal(False, receive=file, modems=modems, rx_encoding="mh")
        program = EcmFaxSender(PAGES, SERVER_NUMBER, codes=codes)
        world.attach(station, program)
    else:
        spandsp.write_tiff(file, PAGES, yres=98.0)
        world.server.terminal = spandsp.FaxTerminal(True, send=file, modems=modems, compressions=("mh",))
        program = EcmFaxReceiver(codes=codes)
        world.attach(station, program)
        world.run(20.0, lambda: program.ready)
        world.server.dial("modem0", world.now)
    over = world.run(CALL_LIMIT_S, lambda: program.done and world.server.ended is not None)
    call_s = world.now - started
    world.run(1.0)
    terminal = world.server.terminal
    trouble = _trouble(trial, program, terminal, file, over=over)
    again = program.n_frames_resent if isinstance(program, EcmFaxSender) else program.n_frames_asked_again
    report = station.line.last_report
    if trial.log and trouble:
        _keep(Path(trial.log), trial, program, terminal)
    terminal.close()
    return Verdict(trial, trouble, call_s, report.sentence() if report else "no call", again)


def _trouble(
    trial: Trial,
    program: EcmFaxSender | EcmFaxReceiver,
    terminal: spandsp.FaxTerminal,
    file: Path,
    *,
    over: bool,
) -> str:
    troubles = []
    if not over:
        troubles.append("the call does not end")
    if program.failed:
        troubles.append(f"host: {program.failed}")
    if terminal.result_text != "OK":
        troubles.append(f"far end: {terminal.result_text}")
    pages: Sequence[Page]
    if isinstance(program, EcmFaxReceiver):
        pages = program.pages
    else:
        try:
            pages = [np.asarray(page, np.bool_) for page, _ in spandsp.read_tiff(file)]
        except OSError:
            pages = []
    good = sum(
        len(got) >= len(sent) and np.array_equal(got[: len(sent)], sent)
        for sent, got in zip(PAGES, pages, strict=False)
    )
    if good != len(PAGES):
        troubles.append(f"{good} of {len(PAGES)} pages good")
    return "; ".join(troubles)


def _keep(
    directory: Path, trial: Trial, program: EcmFaxSender | EcmFaxReceiver, terminal: spandsp.FaxTerminal
) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    text = program.transcript() + "\n\nfar end:\n" + "\n".join(terminal.frame_names())
    (directory / f"{trial.case}-{trial.way}-{trial.code}-{trial.seed}.txt").write_text(text)


def table(verdicts: Sequence[Verdict]) -> str:
    """A row a case: calls whose pages are all good, modem sends | modem receives."""
    rows = [f"{'network':44} {'modem sends':>12} {'modem receives':>15}"]
    for key, case in CASES.items():
        cells = []
        for way in WAYS:
            those = [v for v in verdicts if v.trial.case == key and v.trial.way == way]
            cells.append(f"{sum(not v.trouble for v in those)}/{len(those)}" if those else "-")
        if cells != ["-", "-"]:
            rows.append(f"{case.name:44} {cells[0]:>12} {cells[1]:>15}")
    return "\n".join(rows)


def main() -> int:
    """Make the calls and print the table; 0 when every case reaches its goal."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").split("usage: ", 1)[1])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--code", type=int, choices=tuple(CODES_FROM), default=145)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", default="")
    parser.add_argument("--mini", action="store_true", help="voice in mini frames")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    trials = [
        Trial(case, way, options.seed + n, options.code, options.log, not options.mini)
        for case in options.cases.split(",")
        for way in options.ways.split(",")
        for n in range(options.runs)
    ]
    started = time.perf_counter()
    verdicts: list[Verdict] = []
    with ProcessPoolExecutor(options.processes) as pool:
        for verdict in pool.map(run, trials):
            verdicts.append(verdict)
            if verdict.trouble:
                trial = verdict.trial
                print(
                    f"{trial.case} {trial.way} seed {trial.seed}: {verdict.trouble}\n  {verdict.report}",
                    flush=True,
                )
    lasted = time.perf_counter() - started
    virtual = sum(v.call_s for v in verdicts)
    print(table(verdicts))
    print(f"{len(verdicts)} calls of {virtual / len(verdicts):.0f} s, {virtual / lasted:.0f} times real time")
    goals = (
        CASES[case].reached(
            sum(not v.trouble for v in verdicts if v.trial.case == case and v.trial.way == way), options.runs
        )
        for case in options.cases.split(",")
        for way in options.ways.split(",")
    )
    return 0 if all(goals) else 1


if __name__ == "__main__":
    sys.exit(main())
