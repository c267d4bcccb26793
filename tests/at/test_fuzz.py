"""Whatever goes in: nothing is raised, memory stays bounded, and how the bytes are cut does not matter."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cusemodem.at import Engine, events
from cusemodem.at.actions import Action
from cusemodem.at.call_states import CallState
from cusemodem.at.class1_states import State
from cusemodem.at.engine import MAX_KEPT
from cusemodem.at.host_data import BUFFER
from cusemodem.at.outbox import MAX_WAITING
from tests.at import mutations

WORDS = [
    b"AT",
    b"at",
    b"A/",
    b"\r",
    b"\r\n",
    b"ATA\r",
    b"ATD123,9;\r",
    b"ATDT5@\r",
    b"ATX3S6=1DT5\r",
    b"ATH\r",
    b"ATH1\r",
    b"ATZ\r",
    b"AT&FE0V0\r",
    b"ATQ1\r",
    b"ATO\r",
    b"AT+FCLASS=1\r",
    b"AT+FCLASS=1.0;S0=1;+VCID=1\r",
    b"AT+FRH=3\r",
    b"AT+FTH=3\r",
    b"AT+FTM=96\r",
    b"AT+FRM=24\r",
    b"AT+FTS=8;+FTH=3\r",
    b"AT+FRS=3\r",
    b"AT+FTS=0;+FRS=0\r",
    b"AT+FAR=1;+FIT=1,0\r",
    b"AT+FCL=3;+FDD=1\r",
    b'AT+VSID="Joe","1";+VSID?\r',
    b"ATS3=65S5=66\r",
    b"ATI0I3&V\r",
    b"\x10\x03",
    b"\x10\x10",
    b"\x10\x1a",
    b"\x10",
    b"\xff\x03\x40data\x10\x03",
    b"\xff\x13\x80\x10\x03",
    b"\x18",
    b"\x11",
    b"\x13",
    bytes(300),
    bytes(range(256)),
    b"+" * 1200,
]

host = st.one_of(st.binary(max_size=40), st.sampled_from(WORDS))
happening = st.sampled_from(
    [
        events.IncomingCall(events.CallerId(name="J\r\nCONNECT\r\n", number="\x1b[2J", date="0101")),
        events.CallerGone(),
        events.CallAnswered(),
        events.CallFailed("BUSY"),
        events.CallFailed("no such result"),
        events.CallEnded(),
        events.DtmfReceived("5"),
        events.DtmfReceived(""),
        events.BusyTone(),
        events.FlagsDetected(),
        events.FrameReceived(b"\xff\x03\x40\x10\x10\x03ab", True),
        events.FrameReceived(b"\xff\x13\x80ab", True),
        events.FrameReceived(b"\xff\x13\x80ab", False),
        events.FrameReceived(b"", True),
        events.FrameReceived(bytes(300), True),
        events.Trained(),
        events.TrainingFailed(),
        events.DataReceived(b"\x10\x03data\x10"),
        events.CarrierLost(True),
        events.CarrierLost(False),
        events.FrameSent(),
        events.TransmitDone(),
    ]
)
step = st.one_of(
    host,
    happening,
    st.integers(1, 400).map(lambda n: ("tick", n)),
    st.sampled_from([("pull", 24), ("pull", 4096), ("pull", 0), ("dtr", 0), ("dtr", 1), ("gone", 0)]),
)


def play(
    steps: list[object], *, one_by_one: bool, visited: tuple[set[str], set[str]] | None = None
) -> tuple[bytes, list[Action], bytes]:
    """(output, actions, burst data) of a history; the host's bytes whole or one by one."""
    engine, output, actions, burst = Engine(), bytearray(), [], bytearray()

    def take() -> None:
        actions.extend(engine.take_actions())
        output.extend(engine.take_output())

    for happened in steps:
        if isinstance(happened, bytes):
            if one_by_one:
                for byte in happened:
                    engine.host_bytes(bytes((byte,)))
            else:
                engine.host_bytes(happened)
        elif isinstance(happened, tuple):
            what, n = happened
            if what == "tick":
                for i in range(n):
                    engine.tick(i * 160)
            elif what == "pull":
                burst.extend(engine.pull_data(n))
            elif what == "gone":
                engine.host_gone()
            elif n:
                engine.dtr_raised()
            else:
                engine.dtr_dropped()
        else:
            engine.event(happened)
        take()
        assert 0 <= engine.room <= BUFFER
        assert isinstance(engine.dcd, bool)
        statistics = engine.statistics()
        if visited is not None:
            visited[0].add(statistics.call_state)
            visited[1].add(statistics.class1_state)
        assert len(engine._input) <= MAX_KEPT
    return bytes(output), actions, bytes(burst)


