"""What a line costs: ns per sample, time to start, memory; ours and libspandsp's compiled loops side by side.

Neither side's loop runs through Python: ours is compiled by numba, and so is the one that calls libspandsp's
C functions, block by block, with its bits put and fetched by compiled callbacks.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from bench.fax_cost_loops import (
    dtmf_receive,
    fast_receive,
    fast_send,
    tones_receive,
    v21_receive,
    v21_send,
)
from bench.fax_modems import (
    Audio,
    Modem,
    PeerReceiver,
    ours_send,
    random_data,
)
from bench.rows import Row
from dsp import Bank, burst
from dsp.dtmf import DTMF_RX
from dsp.events import EVENTS
from dsp.kernel import argument, records
from dsp.line_model import Idle, Line, Noise
from dsp.qam_rx import QAM_RX, qam_rx_start
from dsp.qam_rx_state import DATA
from dsp.qam_tx import QAM_TX, TX_RING, qam_tx_start
from dsp.tones import TONE_RX
from dsp.v21 import V21_RX, V21_TX, v21_rx_reset, v21_tx_start
from tests.peers import spandsp_peer as peer

BLOCK = 160
LINES = (1, 64)
#: What two runs may differ by.
_TOLERANCE_NS = 0.3

# --- libspandsp's -----------------------------------------------------------------------------------

_IO = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_int)


def _c_function(name: str) -> Any:  # noqa: ANN401 - numba takes it as it is
    library: Any = peer.load()
    return _IO(ctypes.cast(getattr(library, name), ctypes.c_void_p).value)


def _peer_loop(name: str) -> Callable[[NDArray[np.int64], int, int, int], None]:
    function = _c_function(name)

    @numba.njit  # type: ignore[untyped-decorator,unused-ignore]
    def loop(states: NDArray[np.int64], address: int, step: int, n_blocks: int) -> None:
        for k in range(n_blocks):
            for i in range(len(states)):
                function(states[i], address + k * step, BLOCK)

    return loop  # type: ignore[no-any-return]


@numba.cfunc(types.int32(types.CPointer(types.int64)))
def _next_bit(state):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - numba has the types
    """A pseudo-random bit."""
    state[0] = state[0] * 6364136223846793005 + 1442695040888963407
    return (state[0] >> 40) & 1


def _best(run: Callable[[], object], n_samples: int) -> float:
    """ns of processor time per sample of the fastest of several runs: others may want the processor, too."""
    run()
    best = float("inf")
    for _ in range(7):
        begin = time.thread_time()
        run()
        best = min(best, time.thread_time() - begin)
    return best * 1e9 / n_samples


def _check(good: bool, problem: str) -> None:
    """A loop that does not do its work must not be timed."""
    if not good:
        raise RuntimeError(problem)


# --- the rows ---------------------------------------------------------------------------------------


def _noisy(audio: Audio, modem: Modem) -> Audio:
    return Line([Idle(0.2), Noise(-14.0 - modem.goal_db - 3, idle_dbm0=None)], seed=1).run(audio)


def _receive_row(modem: Modem, n_lines: int, seconds: int) -> Row:
    audio = _noisy(ours_send(modem, random_data(modem.rate // 8 * (2 * seconds + 2), 1)), modem)
    training = 2 * 8000 // BLOCK
    n_blocks = seconds * 8000 // BLOCK
    state = records(QAM_RX, n_lines)
    plain = argument(state)
    for i in range(n_lines):
        if not qam_rx_start(plain[i], modem.code):
            raise ValueError(modem.name)
    fast_receive(plain, audio, training)
    trained = plain.copy()
    _check(bool((state.state == DATA).all()), f"{modem.name}: our receiver has not trained")
    rest = np.ascontiguousarray(audio[training * BLOCK :])

    def ours() -> None:
        plain[:] = trained
        fast_receive(plain, rest, n_blocks)

    ours_ns = _best(ours, n_blocks * BLOCK * n_lines)
    receivers = [PeerReceiver(modem) for _ in range(n_lines)]
    loop = _peer_loop(f"{modem.peer}_rx")
    states = np.array([receiver.rx._p for receiver in receivers], np.int64)
    copy = audio.copy()
    loop(states, copy.ctypes.data, 2 * BLOCK, training)
    _check(all(receiver.rx.trained for receiver in receivers), f"{modem.name}: libspandsp has not trained")

    def theirs() -> None:  # the data go on and on: the second half of the audio is never reached twice
        loop(states, copy.ctypes.data + 2 * BLOCK * training, 2 * BLOCK, n_blocks)

    theirs_ns = _best(theirs, n_blocks * BLOCK * n_lines)
    return Row(
        f"{modem.name} receive, {_lines(n_lines)}", ours_ns, theirs_ns, "ns/sample", tolerance=_TOLERANCE_NS
    )


def _waiting_row(modem: Modem, n_lines: int, seconds: int) -> Row:
    noise = Line([Idle(seconds), Noise(-55.0)], seed=1).run(np.zeros(0, np.int16))
    n_blocks = len(noise) // BLOCK
    plain = argument(records(QAM_RX, n_lines))
    for i in range(n_lines):
        qam_rx_start(plain[i], modem.code)
    ours_ns = _best(lambda: fast_receive(plain, noise, n_blocks), n_blocks * BLOCK * n_lines)
    receivers = [PeerReceiver(modem) for _ in range(n_lines)]
    loop = _peer_loop(f"{modem.peer}_rx")
    states = np.array([receiver.rx._p for receiver in receivers], np.int64)
    theirs_ns = _best(
        lambda: loop(states, noise.ctypes.data, 2 * BLOCK, n_blocks), n_blocks * BLOCK * n_lines
    )
    return Row(
        f"{modem.name} waiting for a carrier, {_lines(n_lines)}",
        ours_ns,
        theirs_ns,
        "ns/sample",
        tolerance=_TOLERANCE_NS,
    )


def _send_row(modem: Modem, n_lines: int, seconds: int) -> Row:
    n_blocks = seconds * 8000 // BLOCK
    plain = argument(records(QAM_TX, n_lines))
    data = np.frombuffer(random_data(TX_RING // 2, 1), np.uint8).copy()
    for i in range(n_lines):
        qam_tx_start(plain[i], modem.code)
    ours_ns = _best(lambda: fast_send(plain, data, n_blocks), n_blocks * BLOCK * n_lines)
    library: Any = peer.load()
    senders = [peer.ModemTx(modem.peer, modem.rate, None, short_train=modem.short) for _ in range(n_lines)]
    seed = np.ones(1, np.int64)
    set_get_bit = getattr(library, f"{modem.peer}_tx_set_get_bit")
    set_get_bit.restype, set_get_bit.argtypes = None, [ctypes.c_void_p] * 3
    for sender in senders:
        set_get_bit(sender._p, _next_bit.address, seed.ctypes.data)
    loop = _peer_loop(f"{modem.peer}_tx")
    states = np.array([sender._p for sender in senders], np.int64)
    room = np.zeros(BLOCK, np.int16)
    theirs_ns = _best(lambda: loop(states, room.ctypes.data, 0, n_blocks), n_blocks * BLOCK * n_lines)
    return Row(
        f"{modem.name} send, {_lines(n_lines)}", ours_ns, theirs_ns, "ns/sample", tolerance=_TOLERANCE_NS
    )


def _v21_receive_row(n_lines: int, seconds: int) -> Row:
    frames = [random_data(100, seed) for seed in range(seconds // 3 + 1)]
    audio = burst.transmit_frames(frames)
    n_blocks = len(audio) // BLOCK
    plain = argument(records(V21_RX, n_lines))
    for i in range(n_lines):
        v21_rx_reset(plain[i])
    events = argument(records(EVENTS, 1))
    n_events = v21_receive(plain, events, audio, n_blocks)
    _check(n_events >= (len(frames) + 1) * n_lines, "V.21: our receiver has not received")
    ours_ns = _best(lambda: v21_receive(plain, events, audio, n_blocks), n_blocks * BLOCK * n_lines)
    sinks = [peer.HdlcRx() for _ in range(n_lines)]
    receivers = [peer.ModemRx("v21ch2", 300, sink) for sink in sinks]
    states = np.array([receiver._p for receiver in receivers], np.int64)
    loop = _peer_loop("fsk_rx")
    theirs_ns = _best(
        lambda: loop(states, audio.ctypes.data, 2 * BLOCK, n_blocks), n_blocks * BLOCK * n_lines
    )
    _check(all(sink.frames for sink in sinks), "V.21: libspandsp has not received")
    return Row(
        f"V.21 and HDLC receive, {_lines(n_lines)}", ours_ns, theirs_ns, "ns/sample", tolerance=_TOLERANCE_NS
    )


def _v21_send_row(n_lines: int, seconds: int) -> Row:
    n_blocks = seconds * 8000 // BLOCK
    plain = argument(records(V21_TX, n_lines))
    for i in range(n_lines):
        v21_tx_start(plain[i])
    frame = np.frombuffer(random_data(100, 1), np.uint8).copy()
    ours_ns = _best(lambda: v21_send(plain, frame, n_blocks), n_blocks * BLOCK * n_lines)
    sources = [peer.HdlcTx([bytes(frame)] * (seconds * 30)) for _ in range(n_lines)]
    senders = [peer.ModemTx("v21ch2", 300, source) for source in sources]
    states = np.array([sender._p for sender in senders], np.int64)
    loop = _peer_loop("fsk_tx")
    room = np.zeros(BLOCK, np.int16)
    theirs_ns = _best(lambda: loop(states, room.ctypes.data, 0, n_blocks), n_blocks * BLOCK * n_lines)
    return Row(
        f"V.21 and HDLC send, {_lines(n_lines)}", ours_ns, theirs_ns, "ns/sample", tolerance=_TOLERANCE_NS
    )


def _tones_row(n_lines: int, seconds: int) -> Row:
    """CNG and CED: ours listens for both at once; the peer has a detector each."""
    noise = Line([Idle(seconds), Noise(-30.0)], seed=1).run(np.zeros(0, np.int16))
    n_blocks = len(noise) // BLOCK
    plain, events = argument(records(TONE_RX, n_lines)), argument(records(EVENTS, 1))
    ours_ns = _best(lambda: tones_receive(plain, events, noise, n_blocks), n_blocks * BLOCK * n_lines)
    receivers = [peer.ConnectToneRx(kind) for _ in range(n_lines) for kind in ("cng", "ced")]
    states = np.array([receiver._p for receiver in receivers], np.int64)
    loop = _peer_loop("modem_connect_tones_rx")
    theirs_ns = _best(
        lambda: loop(states, noise.ctypes.data, 2 * BLOCK, n_blocks), n_blocks * BLOCK * n_lines
    )
    return Row(
        f"CNG and CED receive, {_lines(n_lines)}", ours_ns, theirs_ns, "ns/sample", tolerance=_TOLERANCE_NS
    )


def _dtmf_row(n_lines: int, seconds: int) -> Row:
    """DTMF, pressed all the time."""
    sender = peer.DtmfTx(level_dbm0=-10)
    sent = []
    for _ in range(seconds):
        sender.put("0123456789")
        sent += [sender.tx(BLOCK) for _ in range(50)]
    audio = np.concatenate(sent)
    n_blocks = len(audio) // BLOCK
    plain, events = argument(records(DTMF_RX, n_lines)), argument(records(EVENTS, 1))
    _check(dtmf_receive(plain, events, audio, n_blocks) > 5 * seconds * n_lines, "DTMF: ours has not heard")
    ours_ns = _best(lambda: dtmf_receive(plain, events, audio, n_blocks), n_blocks * BLOCK * n_lines)
    receivers = [peer.DtmfRx() for _ in range(n_lines)]
    states = np.array([receiver._p for receiver in receivers], np.int64)
    loop = _peer_loop("dtmf_rx")
    theirs_ns = _best(
        lambda: loop(states, audio.ctypes.data, 2 * BLOCK, n_blocks), n_blocks * BLOCK * n_lines
    )
    return Row(f"DTMF receive, {_lines(n_lines)}", ours_ns, theirs_ns, "ns/sample", tolerance=_TOLERANCE_NS)


def _tick_row(modem: Modem, n_lines: int, seconds: int) -> Row:
    """The whole tick, Python included: level, tones, receiver and events of every line. No peer."""
    audio = _noisy(ours_send(modem, random_data(modem.rate // 8 * seconds, 1)), modem)
    blocks = np.repeat(audio[: len(audio) // BLOCK * BLOCK].reshape(-1, 1, BLOCK), n_lines, axis=1)
    lost = np.zeros(n_lines, np.bool_)
    bank = Bank(n_lines)

    def ours() -> None:
        for channel in bank.channels:
            channel.receive_fast(modem.code)
        for block in blocks:
            bank.process(block, lost)
            bank.events()

    return Row(
        f"{modem.name} whole tick with Python, {_lines(n_lines)}", _best(ours, blocks.size), None, "ns/sample"
    )


def _lines(n: int) -> str:
    return "1 line" if n == 1 else f"{n} lines"


def cost_rows(modems: Sequence[Modem], quick: bool) -> Iterator[Row]:
    """ns per sample and line."""
    seconds = {1: 4 if quick else 20, 64: 1 if quick else 4}
    modems = [modem for modem in modems if not modem.short]
    for n_lines in LINES:
        s = seconds[n_lines]
        for modem in modems:
            yield _receive_row(modem, n_lines, s)
        for modem in modems:
            yield _send_row(modem, n_lines, s)
        for modem in modems[-1:]:
            yield _waiting_row(modem, n_lines, s)
        yield _v21_receive_row(n_lines, s)
        yield _v21_send_row(n_lines, s)
        yield _tones_row(n_lines, s)
        yield _dtmf_row(n_lines, s)
        for modem in modems[-1:]:
            yield _tick_row(modem, n_lines, s)
