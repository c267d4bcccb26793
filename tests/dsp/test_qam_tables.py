"""Every table of the fast modulations, checked by a property that a wrong entry would break."""

import math

import numpy as np
import pytest

from dsp.constellation import DIBIT_CHANGE, TRIBIT_CHANGE
from dsp.modulation import Modulation
from dsp.pulse import RX_PHASES, root_raised_cosine, rx_half_taps, rx_phases, tx_phases
from dsp.qam_tables import CHANGE, KNOWN, KNOWN_START, MODULATIONS, POINT, VALUE, row_of
from dsp.v27ter import V27TER_2400, V27TER_4800
from dsp.v29 import V29_7200, V29_9600

UNCODED = pytest.mark.parametrize(
    "modulation", [m for m in MODULATIONS if not m.trellis], ids=lambda m: f"{m.name} {m.bit_rate}"
)
ALL = pytest.mark.parametrize("modulation", MODULATIONS, ids=lambda m: f"{m.name} {m.bit_rate}")


def test_phase_changes_are_gray_coded() -> None:
    """Neighbouring phases differ in one bit (V.27ter §2.5, V.29 §2)."""
    for changes, step in ((TRIBIT_CHANGE, 1), (DIBIT_CHANGE, 2)):
        value_of = {change: value for value, change in enumerate(changes)}
        for change in range(0, 8, step):
            assert (value_of[change] ^ value_of[(change + step) % 8]).bit_count() == 1


@UNCODED
def test_changes_are_one_to_one_and_lead_to_points(modulation: Modulation) -> None:
    assert len(set(modulation.changes)) == 2**modulation.bits_per_symbol == len(modulation.changes)
    row = MODULATIONS.index(modulation)
    for value, change in enumerate(modulation.changes):
        assert VALUE[row, change] == value
        assert CHANGE[row, value] == change
        for phase in {label & 7 for label in modulation.points}:
            assert ((phase + change) & 7) | (change & 8) in modulation.points


@ALL
def test_constellation_survives_a_quarter_turn(modulation: Modulation) -> None:
    points = list(modulation.points.values())
    for point in points:
        assert min(abs(point * 1j - other) for other in points) < 1e-9


@ALL
def test_points_have_unit_energy_and_training_the_same(modulation: Modulation) -> None:
    row = MODULATIONS.index(modulation)
    points = POINT[row][list(modulation.points)]
    assert np.mean(np.abs(points) ** 2) == pytest.approx(1, abs=1e-6)
    known = POINT[row][KNOWN[KNOWN_START[row] : KNOWN_START[row] + len(modulation.turn_on.known)]]
    assert known == pytest.approx(np.array(modulation.turn_on.known) * modulation.unit, abs=1e-6)
    assert np.mean(np.abs(known) ** 2) == pytest.approx(1, abs=0.12 if modulation.turn_on.short else 0.06)
    a, b = modulation.turn_on.alternation
    assert (abs(a) ** 2 + abs(b) ** 2) / 2 * modulation.unit**2 == pytest.approx(1, abs=0.06)


def test_v29_points_are_those_of_the_figure() -> None:
    expected = {3, -3, 3j, -3j, 5, -5, 5j, -5j}
    expected |= {r * complex(a, b) for r in (1, 3) for a in (1, -1) for b in (1, -1)}
    assert {complex(round(p.real), round(p.imag)) for p in V29_9600.points.values()} == expected
    assert {complex(round(p.real), round(p.imag)) for p in V29_7200.points.values()} == {
        p for p in expected if abs(p) <= 3
    }


@UNCODED
def test_segment_lengths(modulation: Modulation) -> None:
    """V.27ter §4 table 3 and V.29 §8 table 4, in symbols and milliseconds."""
    on = modulation.turn_on
    after_silence = on.n_alternation + len(on.known)
    if modulation.name == "V.29":
        assert (on.n_silence, on.n_alternation, len(on.known)) == (48, 128, 384 + 48)
        assert (on.n_silence + after_silence) / 2.4 == pytest.approx(253, abs=1)
    else:
        assert (on.n_alternation, len(on.known)) == (50, 1074 + 8)
        assert after_silence * 1000 / modulation.baud == pytest.approx(
            708 if modulation.baud == 1600 else 943, abs=1
        )
    assert on.n_tep * 1000 / modulation.baud == pytest.approx(200, abs=1)


def test_v29_conditioning_begins_cdcdcd_and_repeats_every_127() -> None:
    on = V29_9600.turn_on
    c, d = 3, -3 + 3j
    assert on.known[:6] == (c, d) * 3
    assert on.alternation == (-c, -d)
    assert on.known[: 384 - 127] == on.known[127:384]
    assert len({on.known[k : k + 7] for k in range(127)}) == 127


def test_v27ter_conditioning_is_the_same_at_both_rates() -> None:
    assert V27TER_2400.turn_on.known[:1074] == V27TER_4800.turn_on.known[:1074]
    assert set(V27TER_2400.turn_on.known[:1074]) == {1, -1}
    # every third bit of scrambled ones (register 0x3C), worked by hand from the polynomial
    register = [0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]  # newest first
    bits = []
    for _ in range(30):  # too few for the guard
        bits.append(1 ^ register[5] ^ register[6])
        register = [bits[-1], *register[:-1]]
    phase, symbols = 1, []
    for bit in bits[::3]:
        phase = -phase if bit else phase
        symbols.append(phase)
    assert V27TER_4800.turn_on.known[:10] == tuple(symbols)


@pytest.mark.parametrize(("rolloff", "reach"), [(0.25, 16), (0.5, 10)])
def test_two_pulses_make_nyquist(rolloff: float, reach: int) -> None:
    oversampling = 20
    t = np.arange(-reach * oversampling, reach * oversampling + 1) / oversampling
    pulse = np.array([root_raised_cosine(x, rolloff) for x in t])
    both = np.convolve(pulse, pulse)[len(pulse) - 1 :: oversampling] / oversampling
    assert both[0] == pytest.approx(1, abs=1e-3)
    assert np.abs(both[1:8]).max() < 1e-3


def test_pulse_is_smooth_where_its_formula_is_not() -> None:
    for at in (0.0, 1.0, -1.0):  # 1 symbol is 1 / (4 * 0.25)
        assert root_raised_cosine(at, 0.25) == pytest.approx(root_raised_cosine(at + 1e-5, 0.25), abs=1e-4)


@pytest.mark.parametrize(("baud", "rolloff", "n"), [(2400, 0.25, 10), (1600, 0.5, 5), (1200, 0.5, 20)])
def test_transmit_phases_hold_the_pulse(baud: int, rolloff: float, n: int) -> None:
    phases = tx_phases(baud, rolloff)
    assert len(phases) == n
    assert np.sum(np.square(phases)) / n == pytest.approx(1, abs=0.01)


def test_receive_filter_passes_its_carrier_alone() -> None:
    half = rx_half_taps(2400)
    bank = rx_phases(2400, 1700, 0.25)[..., : 2 * half]
    n = np.arange(-half, half)
    for p in (0, RX_PHASES // 2):
        for hz, gain in ((1700, 1.0), (-1700, 0.0), (3700, 0.0)):
            out = np.sum((bank[0, p] + 1j * bank[1, p]) * np.exp(2j * math.pi * hz * n / 8000))
            assert abs(out) == pytest.approx(gain, abs=0.03)


def test_rows_are_found_by_code() -> None:
    assert [row_of(m.code) for m in MODULATIONS] == list(range(len(MODULATIONS)))
    assert row_of(144) == row_of(0) == -1
