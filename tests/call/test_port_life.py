"""What becomes of calls when the port's programs go, and of settings when the modem's process does."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

import iax
from cusemodem.at.engine import Engine
from cusemodem.cuse.modem_lines import TIOCM_DTR
from cusemodem.cuse.port import Port
from cusemodem.line import LineOptions
from cusemodem.lines import Lines
from tests.call.world import Station, World


@pytest.fixture
def world() -> World:
    world = World(2)
    world.run(1.0)
    for station in world.stations:
        world.open(station)
        assert "OK" in world.type(station, "ATE0&C1&D2+FCLASS=1")
    return world


def ring(world: World, a: Station, b: Station) -> None:
    world.type(a, f"ATDT{b.number}")
    assert world.run(3.0, lambda: b.line.call is not None)


def test_a_program_that_opens_the_port_finds_no_old_rings(world: World) -> None:
    a, b = world.stations
    world.drop_dtr(b)
    world.close(b)
    del b.heard[:]
    ring(world, a, b)
    world.run(11.0)
    assert b.port.statistics().bytes_unheard >= 2 * len(b"\r\nRING\r\n")
    world.open(b)
    world.run(0.1)
    assert b.heard == b""
    # It hears the next one, and can answer.
    assert world.run(6.0, lambda: b.heard == b"\r\nRING\r\n")
    world.type(b, "ATA")
    assert world.run(8.0, lambda: b"CONNECT" in a.heard)


def test_a_program_that_closes_the_port_while_it_rings_refuses_nothing(world: World) -> None:
    a, b = world.stations
    ring(world, a, b)
    world.drop_dtr(b)
    world.close(b)
    world.run(3.0)
    assert b.line.call is not None
    assert a.line.call is not None
    world.open(b)
    world.type(b, "ATA")
    assert world.run(8.0, lambda: b"CONNECT" in a.heard)
    assert b.line.statistics().calls_refused == 0


@pytest.mark.parametrize("dialling", ["ATDT{}", "ATX3S6=3DT{}", "ATDT{};", "ATDT{},,1"])
def test_a_program_that_is_killed_while_it_dials_leaves_no_call(world: World, dialling: str) -> None:
    """Without HUPCL, or with &D0: the far end does not go on ringing for a minute, nor is it rung at all."""
    a, b = world.stations
    world.type(a, dialling.format(b.number))
    world.run(0.5)
    was_ringing = b.line.call is not None
    assert was_ringing is ("X3" not in dialling)
    world.close(a)
    assert world.run(1.5, lambda: a.line.call is None and not a.line.engine.off_hook)
    world.run(6.0)
    assert b.line.call is None
    assert (b"RING" in b.heard) is was_ringing
    report = a.line.last_report
    assert (report.ended_by if report else None) == ("the host program" if was_ringing else None)


def test_a_program_that_hands_the_port_over_while_it_dials_keeps_its_call(world: World) -> None:
    a, b = world.stations
    ring(world, a, b)
    world.close(a)
    world.run(0.5)
    world.open(a)
    world.run(3.0)
    assert a.line.call is not None
    assert b.line.call is not None


def test_busy_while_no_program_has_the_port_open(world: World) -> None:
    a, b = world.stations
    b.line.options = replace(b.line.options, busy_when_closed=True)
    world.close(b)
    world.type(a, f"ATDT{b.number}")
    assert world.run(3.0, lambda: a.heard.endswith(b"BUSY\r\n"))
    assert b.line.statistics().calls_refused == 1
    world.open(b)
    world.run(6.0)
    ring(world, a, b)
    # The call that rings already is kept: the program may come back for it.
    world.close(b)
    world.run(1.0)
    assert b.line.call is not None


def successor(of: Station) -> tuple[Port, Engine]:
    """Another process's port and modem, which go on with the program's open file."""
    port, engine = Port(), Engine()
    line = Lines(iax.Endpoint(random.Random(1)), 1).add(
        "successor", port, engine, iax.PeerConfig(("127.0.0.1", 9), "", "", 0), LineOptions()
    )
    port.file_opened()
    port.resume(TIOCM_DTR, {}, 0, 0)
    port.notes = of.port.notes
    line.service_port(1.0)
    return port, engine


def test_a_successor_has_the_modem_settings(world: World) -> None:
    a = world.stations[0]
    world.type(a, "ATS0=3V0+FAR=1#CID=1")
    port, engine = successor(a)
    assert engine.settings == replace(a.line.engine.settings, registers=engine.settings.registers)
    assert engine.settings.registers[0] == 3
    assert engine.settings.is_fax_class_1
    assert not port.to_host, "nothing happened that the program would have to know"


def test_a_call_is_over_with_its_modem(world: World) -> None:
    a, b = world.stations
    ring(world, a, b)
    assert successor(b)[0].to_host.take(100) == b"", "on-hook"
    world.type(b, "ATA")
    assert world.run(8.0, lambda: b"CONNECT" in a.heard)
    for station in (a, b):
        port, engine = successor(station)
        assert port.to_host.take(100) == b"\r\nNO CARRIER\r\n"
        assert engine.settings.is_fax_class_1
    world.drop_dtr(a)
    world.run(1.0)
    assert successor(a)[0].to_host.take(100) == b""


@pytest.mark.parametrize("notes", ["", "null", "{}", "[]", '{"settings": {}, "off_hook": true}', "\x00"])
def test_notes_that_are_none(notes: str) -> None:
    world = World(1)
    world.stations[0].port.notes = notes
    port, engine = successor(world.stations[0])
    assert engine.settings.echo
    assert not port.to_host
