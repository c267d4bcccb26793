"""Reliable full frames of one dialogue: numbers, acknowledgements, retransmission, time stamps (RFC 5456 §7).

The rules in short:

* Every numbered frame goes out with OSeqno, then OSeqno grows by one; its ISeqno acknowledges all frames of
  the other side before that number.
* d = (their OSeqno - our ISeqno) mod 256: 0 is in order, 128 and more a duplicate (acknowledged again, else
  ignored), anything else a gap (VNAK, once for each ISeqno).
* A frame is sent again with R set, its old time stamp and number, and today's ISeqno.
* After an incoming frame has been handled: if nothing went out with the new ISeqno, an ACK does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, MutableSequence
from enum import Enum
from itertools import islice
from struct import Struct

from iax.encryption import FrameCipher, Secrecy
from iax.frames import Address, Command, FrameType, FullFrame, encode_mini
from iax.trunk import TrunkSender

FIRST_TIMEOUT_S = 0.5
"""Until the round trip is known."""
MIN_TIMEOUT_S = 0.2
MAX_TIMEOUT_S = 4.0
GIVE_UP_S = 20.0
"""If frames wait and none has been acknowledged for so long, the dialogue is dead."""
VNAK_RESEND_INTERVAL_S = 0.1
"""A VNAK for the same frame makes us send again at most this often: no storms."""
MAX_UNACKNOWLEDGED = 64
"""More frames in flight than this make the dialogue dead; sequence numbers stay unambiguous up to 127."""
STREAM_FRAMES = 8
"""So many frames that wait are a stream of voice."""
VOICE_NEIGHBOURHOOD_S = 0.24
"""A non-voice frame this soon after voice is stamped just behind that voice, so that it sorts behind it."""

_R_AND_DESTINATION = Struct("!H")

Outbox = MutableSequence[tuple[bytes, Address]]


class Order(Enum):
    """What an incoming full frame is to its dialogue."""

    IN_ORDER = "in order"
    DUPLICATE = "duplicate"
    AHEAD = "ahead of a gap"
    UNNUMBERED = "unnumbered"


class _Pending:
    """A frame that waits for its acknowledgement."""

    __slots__ = ("cipher", "datagram", "due", "first_sent", "o_seq", "resent", "timeout_s")

    def __init__(
        self, datagram: bytes, o_seq: int, now: float, timeout_s: float, cipher: FrameCipher | None
    ) -> None:
        self.datagram = bytearray(datagram)
        self.cipher = cipher
        self.o_seq = o_seq
        self.first_sent = now
        self.timeout_s = timeout_s
        self.due = now + timeout_s
        self.resent = False


class Stamps:
    """Where the time stamps that we send stand; for calls with a seat in a `MediaTable`, there."""

    __slots__ = ("epoch", "frames_sent", "last", "next_voice", "sent_format", "voice", "voice_time")

    def __init__(self) -> None:
        self.last = 0
        """The highest sent."""
        self.voice = 0
        """That of the last voice."""
        self.voice_time = -1e9
        """When that went out."""
        self.next_voice: int | None = None
        """That of the next frame of our own audio."""
        self.epoch = -1
        """The upper bits of the last full voice frame's."""
        self.sent_format = 0
        """The format of the last full voice frame; 0: none yet, or a new one is wanted."""
        self.frames_sent = 0
        """Voice frames."""


