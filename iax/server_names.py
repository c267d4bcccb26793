"""Servers by name: found at the start, and again now and then, for names change their meaning.

A look-up is made in a task of its own (and in a thread, see `iax.socket.resolve_all`): no tick ever waits for
one. A server that moves is followed for new calls and for the registration; calls that are up stay.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Sequence

import trio

from iax.auth import PeerConfig
from iax.endpoint import Endpoint
from iax.frames import Address
from iax.registration import Registration
from iax.socket import SocketError, resolve_all

LOOK_AGAIN_S = 300.0
"""While all is well a name is looked up this often."""
TROUBLED_S = 10.0
"""While registering fails, first after this, then after twice as long each time, up to `LOOK_AGAIN_S`."""
WATCH_S = 2.0
"""How often a registration is looked at for trouble."""

Resolver = Callable[[str, int], Awaitable[tuple[Address, ...]]]


class ServerNames:
    """The servers of one peer, the preferred one first, each a host (name or address) and a port."""

    def __init__(self, servers: Sequence[tuple[str, int]], resolve: Resolver = resolve_all) -> None:
        self._servers = tuple(servers)
        self._resolve = resolve
        self._known: dict[tuple[str, int], tuple[Address, ...]] = {}

    async def look_up(self) -> tuple[Address, ...]:
        """Return the addresses of all servers, in order. A name that cannot be found keeps its last meaning.

        Raises `SocketError` if no server has an address.
        """
        failure: SocketError | None = None
        for host, port in self._servers:
            try:
                self._known[host, port] = await self._resolve(host, port)
            except SocketError as error:
                failure = failure or error
        addresses = [address for server in self._servers for address in self._known.get(server, ())]
        if not addresses and failure is not None:
            raise failure
        return tuple(dict.fromkeys(addresses))

    @property
    def fixed(self) -> bool:
        """True if all servers are given by address: there is nothing to look up again."""
        return all(_is_address(host) for host, _ in self._servers)

    async def follow(
        self,
        endpoint: Endpoint,
        peer: PeerConfig,
        registration: Registration | None = None,
        on_change: Callable[[tuple[Address, ...]], None] | None = None,
    ) -> None:
        """Look again for as long as the task lives, and tell ENDPOINT where PEER is.

        ON_CHANGE is told new addresses. Returns at once if the servers are given by address.
        """
        if self.fixed:
            return
        current = (peer.address, *peer.alternatives)
        looked_at = trio.current_time()
        pause_s = TROUBLED_S
        while True:
            await trio.sleep(WATCH_S)
            troubled = registration is not None and bool(registration.last_error)
            if not troubled:
                pause_s = TROUBLED_S
            if trio.current_time() < looked_at + (pause_s if troubled else LOOK_AGAIN_S):
                continue
            try:
                addresses = await self.look_up()
            except SocketError:
                addresses = current
            looked_at = trio.current_time()
            if troubled:
                pause_s = min(2 * pause_s, LOOK_AGAIN_S)
            if addresses != current:
                current = addresses
                endpoint.move_peer(peer, addresses, looked_at)
                if on_change is not None:
                    on_change(addresses)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
