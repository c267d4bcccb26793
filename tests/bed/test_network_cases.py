"""What a campaign over a bad network asks for."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.bed.network_cases import CASES
from tests.system.bad_network import Trial, Verdict, reached


@pytest.mark.parametrize(
    ("case", "n_good", "n_calls", "enough"),
    [
        ("loss-0.5", 19, 20, True),
        ("loss-0.5", 18, 19, False),
        ("loss-0.5", 1, 2, False),
        ("loss-1", 18, 20, True),
        ("loss-1", 17, 19, False),
        ("clean", 19, 20, False),
        ("clean", 0, 0, False),
    ],
)
def test_a_goal_is_not_rounded_down(case: str, n_good: int, n_calls: int, enough: bool) -> None:
    assert CASES[case].reached(n_good, n_calls) is enough
    trials = [Trial("cusemodem", case, "sends", n) for n in range(n_calls)]
    verdicts = [Verdict(trial, "" if n < n_good else "lost", 1.0) for n, trial in enumerate(trials)]
    assert reached(verdicts, trials) is enough
    assert reached(verdicts, trials, Fraction(1, 2)) is (n_calls > 0)


def test_calls_that_were_not_made_do_not_count_as_good() -> None:
    trials = [Trial("cusemodem", "loss-1", "sends", n) for n in range(10)]
    assert not reached([Verdict(trial, "", 1.0) for trial in trials[:8]], trials)
