"""V.17's tables, checked by the structure of the code."""

import itertools

import numpy as np
import pytest

from dsp.modulation import Modulation
from dsp.trellis import NEXT_STATE, next_trellis_state, trellis_label
from dsp.v17 import POINT_A, POINT_B, POINT_C, POINT_D, POINTS, V17

RATES = pytest.mark.parametrize("rate", POINTS)


@RATES
def test_energies_and_distances(rate: int) -> None:
    points = np.array(POINTS[rate])
    assert len(points) == len(set(points)) == 2 ** (rate // 2400 + 1)
    energy, distance = {14400: (41, 2), 12000: (42, 4), 9600: (40, 8), 7200: (40, 16)}[rate]
    assert np.mean(np.abs(points) ** 2) == pytest.approx(energy)

    def least(subset: np.ndarray) -> float:
        gaps = np.abs(subset[:, None] - subset) ** 2
        return float(gaps[gaps > 0].min()) if len(subset) > 1 else float("inf")

    assert least(points) == pytest.approx(distance)
    if rate > 7200:
        assert min(least(points[subset::8]) for subset in range(8)) == pytest.approx(8 * distance)


@RATES
def test_a_quarter_turn_changes_y_by_three_and_leaves_the_rest(rate: int) -> None:
    labels = {point: label for label, point in enumerate(POINTS[rate])}
    for point, label in labels.items():
        turned = labels[point * 1j]
        assert turned >> 3 == label >> 3
        assert (turned >> 1) & 3 == (((label >> 1) & 3) + 3) % 4


def test_the_trellis_is_rotation_invariant() -> None:
    turned_state = {0: 7, 1: 4, 2: 5, 3: 6, 4: 3, 5: 0, 6: 1, 7: 2}
    for state, y in itertools.product(range(8), range(4)):
        assert turned_state[NEXT_STATE[state][y]] == NEXT_STATE[turned_state[state]][(y + 3) % 4]
    for y in range(4):
        assert sorted(NEXT_STATE[state][y] for state in range(8)) == list(range(8))


@RATES
def test_free_distance_is_five(rate: int) -> None:
    """Least squared distance of two paths that part and meet again, in units of the least of two points."""
    points = np.array(POINTS[rate])

    def branch(label: int, other: int) -> float:
        return float(min(abs(p - q) ** 2 for p in points[label::8] for q in points[other::8]))

    between = [[0.0 if a == b else branch(a, b) for b in range(8)] for a in range(8)]
    met = float("inf")
    frontier: dict[tuple[int, int], float] = {}
    for state in range(8):
        for y, z in itertools.permutations(range(4), 2):
            pair = NEXT_STATE[state][y], NEXT_STATE[state][z]
            cost = between[y << 1 | state_bit(state)][z << 1 | state_bit(state)]
            frontier[pair] = min(frontier.get(pair, 1e9), cost)
    best = dict(frontier)
    for _ in range(12):
        new: dict[tuple[int, int], float] = {}
        for (a, b), cost in frontier.items():
            for y, z in itertools.product(range(4), repeat=2):
                pair = NEXT_STATE[a][y], NEXT_STATE[b][z]
                total = cost + between[y << 1 | state_bit(a)][z << 1 | state_bit(b)]
                if pair[0] == pair[1]:
                    met = min(met, total)
                elif total < best.get(pair, 1e9):
                    new[pair] = best[pair] = total
        frontier = new
    least = min(abs(p - q) ** 2 for p, q in itertools.combinations(points, 2))
    assert min(met / least, 8 if rate > 7200 else 1e9) == pytest.approx(5)


def state_bit(state: int) -> int:
    """Y0 that goes out with the branches from ``state``: the same for all of them."""
    bits = {NEXT_STATE[state][y] >> 2 for y in range(4)}
    assert bits == {trellis_label(0, y, state) & 1 for y in range(4)}
    return bits.pop()


def test_training_points_are_a_quarter_turn_apart() -> None:
    assert POINT_A * 1j == POINT_B
    assert POINT_B * 1j == POINT_C
    assert POINT_C * 1j == POINT_D


def test_labels_hold_their_bits() -> None:
    for state, y, upper in itertools.product(range(8), range(4), range(16)):
        label = trellis_label(upper << 2 | 3, y, state)
        assert (label >> 3, label >> 1 & 3, label & 1) == (upper, y, next_trellis_state(state, y) >> 2)


@pytest.mark.parametrize("modulation", V17, ids=lambda m: f"{m.name} {m.bit_rate}")
def test_segments(modulation: Modulation) -> None:
    """V.17 §5 table 3: lengths; segment 2 begins with the register's first bits; the bridge from its end."""
    on = modulation.turn_on
    n_conditioning = 38 if on.short else 2976
    assert len(on.known) == n_conditioning + (0 if on.short else 64) + 48
    assert (on.n_alternation + len(on.known)) / 2.4 == pytest.approx(142.5 if on.short else 1393, abs=1)
    # out = in + out[-18] + out[-23], worked from the register 0x2ECDD5, bit i the output i + 1 steps before
    outputs = [0x2ECDD5 >> i & 1 for i in range(22, -1, -1)]
    for _ in range(2 * n_conditioning):
        outputs.append(1 ^ outputs[-18] ^ outputs[-23])
    pairs = list(zip(outputs[23::2], outputs[24::2], strict=True))
    points = {(0, 0): POINT_C, (0, 1): POINT_D, (1, 1): POINT_A, (1, 0): POINT_B}
    assert list(on.known[:n_conditioning]) == [points[pair] for pair in pairs]
    if on.short:
        return
    bridge = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1] * 8
    for bit in bridge:
        outputs.append(bit ^ outputs[-18] ^ outputs[-23])
    last = on.known[n_conditioning - 1]
    turns = {(0, 0): 1j, (0, 1): 1, (1, 0): -1, (1, 1): -1j}
    for k in range(64):
        last *= turns[outputs[-128 + 2 * k], outputs[-127 + 2 * k]]
        assert on.known[n_conditioning + k] == last
