"""Recorded calls: what is on disk, bounded and private; and the same call again, bit for bit."""

from __future__ import annotations

import json
import os
import stat
import wave
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from cusemodem.live_replay import LiveReplay
from cusemodem.recording import Recorder
from cusemodem.recording_store import Limits, RecordingStore
from cusemodem.replay import ReplayError, replay_call
from tests.call.test_fax_call import PAGES
from tests.call.world import World
from tests.host.t30_receiver import FaxReceiver
from tests.host.t30_sender import FaxSender

ROOMY = Limits()
TIME = datetime(2026, 11, 24, 10, 15, 2, 123000, UTC)


def _recorded_fax(
    tmp_path: Path, *, limits: Limits = ROOMY, code: int = 96, **world_options: object
) -> tuple[World, RecordingStore]:
    """Both stations record; the first one calls the second."""
    world = World(2, **world_options)  # type: ignore[arg-type]
    store = RecordingStore(tmp_path / "recordings", limits)
    for station in world.stations:
        station.line.tap = Recorder(station.name, store, lambda job: job(), lambda: TIME)
        station.line._begin_tap()
    world.run(1.0)
    _fax(world, 0, 1, code)
    return world, store


def _fax(world: World, from_: int, to: int, code: int = 96) -> None:
    sender = FaxSender(PAGES[:1], world.stations[to].number, codes=(code,))
    receiver = FaxReceiver()
    world.attach(world.stations[to], receiver)
    world.run(10.0)  # the busy-out after a call before
    world.attach(world.stations[from_], sender)
    world.run(300.0, lambda: sender.done and receiver.done)
    assert not sender.failed, sender.transcript()
    assert not receiver.failed
    world.run(1.0)


def test_what_a_recorded_call_leaves(tmp_path: Path) -> None:
    _, store = _recorded_fax(tmp_path)
    (call,) = store.calls("modem0")
    assert call == store.directory / "modem0" / "20261124T101502.123"
    names = sorted(path.name for path in call.iterdir())
    assert names == [
        "call.jsonl",
        "modem0-dsp.raw",
        "modem0-dsp.wav",
        "modem0-iax.raw",
        "modem0-iax.wav",
        "report.json",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in call.iterdir()} == {0o600}
    assert stat.S_IMODE(call.stat().st_mode) == 0o700
    raw = {d: np.fromfile(call / f"modem0-{d}.raw", "<i2") for d in ("iax", "dsp")}
    report = json.loads((call / "report.json").read_text())
    assert len(raw["iax"]) == len(raw["dsp"])
    assert len(raw["iax"]) / 8000 == pytest.approx(report["duration_s"], abs=0.1)
    assert report["number"] == "200"
    for direction, samples in raw.items():
        with wave.open(str(call / f"modem0-{direction}.wav")) as played:
            assert (played.getframerate(), played.getsampwidth(), played.getnchannels()) == (8000, 2, 1)
            assert np.array_equal(np.frombuffer(played.readframes(played.getnframes()), "<i2"), samples)
    # what one sent the other heard (µ-law between them), so the two names are the right way round
    (other,) = store.calls("modem1")
    sent, heard = raw["dsp"].astype(float), np.fromfile(other / "modem1-iax.raw", "<i2").astype(float)
    n = min(len(sent), len(heard))
    spectrum = np.fft.rfft(sent[:n], 2 * n) * np.conj(np.fft.rfft(heard[:n], 2 * n))
    peak = np.abs(np.fft.irfft(spectrum)).max() / np.linalg.norm(sent) / np.linalg.norm(heard)
    assert peak > 0.99


def test_iaxmodems_names_lead_to_the_last_call(tmp_path: Path) -> None:
    world, store = _recorded_fax(tmp_path)
    first = (store.directory / "modem0-iax.raw").resolve()
    assert first == store.calls("modem0")[0] / "modem0-iax.raw"
    _fax(world, 0, 1)
    assert len(store.calls("modem0")) == 2  # the same stamp: the second has a number
    assert (store.directory / "modem0-iax.raw").resolve().parent == store.calls("modem0")[1]


def test_old_and_too_many_recordings_go(tmp_path: Path) -> None:
    store = RecordingStore(tmp_path, Limits(total_bytes=2500, keep_s=1000.0))
    for n in range(4):
        files = store.new_call("ttyIAX0", TIME.replace(second=n))
        files.write(bytes(320), bytes(320), "")
        files.finish({})
    assert [path.name[-6:] for path in store.calls("ttyIAX0")] == ["03.123"] or len(
        store.calls("ttyIAX0")
    ) < 4
    newest = store.calls("ttyIAX0")[-1]
    assert newest.name.endswith("03.123")
    os.utime(newest, (1, 1))
    store.new_call("ttyIAX0", TIME.replace(second=9))
    another = store.new_call("ttyIAX0", TIME.replace(second=10))
    another.write(b"", b"", "")
    another.finish({})
    assert newest not in store.calls("ttyIAX0"), "older than a thousand seconds"


