"""Fax signal processing: bits into 8 kHz audio and audio into bits, for many channels at once.

>>> bank = dsp.Bank(1)
>>> channel = bank.channels[0]
>>> channel.receive_v21()
>>> channel.send_flags()
>>> channel.send_frame(b"\\xff\\x13\\x84")
>>> tx = bank.process(rx, lost)  # every 20 ms: int16 (1, 160) in, the same out
>>> bank.events()
[(0, FlagsDetected())]
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dsp.bank import Bank
from dsp.channel import Channel
from dsp.events import (
    EVENTS,
    CarrierLost,
    DataReceived,
    DtmfDetected,
    Event,
    FlagsDetected,
    FrameReceived,
    FrameSent,
    ToneDetected,
    Trained,
    TrainingFailed,
    TransmitDone,
)
from dsp.fate import Fate
from dsp.interruption import Interruption
from dsp.kernel import records
from dsp.level import BLOCK, SAMPLE_RATE
from dsp.measures import Measures
from dsp.qam_rx import qam_rx_block
from dsp.qam_rx_state import QAM_RX
from dsp.qam_tx import QAM_TX, qam_tx_block
from dsp.v21 import V21_RX, V21_TX, v21_rx_block, v21_tx_block

__all__ = [
    "BLOCK",
    "SAMPLE_RATE",
    "Bank",
    "CarrierLost",
    "Channel",
    "DataReceived",
    "DtmfDetected",
    "Event",
    "Fate",
    "FlagsDetected",
    "FrameReceived",
    "FrameSent",
    "Interruption",
    "Measures",
    "ToneDetected",
    "Trained",
    "TrainingFailed",
    "TransmitDone",
    "kernels",
]


def kernels() -> list[tuple[str, Callable[[], object]]]:
    """What there is to compile: (name, call that compiles it and keeps it on disk).

    After that a process starts in a fraction of a second; without it the first ``Bank`` does it all.
    """
    block = np.zeros(BLOCK, np.float32)
    return [
        ("V.21 transmitter", lambda: v21_tx_block(records(V21_TX, 1)[0], block)),
        ("V.21 receiver", lambda: v21_rx_block(records(V21_RX, 1)[0], block, 0.0, records(EVENTS, 1)[0])),
        ("fast transmitter", lambda: qam_tx_block(records(QAM_TX, 1)[0], block)),
        (
            "fast receiver",
            lambda: qam_rx_block(records(QAM_RX, 1)[0], block, False, np.zeros(64, np.uint8)),
        ),
        ("channels", lambda: Bank(1)),
    ]
