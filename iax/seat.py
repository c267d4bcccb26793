"""One call's seat in a `MediaTable`: its record, and what stands for the call's jitter buffer, time line and
stamps there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from iax import jitter_kernels
from iax.arrivals import N_WINDOWS, Arrivals
from iax.batch_kernels import TX_TRUNKED
from iax.formats import FRAME_SAMPLES, Format
from iax.frames import Address
from iax.kernel import Record
from iax.media import Timeline, Unwrapper
from iax.playout import MediaStatistics, Playout
from iax.reliability import Link, Stamps
from iax.socket_names import NAME_OCTETS_IPV4, ipv4_name_of, name_of
from iax.voice_record import VOICE

if TYPE_CHECKING:
    from iax.media_table import MediaTable


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
        self.record.tx_open = TX_TRUNKED if sending and trunked else sending

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
            self.table.names[0, self.index, :NAME_OCTETS_IPV4] = ipv4_name_of(name)
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
