"""Checks of the port against a tty, under programs and under stress, run inside a guest:
`python -m tests.kernel.port_checks [NAME...]`.

Prints one JSON line a check. `test_port_programs.py` turns each into a test. Programs mostly wait, so their
checks run side by side, each in a process with a device of its own.
"""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable

from tests.kernel import checks_fax_programs, checks_terminal_programs, stress
from tests.kernel.differential import compare, judge, listed
from tests.kernel.host import CHILDREN, Modem, alarm, ended
from tests.kernel.programs import install

CHECK_TIMEOUT_S = 240
MIN_STEPS = 200
N_OPENS, N_KILLS = 4_000, 40


def every_difference_from_a_tty_is_in_the_manual() -> None:
    modem = Modem()
    n_steps, differences = compare(modem)
    modem.end()
    assert n_steps >= MIN_STEPS
    complaints = judge(differences, listed())
    assert not complaints, "\n".join(complaints)


def many_opens_and_killed_readers_leave_nothing_behind() -> None:
    """A fraction of `python -m tests.kernel.stress`."""
    modem = Modem()
    stress.opens_and_closes(modem, N_OPENS)
    stress.killed_readers(modem, N_KILLS)
    modem.end()


SIDE_BY_SIDE = (
    checks_terminal_programs.stty_shows_and_sets_everything,
    checks_terminal_programs.python_termios_module,
    checks_terminal_programs.pyserials_own_tests,
    checks_terminal_programs.picocom_talks_and_hangs_up,
    checks_terminal_programs.minicom_initialises_dials_and_leaves,
    checks_fax_programs.hylafax_probes_the_modem,
    checks_fax_programs.faxgetty_initialises_answers_and_resets,
    checks_fax_programs.mgetty_takes_a_data_call,
    checks_fax_programs.efax_initialises_and_gives_up,
)
ONE_BY_ONE = (
    every_difference_from_a_tty_is_in_the_manual,
    many_opens_and_killed_readers_leave_nothing_behind,
)
CHECKED = [check.__name__ for check in (*SIDE_BY_SIDE, *ONE_BY_ONE)]


def run(check: Callable[[], None]) -> None:
    """Run a check and print its JSON line, in one write."""
    result: dict[str, object] = {"check": check.__name__}
    start = time.monotonic()
    try:
        with alarm(CHECK_TIMEOUT_S):
            check()
    except BaseException:
        result["failed"] = traceback.format_exc()[-6000:]
    for pid in list(CHILDREN):
        os.kill(pid, signal.SIGKILL)
        ended(pid, 10)
    result["seconds"] = round(time.monotonic() - start, 2)
    os.write(1, json.dumps(result).encode() + b"\n")


def main(names: list[str]) -> None:
    """Run the checks of those names, or all."""
    wanted = [check for check in SIDE_BY_SIDE if not names or check.__name__ in names]
    if wanted:
        install("hylafax", "mgetty", "minicom", "picocom")
        checks_fax_programs.prepare_hylafax()
    started = []
    for check in wanted:
        pid = os.fork()
        if not pid:
            run(check)
            os._exit(0)
        started.append(pid)
    for pid in started:
        os.waitpid(pid, 0)
    for one in ONE_BY_ONE:
        if not names or one.__name__ in names:
            run(one)


if __name__ == "__main__":
    main(sys.argv[1:])
