"""The UDP sockets of a process, each with its IAX2 endpoint: lines with the same `port` share one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import trio

import iax
import iax.socket
from cusemodem.config import ModemConfig
from cusemodem.iax_trace import TracedEndpoint
from iax.media_table import MediaTable, warm_up

MANY_LINES = 32
"""From so many lines on one port on, their calls' voice moves in batches; with fewer, batches cost more than
they save (on one core of an Intel Xeon they are even at about 24)."""
SEATS_A_LINE = 3
"""Room for calls that are over but not yet forgotten (10 s); a call without a seat works too, only slower."""


@dataclass(eq=False)
class LineSocket:
    """A UDP socket, its endpoint and how many lines use it."""

    key: object
    socket: iax.socket.Socket
    endpoint: iax.Endpoint
    core: iax.socket.DatagramCore
    """The endpoint, or what traces it."""
    n_lines: int = 0
    watch: trio.CancelScope = field(default_factory=trio.CancelScope)
    """Of the task that waits for its datagrams."""


class LineSockets:
    """All sockets of the process. `on_new` is called with each new one, inside the trio loop."""

    def __init__(self, on_new: Callable[[LineSocket], None], n_lines: int = 1, n_first: int = 0) -> None:
        """`n_lines`: how many lines of the process may be in calls at once; `n_first`: of the beginning."""
        self._n_seats = SEATS_A_LINE * n_lines
        if 2 * n_first >= MANY_LINES:  # the rest may come with a reload
            warm_up()  # now, while nobody has a call
        self._on_new = on_new
        self._sockets: dict[object, LineSocket] = {}
        self._opening = trio.Lock()

    def __iter__(self) -> Iterator[LineSocket]:
        return iter(self._sockets.values())

    async def acquire(self, config: ModemConfig) -> LineSocket:
        """The socket for a line; `release` it. Raises SocketError when its port cannot be had."""
        key = _key(config)
        async with self._opening:
            if key not in self._sockets:
                self._sockets[key] = await self._open(key, config)
                self._on_new(self._sockets[key])
            shared = self._sockets[key]
            shared.n_lines += 1
            if shared.n_lines == MANY_LINES and not config.nojitterbuffer and shared.socket.use_batches():
                shared.endpoint.use_table(MediaTable(self._n_seats))
        return shared

    @staticmethod
    async def _open(key: object, config: ModemConfig) -> LineSocket:
        socket = await iax.socket.Socket.open(port=config.port)
        endpoint = iax.Endpoint(
            random.SystemRandom(),
            port=socket.address[1],
            local_address=socket.local_address,
            formats=config.formats,
            new_playout=iax.ArrivalQueue if config.nojitterbuffer else iax.JitterBuffer,
        )
        core = TracedEndpoint(endpoint) if config.iax2debug else endpoint
        return LineSocket(key, socket, endpoint, core)

    def release(self, shared: LineSocket) -> None:
        """A line needs it no more."""
        shared.n_lines -= 1
        if shared.n_lines == 0:
            shared.watch.cancel()
            shared.socket.close()
            del self._sockets[shared.key]

    def drain(self, now: float) -> None:
        """Give every endpoint the datagrams that have come."""
        for shared in self._sockets.values():
            shared.socket.drain(shared.core, now)

    def flush(self) -> None:
        """Send what the endpoints have to send."""
        for shared in self._sockets.values():
            shared.socket.flush(shared.core)

    def next_timer(self) -> float | None:
        """The first time at which some endpoint has something to do."""
        timers = (shared.endpoint.next_timer() for shared in self._sockets.values())
        return min((timer for timer in timers if timer is not None), default=None)


def _key(config: ModemConfig) -> object:
    """Lines with the same key share a socket; port 0, any free one, is each line's own."""
    if config.port == 0:
        return config.name
    return config.port
