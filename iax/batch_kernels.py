"""Whole batches, compiled: datagrams of voice to the jitter buffers of many calls, blocks out of them, and
mini frames out.

What is not plain voice of a known call is left to `Endpoint.receive`, in its place in the order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iax.formats import FRAME_SAMPLES, SAMPLES_PER_MS
from iax.frames import MAX_TRUNK_ENTRIES
from iax.jitter_kernels import SLINEAR, hold, put, read
from iax.kernel import Record, kernel
from iax.media import ANCHOR_AHEAD_MS, ANCHOR_BACK_MS
from iax.voice_record import KEY_WORDS

MINI_OCTETS = 4
TRUNK_OCTETS = 8
ENTRY_OCTETS = 6
TX_TRUNKED = 2
"""`tx_open`: voice goes out in trunk frames."""


# -- datagrams in: Endpoint.receive of mini frames and of trunk frames with time stamps ---------------------


@kernel
def _word(name: NDArray[np.uint8], at: int) -> int:
    return int(name[at]) << 24 | int(name[at + 1]) << 16 | int(name[at + 2]) << 8 | int(name[at + 3])


@kernel
def _hash(key: NDArray[np.int64], mask: int) -> int:
    mixed = key[0] ^ key[1] ^ key[2] ^ key[3] ^ key[4] ^ key[5] ^ (key[4] >> 15)
    return int((mixed ^ (mixed >> 16) ^ (mixed >> 7)) & mask)


@kernel
def fill_table(table: NDArray[np.int32], recs: Record) -> None:
    """Write TABLE, the open hash table of the calls that have a key, anew."""
    mask = len(table) - 1
    for i in range(len(table)):
        table[i] = -1
    for slot in range(len(recs)):
        if recs[slot].has_key:
            i = _hash(recs[slot].key, mask)
            while table[i] >= 0:
                i = (i + 1) & mask
            table[i] = slot


@kernel
def _look_up(key: NDArray[np.int64], table: NDArray[np.int32], recs: Record) -> int:
    mask = len(table) - 1
    i = _hash(key, mask)
    while table[i] >= 0:
        slot = table[i]
        same = True
        for word in range(KEY_WORDS):
            if recs[slot].key[word] != key[word]:
                same = False
                break
        if same:
            return int(slot)
        i = (i + 1) & mask
    return -1


@kernel
def _place(rec: Record, stamp: int, now: float) -> int:
    """Timeline.mini of a time line that is anchored."""
    expected = rec.anchor_stamp + int((now - rec.anchor_time) * 1000)
    delta = ((stamp - expected + 0x8000) & 0xFFFF) - 0x8000
    if -ANCHOR_BACK_MS <= delta <= ANCHOR_AHEAD_MS:
        rec.anchor_stamp = expected + delta
        rec.anchor_time = now
    return int(expected + delta)


@kernel
def _ready(key: NDArray[np.int64], source: int, table: NDArray[np.int32], recs: Record) -> int:
    """The seat of the call with that number at the address in KEY if its voice may pass here, else -1."""
    key[4] = (key[4] & ~0x7FFF) | source
    slot = _look_up(key, table, recs)
    if slot >= 0 and recs[slot].rx_open and recs[slot].full_heard and recs[slot].anchored:
        return slot
    return -1


@kernel
def _trunk_is_ours(
    datagram: NDArray[np.uint8], octets: int, key: NDArray[np.int64], table: NDArray[np.int32], recs: Record
) -> bool:
    """Whether the trunk frame is whole and all its calls' voice may pass here."""
    if octets < TRUNK_OCTETS or datagram[2] != 1 or datagram[3] != 1:
        return False
    at = TRUNK_OCTETS
    n_entries = 0
    while at < octets:
        if octets - at < ENTRY_OCTETS or n_entries == MAX_TRUNK_ENTRIES:
            return False
        length = int(datagram[at]) << 8 | int(datagram[at + 1])
        source = int(datagram[at + 2]) << 8 | int(datagram[at + 3])
        at += ENTRY_OCTETS
        if length > octets - at or not 0 < source <= 0x7FFF or _ready(key, source, table, recs) < 0:
            return False
        at += length
        n_entries += 1
    return True


