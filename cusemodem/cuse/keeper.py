"""The keeper: a small process that holds the descriptors of devices while the modem's process is replaced.

The kernel removes a CUSE device, and kills every open file of it, when the last descriptor of its channel
closes. The keeper has a copy of each, next to the record of the port (``record.py``); a successor asks for
them and goes on. Whatever the host asks in between waits, so the time without a successor is limited: when
``limit_s`` has passed, the keeper closes the descriptors, and callers get ECONNABORTED. With nothing left to
keep and nobody connected it ends.

``python -m cusemodem.cuse.keeper SOCKET [--limit SECONDS]``; ``store.py`` starts it when it is needed and is
its only client. It needs nothing but the standard library, reads no channel, and answers its own user and
root only. Under systemd the service's first process plays its part for the workers, and has systemd hold
copies.

Protocol: a sequenced-packet socket, one connection a served device, one JSON object a message, each answered
by one. The connection stays while the device is served: its end, without ``release``, is the server's death.

=================== ====================================================================
``{"serve": NAME}``   ``{"kept": true}`` with two descriptors (channel, record), ``{"kept":
                    false}`` when there are none, or ``{"refused": why}``
``{"keep": NAME}``    comes with the two descriptors; ``{"kept": true}``
``{"release": NAME}`` they are closed; ``{"kept": false}``
=================== ====================================================================
"""

from __future__ import annotations

import argparse
import array
import fcntl
import json
import logging
import os
import resource
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LIMIT_S = 120.0
# How long an empty keeper waits for its first or next client.
IDLE_S = 10.0
MAX_MESSAGE = 4096
# Devices that may ask at once.
BACKLOG = 4096
# Devices of one keeper.
MAX_KEPT = 4096

CREDENTIALS = struct.Struct("3i")

_log = logging.getLogger("cusemodem.device")

Hook = Callable[[str, int, int], None]


def _nothing(_name: str, _channel: int, _record: int) -> None:
    pass


@dataclass(eq=False, slots=True)
class Kept:
    """The descriptors of one device, and who serves it."""

    channel: int
    record: int
    server: Client | None
    # When they are let go, while nobody serves.
    until: float = 0.0


@dataclass(eq=False, slots=True)
class Client:
    """One connection."""

    socket: socket.socket
    pid: int
    name: str = ""


class Keeper:
    """Serves the clients of one listening socket, out of the loop that ``selector`` is read by.

    Each key of the selector has a function of the events for its data; the loop calls it, and :meth:`expire`
    when :meth:`next_timer` has come. ``on_keep`` and ``on_let_go`` are told of each device that is new here
    or goes, by name and descriptors; an OSError of theirs is logged, and the device kept or let go all the
    same.
    """

    def __init__(
        self,
        listener: socket.socket,
        selector: selectors.BaseSelector,
        limit_s: float = LIMIT_S,
        *,
        on_keep: Hook = _nothing,
        on_let_go: Hook = _nothing,
    ) -> None:
        self._listener = listener
        self._limit_s = limit_s
        self._on_keep, self._on_let_go = on_keep, on_let_go
        self._kept: dict[str, Kept] = {}
        self._serving: dict[str, Client] = {}
        self._selector = selector
        self._selector.register(listener, selectors.EVENT_READ, lambda _events: self._accept())
        self._n_clients = 0
        self._idle_until = time.monotonic() + IDLE_S

    @property
    def idle_until(self) -> float | None:
        """With nothing to keep and nobody there: how long to wait for one more (monotonic clock)."""
        return None if self._kept or self._n_clients else self._idle_until

    def adopt(self, name: str, channel: int, record: int) -> None:
        """Keep the descriptors of a device that nobody serves yet."""
        self._kept[name] = Kept(channel, record, None, time.monotonic() + self._limit_s)

    def next_timer(self) -> float | None:
        """When :meth:`expire` is due (monotonic clock)."""
        return min((kept.until for kept in self._kept.values() if kept.server is None), default=None)

    def expire(self) -> None:
        """Let go what nobody came for."""
        now = time.monotonic()
        for name, kept in list(self._kept.items()):
            if kept.server is None and now >= kept.until:
                self._let_go(name)

    def close_descriptors(self) -> None:
        """Close every copy, and tell nobody: at the end, or in a forked child."""
        for kept in self._kept.values():
            os.close(kept.channel)
            os.close(kept.record)
        self._kept.clear()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        pid, uid, _ = CREDENTIALS.unpack(credentials)
        if uid not in (0, os.geteuid()):
            connection.close()
            return
        connection.setblocking(False)
        client = Client(connection, pid)
        self._selector.register(connection, selectors.EVENT_READ, lambda _events: self._receive(client))
        self._n_clients += 1

    def _receive(self, client: Client) -> None:
        descriptors: list[int] = []
        try:
            message, descriptors = receive_message(client.socket)
            answer, to_send = self._answer(client, message, descriptors)
            descriptors = []  # the keeper's own now
            send_message(client.socket, answer, to_send)
        except (OSError, ValueError):
            # Its end; or nonsense, or it does not read: no client of ours.
            for descriptor in descriptors:
                os.close(descriptor)
            self._gone(client)

    def _answer(
        self, client: Client, message: dict[str, object], descriptors: list[int]
    ) -> tuple[dict[str, object], list[int]]:
        (verb, name), *more = message.items()
        if more or not isinstance(name, str) or not name:
            raise ValueError("not a message of ours")
        kept = self._kept.get(name)
        match verb:
            case "serve" if not descriptors and not client.name:
                other = self._serving.get(name)
                if other is not None:
                    return {"refused": f"process {other.pid} serves it"}, []
                self._serving[name] = client
                client.name = name
                if kept is None:
                    return {"kept": False}, []
                kept.server = client
                return {"kept": True}, [kept.channel, kept.record]
            case "keep" if client.name == name and len(descriptors) == 2 and len(self._kept) < MAX_KEPT:
                if kept is not None:
                    self._let_go(name)
                self._kept[name] = Kept(descriptors[0], descriptors[1], client)
                self._tell(self._on_keep, name, self._kept[name])
                return {"kept": True}, []
            case "release" if client.name == name and not descriptors:
                if kept is not None:
                    self._let_go(name)
                return {"kept": False}, []
            case _:
                raise ValueError("not a message of ours")

    def _gone(self, client: Client) -> None:
        self._selector.unregister(client.socket)
        client.socket.close()
        self._n_clients -= 1
        self._idle_until = time.monotonic() + IDLE_S
        if client.name:
            del self._serving[client.name]
            kept = self._kept.get(client.name)
            if kept is not None:
                kept.server, kept.until = None, time.monotonic() + self._limit_s

    def _let_go(self, name: str) -> None:
        kept = self._kept.pop(name)
        try:
            self._tell(self._on_let_go, name, kept)
        finally:
            os.close(kept.channel)
            os.close(kept.record)
        self._idle_until = time.monotonic() + IDLE_S

    def _tell(self, hook: Hook, name: str, kept: Kept) -> None:
        """The descriptors are ours all the same: a device kept here alone is better than none."""
        try:
            hook(name, kept.channel, kept.record)
        except OSError as error:
            _log.warning(
                "/dev/%s may not outlive a restart of the service: no word to systemd (%s)", name, error
            )


