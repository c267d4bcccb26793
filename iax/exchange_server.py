"""Runs an `Exchange` on a real UDP port, in trio."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import trio

from iax.auth import Account
from iax.exchange import Exchange
from iax.formats import ALL_FORMATS, Format
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
    demand_call_token: bool = True,
    formats: Sequence[Format] = ALL_FORMATS,
    on_notice: Callable[[str], None] | None = None,
    rng: random.Random | None = None,
    task_status: TaskStatus = _NoStatus(),  # noqa: B008 - has no state
) -> None:
    """Run the exchange until cancelled.

    PEERS: see `Account.parse` for "NAME:SECRET[:NUMBER]". DEMAND_CALL_TOKEN: False for clients that know
    none, such as iaxmodem 1.2. FORMATS: the voice formats allowed, the preferred one first. ON_NOTICE gets a
    line about each registration and call. TASK_STATUS gets (host, port) once the port is open. Raises
    `iax.socket.SocketError` if it cannot be opened, ValueError if two peers claim the same number.
    """
    accounts = tuple(peers)
    with await Socket.open(host, port) as socket:
        exchange = Exchange(
            accounts,
            rng or random.SystemRandom(),
            impairments=impairments,
            demand_call_token=demand_call_token,
            formats=formats,
            port=socket.address[1],
        )
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
