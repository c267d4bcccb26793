"""The UDP socket under an endpoint: opens it, drains it, flushes it. No protocol here.

`drain` and `flush` never block, so that the 20 ms tick of all lines can call them; a task that has nothing
else to do waits with `wait_readable`.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - host names need it later, when a process that became another user may not load
import errno
import socket
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import trio

from iax.frames import Address

if TYPE_CHECKING:
    from iax.datagram_batch import Received, Sender
    from iax.voice_batches import Outgoing

MAX_BATCH = 1000
"""Datagrams read by one `drain`: a flood cannot hold up the tick."""
MAX_DATAGRAM = 4096
RECEIVE_BUFFER = 1 << 20
MAPPED = "::ffff:"
"""How a socket for both families writes IPv4 (RFC 4291 §2.5.5.2); nobody else sees it."""
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


@runtime_checkable
class BatchCore(Protocol):
    """What an `Endpoint` knows besides."""

    def receive_batch(self, batch: Received, n: int, now: float) -> None:
        """Take N datagrams."""

    def outgoing(self) -> Outgoing:
        """Return what has to go out."""


class Socket:
    """A non-blocking UDP socket. Close it, or use it as a context manager."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._ipv6 = sock.family == socket.AF_INET6
        self.address: Address = sock.getsockname()[:2]
        """The host and port it is bound to; "::": all, of IPv4 too."""
        self.send_errors = 0
        """Datagrams that the kernel refused (no route, full buffer); as good as lost on the way."""
        self.receive_errors = 0
        self._received: Received | None = None
        self._sender: Sender | None = None

    def use_batches(self) -> bool:
        """Move datagrams of an endpoint with a `MediaTable` many at a time, if this system can; say so."""
        from iax import datagram_batch  # noqa: PLC0415 - needs numba, which others need not have

        if datagram_batch.available() and self._received is None:
            self._received = datagram_batch.Received(ipv6=self._ipv6)
            self._sender = datagram_batch.Sender(ipv6=self._ipv6)
        return self._received is not None

    @classmethod
    async def open(cls, host: str = "", port: int = 0) -> Socket:
        """Bind to HOST (name or address; "": IPv4 and IPv6, as this machine has them) and PORT (0: any).

        Raise `SocketError`.
        """
        return cls(await open_udp(host, port))

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close it; whoever waits for it gets trio.ClosedResourceError."""
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket.fileno())
        self._socket.close()

    def __enter__(self) -> Socket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def wait_readable(self) -> None:
        """Wait until a datagram is there. Raises trio.ClosedResourceError when it is closed."""
        if self._socket.fileno() < 0:
            raise trio.ClosedResourceError("this socket is closed")
        await trio.lowlevel.wait_readable(self._socket.fileno())

    def drain(self, core: DatagramCore, now: float) -> int:
        """Give CORE the datagrams that are there, at most `MAX_BATCH`; return how many there were."""
        if self._received is not None and isinstance(core, BatchCore):
            return self._drain_batches(core, self._received, now)
        receive_from, receive = self._socket.recvfrom, core.receive
        for count in range(MAX_BATCH):
            try:
                datagram, addr = receive_from(MAX_DATAGRAM)
            except BlockingIOError:
                return count
            except OSError:  # an ICMP error of something sent before
                self.receive_errors += 1
                continue
            receive(datagram, address_of(addr), now)
        return MAX_BATCH

    def _drain_batches(self, core: BatchCore, batch: Received, now: float) -> int:
        count = 0
        while count < MAX_BATCH:
            wanted = min(len(batch), MAX_BATCH - count)
            try:
                n = batch.receive(self._socket.fileno(), wanted)
            except BlockingIOError:
                return count
            except OSError:  # an ICMP error of something sent before
                self.receive_errors += 1
                count += 1
                continue
            core.receive_batch(batch, n, now)
            count += n
            if n < wanted:  # there are no more; or an error that the next turn sees
                return count
        return count

    def flush(self, core: DatagramCore) -> int:
        """Send what CORE has to send; return how many datagrams went out."""
        if self._sender is None or not isinstance(core, BatchCore):
            return self._send_singly(core.datagrams_to_send())
        before, voice, after = core.outgoing()
        count = self._send_singly(before)
        if voice is not None:
            n_refused = self._sender.send(self._socket.fileno(), voice)
            self.send_errors += n_refused
            count += len(voice) - n_refused
        return count + self._send_singly(after)

    def _send_singly(self, datagrams: Iterable[tuple[bytes, Address]]) -> int:
        send_to = self._socket.sendto
        count = 0
        for datagram, addr in datagrams:
            try:
                send_to(datagram, self._named(addr))
                count += 1
            except OSError:
                self.send_errors += 1
        return count

    def _named(self, addr: Address) -> Address:
        """Return ADDR as this socket's family writes it."""
        host, port = addr
        return (MAPPED + host, port) if self._ipv6 and ":" not in host else addr

    def local_address(self, server: Address) -> Address | None:
        """Return where datagrams to SERVER leave from; None if there is no way to it."""
        host, port = self.address
        if host not in ("::", "0.0.0.0"):  # noqa: S104
            return self.address
        try:
            with socket.socket(
                socket.AF_INET6 if ":" in server[0] else socket.AF_INET, socket.SOCK_DGRAM
            ) as probe:
                probe.connect(server)  # of UDP: chooses a route, sends nothing
                return str(probe.getsockname()[0]), port
        except OSError:
            return None


