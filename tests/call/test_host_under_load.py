"""A busy machine in virtual time: modem processes and fax programs that do not get the processor when due.

Each modem has the tick's own schedule (TickClock) and misses turns at random; each fax program, too. Pages
still arrive dot for dot, and the times of T.31 hold, because they are counted in samples.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

import pytest

from cusemodem.tick import BLOCK_S, CATCH_UP_SPACING_S, TickClock
from tests.call.test_fax_call import PAGES, same
from tests.call.world import Station, World
from tests.host.t30_receiver import FaxReceiver
from tests.host.t30_sender import FaxSender


@dataclass
class Turns:
    """When one process gets the processor: after each run of 0.2 to 2 s it waits for up to `longest_s`."""

    rng: random.Random
    longest_s: float
    waits_until: float = 0.0
    runs_until: float = 0.0

    def has(self, now: float) -> bool:
        if now >= self.runs_until:
            self.waits_until = now + self.rng.uniform(0.02, self.longest_s)
            self.runs_until = self.waits_until + self.rng.uniform(0.2, 2.0)
        return now >= self.waits_until


@dataclass
class Host:
    """What a station's machine does to it, and what was said when, in the modem's own blocks."""

    clock: TickClock
    modem: Turns
    program: Turns
    n_blocks: int = 0
    waiting: list[tuple[float, bytes]] = field(default_factory=list)
    "said by the modem, not yet read by the program, and since when"
    dialogue: list[tuple[int, str, bytes]] = field(default_factory=list)
    "block, who (modem, program), what"


class BusyWorld(World):
    """World, whose stations miss turns of up to `modem_s` (the modem) and `program_s` (the fax program), and
    the called one's program hears of everything `lag_s` late."""

    def __init__(self, *, seed: int, modem_s: float, program_s: float, lag_s: float = 0.0) -> None:
        super().__init__(2, seed=seed)
        self.lag_s = lag_s
        rng = random.Random(seed)
        self.hosts = {
            station.name: Host(TickClock(self.now), Turns(rng, modem_s), Turns(rng, program_s))
            for station in self.stations
        }

    def step(self) -> None:
        for _ in range(round(BLOCK_S / CATCH_UP_SPACING_S)):
            self.now += CATCH_UP_SPACING_S
            self._deliver()
            for station in self.stations:
                host = self.hosts[station.name]
                if host.modem.has(self.now):
                    for _ in range(host.clock.due(self.now)):
                        station.lines.step(self.now)
                        host.clock.steer(station.lines.fill_error_samples())
                        host.n_blocks += 1
                    self._run_program(station)
                self._collect(station.lines.endpoint, station.address)
            self._deliver()

    def _run_program(self, station: Station) -> None:
        host = self.hosts[station.name]
        if said := self._read(station):
            host.dialogue.append((host.n_blocks, "modem", said))
            host.waiting.append((self.now, said))
        program = station.program
        if program is None or not host.program.has(self.now):
            return
        lag_s = self.lag_s if station is self.stations[1] else 0.0
        while host.waiting and host.waiting[0][0] <= self.now - lag_s:
            program.receive(host.waiting.pop(0)[1], self.now)
        program.tick(self.now)
        while (room := station.port.to_modem.room) > 0 and (data := program.take_output(room)):
            host.dialogue.append((host.n_blocks, "program", data))
            station.port.put_output(data)
            station.line.service_port(self.now)
            if said := self._read(station):
                host.dialogue.append((host.n_blocks, "modem", said))
                host.waiting.append((self.now, said))


def waits_for_silence(host: Host) -> list[tuple[int, int]]:
    """For each +FTS that was answered: the milliseconds ordered, and those of audio until its OK."""
    found = []
    for k, (block, who, data) in enumerate(host.dialogue):
        if who == "program" and (match := re.fullmatch(rb"AT\+FTS=(\d+)\r", data)):
            answered, *answer = host.dialogue[k + 1]
            assert answer == ["modem", b"\r\nOK\r\n"]
            found.append((10 * int(match[1]), round((answered - block) * BLOCK_S * 1000)))
    return found


def call(world: BusyWorld, code: int = 145) -> None:
    """A fax whose pages are compared; the caller dials when the called program has set its modem up."""
    sender, receiver = FaxSender(PAGES, "200", codes=(code,)), FaxReceiver()
    world.run(1.0)
    a, b = world.stations
    world.attach(b, receiver)
    assert world.run(60.0, lambda: receiver.ready)
    world.attach(a, sender)
    world.run(300.0, lambda: sender.done and receiver.done)
    assert not sender.failed, f"{sender.failed}\n{sender.transcript()}"
    assert not receiver.failed, f"{receiver.failed}\n{receiver.transcript()}"
    assert same(PAGES, receiver.pages)


@pytest.mark.parametrize("code", [145, 96, 48])
def test_a_page_arrives_from_and_at_a_machine_whose_modems_miss_turns_of_300_ms(code: int) -> None:
    world = BusyWorld(seed=code, modem_s=0.3, program_s=0.02)
    call(world, code)
    assert all(host.clock.statistics().worst_lateness_s > 0.2 for host in world.hosts.values()), "busy it was"
    assert all(host.clock.statistics().n_skipped == 0 for host in world.hosts.values())


def test_a_page_arrives_when_the_fax_programs_miss_turns_of_half_a_second() -> None:
    """What T.30's time-outs leave to a program: a modem in hardware would not wait longer either."""
    world = BusyWorld(seed=5, modem_s=0.02, program_s=0.5)
    call(world)


def test_the_times_of_t31_are_the_audios_however_busy_the_machine_is() -> None:
    world = BusyWorld(seed=11, modem_s=0.2, program_s=0.1)
    call(world)
    silences = [silence for host in world.hosts.values() for silence in waits_for_silence(host)]
    assert len(silences) >= 3
    for ordered_ms, sent_ms in silences:
        assert ordered_ms <= sent_ms <= ordered_ms + BLOCK_S * 1000


@pytest.mark.parametrize("code", [145, 121, 96, 48])
def test_an_order_to_receive_that_comes_300_ms_late_hears_the_page_from_its_beginning(code: int) -> None:
    """With V.17's short training, 142 ms, a modem of hardware would miss each page."""
    world = BusyWorld(seed=3, modem_s=0.02, program_s=0.02, lag_s=0.3)
    call(world, code)
    report = world.stations[1].line.last_report
    assert report is not None
    assert [burst.trained for burst in report.bursts] == [True] * 3
