"""`cusemodem import`: a directory of IAXmodem's files becomes ours."""

from __future__ import annotations

import argparse
import os
import pwd
import shlex
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from cusemodem.arguments import Commands, absolute_path, add_command
from cusemodem.config import DEFAULT_DIRECTORY, MODEMS_DIRECTORY, ConfigError, Loaded, load_file, modem_files
from cusemodem.config_import import convert
from cusemodem.config_service import clashes

SERVICE_USER = "cusemodem"
"""Whom the systemd units run the modems as."""


def add(commands: Commands) -> None:
    """The sub-command `import`."""
    parser = add_command(
        commands,
        "import",
        _import,
        "convert a directory of IAXmodem's configuration files",
        f"""\
An unmodified IAXmodem file works as it is; in our form it has room for our own
keys, and mistakes are told. Each file of DIR becomes {DEFAULT_DIRECTORY}/{MODEMS_DIRECTORY}/NAME,
meaning what IAXmodem made of it; every doubtful line is told. Nothing that is
there already is overwritten. Whoever may read a file may read what is made of it;
if the service's user may not, that is told, too.

  cusemodem import /etc/iaxmodem
  cusemodem check""",
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="IAXmodem's, /etc/iaxmodem")
    parser.add_argument(
        "--config",
        metavar="DIR",
        type=absolute_path,
        default=argparse.SUPPRESS,
        help=f"where to: DIR/modems (default {DEFAULT_DIRECTORY})",
    )


def _import(options: argparse.Namespace) -> int:
    files = modem_files(options.directory)
    if not files:
        print(f"cusemodem import: {options.directory}: no configuration there", file=sys.stderr)
        return 1
    to: Path = options.config / MODEMS_DIRECTORY
    status = 0
    written: list[Loaded] = []
    for file in files:
        try:
            imported = convert(file)
            target = to / file.name
            _write(target, imported.text, file)
        except ConfigError as error:
            print(error, file=sys.stderr)
            status = 1
            continue
        except OSError as error:
            reason = (
                "is there already; move it away" if isinstance(error, FileExistsError) else error.strerror
            )
            print(f"cusemodem import: {to / file.name}: {reason}", file=sys.stderr)
            status = 1
            continue
        print(f"{file} -> {target}")
        for doubt in imported.doubts:
            print(doubt, file=sys.stderr)
        try:
            written += load_file(target)
        except ConfigError as error:
            print(error, file=sys.stderr)
            status = 1
    for problem in clashes(written):
        print(problem, file=sys.stderr)
        status = 1
    _tell_unreadable(to, [modem.path for modem in written])
    return status


def _tell_unreadable(to: Path, paths: Sequence[Path]) -> None:
    """What the service would not get to see, and the remedy, if its user is there."""
    try:
        user = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return
    names = sorted({path.name for path in paths if not _may_read(user, path)})
    if names:
        n_names = f"{len(names)} of these files" if len(names) > 1 else names[0]
        remedy = f"cd {shlex.quote(str(to))} && chgrp {user.pw_name} {shlex.join(names)}"
        print(
            f"cusemodem import: the service's user {user.pw_name} may not read {n_names}; "
            f"write `{remedy} && chmod 640 {shlex.join(names)}`",
            file=sys.stderr,
        )


def _may_read(user: pwd.struct_passwd, path: Path) -> bool:
    found = path.stat()
    if user.pw_uid == found.st_uid:
        return bool(found.st_mode & stat.S_IRUSR)
    groups = os.getgrouplist(user.pw_name, user.pw_gid)
    return bool(found.st_mode & (stat.S_IRGRP if found.st_gid in groups else stat.S_IROTH))


def _write(target: Path, text: str, source: Path) -> None:
    """A new file that nobody may read who may not read `source`: there is a secret in it."""
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    kept = source.stat()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), kept.st_mode & 0o640)
        if os.geteuid() == 0:
            os.fchown(file.fileno(), kept.st_uid, kept.st_gid)
