"""The ports of a real service outlive it, without systemd: `survival.py`, in a guest."""

import subprocess
import sys

import pytest

from tests.bed.guest import BED, Guest


@pytest.mark.kernel
def test_ports_outlive_workers_and_service(uml: Guest) -> None:
    done = uml([sys.executable, "-m", "tests.service.survival"], timeout_s=280)
    said = done.stdout.splitlines()
    assert said[-1:] == ["all done"], done.stdout + done.stderr
    assert sum(line.endswith(": the ports work") for line in said) == 5, said
    assert "keep = no: a new port" in said


@pytest.mark.kernel
@pytest.mark.slow
def test_a_faxgetty_outlives_workers_and_service(uml: Guest) -> None:
    """One restart of each kind, and a call that it answers afterwards; a hundred by hand: docs/port.md."""
    subprocess.run([str(BED / "guest-packages"), "fetch"], check=True)
    done = uml([sys.executable, "-m", "tests.service.restarts", "3"], timeout_s=280)
    said = done.stdout.splitlines()
    assert said[-1:] == ["all done"], done.stdout + done.stderr
    for k, kind in enumerate(("kill_workers", "kill_service", "hand_over"), 1):
        assert any(line.startswith(f"{k} {kind} ") for line in said), said
