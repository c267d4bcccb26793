"""A network in memory under a virtual clock; datagrams on it may be lost, doubled, swapped or late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from iax.endpoint import Endpoint
from iax.events import Event
from iax.frames import Address
from iax.impairment import Impairer, Impairments

LATENCY_S = 0.001


class Core(Protocol):
    def receive(self, datagram: bytes, addr: Address, now: float) -> None: ...
    def handle_timer(self, now: float) -> None: ...
    def next_timer(self) -> float | None: ...
    def datagrams_to_send(self) -> list[tuple[bytes, Address]]: ...


@dataclass(frozen=True)
class Packet:
    """One datagram as it was sent."""

    time: float
    source: Address
    destination: Address
    datagram: bytes


@dataclass
class Network:
    """Drives any number of cores. `now` starts far from zero so that no test depends on it."""

    impairments: Impairments = field(default_factory=Impairments)
    now: float = 1000.0
    cores: dict[Address, Core] = field(default_factory=dict)
    sent: list[Packet] = field(default_factory=list)
    ticks: list[Callable[[], None]] = field(default_factory=list)
    drop: Callable[[Packet], bool] | None = None
    """Chooses single packets to lose."""
    spoil: Callable[[Packet], bytes] | None = None
    """Changes datagrams on their way."""
    record: bool = True

    def __post_init__(self) -> None:
        self._impairer = Impairer(self.impairments)
        self._next_tick = self.now

    def add(self, address: Address, core: Core) -> None:
        self.cores[address] = core

    def flush(self) -> None:
        for address, core in self.cores.items():
            for datagram, destination in core.datagrams_to_send():
                packet = Packet(self.now, address, destination, datagram)
                if self.record:
                    self.sent.append(packet)
                if self.drop is not None and self.drop(packet):
                    continue
                # the impairer knows destinations only: the source travels behind the datagram
                arriving = datagram if self.spoil is None else self.spoil(packet)
                tagged = arriving + f"|{address[0]}|{address[1]}".encode()
                self._impairer.put(tagged, destination, self.now + LATENCY_S)

    def run(self, duration_s: float, until: Callable[[], bool] | None = None) -> bool:
        """Advance the clock by DURATION_S, or until UNTIL holds; return whether it does."""
        end = self.now + duration_s
        self._next_tick = max(self._next_tick, self.now)
        self.flush()
        while True:
            if until is not None and until():
                return True
            times = [end, self._next_tick if self.ticks else end]
            flight = self._impairer.next_timer()
            if flight is not None:
                times.append(flight)
            times += [timer for core in self.cores.values() if (timer := core.next_timer()) is not None]
            self.now = max(self.now, min(times))
            for tagged, destination in self._impairer.due(self.now):
                core = self.cores.get(destination)
                if core is not None:
                    datagram, host, port = tagged.rsplit(b"|", 2)
                    core.receive(datagram, (host.decode(), int(port)), self.now)
            if self.ticks and self.now >= self._next_tick:
                self._next_tick += 0.02
                for tick in self.ticks:
                    tick()
            for core in self.cores.values():
                due = core.next_timer()
                if due is not None and due <= self.now:
                    core.handle_timer(self.now)
            self.flush()
            if self.now >= end:
                return until is not None and until()


class Phone:
    """An endpoint with its events collected: what tests play the user of."""

    def __init__(self, network: Network, address: Address, endpoint: Endpoint) -> None:
        self.network = network
        self.address = address
        self.endpoint = endpoint
        self.events: list[Event] = []
        network.add(address, endpoint)

    def collect(self) -> list[Event]:
        self.events += self.endpoint.events()
        return self.events

    def seen(self, kind: type, count: int = 1) -> bool:
        return sum(isinstance(event, kind) for event in self.collect()) >= count

    def last(self, kind: type) -> Event:
        return next(event for event in reversed(self.collect()) if isinstance(event, kind))

    def wait(self, kind: type, timeout_s: float = 60.0, count: int = 1) -> Event:
        assert self.network.run(timeout_s, lambda: self.seen(kind, count)), (
            f"no {kind.__name__} within {timeout_s} s; saw {self.events}"
        )
        return self.last(kind)
