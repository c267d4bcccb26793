"""Calls between two modems through the exchange: set-up, hang-up from either side, programs that vanish."""

from __future__ import annotations

import random

import pytest

from cusemodem.call_causes import result_of_cause
from cusemodem.cuse.modem_lines import TIOCM_CD, TIOCM_RI
from tests.call.world import Station, World


@pytest.fixture
def world() -> World:
    world = World(3)
    world.run(1.0)
    for station in world.stations:
        world.open(station)
        assert "OK" in world.type(station, "ATE0&C1&D2+FCLASS=1")
    return world


def connect(world: World, a: Station, b: Station) -> None:
    """A calls B, B answers; both have the V.21 carrier of the answerer."""
    world.type(a, f"ATDT{b.number}")
    assert world.run(3.0, lambda: b"RING" in b.heard)
    world.type(b, "ATA")
    assert world.run(8.0, lambda: b"CONNECT" in a.heard and b"CONNECT" in b.heard)


def test_ring_indicator_and_carrier_follow_the_call(world: World) -> None:
    a, b, _ = world.stations
    world.type(a, f"ATDT{b.number}")
    assert world.run(3.0, lambda: b"RING" in b.heard)
    assert b.port.lines.is_on(TIOCM_RI)
    world.type(b, "ATA")
    assert not b.port.lines.is_on(TIOCM_RI)
    assert world.run(8.0, lambda: b"CONNECT" in a.heard)
    assert a.port.lines.is_on(TIOCM_CD)
    assert b.port.lines.is_on(TIOCM_CD)


def test_ata_takes_as_long_as_t30_says(world: World) -> None:
    """CED: 0.2 s silence, 2.6–4 s tone, 75 ms silence, then flags: CONNECT 2.9 to 4.3 s after ATA."""
    a, b, _ = world.stations
    world.type(a, f"ATDT{b.number}")
    assert world.run(3.0, lambda: b"RING" in b.heard)
    world.type(b, "ATA")
    start = world.now
    assert world.run(8.0, lambda: b"CONNECT" in b.heard)
    assert 2.8 < world.now - start < 4.3


def test_dropping_dtr_ends_the_call_at_both_ends_within_100_ms(world: World) -> None:
    a, b, _ = world.stations
    connect(world, a, b)
    world.drop_dtr(a)
    assert a.line.call is None
    assert world.run(0.1, lambda: b.line.call is None)
    assert b.heard.endswith(b"NO CARRIER\r\n")
    assert not b.port.lines.is_on(TIOCM_CD)
    assert a.line.last_report is not None
    assert a.line.last_report.ended_by == "the host program"


def test_a_program_that_vanishes_leaves_the_modem_ready(world: World) -> None:
    a, b, c = world.stations
    connect(world, a, b)
    world.close(a)
    assert world.run(1.5, lambda: b.line.call is None)
    world.run(6.0)  # the pause after a hang-up
    world.open(a)
    del a.heard[:]
    world.type(c, f"ATDT{a.number}")
    assert world.run(3.0, lambda: b"RING" in a.heard)


def test_a_second_caller_gets_busy(world: World) -> None:
    a, b, c = world.stations
    connect(world, a, b)
    world.type(c, f"ATDT{b.number}")
    assert world.run(2.0, lambda: b"BUSY" in c.heard)
    assert b.line.statistics().calls_refused == 1


def test_a_wrong_number_is_no_carrier(world: World) -> None:
    a = world.stations[0]
    world.type(a, "ATDT999")
    assert world.run(3.0, lambda: a.heard.endswith(b"NO CARRIER\r\n"))


@pytest.mark.parametrize(
    ("cause", "server_answered", "result"),
    [
        (17, True, "BUSY"),
        (34, True, "NO DIALTONE"),
        (19, True, "NO ANSWER"),
        (1, True, "NO CARRIER"),
        (38, True, "NO DIALTONE"),
        (None, False, "NO DIALTONE"),
        (None, True, "NO CARRIER"),
    ],
)
def test_causes_have_results(cause: int | None, server_answered: bool, result: str) -> None:
    assert result_of_cause(cause, server_answered=server_answered) == result


def test_the_caller_giving_up_stops_the_rings(world: World) -> None:
    a, b, _ = world.stations
    world.type(a, f"ATDT{b.number}")
    assert world.run(3.0, lambda: b"RING" in b.heard)
    world.drop_dtr(a)
    world.run(0.2)
    n_rings = b.heard.count(b"RING")
    world.run(11.0)
    assert b.heard.count(b"RING") == n_rings
    assert not b.port.lines.is_on(TIOCM_RI)


def test_garbage_on_the_wire_disturbs_no_call(world: World) -> None:
    """Truncated and random datagrams at 1000/s, from the server's own address, while a call is up."""
    a, b, _ = world.stations
    connect(world, a, b)
    rng = random.Random(7)
    for _ in range(100):
        for _ in range(20):
            junk = rng.randbytes(rng.randrange(0, 60))
            for station in (a, b):
                station.lines.endpoint.receive(junk, ("127.0.0.1", 4569), world.now)
                station.lines.endpoint.receive(junk, ("10.9.9.9", 4569), world.now)
        world.step()
    assert a.line.call is not None
    assert b.line.call is not None
    assert len(a.lines.endpoint.statistics().dropped) > 0