@kernel
def receive_batch(  # noqa: PLR0917 - numba knows no keyword-only arguments
    datagrams: NDArray[np.uint8],
    lengths: NDArray[np.int64],
    names: NDArray[np.uint8],
    ipv6: bool,
    start: int,
    n: int,
    table: NDArray[np.int32],
    recs: Record,
    payloads: NDArray[np.uint8],
    now: float,
) -> int:
    """Take datagrams START to N of a batch; return the first that is not plain voice of a known call."""
    key = np.zeros(KEY_WORDS, np.int64)
    for i in range(start, n):
        octets = lengths[i]
        datagram = datagrams[i]
        if octets <= MINI_OCTETS or datagram[0] & 0x80:
            return i
        name = names[i]
        port = int(name[2]) << 8 | int(name[3])
        if ipv6:
            for word in range(4):
                key[word] = _word(name, 8 + 4 * word)
            key[5] = int(name[24]) | int(name[25]) << 8 | int(name[26]) << 16 | int(name[27]) << 24
        else:
            key[2] = 0xFFFF
            key[3] = _word(name, 4)
        key[4] = port << 15
        source = int(datagram[0]) << 8 | int(datagram[1])
        if source:
            slot = _ready(key, source, table, recs)
            if slot < 0:
                return i
            at = _place(recs[slot], int(datagram[2]) << 8 | int(datagram[3]), now)
            put(recs[slot], payloads[slot], at, datagram[MINI_OCTETS:octets], now)
            continue
        if not _trunk_is_ours(datagram, octets, key, table, recs):
            return i
        entry = TRUNK_OCTETS
        while entry < octets:
            length = int(datagram[entry]) << 8 | int(datagram[entry + 1])
            slot = _ready(key, int(datagram[entry + 2]) << 8 | int(datagram[entry + 3]), table, recs)
            at = _place(recs[slot], int(datagram[entry + 4]) << 8 | int(datagram[entry + 5]), now)
            entry += ENTRY_OCTETS
            put(recs[slot], payloads[slot], at, datagram[entry : entry + length], now)
            entry += length
    return n


# -- blocks out of the jitter buffers, and voice out ---------------------------------------------------------


@kernel
def read_batch(  # noqa: PLR0917 - numba knows no keyword-only arguments
    seats: NDArray[np.int64],
    recs: Record,
    payloads: NDArray[np.uint8],
    n_samples: int,
    out: NDArray[np.uint8],
    fates: NDArray[np.uint8],
) -> None:
    """Playout.hold and, unless that says to wait, Playout.read for each of SEATS.

    FATES: 0 read, 1 read with a stand-in for lost audio, 2 held: nothing in OUT.
    """
    for i in range(len(seats)):
        rec = recs[seats[i]]
        if hold(rec, n_samples):
            fates[i] = 2
        else:
            fates[i] = 1 if read(rec, payloads[seats[i]], n_samples, out[i]) else 0


@kernel
def send_batch(  # noqa: PLR0917 - numba knows no keyword-only arguments
    seats: NDArray[np.int64],
    recs: Record,
    rows: NDArray[np.uint8],
    out: NDArray[np.uint8],
    octets_out: NDArray[np.int64],
    trunked: NDArray[np.uint8],
    left: NDArray[np.int64],
    now: float,
) -> int:
    """VoiceSender.send of a frame for each of SEATS, in its call's format: mini frames to OUT.

    TRUNKED: which of them are to go in a trunk frame.

    Return how many are in LEFT: the indices of those that want a full frame, or are none of ours.
    """
    n_left = 0
    for i in range(len(seats)):
        octets_out[i] = 0
        rec = recs[seats[i]]
        octets = FRAME_SAMPLES * rec.sample_bytes
        if (
            not rec.tx_open
            or not rec.has_next
            or rec.sent_format != rec.format_code
            or rec.next_stamp >> 16 > rec.epoch
        ):
            left[n_left] = i
            n_left += 1
            continue
        stamp = rec.next_stamp
        rec.next_stamp = stamp + FRAME_SAMPLES // SAMPLES_PER_MS
        rec.voice_stamp = stamp
        rec.voice_time = now
        rec.last_stamp = max(rec.last_stamp, stamp)
        rec.frames_sent += 1
        datagram = out[i]
        datagram[0] = rec.local >> 8
        datagram[1] = rec.local & 0xFF
        datagram[2] = stamp >> 8 & 0xFF
        datagram[3] = stamp & 0xFF
        for k in range(octets):
            datagram[MINI_OCTETS + k] = rows[i, k]
        octets_out[i] = MINI_OCTETS + octets
        trunked[i] = rec.tx_open == TX_TRUNKED and rec.format_code != SLINEAR  # see VoiceSender
    return n_left


@kernel
def pack_trunk(  # noqa: PLR0917 - numba knows no keyword-only arguments
    minis: NDArray[np.uint8],
    octets: NDArray[np.int64],
    first: int,
    out: NDArray[np.uint8],
    used: int,
    most: int,
) -> tuple[int, int]:
    """TrunkSender.add of MINIS from FIRST on, into the trunk frame OUT of which USED octets are there.

    Return the first that does not fit into MOST octets, or how many there are, and how much is used then.
    """
    for i in range(first, len(octets)):
        length = octets[i] - MINI_OCTETS
        if used + ENTRY_OCTETS + length > most and used > TRUNK_OCTETS:
            return i, used
        out[used] = length >> 8
        out[used + 1] = length & 0xFF
        for k in range(octets[i]):
            out[used + 2 + k] = minis[i, k]
        used += ENTRY_OCTETS + length
    return len(octets), used
