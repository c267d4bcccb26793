"""The voice of many calls as one numpy array, so that a batch of datagrams needs no Python object a frame.

`MediaTable` is given to an `Endpoint`; each call takes a `Seat` in it, and its jitter buffer, time line and
stamps then stand in the seat's record: `SeatPlayout`, `SeatTimeline` and `SeatStamps` are the same things as
`JitterBuffer`, `Timeline` and `Stamps` to everyone else. A call that finds no seat does without.
"""

from __future__ import annotations

import ipaddress
import struct
from socket import AF_INET, AF_INET6
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iax import batch_kernels, jitter_kernels
from iax.arrivals import N_WINDOWS, Arrivals
from iax.formats import FRAME_SAMPLES, SAMPLES_PER_MS, Format
from iax.frames import Address
from iax.jitter import DEFAULT_DEPTH_MS, MAX_DEPTH_MS, MAX_FRAMES
from iax.kernel import COMPILED, Record
from iax.media import Timeline, Unwrapper
from iax.playout import MediaStatistics, Playout
from iax.reliability import Link, Stamps
from iax.trunk import TrunkSender
from iax.voice_record import KEY_WORDS, MAX_PAYLOAD, VOICE

NAME_OCTETS = 28
"""A socket address of IPv6; one of IPv4 has 16."""
NAME_OCTETS_IPV4 = 16


def _at(field: str, octets: int = 8) -> int:
    offset: int = VOICE.fields[field][1]  # type: ignore[index]
    return offset // octets


_ANCHOR_STAMP = _at("anchor_stamp")
_ANCHOR_TIME = _at("anchor_time")
_DEPTH = _at("depth")
_EPOCH = _at("epoch")
_FORMAT_CODE = _at("format_code")
_FRAMES_SENT = _at("frames_sent")
_LAST_STAMP = _at("last_stamp")
_MEAN_FILL = _at("mean_fill")
_NEWEST_END = _at("newest_end")
_NEXT_STAMP = _at("next_stamp")
_PLAY_AT = _at("play_at")
_SAMPLE_BYTES = _at("sample_bytes")
_SENT_FORMAT = _at("sent_format")
_VOICE_STAMP = _at("voice_stamp")
_VOICE_TIME = _at("voice_time")
_ANCHORED = _at("anchored", 1)
_ANNOUNCED_SILENCE = _at("announced_silence", 1)
_FULL_HEARD = _at("full_heard", 1)
_HAS_NEXT = _at("has_next", 1)
_PLAYING = _at("playing", 1)


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


class Seat:
    """One call's record."""

    def __init__(self, table: MediaTable, index: int) -> None:
        self.table: MediaTable | None = table
        self.index = index
        """-1 once it was left."""
        self._map(table.records[index : index + 1])
        self.payloads: NDArray[np.uint8] = table.payloads[index]
        self.playout = SeatPlayout(self)

    def _map(self, records: NDArray[Any]) -> None:
        """Take the one element of RECORDS as ours: whole, and in parts for Python, which is slow with it."""
        self.record: Record = records[0]
        raw = memoryview(records.view(np.ndarray).view(np.uint8))  # type: ignore[arg-type]
        self.octets, self.ints, self.floats = raw, raw.cast("q"), raw.cast("d")

    def open(self, *, receiving: bool, sending: bool, trunked: bool) -> None:
        """Say whether mini frames may pass by themselves, and whether out in trunk frames."""
        self.record.rx_open = receiving
        self.record.tx_open = batch_kernels.TX_TRUNKED if sending and trunked else sending

    def playing_index(self, playout: Playout) -> int:
        """Return `index` if PLAYOUT is the one here, else -1."""
        return self.index if playout is self.playout else -1

    def voice_of(self, link: Link) -> tuple[SeatTimeline, SeatStamps]:
        """Return the time line and the stamps of a call with LINK, in this seat."""
        return SeatTimeline(link, self), SeatStamps(self, link.stamps)

    def known_as(self, address: Address, remote: int) -> None:
        """The peer is at ADDRESS and uses call number REMOTE."""
        if self.table is None:
            return
        name = name_of(address)
        self.table.names[1, self.index] = name
        self.table.names[0, self.index] = 0
        if ":" not in address[0]:
            ipv4 = struct.pack("=H", AF_INET) + name[2:4].tobytes() + name[20:24].tobytes() + bytes(8)
            self.table.names[0, self.index, :NAME_OCTETS_IPV4] = np.frombuffer(ipv4, np.uint8)
        words = np.frombuffer(name[8:24].tobytes(), ">u4").astype(np.int64)
        scope = int.from_bytes(name[24:28].tobytes(), "little")
        self.record.key[:] = (*words, address[1] << 15 | remote, scope)
        self.table.keys_changed(self.index, 1)

    def unknown(self) -> None:
        """Another dialogue has that address and number now."""
        if self.table is not None:
            self.table.keys_changed(self.index, 0)

    def leave(self) -> None:
        """The call is over for good; its figures, and audio that nobody has read yet, stay with it."""
        if self.table is None:
            return
        table, self.table = self.table, None
        self._map(table.records[self.index : self.index + 1].copy())
        self.payloads = self.payloads[: int(self.record.top)].copy()
        table.free(self.index)
        self.index = -1


