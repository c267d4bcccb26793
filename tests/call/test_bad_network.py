"""Whole faxes over a bad network in virtual time: the short form of `python -m tests.call.bad_network`."""

from __future__ import annotations

import pytest

from tests.bed.network_cases import CASES, SpoiltPath
from tests.call.bad_network import WAYS, Trial, run
from tests.host import ecm
from tests.peers import spandsp_peer as spandsp

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not spandsp.available(), reason="libspandsp2 is not installed"),
]
SEEDS = (1, 2, 3)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
def test_pages_arrive(case: str, way: str) -> None:
    """Where nothing is lost, always; else in all but one call at the most."""
    verdicts = [run(Trial(case, way, seed)) for seed in SEEDS]
    failed = [verdict for verdict in verdicts if verdict.trouble]
    assert len(failed) <= (CASES[case].loss_percent > 0), "\n".join(
        f"{v.trouble}; {v.report}" for v in failed
    )
    resent = sum(verdict.n_frames_again for verdict in verdicts)
    if CASES[case].loss_percent and way == "receives":
        assert resent > 0, "nothing was lost: this tests nothing"
    if not CASES[case].loss_percent:
        assert resent == 0


def test_without_reliable_voice_most_calls_fail_at_1_percent() -> None:
    """So the above is its doing."""
    verdicts = [run(Trial("loss-1", "sends", seed, reliable=False)) for seed in (1, 2, 3, 4)]
    assert sum(bool(verdict.trouble) for verdict in verdicts) >= 2


def test_the_path_loses_what_it_says() -> None:
    path = SpoiltPath(CASES["loss-1"], 5)
    arrived = [path.arrival(way, 0.02 * n) for n in range(10_000) for way in ("up", "down")]
    assert 150 < arrived.count(None) < 250
    assert path.lost["up"] + path.lost["down"] == arrived.count(None)


def test_frames_of_error_correction_survive_their_coding() -> None:
    frames = {n: bytes((n * k + n) & 0xFF for k in range(256)) for n in (0, 1, 5, 255)}
    frames[7] = b"\xff" * 256
    data = ecm.encode(frames, 14400)
    assert ecm.numbered_frames(b"\xff\xff" + data + b"\x00\x55") == frames
    spoilt = bytearray(data)
    at = data.index(b"\x7e\x7e\x7e") + 700
    spoilt[at : at + 36] = bytes(36)
    got = ecm.numbered_frames(bytes(spoilt))
    assert 2 <= len(got) < len(frames)
    assert all(frames[n] == octets for n, octets in got.items())
    assert ecm.read_missing_map(ecm.missing_map([0, 9, 255])) == [0, 9, 255]
