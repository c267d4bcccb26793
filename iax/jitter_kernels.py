"""The jitter buffer and the arrival statistics on records of `VOICE`, compiled.

Each function does exactly what the method named in it does in Python, which stays the reference: a test feeds
both the same frames and compares everything.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iax.arrivals import MAX_STEP_S, N_BINS, N_WINDOWS, WINDOW_S
from iax.formats import FRAME_SAMPLES, SAMPLE_RATE, SAMPLES_PER_MS, Format
from iax.jitter import (
    ADJUST_SLACK_SAMPLES,
    CLOSE_GAP_AFTER_SAMPLES,
    JUMP_EARLY_S,
    JUMP_RUN,
    JUMP_TO_JITTER,
    LATE_RUN,
    MAX_FRAMES,
    MAX_JUMP_SAMPLES,
    QUIET_ALAW,
    QUIET_RUN,
    QUIET_ULAW,
    SHRINK_AFTER_SAMPLES,
    STAMP_JUMP_SAMPLES,
)
from iax.kernel import Record, kernel
from iax.playout import CAPACITY_SAMPLES, HOLD_MAX_SAMPLES, LOST_RUN_SAMPLES, MAX_FRAME_SAMPLES

JUMP_NEAR = SAMPLE_RATE // 2

ULAW, ALAW, SLINEAR = int(Format.ULAW), int(Format.ALAW), int(Format.SLINEAR)

_quiet = np.zeros((3, 256), np.uint8)
for _row, _codes in enumerate((QUIET_ULAW, QUIET_ALAW, b"\x00\xff")):
    _quiet[_row, list(_codes)] = 1
QUIET = _quiet


# -- Arrivals.note ------------------------------------------------------------------------------------------


@kernel
def _fastest_s(rec: Record) -> float:
    return float(min(rec.least, rec.floor_s) if rec.has_floor else rec.least)


@kernel
def note_arrival(rec: Record, timestamp_ms: int, now: float) -> None:
    """Playout._note_arrival."""
    transit = now - timestamp_ms / 1000
    if rec.has_transit:
        rec.jitter_s += (abs(transit - rec.transit_s) - rec.jitter_s) / 16
    rec.transit_s = transit
    rec.has_transit = 1
    if not rec.has_window or now >= rec.window_ends:
        if rec.has_window:
            if rec.n_points:
                last = (rec.first_point + rec.n_points - 1) % N_WINDOWS
                if abs(rec.least - rec.points_least[last]) > MAX_STEP_S:
                    rec.n_points = 0
            if rec.n_points == N_WINDOWS:
                rec.first_point = (rec.first_point + 1) % N_WINDOWS
                rec.n_points -= 1
            new = (rec.first_point + rec.n_points) % N_WINDOWS
            rec.points_at[new] = rec.least_at
            rec.points_least[new] = rec.least
            rec.n_points += 1
            rec.floor_s = rec.least
            rec.has_floor = 1
            if transit - rec.least > 10 * MAX_STEP_S or rec.least - transit > MAX_STEP_S:
                rec.has_floor = 0
        rec.window_ends = now + WINDOW_S
        rec.has_window = 1
        rec.least = transit
        rec.least_at = now
    elif transit < rec.least:
        rec.least = transit
        rec.least_at = now
    late_ms = int((transit - _fastest_s(rec)) * 1000)
    rec.bins[late_ms if late_ms < N_BINS else N_BINS - 1] += 1
    rec.n_binned += 1


# -- JitterBuffer -------------------------------------------------------------------------------------------


@kernel
def _find(rec: Record, position: int) -> int:
    for k in range(rec.top):
        if rec.used[k] and rec.at[k] == position:
            return k
    return -1


@kernel
def _drop(rec: Record, k: int) -> None:
    rec.used[k] = 0
    rec.n_frames -= 1
    while rec.top > 0 and not rec.used[rec.top - 1]:
        rec.top -= 1


@kernel
def _clear_frames(rec: Record) -> None:
    for k in range(rec.top):
        rec.used[k] = 0
    rec.n_frames = 0
    rec.top = 0


@kernel
def clear(rec: Record) -> None:
    """JitterBuffer.clear."""
    _clear_frames(rec)
    rec.n_seen = 0
    rec.playing = 0
    rec.closed = 0


@kernel
def _start(rec: Record, position: int) -> None:
    if not rec.playing:
        rec.first = position
    else:
        rec.n_restarts += 1
        rec.first = min(rec.first, position - rec.depth)
    newest = position
    kept = False
    for k in range(rec.top - 1, -1, -1):
        if not rec.used[k]:
            continue
        if rec.at[k] < position:
            _drop(rec, k)
        else:
            end = rec.at[k] + rec.octets[k] // rec.sample_bytes
            newest = max(newest, end) if kept else end
            kept = True
    rec.n_seen = 0
    rec.play_at = position - rec.depth
    rec.playing = 1
    rec.newest_end = newest
    rec.mean_fill = float(rec.depth + FRAME_SAMPLES)
    rec.late_run = 0
    rec.jump_run = 0
    rec.missing_run = 0
    rec.last_late = position


@kernel
def _advance(rec: Record, position: int) -> None:
    rec.play_at = position
    for k in range(rec.top - 1, -1, -1):
        if rec.used[k] and rec.at[k] + rec.octets[k] // rec.sample_bytes <= position:
            _drop(rec, k)


@kernel
def _is_stamp_jump(rec: Record, gap: int, transit_s: float) -> bool:
    return bool(
        rec.play_at <= rec.newest_end
        and gap >= max(STAMP_JUMP_SAMPLES, JUMP_TO_JITTER * rec.jitter_s * SAMPLE_RATE)
        and transit_s >= _fastest_s(rec) - JUMP_EARLY_S
    )


@kernel
def put(
    rec: Record, payloads: NDArray[np.uint8], timestamp_ms: int, payload: NDArray[np.uint8], now: float
) -> None:
    """JitterBuffer.put; PAYLOADS: this call's rows."""
    octets = len(payload)
    n = octets // rec.sample_bytes
    if not 0 < n <= MAX_FRAME_SAMPLES or octets % rec.sample_bytes:
        rec.n_refused += 1
        return
    position = timestamp_ms * SAMPLES_PER_MS - rec.closed
    if not rec.playing:
        _start(rec, position)
    else:
        offset = position - rec.newest_end
        position = rec.newest_end + (offset + n // 2) // n * n
        gap = position - rec.newest_end
        has_waited = rec.held_run >= CLOSE_GAP_AFTER_SAMPLES and gap <= rec.held_run + rec.max_depth
        if gap > 0 and (has_waited or _is_stamp_jump(rec, gap, now - timestamp_ms / 1000)):
            rec.closed += gap
            rec.gaps_closed += 1
            position -= gap
        if not -MAX_JUMP_SAMPLES <= position - rec.play_at <= MAX_JUMP_SAMPLES:
            rec.jump_run = rec.jump_run + 1 if abs(position - rec.jump_next) < JUMP_NEAR else 1
            rec.jump_next = position + n
            if rec.jump_run < JUMP_RUN:
                rec.n_refused += 1
                return
            _clear_frames(rec)
            _start(rec, position)
    for k in range(rec.n_seen):
        if rec.seen[k] == position:
            rec.n_duplicate += 1
            return
    note_arrival(rec, timestamp_ms, now)
    rec.n_received += 1
    rec.announced_silence = 0
    rec.jump_run = 0
    if position + n <= rec.play_at:
        rec.n_late += 1
        rec.late_run += 1
        rec.last_late = rec.play_at
        if rec.adaptive:
            wanted = rec.depth + -(-(rec.play_at - position) // FRAME_SAMPLES) * FRAME_SAMPLES
            rec.depth = min(rec.max_depth, max(rec.depth, wanted))
        if rec.late_run < LATE_RUN:
            return
        _start(rec, position)
    rec.late_run = 0
    if rec.n_frames >= MAX_FRAMES:
        rec.n_refused += 1
        return
    k = _find(rec, position)
    if k < 0:
        k = 0
        while rec.used[k]:
            k += 1
        rec.used[k] = 1
        rec.n_frames += 1
        rec.top = max(rec.top, k + 1)
    rec.at[k] = position
    rec.octets[k] = octets
    payloads[k, :octets] = payload
    if rec.n_seen < MAX_FRAMES:
        rec.seen[rec.n_seen] = position
        rec.n_seen += 1
        rec.first_seen = 0
    else:  # the oldest goes
        rec.seen[rec.first_seen] = position
        rec.first_seen = (rec.first_seen + 1) % MAX_FRAMES
    if position < rec.newest_end:
        rec.n_reordered += 1
        return
    rec.newest_end = position + n
    backlog = rec.newest_end - rec.play_at
    depth_samples = rec.depth + FRAME_SAMPLES
    if not rec.being_read and backlog > depth_samples:
        _advance(rec, rec.newest_end - depth_samples)
    elif backlog > CAPACITY_SAMPLES:
        rec.samples_dropped += backlog - depth_samples
        _advance(rec, rec.newest_end - depth_samples)


@kernel
def hold(rec: Record, n_samples: int) -> bool:
    """Playout.hold."""
    waits = rec.being_read and not rec.announced_silence and rec.playing and rec.newest_end <= rec.play_at
    if not waits:
        rec.held_run = 0
        return False
    if rec.held_run >= HOLD_MAX_SAMPLES:
        return False
    rec.held_run += n_samples
    rec.samples_held += n_samples
    return True


@kernel
def _silence(rec: Record, out: NDArray[np.uint8], octets: int) -> None:
    code = 0xFF if rec.format_code == ULAW else 0xD5 if rec.format_code == ALAW else 0
    for i in range(octets):
        out[i] = code


@kernel
def _is_quiet(rec: Record, payload: NDArray[np.uint8], octets: int) -> bool:
    if rec.format_code == SLINEAR:
        for i in range(0, octets, 2):  # noqa: SIM110 - a loop compiles better
            if not QUIET[2, payload[i]]:
                return False
        return True
    row = 0 if rec.format_code == ULAW else 1
    for i in range(octets):  # noqa: SIM110
        if not QUIET[row, payload[i]]:
            return False
    return True


@kernel
def read(rec: Record, payloads: NDArray[np.uint8], n_samples: int, out: NDArray[np.uint8]) -> bool:
    """JitterBuffer.read into OUT; return whether any sample stands in for audio that never arrived."""
    rec.being_read = 1
    wanted = n_samples * rec.sample_bytes
    if not rec.playing:
        _silence(rec, out, wanted)
        return False
    start = rec.play_at
    fill = rec.newest_end - start
    if fill > 0:
        rec.mean_fill += (fill - rec.mean_fill) / 32
        depth_samples = rec.depth + FRAME_SAMPLES
        if rec.adaptive and abs(rec.mean_fill - depth_samples) > ADJUST_SLACK_SAMPLES:
            k = _find(rec, start)
            if k < 0 or not _is_quiet(rec, payloads[k], rec.octets[k]):
                rec.quiet_run = 0
            else:
                rec.quiet_run += 1
                if rec.quiet_run >= QUIET_RUN:
                    rec.quiet_run = 0
                    if rec.mean_fill < depth_samples:
                        rec.mean_fill += n_samples
                        rec.samples_inserted += n_samples
                        _silence(rec, out, wanted)
                        return False
                    skipped = rec.octets[k] // rec.sample_bytes
                    _drop(rec, k)
                    rec.mean_fill -= skipped
                    rec.samples_dropped += skipped
                    start += skipped
    if rec.depth > rec.base_depth and start - rec.last_late > SHRINK_AFTER_SAMPLES:
        rec.depth = max(rec.base_depth, rec.depth - FRAME_SAMPLES)
        rec.last_late = start
    rec.play_at = start + n_samples
    k = _find(rec, start)
    if k >= 0 and rec.octets[k] == wanted:
        for i in range(wanted):
            out[i] = payloads[k, i]
        _drop(rec, k)
        rec.missing_run = 0
        return False
    return _assemble(rec, payloads, start, start + n_samples, out)


@kernel
def _assemble(rec: Record, payloads: NDArray[np.uint8], start: int, end: int, out: NDArray[np.uint8]) -> bool:
    sample_bytes = rec.sample_bytes
    _silence(rec, out, (end - start) * sample_bytes)
    at = start
    covered = 0
    behind = -(1 << 62)
    while True:
        k = -1  # the first frame behind the last one
        for other in range(rec.top):
            if rec.used[other] and behind < rec.at[other] < end and (k < 0 or rec.at[other] < rec.at[k]):
                k = other
        if k < 0:
            break
        position = rec.at[k]
        behind = position
        frame_end = position + rec.octets[k] // sample_bytes
        low = max(position, at)
        high = min(frame_end, end)
        if low < high:
            first = (low - position) * sample_bytes
            to = (low - start) * sample_bytes
            for i in range((high - low) * sample_bytes):
                out[to + i] = payloads[k, first + i]
            covered += high - low
            at = high
        if frame_end <= end:
            _drop(rec, k)
    missing = end - start - covered - max(0, min(end, rec.first) - start)
    if missing <= 0:
        rec.missing_run = 0
        return False
    rec.missing_run = missing if covered else rec.missing_run + missing
    lost = rec.missing_run <= LOST_RUN_SAMPLES and not rec.announced_silence
    if lost:
        rec.samples_lost += missing
    return bool(lost)
