"""What a late order to receive hears: everything since the line was quiet, once, in order."""

from __future__ import annotations

import numpy as np

import dsp
from cusemodem.lookback import LENGTH_BLOCKS, Lookback

LOUD = 2000


def row(value: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.full(dsp.BLOCK, value, np.int16)


def feed(lookback: Lookback, values: list[int]) -> list[int]:
    """The first sample of each block that is heard."""
    heard = []
    for value in values:
        block = row(value)
        lookback.block(block, dsp.Fate.HEARD)
        heard.append(int(block[0]))
    return heard


def test_an_order_in_time_hears_the_line_as_it_is() -> None:
    lookback = Lookback()
    lookback.begin()
    assert feed(lookback, [0, 0, 3]) == [0, 0, 3]
    lookback.go_back()
    assert lookback.behind == 0
    assert feed(lookback, [LOUD, LOUD + 1]) == [LOUD, LOUD + 1]


def test_a_late_order_hears_the_signal_from_its_beginning_and_every_block_once() -> None:
    lookback = Lookback()
    feed(lookback, [LOUD] * 5)  # our own echo, say
    lookback.begin()
    feed(lookback, [0, 0, 0, LOUD, LOUD + 1, LOUD + 2])
    lookback.go_back()
    heard = feed(lookback, list(range(LOUD + 3, LOUD + 13)))
    assert heard == [0, *range(LOUD, LOUD + 9)]
    lookback.begin()
    assert feed(lookback, [7, 8]) == [7, 8], "and at its end the line itself again"


def test_no_more_is_heard_again_than_is_kept() -> None:
    lookback = Lookback()
    lookback.begin()
    feed(lookback, list(range(LOUD, LOUD + 60)))
    lookback.go_back()
    assert lookback.behind == LENGTH_BLOCKS - 1
    assert feed(lookback, [LOUD + 60]) == [LOUD + 60 - (LENGTH_BLOCKS - 1)]


def test_time_that_is_waited_for_late_audio_brings_it_nearer() -> None:
    lookback = Lookback()
    lookback.begin()
    feed(lookback, [0, LOUD, LOUD + 1])
    lookback.go_back()
    assert lookback.behind == 3
    block = row(0)
    assert lookback.block(block, dsp.Fate.HELD) is dsp.Fate.HEARD
    assert block[0] == 0
    assert feed(lookback, [LOUD + 2, LOUD + 3]) == [LOUD, LOUD + 1]
    assert lookback.behind == 2


def test_without_a_late_order_held_blocks_stay_held() -> None:
    lookback = Lookback()
    assert lookback.block(row(5), dsp.Fate.HELD) is dsp.Fate.HELD


def test_what_was_lost_is_lost_when_heard_again() -> None:
    lookback = Lookback()
    lookback.begin()
    feed(lookback, [LOUD])
    lookback.block(row(0), dsp.Fate.LOST)
    lookback.go_back()
    fates = [lookback.block(row(LOUD), dsp.Fate.HEARD) for _ in range(3)]
    assert fates == [dsp.Fate.HEARD, dsp.Fate.LOST, dsp.Fate.HEARD]
