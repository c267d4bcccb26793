"""Debian's iaxmodem registers with our exchange, calls our modem through it, and is called by it.

usage: python -m tests.system.iaxmodem_on_exchange --directory DIR [--adapter cuse|pty]

For `namespace-run` or a guest, where iaxmodem can be installed. Two calls at once, a page with error
correction each. Prints how each ended; exits with 0 when both pages are what was sent.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from tests.bed.asterisk import HOST, free_udp_port
from tests.bed.guest import BED
from tests.host.pages import random_page
from tests.host.t30_ecm import EcmFaxReceiver, EcmFaxSender
from tests.system.host_on_device import HostOnDevice, run
from tests.system.modem import PAUSE_BETWEEN_CALLS_S, Account, Modem

NUMBERS = {"iaxmodem0": "100", "ours0": "200", "iaxmodem1": "101", "ours1": "201"}
CALLS = (("iaxmodem0", "ours0"), ("ours1", "iaxmodem1"))
PAGE = random_page(11, 200)


def main() -> int:
    """Make the calls; 0 when all is well."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").split("usage: ", 1)[1])
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--adapter", choices=("cuse", "pty"), default="pty")
    options = parser.parse_args()
    directory: Path = options.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    if not shutil.which("iaxmodem"):
        subprocess.run([BED / "guest-packages", "install", "iaxmodem"], check=True, capture_output=True)
    port = free_udp_port()
    log = directory / "exchange.log"
    command = [Path(sys.executable).parent / "cusemodem", "exchange", "--listen", f"{HOST}:{port}"]
    command.append("--no-call-token")  # iaxmodem knows none
    for name, number in NUMBERS.items():
        command += ["--peer", f"{name}:secret-{name}:{number}"]
    with ExitStack() as stack:
        out = stack.enter_context(log.open("w"))
        exchange = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        stack.callback(exchange.wait)
        stack.callback(exchange.terminate)
        modems = {}
        for name in NUMBERS:
            ours = name.startswith("ours")
            place = directory / name
            place.mkdir(exist_ok=True)
            # iaxmodem makes none whose path is long
            device = Path("/dev" if options.adapter == "cuse" else "/tmp") / f"tty{name}"
            account = Account(HOST, port, name, f"secret-{name}")
            kind, adapter = ("cusemodem", options.adapter) if ours else ("iaxmodem", "")
            modem = Modem(kind, device, account, 0 if ours else free_udp_port(), place, adapter=adapter)
            modems[name] = stack.enter_context(modem)
            wait_registered(name, log)  # and so no two iaxmodems start in the same second
        time.sleep(1)
        return make_calls(modems, directory)


def wait_registered(name: str, log: Path) -> None:
    """Return when the exchange says so."""
    deadline = time.monotonic() + 20
    while f"{name} registered from" not in log.read_text():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} has not registered with the exchange; it says: {log.read_text()}")
        time.sleep(0.1)


def make_calls(modems: dict[str, Modem], directory: Path) -> int:
    """Both at once; 0 when both are good."""
    with ExitStack() as stack:

        def host(name: str, program: EcmFaxSender | EcmFaxReceiver) -> HostOnDevice:
            return stack.enter_context(HostOnDevice(modems[name].device, program))

        receivers = [EcmFaxReceiver() for _ in CALLS]
        listening = [host(called, program) for (_, called), program in zip(CALLS, receivers, strict=True)]
        deadline = time.monotonic() + 30
        while not all(program.ready for program in receivers) and time.monotonic() < deadline:
            for one in listening:
                one.step(time.monotonic())
            time.sleep(0.01)
        time.sleep(PAUSE_BETWEEN_CALLS_S)  # iaxmodem is busy for a while after ATZ
        senders = [EcmFaxSender([PAGE], NUMBERS[called]) for _, called in CALLS]
        calling = [host(caller, program) for (caller, _), program in zip(CALLS, senders, strict=True)]
        ended = run([*listening, *calling], 120)
    n_bad = 0
    for (caller, called), sender, receiver in zip(CALLS, senders, receivers, strict=True):
        arrived = len(receiver.pages) == 1 and np.array_equal(receiver.pages[0][: len(PAGE)], PAGE)
        confirmed = sender.n_pages_confirmed == 1
        good = ended and arrived and confirmed
        n_bad += not good
        print(f"{caller} to {called}: {'ok' if good else 'FAILED'}, {sender.rate}", flush=True)
        if not good:
            print(f"  sender: {sender.failed}; receiver: {receiver.failed}; page good: {arrived}")
            for end, program in (("sender", sender), ("receiver", receiver)):
                (directory / f"{caller}-to-{called}-{end}.txt").write_text(program.transcript())
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())
