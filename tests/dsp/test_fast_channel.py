"""Fast modems through the bank: orders, events and their order; the signal itself is judged elsewhere."""

import numpy as np
import pytest

from dsp import (
    BLOCK,
    Bank,
    CarrierLost,
    Channel,
    DataReceived,
    Event,
    FlagsDetected,
    FrameReceived,
    Trained,
    TransmitDone,
    burst,
)
from dsp.hdlc import fcs
from dsp.level import measure_dbm0
from dsp.line_model import Idle, Line, Noise
from dsp.qam_tables import MODULATIONS
from dsp.v29 import V29_4800_CODE
from tests.dsp.signals import Samples, amplified, joined, noise, play, record, silence

CODES = [24, 48, V29_4800_CODE, 72, 96, 73, 145]
RATE = {m.code: m.bit_rate for m in MODULATIONS}
DATA = np.random.default_rng(31).integers(0, 256, 1500, dtype=np.uint8).tobytes()
DCS = b"\xff\x13\x82\x00\x46\x70"


def receiving(code: int) -> Bank:
    bank = Bank(1)
    bank.channels[0].receive_fast(code)
    return bank


def kinds(events: list[tuple[int, Event]]) -> list[type]:
    """Types of the events, a run of data as one."""
    types = [type(event) for _, event in events]
    return [t for k, t in enumerate(types) if k == 0 or t is not DataReceived or types[k - 1] is not t]


@pytest.mark.parametrize("code", CODES)
def test_data_arrive(code: int) -> None:
    received, measures = burst.receive(code, joined(silence(1111), burst.transmit(code, DATA), silence(800)))
    assert received[: len(DATA)] == DATA
    assert len(received) - len(DATA) <= 40  # turn-off
    assert measures.n_trained == 1
    assert measures.n_training_failed == 0
    assert measures.level_dbm0 == pytest.approx(-14, abs=0.5)
    assert measures.snr_db > 30
    assert abs(measures.carrier_offset_hz) < 0.2
    assert abs(measures.clock_offset_ppm) < 5


@pytest.mark.parametrize("code", CODES)
def test_events_come_in_order(code: int) -> None:
    signal = joined(silence(500), burst.transmit(code, DATA), silence(2400))
    events = play(receiving(code), joined(signal, signal))
    assert kinds(events) == [Trained, DataReceived, CarrierLost] * 2
    assert events[-1][1] == CarrierLost(v21=False)


@pytest.mark.parametrize("code", CODES)
def test_v21_is_heard_while_waiting_for_a_fast_modem(code: int) -> None:
    bank = receiving(code)
    signal = joined(silence(800), burst.transmit_frames([DCS]), silence(800))
    assert [event for _, event in play(bank, signal)] == [
        FlagsDetected(),
        FrameReceived(DCS + fcs(DCS), fcs_ok=True),
        CarrierLost(v21=True),
    ]
    assert kinds(play(bank, joined(burst.transmit(code, DATA), silence(2400)))) == [
        Trained,
        DataReceived,
        CarrierLost,
    ]


def test_changing_to_v21_in_the_middle_of_the_preamble_keeps_it() -> None:
    bank = receiving(96)
    sent = burst.transmit_frames([DCS])
    half = 40 * BLOCK
    assert [event for _, event in play(bank, sent[:half])] == [FlagsDetected()]
    bank.channels[0].receive_v21()  # what the AT engine does after +FCERROR and AT+FRH=3
    events = play(bank, joined(sent[half:], silence(800)))
    assert events[0] == (BLOCK, FlagsDetected())
    assert events[1][1] == FrameReceived(DCS + fcs(DCS), fcs_ok=True)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("content", [b"\x7e", b"\x00", b"\xff", DATA], ids="flags zeros ones random".split())