def address_of(addr: tuple[Any, ...]) -> Address:
    """Return a socket's address as the endpoint knows it: IPv4 plain, link-local IPv6 with its interface."""
    host, port = addr[:2]
    if host.startswith(MAPPED):
        return host.removeprefix(MAPPED), port
    if len(addr) == 4 and addr[3]:
        return f"{host}%{addr[3]}", port
    return host, port


async def open_udp(host: str, port: int) -> socket.socket:
    """Return a bound, non-blocking UDP socket with DSCP EF. Raise `SocketError`."""
    if not host:
        try:
            return _bound(socket.AF_INET6, ("::", port), "all addresses")
        except _NoSuchFamilyError:  # a kernel without IPv6
            return _bound(socket.AF_INET, ("0.0.0.0", port), "all addresses")  # noqa: S104
    try:
        found = await trio.socket.getaddrinfo(
            host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except (OSError, UnicodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "this can be no name"
        raise SocketError(f"cannot listen on {host}: {said}; check the host name") from error
    family, _, _, _, addr = found[0]
    try:
        return _bound(family, addr, host)
    except _NoSuchFamilyError as error:
        raise SocketError(
            f"cannot listen on {host}: this machine has no IPv6; write an IPv4 address"
        ) from error


class _NoSuchFamilyError(Exception):
    """The kernel knows no such addresses."""


def _bound(family: int, addr: tuple[Any, ...], host: str) -> socket.socket:
    port = int(addr[1])
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    except OSError as error:
        if error.errno != errno.EAFNOSUPPORT:
            raise SocketError(_bind_error(host, port, error)) from error
        raise _NoSuchFamilyError from error
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(addr[0] != "::"))
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, DSCP_EF << 2)
        if family == socket.AF_INET or addr[0] == "::":
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, DSCP_EF << 2)
        sock.bind(addr)
    except OSError as error:
        sock.close()
        raise SocketError(_bind_error(host, port, error)) from error
    return sock


async def resolve(host: str, port: int) -> Address:
    """Return the first of a server's numeric addresses. Raise `SocketError`."""
    return (await resolve_all(host, port))[0]


async def resolve_all(host: str, port: int) -> tuple[Address, ...]:
    """Return a server's numeric addresses, IPv4 first (where chan_iax2 listens). Raise `SocketError`.

    A thread does the asking: the caller's loop goes on meanwhile.
    """
    try:
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: no name at all, such as one of 64 letters
        said = error.strerror if isinstance(error, OSError) else "this can be no name"
        raise SocketError(f"cannot find the server {host}: {said}; check its name") from error
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return tuple(dict.fromkeys(address_of(entry[4]) for entry in found))


def _bind_error(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"UDP port {port} on {host} is taken by another program; stop it or choose another port"
    if error.errno == errno.EACCES:
        return f"no permission for UDP port {port} on {host}; choose a port above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; write one that is, or 0.0.0.0 for all"
    return f"cannot listen on {host} port {port}: {error.strerror}"
