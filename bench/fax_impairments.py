"""What lines and networks do to the receivers, one impairment at a time, at 3 dB above the goal's SNR.

Both receivers hear the same samples. A steady impairment is judged by its bit error rate; an event (a slip, a
lost packet) by how long data are not right because of it, wherever they have moved to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.fax_modems import (
    Audio,
    Modem,
    OurReceiver,
    PeerReceiver,
    bit_errors,
    bits_of,
    missing_bits,
    ours_frames,
    ours_send,
    peer_frames,
    peer_send,
    peer_send_frames,
    random_data,
)
from bench.rows import Row
from dsp import burst
from dsp.line_model import (
    SHAPES,
    BlockLoss,
    CarrierOffset,
    ClockOffset,
    DirectCurrent,
    Gain,
    Idle,
    Impairment,
    Line,
    ListenerEcho,
    Noise,
    PhaseHits,
    PhaseJitter,
    Shape,
    Slip,
    codecs,
    signal_level_dbm0,
)

LEVEL_DBM0 = -14.0
MARGIN_DB = 3.0
#: Goal for lost packets and slips: data are right again after that time, the packet itself included.
GOAL_MS = 100.0


@dataclass(frozen=True)
class Case:
    """An impairment: what comes before the noise, and what after it."""

    name: str
    before: Callable[[], list[Impairment]] = list
    after: Callable[[], list[Impairment]] = list
    #: Number of slips or losses is taken from the line's mask (losses) or is this.
    n_events: int = 0
    #: Receivers are told which packets never arrived.
    told: bool = False
    level_dbm0: float = LEVEL_DBM0
    seconds: int = 10


_FIRST_S = 3.5  # losses and slips come after the training
_SLIPS = (1, 2, 4, 8, 16, 40, 80, 159, 160)


def _steady() -> Iterator[Case]:
    yield Case("nothing but noise")
    for ppm in (100, -100, 200, -200):
        yield Case(f"clock {ppm:+d} ppm", lambda ppm=ppm: [ClockOffset(ppm)], seconds=30)
    for hz in (7, -7, 15, -15, 20, -20):
        yield Case(f"carrier {hz:+d} Hz", lambda hz=hz: [CarrierOffset(hz)])
    yield Case("clock +200 ppm and carrier -15 Hz", lambda: [ClockOffset(200), CarrierOffset(-15)])
    for laws in ("ulaw", "alaw", "ulaw ulaw", "ulaw alaw", "alaw alaw"):
        yield Case(f"G.711 {laws.replace(' ', ' and ')}", after=lambda laws=laws: codecs(laws.split()))
    for name in SHAPES:
        yield Case(f"line shape {name}", lambda name=name: [Shape(name)])
    yield Case("listener echo 10 ms, -20 dB", lambda: [ListenerEcho(0.010, 20)])
    yield Case("phase jitter 10° peak to peak, 60 Hz", lambda: [PhaseJitter(10, 60)])
    yield Case("phase jitter 20° peak to peak, 60 Hz", lambda: [PhaseJitter(20, 60)])
    yield Case("DC offset 1000", after=lambda: [DirectCurrent(1000)])
    for level in (-6.0, -28.0, -43.0):
        yield Case(f"level {level:g} dBm0", level_dbm0=level)


def _events() -> Iterator[Case]:
    yield Case("phase hit 20°", lambda: [PhaseHits([(_FIRST_S + 1, 20)])], n_events=1, seconds=5)
    for size in _SLIPS:
        for n in (size, -size):
            yield Case(f"slip of {n:+d}", after=lambda n=n: [Slip(_FIRST_S + 1, n)], n_events=1, seconds=5)
    for fill in ("silence", "repeat"):
        for told in (False, True):
            word = "told" if told else "not told"
            for every in (1.0, None):
                for share in (0.001, 0.003, 0.01) if every is None else (0.0,):
                    how = "one packet a second" if every else f"{100 * share:g} % of packets"
                    yield Case(
                        f"{how} lost, {fill}, {word}",
                        after=lambda share=share, every=every, fill=fill: [
                            BlockLoss(share=share, every_s=every, fill=fill, from_s=_FIRST_S)
                        ],
                        told=told,
                        seconds=12 if every else 40,
                    )


#: Cases up to so long get more bursts.
_SHORT_S = 12

STEADY = tuple(_steady())
EVENTS = tuple(_events())


def through(modem: Modem, case: Case, audio: Audio, seed: int) -> tuple[Audio, NDArray[np.bool_]]:
    """What is heard at the far end, and which of its packets are stand-ins."""
    gain: list[Impairment] = [] if case.level_dbm0 == LEVEL_DBM0 else [Gain(case.level_dbm0 - LEVEL_DBM0)]
    # A line shape weakens the signal: what counts is its level where the noise comes to it.
    level_dbm0 = signal_level_dbm0(Line([*gain, *case.before()], seed).run(audio[: 8 * 8000]))
    noise = Noise(level_dbm0 - modem.goal_db - MARGIN_DB, idle_dbm0=None)
    line = Line([Idle(0.2, 0.2), *gain, *case.before(), noise, *case.after()], seed)
    return line.run(audio), line.lost


def steady_rows(modems: Sequence[Modem], quick: bool) -> Iterator[Row]:
    """Bit error rates; bursts that do not train count as all wrong."""
    n_bursts = 1 if quick else 3
    for case in STEADY:
        for modem in modems:
            wrong = np.zeros(2)
            total = 0
            for seed in range(n_bursts):
                data = random_data(modem.rate // 8 * (4 if quick else case.seconds), seed)
                heard, _ = through(modem, case, ours_send(modem, data), seed)
                sent = bits_of(data)
                total += len(sent)
                for i, receiver in enumerate((OurReceiver(modem), PeerReceiver(modem))):
                    wrong[i] += bit_errors(sent, receiver.hear(heard).bits)
            ours, reference = wrong / total
            yield Row(f"{modem.name}: {case.name}", ours, reference, "bit error rate", goal=1e-4)


def event_rows(modems: Sequence[Modem], quick: bool) -> Iterator[Row]:
    """Milliseconds of data that are not right, for each slip or lost packet."""
    for case in EVENTS:
        n_bursts = 1 if quick else 4 if case.seconds <= _SHORT_S else 2
        for modem in modems:
            wrong_s = np.zeros(2)
            n_events = 0
            for seed in range(n_bursts):
                data = random_data(modem.rate // 8 * min(case.seconds, 8 if quick else 99), seed)
                heard, lost = through(modem, case, ours_send(modem, data), seed)
                sent = bits_of(data)
                n_events += case.n_events or int(lost.sum())
                for i, receiver in enumerate((OurReceiver(modem), PeerReceiver(modem))):
                    bits = receiver.hear(heard, lost if case.told else None).bits
                    wrong_s[i] += missing_bits(sent, bits) / modem.rate
            if n_events:
                ours, reference = 1e3 * wrong_s / n_events
                yield Row(
                    f"{modem.name}: {case.name}",
                    ours,
                    reference,
                    "ms wrong an event",
                    goal=GOAL_MS,
                    tolerance=1.0,  # bits that are right by chance
                )


def interoperation_rows(modems: Sequence[Modem], quick: bool) -> Iterator[Row]:
    """Trainings, of 200, after which every bit is equal: ours to the peer, and the peer's to us."""
    n = 10 if quick else 200
    for shape in ("clean line", *SHAPES):
        for modem in modems:
            to_peer = to_ours = 0
            for seed in range(n):
                line = _shaped(shape, seed)
                data = random_data(modem.rate // 40, seed)
                sent = bits_of(data)
                heard = PeerReceiver(modem).hear(line.run(ours_send(modem, data)))
                to_peer += np.array_equal(heard.bits[: len(sent)], sent)
                heard = OurReceiver(modem).hear(line.run(peer_send(modem, data)))
                to_ours += np.array_equal(heard.bits[: len(sent)], sent)
            yield Row(
                f"{modem.name}, {shape}",
                100 * to_ours / n,
                100 * to_peer / n,
                "% of trainings, bits equal",
                goal=100,
                more_is_better=True,
            )
        yield _v21_interoperation_row(shape, n)


def _shaped(shape: str, seed: int) -> Line:
    """A line of that shape, on which the signal begins anywhere in a block."""
    start_s = 0.1 + int(np.random.default_rng(seed).integers(160)) / 8000
    return Line([Idle(start_s, 0.1), *([Shape(shape)] if shape in SHAPES else [])], seed)


def _v21_interoperation_row(shape: str, n: int) -> Row:
    """The same for V.21: carriers, of two frames each, of which every octet is right."""
    to_peer = to_ours = 0
    for seed in range(n):
        line = _shaped(shape, seed)
        frames = [b"\xff\x03\x40" + random_data(20, seed), b"\xff\x13\x80" + random_data(8, seed + n)]
        to_peer += peer_frames(line.run(burst.transmit_frames(frames))) == frames
        to_ours += ours_frames(line.run(peer_send_frames(frames))) == frames
    return Row(
        f"V.21 300, {shape}",
        100 * to_ours / n,
        100 * to_peer / n,
        "% of trainings, bits equal",
        goal=100,
        more_is_better=True,
    )
