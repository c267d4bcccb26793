"""The DSP channel's events on their way up: in the engine's words, and as notes in the call's report."""

from __future__ import annotations

from collections.abc import Callable

import dsp
from cusemodem.at import events
from cusemodem.report import CallReport


def engine_event(event: dsp.Event) -> events.Event | None:
    """`event` as the AT engine knows it; None for what it has no use for."""
    if isinstance(event, dsp.DataReceived):
        return events.DataReceived(event.data)
    if isinstance(event, dsp.FrameReceived):
        return events.FrameReceived(event.data, event.fcs_ok)
    if isinstance(event, dsp.CarrierLost):
        return events.CarrierLost(event.v21)
    if isinstance(event, dsp.ToneDetected):
        return events.BusyTone() if event.name in ("busy", "congestion") else None
    for theirs, ours in _PLAIN:
        if isinstance(event, theirs):
            return ours()
    return None


_PLAIN: tuple[tuple[type, Callable[[], events.Event]], ...] = (
    (dsp.Trained, events.Trained),
    (dsp.TrainingFailed, events.TrainingFailed),
    (dsp.FlagsDetected, events.FlagsDetected),
    (dsp.FrameSent, events.FrameSent),
    (dsp.TransmitDone, events.TransmitDone),
)


def note_modem_event(report: CallReport, event: dsp.Event, channel: dsp.Channel) -> None:
    """Count what was received, and keep the measures of each burst at its end."""
    if isinstance(event, dsp.FrameReceived):
        report.frames_received += 1
        report.frames_bad += not event.fcs_ok
    burst = report.burst
    if burst is None:
        return
    if isinstance(event, dsp.DataReceived):
        burst.n_bytes += len(event.data)
    elif burst.transmitted:
        return
    elif isinstance(event, dsp.Trained):
        burst.trained = True
        burst.level_dbm0 = round(float(channel.measures().level_dbm0), 1)
    elif isinstance(event, dsp.TrainingFailed):
        burst.trained = burst.trained or False
        burst.n_failed_trainings += 1
    elif isinstance(event, dsp.CarrierLost) and not event.v21:
        measures = channel.measures()
        burst.snr_db = round(float(measures.snr_db), 1)
        burst.evm = round(float(measures.evm), 4)
        burst.carrier_offset_hz = round(float(measures.carrier_offset_hz), 2)
        burst.clock_offset_ppm = round(float(measures.clock_offset_ppm), 1)
        burst.n_slips = sum(one.kind == "slip" for one in measures.interruptions)
        missing = sum(one.n_samples for one in measures.interruptions)
        burst.missing_ms = round(missing / dsp.SAMPLE_RATE * 1000, 1)
