"""The ports of a real service outlive it, without systemd: `survival.py`, in a guest."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bed.guest import BED, Guest

ROOT = Path(__file__).parent.parent.parent
TEMPLATE_IN_GUEST = Path(__file__).parent / "template_in_guest.sh"


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


@pytest.mark.kernel
@pytest.mark.slow
def test_the_template_unit_over_changes_of_its_modem(uml: Guest) -> None:
    """What systemd kept, and is wanted no more, hangs no program and is not in the new port's way."""
    command = uml.command([TEMPLATE_IN_GUEST, str(ROOT), sys.executable], timeout_s=300)
    command.insert(command.index("--"), "--systemd")
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    said = done.stdout.splitlines()
    assert said[-1:] == ["all done"], done.stdout + done.stderr
    assert {
        "at first: active ttyIAX5 kept no, stored 2",
        "again: active ttyIAX5 kept yes, stored 2",
        "keep = no: active ttyIAX5 kept no, stored 0",
        "keep = yes: active ttyIAX5 kept no, stored 2",
        "another device: active ttyIAX6 kept no, stored 2",
        "stopped: success restarts 0 0 nodes",
    } <= set(said), said
    # docs/mgetty.md: what the units forbid, and how to allow it.
    assert {"controlling terminal: EPERM", "controlling terminal with the drop-in: taken, hung up"} <= set(
        said
    ), said


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck")
def test_the_script_is_clean() -> None:
    done = subprocess.run(["shellcheck", TEMPLATE_IN_GUEST], capture_output=True, text=True, check=False)
    assert done.stdout == ""
