"""V.27ter: 4800 bit/s 8-phase at 1600 Bd and 2400 bit/s 4-phase at 1200 Bd, carrier 1800 Hz."""

from __future__ import annotations

from dsp.constellation import DIBIT_CHANGE, TRIBIT_CHANGE, Points, psk_points
from dsp.modulation import Modulation, TurnOn
from dsp.scrambler import V27TER_SCRAMBLER
from dsp.training import Encoder, v27ter_conditioning

#: Scrambler register at the start of segment 4.
_SCRAMBLER_START = 0x3C
_N_REVERSALS = 50
_N_CONDITIONING = 1074
_N_ONES = 8


def _turn_on(baud: int, n_bits: int, changes: tuple[int, ...], points: Points) -> TurnOn:
    encoder = Encoder(V27TER_SCRAMBLER, _SCRAMBLER_START)
    # The reversals are -1, +1 … +1: fifty of them, so that segment 4 starts from phase 0.
    known = v27ter_conditioning(encoder, _N_CONDITIONING)
    known += encoder.ones(_N_ONES, n_bits, changes, points)
    return TurnOn(
        tep_point=1 + 0j,
        n_tep=baud // 5,  # 200 ms
        n_silence=32,
        alternation=(-1 + 0j, 1 + 0j),
        n_alternation=_N_REVERSALS,
        known=tuple(known),
        scrambler_state=encoder.state,
        phase=encoder.phase,
    )


def _modulation(
    code: int, bit_rate: int, baud: int, changes: tuple[int, ...], points: Points, *, hopeless_mse: float
) -> Modulation:
    n_bits = bit_rate // baud
    return Modulation(
        name="V.27ter",
        code=code,
        bit_rate=bit_rate,
        baud=baud,
        carrier_hz=1800,
        rolloff=0.5,
        bits_per_symbol=n_bits,
        points=points,
        changes=changes,
        scrambler=V27TER_SCRAMBLER,
        turn_on=_turn_on(baud, n_bits, changes, points),
        n_turn_off=baud // 100,  # 5…10 ms
        n_turn_off_silence=baud // 50,  # 20 ms
        hopeless_mse=hopeless_mse,
    )


V27TER_2400 = _modulation(24, 2400, 1200, DIBIT_CHANGE, psk_points(1.0, range(0, 8, 2)), hopeless_mse=0.17)
V27TER_4800 = _modulation(48, 4800, 1600, TRIBIT_CHANGE, psk_points(1.0, range(8)), hopeless_mse=0.045)
