"""The ports of a real service outlive it, without systemd: `survival.py`, in a guest."""

import sys

import pytest

from tests.bed.guest import Guest


@pytest.mark.kernel
def test_ports_outlive_workers_and_service(uml: Guest) -> None:
    done = uml([sys.executable, "-m", "tests.service.survival"], timeout_s=280)
    said = done.stdout.splitlines()
    assert said[-1:] == ["all done"], done.stdout + done.stderr
    assert sum(line.endswith(": the ports work") for line in said) == 5, said
