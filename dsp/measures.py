"""What a channel has measured of the signals it received."""

from __future__ import annotations

from dataclasses import dataclass

from dsp.interruption import Interruption


@dataclass(frozen=True, slots=True)
class Measures:
    """A snapshot; figures of the fast modem are of its present or last carrier, 0 before the first."""

    level_dbm0: float  #: of the carrier being received, or of the last one; of the line if there was none
    snr_db: float  #: at the fast receiver's decisions
    evm: float  #: error vector magnitude, rms, as a share of the rms symbol
    carrier_offset_hz: float
    clock_offset_ppm: float  #: the far end's clock against ours; positive: theirs is fast
    v21_snr_db: float  #: of the V.21 carrier, over 0–4 kHz; 0 before the first flags
    v21_carrier_offset_hz: float  #: of both its tones together
    n_trained: int  #: trainings learnt, and tried in vain
    n_training_failed: int
    n_frames_good: int  #: V.21 frames with a right FCS
    n_frames_bad: int
    n_lost_blocks: int  #: blocks of 20 ms that never arrived
    n_lost_samples: int  #: of these, samples in the midst of a fast carrier
    n_slips: int  #: times that a fast carrier went on at another instant or phase and was found again
    n_clipped_samples: int  #: transmitted samples cut to the int16 range
    interruptions: tuple[Interruption, ...]  #: of the fast carriers since the order to receive: the last 32
