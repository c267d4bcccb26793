"""Root only for the moments that need it, where no init system takes it away: the keys `user` and `group`.

A process that has been dropped belongs to the user, in files, sockets and recordings. It is root again, in
this thread alone, while a device is made or removed: as IAXmodem does it, and no more than that, for whoever
takes over such a process can be root again too. Under systemd the units do better: nobody is root there.
"""

from __future__ import annotations

import ctypes
import os
import platform
import pwd
import stat
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cusemodem.log_files import Ids

_SETRESUID = {"x86_64": 117, "aarch64": 147, "riscv64": 147}
"""The system call that changes one thread; the C library's function changes all of a process."""

STATE_NAMES = ("recordings", "profiles", "history")
"""What is in the state directory, up to the first dot."""
SOCKET_NAMES = ("control", "lock", "keeper")
"""What is beside the control socket."""

SHARED_DIRECTORIES = frozenset(
    f"{top}/{name}"
    for top, names in (
        ("/var", "cache lib lock log mail run spool tmp"),
        ("/run", "lock shm systemd user"),
        ("/usr", "bin include lib lib32 lib64 libexec local sbin share src"),
    )
    for name in names.split()
)
SYSTEM_TREES = frozenset("/bin /boot /dev /etc /lib /lib64 /proc /sbin /sys".split())

_KEEP = ctypes.c_uint(-1)


class PrivilegesError(Exception):
    """The modems cannot be another user's as it stands; one sentence with the remedy."""


class _Dropped:
    user: Ids | None = None
    n_regained = 0


def drop(user: Ids) -> None:
    """Become `user`, for this process and what it starts. Raises OSError when that is not allowed."""
    os.setgroups(os.getgrouplist(_name_of(user.uid), user.gid))
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, 0)
    _Dropped.user = user


def out_of_reach(user: Ids, paths: Iterable[Path]) -> Path | None:
    """The first of `paths` that `user` cannot read; asked in a child, which is the user for good."""
    paths = list(paths)
    child = os.fork()
    if child == 0:
        found = 255
        try:
            drop(user)
            hidden = [n for n, path in enumerate(paths) if not os.access(path, os.R_OK, effective_ids=True)]
            found = min(hidden, default=255)
        finally:
            os._exit(found)
    found = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return paths[found] if 0 <= found < len(paths) else None


@contextmanager
def as_root() -> Iterator[None]:
    """Be root in this thread, if this process has been: to make a device. May be nested."""
    user = _Dropped.user
    if user is None:
        yield
        return
    _Dropped.n_regained += 1
    _set_effective(0)
    try:
        yield
    finally:
        _Dropped.n_regained -= 1
        if not _Dropped.n_regained:
            _set_effective(user.uid)


def must_read_program(user: Ids) -> None:
    """Raises PrivilegesError when `user` cannot read Python or this program: modules are loaded when they are
    first needed, and then it is too late to be told."""
    hidden = out_of_reach(user, (Path(os.__file__), Path(sys.executable), Path(__file__)))
    if hidden is not None:
        raise PrivilegesError(
            f"{_name_of(user.uid)} cannot read {hidden}: have Python and cusemodem where everybody gets to, "
            "as in /opt, or leave out `user` in [service]"
        )


def give(directory: Path, user: Ids, names: Collection[str]) -> None:
    """Make `directory` if it is not there, and give it to `user`, with what root has in it by one of `names`
    (which count up to a first dot).

    Raises PrivilegesError for a directory of root's that others have their things in, and where giving fails.
    """
    whom = _name_of(user.uid)
    try:
        if not directory.exists():
            _refuse_shared(directory, whom)
            directory.mkdir(mode=0o700, parents=True)
            os.chown(directory, *user)
            return
        if directory.stat().st_uid != 0:
            return  # somebody has decided
        _refuse_shared(directory, whom)
        entries = list(directory.iterdir())
        ours = [entry for entry in entries if entry.name.partition(".")[0] in names]
        if entries and not ours:
            raise PrivilegesError(
                f"{directory} is root's, and what is in it is not cusemodem's: give it to {whom} by hand, or "
                "write another directory in [service]"
            )
        for entry in ours:
            _give_tree(entry, user)
        os.chown(directory, *user)
    except OSError as error:
        raise PrivilegesError(
            f"cannot give {whom} what it needs: {error}; see `user` in [service]"
        ) from error


def give_place_of_sockets(directory: Path, user: Ids, control: str = "control") -> None:
    """Make `directory` if it is not there; one that we made, now or earlier, is `user`'s. Raises
    PrivilegesError where that fails."""
    try:
        if not directory.exists():
            directory.mkdir(mode=0o755, parents=True)
        elif (
            directory.stat().st_uid != 0
            or is_shared(directory)
            or not all(entry.name in (control, *SOCKET_NAMES) for entry in directory.iterdir())
        ):
            return
        os.chown(directory, *user)
    except OSError as error:
        whom = _name_of(user.uid)
        raise PrivilegesError(
            f"cannot give {whom} what it needs: {error}; see `user` in [service]"
        ) from error


def is_shared(directory: Path) -> bool:
    """Whether it is the system's, or holds what is others'; links are followed."""
    real = directory.resolve()
    top = "/".join(("", *real.parts[1:2]))
    return len(real.parts) <= 2 or top in SYSTEM_TREES or str(real) in SHARED_DIRECTORIES


def _refuse_shared(directory: Path, whom: str) -> None:
    if is_shared(directory):
        raise PrivilegesError(
            f"{directory} is the system's and cannot be {whom}'s: write a directory of cusemodem's own, "
            f"such as {directory / 'cusemodem'}, in [service]"
        )


def _give_tree(top: Path, user: Ids) -> None:
    """What is root's from `top` on. A file with several names may be another one's, and is left alone."""
    for path in (top, *(top.rglob("*") if top.is_dir() and not top.is_symlink() else ())):
        with suppress(FileNotFoundError):
            found = path.lstat()
            if found.st_uid == 0 and (stat.S_ISDIR(found.st_mode) or found.st_nlink == 1):
                os.chown(path, *user, follow_symlinks=False)


def _set_effective(uid: int) -> None:
    number = _SETRESUID.get(platform.machine())
    if number is None:
        os.setresuid(-1, uid, -1)
        return
    library = ctypes.CDLL(None, use_errno=True)
    if library.syscall(number, _KEEP, ctypes.c_uint(uid), _KEEP):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""
