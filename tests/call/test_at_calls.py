"""What the AT engine asks of a call, seen at the exchange and at the far end."""

from __future__ import annotations

import pytest

from cusemodem.cuse.modem_lines import TIOCM_RI
from tests.call.world import World


@pytest.fixture
def world() -> World:
    world = World(3)
    world.run(1.0)
    for station in world.stations:
        world.open(station)
        assert "OK" in world.type(station, "ATE0&C1&D2+FCLASS=1")
    return world


@pytest.mark.parametrize("let_go", [World.drop_dtr, World.close])
def test_a_call_goes_on_ringing_while_the_program_begins_anew(world: World, let_go: object) -> None:
    a, b, _ = world.stations
    world.type(a, f"ATDT{b.number}")
    assert world.run(3.0, lambda: b"RING" in b.heard)
    let_go(world, b)  # type: ignore[operator]
    world.run(3.0)
    assert b.line.call is not None
    assert b.port.lines.is_on(TIOCM_RI)
    assert a.line.call is not None
    world.open(b)
    del b.heard[:]
    assert world.run(5.5, lambda: b"RING" in b.heard)
    world.type(b, "ATE0+FCLASS=1A")
    world.type(b, "ATA")
    assert world.run(8.0, lambda: b"CONNECT" in a.heard)


def test_no_answer_hangs_up_at_the_exchange(world: World) -> None:
    a, b, _ = world.stations
    world.type(a, f"ATS7=6DT{b.number}")
    assert world.run(7.0, lambda: b"NO ANSWER" in a.heard)
    assert a.line.last_report is not None
    assert (a.line.last_report.ended_by, a.line.last_report.cause) == ("the host program", 16)
    world.run(0.2)
    assert b.line.call is None
    assert not b.port.lines.is_on(TIOCM_RI)


def test_a_refused_call_is_busy_at_the_caller(world: World) -> None:
    a, b, c = world.stations
    world.type(a, f"ATDT{b.number}")
    assert world.run(3.0, lambda: b"RING" in b.heard)
    world.type(b, "ATH0")
    assert world.run(1.0, lambda: b"BUSY" in a.heard)
    world.type(c, f"ATDT{b.number}")  # and for five seconds more
    assert world.run(1.0, lambda: b"BUSY" in c.heard)
    world.run(5.0)
    del c.heard[:]
    world.type(c, f"ATDT{b.number}")
    assert not world.run(2.0, lambda: b"BUSY" in c.heard)


def test_a_probe_that_was_dropped_while_it_rang_does_not_keep_the_modem_busy(world: World) -> None:
    """The PBX's ChanIsAvail opens a call and drops it; the call after it must come through."""
    a, b, c = world.stations
    world.type(a, f"ATDT{b.number}")
    assert world.run(3.0, lambda: b"RING" in b.heard)
    world.type(a, "ATH0")
    world.run(0.1)
    del b.heard[:]
    world.type(c, f"ATDT{b.number}")
    assert world.run(1.0, lambda: b"RING" in b.heard)


def test_digits_after_the_answer_reach_the_far_end_before_the_calling_tone(world: World) -> None:
    a, b, _ = world.stations
    world.type(a, f"ATS8=1DT{b.number},12#;")
    assert world.run(3.0, lambda: b"RING" in b.heard)
    world.type(b, "ATH1")  # answers without a tone: DTMF is shown in command state
    start = world.now
    assert world.run(4.0, lambda: b"DTMF=#" in b.heard)
    assert world.now - start > 1.0
    shown = bytes(b.heard)
    assert shown.index(b"DTMF=1") < shown.index(b"DTMF=2") < shown.index(b"DTMF=#")
    assert world.run(1.0, lambda: a.heard.endswith(b"OK\r\n"))


def test_off_hook_is_busy_for_callers_all_the_time(world: World) -> None:
    a, b, _ = world.stations
    world.type(b, "ATH1")
    world.run(20.0)
    world.type(a, f"ATDT{b.number}")
    assert world.run(1.0, lambda: b"BUSY" in a.heard)


@pytest.mark.parametrize("tone", ["busy-us", "busy-eu", "congestion-us", "congestion-eu"])
def test_a_busy_tone_after_the_answer_is_busy(world: World, tone: str) -> None:
    a, b, _ = world.stations
    world.type(a, f"ATDT{b.number}")
    assert world.run(3.0, lambda: b"RING" in b.heard)
    world.type(b, "ATH1")
    b.line.channel.send_call_progress(tone)
    assert world.run(8.0, lambda: a.heard.endswith(b"BUSY\r\n"))
    assert a.line.call is None


def test_ringing_tone_after_the_answer_is_waited_through(world: World) -> None:
    a, b, _ = world.stations
    world.type(a, f"ATDT{b.number}")
    assert world.run(3.0, lambda: b"RING" in b.heard)
    world.type(b, "ATH1")
    b.line.channel.send_call_progress("ringback-eu")
    world.run(12.0)
    b.line.channel.send_silence()
    world.type(b, "ATA")
    assert world.run(8.0, lambda: a.heard.endswith(b"CONNECT\r\n"))


def test_an_exchange_that_is_gone_is_no_dial_tone_within_half_a_minute(world: World) -> None:
    a = world.stations[0]
    world._delay_s = lambda _rng: None
    world.type(a, "ATDT200")
    assert world.run(30.0, lambda: a.heard.endswith(b"NO DIALTONE\r\n"))
    assert a.line.call is None
