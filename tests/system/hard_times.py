"""What a modem goes through besides faxes, as processes on real devices: killed programs, garbage, SIGTERM.

usage: python -m tests.system.hard_times --directory DIR --adapter cuse|pty

Two modems on our exchange. Prints `NAME: ok in S s` or `NAME: FAILED in S s` and why, for each trial; exits
with 0 when all are ok.
"""

import argparse
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bed.asterisk import HOST, free_udp_port
from tests.system import efax
from tests.system.calls import Outcome, efax_to_efax
from tests.system.documents import make_document, single_strip_pages
from tests.system.modem import PAUSE_BETWEEN_CALLS_S, Account, Modem
from tests.system.through_exchange import CALLED_NUMBER, exchange

GARBAGE_PER_S = 1000


@dataclass
class Trial:
    """What a trial has at hand: two registered modems, a document, a directory of its own."""

    caller: Modem
    called: Modem
    called_port: int
    document: Path
    directory: Path

    def fax(self, name: str) -> Outcome:
        """A whole fax call between the two."""
        return efax_to_efax(self.caller, self.called, CALLED_NUMBER, self.document, self.directory / name)

    @contextmanager
    def call_in_mid_page(self) -> Iterator[tuple[efax.EfaxRun, efax.EfaxRun]]:
        """(sending, receiving) efax, with the first page half way; both are ended afterwards."""
        place = self.directory / "broken"
        place.mkdir(parents=True)
        pages = single_strip_pages(self.document, place)
        sending = efax.send(self.caller.device, CALLED_NUMBER, pages, place)
        receiving = efax.receive(self.called.device, place)
        try:
            half = pages[0].stat().st_size / 2
            deadline = time.monotonic() + 60
            while not (arrived := receiving.pages()) or arrived[0].stat().st_size < half:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"half a page did not arrive within a minute; see {sending.log}")
                time.sleep(0.05)
            yield sending, receiving
        finally:
            for run in (sending, receiving):
                run.wait(0)


def device_is_a_terminal_of_the_kernel(trial: Trial) -> str:
    """The kernel's own tools take the node for a character device and a terminal."""
    kind = _output(["stat", "-L", "-c", "%F", str(trial.caller.device)])
    settings = _output(["stty", "-F", str(trial.caller.device), "-a"])
    if kind != "character special file":
        return f"stat says {kind}"
    if "speed" not in settings or "clocal" not in settings:
        return f"stty says {settings}"
    return ""


def killed_program_leaves_the_modem_ready(trial: Trial) -> str:
    """SIGKILL to the sending program in mid-page: the call ends at both ends, and the next fax arrives."""
    with trial.call_in_mid_page() as (sending, receiving):
        sending.process.kill()
        killed = time.monotonic()
        receiving.wait(60)
        if time.monotonic() - killed > 30:
            return "the receiving program did not notice within 30 s"
    time.sleep(PAUSE_BETWEEN_CALLS_S)
    outcome = trial.fax("after")
    return "" if outcome.ok else f"the next fax: {outcome}"


def garbage_does_not_spoil_a_page(trial: Trial) -> str:
    """Random and truncated datagrams at 1000/s to the receiving modem during a whole call."""
    stop = threading.Event()
    sent = [0]

    def send_garbage() -> None:
        rng = random.Random(20)
        due = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
            while not stop.is_set():
                due += 1 / GARBAGE_PER_S
                source.sendto(
                    rng.randbytes(rng.choice((0, 1, 3, 4, 11, 12, 13, 60))), (HOST, trial.called_port)
                )
                sent[0] += 1
                time.sleep(max(0.0, due - time.monotonic()))

    thread = threading.Thread(target=send_garbage)
    thread.start()
    started = time.monotonic()
    try:
        outcome = trial.fax("call")
    finally:
        stop.set()
        thread.join()
    rate = sent[0] / (time.monotonic() - started)
    if rate < GARBAGE_PER_S / 2:
        return f"only {rate:.0f} datagrams a second were sent"
    return "" if outcome.ok else str(outcome)


def sigterm_hangs_up(trial: Trial) -> str:
    """SIGTERM in mid-page: the far end sees the hang-up, the status is 0, and the node is gone."""
    ends = len(_lines(trial.called.log, "hung up"))
    with trial.call_in_mid_page() as (_, receiving):
        started = time.monotonic()
        status = trial.caller.stop()
        took = time.monotonic() - started
        receiving.wait(60)
    if status != 0:
        return f"exit status {status}"
    if took > 5:
        return f"it took {took:.1f} s to end"
    if len(_lines(trial.called.log, "hung up")) <= ends:
        return "the far end did not see a hang-up"
    if os.path.lexists(trial.caller.device):
        return f"{trial.caller.device} is still there"
    return ""


TRIALS: list[Callable[[Trial], str]] = [
    device_is_a_terminal_of_the_kernel,
    killed_program_leaves_the_modem_ready,
    garbage_does_not_spoil_a_page,
    sigterm_hangs_up,  # last: it ends the modem
]


def main() -> int:
    """Run all trials in their order; 0 when all are ok."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").split("usage: ", 1)[1])
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--adapter", choices=("cuse", "pty"), required=True)
    options = parser.parse_args()
    directory: Path = options.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    document = make_document(directory / "sent.tif", lines=300)
    place = Path("/dev") if options.adapter == "cuse" else directory
    ports = [free_udp_port(), free_udp_port()]
    troubles = []
    with exchange(directory) as port:
        modems = [
            Modem(
                "cusemodem",
                place / f"ttyIAX{number}",
                Account(HOST, port, name, f"secret-{name}"),
                ports[number],
                directory,
                adapter=options.adapter,
            )
            for number, name in enumerate(("alice", "bob"))
        ]
        with modems[0] as caller, modems[1] as called:
            for modem in modems:
                modem.wait_log("registration completed", 15)
            for trial in TRIALS:
                time.sleep(PAUSE_BETWEEN_CALLS_S)
                started = time.monotonic()
                given = Trial(caller, called, ports[1], document, directory / trial.__name__)
                trouble = trial(given)
                troubles.append(trouble)
                verdict = "FAILED" if trouble else "ok"
                print(f"{trial.__name__}: {verdict} in {time.monotonic() - started:.1f} s", flush=True)
                if trouble:
                    print(f"  {trouble}", flush=True)
    return 1 if any(troubles) else 0


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


def _lines(log: Path, text: str) -> list[str]:
    return [line for line in log.read_text(errors="replace").splitlines() if text in line]


if __name__ == "__main__":
    sys.exit(main())
