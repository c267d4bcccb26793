"""Our fast modems against libspandsp's, both directions: every training succeeds, every bit is equal."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp import g711
from dsp.qam_tx import qam_burst
from dsp.v29 import V29_4800_CODE
from tests.dsp.qam_bench import receive, receive_in_turn
from tests.peers import spandsp_peer as peer

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not peer.available(), reason="no libspandsp2 (apt-get install libspandsp2)"),
]

N_STARTS = 20
RATES = pytest.mark.parametrize(
    ("modulation", "rate", "code"),
    [
        ("v27ter", 2400, 24),
        ("v27ter", 4800, 48),
        ("v29", 4800, V29_4800_CODE),
        ("v29", 7200, 72),
        ("v29", 9600, 96),
    ],
)


def line(coding: str, audio: NDArray[np.int16]) -> NDArray[np.int16]:
    if coding == "ulaw":
        return g711.ulaw_decode(g711.ulaw_encode(audio))
    if coding == "alaw":
        return g711.alaw_decode(g711.alaw_encode(audio))
    return audio


CODINGS = ("linear", "ulaw", "alaw")


def surrounded(audio: NDArray[np.int16], start: int, coding: str) -> NDArray[np.int16]:
    """``audio`` after a start that is no whole number of blocks, and before silence, through a codec."""
    quiet = np.zeros(800, np.int16)
    return line(coding, np.concatenate([quiet, np.zeros(17 * start, np.int16), audio, quiet]))


@RATES
def test_their_receiver_takes_our_transmitter(modulation: str, rate: int, code: int) -> None:
    rng = np.random.default_rng(code)
    for start in range(N_STARTS):
        data = rng.integers(0, 256, rate // 16, dtype=np.uint8).tobytes()
        audio = surrounded(qam_burst(code, data), start, CODINGS[start % 3])
        receiver = peer.ModemRx(modulation, rate, cutoff_dbm0=-45.5).rx(audio)
        assert "trained" in receiver.event_names(), start
        sent = peer.bytes_to_bits(data)
        assert np.array_equal(receiver.bits[: len(sent)], sent), start


@RATES
def test_our_receiver_takes_their_transmitter(modulation: str, rate: int, code: int) -> None:
    rng = np.random.default_rng(code)
    for start in range(N_STARTS):
        data = rng.integers(0, 256, rate // 16, dtype=np.uint8).tobytes()
        sent = peer.ModemTx(modulation, rate, peer.bytes_to_bits(data)).all()
        reception = receive(code, surrounded(sent, start, CODINGS[start % 3]))
        assert len(reception.trained) == 1, start
        assert reception.data[: len(data)] == data, start
        assert len(reception.carrier_lost) == 1, start


@RATES
def test_talker_echo_protection_is_understood_both_ways(modulation: str, rate: int, code: int) -> None:
    data = bytes(range(100))
    sent = peer.bytes_to_bits(data)
    receiver = peer.ModemRx(modulation, rate, cutoff_dbm0=-45.5)
    receiver.rx(surrounded(qam_burst(code, data, tep=True), 0, "linear"))
    assert np.array_equal(receiver.bits[: len(sent)], sent)
    theirs = peer.ModemTx(modulation, rate, sent, tep=True).all()
    assert receive(code, surrounded(theirs, 0, "linear")).data[: len(data)] == data


V17 = pytest.mark.parametrize(("rate", "code"), [(7200, 73), (9600, 97), (12000, 121), (14400, 145)])


@V17
def test_their_receiver_takes_our_v17_long_and_then_short(rate: int, code: int) -> None:
    rng = np.random.default_rng(code)
    for start in range(N_STARTS):
        receiver = peer.ModemRx("v17", rate, cutoff_dbm0=-45.5)
        for short in range(3):
            if short:
                receiver.restart(rate, short_train=True)
                receiver.clear()
            data = rng.integers(0, 256, rate // 32, dtype=np.uint8).tobytes()
            audio = surrounded(qam_burst(code + (short > 0), data), start + 5 * short, CODINGS[start % 3])
            receiver.rx(audio)
            sent = peer.bytes_to_bits(data)
            assert np.array_equal(receiver.bits[: len(sent)], sent), (start, short)


@V17
def test_our_receiver_takes_their_v17_long_and_then_short(rate: int, code: int) -> None:
    rng = np.random.default_rng(code)
    for start in range(N_STARTS):
        sender = peer.ModemTx("v17", rate)
        sounds, all_data = [], []
        for short in range(3):
            data = rng.integers(0, 256, rate // 32, dtype=np.uint8).tobytes()
            sender.set_bits(peer.bytes_to_bits(data))
            sender.restart(rate, short_train=short > 0)
            audio = surrounded(sender.all(), start + 5 * short, CODINGS[start % 3])
            sounds.append((code + (short > 0), audio))
            all_data.append(data)
        for reception, data in zip(receive_in_turn(sounds), all_data, strict=True):
            assert len(reception.trained) == 1, start
            assert reception.data[: len(data)] == data, start
            assert len(reception.carrier_lost) == 1, start


@V17
@pytest.mark.parametrize("short", [False, True])
def test_v17_with_talker_echo_protection_is_understood_both_ways(rate: int, code: int, short: bool) -> None:
    data = bytes(range(100))
    sent = peer.bytes_to_bits(data)
    receiver = peer.ModemRx("v17", rate, cutoff_dbm0=-45.5)
    receiver.rx(surrounded(qam_burst(code, data, tep=True), 0, "linear"))
    if short:
        receiver.restart(rate, short_train=True)
        receiver.clear()
        receiver.rx(surrounded(qam_burst(code + 1, data, tep=True), 0, "linear"))
    assert np.array_equal(receiver.bits[: len(sent)], sent)
    sender = peer.ModemTx("v17", rate, sent, tep=True)
    sounds = [(code, surrounded(sender.all(), 0, "linear"))]
    if short:
        sender.set_bits(sent)
        sender.restart(rate, tep=True, short_train=True)
        sounds.append((code + 1, surrounded(sender.all(), 3, "linear")))
    assert receive_in_turn(sounds)[-1].data[: len(data)] == data
