"""The audio of many lines at once, between their calls and the bank's rows.

A line in a call whose voice stands in its endpoint's `iax.media_table.MediaTable` is served here, all of them
with a few array operations a tick; the others (recorded calls, no jitter buffer) serve themselves.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

import dsp
import iax
from cusemodem.line import Line
from dsp import g711

Samples = NDArray[np.int16]
Group = tuple[iax.Endpoint, list[Line], list[iax.Call]]


class LineVoice:
    """Groups the lines by endpoint, and moves their blocks."""

    def __init__(self) -> None:
        self._groups: list[Group] = []
        self.served: frozenset[Line] = frozenset()
        """The lines whose audio is moved here in this tick."""

    def receive(self, lines: Iterable[Line], rx: Samples, fates: NDArray[np.uint8]) -> None:
        """Put this block's received audio into the rows of RX, and what became of it into FATES."""
        groups: dict[int, Group] = {}
        for line in lines:
            if (call := line.batch_call) is not None:
                _, those, calls = groups.setdefault(id(line.endpoint), (line.endpoint, [], []))
                those.append(line)
                calls.append(call)
        self._groups = list(groups.values())
        self.served = frozenset(line for _, those, _ in self._groups for line in those)
        for endpoint, those, calls in self._groups:
            octets, became = endpoint.receive_voice(calls, dsp.BLOCK)
            at = [line.index for line in those]
            fates[at] = became  # `iax.voice_batches` and `dsp.Fate` have the same numbers
            for format_, some in _by_format(calls):
                rx[[at[i] for i in some]] = _decoded(octets[some], format_)
            rx[[index for index, fate in zip(at, became, strict=True) if fate == dsp.Fate.HELD]] = 0

    def send(self, tx: Samples, now: float) -> None:
        """Send this block of the rows of TX."""
        for endpoint, those, calls in self._groups:
            rows = np.empty((len(calls), 2 * dsp.BLOCK), np.uint8)
            at = [line.index for line in those]
            for format_, some in _by_format(calls):
                coded = _encoded(tx[[at[i] for i in some]], format_)
                rows[some, : coded.shape[1]] = coded
            endpoint.send_voice(calls, rows, now)


def _by_format(calls: list[iax.Call]) -> list[tuple[iax.Format, list[int]]]:
    first = calls[0].format
    if all(call.format is first for call in calls):
        return [(first, list(range(len(calls))))]
    groups: dict[iax.Format, list[int]] = {}
    for i, call in enumerate(calls):
        groups.setdefault(call.format, []).append(i)
    return list(groups.items())


def _decoded(octets: NDArray[np.uint8], format_: iax.Format) -> Samples:
    if format_ is iax.Format.ULAW:
        return g711.ulaw_decode(octets[:, : dsp.BLOCK])
    if format_ is iax.Format.ALAW:
        return g711.alaw_decode(octets[:, : dsp.BLOCK])
    return np.ascontiguousarray(octets).view(">i2").astype(np.int16)


def _encoded(samples: Samples, format_: iax.Format) -> NDArray[np.uint8]:
    if format_ is iax.Format.ULAW:
        return g711.ulaw_encode(samples)
    if format_ is iax.Format.ALAW:
        return g711.alaw_encode(samples)
    return np.ascontiguousarray(samples.astype(">i2")).view(np.uint8)
