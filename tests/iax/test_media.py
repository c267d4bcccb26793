"""Outgoing time stamps, and the unwrapping of incoming ones."""

from __future__ import annotations

import random
from collections import deque
from itertools import pairwise

import pytest

from iax import Endpoint, IncomingCall
from iax.elements import Element
from iax.formats import ALAW, SLINEAR, ULAW
from iax.frames import Address, Command, FrameType, FullFrame, MiniFrame, decode_untrusted
from iax.media import Unwrapper, VoiceSender
from iax.media_table import MediaTable
from iax.reliability import Link
from tests.iax.rawpeer import SERVER, RawPeer

SILENT = b"\xff" * 160


def block(n: int) -> bytes:
    """A frame that no silence equals and that tells its number."""
    return bytes([1 + n % 100, 1 + n // 100 % 100]) * 80


def sender(zero: float = 100.0) -> tuple[VoiceSender, Link, deque[tuple[bytes, Address]]]:
    outbox: deque[tuple[bytes, Address]] = deque()
    link = Link(outbox, 7, ("192.0.2.1", 4569), zero, 8)
    return VoiceSender(link), link, outbox


class TestSending:
    def test_stamps_are_n_times_20_with_a_full_frame_first_and_at_each_wrap(self) -> None:
        voice, link, outbox = sender()
        rng = random.Random(1)
        n_frames = 3 * 65536 // 20 + 10
        for n in range(n_frames):
            # a tick that trembles and runs 200 ppm slow: none of it may reach the stamps
            voice.send(block(n), ULAW, 100.5 + n * 0.020004 + rng.uniform(-0.01, 0.01))
        link.stop()
        frames = [decode_untrusted(datagram) for datagram, _ in outbox]
        epoch, stamps, full_at = 0, [], []
        for n, frame in enumerate(frames):
            if isinstance(frame, FullFrame):
                assert (frame.type, frame.subclass) == (FrameType.VOICE, ULAW)
                epoch = frame.timestamp >> 16
                stamps.append(frame.timestamp)
                full_at.append(n)
            else:
                assert isinstance(frame, MiniFrame)
                stamps.append(epoch << 16 | frame.timestamp)
        assert stamps[0] % 20 == 0
        assert {later - earlier for earlier, later in pairwise(stamps)} == {20}
        assert [stamps[n] >> 16 for n in full_at] == [0, 1, 2, 3]
        assert [frame.payload for frame in frames] == [block(n) for n in range(n_frames)]  # type: ignore[union-attr]

    def test_a_new_format_starts_with_a_full_frame_without_a_jump(self) -> None:
        voice, _, outbox = sender()
        for format_ in (ULAW, ULAW, ALAW, ALAW, SLINEAR):
            voice.send(format_.silence(160), format_, 101.0)
        frames = [decode_untrusted(datagram) for datagram, _ in outbox]
        assert [isinstance(frame, FullFrame) for frame in frames] == [True, False, True, False, True]
        stamps = [frame.timestamp for frame in frames]  # type: ignore[union-attr]
        assert [stamp - stamps[0] for stamp in stamps] == [0, 20, 40, 60, 80]

    def test_left_out_audio_is_a_gap(self) -> None:
        voice, _, outbox = sender()
        voice.send(SILENT, ULAW, 101.0)
        voice.skip(5)
        voice.send(SILENT, ULAW, 101.12)
        first, second = (decode_untrusted(datagram) for datagram, _ in outbox)
        assert second.timestamp - first.timestamp == 120  # type: ignore[union-attr]

    def test_relayed_frames_keep_their_distances(self) -> None:
        voice, _, outbox = sender()
        stamps_in = [70_000, 70_020, 70_060, 70_040, 70_080]  # one came late
        for stamp in stamps_in:
            voice.relay(SILENT, ULAW, stamp, 103.0)
        frames = [decode_untrusted(datagram) for datagram, _ in outbox]
        stamps = [frame.timestamp for frame in frames]  # type: ignore[union-attr]
        assert [stamp - stamps[0] for stamp in stamps] == [stamp - 70_000 for stamp in stamps_in]
        assert stamps[0] == 3000


class TestUnwrapping:
    def test_minis_across_wraps_without_a_full_frame(self) -> None:
        unwrap = Unwrapper()
        first = 65_000
        assert unwrap.full(first, 0.0) == first
        for n in range(1, 20_000):
            assert unwrap.mini(first + n * 20 & 0xFFFF, n * 0.02) == first + n * 20

    def test_late_frames_across_a_wrap(self) -> None:
        unwrap = Unwrapper()
        unwrap.full(65_500, 0.0)
        assert unwrap.mini(65_560 & 0xFFFF, 0.06) == 65_560
        assert unwrap.mini(65_520, 0.07) == 65_520
        assert unwrap.mini(65_580 & 0xFFFF, 0.08) == 65_580

    def test_after_a_silence_of_minutes(self) -> None:
        unwrap = Unwrapper()
        unwrap.full(1000, 0.0)
        assert unwrap.mini(301_000 & 0xFFFF, 300.0) == 301_000

    def test_the_32_bit_wrap(self) -> None:
        unwrap = Unwrapper()
        top = (1 << 32) - 40
        assert unwrap.full(top, 0.0) == top
        assert unwrap.full(20, 0.06) == top + 60
        assert unwrap.mini(40, 0.08) == top + 80


@pytest.mark.parametrize("media", [None, MediaTable(2)], ids=["singly", "in a table"])
def test_audio_is_in_the_calls_format_before_it_is_accepted(media: MediaTable | None) -> None:
    peer = RawPeer(Endpoint(random.Random(1), accept_from=[SERVER], formats=[SLINEAR], media=media))
    wanted = [(Element.VERSION, 2), (Element.FORMAT, int(SLINEAR)), (Element.CAPABILITY, int(SLINEAR))]
    peer.send(Command.NEW, *wanted, destination=0)
    (event,) = peer.events()
    assert isinstance(event, IncomingCall)
    outgoing = peer.endpoint.call(peer.config, "1", peer.now)
    for call in (event.call, outgoing):
        assert len(call.receive_audio()[0]) == 320
