"""The voice of many calls as one numpy array, so that a batch of datagrams needs no Python object a frame.

`MediaTable` is given to an `Endpoint`; each call takes a `Seat` in it, and its jitter buffer, time line and
stamps then stand in the seat's record: `SeatPlayout`, `SeatTimeline` and `SeatStamps` are the same things as
`JitterBuffer`, `Timeline` and `Stamps` to everyone else. A call that finds no seat does without.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iax import batch_kernels
from iax.formats import FRAME_SAMPLES, SAMPLES_PER_MS, Format
from iax.frames import Address
from iax.jitter import DEFAULT_DEPTH_MS, MAX_DEPTH_MS, MAX_FRAMES
from iax.kernel import COMPILED, Record
from iax.seat import Seat
from iax.socket_names import NAME_OCTETS, address_in
from iax.trunk import TrunkSender
from iax.voice_record import MAX_PAYLOAD, VOICE


class MediaTable:
    """The voice of up to N_SEATS calls, with the jitter buffers of `JitterBuffer` (same arguments)."""

    def __init__(
        self,
        n_seats: int,
        depth_ms: int = DEFAULT_DEPTH_MS,
        *,
        adaptive: bool = True,
        max_depth_ms: int = MAX_DEPTH_MS,
    ) -> None:
        if not 0 <= depth_ms <= max_depth_ms:
            raise ValueError(f"jitter buffer depth of {depth_ms} ms is not within 0 to {max_depth_ms} ms")
        if n_seats < 1:
            raise ValueError("a table needs at least one seat")
        self._depth, self._max_depth = depth_ms * SAMPLES_PER_MS, max_depth_ms * SAMPLES_PER_MS
        self._adaptive = adaptive
        self.records = np.zeros(n_seats, VOICE).view(np.recarray)
        # compiled code takes a plain array several times faster; uncompiled code needs the attributes
        self._recs: Record = self.records.view(np.ndarray) if COMPILED else self.records
        self.payloads: NDArray[np.uint8] = np.zeros((n_seats, MAX_FRAMES, MAX_PAYLOAD), np.uint8)
        """Only what is used becomes real memory."""
        self.names: NDArray[np.uint8] = np.zeros((2, n_seats, NAME_OCTETS), np.uint8)
        """Where each call's peer is, as socket addresses of IPv4 (if it has one) and IPv6."""
        self._table = np.full(1 << (4 * n_seats - 1).bit_length(), -1, np.int32)
        self._free = list(range(n_seats - 1, -1, -1))
        self._stale = False

    def new_seat(self) -> Seat | None:
        """Return a seat for a new call, None if all are taken."""
        if not self._free:
            return None
        index = self._free.pop()
        self.records[index] = np.zeros((), VOICE)
        record = self.records[index]
        record.base_depth = record.depth = self._depth
        record.max_depth, record.adaptive = self._max_depth, self._adaptive
        record.mean_fill = float(self._depth + FRAME_SAMPLES)
        return Seat(self, index)

    def free(self, index: int) -> None:
        """Take a seat back (called by the seat)."""
        self.records[index].rx_open = self.records[index].tx_open = 0
        self.keys_changed(index, 0)
        self._free.append(index)

    @property
    def n_free(self) -> int:
        """How many seats there are yet."""
        return len(self._free)

    def keys_changed(self, index: int, has_key: int) -> None:
        """Note that a seat has another key, or none (called by the seat)."""
        self.records[index].has_key = has_key
        self._stale = True

    def receive(  # noqa: PLR0917 - the arrays of a batch
        self,
        datagrams: NDArray[np.uint8],
        lengths: NDArray[np.int64],
        names: NDArray[np.uint8],
        ipv6: bool,
        start: int,
        n: int,
        now: float,
    ) -> int:
        """Take datagrams START to N; return the first that is not plain voice of a seated call, or N."""
        if self._stale:
            batch_kernels.fill_table(self._table, self._recs)
            self._stale = False
        return int(
            batch_kernels.receive_batch(
                datagrams, lengths, names, ipv6, start, n, self._table, self._recs, self.payloads, now
            )
        )

    def read(
        self, seats: NDArray[np.int64], n_samples: int = FRAME_SAMPLES
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return a row of N_SAMPLES for each of SEATS, in its call's format, and what became of it (see
        `iax.voice_batches`)."""
        out = np.zeros((len(seats), 2 * n_samples), np.uint8)
        fates = np.zeros(len(seats), np.uint8)
        batch_kernels.read_batch(seats, self._recs, self.payloads, n_samples, out, fates)
        return out, fates

    def send(
        self, seats: NDArray[np.int64], rows: NDArray[np.uint8], now: float
    ) -> tuple[VoiceBatch, NDArray[np.uint8], NDArray[np.int64]]:
        """Make a mini frame of 20 ms for each of SEATS of its row.

        Return them (of no octets where there is none); which of them are to go in trunk frames; and the
        indices of those that want a full frame or may not pass here: their voice is still to be sent.
        """
        out = np.empty((len(seats), batch_kernels.MINI_OCTETS + 2 * FRAME_SAMPLES), np.uint8)
        octets = np.zeros(len(seats), np.int64)
        left = np.zeros(len(seats), np.int64)
        trunked = np.zeros(len(seats), np.uint8)
        n_left = batch_kernels.send_batch(seats, self._recs, rows, out, octets, trunked, left, now)
        return VoiceBatch(self, seats, out, octets), trunked, left[:n_left]


class VoiceBatch:
    """Mini frames that wait to be sent: one a row."""

    def __init__(
        self,
        table: MediaTable,
        seats: NDArray[np.int64],
        datagrams: NDArray[np.uint8],
        octets: NDArray[np.int64],
    ) -> None:
        self._table, self._seats = table, seats
        self.datagrams = datagrams
        self.octets = octets
        self._names: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.octets)

    def names(self, *, ipv6: bool) -> NDArray[np.uint8]:
        """Return where each goes, as socket addresses."""
        names: NDArray[np.uint8] = self._where[int(ipv6)]
        return names

    def only(self, these: NDArray[np.bool_]) -> VoiceBatch:
        """Return a batch of THESE."""
        if these.all():
            return self
        return VoiceBatch(self._table, self._seats[these], self.datagrams[these], self.octets[these])

    def settle(self) -> VoiceBatch:
        """Note where each goes, whatever becomes of the seats; return self."""
        self._names = self._table.names[:, self._seats]
        return self

    @property
    def _where(self) -> NDArray[np.uint8]:
        assert self._names is not None
        return self._names

    def singly(self) -> list[tuple[bytes, Address]]:
        """Return them as datagrams."""
        return [
            (self.datagrams[i, :octets].tobytes(), address_in(self._where[1, i], ipv6=True))
            for i, octets in enumerate(self.octets)
        ]


def warm_up() -> None:
    """Compile everything here, or load it: a call should not have to wait for that."""
    table = MediaTable(1)
    seat = table.new_seat()
    assert seat is not None
    seat.known_as(("192.0.2.1", 4569), 2)
    seat.open(receiving=True, sending=True, trunked=False)
    playout = seat.playout
    playout.format = Format.ULAW
    playout.put(20, bytes(160), 0.0)
    playout.hold(FRAME_SAMPLES)
    playout.read()
    playout.clear()
    nothing = np.zeros((1, 2 * FRAME_SAMPLES), np.uint8)
    for ipv6 in (False, True):
        table.receive(nothing, np.zeros(1, np.int64), np.zeros((1, NAME_OCTETS), np.uint8), ipv6, 0, 1, 0.0)
    table.read(np.zeros(1, np.int64))
    table.send(np.zeros(1, np.int64), nothing, 0.0)
    TrunkSender(0.0).add_batch(nothing, np.full(1, 164, np.int64), 0.0)
