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

from cusemodem import privileges
from cusemodem.log_files import Ids
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
@pytest.mark.parametrize("what", ["-F", "ttyIAX8"])
def test_a_program_that_the_user_cannot_read_is_told_at_the_start(
    public_path: Path, tmp_path: Path, what: str
) -> None:
    tmp_path.chmod(0o700)
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    service = RunningService(public_path, user="nobody")
    service.modem(8)
    command = "import sys; from cusemodem.cli import main; sys.executable = sys.argv.pop(); sys.exit(main())"
    told = subprocess.run(
        [*REACHABLE_RUN, sys.executable, "-c", command, "--config", str(service.etc), what, str(link)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 1
    (sentence,) = told.stderr.splitlines()
    assert sentence.startswith(f"cusemodem: nobody cannot read {link}: ")


# --- what is given to the user, and what is not -------------------------------------------------------------


@pytest.mark.parametrize(
    "directory", ["/", "/var", "/var/log", "/var/lib", "/run", "/tmp", "/etc/x", "/dev/shm"]
)
def test_the_systems_directories_are_not_given_away(
    directory: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: list[object] = []
    monkeypatch.setattr(os, "chown", lambda path, *_, **__: given.append(path))
    ids = Ids(NOBODY.pw_uid, NOBODY.pw_gid)
    link = tmp_path / "link"
    link.symlink_to(directory)
    for path in (Path(directory), link):
        assert privileges.is_shared(path)
        with pytest.raises(privileges.PrivilegesError, match="is the system's and cannot be nobody's: write"):
            privileges.give(path, ids, privileges.STATE_NAMES)
    privileges.give_place_of_sockets(Path("/run"), ids)
    assert given == []


def test_usual_directories_are_not_the_systems() -> None:
    for name in ("/var/lib/cusemodem", "/var/log/cusemodem", "/run/cusemodem-service", "/srv/fax/log"):
        assert not privileges.is_shared(Path(name))


@needs_root
def test_what_root_left_there_is_given_and_nothing_else(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / "recordings" / "ttyIAX0").mkdir(parents=True)
    for name in ("recordings/ttyIAX0/a.raw", "history.sqlite", "notes.txt"):
        (state / name).write_text("")
    other = tmp_path / "other"
    other.write_text("")
    os.link(other, state / "recordings" / "linked")
    (state / "recordings" / "pointer").symlink_to(other)
    someones = state / "recordings" / "someones"
    someones.write_text("")
    os.chown(someones, 1, 1)
    privileges.give(state, Ids(NOBODY.pw_uid, NOBODY.pw_gid), privileges.STATE_NAMES)
    owners = {str(path.relative_to(tmp_path)): path.lstat().st_uid for path in sorted(tmp_path.rglob("*"))}
    nobodys = {name for name, uid in owners.items() if uid == NOBODY.pw_uid}
    assert nobodys == {
        "state",
        "state/recordings",
        "state/recordings/ttyIAX0",
        "state/recordings/ttyIAX0/a.raw",
        "state/recordings/pointer",
        "state/history.sqlite",
    }
    assert owners["other"] == owners["state/notes.txt"] == 0
    assert owners["state/recordings/someones"] == 1


@needs_root
def test_a_directory_with_other_things_in_it_is_refused(public_path: Path) -> None:
    logs = public_path / "logs"
    logs.mkdir()
    (logs / "syslog").write_text("")
    service = RunningService(public_path, user="nobody", log=logs)
    service.run_by = REACHABLE_RUN
    service.modem(8)
    service.start(ready=False)
    assert service.process is not None
    _, said = service.process.communicate(timeout=60)
    assert service.process.returncode == 1
    assert said.startswith(f"cusemodem: {logs} is root's, and what is in it is not cusemodem's: give it to ")
    assert (logs.stat().st_uid, (logs / "syslog").stat().st_uid) == (0, 0)


@needs_root
def test_the_place_of_the_control_socket_is_given_if_it_is_ours(tmp_path: Path) -> None:
    ids = Ids(NOBODY.pw_uid, NOBODY.pw_gid)
    ours, shared = tmp_path / "ours", tmp_path / "shared"
    for directory, name in ((ours, "lock"), (shared, "other.pid")):
        directory.mkdir()
        (directory / name).write_text("")
    for directory in (ours, shared, tmp_path / "new"):
        privileges.give_place_of_sockets(directory, ids)
    assert {path.name: path.stat().st_uid for path in tmp_path.iterdir()} == {
        "ours": NOBODY.pw_uid,
        "shared": 0,
        "new": NOBODY.pw_uid,
    }
    assert (ours / "lock").stat().st_uid == 0
