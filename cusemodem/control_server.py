"""The service's control socket: JSON, one object a line each way, for the service's group only.

Requests: {"get": "status"}: one answer; {"watch": "status"}: the status now and whenever it changes;
{"watch": "reports"}: each call's report as it comes. What is not understood gets {"error": …}. Nothing a
client does can make the service wait: a client that does not read is closed.
"""

from __future__ import annotations

import grp
import json
import os
import selectors
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_CLIENTS = 32
MAX_REQUEST_BYTES = 4096
MAX_WAITING_BYTES = 1 << 21


class ControlError(Exception):
    """The socket cannot be made; one sentence with the remedy."""


@dataclass(eq=False)
class _Client:
    connection: socket.socket
    request: bytearray = field(default_factory=bytearray)
    waiting: bytearray = field(default_factory=bytearray)
    watches: set[str] = field(default_factory=set)


class ControlServer:
    """Serves within a `selectors` loop: register it, call the data of each ready key with its events."""

    def __init__(self, path: Path, group: str, selector: selectors.BaseSelector) -> None:
        self.path = path
        self._selector = selector
        self._clients: list[_Client] = []
        self.status: Callable[[], dict[str, Any]] = dict
        if len(os.fsencode(path)) > 107:
            raise ControlError(f"{path} is too long for a socket; write a shorter `control`")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                if stat.S_ISSOCK(path.lstat().st_mode):
                    path.unlink()  # of a service that was killed; a living one holds the lock
            mask = os.umask(0o117)
            try:
                self._socket.bind(os.fspath(path))
            finally:
                os.umask(mask)
            if group:
                os.chown(path, -1, grp.getgrnam(group).gr_gid)
        except OSError as error:
            self._socket.close()
            raise ControlError(
                f"cannot make the control socket {path}: {error.strerror}; write another `control`"
            ) from error
        self._socket.listen(MAX_CLIENTS)
        self._socket.setblocking(False)
        selector.register(self._socket, selectors.EVENT_READ, self._accept)

    def close(self) -> None:
        """Close all and remove the socket."""
        for client in list(self._clients):
            self._close(client)
        self._selector.unregister(self._socket)
        self._socket.close()
        self.path.unlink(missing_ok=True)

    def publish(self, topic: str, message: dict[str, Any]) -> None:
        """Tell those who watch `topic`."""
        watchers = [client for client in self._clients if topic in client.watches]
        if watchers:
            line = json.dumps(message).encode() + b"\n"
            for client in watchers:
                self._say(client, line)

    def _accept(self, _events: int) -> None:
        with suppress(OSError):
            connection, _ = self._socket.accept()
            connection.setblocking(False)
            if len(self._clients) >= MAX_CLIENTS:
                connection.close()
                return
            client = _Client(connection)
            self._clients.append(client)
            self._selector.register(
                connection, selectors.EVENT_READ, lambda events: self._serve(client, events)
            )

    def _serve(self, client: _Client, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._flush(client)
        if events & selectors.EVENT_READ and client in self._clients:
            self._read(client)

    def _read(self, client: _Client) -> None:
        try:
            data = client.connection.recv(MAX_REQUEST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        client.request += data
        if not data or len(client.request) > MAX_REQUEST_BYTES:
            self._close(client)
            return
        *lines, rest = bytes(client.request).split(b"\n")
        client.request = bytearray(rest)
        for line in lines:
            self._say(client, json.dumps(self._answer(client, line)).encode() + b"\n")

    def _answer(self, client: _Client, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
        except ValueError:
            request = None
        if request in ({"get": "status"}, {"watch": "status"}):
            if "watch" in request:
                client.watches.add("status")
            return self.status()
        if request == {"watch": "reports"}:
            client.watches.add("reports")
            return {"watching": "reports"}
        return {
            "error": 'not understood; send {"get": "status"}, {"watch": "status"} or {"watch": "reports"}'
        }

    def _say(self, client: _Client, data: bytes) -> None:
        client.waiting += data
        if len(client.waiting) > MAX_WAITING_BYTES:
            self._close(client)
        else:
            self._flush(client)

    def _flush(self, client: _Client) -> None:
        try:
            n_sent = client.connection.send(client.waiting) if client.waiting else 0
        except BlockingIOError:
            n_sent = 0
        except OSError:
            self._close(client)
            return
        del client.waiting[:n_sent]
        if client in self._clients:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.waiting else 0)
            self._selector.modify(client.connection, events, self._selector.get_key(client.connection).data)

    def _close(self, client: _Client) -> None:
        if client in self._clients:
            self._clients.remove(client)
            self._selector.unregister(client.connection)
            client.connection.close()
