"""All that is known of one call's voice, as a record of a numpy array (`MediaTable`)."""

from __future__ import annotations

import numpy as np

from iax.arrivals import N_BINS, N_WINDOWS
from iax.jitter import MAX_FRAMES
from iax.playout import MAX_FRAME_SAMPLES

MAX_PAYLOAD = 2 * MAX_FRAME_SAMPLES
KEY_WORDS = 6
"""IPv6 address (of IPv4 the mapped form) in four words of 32 bits, port and call number, scope."""

VOICE = np.dtype(
    [
        # whether mini frames may come and go past Python (see `CallMedia`)
        ("rx_open", "u1"),
        ("tx_open", "u1"),
        # Timeline: the peer's clock, anchored by a full voice frame
        ("full_heard", "u1"),
        ("anchored", "u1"),
        ("anchor_stamp", "i8"),
        ("anchor_time", "f8"),
        # Playout
        ("format_code", "i8"),
        ("sample_bytes", "i8"),
        ("n_received", "i8"),
        ("n_duplicate", "i8"),
        ("n_late", "i8"),
        ("n_reordered", "i8"),
        ("n_refused", "i8"),
        ("samples_lost", "i8"),
        ("samples_dropped", "i8"),
        ("samples_inserted", "i8"),
        ("samples_held", "i8"),
        ("held_run", "i8"),
        ("gaps_closed", "i8"),
        ("n_restarts", "i8"),
        ("jitter_s", "f8"),
        ("has_transit", "u1"),
        ("transit_s", "f8"),
        # Arrivals
        ("has_window", "u1"),
        ("window_ends", "f8"),
        ("least", "f8"),
        ("least_at", "f8"),
        ("has_floor", "u1"),
        ("floor_s", "f8"),
        ("n_points", "i8"),
        ("first_point", "i8"),
        ("points_at", "f8", (N_WINDOWS,)),
        ("points_least", "f8", (N_WINDOWS,)),
        ("bins", "i4", (N_BINS,)),
        ("n_binned", "i8"),
        # JitterBuffer
        ("base_depth", "i8"),
        ("depth", "i8"),
        ("max_depth", "i8"),
        ("adaptive", "u1"),
        ("n_frames", "i8"),
        ("top", "i8"),  # no frame from this index on
        ("used", "u1", (MAX_FRAMES,)),
        ("at", "i8", (MAX_FRAMES,)),
        ("octets", "i8", (MAX_FRAMES,)),
        ("n_seen", "i8"),
        ("first_seen", "i8"),
        ("seen", "i8", (MAX_FRAMES,)),
        ("playing", "u1"),
        ("play_at", "i8"),
        ("being_read", "u1"),
        ("closed", "i8"),
        ("first", "i8"),
        ("newest_end", "i8"),
        ("mean_fill", "f8"),
        ("late_run", "i8"),
        ("jump_run", "i8"),
        ("jump_next", "i8"),
        ("missing_run", "i8"),
        ("announced_silence", "u1"),
        ("quiet_run", "i8"),
        ("last_late", "i8"),
        # VoiceSender and the stamps of Link
        ("local", "i8"),
        ("has_next", "u1"),
        ("next_stamp", "i8"),
        ("epoch", "i8"),
        ("sent_format", "i8"),
        ("frames_sent", "i8"),
        ("voice_stamp", "i8"),
        ("voice_time", "f8"),
        ("last_stamp", "i8"),
        # the peer: as the hash table and sendmmsg want it
        ("has_key", "u1"),
        ("key", "i8", (KEY_WORDS,)),
    ],
    align=True,
)
"""One call."""
