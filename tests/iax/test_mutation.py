"""A fraction of `python -m tests.iax.mutation`, and that it would notice."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import pytest

from iax import CallState, Encryption
from iax.admission import Drop
from iax.elements import Element, decode_untrusted
from iax.frames import Command, FrameType, FullFrame, MetaVideo, MiniFrame, TrunkFrame
from iax.frames import decode_untrusted as decode_frame
from tests.iax.mutation import MAX_GROWTH_KIB, TARGETS, Lines, mutate
from tests.iax.mutation_parts import FOE, Batch, Target
from tests.iax.mutation_seeds import command_frames, media_frames, other_full_frames, seeds
from tests.iax.mutation_targets import CodecTarget, EndpointTarget
from tests.iax.mutator import Mutator

N = 9_600
"""Whole batches."""


@pytest.mark.parametrize(
    "n", range(len(TARGETS)), ids=["codec", "singly", "batches", "encrypted", "exchange"]
)
def test_nothing_is_raised_nobody_suffers_nothing_is_left(n: int) -> None:
    figures = mutate(TARGETS[n](7), N, 100 + n, Lines())
    assert figures.n == N
    assert figures.grown_kib < MAX_GROWTH_KIB
    assert figures.n_found > 5


def test_good_datagrams_are_of_every_kind() -> None:
    frames = [
        decode_frame(datagram) for datagram in (*command_frames(), *other_full_frames(), *media_frames())
    ]
    assert {type(frame) for frame in frames} == {FullFrame, MiniFrame, TrunkFrame, MetaVideo}
    full = [frame for frame in frames if isinstance(frame, FullFrame)]
    assert {frame.type for frame in full} >= set(FrameType)
    assert {frame.subclass for frame in full if frame.type == FrameType.IAX} >= set(Command)
    known = set()
    for frame in full:
        if frame.type == FrameType.IAX:
            known |= set(decode_untrusted(frame.payload).values)
    assert known | {Element.VARIABLE} == set(Element)


def test_mutation_is_repeatable_and_gets_past_the_door() -> None:
    first, second = (Mutator(random.Random(5), seeds()) for _ in range(2))
    assert [first.datagram() for _ in range(500)] == [second.datagram() for _ in range(500)]
    states: set[CallState | None] = set()
    target = EndpointTarget(3)
    mutator = Mutator(random.Random(4), seeds())
    for turn in range(400):
        target.taking([target.aimed(mutator) for _ in range(16)])()
        target.tick()
        states |= {getattr(foe, "state", None) for foe in target.attacked.foes}
        assert turn < 20 or target.attacked.foes
    assert states >= set(CallState)
    bad = target.endpoint.statistics().dropped[Drop.BAD_FRAME.value]
    assert 0.05 < bad / (400 * 16) < 0.5


class Broken(CodecTarget):
    """Raises on what CAUSE says yes to."""

    def __init__(self, cause: Callable[[bytes], bool]) -> None:
        self._cause = cause

    def taking(self, batch: Batch) -> Callable[[], None]:
        return partial(self._look_at, batch)

    def _look_at(self, batch: Batch) -> None:
        for datagram, _ in batch:
            if self._cause(datagram):
                raise KeyError("a bug")


def test_an_exception_stops_it_and_names_the_datagrams(capsys: pytest.CaptureFixture[str]) -> None:
    target: Target = Broken(lambda datagram: datagram[10:12] == bytes((FrameType.IAX, Command.MWI)))
    with pytest.raises(KeyError):
        mutate(target, 10_000, 1, Lines())
    assert "0620" in capsys.readouterr().out


def test_a_call_that_suffers_is_noticed() -> None:
    target = EndpointTarget(3)
    for _ in range(20):
        target.tick()
    link = target.attacked.friends[0].link
    frame = FullFrame(link.remote, link.local, 9999, link.i_seq, link.o_seq, FrameType.CONTROL, 1)
    target.receive([(frame.encode(), FOE)])
    target.tick()
    target.receive([(frame.encode(), link.address)])
    with pytest.raises(AssertionError):
        target.tick()


def test_lines_are_new_once() -> None:
    lines = Lines()
    codec = CodecTarget()
    ping = FullFrame(5, 6, 1, 0, 0, FrameType.IAX, Command.PING).encode()
    assert lines.watch(codec.taking([(ping, FOE)]))
    assert not lines.watch(codec.taking([(ping, FOE)]))
    assert lines.watch(codec.taking([(b"\0\5\0\6", FOE)]))


def test_the_encrypted_calls_are_encrypted() -> None:
    target = EndpointTarget(3, encryption=Encryption.REQUIRED)
    assert all(call.encrypted for conversation in target.conversations for call in conversation.ends)
