"""systemd's store of descriptors (``FileDescriptorStoreMax=``): it has them while our whole unit restarts.

Both descriptors of a device go there under one name, in one message, so that there is never half of it. When
the unit is stopped, systemd closes them, and the device is gone; when it is restarted, or was killed, they
come back as descriptors 3, 4, … (sd_listen_fds_with_names(3)).
"""

from __future__ import annotations

import array
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from cusemodem.cuse.store import Descriptors, StoreError, forget

_LISTEN_FDS_START = 3
_PREFIX = "port-"

_log = logging.getLogger("cusemodem.device")


def has_store() -> bool:
    """Whether systemd runs us with a store; before systemd 254 it does not tell, then any is believed."""
    return "NOTIFY_SOCKET" in os.environ and os.environ.get("FDSTORE", "1") != "0"


def put(name: str, channel: int, record: int) -> None:
    """Have systemd store copies of a device's descriptors. For the main process of the unit."""
    _notify(f"FDSTORE=1\nFDNAME={_PREFIX}{name}", [channel, record])


def remove(name: str, _channel: int = -1, _record: int = -1) -> None:
    """Have systemd close what it has of a device."""
    _notify(f"FDSTOREREMOVE=1\nFDNAME={_PREFIX}{name}")


def drop(name: str) -> None:
    """As :func:`remove`, but a systemd that does not listen is logged: it closes its copies with the unit."""
    try:
        remove(name)
    except OSError as error:
        _log.warning("/dev/%s: systemd was not told to let it go (%s)", name, error.strerror)


def take_passed(devices: Collection[str] | None = None) -> dict[str, Descriptors]:
    """What systemd passed at our start, by device; the caller's to close.

    Half a device is let go, and so is any that is not among ``devices``: nobody would serve it, and programs
    would wait in vain.
    """
    channels: dict[str, int] = {}
    records: dict[str, int] = {}
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        names = os.environ.get("LISTEN_FDNAMES", "").split(":")
        n_descriptors = int(os.environ.get("LISTEN_FDS", "0"))
        for descriptor, name in enumerate(names[:n_descriptors], _LISTEN_FDS_START):
            if name.startswith(_PREFIX):
                os.set_inheritable(descriptor, False)
                is_channel = stat.S_ISCHR(os.fstat(descriptor).st_mode)
                (channels if is_channel else records)[name.removeprefix(_PREFIX)] = descriptor
    for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(variable, None)
    for name in channels.keys() ^ records.keys():
        os.close((channels if name in channels else records).pop(name))
        drop(name)
    passed = {name: Descriptors(channel, records[name]) for name, channel in channels.items()}
    for name in passed.keys() - set(passed if devices is None else devices):
        _log.info("/dev/%s, which systemd kept, is no modem's any more", name)
        passed.pop(name).close()
        drop(name)
    return passed


class SystemdStore:
    """The store for a unit of one process, which keeps copies too: systemd gives its own to the next process
    only, and this one may close a device and open it again."""

    def __init__(self, name: str) -> None:
        """For the unit whose one device is ``name``."""
        self._copies = take_passed([name])

    @asynccontextmanager
    async def serve(self, name: str) -> AsyncIterator[SystemdPlace]:
        """Take what systemd passed for the device, or what this process left there."""
        yield SystemdPlace(name, self._copies)

    async def forget(self, name: str) -> bool:
        """Have systemd close what it has, and this process too."""
        return await forget(SystemdPlace(name, self._copies))


class SystemdPlace:
    """One name in the store."""

    def __init__(self, name: str, copies: dict[str, Descriptors]) -> None:
        self._name = name
        self._copies = copies
        self.kept = copies[name].copy() if name in copies else None

    async def keep(self, descriptors: Descriptors) -> None:
        """Have systemd store copies. Raises :class:`StoreError`."""
        try:
            put(self._name, descriptors.channel, descriptors.record)
        except OSError as error:
            raise StoreError(
                f"/dev/{self._name} will not outlive this process: systemd did not take it ({error.strerror})"
            ) from error
        self._copies[self._name] = descriptors.copy()

    async def release(self) -> None:
        """Have it close them."""
        drop(self._name)
        if self._name in self._copies:
            self._copies.pop(self._name).close()


def _notify(text: str, descriptors: list[int] | None = None) -> None:
    address = os.environ["NOTIFY_SOCKET"]
    if address.startswith("@"):
        address = "\0" + address[1:]
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
        notifier.connect(address)
        notifier.sendmsg([text.encode()], rights)
