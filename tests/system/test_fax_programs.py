"""Unmodified fax programs on the modem's CUSE device: pages through Asterisk and through our exchange.

Most scenarios run in a user-mode Linux guest; the pages are compared dot for dot (compare_pages).
"""

import os
import re

import pytest

from tests.system.campaign_cases import SHORT
from tests.system.conftest import Scenario, ScenarioRunner

pytestmark = [pytest.mark.peer, pytest.mark.kernel, pytest.mark.slow]

ASTERISK = "--modem cusemodem --program"

SCENARIOS = {
    "efax, V.29 without error correction": (
        Scenario("through_asterisk", f"{ASTERISK} efax --receivers 9022 --senders 9032"),
        2,
    ),
    "efax, V.27ter, three fine pages": (
        Scenario(
            "through_asterisk",
            f"{ASTERISK} efax --receivers 9024 --senders 9034 --pages halftone,text,blank "
            "--resolution fine --lines 300 --seed 7",
        ),
        2,
    ),
    "HylaFAX, V.29 with and without error correction": (
        Scenario(
            "through_asterisk",
            f"{ASTERISK} hylafax --receivers 9022 --senders 9031 --lines 700 --seed 3",
        ),
        2,
    ),
    "the campaign's short form: HylaFAX in both classes, efax, iaxmodem, every modulation": (
        Scenario("campaign_guest", "--short --adapter pty --lanes 3", in_guest=False),
        len(SHORT),
    ),
    "two modems of ours on our exchange, pseudo-terminals": (
        Scenario("through_exchange", "--adapter pty --devices /tmp/ttyIAX0,/tmp/ttyIAX1"),
        1,
    ),
    "killed programs, garbage on the wire, SIGTERM": (
        Scenario("hard_times", "--adapter cuse"),
        4,
    ),
}


@pytest.mark.parametrize(("scenario", "n_calls"), SCENARIOS.values(), ids=SCENARIOS)
def test_pages_arrive_dot_for_dot(run_scenario: ScenarioRunner, scenario: Scenario, n_calls: int) -> None:
    if not scenario.in_guest and os.geteuid() != 0:
        pytest.skip("namespaces with mounts need root")
    done = run_scenario(scenario)
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert len(re.findall(r": ok in [0-9.]+ s$", done.stdout, re.MULTILINE)) == n_calls
