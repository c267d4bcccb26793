"""Runs an `Exchange` on a real UDP port, in trio."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from typing import Protocol

import trio

from iax.auth import Account
from iax.exchange import Exchange
from iax.frames import Address
from iax.impairment import Impairments
from iax.socket import Socket


class TaskStatus(Protocol):
    """Where `serve` reports the address it is bound to (trio's task status)."""

    def started(self, value: Address) -> None:
        """Take the address."""


class _NoStatus:
    def started(self, value: Address) -> None:
        pass


async def serve(
    host: str,
    port: int,
    peers: Iterable[Account],
    impairments: Impairments | None = None,
    *,
    on_notice: Callable[[str], None] | None = None,
    rng: random.Random | None = None,
    task_status: TaskStatus = _NoStatus(),  # noqa: B008 - has no state
) -> None:
    """Run the exchange until cancelled.

    PEERS: see `Account.parse` for "NAME:SECRET[:NUMBER]". ON_NOTICE gets a line about each registration and
    call. TASK_STATUS gets (host, port) once the port is open. Raises `iax.socket.SocketError` if it cannot
    be opened, ValueError if two peers claim the same number.
    """
    exchange = Exchange(peers, rng or random.SystemRandom(), impairments=impairments)
    with await Socket.open(host, port) as socket:
        task_status.started(socket.address)
        while True:
            due = exchange.next_timer()
            with trio.move_on_at(math.inf if due is None else due):
                await socket.wait_readable()
            # forwarded in the same turn as it was read: no tick, no queue, no jitter
            now = trio.current_time()
            socket.drain(exchange, now)
            exchange.handle_timer(now)
            socket.flush(exchange)
            if on_notice is not None:
                for notice in exchange.notices():
                    on_notice(notice)
