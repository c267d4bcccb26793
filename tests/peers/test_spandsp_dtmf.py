"""DTMF to and from libspandsp."""

from __future__ import annotations

import numpy as np
import pytest

from dsp import Bank, DtmfDetected, TransmitDone
from dsp.dtmf import DIGITS
from dsp.line_model import Codec, Gain, Line, Noise, Shape
from tests.peers import spandsp_peer as peer

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not peer.available(), reason="no libspandsp2 (apt-get install libspandsp2)"),
]

LINES = {
    "clean": Line([]),
    "noise": Line([Noise(-30)]),
    "weak": Line([Gain(-15), Noise(-50)]),
    "ulaw": Line([Codec("ulaw")]),
    "loop": Line([Shape("loop-short"), Codec("alaw")]),
}


@pytest.mark.parametrize("line", LINES)
def test_they_hear_ours(line: str) -> None:
    bank = Bank(1)
    bank.channels[0].send_dtmf(DIGITS)
    sent = [np.zeros(800, np.int16)]
    while not any(event == TransmitDone() for _, event in bank.events()):
        sent.append(bank.process(np.zeros((1, 160), np.int16), np.zeros(1, np.bool_))[0].copy())
    assert peer.DtmfRx().rx(LINES[line].run(np.concatenate(sent))).digits == DIGITS


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize(("on_ms", "off_ms"), [(50, 55), (40, 40), (100, 100)])
def test_we_hear_theirs(line: str, on_ms: int, off_ms: int) -> None:
    transmitter = peer.DtmfTx(DIGITS, on_ms=on_ms, off_ms=off_ms)
    audio = [np.zeros(877, np.int16)]
    while len(block := transmitter.tx(160)):
        audio.append(block)
    signal = LINES[line].run(np.concatenate([*audio, np.zeros(800, np.int16)]))
    bank = Bank(1)
    bank.channels[0].listen_for(dtmf=True)
    heard = []
    for k in range(len(signal) // 160):
        bank.process(signal[np.newaxis, 160 * k : 160 * k + 160], np.zeros(1, np.bool_))
        heard += [event.digit for _, event in bank.events() if isinstance(event, DtmfDetected)]
    assert "".join(heard) == DIGITS