class SeatPlayout(Playout):
    """`JitterBuffer` in a seat."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        super().__init__()

    @property
    def format(self) -> Format:
        """The format of what comes."""
        return Format(self._seat.ints[_FORMAT_CODE])

    @format.setter  # noqa: A003 - what a playout has
    def format(self, format_: Format) -> None:
        self._seat.ints[_FORMAT_CODE] = int(format_)
        self._seat.ints[_SAMPLE_BYTES] = format_.sample_bytes

    def put(self, timestamp_ms: int, payload: bytes, now: float) -> None:
        """Take a frame with its unwrapped time stamp."""
        seat = self._seat
        if seat.table is not None:
            jitter_kernels.put(
                seat.record, seat.payloads, timestamp_ms, np.frombuffer(payload, np.uint8), now
            )

    def read(self, n_samples: int = FRAME_SAMPLES) -> tuple[bytes, bool]:
        """Return exactly N_SAMPLES and whether any of them stands in for audio that never arrived."""
        out = np.empty(n_samples * self.format.sample_bytes, np.uint8)
        lost = jitter_kernels.read(self._seat.record, self._seat.payloads, n_samples, out)
        return out.tobytes(), bool(lost)

    def hold(self, n_samples: int) -> bool:
        """Return whether a modem should let N_SAMPLES pass without a `read`."""
        return bool(jitter_kernels.hold(self._seat.record, n_samples))

    def _waits(self) -> bool:
        raise NotImplementedError  # `hold` has it

    def clear(self) -> None:
        """Forget all audio."""
        jitter_kernels.clear(self._seat.record)

    def comfort_noise(self) -> None:
        """Note that the peer has announced silence."""
        self._seat.octets[_ANNOUNCED_SILENCE] = 1

    @property
    def depth_samples(self) -> int:
        """The fill to steer for: the delay in force, and the frame that is about to be read."""
        return self._seat.ints[_DEPTH] + FRAME_SAMPLES

    @property
    def fill_samples(self) -> int:
        """Audio between the play position and the newest frame, gaps included."""
        seat = self._seat
        return max(0, seat.ints[_NEWEST_END] - seat.ints[_PLAY_AT]) if seat.octets[_PLAYING] else 0

    @property
    def mean_fill_samples(self) -> float:
        """The fill just before each read, smoothed."""
        return self._seat.floats[_MEAN_FILL]

    @property
    def clock_ppm(self) -> float | None:
        """How much faster (+) the far end's clock is than ours."""
        return self._arrival_figures().clock_ppm

    def statistics(self) -> MediaStatistics:
        """Return the counters."""
        record = self._seat.record
        arrivals = self._arrival_figures()
        return MediaStatistics(
            int(record.n_received),
            int(record.n_duplicate),
            int(record.n_late),
            int(record.n_reordered),
            int(record.n_refused),
            int(record.samples_lost),
            int(record.samples_dropped),
            int(record.samples_inserted),
            int(record.samples_held),
            int(record.gaps_closed),
            int(record.n_restarts),
            float(record.jitter_s) * 1000,
            arrivals.lateness_p95_ms,
            arrivals.clock_ppm,
            self.depth_samples,
            self.fill_samples,
        )

    def _arrival_figures(self) -> Arrivals:
        record = self._seat.record
        order = [(int(record.first_point) + k) % N_WINDOWS for k in range(int(record.n_points))]
        points = [(float(record.points_at[k]), float(record.points_least[k])) for k in order]
        return Arrivals.of(points, record.bins.tolist(), int(record.n_binned))


