"""The compiled jitter buffer beside the one in Python: the same frames, the same audio, the same figures."""

from __future__ import annotations

import random
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from iax import Endpoint, JitterBuffer, PeerConfig, kernel
from iax.formats import ALAW, SLINEAR, ULAW, Format
from iax.frames import Address
from iax.media_table import MediaTable
from iax.playout import Playout
from iax.socket_names import address_in, name_of


def seat(table: MediaTable, format_: Format = ULAW) -> Playout:
    taken = table.new_seat()
    assert taken is not None
    taken.playout.format = format_
    return taken.playout


def payload(rng: random.Random, format_: Format, n_samples: int, *, quiet: bool) -> bytes:
    if quiet:
        return format_.silence(n_samples)
    return rng.randbytes(n_samples * format_.sample_bytes)


def same(one: Playout, other: Playout) -> None:
    assert asdict(one.statistics()) == asdict(other.statistics())
    assert one.fill_samples == other.fill_samples
    assert one.depth_samples == other.depth_samples
    assert one.mean_fill_samples == other.mean_fill_samples
    assert one.clock_ppm == other.clock_ppm


def play(seed: int, n_steps: int) -> None:
    """A peer and a network with every bad habit, into both."""
    rng = random.Random(seed)
    depth_ms = rng.choice([0, 20, 60, 200])
    adaptive = rng.random() < 0.8
    reference = JitterBuffer(depth_ms, adaptive=adaptive)
    table = MediaTable(2, depth_ms, adaptive=adaptive)
    seat(table)  # a neighbour
    format_ = rng.choice([ULAW, ALAW, SLINEAR])
    compiled = seat(table, format_)
    reference.format = format_
    now = rng.uniform(0, 1e6)
    stamp = rng.choice([0, 20, 65_400, 1 << 31])
    frame_ms = rng.choice([10, 20, 20, 20, 30, 60])
    pending: list[tuple[float, int, bytes]] = []
    jitter_s = rng.choice([0.0, 0.005, 0.03, 0.2])
    silent = False
    for _ in range(n_steps):
        habit = rng.random()
        if habit < 0.01:
            stamp += rng.choice([-500, 1, 3, 400, 5_000, 100_000])
        elif habit < 0.02:
            now += rng.choice([0.1, 0.5, 2.0])  # a stall
        elif habit < 0.03:
            silent = not silent
        elif habit < 0.035:
            for playout in (reference, compiled):
                playout.comfort_noise()
        elif habit < 0.037:
            format_ = rng.choice([ULAW, ALAW, SLINEAR])
            for playout in (reference, compiled):
                playout.format = format_
                playout.clear()
            pending.clear()
        elif habit < 0.05:
            frame_ms = rng.choice([1, 10, 20, 30, 60, 100])
        n = frame_ms * 8 + (rng.randrange(-3, 400) if rng.random() < 0.003 else 0)
        if rng.random() > 0.02:
            arrives = now + rng.uniform(0, jitter_s)
            data = payload(rng, format_, max(n, 0), quiet=silent)
            if rng.random() < 0.003:
                data = data[:-1]
            sloppy = stamp + (rng.randrange(-1, 2) if rng.random() < 0.05 else 0)
            pending += [(arrives, sloppy, data)] * (2 if rng.random() < 0.02 else 1)
        stamp += frame_ms
        pending.sort(key=lambda frame: frame[0])
        while pending and pending[0][0] <= now:
            _, at, data = pending.pop(0)
            reference.put(at, data, now)
            compiled.put(at, data, now)
        now += frame_ms / 1000
        if rng.random() < 0.98:
            n_samples = 160 if rng.random() < 0.95 else rng.choice([80, 240, 480])
            if rng.random() < 0.5:
                held = reference.hold(n_samples)
                assert compiled.hold(n_samples) == held
                if held:
                    continue
            assert compiled.read(n_samples) == reference.read(n_samples)
        if rng.random() < 0.05:
            same(compiled, reference)
    same(compiled, reference)


@pytest.mark.parametrize("seed", range(20))
def test_both_do_the_same_with_whatever_comes(seed: int) -> None:
    play(seed, 1200)


def test_a_call_of_half_an_hour_with_another_clock() -> None:
    table = MediaTable(1)
    reference, compiled = JitterBuffer(), seat(table)
    rng = random.Random(1)
    for n in range(30_000):
        now = n * 0.02 * (1 + 80e-6) + rng.uniform(0, 0.004)
        data = bytes([n % 250]) * 160
        for playout in (reference, compiled):
            playout.put(n * 20, data, now)
        assert compiled.read() == reference.read()
    same(compiled, reference)
    assert compiled.clock_ppm == pytest.approx(-80, abs=2)


def test_a_call_that_cannot_be_made_takes_no_seat() -> None:
    table = MediaTable(1)
    endpoint = Endpoint(random.Random(1), media=table)
    peer = PeerConfig(("192.0.2.1", 4569))
    with pytest.raises(ValueError, match="number to dial"):
        endpoint.call(peer, "1\n", 0.0)
    assert table.n_free == 1
    call = endpoint.call(peer, "1", 0.0)
    assert call.seat is not None
    assert table.n_free == 0


def test_seats_are_taken_and_given_back() -> None:
    table = MediaTable(2)
    first, second = table.new_seat(), table.new_seat()
    assert first is not None
    assert second is not None
    assert table.new_seat() is None
    first.playout.format = ULAW
    first.playout.put(20, bytes(160), 1.0)
    before = first.playout.statistics()
    assert before.frames_received == 1
    first.leave()
    first.leave()
    assert table.n_free == 1
    again = table.new_seat()
    assert again is not None
    assert again.playout.statistics().frames_received == 0
    again.playout.format = ALAW
    again.playout.put(20, bytes(160), 1.0)
    # whoever still holds the call that is over sees its figures, and hears its last audio
    assert first.playout.statistics() == before
    blocks = [first.playout.read(160)[0] for _ in range(6)]
    assert blocks.count(bytes(160)) == 1
    first.playout.put(40, bytes(160), 1.0)
    assert again.playout.statistics().frames_received == 1


@pytest.mark.parametrize(
    "address", [("192.0.2.1", 4569), ("2001:db8::7", 1), ("fe80::1%3", 65535), ("::1", 4569)]
)
def test_socket_addresses(address: Address) -> None:
    assert address_in(name_of(address), ipv6=True) == address


def test_impossible_tables() -> None:
    with pytest.raises(ValueError, match="300 ms is not within 0 to 200 ms"):
        MediaTable(1, 300)
    with pytest.raises(ValueError, match="at least one seat"):
        MediaTable(0)


def test_machine_code_is_renewed_with_all_that_is_built_into_it() -> None:
    for name in ("jitter_kernels", "batch_kernels", "voice_record"):
        text = Path(kernel.__file__).with_name(f"{name}.py").read_text()
        imported = set(re.findall(r"^from iax\.(\w+) import", text, re.MULTILINE))
        assert imported
        assert imported <= set(kernel.SOURCES), name
