"""The AT engine of a configured line: name, rules, stored profiles, and what ATI tells of the line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import iax
from cusemodem.at.call_rules import CallRules
from cusemodem.at.engine import Engine
from cusemodem.at.identity import CUSEMODEM, IAXMODEM
from cusemodem.at.line_facts import LineFacts
from cusemodem.at.profiles import Profiles
from cusemodem.profile_file import load_profiles
from cusemodem.report import MODULATION_NAMES, Burst, CallReport
from cusemodem.served_line import Served


def new_engine(served: Served, state: Path | None) -> Engine:
    """The engine of `served`; its profiles are in `state`, or nowhere."""
    config = served.config
    rules = CallRules(
        busy_after_call_s=config.busy_after_call_s,
        ring_types=dict(config.ring_types),
        international_prefix=config.international_prefix,
    )
    facts = LineFacts(
        last_call=lambda: _last_call(served),
        line=lambda: _line(served),
        quality=lambda: _quality(served),
    )
    return Engine(
        IAXMODEM if config.identity == "iaxmodem" else CUSEMODEM,
        rules,
        profiles=load_profiles(state, config.name) if state is not None else Profiles(),
        facts=facts,
    )


def _report(served: Served) -> CallReport | None:
    line = served.line
    return None if line is None else line.report or line.last_report


def _last_call(served: Served) -> Sequence[str]:
    """I6: the sentence of the last call that has ended."""
    report = served.line.last_report if served.line is not None else None
    return () if report is None else (report.sentence(),)


def _line(served: Served) -> Sequence[str]:
    """I7: device, account, registration."""
    config, registration = served.config, served.registration
    if registration is None:
        state = "not registered by configuration" if not config.refresh_s else "not ready"
    else:
        state = registration.state.value
        if registration.state is iax.RegistrationState.REGISTERED:
            state += f" every {registration.refresh_s} s"
    server = f"{config.server_host}:{config.server_port}"
    return (f"{config.name}: {config.device_path}", f"{config.peername or 'nobody'} at {server}: {state}")


def _quality(served: Served) -> Sequence[str]:
    """I11: the signals received, burst by burst, and the network's share."""
    report = _report(served)
    return () if report is None else quality_lines(report)


def quality_lines(report: CallReport) -> list[str]:
    """Line quality for a person: each received burst's level, noise and carrier, then what packets did."""
    which = "outgoing call to" if report.outgoing else "incoming call from"
    lines = [f"{which} {report.number or 'an unknown number'}, {report.duration_s:.1f} s"]
    lines += [_burst_line(burst) for burst in report.bursts if not burst.transmitted]
    if report.frames_received or report.frames_sent:
        frames = f"{report.frames_received} received, {report.frames_bad} bad, {report.frames_sent} sent"
        lines.append(f"V.21 frames: {frames}")
    media = report.media
    if media.received:
        parts = [f"{media.lost_ms:.0f} ms lost", f"jitter {media.jitter_ms:.1f} ms"]
        parts += [f"{media.reordered} reordered", f"{media.late} late"]
        if media.rtt_ms is not None:
            parts.append(f"round trip {media.rtt_ms:.0f} ms")
        lines.append(f"packets: {', '.join(parts)}")
    return lines


def _burst_line(burst: Burst) -> str:
    name = MODULATION_NAMES.get(burst.code, str(burst.code))
    if not burst.trained:
        return f"{name} at {burst.start_s:.1f} s: not trained"
    parts = [f"{burst.n_bytes} bytes"]
    for value, form in (
        (burst.level_dbm0, "level {:.1f} dBm0"),
        (burst.snr_db, "SNR {:.1f} dB"),
        (burst.evm, "EVM {:.1%}"),
        (burst.carrier_offset_hz, "carrier {:+.2f} Hz"),
        (burst.clock_offset_ppm, "clock {:+.1f} ppm"),
    ):
        if value is not None:
            parts.append(form.format(value))
    return f"{name} at {burst.start_s:.1f} s: {', '.join(parts)}"
