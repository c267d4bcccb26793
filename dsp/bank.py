"""All channels of a process: one structured array, one compiled call a tick."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp.arguments import INT16, MARKS, checked_array
from dsp.channel import CHANNEL, Channel, channel_block
from dsp.events import Event, decode
from dsp.kernel import Record, argument, kernel, records
from dsp.level import BLOCK

#: Most octets that one order to a channel can carry.
OCTETS = 8192


@kernel
def process_bank(
    state: Record,
    rx: NDArray[np.int16],
    fate: NDArray[np.uint8],
    tx: NDArray[np.int16],
    active: NDArray[np.int64],
) -> int:
    """One tick of every channel; returns how many have events, their numbers are in ``active``."""
    work = np.empty((2, BLOCK), np.float32)
    n_active = 0
    for i in range(state.shape[0]):
        rec = state[i]
        channel_block(rec, rx[i], fate[i], tx[i], work)
        if rec.events.n > 0:
            active[n_active] = i
            n_active += 1
    return n_active


class Bank:
    """``n_channels`` modems' signal processing; ``channels[i]`` is the handle on the i-th."""

    def __init__(self, n_channels: int) -> None:
        if n_channels < 1:
            raise ValueError(f"a bank has at least one channel, not {n_channels}")
        state = records(CHANNEL, n_channels)
        octets = np.zeros(OCTETS, np.uint8)
        #: Handles onto the channels.
        self.channels = [Channel(state, i, octets) for i in range(n_channels)]
        self._state = argument(state)
        self._events = state.view(np.ndarray)["events"]
        # Own arrays, so that the compiler sees the same types whatever the caller has.
        self._rx = np.zeros((n_channels, BLOCK), np.int16)
        self._fate = np.zeros(n_channels, np.uint8)
        self._tx = np.zeros((n_channels, BLOCK), np.int16)
        self._active = np.zeros(n_channels, np.int64)
        self._n_active = 0
        # Load (or compile) the kernels now, not in the middle of the first call.
        process_bank(self._state[:0], self._rx, self._fate, self._tx, self._active)
        self.channels[0].receive_off()

    def process(
        self, rx: NDArray[np.int16], fate: NDArray[np.uint8] | NDArray[np.bool_]
    ) -> NDArray[np.int16]:
        """One 20 ms tick of all channels.

        ``rx`` (n, 160) is what was heard; ``fate`` (n) has a `Fate` for each block, or True for a lost one.
        Returns what to send, (n, 160); the same array at each call. Raises ``TypeError`` for arrays of other
        types, ``ValueError`` for other shapes.
        """
        np.copyto(self._rx, checked_array("rx", rx, INT16, self._rx.shape))
        np.copyto(self._fate, checked_array("fate", fate, MARKS, self._fate.shape))
        self._n_active = process_bank(self._state, self._rx, self._fate, self._tx, self._active)
        return self._tx

    def events(self) -> list[tuple[int, Event]]:
        """What the last :meth:`process` found, as (channel number, event), in order within a channel."""
        if self._n_active == 0:
            return []
        return [(i, e) for i in self._active[: self._n_active].tolist() for e in decode(self._events[i])]
