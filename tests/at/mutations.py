"""Mutated AT and DLE input in every state, whole and byte by byte: `python -m tests.at.mutations N [SEED]`.

Nothing may be raised, and how the bytes were cut may not show: the same output, actions, data and states.
Prints how many inputs were tried and how much memory the process took meanwhile.
"""

from __future__ import annotations

import random
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from cusemodem.at import events
from cusemodem.at.call_states import CallState
from cusemodem.at.class1_states import State
from cusemodem.at.state_diagrams import engine_at

SPECIAL = bytes([0x10, 0x03, 0x1A, 0x11, 0x13, 0x18, 0x0D, 0x0A, 0x41, 0x54, 0x2F, 0x3B, 0x22, 0xC1, 0x00])
SEEDS = (
    *(b"AT", b"at", b"A/", b"\r", b"\r\n", b"ATA\r", b"ATD123,9;\r", b"ATDT5@\r", b"ATX3S6=1DT5\r", b"ATH\r"),
    *(
        b"ATH1\r",
        b"ATZ\r",
        b"ATZ1&W&Y1\r",
        b"AT&FE0V0\r",
        b"ATQ1\r",
        b"ATO\r",
        b"AT+FCLASS=1\r",
        b"ATI6I11&V\r",
    ),
    *(b"AT+FCLASS=1.0;S0=1;+VCID=1\r", b"AT+FRH=3\r", b"AT+FTH=3\r", b"AT+FTM=96\r", b"AT+FRM=24\r"),
    *(
        b"AT+FTS=8;+FTH=3\r",
        b"AT+FRS=3\r",
        b"AT+FTS=0;+FRS=0\r",
        b"AT+FAR=1;+FIT=1,0\r",
        b"AT+FCL=3;+FDD=1\r",
    ),
    *(b'AT+VSID="Joe","1";+VSID?\r', b"ATS3=65S5=66\r", b"AT+F?;+V=?\r", b"AT$\r", b"AT&Z1=+44(0)1;DS=1\r"),
    *(b"\x10\x03", b"\x10\x10", b"\x10\x1a", b"\x10", b"\x18", b"\x11", b"\x13", b"AT#CID=1;%CCID?;*ID0\r"),
    *(b"\xff\x03\x40data\x10\x03", b"\xff\x13\x80\x10\x03", bytes(40), bytes(range(48))),
)
STATES: tuple[State | CallState, ...] = (*State, *CallState)


def mutated(rng: random.Random) -> bytes:
    """A few good inputs in a row, with a few faults."""
    data = bytearray(b"".join(rng.choices(SEEDS, k=rng.randint(1, 3))))
    for _ in range(rng.randint(1, 4)):
        at, kind = rng.randrange(len(data) + 1), rng.randrange(5)
        if kind == 0:
            data.insert(at, rng.choice(SPECIAL))
        elif kind == 1:
            data[at : at + 1] = bytes((rng.randrange(256),))
        elif kind == 2:
            del data[at : at + rng.randint(1, 3)]
        elif kind == 3:
            data[at:at] = data[: rng.randint(0, 8)]
        elif at < len(data):
            data[at] ^= 1 << rng.randrange(8)
    return bytes(data)


def outcome(state: State | CallState, data: bytes, *, one_by_one: bool) -> tuple[object, ...]:
    """Everything that can be seen of an engine at `state` after `data`."""
    engine = engine_at(state)
    for piece in [data[i : i + 1] for i in range(len(data))] if one_by_one else [data]:
        engine.host_bytes(piece)
    output, actions = engine.take_output(), engine.take_actions()
    for event in (events.FrameSent(), events.TransmitDone()):
        engine.event(event)
        output += engine.take_output()
        actions += engine.take_actions()
    engine.tick(8000)
    statistics = engine.statistics()
    burst = engine.pull_data(9999)
    assert 0 <= engine.room <= 4096
    return output, actions, burst, statistics.call_state, statistics.class1_state, statistics.errors


@dataclass(frozen=True)
class Fault:
    """An input that was not taken as it should be."""

    state: State | CallState
    data: bytes
    why: str


def faults(n_inputs: int, seed: int) -> Iterator[Fault]:
    """Try `n_inputs`; every fault found."""
    rng = random.Random(seed)
    for i in range(n_inputs):
        state, data = STATES[i % len(STATES)], mutated(rng)
        try:
            if outcome(state, data, one_by_one=False) != outcome(state, data, one_by_one=True):
                yield Fault(state, data, "whole and byte by byte differ")
        except Exception as error:  # whatever it is: it must not be
            yield Fault(state, data, repr(error))


def main(n_inputs: int, seed: int) -> int:
    """Print the faults and a summary; 1 when there was one."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    n_faults = 0
    for fault in faults(n_inputs, seed):
        n_faults += 1
        print(f"{fault.state.name}: {fault.data!r}: {fault.why}", flush=True)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    lasted = time.monotonic() - started
    print(f"{n_inputs} inputs, {n_faults} faults, {lasted:.0f} s, memory grew by {grown} KiB")
    return int(n_faults > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1))