class _SeatUnwrapper(Unwrapper):
    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        super().__init__()

    @property
    def _timestamp(self) -> int | None:
        return self._seat.ints[_ANCHOR_STAMP] if self._seat.octets[_ANCHORED] else None

    @_timestamp.setter
    def _timestamp(self, timestamp: int | None) -> None:
        self._seat.octets[_ANCHORED] = timestamp is not None
        self._seat.ints[_ANCHOR_STAMP] = timestamp or 0

    @property
    def _time(self) -> float:
        return self._seat.floats[_ANCHOR_TIME]

    @_time.setter
    def _time(self, time: float) -> None:
        self._seat.floats[_ANCHOR_TIME] = time


class SeatTimeline(Timeline):
    """`Timeline` in a seat."""

    def __init__(self, link: Link, seat: Seat) -> None:
        self._seat = seat
        super().__init__(link)
        self._unwrapper = _SeatUnwrapper(seat)

    @property
    def _full_heard(self) -> bool:
        return bool(self._seat.octets[_FULL_HEARD])

    @_full_heard.setter
    def _full_heard(self, heard: bool) -> None:
        self._seat.octets[_FULL_HEARD] = heard


class SeatStamps(Stamps):
    """`Stamps` in a seat."""

    __slots__ = ("_seat",)

    def __init__(self, seat: Seat, before: Stamps) -> None:
        self._seat = seat
        super().__init__()
        for name in Stamps.__slots__:
            setattr(self, name, getattr(before, name))

    @property
    def last(self) -> int:
        """The highest sent."""
        return self._seat.ints[_LAST_STAMP]

    @last.setter
    def last(self, value: int) -> None:
        self._seat.ints[_LAST_STAMP] = value

    @property
    def voice(self) -> int:
        """That of the last voice."""
        return self._seat.ints[_VOICE_STAMP]

    @voice.setter
    def voice(self, value: int) -> None:
        self._seat.ints[_VOICE_STAMP] = value

    @property
    def voice_time(self) -> float:
        """When that went out."""
        return self._seat.floats[_VOICE_TIME]

    @voice_time.setter
    def voice_time(self, value: float) -> None:
        self._seat.floats[_VOICE_TIME] = value

    @property
    def next_voice(self) -> int | None:
        """That of the next frame of our own audio."""
        return self._seat.ints[_NEXT_STAMP] if self._seat.octets[_HAS_NEXT] else None

    @next_voice.setter
    def next_voice(self, value: int | None) -> None:
        self._seat.octets[_HAS_NEXT] = value is not None
        self._seat.ints[_NEXT_STAMP] = value or 0

    @property
    def epoch(self) -> int:
        """The upper bits of the last full voice frame's."""
        return self._seat.ints[_EPOCH]

    @epoch.setter
    def epoch(self, value: int) -> None:
        self._seat.ints[_EPOCH] = value

    @property
    def sent_format(self) -> int:
        """The format of the last full voice frame."""
        return self._seat.ints[_SENT_FORMAT]

    @sent_format.setter
    def sent_format(self, value: int) -> None:
        self._seat.ints[_SENT_FORMAT] = value

    @property
    def frames_sent(self) -> int:
        """Voice frames."""
        return self._seat.ints[_FRAMES_SENT]

    @frames_sent.setter
    def frames_sent(self, value: int) -> None:
        self._seat.ints[_FRAMES_SENT] = value


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


def name_of(address: Address) -> NDArray[np.uint8]:
    """Return ADDRESS as a socket address of IPv6, of IPv4 the mapped form."""
    host, _, scope = address[0].partition("%")
    ip = ipaddress.ip_address(host)
    packed = ip.packed if ip.version == 6 else bytes(10) + b"\xff\xff" + ip.packed
    text = struct.pack("=H", AF_INET6) + struct.pack("!HI", address[1], 0) + packed
    return np.frombuffer(text + struct.pack("=I", int(scope or 0)), np.uint8)


def address_in(name: NDArray[np.uint8], *, ipv6: bool) -> Address:
    """Return the address that a socket address says."""
    octets = name.tobytes()
    port = int.from_bytes(octets[2:4], "big")
    if not ipv6:
        return str(ipaddress.IPv4Address(octets[4:8])), port
    ip = ipaddress.IPv6Address(octets[8:24])
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped), port
    scope = struct.unpack_from("=I", octets, 24)[0]
    return (f"{ip}%{scope}" if scope else str(ip)), port


assert KEY_WORDS == 6  # what `Seat.known_as` writes
