"""Where descriptors are while the process that serves a device is replaced: the keeper's hands, or systemd's.

A store keeps two descriptors a device: the channel (``/dev/cuse``) and the record of the port. The device
lives as long as the store has them, whoever dies meanwhile.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import trio

from cusemodem.cuse.errors import DeviceError
from cusemodem.cuse.keeper import CREDENTIALS, LIMIT_S, receive_message, send_message
from cusemodem.cuse.one_task import one_task

# Starting an interpreter on a busy machine.
KEEPER_TIMEOUT_S = 20.0
# A predecessor that is just about to end may still be there for so long.
PREDECESSOR_TIMEOUT_S = 5.0
# How often we look whether the keeper lives.
GUARD_INTERVAL_S = 5.0
_RETRY_S = 0.02

_log = logging.getLogger("cusemodem.device")


class StoreError(DeviceError):
    """There is no store to be had: the device can be served, but would not outlive its process."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Of one device; whoever has this owns them."""

    channel: int
    record: int

    def copy(self) -> Descriptors:
        """Copies of both."""
        return Descriptors(os.dup(self.channel), os.dup(self.record))

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

        Raises :class:`StoreError`; :class:`DeviceError` when another process serves the device.
        """

    async def forget(self, name: str) -> bool:
        """Let go of what a predecessor left of device ``name``, which shall not outlive its process any more;
        whether there was anything. Raises as :meth:`serve` does.
        """


async def forget(place: Place) -> bool:
    """What a predecessor left there ends, and the store's copies with it; whether there was anything."""
    if place.kept is None:
        return False
    place.kept.close()
    await place.release()
    return True


class KeeperPlace:
    """A connection to the keeper; its end is our death, or a wish to be replaced."""

    def __init__(self, name: str, connection: socket.socket, kept: Descriptors | None) -> None:
        self._name = name
        self._connection = connection
        # What the keeper has copies of; owned by who serves.
        self._descriptors = kept
        self.kept = kept

    async def keep(self, descriptors: Descriptors) -> None:
        """Give copies to the keeper. Raises :class:`StoreError`."""
        self._descriptors = descriptors
        try:
            await _ask(self._connection, {"keep": self._name}, [descriptors.channel, descriptors.record])
        except (OSError, ValueError) as error:
            raise StoreError(f"/dev/{self._name}: the keeper did not take it ({error})") from error

    async def release(self) -> None:
        """Have it close its copies; one that is gone has none."""
        try:
            await _ask(self._connection, {"release": self._name})
        except (OSError, ValueError):
            return

    @property
    def is_lost(self) -> bool:
        """Whether the keeper has died."""
        try:
            return not self._connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    async def move(self, connection: socket.socket) -> None:
        """To another keeper. Raises :class:`StoreError`."""
        self._connection.close()
        self._connection = connection
        if self._descriptors is not None:
            await self.keep(self._descriptors)

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


class KeeperStore:
    """The keeper behind the socket ``path``; a process of its own is started when there is none."""

    def __init__(self, path: Path, limit_s: float = LIMIT_S) -> None:
        self._path = path
        self._limit_s = limit_s
        self._starting = trio.Lock()

    @asynccontextmanager
    async def serve(self, name: str) -> AsyncIterator[KeeperPlace]:
        """Connect, and take what a predecessor left. A keeper that dies is replaced."""
        connection, kept = await self._connect(name)
        with closing(KeeperPlace(name, connection, kept)) as place:
            async with one_task(partial(self._guard, name, place)):
                yield place

    async def forget(self, name: str) -> bool:
        """Have the keeper let go of a device, if there is a keeper."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as probe:
            if probe.connect_ex(str(self._path)) not in (0, errno.EAGAIN):
                return False
        async with self.serve(name) as place:
            return await forget(place)

    async def _guard(self, name: str, place: KeeperPlace) -> None:
        is_told = False
        while True:
            await trio.sleep(GUARD_INTERVAL_S)
            if place.is_lost:
                try:
                    connection, kept = await self._connect(name)
                    if kept is not None:
                        kept.close()
                    await place.move(connection)
                except DeviceError as error:
                    if not is_told:
                        _log.warning("%s", error)
                    is_told = True
                else:
                    is_told = False
                    _log.warning("/dev/%s: its keeper has died; another one has it now", name)

    async def _connect(self, name: str) -> tuple[socket.socket, Descriptors | None]:
        """A connection to the keeper, and what it kept."""
        try:
            with trio.fail_after(KEEPER_TIMEOUT_S):
                connection, answer, descriptors = await self._begin(name)
        except (OSError, ValueError, trio.TooSlowError, subprocess.CalledProcessError) as error:
            raise StoreError(
                f"/dev/{name} will not outlive this process: no keeper at {self._path} ({error}); "
                "make that directory writable, or write keep = no"
            ) from error
        if "refused" in answer:
            connection.close()
            raise DeviceError(f"/dev/{name}: {answer['refused']} already: stop it first")
        return connection, Descriptors(*descriptors) if len(descriptors) == 2 else None

    async def _begin(self, name: str) -> tuple[socket.socket, dict[str, object], list[int]]:
        patient_until = trio.current_time() + PREDECESSOR_TIMEOUT_S
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
            try:
                connection.connect(str(self._path))
                _require_own(connection)
                answer, descriptors = await _ask(connection, {"serve": name})
            except BlockingIOError:
                # Many ask it at once.
                connection.close()
            except (FileNotFoundError, ConnectionError):
                # None there, or one that was just about to end.
                connection.close()
                await self._start()
            except BaseException:
                connection.close()
                raise
            else:
                if "refused" not in answer or trio.current_time() >= patient_until:
                    return connection, answer, descriptors
                connection.close()
            await trio.sleep(_RETRY_S)

    async def _start(self) -> None:
        """Start a keeper, unless another device of this process has done so meanwhile."""
        async with self._starting:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as probe:
                if probe.connect_ex(str(self._path)) in (0, errno.EAGAIN):
                    return
            await self._run_keeper()

    async def _run_keeper(self) -> None:
        self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        module = [sys.executable, "-m", "cusemodem.cuse.keeper"]
        # Ends as soon as the keeper has detached itself.
        await trio.run_process(
            [*module, str(self._path), "--limit", str(self._limit_s)],
            stdin=subprocess.DEVNULL,
            capture_stdout=True,
            capture_stderr=True,
        )


def _require_own(connection: socket.socket) -> None:
    """Whoever serves the socket gets our devices: it has to be ours."""
    _, uid, _ = CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    )
    # A process that is root for a moment has a keeper of its own user.
    if uid not in (0, os.geteuid(), os.getuid()):
        raise ValueError(f"the socket is user {uid}'s")


async def _ask(
    connection: socket.socket, message: dict[str, object], descriptors: list[int] | None = None
) -> tuple[dict[str, object], list[int]]:
    send_message(connection, message, descriptors or [])
    await trio.lowlevel.wait_readable(connection.fileno())
    return receive_message(connection)
