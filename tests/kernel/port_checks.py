"""Checks of the port against a tty, under programs and stress, run inside a guest:
`python -m tests.kernel.port_checks [NAME...]`.

Prints one JSON line a check. `test_port_programs.py` turns each into a test.
"""

import json
import os
import signal
import sys
import time
import traceback

from tests.kernel.differential import compare, judge, listed
from tests.kernel.host import CHILDREN, Check, Modem, alarm, ended

CHECK_TIMEOUT_S = 90
MIN_STEPS = 200


def every_difference_from_a_tty_is_in_the_manual(modem: Modem) -> None:
    n_steps, differences = compare(modem)
    assert n_steps >= MIN_STEPS
    complaints = judge(differences, listed())
    assert not complaints, "\n".join(complaints)


CHECKED: dict[str, Check] = {
    check.__name__: check for check in (every_difference_from_a_tty_is_in_the_manual,)
}


def main(names: list[str]) -> None:
    """Run the checks of those names, or all, and print one JSON line for each."""
    modem = Modem()
    for name, check in CHECKED.items():
        if names and name not in names:
            continue
        result: dict[str, object] = {"check": name}
        modem.tell("reset")
        modem.status()
        start = time.monotonic()
        try:
            with alarm(CHECK_TIMEOUT_S):
                check(modem)
        except BaseException:
            result["failed"] = traceback.format_exc()[-6000:]
        for pid in list(CHILDREN):
            os.kill(pid, signal.SIGKILL)
            ended(pid, 10)
        result["seconds"] = round(time.monotonic() - start, 2)
        print(json.dumps(result), flush=True)
    modem.end()


if __name__ == "__main__":
    main(sys.argv[1:])
