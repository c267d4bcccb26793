"""V.29: 9600, 7200 and 4800 bit/s at 2400 Bd, carrier 1700 Hz (fax uses the first two)."""

from __future__ import annotations

from dsp.constellation import DIBIT_CHANGE, TRIBIT_CHANGE, Points, psk_points, v29_points, v29_quadbit_changes
from dsp.modulation import Modulation, TurnOn
from dsp.scrambler import V29_SCRAMBLER
from dsp.training import Encoder, v29_conditioning

#: V.29's fall-back to 4800 bit/s has no T.31 code: this one is only ours.
V29_4800_CODE = 2948

_N_ONES = 48


def _turn_on(b: complex, n_bits: int, changes: tuple[int, ...], points: Points) -> TurnOn:
    """V.29 §8 table 4: silence, ABAB…, C and D by a generator, scrambled ones; A = -C, B = -D."""
    a, c, d = -3 + 0j, 3 + 0j, -b
    encoder = Encoder(V29_SCRAMBLER, 0)
    known = v29_conditioning(384, c, d) + encoder.ones(_N_ONES, n_bits, changes, points)
    return TurnOn(
        tep_point=c,
        n_tep=480,
        n_silence=48,
        alternation=(a, b),
        n_alternation=128,
        known=tuple(known),
        scrambler_state=encoder.state,
        phase=encoder.phase,
    )


def _modulation(
    code: int, bit_rate: int, b: complex, changes: tuple[int, ...], points: Points, *, hopeless_mse: float
) -> Modulation:
    n_bits = bit_rate // 2400
    return Modulation(
        name="V.29",
        code=code,
        bit_rate=bit_rate,
        baud=2400,
        carrier_hz=1700,
        rolloff=0.25,
        bits_per_symbol=n_bits,
        points=points,
        changes=changes,
        scrambler=V29_SCRAMBLER,
        turn_on=_turn_on(b, n_bits, changes, points),
        n_turn_off=32,
        n_turn_off_silence=0,
        hopeless_mse=hopeless_mse,
    )


_INNER_POINTS = {label: point for label, point in v29_points().items() if label < 8}

V29_4800 = _modulation(
    V29_4800_CODE, 4800, 0 - 3j, DIBIT_CHANGE, psk_points(3.0, range(0, 8, 2)), hopeless_mse=0.17
)
V29_7200 = _modulation(72, 7200, 1 - 1j, TRIBIT_CHANGE, _INNER_POINTS, hopeless_mse=0.1)
V29_9600 = _modulation(96, 9600, 3 - 3j, v29_quadbit_changes(), v29_points(), hopeless_mse=0.042)
