"""Two modems fax a document to each other through our own loopback exchange, efax at both devices.

usage: python -m tests.system.through_exchange --directory DIR --adapter cuse|pty [--document FILE.tif]
           [--devices /dev/ttyIAX0,/dev/ttyIAX1]

Prints `progress PAGE SHARE` while the pages travel, `outcome` and how the call ended, and `report` with
each modem's call report; exits with 0 when every page is the same. Logs and pages are left in DIR.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bed.asterisk import HOST
from tests.system.calls import efax_to_efax
from tests.system.documents import make_document
from tests.system.modem import Account, Modem

CALLED_NUMBER = "200"


def main() -> int:
    """Make the call; 0 when all is well."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").split("usage: ", 1)[1])
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--adapter", choices=("cuse", "pty"), required=True)
    parser.add_argument("--document", type=Path)
    parser.add_argument("--devices", default="/dev/ttyIAX0,/dev/ttyIAX1")
    options = parser.parse_args()

    directory: Path = options.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    document = options.document or make_document(directory / "sent.tif")
    first, second = (Path(device) for device in options.devices.split(","))
    with exchange(directory) as port:

        def modem(device: Path, name: str) -> Modem:
            account = Account(HOST, port, name, f"secret-{name}")
            return Modem("cusemodem", device, account, 0, directory, adapter=options.adapter)

        with modem(first, "alice") as caller, modem(second, "bob") as called:
            for side in (caller, called):
                side.wait_log("registration completed", 15)
            outcome = efax_to_efax(
                caller, called, CALLED_NUMBER, document, directory / "call", on_progress=print_progress
            )
            for line in str(outcome).splitlines():
                print("outcome", line, flush=True)
            for side in (caller, called):
                for report in side.wait_log("call report: ", 15):
                    print("report", f"{side.name}: {report}", flush=True)
    return 0 if outcome.ok else 1


@contextmanager
def exchange(directory: Path) -> Iterator[int]:
    """A running `cusemodem exchange` with the peers alice (100) and bob (200); yields its UDP port."""
    program = Path(sys.executable).parent / "cusemodem"
    command = [str(program), "exchange", "--listen", f"{HOST}:0"]
    for peer in ("alice:secret-alice:100", f"bob:secret-bob:{CALLED_NUMBER}"):
        command += ["--peer", peer]
    with (directory / "exchange.log").open("w") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdout is not None
    try:
        listening = process.stdout.readline()
        if not listening.startswith("listening on "):
            raise RuntimeError(f"the exchange did not start; see {directory / 'exchange.log'}")
        yield int(listening.rpartition(":")[2])
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def print_progress(page: int, share: float) -> None:
    """One line for whoever draws the bars."""
    print("progress", page, f"{share:.3f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
