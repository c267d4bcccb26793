"""A receiver put before a known signal, for the twins of its kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsp.kernel import argument, records
from dsp.matched_filter import half_symbols
from dsp.modulation import Modulation
from dsp.pulse import TX_SYMBOLS
from dsp.qam_rx import qam_rx_block, qam_rx_start
from dsp.qam_rx_state import BLOCK, DATA, EQ_CENTRE, EQ_TAPS, QAM_RX, RING
from dsp.qam_tables import MODULATIONS

Complexes = NDArray[np.complex128]
#: Position in ``z`` of the first symbol when the equaliser's window 1 is meant.
FIRST = EQ_CENTRE + 1


def modulation_of(code: int) -> tuple[int, Modulation]:
    """Row of qam_tables, and the modulation, of a T.31 code."""
    return next((row, m) for row, m in enumerate(MODULATIONS) if m.code == code)


def known_symbols(m: Modulation) -> Complexes:
    """All symbols after the alternation, unit mean energy of the constellation."""
    return np.array(m.turn_on.known) * m.unit


def known_begins(m: Modulation, ppm: float = 0.0) -> float:
    """Sample instant of the first known symbol in a burst from a clock ``ppm`` fast."""
    symbols = m.turn_on.n_silence + m.turn_on.n_alternation + TX_SYMBOLS // 2
    return symbols * 8000 / m.baud / (1 + ppm * 1e-6)


class Receiver:
    """One record, as the kernels take it (``rec``) and with attributes (``state``)."""

    def __init__(self, code: int) -> None:
        self._array = records(QAM_RX, 1)
        self.state: Any = self._array[0]
        self.rec = argument(self._array)[0]
        self.row, self.modulation = modulation_of(code)
        self.state.row = self.state.wanted_row = self.row
        self.state.gain = 1.0
        self.state.step = 8000 / (2 * self.modulation.baud)

    def clone(self) -> Receiver:
        """Another one in the same state."""
        other = Receiver(self.modulation.code)
        other._array[:] = self._array
        return other

    def becoming(self, code: int) -> Receiver:
        """Another one in the same state, but for a training of another kind."""
        other = self.clone()
        other.row, other.modulation = modulation_of(code)
        other.state.row = other.row
        return other

    def receive(self, audio: NDArray[Any]) -> bytes:
        """Go through whole blocks of ``audio`` as a receiver does, and give what was received."""
        out = np.zeros(64, np.uint8)
        data = b""
        for block in audio[: len(audio) // BLOCK * BLOCK].reshape(-1, BLOCK).astype(np.float32):
            data += out[: qam_rx_block(self.rec, block, False, out)].tobytes()
        return data

    def hear(self, audio: NDArray[Any]) -> None:
        """All of ``audio`` has been received, whole blocks of it, and nothing else."""
        samples = audio[: len(audio) // BLOCK * BLOCK].astype(np.float32)
        self.state.n_in = len(samples)
        at = np.arange(max(len(samples) - RING, 0), len(samples))
        self.state.ring[at % RING] = samples[at]

    def hear_more(self, block: NDArray[Any]) -> None:
        """One more block has been received."""
        at = self.state.n_in % RING
        self.state.ring[at : at + BLOCK] = block
        self.state.n_in += BLOCK

    def z(self, first: float, n: int, step: float | None = None) -> Complexes:
        """``n`` filtered half symbols from instant ``first`` on, at the present gain and (else) step.

        They come from the compiled filter, which has a twin of its own (test_receive_filter.py), so that what
        is computed from them may be compared to the last digits.
        """
        copy = self._array.copy()
        copy[0].t_z = first
        copy[0].step = step or self.state.step
        half_symbols(argument(copy)[0], n, 0)
        return (copy[0].z_re[:n] + 1j * copy[0].z_im[:n]).astype(np.complex128)

    @property
    def taps(self) -> Complexes:
        """The equaliser's."""
        return (self.state.tap_re + 1j * self.state.tap_im).astype(np.complex128)

    def set_taps(self, taps: Complexes) -> None:
        """Give it others."""
        self.state.tap_re = taps.real
        self.state.tap_im = taps.imag


def in_data(code: int, audio: NDArray[Any], seconds: float) -> tuple[Receiver, NDArray[Any]]:
    """A receiver that has been in data of the burst ``audio`` for so long, and the audio still to come."""
    receiver = Receiver(code)
    assert qam_rx_start(receiver.rec, code)
    blocks_in_data = 0
    for k in range(len(audio) // BLOCK):
        receiver.receive(audio[k * BLOCK : k * BLOCK + BLOCK])
        blocks_in_data += receiver.state.state == DATA
        if blocks_in_data * BLOCK >= seconds * 8000:
            return receiver, audio[(k + 1) * BLOCK :]
    raise AssertionError("the data were too few, or no training was heard")


def windows(z: Complexes, n: int, first: int = 1) -> Complexes:
    """``[n, EQ_TAPS]``: the half symbols from which each of ``n`` symbols is computed."""
    return z[first + 2 * np.arange(n)[:, np.newaxis] + np.arange(EQ_TAPS)]