@given(st.lists(step, max_size=60))
@settings(max_examples=400, deadline=None)
def test_byte_by_byte_equals_whole_writes(steps: list[object]) -> None:
    assert play(steps, one_by_one=True) == play(steps, one_by_one=False)


TO_A_CALL: list[list[object]] = [
    [
        ("dtr", 0),
        ("dtr", 1),
        b"\rAT&FE0Q0V1+FCLASS=1\r",
        ("tick", 260),
        events.IncomingCall(),
        b"ATA\r",
        events.CallAnswered(),
        events.TransmitDone(),
        b"\x10\x03",
        events.TransmitDone(),
    ],
    [
        ("gone", 0),
        b"\rAT&F+FCLASS=1.0;+FAR=1;+FCL=3\r",
        ("tick", 260),
        b"ATD1\r",
        events.CallAnswered(),
        events.FlagsDetected(),
        events.FrameReceived(b"\xff\x03\x40data", True),
    ],
]
ON_THE_CALL: list[object] = [
    *(word for word in WORDS if b"S3" not in word and len(word) < 1000),
    *([b"AT+FRH=3\r", b"AT+FTH=3\r", b"AT+FTM=72\r", b"AT+FRM=48\r", b"AT+FTS=20\r", b"AT+FRS=20\r"] * 4),
    *([events.FlagsDetected(), events.Trained(), events.FrameSent(), events.TransmitDone()] * 4),
    *([events.DataReceived(bytes(24)), events.DataReceived(b"\x10\x03\x10")] * 3),
    *([events.FrameReceived(b"\xff\x03\x40data", True), events.FrameReceived(b"\xff\x13\x40data", True)] * 3),
    *(
        [events.CarrierLost(True), events.CarrierLost(False), events.FrameReceived(b"\xff\x13\x10da", False)]
        * 2
    ),
    *([("tick", 1), ("tick", 3), ("tick", 20), ("pull", 24), ("pull", 4096)] * 3),
    ("tick", 260),
    events.CallEnded(),
]


def history(seed: int, n_steps: int) -> list[object]:
    """A random history that comes back to a call again and again."""
    rng = random.Random(seed)
    steps: list[object] = []
    while len(steps) < n_steps:
        steps += rng.choice(TO_A_CALL)
        steps += rng.choices(ON_THE_CALL, k=rng.randint(1, 30))
    return steps


@pytest.mark.parametrize("seed", range(25))
def test_long_random_calls(seed: int) -> None:
    """Deeper into the machines than a short list gets; the same bytes, whole and one by one."""
    steps = history(seed, 1500)
    whole = play(steps, one_by_one=False)
    assert whole == play(steps, one_by_one=True)
    assert len(whole[0]) < 1_000_000


def test_random_calls_reach_every_state() -> None:
    """The histories above are worth something only if they go everywhere."""
    calls, class1 = set(), set()
    for seed in range(25):
        play(history(seed, 1500), one_by_one=False, visited=(calls, class1))
    assert class1 == {state.name for state in State}
    assert calls == {state.name for state in CallState}


def test_a_line_that_ignores_room_loses_bytes_but_no_more() -> None:
    engine = Engine()
    engine.host_bytes(b"ATE0+FCLASS=1;D5\r")
    engine.event(events.CallAnswered())
    engine.event(events.FlagsDetected())
    engine.event(events.FrameReceived(b"\xff\x03\x40ab", True))
    engine.host_bytes(b"AT+FTM=24\r")
    for _ in range(100):
        engine.host_bytes(bytes(4096))
    assert engine.room == 0
    assert engine.statistics().host_bytes_dropped == 100 * 4096 - BUFFER - MAX_KEPT


@pytest.mark.parametrize("seed", range(4))
def test_mutated_input_in_every_state_whole_and_byte_by_byte(seed: int) -> None:
    """A part of `python -m tests.at.mutations 1000000`."""
    assert list(mutations.faults(1000, seed)) == []


def test_memory_stays_bounded_whatever_is_fed() -> None:
    """One engine that nobody reads from, a megabyte of mutated input, events of every kind between."""
    rng = random.Random(3)
    engine = Engine()
    happenings = [e for e in ON_THE_CALL if not isinstance(e, bytes | tuple)]
    tracemalloc.start()
    try:
        for _ in range(600):
            engine.host_bytes(mutations.mutated(rng) * 16)
            if rng.random() < 0.3:
                engine.event(rng.choice(happenings))
            if rng.random() < 0.05:
                engine.event(events.IncomingCall())
            engine.tick(0)
            engine.take_actions()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000
    assert len(engine.take_output()) <= MAX_WAITING
    assert engine.statistics().output_bytes_dropped > 0
