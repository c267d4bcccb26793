"""Whole faxes between two modems, in one process, faster than real time; pages compared dot for dot."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest

import iax
from tests.call.world import EXCHANGE, World
from tests.host.class1 import EFAX, HYLAFAX, MGETTY, Habits
from tests.host.pages import random_page, text_page
from tests.host.t4 import Page
from tests.host.t30 import CODES
from tests.host.t30_receiver import FaxReceiver
from tests.host.t30_sender import FaxSender

PAGES = (random_page(1), random_page(2, 120))


def fax(world: World, sender: FaxSender, receiver: FaxReceiver, *, backwards: bool = False) -> None:
    """One call; both programs must be content."""
    world.run(1.0)
    a, b = world.stations[::-1] if backwards else world.stations
    world.attach(a, sender)
    world.attach(b, receiver)
    world.run(300.0, lambda: sender.done and receiver.done)
    assert not sender.failed, f"{sender.failed}\n{sender.transcript()}"
    assert not receiver.failed, f"{receiver.failed}\n{receiver.transcript()}"


def same(sent: tuple[Page, ...], received: list[Page]) -> bool:
    return len(sent) == len(received) and all(map(np.array_equal, sent, received))


@pytest.mark.parametrize("habits", [HYLAFAX, EFAX, MGETTY], ids=lambda h: h.name)
@pytest.mark.parametrize("code", CODES)
def test_two_pages_at_each_rate(code: int, habits: Habits) -> None:
    world = World(2)
    sender = FaxSender(PAGES, "200", codes=(code,), habits=habits)
    receiver = FaxReceiver(habits=habits)
    fax(world, sender, receiver)
    assert same(PAGES, receiver.pages)


def test_refused_trainings_fall_back_rate_by_rate() -> None:
    world = World(2)
    sender = FaxSender(PAGES, "100", codes=(96, 72, 48, 24))
    receiver = FaxReceiver(refuse_training=("V.29 9600", "V.29 7200", "V.27ter 4800"))
    fax(world, sender, receiver, backwards=True)
    assert sender.rate == "V.27ter 2400"
    assert same(PAGES, receiver.pages)


@pytest.mark.parametrize("format_", iax.ALL_FORMATS)
def test_every_voice_format_carries_a_page(format_: iax.Format) -> None:
    world = World(2, formats=(format_,))
    receiver = FaxReceiver()
    fax(world, FaxSender(PAGES[:1], "200"), receiver)
    assert same(PAGES[:1], receiver.pages)


def test_jitter_within_the_buffer_costs_nothing() -> None:
    world = World(2, seed=5, delay_s=lambda rng: rng.uniform(0.0, 0.045))
    receiver = FaxReceiver()
    fax(world, FaxSender(PAGES, "200"), receiver)
    assert same(PAGES, receiver.pages)


def test_the_report_tells_what_happened() -> None:
    world = World(2)
    fax(world, FaxSender(PAGES, "200"), FaxReceiver())
    out, into = (station.line.last_report for station in world.stations)
    assert out is not None
    assert into is not None
    long_then_short = [145, 146, 146]
    assert [b.code for b in out.bursts] == long_then_short
    assert [(b.code, b.trained) for b in into.bursts] == [(code, True) for code in long_then_short]
    assert into.frames_bad == out.frames_bad == 0
    assert into.frames_received == out.frames_sent, "DCN, the last frame before the hang-up, was heard"
    assert out.frames_received == into.frames_sent
    assert into.duration_s == pytest.approx(out.duration_s, abs=0.3)
    assert into.sentence().startswith("call report: incoming call from 100, ")


def test_a_call_is_simulated_much_faster_than_it_lasts(capsys: pytest.CaptureFixture[str]) -> None:
    """The base of every later test. In processor time, so that a busy machine tells the same."""
    pages = (text_page("speed"),)
    world = World(2)
    fax(world, FaxSender(PAGES[:1], "200"), FaxReceiver())  # compiled and warm from here on
    world = World(2)
    start_s, start = world.now, time.process_time()
    fax(world, FaxSender(pages, "200"), FaxReceiver())
    ratio = (world.now - start_s) / (time.process_time() - start)
    with capsys.disabled():
        print(f"\nvirtual clock: a fax call between two lines runs {ratio:.0f} times faster than real time")
    assert ratio > 10.0


def in_page(world: World, sender: FaxSender, receiver: FaxReceiver) -> None:
    """Begin a call and stop in the middle of its page's data."""
    world.run(1.0)
    a, b = world.stations
    world.attach(a, sender)
    world.attach(b, receiver)
    line = b.line
    assert world.run(60.0, lambda: line.report is not None and len(line.report.bursts) == 2)
    world.run(3.0)
    assert line.report is not None
    assert line.report.bursts[1].n_bytes > 1000