class Link:
    """One dialogue's full frames, both ways. Datagrams are appended to the outbox given."""

    def __init__(self, outbox: Outbox, local: int, address: Address, now: float, remote: int = 0) -> None:
        self.local = local
        self.remote = remote
        """The peer's call number; 0 until it is known."""
        self.address = address
        self.zero = now
        """When our time stamps began."""
        self.o_seq = 0
        self.i_seq = 0
        self.rtt_s: float | None = None
        self.frames_resent = 0
        self.duplicates = 0
        self.last_heard: float | None = None
        """When the last frame came that shows that the peer knows this dialogue."""
        self.secrecy: Secrecy | None = None
        """If set, all that goes out from now on is encrypted."""
        self.trunk: TrunkSender | None = None
        """If set, mini frames go out in trunk frames, unless they are encrypted."""
        self.first_timeout_s = FIRST_TIMEOUT_S
        self.min_timeout_s = MIN_TIMEOUT_S
        self._outbox = outbox
        self._pending: deque[_Pending] = deque()
        self.stamps = Stamps()
        self._i_seq_sent = 0
        self._vnak_sent: int | None = None
        self._vnak_served = -1e9
        self._vnak_served_for = -1
        self._overflow = False
        self._progress = -1e9
        self._peer_timestamp = 0
        self._peer_timestamp_time: float | None = None

    # -- sending

    def send(
        self, frame_type: int, subclass: int, payload: bytes, now: float, *, timestamp: int | None = None
    ) -> None:
        """Send a numbered frame, and again until it is acknowledged. TIMESTAMP: voice or an echo."""
        if timestamp is None:
            timestamp = self.stamp(frame_type, now)
        frame = FullFrame(
            self.local, self.remote, timestamp, self.o_seq, self.i_seq, frame_type, subclass, payload
        ).encode()
        cipher = self._put(frame)
        self._i_seq_sent = self.i_seq
        if len(self._pending) >= MAX_UNACKNOWLEDGED:
            self._overflow = True
        else:
            self._pending.append(_Pending(frame, self.o_seq, now, self.timeout_s, cipher))
        self.o_seq = self.o_seq + 1 & 0xFF

    def send_command(
        self, command: Command, payload: bytes, now: float, *, timestamp: int | None = None
    ) -> None:
        """Send a numbered IAX command."""
        self.send(FrameType.IAX, command, payload, now, timestamp=timestamp)

    def send_unnumbered(self, command: Command, timestamp: int) -> None:
        """Send ACK, VNAK or INVAL: not numbered, not repeated. To a peer without a call number nothing is
        sent."""
        if self.remote == 0:
            return
        frame = FullFrame(self.local, self.remote, timestamp, self.o_seq, self.i_seq, FrameType.IAX, command)
        self._put(frame.encode())
        self._i_seq_sent = self.i_seq

    def send_mini(self, timestamp: int, payload: bytes, now: float, *, may_trunk: bool = True) -> None:
        """Send a mini frame, by itself or in the next trunk frame."""
        if self.secrecy is not None:
            self._put(encode_mini(self.local, timestamp, payload))
        elif self.trunk is not None and may_trunk:
            self.trunk.add(self.local, timestamp, payload, now)
        else:
            self._outbox.append((encode_mini(self.local, timestamp, payload), self.address))

    def stamp(self, frame_type: int, now: float) -> int:
        """Return the time stamp of a new non-voice frame: later than all before it."""
        timestamp = self.clock(now)
        if frame_type != FrameType.IAX and now - self.stamps.voice_time < VOICE_NEIGHBOURHOOD_S:
            timestamp = self.stamps.voice + 3
        if timestamp <= self.stamps.last:
            timestamp = self.stamps.last + 3
        self.stamps.last = timestamp
        return timestamp

    def voice_stamped(self, timestamp: int, now: float) -> None:
        """Note that voice with TIMESTAMP (not wrapped) goes out now."""
        stamps = self.stamps
        stamps.voice = timestamp
        stamps.voice_time = now
        stamps.last = max(stamps.last, timestamp)

    def clock(self, now: float) -> int:
        """Return our dialogue time in ms, at least 1."""
        return max(1, int((now - self.zero) * 1000))

    @property
    def last_timestamp(self) -> int:
        """The highest time stamp sent."""
        return self.stamps.last

    def restart(self) -> None:
        """Begin again with the same call number: the server wants the request repeated with a call token."""
        self._pending.clear()
        self.o_seq = self.i_seq = self._i_seq_sent = 0
        self.remote = 0
        self._vnak_sent = None

    def move(self, address: Address, remote: int, now: float) -> None:
        """Go on with another peer, at ADDRESS: numbers and time stamps begin anew."""
        self.restart()
        self.address, self.remote = address, remote
        self.zero = now
        self.rtt_s = None
        self._peer_timestamp_time = None

    # -- receiving

    def receive(self, frame: FullFrame, now: float) -> Order:
        """Take the frame's acknowledgement and say what it is. A duplicate is acknowledged again."""
        if frame.is_command(Command.INVAL):
            return Order.UNNUMBERED
        self._acknowledged(frame.i_seq, now)
        self.last_heard = now
        if frame.unnumbered:
            if frame.is_command(Command.VNAK):
                self._resend_from(frame.i_seq, now)
            return Order.UNNUMBERED
        distance = frame.o_seq - self.i_seq & 0xFF
        if distance == 0:
            self.i_seq = self.i_seq + 1 & 0xFF
            if frame.type != FrameType.IAX or frame.subclass not in _ECHOING:
                self._peer_timestamp = frame.timestamp
                self._peer_timestamp_time = now
            return Order.IN_ORDER
        if distance >= 128:
            self.duplicates += 1
            self.send_unnumbered(Command.ACK, frame.timestamp)
            return Order.DUPLICATE
        return Order.AHEAD

    def skip_to(self, frame: FullFrame) -> None:
        """Take a frame ahead of a gap as the last one: nothing before it matters any more."""
        self.i_seq = frame.o_seq + 1 & 0xFF

    def request_missing(self, timestamp: int) -> None:
        """Send VNAK, once for each ISeqno."""
        if self._vnak_sent != self.i_seq:
            self._vnak_sent = self.i_seq
            self.send_unnumbered(Command.VNAK, timestamp)

    def acknowledge(self, frame: FullFrame) -> None:
        """Send ACK for FRAME unless something has already gone out with the new ISeqno."""
        if self._i_seq_sent != self.i_seq:
            self.send_unnumbered(Command.ACK, frame.timestamp)

    def peer_clock(self, now: float) -> int | None:
        """Return about what the peer's time stamps say now, or None if it sent none yet."""
        if self._peer_timestamp_time is None:
            return None
        return self._peer_timestamp + int((now - self._peer_timestamp_time) * 1000)

    # -- time

    @property
    def timeout_s(self) -> float:
        """First retransmission timeout of a frame sent now."""
        return self.first_timeout_s if self.rtt_s is None else max(2 * self.rtt_s, self.min_timeout_s)

    @property
    def all_acknowledged(self) -> bool:
        """True if no frame of ours waits for its acknowledgement."""
        return not self._pending

    @property
    def n_unacknowledged(self) -> int:
        """How many frames of ours wait for their acknowledgement."""
        return len(self._pending)

    def next_timer(self) -> float | None:
        """Return when `handle_timer` has something to do, or None."""
        return min((pending.due for pending in self._by_the_clock()), default=None)

    def handle_timer(self, now: float) -> bool:
        """Send again what is due. Return False if the peer has not answered for too long: the dialogue is
        dead."""
        if self._overflow:
            return False
        for pending in self._by_the_clock():
            if pending.due <= now:
                if now - max(pending.first_sent, self._progress) >= GIVE_UP_S:
                    return False
                if len(self._pending) >= STREAM_FRAMES:
                    pending.timeout_s = self.timeout_s / 2  # `_resend` doubles it
                self._resend(pending, now)
        return True

    def _by_the_clock(self) -> Iterable[_Pending]:
        """Return the frames that go out again when their time is over: all, but of a stream of voice the
        oldest. Who waits for that one takes none behind it, and VNAK asks for those."""
        stream = len(self._pending) >= STREAM_FRAMES
        return islice(self._pending, 1) if stream else self._pending

    def stop(self) -> None:
        """Forget all unacknowledged frames."""
        self._pending.clear()
        self._overflow = False

    # -- inside

    def _put(self, datagram: bytes) -> FrameCipher | None:
        cipher = None if self.secrecy is None else self.secrecy.encryptor
        self._outbox.append((datagram if cipher is None else cipher.encrypt(datagram), self.address))
        return cipher

    def _acknowledged(self, i_seq: int, now: float) -> None:
        pending = self._pending
        # only a number between our oldest unacknowledged frame and our next one means anything
        if not pending or (i_seq - pending[0].o_seq & 0xFF) > (self.o_seq - pending[0].o_seq & 0xFF):
            return
        if pending[0].o_seq == i_seq:
            return
        while pending and pending[0].o_seq != i_seq:
            done = pending.popleft()
            if not done.resent:  # Karn: an answer to a repeated frame says nothing about the round trip
                sample = now - done.first_sent
                self.rtt_s = sample if self.rtt_s is None else self.rtt_s + (sample - self.rtt_s) / 8
        self._progress = now
        for waiting in pending:  # the peer lives: what it still lacks need not wait for long
            waiting.timeout_s = min(waiting.timeout_s, self.timeout_s)
            waiting.due = min(waiting.due, now + waiting.timeout_s)

    def _resend_from(self, i_seq: int, now: float) -> None:
        if i_seq == self._vnak_served_for and now - self._vnak_served < VNAK_RESEND_INTERVAL_S:
            return
        self._vnak_served, self._vnak_served_for = now, i_seq
        for pending in self._pending:
            if (pending.o_seq - i_seq & 0xFF) < 128:
                pending.timeout_s = self.timeout_s / 2  # the peer lives, so `_resend` need not wait longer
                self._resend(pending, now)

    def _resend(self, pending: _Pending, now: float) -> None:
        _R_AND_DESTINATION.pack_into(pending.datagram, 2, 0x8000 | self.remote)
        pending.datagram[9] = self.i_seq
        datagram = bytes(pending.datagram)
        if pending.cipher is not None:  # the key that it had, whatever key is in force now
            datagram = pending.cipher.encrypt(datagram)
        self._outbox.append((datagram, self.address))
        self._i_seq_sent = self.i_seq
        self.frames_resent += 1
        pending.resent = True
        pending.timeout_s = min(pending.timeout_s * 2, MAX_TIMEOUT_S)
        pending.due = now + pending.timeout_s


_ECHOING = frozenset({Command.PONG, Command.LAGRP})
