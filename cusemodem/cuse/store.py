"""Where descriptors are while the process that serves a device is replaced: systemd's store, or our keeper.

A store keeps two descriptors a device: the channel (``/dev/cuse``) and the record of the port. The device
lives as long as the store has them, whoever dies meanwhile.
"""

from __future__ import annotations

import array
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import trio

from cusemodem.cuse.errors import DeviceError
from cusemodem.cuse.keeper import LIMIT_S, receive_message, send_message

# Starting an interpreter on a busy machine.
KEEPER_TIMEOUT_S = 20.0
_RETRY_S = 0.02
_LISTEN_FDS_START = 3


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Of one device; whoever has this owns them."""

    channel: int
    record: int

    def close(self) -> None:
        """Close both."""
        os.close(self.channel)
        os.close(self.record)


class Place(Protocol):
    """The place of one device in a store, while it is served."""

    kept: Descriptors | None
    """What a predecessor left, ours to close."""

    async def keep(self, descriptors: Descriptors) -> None:
        """Store copies."""

    async def release(self) -> None:
        """The device shall end with us: the store forgets it."""


class Store(Protocol):
    """A store of any kind."""

    def serve(self, name: str) -> AbstractAsyncContextManager[Place]:
        """The place of device ``name``; unless released, it is a successor's afterwards.

        Raises :class:`DeviceError`.
        """


class KeeperPlace:
    """A connection to the keeper; its end is our death, or a wish to be replaced."""

    def __init__(self, name: str, connection: socket.socket, kept: Descriptors | None) -> None:
        self._name = name
        self._connection = connection
        self.kept = kept

    async def keep(self, descriptors: Descriptors) -> None:
        """Give copies to the keeper."""
        await _ask(self._connection, {"keep": self._name}, [descriptors.channel, descriptors.record])

    async def release(self) -> None:
        """Have it close its copies."""
        await _ask(self._connection, {"release": self._name})


class KeeperStore:
    """Our keeper process behind the socket ``path``; started when it does not run."""

    def __init__(self, path: Path, limit_s: float = LIMIT_S) -> None:
        self._path = path
        self._limit_s = limit_s

    @asynccontextmanager
    async def serve(self, name: str) -> AsyncIterator[KeeperPlace]:
        """Connect, and take what a predecessor left. Raises :class:`DeviceError`."""
        try:
            with trio.fail_after(KEEPER_TIMEOUT_S):
                connection, answer, descriptors = await self._begin(name)
        except (OSError, ValueError, trio.TooSlowError) as error:
            raise DeviceError(
                f"/dev/{name}: cannot have a keeper at {self._path} ({error}); make that directory writable, "
                "or do without (keep = 0)"
            ) from error
        with connection:
            if "refused" in answer:
                raise DeviceError(f"/dev/{name}: {answer['refused']} already: stop it first")
            kept = Descriptors(*descriptors) if len(descriptors) == 2 else None
            yield KeeperPlace(name, connection, kept)

    async def _begin(self, name: str) -> tuple[socket.socket, dict[str, object], list[int]]:
        started = False
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
            try:
                connection.connect(str(self._path))
                answer, descriptors = await _ask(connection, {"serve": name})
            except (FileNotFoundError, ConnectionError, BlockingIOError):
                # None there, or one that was just about to end.
                connection.close()
                if not started:
                    await self._start()
                    started = True
                await trio.sleep(_RETRY_S)
            except BaseException:
                connection.close()
                raise
            else:
                return connection, answer, descriptors

    async def _start(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        module = [sys.executable, "-m", "cusemodem.cuse.keeper"]
        # Ends as soon as the keeper has detached itself.
        await trio.run_process(
            [*module, str(self._path), "--limit", str(self._limit_s)],
            stdin=subprocess.DEVNULL,
            capture_stderr=True,
        )


async def _ask(
    connection: socket.socket, message: dict[str, object], descriptors: list[int] | None = None
) -> tuple[dict[str, object], list[int]]:
    send_message(connection, message, descriptors or [])
    await trio.lowlevel.wait_readable(connection.fileno())
    return receive_message(connection)


class SystemdPlace:
    """Two names in the store of our unit."""

    def __init__(self, names: tuple[str, str], copies: dict[str, int]) -> None:
        self._names = names
        self._copies = copies
        found = [copies.pop(name, -1) for name in names]
        self.kept = Descriptors(*found) if min(found) >= 0 else None
        if self.kept is None:
            for descriptor in found:
                if descriptor >= 0:
                    os.close(descriptor)

    async def keep(self, descriptors: Descriptors) -> None:
        """Have systemd store copies; what it has already it does not store twice."""
        for name, descriptor in zip(self._names, (descriptors.channel, descriptors.record), strict=True):
            _notify(f"FDSTORE=1\nFDNAME={name}", [descriptor])
            # systemd gives them back to the next process only; this one may open the device again before.
            self._copies[name] = os.dup(descriptor)

    async def release(self) -> None:
        """Have it close them."""
        for name in self._names:
            _notify(f"FDSTOREREMOVE=1\nFDNAME={name}")
            os.close(self._copies.pop(name))


class SystemdStore:
    """The store of our unit (``FileDescriptorStoreMax=``), two descriptors a device.

    Made once a process, before any device: it takes the descriptors that systemd passes at start.
    """

    def __init__(self) -> None:
        self._copies = _passed_descriptors()

    @staticmethod
    def is_there() -> bool:
        """Whether systemd runs us with a store; before systemd 254 it does not tell, then any is believed."""
        return "NOTIFY_SOCKET" in os.environ and os.environ.get("FDSTORE", "1") != "0"

    @asynccontextmanager
    async def serve(self, name: str) -> AsyncIterator[SystemdPlace]:
        """Take what systemd passed for the device, or what this process left there."""
        yield SystemdPlace((f"channel-{name}", f"record-{name}"), self._copies)

    def forget_others(self) -> None:
        """Close what was passed for devices that are not ours any more."""
        for name, descriptor in self._copies.items():
            _notify(f"FDSTOREREMOVE=1\nFDNAME={name}")
            os.close(descriptor)
        self._copies.clear()


def _passed_descriptors() -> dict[str, int]:
    """By name; those of foreign names are left alone (sd_listen_fds_with_names(3))."""
    passed: dict[str, int] = {}
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        names = os.environ.get("LISTEN_FDNAMES", "").split(":")
        n_descriptors = int(os.environ.get("LISTEN_FDS", "0"))
        for descriptor, name in enumerate(names[:n_descriptors], _LISTEN_FDS_START):
            if name.startswith(("channel-", "record-")):
                os.set_inheritable(descriptor, False)
                passed[name] = descriptor
        for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
            os.environ.pop(variable, None)
    return passed


def _notify(text: str, descriptors: list[int] | None = None) -> None:
    address = os.environ["NOTIFY_SOCKET"]
    if address.startswith("@"):
        address = "\0" + address[1:]
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
        notifier.connect(address)
        notifier.sendmsg([text.encode()], rights)