def receive_message(connection: socket.socket) -> tuple[dict[str, object], list[int]]:
    """One message and its descriptors, close-on-exec. Raises OSError at the end, ValueError for nonsense."""
    room = socket.CMSG_SPACE(2 * array.array("i").itemsize)
    data, ancillary, flags, _ = connection.recvmsg(MAX_MESSAGE, room, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    try:
        if not data:
            raise ConnectionResetError("closed")
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise ValueError("too long")
        message = json.loads(data)
        if not isinstance(message, dict) or not message:
            raise ValueError("not an object")
    except (OSError, ValueError):
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return message, list(descriptors)


def send_message(connection: socket.socket, message: dict[str, object], descriptors: list[int]) -> None:
    """Send one message, with descriptors."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    connection.sendmsg([json.dumps(message).encode()], rights)


def listen(path: Path) -> socket.socket | None:
    """The socket at ``path``; None when another keeper has it. A dead one's is replaced."""
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        # Held, by the open descriptor, until this process ends.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(BACKLOG)
    return listener


def main() -> int:
    """Be the keeper of a socket."""
    parser = argparse.ArgumentParser(prog="cusemodem-keeper", description="holds devices between two servers")
    parser.add_argument("socket", type=Path)
    parser.add_argument("--limit", type=float, default=LIMIT_S, metavar="SECONDS")
    arguments = parser.parse_args()
    # The terminal of whoever started it is none of its business; its end has to be asked for.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        listener = listen(arguments.socket)
    except OSError as error:
        print(f"cusemodem-keeper: {arguments.socket}: {error.strerror}", file=sys.stderr)
        return 1
    if listener is None:
        return 0
    if os.fork():
        # Whoever started it waits for this one, and need not for the keeper.
        os._exit(0)
    # For those who ask whose socket it is.
    listener.listen(BACKLOG)
    os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.close(null)
    # Three descriptors a device.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    selector = selectors.DefaultSelector()
    keeper = Keeper(listener, selector, arguments.limit)
    try:
        while True:
            now = time.monotonic()
            idle_until, due = keeper.idle_until, keeper.next_timer()
            if idle_until is not None and now >= idle_until:
                return 0
            times = [when - now for when in (idle_until, due) if when is not None]
            for key, events in selector.select(max(0.0, min(times)) if times else None):
                key.data(events)
            keeper.expire()
    finally:
        with suppress(OSError):
            arguments.socket.unlink()
        keeper.close_descriptors()


if __name__ == "__main__":
    sys.exit(main())
