"""The CUSE device in a real kernel: one guest runs all of `device_checks.py`, each check is a test here."""

import json
import sys
from typing import Any

import pytest

from tests.bed.guest import Guest
from tests.kernel.device_checks import CHECKS

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def results(uml: Guest) -> dict[str, dict[str, Any]]:
    done = uml([sys.executable, "-m", "tests.kernel.device_checks"], timeout_s=300)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    found = {line["check"]: line for line in lines}
    assert found, f"no check ran: status {done.returncode}\n{done.stdout}{done.stderr}"
    found["the end"] = {"status": done.returncode, "stderr": done.stderr}
    return found


@pytest.mark.parametrize("name", CHECKS)
def test_device(name: str, results: dict[str, dict[str, Any]]) -> None:
    assert name in results, f"the guest did not come so far: {results['the end']}"
    result = results[name]
    if "skipped" in result:
        pytest.skip(result["skipped"])
    assert "failed" not in result, result["failed"]


def test_the_modem_process_ends_well(results: dict[str, dict[str, Any]]) -> None:
    assert "the modem process ends well" in results, results["the end"]["stderr"]
    assert results["the end"]["status"] == 0
