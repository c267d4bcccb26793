"""Named line shapes: attenuation and group delay over frequency, made into FIR filters.

Two kinds: shapes that lie at the limits of a specification, as tables; and connections whose subscriber
loops are computed from the primary constants of their cable, after the manner of the loops in EIA-496 and
V.56bis. All include the band limits of the channel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dsp.level import SAMPLE_RATE
from dsp.line_model.filters import StreamFilter
from dsp.line_model.impairment import Impairment, Samples

#: Where attenuation is 0 dB by definition.
REFERENCE_HZ = 1020.0

_N_GRID = 4096  # frequencies from 0 to 4 kHz, less one
_HZ: Samples = np.linspace(0.0, SAMPLE_RATE / 2, _N_GRID + 1)
_N_TAPS = 513
_CENTRE = 192  # of them: what comes before the shortest delay
_FLOOR_DB = 60.0


@dataclass(frozen=True)
class Response:
    """Attenuation (0 dB at REFERENCE_HZ) and group delay (ms, least 0 in 500…2800 Hz) by ``hz``."""

    hz: Samples
    attenuation_db: Samples
    delay_ms: Samples


@dataclass(frozen=True)
class LineShape:
    """A shape: what it is, in words, and how to get its response."""

    name: str
    description: str
    response: Callable[[], Response]


# --- tables ---------------------------------------------------------------------------------------


def _on_grid(hz: Samples, values: Samples) -> Samples:
    curve: Samples = np.interp(_HZ, hz, values)
    return curve


def _table(*rows: tuple[float, float, float]) -> Callable[[], Response]:
    """Response by straight lines between ``rows`` (Hz, dB, ms)."""
    hz, attenuation_db, delay_ms = (np.array(column) for column in zip(*rows, strict=True))

    def response() -> Response:
        return _normalised(_on_grid(hz, attenuation_db), _on_grid(hz, delay_ms))

    return response


def _normalised(attenuation_db: Samples, delay_ms: Samples) -> Response:
    middle = (_HZ >= 500) & (_HZ <= 2800)
    reference_db = float(np.interp(REFERENCE_HZ, _HZ, attenuation_db))
    return Response(_HZ, attenuation_db - reference_db, delay_ms - float(delay_ms[middle].min()))


#: A channel between two good codecs: flat, and no more delay at the edges than filters need.
_G712 = _table(
    (0, 40, 1.0), (60, 24, 1.0), (200, 1.0, 1.0), (300, 0.2, 0.9), (400, 0.0, 0.7), (600, 0, 0.35),
    (1000, 0, 0.08), (1800, 0, 0.0), (2600, 0, 0.12), (2800, 0.05, 0.2), (3000, 0.1, 0.35), (3400, 0.7, 0.8),
    (3600, 6, 0.9), (4000, 40, 0.9),
)  # fmt: skip

#: At the limits of ITU-T M.1020, figures 1 and 2 (leased lines with special quality).
_M1020 = _table(
    (0, 45, 2.9), (200, 14, 2.9), (300, 5.9, 2.9), (500, 2.9, 2.85), (600, 2.2, 1.45), (1000, 0.0, 0.47),
    (1400, 0.0, 0.1), (1800, 0.3, 0.0), (2200, 1.0, 0.1), (2600, 2.3, 0.47), (2800, 2.9, 2.85),
    (3000, 5.9, 2.9), (3200, 14, 2.9), (3400, 25, 2.9), (4000, 45, 2.9),
)  # fmt: skip

#: Near the limits of an unconditioned leased line in North America (Bell 3002: at 2500 Hz 8 dB, at 3000 Hz
#: 12 dB, delay within 1.75 ms from 800 to 2600 Hz).
_BELL_3002 = _table(
    (0, 45, 3.5), (200, 16, 3.5), (300, 11, 3.2), (500, 3.0, 2.7), (800, 0.5, 1.7), (1000, 0.0, 1.2),
    (1400, 0.8, 0.4), (1800, 2.6, 0.0), (2200, 5.0, 0.5), (2500, 7.5, 1.3), (2600, 8.2, 1.7),
    (3000, 11.5, 2.9), (3200, 18, 3.0), (3400, 28, 3.0), (4000, 45, 3.0),
)  # fmt: skip

# --- loops ----------------------------------------------------------------------------------------

# Primary constants of paper or PE cable at voice frequencies, a kilometre: ohm, henry, farad.
_CABLE_26AWG = (274.0, 0.62e-3, 51.6e-9)
_CABLE_24AWG = (172.0, 0.62e-3, 51.6e-9)
_H88 = 88e-3  # henry, a coil every _H88_KM
_H88_OHM = 9.0
_H88_KM = 1.829
_OFFICE_OHM = 900.0
_SET_OHM = 600.0


_Chain: TypeAlias = NDArray[np.complex128]
_Transfer: TypeAlias = NDArray[np.complex128]


def _cable(km: float, constants: tuple[float, float, float]) -> _Chain:
    """Chain matrices ``[n, 2, 2]`` of a piece of cable, one a frequency."""
    resistance, inductance, capacitance = constants
    omega = 2 * np.pi * np.maximum(_HZ, 1.0)
    series = resistance + 1j * omega * inductance
    shunt = 1j * omega * capacitance
    propagation, impedance = np.sqrt(series * shunt) * km, np.sqrt(series / shunt)
    return np.moveaxis(
        np.array(
            [
                [np.cosh(propagation), impedance * np.sinh(propagation)],
                [np.sinh(propagation) / impedance, np.cosh(propagation)],
            ]
        ),
        2,
        0,
    )


def _coil() -> _Chain:
    chain = np.zeros((len(_HZ), 2, 2), np.complex128)
    chain[:, 0, 0] = chain[:, 1, 1] = 1
    chain[:, 0, 1] = _H88_OHM + 2j * np.pi * _HZ * _H88
    return chain


def _bridged_tap(km: float, constants: tuple[float, float, float]) -> _Chain:
    """An open branch."""
    tap = _cable(km, constants)
    chain = np.zeros_like(tap)
    chain[:, 0, 0] = chain[:, 1, 1] = 1
    chain[:, 1, 0] = tap[:, 1, 0] / tap[:, 0, 0]
    return chain


def _loop(*sections: _Chain) -> _Transfer:
    """Transfer of sections between telephone and office, by frequency, as a complex number."""
    chain = sections[0]
    for section in sections[1:]:
        chain = chain @ section
    (a, b), (c, d) = np.moveaxis(chain, 0, 2)
    voltage = a * _OFFICE_OHM + b + c * _SET_OHM * _OFFICE_OHM + d * _SET_OHM
    transfer: _Transfer = 2 * np.sqrt(_SET_OHM * _OFFICE_OHM) / voltage
    return transfer


def _connection(*loops: Callable[[], _Transfer]) -> Callable[[], Response]:
    """Loops at both ends of a channel between codecs."""

    def response() -> Response:
        channel = _G712()
        transfer = np.prod([loop() for loop in loops], axis=0)
        attenuation_db = channel.attenuation_db - 20 * np.log10(np.abs(transfer))
        phase = np.unwrap(np.angle(transfer))
        delay_ms = channel.delay_ms - np.gradient(phase, 2 * np.pi * _HZ) * 1e3
        return _normalised(attenuation_db, delay_ms)

    return response


def _short_loop() -> _Transfer:
    return _loop(_cable(2.1, _CABLE_26AWG))


def _long_loop() -> _Transfer:
    return _loop(_cable(3.7, _CABLE_26AWG), _bridged_tap(0.5, _CABLE_24AWG), _cable(1.2, _CABLE_24AWG))


def _loaded_loop() -> _Transfer:
    """Five coils: half a section, coils a whole one apart, and a longer end."""
    sections = [_cable(_H88_KM / 2, _CABLE_24AWG)]
    for _ in range(4):
        sections += [_coil(), _cable(_H88_KM, _CABLE_24AWG)]
    sections += [_coil(), _cable(1.4, _CABLE_24AWG)]
    return _loop(*sections)


# --- all of them ----------------------------------------------------------------------------------

SHAPES = {
    shape.name: shape
    for shape in (
        LineShape("g712", "codec filters only", _G712),
        LineShape("loop-short", "2.1 km of cable at each end", _connection(_short_loop, _short_loop)),
        LineShape(
            "loop-long",
            "4.9 km without coils, but with a bridged tap; 2.1 km at the other end",
            _connection(_long_loop, _short_loop),
        ),
        LineShape(
            "loop-loaded",
            "9.6 km with five H88 coils; 2.1 km at the other end",
            _connection(_loaded_loop, _short_loop),
        ),
        LineShape("m1020", "at the limits of ITU-T M.1020", _M1020),
        LineShape("bell-3002", "near the limits of an unconditioned leased line (Bell 3002)", _BELL_3002),
    )
}


@cache
def taps_of(name: str) -> Samples:
    """The FIR of the shape ``name``; tap ``_CENTRE`` is a delay of 0. Raises ``ValueError`` for other names.

    The response is turned into an impulse response by an inverse Fourier transform and cut to 64 ms.
    """
    if name not in SHAPES:
        raise ValueError(f"line shape {name!r} is none of {', '.join(SHAPES)}")
    response = SHAPES[name].response()
    magnitude = 10.0 ** (-np.minimum(response.attenuation_db, _FLOOR_DB) / 20.0)
    step_hz = _HZ[1]
    turns = np.concatenate(
        [[0.0], np.cumsum((response.delay_ms[1:] + response.delay_ms[:-1]) / 2e3 * step_hz)]
    )
    delay = _CENTRE / SAMPLE_RATE
    spectrum = magnitude * np.exp(-2j * np.pi * (turns + delay * _HZ))
    impulse = np.fft.irfft(spectrum)[:_N_TAPS]
    n = np.arange(_N_TAPS)
    fade = 48
    window = np.minimum(1.0, np.minimum(n + 1, _N_TAPS - n) / fade)
    taps: Samples = impulse * np.sin(np.pi / 2 * window) ** 2
    taps.flags.writeable = False
    return taps


class Shape(Impairment):
    """The linear distortion of the line shape ``name``, one of ``SHAPES``; its shortest delay is no delay."""

    def __init__(self, name: str) -> None:
        self._filter = StreamFilter(taps_of(name), _CENTRE)

    def reset(self, rng: np.random.Generator) -> None:
        """Begin anew."""
        self._filter.reset()

    def process(self, x: Samples) -> Samples:
        """Filter."""
        return self._filter.process(x)

    def flush(self) -> Samples:
        """The rest."""
        return self._filter.flush()
