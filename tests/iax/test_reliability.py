"""Sequence numbers, acknowledgements, retransmission: two links face to face under a virtual clock."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

from iax.frames import Address, Command, FrameType, FullFrame, decode_untrusted
from iax.reliability import (
    GIVE_UP_S,
    MAX_TIMEOUT_S,
    MAX_UNACKNOWLEDGED,
    MIN_TIMEOUT_S,
    Link,
    Order,
)

HERE, THERE = ("192.0.2.1", 4569), ("192.0.2.2", 4569)


class Side:
    def __init__(self, local: int, remote: int, address: Address) -> None:
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.link = Link(self.outbox, local, address, 100.0, remote)

    def sent(self) -> list[FullFrame]:
        frames = [decode_untrusted(datagram) for datagram, _ in self.outbox]
        self.outbox.clear()
        assert all(isinstance(frame, FullFrame) for frame in frames)
        return frames  # type: ignore[return-value]

    def take(self, frame: FullFrame, now: float) -> Order:
        order = self.link.receive(frame, now)
        if order is Order.IN_ORDER:
            self.link.acknowledge(frame)
        elif order is Order.AHEAD:
            self.link.request_missing(frame.timestamp)
        return order


def pair() -> tuple[Side, Side]:
    return Side(10, 20, THERE), Side(20, 10, HERE)


def ping(side: Side, now: float) -> FullFrame:
    side.link.send_command(Command.PING, b"", now)
    return side.sent()[-1]


def test_numbers_grow_and_an_ack_comes_at_once() -> None:
    a, b = pair()
    for n in range(600):  # beyond two wraps of the 8-bit numbers
        now = 100 + n * 0.1
        frame = ping(a, now)
        assert (frame.o_seq, frame.i_seq) == (n & 255, 0)
        assert b.take(frame, now) is Order.IN_ORDER
        (ack,) = b.sent()
        assert ack.is_command(Command.ACK)
        assert (ack.timestamp, ack.i_seq, ack.o_seq) == (frame.timestamp, n + 1 & 255, 0)
        assert a.take(ack, now) is Order.UNNUMBERED
        assert a.link.all_acknowledged
    assert a.sent() == b.sent() == []


def test_an_answer_is_the_acknowledgement() -> None:
    a, b = pair()
    frame = ping(a, 100.0)
    b.link.receive(frame, 100.01)
    b.link.send_command(Command.PONG, b"", 100.01, timestamp=frame.timestamp)
    b.link.acknowledge(frame)
    (pong,) = b.sent()
    assert pong.is_command(Command.PONG)
    a.take(pong, 100.02)
    assert a.link.all_acknowledged
    assert a.link.rtt_s is not None
    assert abs(a.link.rtt_s - 0.02) < 1e-6


def test_a_duplicate_is_acknowledged_and_not_handled() -> None:
    a, b = pair()
    frame = ping(a, 100.0)
    assert b.take(frame, 100.0) is Order.IN_ORDER
    assert b.take(frame, 100.1) is Order.DUPLICATE
    assert [f.subclass for f in b.sent()] == [Command.ACK, Command.ACK]
    assert b.link.duplicates == 1


def test_a_gap_is_reported_once_and_filled() -> None:
    a, b = pair()
    frames = [ping(a, 100 + n / 100) for n in range(4)]
    assert b.take(frames[0], 100.1) is Order.IN_ORDER
    assert b.take(frames[2], 100.1) is Order.AHEAD
    assert b.take(frames[3], 100.1) is Order.AHEAD
    ack, vnak = b.sent()
    assert ack.is_command(Command.ACK)
    assert vnak.is_command(Command.VNAK)
    assert vnak.i_seq == 1
    a.take(vnak, 100.11)
    again = a.sent()
    assert [f.o_seq for f in again] == [1, 2, 3]
    assert all(f.retransmitted for f in again)
    a.take(vnak, 100.12)
    assert a.sent() == []  # no storm: once per 100 ms
    assert [b.take(f, 100.13) for f in again] == [Order.IN_ORDER] * 3
    a.take(b.sent()[-1], 100.14)
    assert a.link.all_acknowledged


def test_retransmission_keeps_stamp_and_number_and_carries_the_new_iseq() -> None:
    a, b = pair()
    first = ping(a, 100.0)
    theirs = ping(b, 100.0)
    a.take(theirs, 100.05)
    a.sent()
    due = a.link.next_timer()
    assert due is not None
    assert a.link.handle_timer(due)
    (again,) = a.sent()
    assert (again.timestamp, again.o_seq, again.i_seq) == (first.timestamp, first.o_seq, 1)
    assert again.retransmitted
    assert again.payload == first.payload


def test_timeouts_double_up_to_the_bound_and_then_the_link_is_dead() -> None:
    a, _ = pair()
    ping(a, 100.0)
    times = []
    alive = True
    while alive:
        due = a.link.next_timer()
        assert due is not None
        alive = a.link.handle_timer(due)
        times.append(due - 100)
    assert len(a.sent()) == len(times) - 1
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[:3] == [1.0, 2.0, 4.0]
    assert set(gaps[3:]) == {MAX_TIMEOUT_S}
    assert GIVE_UP_S <= times[-1] < GIVE_UP_S + MAX_TIMEOUT_S


def test_the_timeout_follows_the_round_trip() -> None:
    a, b = pair()
    for rtt, expected in ((0.01, MIN_TIMEOUT_S), (1.0, None)):
        now = 100.0
        for _ in range(40):
            frame = ping(a, now)
            b.take(frame, now)
            a.take(b.sent()[-1], now + rtt)
            now += 5
        assert a.link.timeout_s >= MIN_TIMEOUT_S
        if expected is not None:
            assert a.link.timeout_s == expected
        else:
            assert 1.8 < a.link.timeout_s < 2.1


def test_a_repeated_frame_does_not_count_for_the_round_trip() -> None:
    a, b = pair()
    frame = ping(a, 100.0)
    a.link.handle_timer(100.5)
    a.sent()
    b.take(frame, 100.9)
    a.take(b.sent()[-1], 100.9)
    assert a.link.all_acknowledged
    assert a.link.rtt_s is None


def test_an_acknowledgement_of_what_was_never_sent_means_nothing() -> None:
    a, _ = pair()
    ping(a, 100.0)
    for i_seq in (2, 3, 100, 200, 255):
        a.link.receive(FullFrame(20, 10, 1, 0, i_seq, FrameType.IAX, Command.ACK), 100.1)
        assert not a.link.all_acknowledged
    a.link.receive(FullFrame(20, 10, 1, 0, 1, FrameType.IAX, Command.ACK), 100.1)
    assert a.link.all_acknowledged


def test_inval_acknowledges_nothing() -> None:
    a, _ = pair()
    ping(a, 100.0)
    a.link.receive(FullFrame(20, 10, 1, 0, 1, FrameType.IAX, Command.INVAL), 100.1)
    assert not a.link.all_acknowledged


def test_a_peer_that_acknowledges_nothing_cannot_fill_the_queue() -> None:
    a, _ = pair()
    for n in range(10 * MAX_UNACKNOWLEDGED):
        ping(a, 100 + n / 1000)
    assert len(a.link._pending) == MAX_UNACKNOWLEDGED
    assert not a.link.handle_timer(101.0)


def test_time_stamps_grow_and_sort_behind_the_voice_they_follow() -> None:
    a, _ = pair()
    stamps = [ping(a, 100.0).timestamp for _ in range(4)]
    assert stamps == sorted(set(stamps))
    a.link.voice_stamped(5000, 105.0)
    a.link.send(FrameType.DTMF, ord("1"), b"", 105.1)
    assert a.sent()[-1].timestamp == 5003
    a.link.send(FrameType.DTMF, ord("2"), b"", 105.1)
    assert a.sent()[-1].timestamp == 5006
    a.link.send(FrameType.DTMF, ord("3"), b"", 110.0)  # long after the voice: the clock
    assert a.sent()[-1].timestamp == 10000


def test_restart_forgets_all_but_the_call_number() -> None:
    a, _ = pair()
    ping(a, 100.0)
    a.link.restart()
    assert a.link.all_acknowledged
    a.link.send_command(Command.NEW, b"", 100.1)
    (new,) = a.sent()
    assert (new.source, new.destination, new.o_seq, new.i_seq) == (10, 0, 0, 0)
