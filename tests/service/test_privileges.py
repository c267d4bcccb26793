"""`user` and `group` in [service]: root only where a device is made. Root is needed to see it."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.service.running import RunningService, eventually
from tests.service.terminal import Terminal

REPOSITORY = Path(__file__).parents[2]
REACHABLE_RUN = [
    str(REPOSITORY / "tests" / "bed" / "reachable-run"),
    *(sys.base_prefix, sys.prefix, str(REPOSITORY)),
    "--",
]
NOBODY = pwd.getpwnam("nobody")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to give up")


def _ids(pid: int, what: str) -> list[int]:
    (line,) = (x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith(f"{what}:"))
    return [int(number) for number in line.split()[1:]]


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A directory that is root's, and that everybody gets to: pytest's own are for their owner alone."""
    with TemporaryDirectory(prefix="cusemodem-test-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@needs_root
def test_the_modems_processes_are_the_users(public_path: Path, exchange: int) -> None:
    with RunningService(public_path, exchange, user="nobody") as service:
        service.run_by = REACHABLE_RUN
        service.modem(8)
        service.start()
        (worker,) = service.worker_pids()
        real, effective, _saved, files = _ids(worker, "Uid")
        assert (real, effective, files) == (NOBODY.pw_uid,) * 3
        assert set(_ids(worker, "Gid")) == {NOBODY.pw_gid}
        assert "0000000000000000" in Path(f"/proc/{worker}/status").read_text().split("CapEff:")[1][:20]
        service.modem(9)  # a device that is made after the privileges are gone, in a directory of root's
        os.kill(int((public_path / "pid").read_text()), 1)
        eventually(lambda: service.states() == {"ttyIAX8": "ready", "ttyIAX9": "ready"})
        assert _ids(worker, "Uid")[1] == NOBODY.pw_uid, "and gone again"
        terminal = Terminal(public_path / "ttyIAX9")
        terminal.ask("AT+FCLASS=1")
        terminal.say("ATD107")  # nobody is registered there
        eventually(lambda: service.line("ttyIAX9")["last_call"])
        terminal.close()
        eventually((public_path / "state" / "history.sqlite").exists)
        assert (public_path / "state" / "history.sqlite").stat().st_uid == NOBODY.pw_uid
        assert (public_path / "log" / "ttyIAX9").stat().st_uid == NOBODY.pw_uid
        assert service.stop() == 0
    assert not list(public_path.glob("ttyIAX*")), "root's directory, and the links are gone all the same"
    for sentence in ("cannot log", "cannot keep", "cannot set", "cannot make"):
        assert sentence not in service.log() + service.log("ttyIAX9")


@needs_root
def test_a_program_that_the_user_cannot_read_is_told_at_the_start(public_path: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    service = RunningService(public_path, user="nobody")
    service.modem(8)
    command = "import sys; from cusemodem.cli import main; sys.executable = sys.argv.pop(); sys.exit(main())"
    told = subprocess.run(
        [*REACHABLE_RUN, sys.executable, "-c", command, "--config", str(service.etc), "-F", str(link)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 1
    (sentence,) = told.stderr.splitlines()
    assert sentence.startswith(f"cusemodem: nobody cannot read {link}: ")
