"""The audio of several lines at once: the same samples as line by line, whatever their formats."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

import dsp
import iax
from cusemodem.line import Line, decode, encode
from cusemodem.line_voice import LineVoice
from iax.frames import Address
from iax.media_table import MediaTable
from iax.voice_batches import HEARD, HELD, LOST

FORMATS = (iax.ULAW, iax.ALAW, iax.SLINEAR, iax.ULAW)
HERE: Address = ("192.0.2.1", 4569)


@dataclass(eq=False)
class FakeLine:
    index: int
    endpoint: iax.Endpoint
    batch_call: iax.Call | None = field(default=None)


def test_rows_in_and_out() -> None:
    """Four lines on two endpoints, one of which has a table; a fifth has no call."""
    rng = np.random.default_rng(1)
    far = iax.Endpoint(random.Random(1), accept_from_anyone=True)
    ends = [iax.Endpoint(random.Random(2), media=MediaTable(4)), iax.Endpoint(random.Random(3))]
    addresses: list[Address] = [("192.0.2.3", 4569), ("192.0.2.4", 4569)]
    lines = [*(FakeLine(i, ends[i // 2]) for i in range(4)), FakeLine(4, ends[0])]
    now = 1000.0
    calls = [
        line.endpoint.call(iax.PeerConfig(HERE), str(line.index), now, formats=(FORMATS[line.index],))
        for line in lines[:4]
    ]
    far_calls: dict[str, iax.Call] = {}
    for line, call in zip(lines, calls, strict=False):
        line.batch_call = call
    voice = LineVoice()
    rx = np.ones((5, dsp.BLOCK), np.int16)
    fates = np.zeros(5, np.uint8)
    sent: dict[int, list[bytes]] = {i: [] for i in range(4)}
    n_equal = 0
    for _ in range(60):
        now += 0.02
        for i, end in enumerate(ends):
            end.handle_timer(now)
            for datagram, _address in end.datagrams_to_send():
                far.receive(datagram, addresses[i], now)
        far.handle_timer(now)
        for event in far.events():
            if isinstance(event, iax.IncomingCall):
                event.call.answer(now)
                far_calls[event.call.called_number] = event.call
        for number, call in far_calls.items():
            block = rng.integers(-8000, 8000, dsp.BLOCK).astype(np.int16)
            payload = encode(block, call.format)
            call.send_audio(payload, now)
            sent[int(number)].append(payload)
        for datagram, address in far.datagrams_to_send():
            ends[addresses.index(address)].receive(datagram, HERE, now)
        voice.receive(cast("list[Line]", lines), rx, fates)
        assert voice.served == frozenset(cast("list[Any]", lines[:4]))
        for i in range(4):
            for payload in sent[i]:
                if np.array_equal(rx[i], decode(payload, FORMATS[i])):
                    n_equal += 1
                    assert fates[i] == dsp.Fate.HEARD
        tx = rng.integers(-8000, 8000, (5, dsp.BLOCK)).astype(np.int16)
        voice.send(tx, now)
        out = []
        for end, source in zip(ends, addresses, strict=True):
            for datagram, _address in end.datagrams_to_send():
                out.append(datagram)
                far.receive(datagram, source, now)
        for i, call in enumerate(calls):
            if call.state is iax.CallState.UP:
                assert any(datagram.endswith(encode(tx[i], FORMATS[i])) for datagram in out)
    assert n_equal > 4 * 40
    assert (rx[4] == 1).all(), "no call, not touched"
    assert [HEARD, LOST, HELD] == [dsp.Fate.HEARD, dsp.Fate.LOST, dsp.Fate.HELD]


def test_lines_with_nothing_to_move() -> None:
    voice = LineVoice()
    rx = np.ones((1, dsp.BLOCK), np.int16)
    voice.receive(
        cast("list[Line]", [FakeLine(0, iax.Endpoint(random.Random(1)))]), rx, np.zeros(1, np.uint8)
    )
    voice.send(rx, 0.0)
    assert voice.served == frozenset()
    assert (rx == 1).all()
