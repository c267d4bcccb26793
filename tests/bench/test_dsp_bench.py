"""The bench of the signal processing measures what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.fax_modems import MODEMS, Modem, bit_errors, bits_of, missing_bits, random_data
from bench.fax_sensitivity import crossing
from bench.rows import Row, matrix, table
from dsp.qam_tables import MODULATIONS
from dsp.scrambler import V29_SCRAMBLER
from tests.peers import spandsp_peer as peer

SENT = bits_of(random_data(600, 1))


def test_bit_errors_count_wrong_and_missing() -> None:
    heard = SENT.copy()
    heard[[3, 700]] ^= 1
    assert bit_errors(SENT, heard) == 2
    assert bit_errors(SENT, heard[:-100]) == 102
    assert bit_errors(SENT, np.concatenate([heard, heard])) == 2


@pytest.mark.parametrize("moved", [-300, -1, 0, 1, 37, 320])
@pytest.mark.parametrize("gap", [0, 1, 96, 500])
def test_moved_bits_are_not_missing(moved: int, gap: int) -> None:
    """``gap`` bits from 2000 on are garbage, and all after it come ``moved`` bits later."""
    garbage = np.random.default_rng(2).integers(0, 2, max(gap + moved, 0), dtype=np.uint8)
    after = 2000 + gap + max(-moved - gap, 0)
    heard = np.concatenate([SENT[:2000], garbage, SENT[after:]])
    expected = after - 2000
    assert expected - 25 <= missing_bits(SENT, heard) <= expected  # what is right by chance counts as right


def test_all_is_missing_when_nothing_came() -> None:
    assert missing_bits(SENT, SENT[:0]) == len(SENT)
    assert missing_bits(SENT, SENT[:2400]) == 2400
    assert missing_bits(SENT, bits_of(random_data(600, 9))) > 4700


def test_crossing_is_between_steps() -> None:
    def error_rate(slope: float, at: float) -> Callable[[float], float]:
        return lambda snr_db: 10 ** (-4 - slope * (snr_db - at))

    for start in (5.0, 9.0, 15.0):
        assert crossing(error_rate(1.0, 9.3), start, 0, 20) == pytest.approx(9.3)
    assert crossing(lambda _: 0.5, 5, 0, 20) is None
    assert crossing(lambda _: 1e-9, 5, 0, 20) == 0


def _decided_error_rate(modem: Modem, snr_db: float, n_symbols: int) -> float:
    """Of a receiver that knows the line: noise, nearest point, differential decoder, descrambler."""
    modulation = next(m for m in MODULATIONS if m.code == modem.code)
    rng = np.random.default_rng(modem.code)
    labels = np.array(list(modulation.points))
    points = np.array([modulation.points[label] * modulation.unit for label in labels])
    changes = np.array(modulation.changes)
    value_of = np.zeros(16, np.int64)
    value_of[changes] = np.arange(len(changes))
    values = rng.integers(0, len(changes), n_symbols)
    change = changes[values]
    sent = (np.cumsum(change) & 7) | (change & 8)
    place = np.zeros(16, np.int64)
    place[labels] = np.arange(len(labels))
    noise_power = 10 ** (-snr_db / 10) * modulation.baud / 4000  # white over 0…4 kHz, seen in one symbol rate
    noise = rng.standard_normal((2, n_symbols)) * (noise_power / 2) ** 0.5
    received = points[place[sent]] + noise[0] + 1j * noise[1]
    decided = labels[np.argmin(np.abs(received[:, np.newaxis] - points), axis=1)]
    found = value_of[((decided - np.concatenate([[0], decided[:-1]])) & 7) | (decided & 8)]
    wrong = (values ^ found)[:, np.newaxis] >> np.arange(modulation.bits_per_symbol)[::-1] & 1
    line = wrong.reshape(-1)
    near, far = (18, 23) if modulation.scrambler == V29_SCRAMBLER else (6, 7)
    return float(np.mean(line[far:] ^ line[far - near : -near] ^ line[:-far]))


@pytest.mark.parametrize("modem", MODEMS[:4], ids=lambda m: m.name)
def test_the_ideal_receivers_figure_is_right(modem: Modem) -> None:
    """Without a trellis code: 0.4 dB on either side of it, the error rate is on either side of 1e-4."""
    assert _decided_error_rate(modem, modem.ideal_db - 0.4, 1_000_000) > 1e-4
    assert _decided_error_rate(modem, modem.ideal_db + 0.4, 1_000_000) < 1e-4


def test_a_row_says_what_to_look_at() -> None:
    assert Row("x", 2.0, 1.0, "ms").verdict == "worse than peer"
    assert Row("x", 2.0, 1.0, "ms", tolerance=1.5).verdict == ""
    assert Row("x", 2.0, 3.0, "ms", goal=1.0).verdict == "misses goal"
    assert Row("x", 99.0, 100.0, "%", goal=99, more_is_better=True).verdict == "worse than peer"
    assert Row("x", None, 1.0, "ms").verdict == "FAILS"
    text = table("Title", [Row("x", 2.0, 1.0, "ms")], "Note.")
    assert text.startswith("## Title\n\nNote.\n\n|")
    assert "worse than peer" in text


@pytest.mark.peer
@pytest.mark.skipif(not peer.available(), reason="no libspandsp2 (apt-get install libspandsp2)")
def test_the_command() -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "bench.dsp", "--quick", "--json", "--match", "V.29 9600"]
    done = subprocess.run(
        [*command, "--only", "sensitivity,memory"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert set(rows) == {"V.29 9600", "V.21 300", "state of one channel"}
    for row in rows.values():
        assert {"name", "ours", "peer", "unit"} <= set(row)
    assert rows["V.29 9600"]["ours"] < rows["V.29 9600"]["peer"]
    wrong = subprocess.run(
        [*command, "--only", "x"], cwd=root, capture_output=True, text=True, check=False, timeout=60
    )
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("bench.dsp: no section x; there are sensitivity")


def test_a_matrix_has_a_line_for_all_modulations_and_names_what_to_look_at() -> None:
    rows = [
        Row("V.29 9600: slip of +1", 4.0, 40.0, "ms", goal=100),
        Row("V.17 7200: slip of +1", 50.0, 40.0, "ms", goal=100),
        Row("V.29 9600: slip of -1", 0, None, "ms", goal=100),
    ]
    lines = matrix("Slips", rows, "Noise.").splitlines()
    assert lines[2] == "Noise. Unit: ms, goal 100."
    assert [cell.strip() for cell in lines[4].split("|")[1:-1]] == ["peer / ours", "V.29 9600", "V.17 7200"]
    assert [cell.strip() for cell in lines[6].split("|")[1:-1]] == [
        "slip of +1",
        "40.0 / 4.0",
        "**40.0 / 50.0**",
    ]
    assert [cell.strip() for cell in lines[7].split("|")[1:-1]] == ["slip of -1", "– / 0", ""]
    assert lines[9] == "- V.17 7200: slip of +1: 40.0 / 50.0 ms; worse than peer"
    assert len({len(line) for line in lines[4:8]}) == 1
    assert "No cell is worse" in matrix("Slips", rows[:1])