def test_a_call_beyond_the_limit_stops_recording_and_not_the_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, store = _recorded_fax(tmp_path, limits=Limits(total_bytes=1 << 20))
    assert "longer than 1 MB, the limit for recordings; the call goes on" in caplog.text
    total = sum(p.stat().st_size for p in store.directory.rglob("*") if p.is_file() and not p.is_symlink())
    assert total < 2 * (1 << 20) + 10000  # two lines


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_one_line_and_not_the_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cusemodem.recording_store as module

    monkeypatch.setattr(module, "_create", lambda path: open("/dev/full", "wb"))  # noqa: PTH123, SIM115
    _recorded_fax(tmp_path)
    lines = [line for line in caplog.text.splitlines() if "No space left on device" in line]
    assert len(lines) == 2  # one a recording


@pytest.mark.parametrize("code", [96, 48])
def test_a_recorded_call_repeats_bit_for_bit(tmp_path: Path, code: int) -> None:
    _, store = _recorded_fax(tmp_path, code=code)
    for name in ("modem0", "modem1"):
        (call,) = store.calls(name)
        outcome = replay_call(call)
        assert outcome.difference is None, str(outcome.difference)
        assert outcome.duration_s > 10
        assert outcome.n_host_bytes > 100
        assert outcome.report is not None
        then = json.loads((call / "report.json").read_text())
        assert [b["n_bytes"] for b in then["bursts"]] == [b.n_bytes for b in outcome.report.bursts]


def test_a_call_over_a_bad_network_repeats_too(tmp_path: Path) -> None:
    _, store = _recorded_fax(tmp_path, seed=11, delay_s=lambda rng: None if rng.random() < 0.002 else 0.005)
    outcomes = [replay_call(store.calls(name)[0]) for name in ("modem0", "modem1")]
    assert [str(o.difference) for o in outcomes] == ["None", "None"]


def test_the_second_call_of_a_session_repeats_as_well(tmp_path: Path) -> None:
    world, store = _recorded_fax(tmp_path)
    _fax(world, 1, 0)
    for name in ("modem0", "modem1"):
        outcome = replay_call(store.calls(name)[1])
        assert outcome.difference is None, str(outcome.difference)


def test_the_first_difference_is_found_where_it_is(tmp_path: Path) -> None:
    _, store = _recorded_fax(tmp_path)
    (call,) = store.calls("modem0")
    path = call / "modem0-dsp.raw"
    samples = np.fromfile(path, "<i2")
    samples[64321] += 1
    samples.tofile(path)
    difference = replay_call(call).difference
    assert difference is not None
    assert (difference.what, difference.at_s) == ("audio sent", pytest.approx(64321 / 8000))
    samples[64321] -= 1
    samples.tofile(path)
    journal = call / "call.jsonl"
    journal.write_text(journal.read_text().replace("CONNECT", "CANNOT", 1))
    difference = replay_call(call).difference
    assert difference is not None
    assert difference.what == "words to the host program"
    assert "CANNOT" in difference.recorded
    assert "CONNECT" in difference.now


def test_what_is_no_recording_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="No such file"):
        replay_call(tmp_path)
    (tmp_path / "call.jsonl").write_text("{}\n")
    with pytest.raises(ReplayError, match="line 1: this is no journal"):
        replay_call(tmp_path)


def test_replay_on_the_device_plays_the_recorded_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The far end hears what was sent then; the program here sees the call of then, and it ends as it did."""
    caplog.set_level("INFO")
    _, store = _recorded_fax(tmp_path)
    world = World(2, seed=9)
    there = world.stations[1]
    there.line.tap = LiveReplay("modem1", store.directory)
    world.run(1.0)
    world.open(world.stations[0])
    receiver = FaxReceiver()
    world.attach(there, receiver)
    world.run(3.0)
    world.type(world.stations[0], "AT+FCLASS=1")
    world.type(world.stations[0], "ATDT200")
    world.run(120.0, lambda: receiver.done)
    assert receiver.done
    assert np.array_equal(receiver.pages[0], PAGES[0]), "the page of the recording, though nobody sent it now"
    world.run(60.0, lambda: there.line.call is None)
    assert there.line.call is None
    assert "replay: " in caplog.text


def test_an_unrecorded_line_has_no_tap() -> None:
    assert all(station.line.tap is None for station in World(2).stations)
