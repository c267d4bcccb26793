"""Whom a device node belongs to: as configured, else as udev's rules say, else as serial ports do."""

from __future__ import annotations

import grp
import logging
import os
from contextlib import suppress
from pathlib import Path

import trio

from cusemodem.config import ModemConfig

UDEV = Path("/run/udev")
UDEV_TIMEOUT_S = 3.0
"""For the rules to be through with a new node; they would overwrite what was set before."""

USUAL_GROUP = "dialout"
USUAL_MODE = 0o660

_log = logging.getLogger("cusemodem.device")


async def set_owner_and_mode(config: ModemConfig, node: Path) -> None:
    """Give a new node away: as configured; where nothing is, udev's rules have the word if it runs."""
    if not udev_runs():
        _set(config, node, _usual_gid(), USUAL_MODE)
    elif config.owner is not None or config.mode is not None:
        await _until_udev_is_through(node)
        _set(config, node, -1, None)


def set_owner_and_mode_of_pty(config: ModemConfig, slave: Path) -> None:
    """Give a new pty away: as configured, else as serial ports are, where we may."""
    owner = config.owner
    uid, gid = (-1, _usual_gid()) if owner is None else (owner.uid, owner.gid)
    try:
        # First the group: a mode for one that is not ours would let in others.
        os.chown(slave, uid, gid)
        slave.chmod(USUAL_MODE if config.mode is None else config.mode)
    except OSError as error:
        if owner is None and config.mode is not None:
            with suppress(OSError):
                slave.chmod(config.mode)
                return
        if owner is not None or config.mode is not None:
            _log.warning(
                "cannot set owner and mode of %s (%s), only root may: leave out `owner`, or start as root",
                slave,
                error.strerror,
                extra={"line": config.name},
            )


def _set(config: ModemConfig, node: Path, usual_gid: int, usual_mode: int | None) -> None:
    owner = config.owner
    uid, gid = (-1, usual_gid) if owner is None else (owner.uid, owner.gid)
    mode = usual_mode if config.mode is None else config.mode
    try:
        os.chown(node, uid, gid)
        if mode is not None:
            node.chmod(mode)
    except OSError as error:
        whom = "" if owner is None else f'OWNER="{owner.user}", GROUP="{owner.group}", '
        wanted = f'{whom}MODE="{USUAL_MODE if mode is None else mode:04o}"'
        _log.warning(
            "cannot set owner and mode of %s (%s), only root may: have udev do it, with %s in its rule "
            "(60-cusemodem.rules)",
            node,
            error.strerror,
            wanted,
            extra={"line": config.name},
        )


def udev_runs() -> bool:
    """Whether there is an udev that looks at new devices."""
    return (UDEV / "control").exists()


async def _until_udev_is_through(node: Path) -> None:
    with trio.move_on_after(UDEV_TIMEOUT_S):
        while not _udev_is_through(node):  # noqa: ASYNC110 - a file of another program has no bell
            await trio.sleep(0.02)


def _udev_is_through(node: Path) -> bool:
    """udev writes its data of a device when it has given it owner, mode and links."""
    number = node.stat().st_rdev
    return (UDEV / "data" / f"c{os.major(number)}:{os.minor(number)}").exists()


def _usual_gid() -> int:
    try:
        return grp.getgrnam(USUAL_GROUP).gr_gid
    except KeyError:
        return -1