def test_v21_never_fires_on_a_fast_carrier(code: int, content: bytes) -> None:
    n_octets = RATE[code]  # 8 s
    data = content * (n_octets // len(content) + 1)
    events = play(receiving(code), joined(silence(320), burst.transmit(code, data), silence(1600)))
    assert not any(isinstance(event, FlagsDetected | FrameReceived) for _, event in events)
    # Nor when another modulation is expected, where nothing mutes the V.21 receiver for long.
    other = play(receiving(48 if code in (72, 96) else 96), joined(silence(320), burst.transmit(code, data)))
    assert not any(isinstance(event, FlagsDetected | FrameReceived) for _, event in other)


@pytest.mark.parametrize("signal", [silence(80000), noise(-30, 80000, 3)], ids=["silence", "noise"])
def test_nothing_is_heard_where_nothing_is(signal: Samples) -> None:
    assert play(receiving(96), signal) == []


def test_off_ends_reception() -> None:
    bank = receiving(96)
    sent = burst.transmit(96, DATA)
    play(bank, sent[: 50 * BLOCK])
    bank.channels[0].receive_off()
    assert play(bank, sent[50 * BLOCK :]) == []


@pytest.mark.parametrize("code", [0, 3, 144, 1000, -1])
def test_a_code_that_is_no_fast_modulation_is_refused_and_changes_nothing(code: int) -> None:
    bank = Bank(1)
    bank.channels[0].send_flags()
    bank.channels[0].receive_v21()
    with pytest.raises(ValueError, match=f"code {code}"):
        bank.channels[0].send_fast(code)
    with pytest.raises(ValueError, match=f"code {code}"):
        bank.channels[0].receive_fast(code)
    sent, _ = record(bank, 3)
    assert sent.any()
    assert play(bank, burst.transmit_frames([DCS]))[0][1] == FlagsDetected()


def test_an_unknown_code_leaves_fast_modems_at_work() -> None:
    """Both had stopped for ever: silence instead of data, no TransmitDone, nothing heard."""
    bank = receiving(96)
    channel = bank.channels[0]
    channel.send_fast(96)
    assert channel.write(DATA) == len(DATA)
    channel.end()
    wanted = burst.transmit(96, DATA)
    sent, got, done = [], b"", 0
    for k, block in enumerate(joined(wanted, silence(-len(wanted) % BLOCK + 1600)).reshape(-1, 1, BLOCK)):
        if k % 20 == 10:
            with pytest.raises(ValueError, match="code 1000"):
                channel.send_fast(1000)
            with pytest.raises(ValueError, match="code 1000"):
                channel.receive_fast(1000)
        sent.append(bank.process(block, np.zeros(1, np.bool_))[0].copy())
        for _, event in bank.events():
            got += event.data if isinstance(event, DataReceived) else b""
            done += isinstance(event, TransmitDone)
    assert np.array_equal(joined(*sent)[: len(wanted)], wanted)
    assert done == 1
    assert got[: len(DATA)] == DATA


def test_room_and_back_pressure() -> None:
    bank = Bank(1)
    channel = bank.channels[0]
    assert (channel.room, channel.write(DATA)) == (0, 0)
    channel.send_fast(96)
    room = channel.room
    assert room >= 4096
    taken = channel.write(bytes(100_000))
    assert taken == room
    assert (channel.room, channel.write(b"x")) == (0, 0)
    _, events = record(bank, 60)
    assert events == []
    assert 0 < channel.room < room
    channel.send_silence()
    assert channel.room == 0


@pytest.mark.parametrize("code", CODES)
def test_late_data_are_preceded_by_ones_and_followed_by_zeros(code: int) -> None:
    bank = Bank(1)
    channel = bank.channels[0]
    channel.send_fast(code)
    before, _ = record(bank, 100)
    assert channel.write(b"\x5a" * 20) == 20
    between, _ = record(bank, 50)
    channel.end()
    after, events = record(bank, 20)
    assert [event for _, event in events] == [TransmitDone()]
    received, _ = burst.receive(code, joined(before, between, after))
    ones, _, rest = received.partition(b"\x5a" * 20)
    assert len(ones) > 10
    assert set(ones) == {0xFF}
    n_zeros = RATE[code] // 8 * 8 // 10  # 0.8 s; what follows is the turn-off
    assert rest[:n_zeros] == bytes(n_zeros)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("level", [-14, -20])
def test_the_transmit_level(code: int, level: float) -> None:
    sent = burst.transmit(code, DATA, level_dbm0=level)
    assert measure_dbm0(sent[8000:16000]) == pytest.approx(level, abs=0.3)


def test_a_long_transmission_is_handed_over_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the whole rest at every tick, which took time with the square of its length."""
    handed_over = []
    write = Channel.write

    def counted(channel: Channel, data: bytes) -> int:
        handed_over.append(len(data))
        return write(channel, data)

    monkeypatch.setattr(Channel, "write", counted)
    data = bytes(30_000)
    sent = burst.transmit(145, data)
    assert len(sent) > len(data) * 8 / 14400 * 8000
    assert max(handed_over) <= 8192


def test_sending_and_receiving_at_once() -> None:
    bank = receiving(96)
    bank.channels[0].send_fast(48)
    bank.channels[0].write(DATA)
    bank.channels[0].end()
    heard = amplified(burst.transmit(96, DATA), -20)
    events = play(bank, joined(heard, silence(20000)))
    assert TransmitDone() in [event for _, event in events]
    assert b"".join(e.data for _, e in events if isinstance(e, DataReceived))[: len(DATA)] == DATA


@pytest.mark.parametrize("code", CODES)
def test_symbols_can_be_watched(code: int) -> None:
    """Received and decided points after each block, from the training on; the same audio, the same data."""
    bank = receiving(code)
    channel = bank.channels[0]
    line = Line([Idle(0.1, 0.2), Noise(-14 - 20)], seed=1)
    audio = line.run(burst.transmit(code, DATA))
    channel.watch_symbols()
    points, got = [], b""
    for block in audio[: len(audio) // BLOCK * BLOCK].reshape(-1, 1, BLOCK):
        bank.process(block, np.zeros(1, np.bool_))
        points.append(channel.symbols())
        got += b"".join(event.data for _, event in bank.events() if isinstance(event, DataReceived))
    assert got[: len(DATA)] == DATA
    received, decided = (np.concatenate(part) for part in zip(*points, strict=True))
    m = next(m for m in MODULATIONS if m.code == code)
    n_data = len(DATA) * 8 // m.bits_per_symbol
    n_known = len(m.turn_on.known)
    assert n_data < len(received) <= n_data + n_known + m.n_turn_off + 10
    error = np.mean(np.abs(received - decided) ** 2)
    assert -10 * np.log10(error) == pytest.approx(20 + 10 * np.log10(4000 / m.baud), abs=1.0)
    corners = np.array(list(m.points.values())) * m.unit
    in_data = decided[-n_data:]
    assert np.abs(in_data[:, None] - corners).min(axis=1).max() < 1e-5
    assert np.mean(np.abs(in_data) ** 2) == pytest.approx(1, abs=0.1)


def test_symbols_are_left_for_no_one_unless_asked_for() -> None:
    bank = receiving(96)
    channel = bank.channels[0]
    sent = joined(burst.transmit(96, DATA), silence(800))
    play(bank, sent)
    assert [len(part) for part in channel.symbols()] == [0, 0]
    channel.watch_symbols()
    play(bank, sent)
    assert [len(part) for part in channel.symbols()] == [128, 128]
    channel.reset()
    assert [len(part) for part in channel.symbols()] == [0, 0]
