"""What the campaign plans: every coding at every rate, both ways, however few calls are asked for."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.system.campaign_cases import CODINGS, ONE_DIMENSIONAL, RATES, End, plan

HYLAFAX, HYLAFAX_10, EFAX = End("hylafax", "1"), End("hylafax", "1.0"), End("efax")


@pytest.mark.parametrize("n_runs", [0, 1, 20, 30])
def test_the_plan_has_the_whole_grid_and_as_many_calls_as_asked(n_runs: int) -> None:
    ends = [HYLAFAX, HYLAFAX_10, EFAX]
    rows = [row for case in plan(ends, n_runs) for row in case.rows()]
    cells = {(row.program, row.fax_class, row.direction, row.coding, row.rate) for row in rows}
    for name, rate in RATES.items():
        for direction in ("send", "receive"):
            for end in (HYLAFAX, HYLAFAX_10):
                wanted = {(*end, direction, coding, name) for coding in CODINGS}
                assert wanted <= cells or not rate.hylafax
            assert (*EFAX, direction, ONE_DIMENSIONAL, name) in cells or rate.efax is None
    calls = Counter((row.program, row.fax_class, row.direction) for row in rows)
    assert len(calls) == 6
    assert min(calls.values()) >= n_runs


def test_no_call_is_planned_twice() -> None:
    names = [case.name for case in plan([HYLAFAX, EFAX], 40)]
    assert len(names) == len(set(names))


def test_the_plan_with_iaxmodem_goes_both_ways_at_each_rate_of_efax() -> None:
    cases = plan([EFAX], 1, iaxmodem=True)
    pairs = {(case.sender, case.rate) for case in cases}
    assert len(pairs) == 2 * sum(rate.efax is not None for rate in RATES.values())