def test_dropping_dtr_in_mid_page_hangs_up_within_100_ms() -> None:
    world = World(2)
    sender, receiver = FaxSender([text_page("long")], "200"), FaxReceiver()
    in_page(world, sender, receiver)
    a, b = world.stations
    a.program = None
    world.drop_dtr(a)
    assert a.line.call is None
    assert world.run(0.1, lambda: b.line.call is None)
    world.run(0.1)
    assert not b.port.carrier
    assert b"\x10\x03\r\nNO CARRIER\r\n" in b.heard[-60:]


def test_killing_the_receiving_program_in_mid_page_leaves_both_modems_ready() -> None:
    world = World(2)
    in_page(world, FaxSender([text_page("long")], "200"), FaxReceiver())
    a, b = world.stations
    world.close(b)
    assert world.run(2.0, lambda: a.line.call is None)
    a.program = None
    world.close(a)
    world.run(6.0)
    receiver = FaxReceiver()
    fax(world, FaxSender(PAGES[:1], "100"), receiver, backwards=True)
    assert same(PAGES[:1], receiver.pages)


def test_garbage_datagrams_in_a_page_do_not_spoil_it() -> None:
    """1000 random, truncated or mangled datagrams a second at each modem, from the exchange's own address."""
    world = World(2)
    sender, receiver = FaxSender(PAGES, "200"), FaxReceiver()
    in_page(world, sender, receiver)
    rng = random.Random(11)
    seen = list(world.recent)
    n_sent = 0
    while not (sender.done and receiver.done) and n_sent < 200_000:
        for station in world.stations:
            for _ in range(20):
                junk = bytearray(rng.choice(seen) if rng.random() < 0.5 else rng.randbytes(rng.randrange(60)))
                if junk and rng.random() < 0.7:
                    junk[rng.randrange(len(junk))] ^= 1 << rng.randrange(8)
                n_bytes = rng.randrange(len(junk) + 1)
                if n_bytes < 4 or junk[0] & 0x80:  # a whole valid mini frame would be audio, not garbage
                    station.lines.endpoint.receive(bytes(junk[: min(n_bytes, 11)]), EXCHANGE, world.now)
                n_sent += 1
        world.step()
    assert not sender.failed
    assert not receiver.failed
    assert same(PAGES, receiver.pages)


@pytest.mark.parametrize("code", [145, 96, 48])
def test_stalls_of_the_network_in_a_page_cost_no_dot(code: int) -> None:
    """Every 2 s nothing arrives for 100 to 400 ms, and then all of it at once, in order."""
    world = World(2, delay_s=lambda _rng: delay_s(world.now))
    starts: list[float] = []

    def delay_s(now: float) -> float:
        since = (now - starts[0]) % 2.0 if starts else 2.0
        stall_s = 0.1 + 0.1 * (int((now - starts[0]) / 2.0) % 4) if starts else 0.0
        return max(stall_s - since, 0.0) + 0.002

    receiver = FaxReceiver()
    sender = FaxSender(PAGES, "200", codes=(code,))
    world.run(1.0)
    starts.append(world.now)
    fax(world, sender, receiver)
    assert same(PAGES, receiver.pages)
    report = world.stations[1].line.last_report
    assert report is not None
    assert report.media.lost_ms == 0
    assert [b.trained for b in report.bursts] == [True] * 3
