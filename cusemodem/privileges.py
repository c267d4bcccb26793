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
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cusemodem.log_files import Ids

_SETRESUID = {"x86_64": 117, "aarch64": 147, "riscv64": 147}
"""The system call that changes one thread; the C library's function changes all of a process."""

_KEEP = ctypes.c_uint(-1)


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


def give(directory: Path, user: Ids) -> None:
    """Make `directory` if it is not there, and give it and what root has in it to `user`. Raises OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_uid == 0:
        for path in (directory, *directory.rglob("*")):
            with suppress(FileNotFoundError):
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
