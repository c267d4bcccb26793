"""State of one fast-modem receiver, and the words its rooms share.

A receiver searches (qam_search.py), fits its equaliser to the known training (qam_fit.py) and tracks the
data (qam_track.py); qam_rx.py leads from one to the next. All of them read received samples from one ring.
"""

from __future__ import annotations

import numpy as np

from dsp.interruption import INTERRUPTIONS
from dsp.pulse import RX_TAPS

#: Samples of a block, and of the ring that holds the last 640 ms.
BLOCK = 160
RING = 32 * BLOCK
#: The ring's first samples are repeated after its end, so that a filter never has to wrap.
_RING_SPACE = RING + BLOCK
assert RX_TAPS <= BLOCK

#: Half-symbol-spaced equaliser taps; the symbol stands at tap EQ_CENTRE.
EQ_TAPS = 32
EQ_CENTRE = 15
#: Half-symbol samples that the equaliser needs after the symbol's own.
EQ_AHEAD = EQ_TAPS - EQ_CENTRE - 1
#: Longest run of symbols that are equalised together.
CHUNK = 48
#: Symbols that are turned back, decided and learned from together.
BATCH = 8
#: Symbols of the known sequence from which the equaliser is computed.
FIT_SYMBOLS = 384
#: Half-symbol samples at hand: enough for a fit.
WORK = 1024
#: Symbols of the known sequence that find its beginning.
PREFIX = 64

#: Taps of the late echo's filter, and decided symbols kept for it (qam_echo.py).
ECHO_TAPS = 32
ECHO_PAST = 40
#: Symbols whose trellis decisions are kept; a power of two.
TRELLIS_HISTORY = 128

#: Phase jitter (qam_jitter.py): lines that are followed, symbols whose phase errors are averaged, and how
#: many such means a spectrum is made of (0.85 s at 2400 Bd).
JITTER_LINES = 2
JITTER_MEAN = 4
JITTER_PAST = 512
#: Symbols that wait for whoever watches them; a power of two.
SYMBOL_RING = 128

# States.
OFF, SEARCH, ALTERNATION, COLLECT, TRAINING, DATA = range(6)

# Bits of ``events``.
EVENT_TRAINED, EVENT_FAILED, EVENT_CARRIER_LOST, EVENT_TRAINING_SEEN = 1, 2, 4, 8

