"""The UDP socket under an endpoint: opens it, drains it, flushes it. No protocol here.

`drain` and `flush` never block, so that the 20 ms tick of all lines can call them; a task that has nothing
else to do waits with `wait_readable`.
"""

from __future__ import annotations

import errno
import socket
from types import TracebackType
from typing import Protocol

import trio

from iax.frames import Address

MAX_BATCH = 1000
"""Datagrams read by one `drain`: a flood cannot hold up the tick."""
MAX_DATAGRAM = 4096
RECEIVE_BUFFER = 1 << 20
DSCP_EF = 46
"""Expedited forwarding (RFC 3246), what Asterisk sets with tos=ef."""


class SocketError(Exception):
    """The socket cannot be opened; the text is a sentence with the remedy."""


class DatagramCore(Protocol):
    """What an `Endpoint` and an `Exchange` have in common."""

    def receive(self, datagram: bytes, addr: Address, now: float) -> None:
        """Take a datagram."""

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        """Return what has to go out."""


class Socket:
    """A non-blocking UDP socket. Close it, or use it as a context manager."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.address: Address = sock.getsockname()[:2]
        """The host and port it is bound to."""
        self.send_errors = 0
        """Datagrams that the kernel refused (no route, full buffer); as good as lost on the way."""
        self.receive_errors = 0

    @classmethod
    async def open(cls, host: str = "0.0.0.0", port: int = 0) -> Socket:  # noqa: S104 - a modem's default
        """Bind to HOST (name or address) and PORT (0: any). Raise `SocketError`."""
        return cls(await open_udp(host, port))

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def __enter__(self) -> Socket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def wait_readable(self) -> None:
        """Wait until a datagram is there."""
        await trio.lowlevel.wait_readable(self._socket.fileno())

    def drain(self, core: DatagramCore, now: float) -> int:
        """Give CORE the datagrams that are there, at most `MAX_BATCH`; return how many there were."""
        receive_from, receive = self._socket.recvfrom, core.receive
        for count in range(MAX_BATCH):
            try:
                datagram, addr = receive_from(MAX_DATAGRAM)
            except BlockingIOError:
                return count
            except OSError:  # an ICMP error of something sent before
                self.receive_errors += 1
                continue
            receive(datagram, addr[:2], now)
        return MAX_BATCH

    def flush(self, core: DatagramCore) -> int:
        """Send what CORE has to send; return how many datagrams went out."""
        send_to = self._socket.sendto
        count = 0
        for datagram, addr in core.datagrams_to_send():
            try:
                send_to(datagram, addr)
                count += 1
            except OSError:
                self.send_errors += 1
        return count


async def open_udp(host: str, port: int) -> socket.socket:
    """Return a bound, non-blocking UDP socket with DSCP EF. Raise `SocketError`."""
    try:
        found = await trio.socket.getaddrinfo(
            host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except OSError as error:
        raise SocketError(f"cannot listen on {host}: {error.strerror}; check the host name") from error
    family, kind, protocol, _, addr = found[0]
    sock = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, DSCP_EF << 2)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, DSCP_EF << 2)
        sock.bind(addr)
    except OSError as error:
        sock.close()
        raise SocketError(_bind_error(host, port, error)) from error
    return sock


async def resolve(host: str, port: int) -> Address:
    """Return the numeric address of a server. Raise `SocketError`."""
    try:
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise SocketError(f"cannot find the server {host}: {error.strerror}; check its name") from error
    ipv4 = [entry for entry in found if entry[0] == socket.AF_INET]
    addr = (ipv4 or found)[0][4]
    return str(addr[0]), int(addr[1])


def _bind_error(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"UDP port {port} on {host} is taken by another program; stop it or choose another port"
    if error.errno == errno.EACCES:
        return f"no permission for UDP port {port} on {host}; choose a port above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; write one that is, or 0.0.0.0 for all"
    return f"cannot listen on {host} port {port}: {error.strerror}"
