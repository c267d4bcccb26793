"""`user` and `group` in [service]: root only where a device is made. Root is needed to see it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.service.running import RunningService, eventually
from tests.service.terminal import Terminal

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
