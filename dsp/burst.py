"""Whole transmissions at once: data to samples and samples to data, without a tick."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from dsp.arguments import INT16, MARKS, checked_array
from dsp.bank import OCTETS, Bank
from dsp.events import DataReceived, Event, FrameReceived, TransmitDone
from dsp.level import BLOCK
from dsp.measures import Measures
from dsp.v21 import LEVEL_DBM0

_NOT_LOST = np.zeros(1, np.bool_)
_SILENCE = np.zeros((1, BLOCK), np.int16)
#: Silence heard after the samples end, so that a receiver can finish what it has in hand.
_TAIL_BLOCKS = 10


def transmit_frames(frames: Iterable[bytes], *, level_dbm0: float = LEVEL_DBM0) -> NDArray[np.int16]:
    """One V.21 transmission, preamble to carrier off, of frames given without their FCS (int16 samples).

    Raises ``ValueError`` for a frame that is empty or too long for T.30, or a level that is out of range.
    """
    bank = Bank(1)
    channel = bank.channels[0]
    channel.set_transmit_level(level_dbm0)
    channel.send_flags()
    waiting = list(frames)
    out = []
    ended = False
    while True:
        while waiting:
            try:
                channel.send_frame(waiting[0])
            except BufferError:
                break
            waiting.pop(0)
        if not waiting and not ended:
            channel.end()
            ended = True
        out.append(bank.process(_SILENCE, _NOT_LOST)[0].copy())
        if any(isinstance(event, TransmitDone) for _, event in bank.events()):
            return np.concatenate(out)


def transmit(code: int, data: bytes, *, level_dbm0: float = LEVEL_DBM0) -> NDArray[np.int16]:
    """One fast transmission of modulation ``code``: turn-on, ``data`` (LSB first), turn-off (int16 samples).

    Raises ``ValueError`` for a code that is no fast modulation of this package (V.21 has
    :func:`transmit_frames`), or a level that is out of range.
    """
    bank = Bank(1)
    channel = bank.channels[0]
    channel.set_transmit_level(level_dbm0)
    channel.send_fast(code)
    position = 0
    out = []
    while True:
        position += channel.write(data[position : position + OCTETS])
        if position == len(data):
            channel.end()
        out.append(bank.process(_SILENCE, _NOT_LOST)[0].copy())
        if any(isinstance(event, TransmitDone) for _, event in bank.events()):
            return np.concatenate(out)


def receive(
    code: int,
    samples: NDArray[np.int16],
    lost: NDArray[np.bool_] | None = None,
    on_symbols: Callable[[NDArray[np.complex64], NDArray[np.complex64]], object] | None = None,
) -> tuple[bytes, Measures]:
    """The data of the fast transmissions in ``samples`` and the measures; ``lost`` as in :func:`listen`.

    ``on_symbols`` is called with what ``Channel.symbols()`` has after each block: received, decided.

    A receiver cannot tell the turn-off from data: a few octets of it may follow the last one.
    Raises ``ValueError`` for a code that is no fast modulation of this package.
    """
    bank = Bank(1)
    bank.channels[0].receive_fast(code)
    channel = bank.channels[0]
    after_block = None
    if on_symbols is not None:
        watcher = on_symbols
        channel.watch_symbols()
        after_block = lambda: watcher(*channel.symbols())  # noqa: E731
    events = listen(bank, samples, lost, after_block)
    return b"".join(e.data for e in events if isinstance(e, DataReceived)), bank.channels[0].measures()


def receive_frames(
    samples: NDArray[np.int16], lost: NDArray[np.bool_] | None = None
) -> tuple[list[FrameReceived], Measures]:
    """The V.21 frames in ``samples`` and the measures; ``lost`` as in :func:`listen`."""
    bank = Bank(1)
    bank.channels[0].receive_v21()
    events = listen(bank, samples, lost)
    return [e for e in events if isinstance(e, FrameReceived)], bank.channels[0].measures()


def listen(
    bank: Bank,
    samples: NDArray[np.int16],
    lost: NDArray[np.bool_] | None = None,
    after_block: Callable[[], object] | None = None,
) -> list[Event]:
    """Play ``samples`` and a little silence to channel 0 of ``bank``, which has one channel; its events.

    ``lost[k]`` says that the k-th 160 samples never arrived and are only a stand-in.
    Raises ``TypeError`` for arrays of other types, ``ValueError`` for other shapes.
    """
    samples = checked_array("samples", samples, INT16, (None,))
    n_blocks = -(-len(samples) // BLOCK)
    blocks = np.zeros((n_blocks + _TAIL_BLOCKS, BLOCK), np.int16)
    blocks.reshape(-1)[: len(samples)] = samples
    mask = np.zeros(len(blocks), np.bool_)
    if lost is not None:
        mask[:n_blocks] = checked_array("lost", lost, MARKS, (n_blocks,))
    events: list[Event] = []
    for k in range(len(blocks)):
        bank.process(blocks[k : k + 1], mask[k : k + 1])
        events += [event for _, event in bank.events()]
        if after_block is not None:
            after_block()
    return events
