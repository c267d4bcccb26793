"""A fax program and a real Asterisk fax a document to each other over a modem's device.

usage: python -m tests.system.through_asterisk --modem cusemodem|iaxmodem --program efax|hylafax
           --directory DIR
           [--pages text,halftone] [--resolution standard|fine] [--lines N] [--seed N]
           [--receivers 9022,…] [--senders 9032,…] [--adapter cuse|pty]

For a machine with /dev/cuse, or a guest of uml-run. Calls each extension of --receivers and has each of
--senders call, in that order; prints how each call ended, and exits with 0 when every page is the same.
Logs and pages are left in DIR.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.bed.asterisk import HOST, AsteriskBed
from tests.bed.guest import BED
from tests.system.calls import (
    Outcome,
    asterisk_to_efax,
    asterisk_to_hylafax,
    efax_to_asterisk,
    hylafax_to_asterisk,
)
from tests.system.documents import make_document
from tests.system.hylafax import HylaFax
from tests.system.modem import KINDS, PAUSE_BETWEEN_CALLS_S, Account, Modem

ACCOUNT = "601"
LOCAL_PORT = 4570
DEVICE = Path("/dev/ttyIAX0")


def main() -> int:
    """Run the calls; 0 when all is well."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").split("usage: ", 1)[1])
    parser.add_argument("--modem", choices=KINDS, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--program", choices=("efax", "hylafax"), default="efax")
    parser.add_argument("--pages", default="text,halftone")
    parser.add_argument("--resolution", default="standard")
    parser.add_argument("--lines", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--receivers", default="9022")
    parser.add_argument("--senders", default="9032")
    parser.add_argument("--adapter", choices=("cuse", "pty"), default="")
    options = parser.parse_args()

    directory: Path = options.directory
    directory.mkdir(parents=True, exist_ok=True)
    document = make_document(
        directory / "sent.tif",
        pages=options.pages,
        resolution=options.resolution,
        lines=options.lines,
        seed=options.seed,
    )
    if options.modem == "iaxmodem" and not shutil.which("iaxmodem"):
        subprocess.run([BED / "guest-packages", "install", "iaxmodem"], check=True, capture_output=True)

    bed = AsteriskBed(send_tiff=document)
    outcomes: list[Outcome] = []
    try:
        asterisk = bed.start()
        account = Account(HOST, asterisk.iax_port, ACCOUNT, f"secret{ACCOUNT}")

        def modem() -> Modem:
            return Modem(options.modem, DEVICE, account, LOCAL_PORT, directory, adapter=options.adapter)

        receivers = list(filter(None, options.receivers.split(",")))
        senders = list(filter(None, options.senders.split(",")))

        def note(outcome: Outcome) -> None:
            outcomes.append(outcome)
            print(outcome, flush=True)

        def place(direction: str, extension: str) -> dict[str, Any]:
            return {
                "document": document,
                "directory": directory / f"{direction}-{extension}",
                "account": ACCOUNT,
                "extension": extension,
            }

        if options.program == "efax":
            with modem() as running:
                asterisk.wait_registered(ACCOUNT)
                for extension in receivers:
                    note(efax_to_asterisk(running, asterisk, **place("to", extension)))
                for extension in senders:
                    time.sleep(PAUSE_BETWEEN_CALLS_S)
                    note(asterisk_to_efax(running, asterisk, **place("from", extension)))
        else:
            with modem(), HylaFax([DEVICE], directory) as server:
                hylafax = server.modem(DEVICE)
                for extension in receivers:
                    note(hylafax_to_asterisk(hylafax, asterisk, **place("to", extension)))
                for extension in senders:
                    time.sleep(PAUSE_BETWEEN_CALLS_S)
                    note(asterisk_to_hylafax(hylafax, asterisk, **place("from", extension)))
    finally:
        shutil.copytree(bed.rundir / "log", directory / "asterisk", dirs_exist_ok=True)
        bed.clean()
    return 0 if outcomes and all(outcome.ok for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