#: State of one receiver; a zeroed record is off.
QAM_RX = np.dtype(
    [
        ("state", "i4"),
        ("row", "i4"),  # of qam_tables
        ("wanted_row", "i4"),  # the one that was asked for; a long training may come instead of a short one
        ("events", "u1"),
        # samples
        ("n_in", "i8"),  # received since the start
        ("ring", "f4", (_RING_SPACE,)),
        ("bad_from", "i8"),  # the last stretch of samples that cannot be trusted: [bad_from, bad_to)
        ("bad_to", "i8"),
        # search: the last two half blocks
        ("line_re", "f4", (2, 3)),  # below, at and above the carrier
        ("line_im", "f4", (2, 3)),
        ("line_energy", "f4", (2,)),
        ("alone", "u1"),  # the last half block alone had the line spectrum
        ("turn_re", "f4"),  # sum of line phase advances a half block
        ("turn_im", "f4"),
        ("alternation_end", "i8"),  # a sample at which it was surely still on
        ("patience", "i4"),  # blocks until an alternation that led to nothing is forgotten
        ("n_matched", "i4"),  # positions in ``match`` that are computed
        ("match", "f4", (WORK,)),  # how well the known sequence fits when it begins at this half symbol
        # half-symbol samples: received, filtered, mixed down
        ("z_re", "f4", (WORK,)),
        ("z_im", "f4", (WORK,)),
        ("n_z", "i4"),
        ("t_z", "f8"),  # instant of the next one, samples
        # timing
        ("step", "f8"),  # samples a half symbol, as tracked
        ("timing_sum", "f4"),  # of the detector, since the last correction
        ("timing_weight", "f4"),
        ("timing_symbols", "i4"),
        # equaliser and carrier
        ("tap_re", "f4", (EQ_TAPS,)),
        ("tap_im", "f4", (EQ_TAPS,)),
        ("gain", "f4"),  # brings half-symbol samples to unit power
        ("turn", "f8"),  # carrier offset, radians a symbol
        ("angle", "f8"),  # carrier phase, radians
        # late echo
        ("echo", "u1"),  # there is one
        ("echo_re", "f4", (ECHO_TAPS,)),
        ("echo_im", "f4", (ECHO_TAPS,)),
        ("past_re", "f4", (ECHO_PAST + CHUNK,)),  # decided symbols as they were received; then the chunk's
        ("past_im", "f4", (ECHO_PAST + CHUNK,)),
        # phase jitter
        ("jitter_lines", "i4"),  # how many there are
        ("jitter_turn", "f8", (JITTER_LINES,)),  # radians a symbol
        ("jitter_angle", "f8", (JITTER_LINES,)),  # at the next symbol
        ("jitter_re", "f4", (JITTER_LINES,)),  # phase swing with the angle's cosine and sine, radians
        ("jitter_im", "f4", (JITTER_LINES,)),
        ("jitter_age", "i4", (JITTER_LINES,)),  # symbols it has been learned from
        ("jitter_past", "f4", (JITTER_PAST,)),  # means of phase errors
        ("n_jitter_past", "i4"),
        ("jitter_sum", "f4"),  # of the next mean
        ("jitter_symbols", "i4"),
        # symbols and bits
        ("n_symbols", "i4"),  # of the known sequence that have been decided
        ("phase", "i4"),  # of the last symbol, 45° steps; with a trellis code its Y
        ("scrambler_state", "i8"),
        ("byte", "i4"),
        ("n_bits", "i4"),  # in that byte
        ("n_ones", "i4"),  # last bits that were all ones, as at the end of a transmission
        ("d_re", "f4", (BATCH,)),  # the decided points of the symbols under way
        ("d_im", "f4", (BATCH,)),
        # trellis decoder (viterbi.py)
        ("metric", "i8", (8,)),  # of the likeliest path to each state; the lowest bits are that state
        ("least_metric", "i8"),
        ("near_re", "i8", (BATCH,)),  # nearest points of all subsets, eight small numbers in each
        ("near_im", "i8", (BATCH,)),
        ("at_re", "f4", (8 * BATCH,)),  # the symbols under way, each eight times over
        ("at_im", "f4", (8 * BATCH,)),
        ("distance", "i4", (8 * BATCH,)),
        ("best_state", "i4", (BATCH,)),
        ("growth", "f4", (BATCH,)),  # of the likeliest path, by symbol: a squared distance
        ("cell", "i4", (TRELLIS_HISTORY,)),  # where each symbol was received
        ("survivor", "u1", (TRELLIS_HISTORY, 8)),  # state before, by symbol and state
        ("trellis_at", "i4"),  # where the next symbol goes
        ("n_pending", "i4"),  # symbols received but not put out
        # what the last long training taught, for short ones (qam_short.py)
        ("kept", "u1"),
        ("kept_tap_re", "f4", (EQ_TAPS,)),
        ("kept_tap_im", "f4", (EQ_TAPS,)),
        ("kept_gain", "f4"),
        ("kept_turn", "f8"),
        ("kept_step", "f8"),
        ("kept_mse", "f4"),
        ("kept_echo", "u1"),
        ("kept_echo_re", "f4", (ECHO_TAPS,)),
        ("kept_echo_im", "f4", (ECHO_TAPS,)),
        # carrier watch
        ("power", "f4"),  # of the signal, int16 units squared
        ("quiet", "i4"),  # samples that have been quiet up to now
        ("moving", "i4"),  # of these, samples that are not like the one before: every line's noise has them
        ("lost_blocks", "i4"),  # flagged blocks that wait for the next to tell what they were
        ("n_held", "i4"),  # symbols whose bits are held back (qam_hold.py)
        ("n_unheld", "i4"),  # symbols to come that must not be
        ("nonsense", "i4"),  # symbols decided in chunks that made no sense, up to now
        ("hopeless", "i4"),  # blocks since nonsense began
        # symbols for a watcher (dsp/channel.py)
        ("watched", "u1"),
        ("n_watched", "i8"),  # symbols since the start
        ("watched_received", "c8", (SYMBOL_RING,)),
        ("watched_decided", "c8", (SYMBOL_RING,)),
        # measures
        ("mse", "f4"),  # mean squared error of decisions, points of unit energy
        ("snr_db", "f4"),
        ("evm", "f4"),
        ("carrier_offset_hz", "f4"),
        ("clock_offset_ppm", "f4"),
        ("level_dbm0", "f4"),
        ("n_trained", "i4"),
        ("n_failed", "i4"),
        ("n_relocked", "i4"),  # slips overcome
        ("n_lost_samples", "i4"),  # flagged as lost while a carrier was being received
        ("interruptions", INTERRUPTIONS),  # of carriers since the start
    ],
    align=True,
)
