"""Checks of the CUSE device from the host's side, run inside a guest: `python -m tests.kernel.device_checks`.

Prints one JSON line a check: its name and, when it failed, why. `test_device.py` turns each into a test.
"""

import json
import os
import signal
import time
import traceback

from tests.kernel import (
    checks_data,
    checks_lines,
    checks_node,
    checks_processes,
    checks_server,
    checks_survival,
)
from tests.kernel.host import CHECKS, CHILDREN, Modem, SkippedError, alarm, ended

CHECKED = (checks_data, checks_lines, checks_node, checks_processes, checks_server, checks_survival)


def main() -> None:
    """Run every check, and print one JSON line for each."""
    modem = Modem()
    for name, function in CHECKS.items():
        result: dict[str, object] = {"check": name}
        modem.tell("reset")
        modem.status()
        start = time.monotonic()
        try:
            # Whatever hangs is interrupted, reported, and does not hold up the others.
            with alarm(60):
                function(modem)
        except SkippedError as reason:
            result["skipped"] = str(reason)
        except BaseException:
            result["failed"] = traceback.format_exc()
        for pid in list(CHILDREN):
            os.kill(pid, signal.SIGKILL)
            ended(pid, 10)
        result["seconds"] = round(time.monotonic() - start, 2)
        print(json.dumps(result), flush=True)
    modem.end()
    print(json.dumps({"check": "the modem process ends well"}), flush=True)


if __name__ == "__main__":
    main()
