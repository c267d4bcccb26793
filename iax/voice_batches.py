"""The audio of many calls at once, to and from an endpoint: in batches for calls with a seat, else singly."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from iax.formats import FRAME_SAMPLES
from iax.frames import Address

if TYPE_CHECKING:  # needs numba, which those without a table need not have
    from iax.call import Call
    from iax.media_table import MediaTable, VoiceBatch
    from iax.trunk import TrunkSender

Datagrams = list[tuple[bytes, Address]]
Outgoing = tuple[Datagrams, "VoiceBatch | None", Datagrams]

HEARD, LOST, HELD = range(3)
"""What became of a block: as it came; with a stand-in for audio that never arrived; not read, because the
audio is more likely late than lost (`Playout.hold`)."""


class VoiceBatches:
    """An endpoint's voice. TABLE None: every call's goes singly."""

    def __init__(self, outbox: deque[tuple[bytes, Address]], table: MediaTable | None) -> None:
        self._outbox = outbox
        self.table = table
        self._waiting: VoiceBatch | None = None
        self._n_before = 0

    def send(self, calls: Sequence[Call], rows: NDArray[np.uint8], now: float) -> None:
        """Do what `Call.send_audio` does for each of CALLS, with 20 ms of audio in its row of ROWS."""
        if self._waiting is not None:  # nobody has taken that yet
            before, voice, after = self.take()
            self._outbox.extend((*before, *(() if voice is None else voice.singly()), *after))
        left: Iterable[int] = range(len(calls))
        if self.table is not None:
            seats = np.array([-1 if call.seat is None else call.seat.index for call in calls], np.int64)
            (seated,) = np.nonzero(seats >= 0)
            if len(seated):
                self._n_before = len(self._outbox)
                batch, trunked, again = self.table.send(seats[seated], rows[seated], now)
                if trunked.any():
                    self._to_trunks([calls[i] for i in seated.tolist()], batch, trunked, now)
                self._waiting = batch.only((batch.octets > 0) & (trunked == 0)).settle()
                left = sorted((*np.nonzero(seats < 0)[0].tolist(), *seated[again].tolist()))
        for i in left:
            call = calls[i]
            call.send_audio(rows[i, : FRAME_SAMPLES * call.format.sample_bytes].tobytes(), now)

    @staticmethod
    def _to_trunks(calls: Sequence[Call], batch: VoiceBatch, trunked: NDArray[np.uint8], now: float) -> None:
        by_trunk: dict[TrunkSender, list[int]] = {}
        for i in np.nonzero(trunked)[0].tolist():
            trunk = calls[i].link.trunk
            if trunk is not None:
                by_trunk.setdefault(trunk, []).append(i)
        for trunk, frames in by_trunk.items():
            these = slice(None) if len(frames) == len(batch) else frames
            trunk.add_batch(batch.datagrams[these], batch.octets[these], now)

    def take(self) -> Outgoing:
        """Return what has to go out, in order: datagrams, a batch of voice, datagrams."""
        datagrams = list(self._outbox)
        self._outbox.clear()
        voice, self._waiting = self._waiting, None
        return datagrams[: self._n_before], voice, datagrams[self._n_before :]

    def receive(self, calls: Sequence[Call], n_samples: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Do what `Playout.hold` and, unless that says to wait, `Call.receive_audio` do for each of CALLS.

        Return a row of octets for each, and what became of it.
        """
        table = self.table
        places = [-1 if call.seat is None else call.seat.playing_index(call.jitter) for call in calls]
        seats = np.array(places, np.int64)
        (seated,) = np.nonzero(seats >= 0)
        if table is not None and len(seated) == len(calls):
            return table.read(seats, n_samples)
        rows = np.zeros((len(calls), 2 * n_samples), np.uint8)
        fates = np.zeros(len(calls), np.uint8)
        if table is not None and len(seated):
            rows[seated], fates[seated] = table.read(seats[seated], n_samples)
        for i in np.nonzero(seats < 0)[0].tolist():
            call = calls[i]
            if call.jitter.hold(n_samples):
                fates[i] = HELD
                continue
            payload, lost = call.receive_audio(n_samples)
            rows[i, : len(payload)] = np.frombuffer(payload, np.uint8)
            fates[i] = LOST if lost else HEARD
        return rows, fates
