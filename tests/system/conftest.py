"""Scenarios: scripts of this folder, in guests or namespaces, two at a time, started before they are due.

A fax call takes its real time but little of the processor; one after the other they would take minutes.
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.bed.guest import BED, REPOSITORY, Guest

GUESTS_AT_ONCE = 2
LOGS = REPOSITORY / ".cache" / "system-tests"
"""What every program said, until the next run."""


@dataclass(frozen=True)
class Scenario:
    """What to run in the guest: a module of tests.system, its arguments besides --directory, a bound."""

    module: str
    arguments: str
    timeout_s: int = 400
    in_guest: bool = True
    """In a guest, with CUSE; else in namespaces of this machine."""

    def __str__(self) -> str:
        return f"{self.module} {self.arguments}"


ScenarioRunner = Callable[[Scenario], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def run_scenario(uml: Guest, request: pytest.FixtureRequest) -> Iterator[ScenarioRunner]:
    """Give the result of a scenario; those of all selected tests are started with the first."""
    selected = [
        item.callspec.params["scenario"]
        for item in request.session.items
        if hasattr(item, "callspec") and "scenario" in item.callspec.params
    ]

    def run(scenario: Scenario) -> subprocess.CompletedProcess[str]:
        directory = LOGS / re.sub(r"\W+", "-", str(scenario))
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        command = [".venv/bin/python", "-m", f"tests.system.{scenario.module}", "--directory", str(directory)]
        command += scenario.arguments.split()
        if scenario.in_guest:
            return uml(command, timeout_s=scenario.timeout_s, share=[directory], real_time=True)
        options = ["--timeout", str(scenario.timeout_s), "--share", str(directory)]
        return subprocess.run(
            [BED / "real-time", BED / "namespace-run", *options, "--", *command],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    pool = ThreadPoolExecutor(GUESTS_AT_ONCE)
    futures: dict[Scenario, Future[subprocess.CompletedProcess[str]]] = {
        scenario: pool.submit(run, scenario) for scenario in selected
    }
    try:
        yield lambda scenario: futures[scenario].result()
    finally:
        pool.shutdown(cancel_futures=True)
