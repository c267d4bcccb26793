"""A jitter buffer whose samples are counted: loss, order, duplicates, lateness, clocks, floods."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iax.arrival_queue import ArrivalQueue
from iax.formats import SLINEAR, Format
from iax.jitter import DEFAULT_DEPTH_MS, MAX_FRAMES, JitterBuffer
from iax.playout import CAPACITY_SAMPLES, HOLD_MAX_SAMPLES, LOST_RUN_SAMPLES, Playout

SILENT = b"\xff" * 160
DEPTH_BLOCKS = DEFAULT_DEPTH_MS // 20


def block(n: int) -> bytes:
    """A frame that no silence equals and that tells its number."""
    return bytes([1 + n % 100, 1 + n // 100 % 100]) * 80


def number_of(payload: bytes) -> int:
    """The number of a block."""
    return payload[0] - 1 + (payload[1] - 1) * 100


def play(
    buffer: Playout, arrivals: list[tuple[float, int]], n_reads: int, first_read: float = 0.011
) -> tuple[list[bytes], list[bool]]:
    """Feed frames number N at their arrival times; read a block every 20 ms."""
    events = [(time, 0, n) for time, n in arrivals]
    events += [(first_read + k * 0.02, 1, k) for k in range(n_reads)]
    payloads, lost = [], []
    for time, kind, n in sorted(events):
        if kind == 0:
            buffer.put(5000 + n * 20, block(n), time)
        else:
            payload, is_lost = buffer.read(160)
            payloads.append(payload)
            lost.append(is_lost)
    return payloads, lost


def on_time(numbers: range | list[int]) -> list[tuple[float, int]]:
    return [(n * 0.02, n) for n in numbers]


class TestJitterBuffer:
    def test_a_clean_stream_passes_whole(self) -> None:
        buffer = JitterBuffer()
        payloads, lost = play(buffer, on_time(range(500)), 500)
        assert payloads[:DEPTH_BLOCKS] == [SILENT] * DEPTH_BLOCKS
        assert payloads[DEPTH_BLOCKS:] == [block(n) for n in range(500 - DEPTH_BLOCKS)]
        assert not any(lost)
        media = buffer.statistics()
        assert media.frames_received == 500
        assert media.samples_lost == media.samples_dropped == media.samples_inserted == media.restarts == 0
        assert buffer.mean_fill_samples == pytest.approx(buffer.depth_samples)

    def test_what_is_missing_becomes_exactly_as_much_flagged_silence(self) -> None:
        missing = {10, 11, 12, 50, 51, 120}
        arrivals = on_time([n for n in range(200) if n not in missing])
        buffer = JitterBuffer()
        payloads, lost = play(buffer, arrivals, 200)
        for n in range(200 - DEPTH_BLOCKS):
            at = n + DEPTH_BLOCKS
            assert payloads[at] == (SILENT if n in missing else block(n)), n
            assert lost[at] == (n in missing), n
        assert buffer.statistics().samples_lost == len(missing) * 160

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 2**32), st.sampled_from([0.0, 0.02, 0.2]), st.sampled_from([0.0, 0.055]))
    def test_order_duplicates_and_loss_never_change_the_count(
        self, seed: int, loss: float, jitter_s: float
    ) -> None:
        rng = random.Random(seed)
        arrivals = []
        for n in range(300):
            copies = 0 if n and rng.random() < loss else 1 + (rng.random() < 0.1)
            arrivals += [(n * 0.02 + (rng.uniform(0, jitter_s) if n else 0), n) for _ in range(copies)]
        there = {n for _, n in arrivals}
        buffer = JitterBuffer()
        payloads, lost = play(buffer, arrivals, 320)
        for n in range(300):
            at = n + DEPTH_BLOCKS
            assert payloads[at] == (block(n) if n in there else SILENT)
            assert lost[at] == (n not in there)

    def test_late_frames_are_counted_and_not_played_twice(self) -> None:
        arrivals = on_time([n for n in range(100) if n != 40])
        arrivals += [(40 * 0.02 + 0.3, 40), (41 * 0.02 + 0.3, 41)]  # one late, one late duplicate
        buffer = JitterBuffer(adaptive=False)
        payloads, lost = play(buffer, arrivals, 100)
        assert lost.count(True) == 1
        assert payloads[40 + DEPTH_BLOCKS] == SILENT
        assert payloads[41 + DEPTH_BLOCKS :] == [block(n) for n in range(41, 100 - DEPTH_BLOCKS)]
        media = buffer.statistics()
        assert (media.frames_late, media.frames_duplicate) == (1, 1)

    def test_a_path_that_grows_longer_for_good_is_followed(self) -> None:
        arrivals = [(n * 0.02 + (0.25 if n >= 100 else 0.0), n) for n in range(400)]
        buffer = JitterBuffer(max_depth_ms=60)
        payloads, lost = play(buffer, arrivals, 400)
        assert buffer.statistics().restarts == 1
        assert not any(lost[-100:])
        assert payloads[-100:] == [block(n) for n in range(number_of(payloads[-100]), 400)][:100]

    def test_late_frames_make_the_depth_grow_and_quiet_makes_it_come_true(self) -> None:
        quiet = SILENT
        buffer = JitterBuffer()
        start_depth = buffer.depth_samples
        rng = random.Random(7)
        events = [(n * 0.02 + rng.choice([0, 0, 0, 0.12]), 0, n) for n in range(3000)]
        events += [(0.011 + k * 0.02, 1, k) for k in range(3000)]
        late_by_third = []
        for time, kind, n in sorted(events):
            if kind:
                buffer.read(160)
                if n % 1000 == 999:
                    late_by_third.append(buffer.statistics().frames_late)
            else:
                buffer.put(n * 20, quiet if n % 50 < 25 else block(n), time)
        assert buffer.depth_samples > start_depth
        assert buffer.statistics().samples_inserted > 0
        assert late_by_third[0] > 0
        assert late_by_third[2] == late_by_third[1]

    def test_excess_is_left_out_in_silence_only(self) -> None:
        buffer = JitterBuffer()
        buffer.read(160)
        for n in range(30):  # a burst: the line was held up
            buffer.put(n * 20, block(n), 0.0)
        played = []
        n_frames = 600
        for n in range(30, n_frames):
            buffer.put(n * 20, SILENT if 300 <= n < 450 else block(n), n * 0.02)
            played.append(buffer.read(160)[0])
        for _ in range(30):
            played.append(buffer.read(160)[0])
        audio = [payload for payload in played if payload != SILENT]
        assert audio == [block(n) for n in range(n_frames) if not 300 <= n < 450]
        assert buffer.statistics().samples_dropped > 20 * 160

    def test_clock_that_is_never_steered_is_bounded(self) -> None:
        buffer = JitterBuffer()
        for n in range(5000):
            buffer.put(n * 20, block(n), n * 0.02)
            if n % 2:
                buffer.read(160)
            assert buffer.fill_samples <= CAPACITY_SAMPLES + 160
        assert buffer.statistics().samples_dropped > 0

    def test_nobody_reading_keeps_only_the_newest(self) -> None:
        buffer = JitterBuffer()
        for n in range(1000):
            buffer.put(n * 20, block(n), n * 0.02)
        assert buffer.fill_samples == buffer.depth_samples
        assert buffer.read(160)[0] == block(1000 - 1 - DEPTH_BLOCKS)

    @pytest.mark.parametrize("length_ms", [10, 20, 30, 40, 60])
    def test_frames_of_any_length(self, length_ms: int) -> None:
        rng = random.Random(length_ms)
        audio = bytes(rng.randrange(1, 255) for _ in range(8 * 3000))
        buffer = JitterBuffer()
        heard = bytearray()
        size = 8 * length_ms
        next_frame = 0
        for k in range(150):
            while next_frame * length_ms <= k * 20 and (next_frame + 1) * size <= len(audio):
                buffer.put(next_frame * length_ms, audio[next_frame * size :][:size], k * 0.02)
                next_frame += 1
            heard += buffer.read(160)[0]
        start = heard.index(audio[:40])
        n = len(heard) - start
        assert n > 8 * 2800
        assert heard[start:] == audio[:n]

    def test_sloppy_stamps_tear_no_holes(self) -> None:
        rng = random.Random(3)
        buffer = JitterBuffer()
        payloads = []
        for n in range(300):
            buffer.put(n * 20 + (rng.randint(-3, 3) if n else 0), block(n), n * 0.02)
            payload, lost = buffer.read(160)
            payloads.append(payload)
            assert not lost
        assert payloads[DEPTH_BLOCKS:] == [block(n) for n in range(300 - DEPTH_BLOCKS)]

    def test_one_wild_stamp_is_dropped_and_a_lasting_jump_is_followed(self) -> None:
        buffer = JitterBuffer()
        arrivals = on_time(range(200))
        payloads, lost = [], []
        for time, n in arrivals:
            buffer.put(n * 20 if n < 100 else 1_000_000 + n * 20, block(n), time)
            if n == 50:
                buffer.put(123_456_789, block(9), time)
            payload, is_lost = buffer.read(160)
            payloads.append(payload)
            lost.append(is_lost)
        assert payloads[DEPTH_BLOCKS:100] == [block(n) for n in range(100 - DEPTH_BLOCKS)]
        assert payloads[-50:] == [block(n) for n in range(150 - DEPTH_BLOCKS, 200 - DEPTH_BLOCKS)]
        assert buffer.statistics().restarts == 1
        assert buffer.statistics().frames_refused == 3  # the stray, and two until the jump is believed

    def test_a_peer_that_stops_sending_is_silence_not_loss(self) -> None:
        buffer = JitterBuffer()
        payloads, lost = play(buffer, on_time([*range(50), *range(200, 250)]), 250)
        gap = slice(50 + DEPTH_BLOCKS, 200 + DEPTH_BLOCKS)
        assert payloads[gap] == [SILENT] * 150
        assert lost[gap] == [True] * (LOST_RUN_SAMPLES // 160) + [False] * (150 - LOST_RUN_SAMPLES // 160)
        assert payloads[200 + DEPTH_BLOCKS :] == [block(n) for n in range(200, 250 - DEPTH_BLOCKS)]

    def test_announced_silence_is_not_loss(self) -> None:
        buffer = JitterBuffer()
        for n in range(10):
            buffer.put(n * 20, block(n), n * 0.02)
            buffer.read(160)
        buffer.comfort_noise()
        assert not any(buffer.read(160)[1] for _ in range(20))

    @pytest.mark.parametrize("format_", Format)
    def test_silence_is_of_the_format(self, format_: Format) -> None:
        buffer = JitterBuffer()
        buffer.format = format_
        payload, lost = buffer.read(160)
        assert payload == format_.silence(160)
        assert len(payload) == 160 * format_.sample_bytes
        assert not lost

    def test_a_flood_of_stamps_is_bounded(self) -> None:
        buffer = JitterBuffer()
        rng = random.Random(5)
        for _ in range(20_000):
            buffer.put(rng.randrange(0, 3000), b"\x01" * rng.randrange(1, 100), 0.0)
        assert len(buffer._frames) <= MAX_FRAMES
        assert len(buffer._seen) <= MAX_FRAMES + 1

    @pytest.mark.parametrize("payload", [b"", b"\x01" * 801, b"\x01" * 4000])
    def test_impossible_lengths_are_refused(self, payload: bytes) -> None:
        for buffer in (JitterBuffer(), ArrivalQueue()):
            buffer.put(0, payload, 0.0)
            assert buffer.statistics().frames_refused == 1
            assert buffer.statistics().frames_received == 0

    def test_half_a_sample_is_refused(self) -> None:
        buffer = JitterBuffer()
        buffer.format = SLINEAR
        buffer.put(0, b"\x01" * 161, 0.0)
        assert buffer.statistics().frames_refused == 1

    def test_depth_zero_passes_in_time_audio_at_once(self) -> None:
        buffer = JitterBuffer(0, adaptive=False)
        for n in range(50):
            buffer.put(n * 20, block(n), n * 0.02)
            assert buffer.read(160) == (block(n), False)

    def test_impossible_depths_are_refused(self) -> None:
        with pytest.raises(ValueError, match="depth of 500 ms"):
            JitterBuffer(500)


class TestArrivalQueue:
    def test_plays_in_order_of_arrival(self) -> None:
        queue = ArrivalQueue()
        assert queue.read(160) == (SILENT, False)
        for n in (0, 2, 1, 1):
            queue.put(n * 20, block(n), 0.0)
        assert queue.fill_samples == 640
        assert [queue.read(160)[0] for _ in range(4)] == [block(0), block(2), block(1), block(1)]
        assert queue.read(160) == (SILENT, True)
        assert queue.statistics().samples_lost == 160

    def test_is_bounded(self) -> None:
        queue = ArrivalQueue()
        for n in range(1000):
            queue.put(n * 20, block(n), 0.0)
        assert queue.fill_samples == CAPACITY_SAMPLES
        assert queue.read(160)[0] == block(1000 - CAPACITY_SAMPLES // 160)


@pytest.mark.parametrize("new_playout", [JitterBuffer, ArrivalQueue])
class TestHold:
    """A reader that waits while nothing comes misses nothing (a stall), and does not wait for ever."""

    @staticmethod
    def read_all(buffer: Playout, n_reads: int) -> tuple[list[bytes], list[bool], int]:
        heard, lost, n_held = [], [], 0
        for _ in range(n_reads):
            if buffer.hold(160):
                n_held += 1
                continue
            payload, is_lost = buffer.read(160)
            heard.append(payload)
            lost.append(is_lost)
        return heard, lost, n_held

    def test_a_stall_costs_no_audio(self, new_playout: type[Playout]) -> None:
        buffer = new_playout()
        for n in range(50):
            buffer.put(n * 20, block(n), n * 0.02)
            if n < DEPTH_BLOCKS:
                buffer.read(160)
        before, lost_before, _ = self.read_all(buffer, 60)
        assert before[-1] == block(49)
        for n in range(50, 100):  # all at once, 400 ms late
            buffer.put(n * 20, block(n), n * 0.02 + 0.4)
        after, lost_after, n_held = self.read_all(buffer, 50)
        assert after == [block(n) for n in range(50, 100)]
        assert not any(lost_before + lost_after)
        assert n_held == 0
        statistics = buffer.statistics()
        assert statistics.samples_lost == statistics.frames_late == 0
        assert statistics.samples_held == (60 - len(before)) * 160 > 0

    def test_a_sender_that_was_stalled_is_followed(self, new_playout: type[Playout]) -> None:
        """Asterisk after a stall of itself: the audio goes on, the time stamps have jumped."""
        buffer = new_playout()
        heard: list[bytes] = []
        for n in range(50):
            buffer.put(n * 20, block(n), n * 0.02)
            if n > DEPTH_BLOCKS and not buffer.hold(160):
                heard.append(buffer.read(160)[0])
        for _ in range(22):  # 440 ms without a frame
            heard += [buffer.read(160)[0]] if not buffer.hold(160) else []
        for n in range(50, 150):
            buffer.put(n * 20 + 440, block(n), n * 0.02 + 0.44)
            heard += [buffer.read(160)[0]] if not buffer.hold(160) else []
        audio = [payload for payload in heard if payload != SILENT]
        numbers = [number_of(payload) for payload in audio]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert len(numbers) > 135
        assert buffer.statistics().samples_lost == 0
        assert buffer.statistics().gaps_closed == (new_playout is JitterBuffer)

    @pytest.mark.parametrize("stall_ms", [160, 200, 360, 900])
    @pytest.mark.parametrize("in_the_socket", [0, 1, 2])
    def test_a_stall_of_both_ends_costs_no_audio(
        self, new_playout: type[Playout], in_the_socket: int, stall_ms: int
    ) -> None:
        """Two modems of one process, Asterisk between them: the reader stood still too, and has not waited;
        what lay in its socket came before the stall."""
        buffer = new_playout()
        heard: list[bytes] = []
        for n in range(150):
            stall_s = stall_ms / 1000 if n >= 50 - in_the_socket else 0
            stamp_ms = n * 20 + (stall_ms if n >= 50 else 0)
            buffer.put(stamp_ms, block(n), max(n * 0.02 + stall_s, 1 + stall_s if stall_s else 0))
            if n > DEPTH_BLOCKS and not buffer.hold(160):
                heard.append(buffer.read(160)[0])
        numbers = [number_of(payload) for payload in heard if payload != SILENT]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert len(numbers) > 135
        assert buffer.statistics().samples_lost == 0
        assert buffer.statistics().gaps_closed == (new_playout is JitterBuffer)

    def test_a_machine_too_slow_for_both_ends_costs_no_audio(self, new_playout: type[Playout]) -> None:
        """Reader and sender get every second turn only, until Asterisk makes up for it in its stamps."""
        buffer = new_playout()
        heard: list[bytes] = []
        for n in range(150):
            behind = min(max(n - 50, 0), 9)
            buffer.put(n * 20 + (180 if n >= 60 else 0), block(n), (n + behind) * 0.02)
            if n > DEPTH_BLOCKS and not buffer.hold(160):
                heard.append(buffer.read(160)[0])
        numbers = [number_of(payload) for payload in heard if payload != SILENT]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert len(numbers) > 135
        assert buffer.statistics().samples_lost == 0

    def test_wild_disorder_is_no_jump_of_the_stamps(self, new_playout: type[Playout]) -> None:
        rng = random.Random(11)
        buffer = new_playout()
        arrivals = sorted((n * 0.02 + rng.uniform(0, 0.25), n) for n in range(400))
        ahead = [b - a for (_, a), (_, b) in pairwise(arrivals) if b - a > 8]
        assert ahead, "frames come more than eight before their time"
        for now, n in arrivals:
            buffer.put(n * 20, block(n), now)
        assert buffer.statistics().gaps_closed == 0

    def test_what_is_missing_amid_others_is_lost_at_once(self, new_playout: type[Playout]) -> None:
        if new_playout is ArrivalQueue:
            return  # it knows no gaps: what has come is all there is
        buffer = new_playout()
        for n in (0, 1, 2, 3, 5, 6, 7, 8):
            buffer.put(n * 20, block(n), n * 0.02)
            buffer.read(160) if n < DEPTH_BLOCKS else None
        heard, lost, n_held = self.read_all(buffer, 9)
        assert (heard.count(SILENT), sum(lost), n_held) == (1, 1, 0)

    def test_a_peer_that_stopped_is_silent_after_a_second(self, new_playout: type[Playout]) -> None:
        buffer = new_playout()
        for n in range(4):
            buffer.put(n * 20, block(n), n * 0.02)
        heard, _, n_held = self.read_all(buffer, 60)
        assert n_held == HOLD_MAX_SAMPLES // 160
        assert heard[-1] == SILENT

    def test_announced_silence_and_a_call_without_audio_are_not_waited_for(
        self, new_playout: type[Playout]
    ) -> None:
        buffer = new_playout()
        assert not buffer.hold(160)
        for n in range(DEPTH_BLOCKS + 1):
            buffer.put(n * 20, block(n), n * 0.02)
        self.read_all(buffer, 2 * DEPTH_BLOCKS + 1)
        buffer.comfort_noise()
        assert not buffer.hold(160)
