"""What is shipped for systemd and classic init: hardened as far as numba and CUSE allow, and working."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bed.guest import BED, Guest
from tests.service.running import RunningService, eventually

ROOT = Path(__file__).parent.parent.parent
UNITS = [ROOT / "systemd" / "cusemodem.service", ROOT / "systemd" / "cusemodem@.service"]
MAX_EXPOSURE = 1.5

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_exposure(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=yes", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (exposure,) = re.findall(r"Overall exposure level for .*: ([0-9.]+)", done.stdout)
    assert float(exposure) <= MAX_EXPOSURE


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_what_would_break_it_is_not_there(unit: Path) -> None:
    settings = [line for line in unit.read_text().splitlines() if line and not line.startswith(("#", "["))]
    assert not any(line.startswith(("MemoryDenyWriteExecute", "PrivateDevices")) for line in settings)
    assert "DeviceAllow=/dev/cuse rw" in settings
    assert "CapabilityBoundingSet=" in settings


def test_the_init_script(tmp_path: Path) -> None:
    with RunningService(tmp_path) as service:
        service.modem(0)
        program = tmp_path / "cusemodem"
        code = "import sys; from cusemodem.cli import main; sys.exit(main())"
        program.write_text(f"#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -c '{code}' \"$@\"\n")
        program.chmod(0o755)
        environment = service.environment | {
            "DAEMON": str(program),
            "CONFIG": str(service.etc),
            "PIDFILE": str(tmp_path / "pid"),
        }

        def script(word: str) -> subprocess.CompletedProcess[str]:
            command = [str(ROOT / "init" / "cusemodem"), word]
            return subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=120, check=False
            )

        assert script("status").returncode == 3
        assert script("reload").returncode == 1
        try:
            assert script("start").returncode == 0
            pid = int((tmp_path / "pid").read_text())
            shown = script("status")
            assert (shown.returncode, f"(process {pid})" in shown.stdout) == (0, True)
            service.modem(1)
            assert script("reload").returncode == 0
            eventually(lambda: service.states() == {"ttyIAX0": "ready", "ttyIAX1": "ready"})
            assert script("start").stdout == "cusemodem is running already\n"
        finally:
            assert script("stop").returncode == 0
        assert not (tmp_path / "ttyIAX0").exists()
        assert script("nonsense").returncode == 2


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck")
def test_the_scripts_are_clean() -> None:
    scripts = [ROOT / "init" / "cusemodem", ROOT / "tests" / "service" / "in_guest.sh"]
    done = subprocess.run(["shellcheck", *map(str, scripts)], capture_output=True, text=True, check=False)
    assert done.stdout == ""


@pytest.mark.kernel
@pytest.mark.slow
def test_with_systemd_and_cuse_in_a_guest(uml: Guest) -> None:
    subprocess.run([str(BED / "guest-packages"), "fetch"], check=True)
    script = ROOT / "tests" / "service" / "in_guest.sh"
    command = uml.command([script, str(ROOT), sys.executable], timeout_s=600)
    command.insert(command.index("--"), "--systemd")
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    said = done.stdout.splitlines()
    assert said[-1:] == ["all done"], done.stdout + done.stderr
    assert any(line.startswith("active: active 2 modems, ") for line in said)
    assert {"node: ttyIAX0", "node: ttyIAX1", "after reload: ttyIAX0 ttyIAX2"} <= set(said)
    assert "user: cusemodem capabilities: 0000000000000000" in said
    assert "nice: -10" in said
    assert any(line.startswith("status file: ready, registered: no") for line in said), said
    assert "clock set: active, restarts 0, 2 ready" in said, "400 days ahead: every timer is monotonic"
    assert "metrics: 2" in said, "every user may read them"
    assert "template: active ttyIAX5 cusemodem" in said
    assert "template stopped: success 0 nodes" in said
    assert "status unit: inactive mounts 0" in said, "it goes with the service"
    assert any(line.startswith("after kill -9: active") for line in said)
    # udev's rules: the service's group may make devices, and ModemManager keeps away.
    assert {"cuse: cusemodem 660", "udev: uucp dialout 660 /dev/ttyIAX0", "device unit: active"} <= set(said)
    properties = (
        "ID_MM_DEVICE_IGNORE=1 ID_MM_PORT_IGNORE=1 ID_SERIAL=cusemodem_ttyIAX0 ID_SERIAL_SHORT=ttyIAX0"
    )
    assert any(line.startswith(f"properties: {properties} TAGS=:systemd:") for line in said), said
    # systemd keeps the ports: an open file outlives the processes, and so do the node and its unit.
    for occasion in ("kill -9 of the service", "systemctl restart", "kill -9 of the worker"):
        assert f"program after {occasion}: works" in said, said
    assert {"node: the same all the time", "device unit: active since before"} <= set(said)
    # Debian's own faxgetty unit, as it is: starts by the README's commands, goes and comes with its port.
    assert "module at boot: 1" in said
    debians = "faxgetty by the README: active Running and idle (/lib/systemd/system/faxgetty@.service)"
    came = "faxgetty of the port that came: active"
    assert {debians, "faxgetty of the port that went: gone", came} <= set(said), said
    again = {"faxgetty after stop: gone", "faxgetty after the next start: active"}
    assert {"faxgetty: the same all the time", *again} <= set(said), said
    dropin = {"unit with our drop-in: active", "unit with our drop-in, after stop: gone"}
    assert dropin <= set(said), said
    assert "template after kill -9: the same node" in said
    assert said.count("stored: 4") == 2, "two descriptors a port, and no more after restarts"
    assert "stopped: success 0 nodes" in said
