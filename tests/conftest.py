"""Fixtures that every room may use: a real Asterisk, and a kernel with CUSE.

`--no-skips` (continuous integration) turns every skipped test into a failed one: a peer or a
kernel that is silently absent there would make a green run say nothing.
"""

import subprocess
from collections.abc import Iterator

import pytest

from tests.bed.asterisk import Asterisk, AsteriskBed
from tests.bed.guest import Guest, missing_for_guest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="a skipped test fails (continuous integration)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.config.getoption("--no-skips"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and --no-skips forbids it: {_reason(report.longrepr)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    report = yield
    if report.skipped and collector.config.getoption("--no-skips"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and --no-skips forbids it: {_reason(report.longrepr)}"
    return report


def _reason(longrepr: object) -> object:
    return longrepr[2] if isinstance(longrepr, tuple) else longrepr


@pytest.fixture(scope="session")
def asterisk() -> Iterator[Asterisk]:
    """A running Asterisk on a loopback port of its own; stopped after the session."""
    bed = AsteriskBed()
    try:
        running = bed.start()
    except subprocess.CalledProcessError as error:
        bed.clean()
        pytest.skip(f"Asterisk could not be installed or started here: {error.stderr.strip()}")
    try:
        yield running
    finally:
        bed.clean()


@pytest.fixture(scope="session")
def uml() -> Guest:
    """A user-mode Linux with /dev/cuse: call it with a command, get a CompletedProcess."""
    missing = missing_for_guest()
    if missing:
        pytest.skip(f"no user-mode Linux here: install {', '.join(missing)}")
    return Guest()
