"""A telephone network in one process: modems, the loopback exchange and fax programs under a virtual clock.

Nothing sleeps and nothing is mocked between the program's bytes and the exchange: port, AT engine, DSP,
G.711, jitter buffer and IAX2 frames are the product's own. Only the kernel, the sockets and the clock are
replaced, by method calls, lists of datagrams and `now`.
"""

from __future__ import annotations

import collections
import heapq
import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import iax
from cusemodem.at.engine import Engine
from cusemodem.cuse.modem_lines import TIOCM_DTR, TIOCM_RTS
from cusemodem.cuse.port import Port
from cusemodem.line import Line, LineOptions
from cusemodem.lines import Lines
from cusemodem.tick import BLOCK_S
from iax.exchange import Exchange
from iax.media_table import MediaTable
from tests.host.class1 import Class1Program

EXCHANGE = ("127.0.0.1", 4569)


@dataclass
class Station:
    """One modem with its own process-like surroundings, and the fax program on its port."""

    name: str
    number: str
    address: tuple[str, int]
    port: Port
    lines: Lines
    line: Line
    program: Class1Program | None = None
    heard: bytearray = field(default_factory=bytearray)
    "everything the modem said to its program"


class World:
    """`n` modems registered with one exchange. `step()` is 20 ms of everybody's time."""

    def __init__(
        self,
        n: int = 2,
        *,
        seed: int = 1,
        delay_s: Callable[[random.Random], float | None] = lambda _rng: 0.002,
        formats: tuple[iax.Format, ...] = (iax.Format.ULAW,),
        reliable_voice: bool = False,
    ) -> None:
        self.now = 1000.0
        self._rng = random.Random(seed)
        self._delay_s = delay_s
        self._reliable_voice = reliable_voice
        self._order = itertools.count()
        self.recent: collections.deque[bytes] = collections.deque(maxlen=200)
        "the last datagrams sent, for tests that mangle them"
        self._in_flight: list[tuple[float, int, bytes, tuple[str, int], tuple[str, int]]] = []
        names = [f"modem{i}" for i in range(n)]
        accounts = [iax.Account(name, f"secret-{name}", f"{100 * (i + 1)}") for i, name in enumerate(names)]
        self.exchange = Exchange(accounts, random.Random(seed + 1))
        self.stations = [self._station(i, account, formats) for i, account in enumerate(accounts)]

    def _station(self, i: int, account: iax.Account, formats: tuple[iax.Format, ...]) -> Station:
        endpoint = iax.Endpoint(
            random.Random(self._rng.random()),
            accept_from=[EXCHANGE[0]],
            media=MediaTable(4) if i % 2 else None,  # batches here, single blocks there
        )
        lines = Lines(endpoint, 1)
        port = Port()
        config = iax.PeerConfig(
            EXCHANGE, account.name, account.secret, 60, reliable_voice=self._reliable_voice
        )
        line = lines.add(
            account.name,
            port,
            Engine(),
            config,
            LineOptions(account.number, f"Caller {i}", formats, lambda: time.gmtime(0)),
        )
        endpoint.register(config, self.now)
        return Station(account.name, account.number, ("127.0.0.1", 5001 + i), port, lines, line)

    # --- time ---------------------------------------------------------------------------------------------

    def step(self) -> None:
        """20 ms for everyone: datagrams, ticks, programs."""
        self.now += BLOCK_S
        self._deliver()
        for station in self.stations:
            station.lines.step(self.now)
            self._run_program(station)
            self._collect(station.lines.endpoint, station.address)
        self._deliver()

    def run(self, duration_s: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Step for `duration_s`, or until `until()`; True when it came true."""
        for _ in range(round(duration_s / BLOCK_S)):
            if until():
                return True
            self.step()
        return until()

    def _run_program(self, station: Station) -> None:
        said = self._read(station)
        program = station.program
        if program is None:
            return
        program.receive(said, self.now)
        while (room := station.port.to_modem.room) > 0 and (data := program.take_output(room)):
            station.port.put_output(data)
            station.line.service_port(self.now)
            if answer := self._read(station):
                program.receive(answer, self.now)

    def _read(self, station: Station) -> bytes:
        said = station.port.to_host.take(1 << 16)
        station.heard += said
        return said

    # --- the network --------------------------------------------------------------------------------------

    def _collect(self, sender: iax.Endpoint | Exchange, source: tuple[str, int]) -> None:
        for datagram, destination in sender.datagrams_to_send():
            self.send(datagram, source, destination)

    def send(self, datagram: bytes, source: tuple[str, int], destination: tuple[str, int]) -> None:
        """Put a datagram on the wire; `delay_s` decides when it arrives, or that it is lost (None)."""
        self.recent.append(datagram)
        if (delay := self._delay_s(self._rng)) is not None:
            heapq.heappush(
                self._in_flight, (self.now + delay, next(self._order), datagram, source, destination)
            )

    def _deliver(self) -> None:
        """Hand over what has arrived by now; the exchange passes media on at once, so go on until quiet."""
        self.exchange.handle_timer(self.now)
        self._collect(self.exchange, EXCHANGE)
        while self._in_flight and self._in_flight[0][0] <= self.now:
            _, _, datagram, source, destination = heapq.heappop(self._in_flight)
            if destination == EXCHANGE:
                self.exchange.receive(datagram, source, self.now)
                self._collect(self.exchange, EXCHANGE)
                continue
            for station in self.stations:
                if station.address == destination:
                    station.lines.endpoint.receive(datagram, source, self.now)

    # --- what a test does ---------------------------------------------------------------------------------

    def open(self, station: Station) -> None:
        """Open the station's port as a program would: DTR and RTS come up with the first open."""
        station.port.file_opened()
        station.port.drive_host_lines(TIOCM_DTR | TIOCM_RTS, 0)
        station.line.service_port(self.now)

    def drop_dtr(self, station: Station) -> None:
        """What TIOCMBIC of DTR does."""
        station.port.drive_host_lines(0, TIOCM_DTR)
        station.line.service_port(self.now)

    def close(self, station: Station) -> None:
        """The program is gone, without HUPCL: DTR stays up."""
        station.program = None
        station.port.files_closed()
        station.line.service_port(self.now)

    def attach(self, station: Station, program: Class1Program) -> None:
        """Open the port and run `program` on it."""
        self.open(station)
        station.program = program

    def type(self, station: Station, text: str) -> str:
        """Write an AT command line and give back what the modem answers at once."""
        n = len(station.heard)
        station.port.put_output(text.encode() + b"\r")
        station.line.service_port(self.now)
        self._read(station)
        return bytes(station.heard[n:]).decode("latin-1")
