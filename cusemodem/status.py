"""How the lines stand, as plain values: for `cusemodem status`, the control socket and the file system."""

from __future__ import annotations

import os
import time
from typing import Any

import trio

from cusemodem.liveness import Liveness
from cusemodem.served_line import Served
from cusemodem.worker import Worker


def line_status(served: Served, now: float) -> dict[str, Any]:
    """One line; `now` is trio's time."""
    config, line, port = served.config, served.line, served.port
    status: dict[str, Any] = {
        "name": config.name,
        "device": str(config.device_path),
        "kind": served.device.kind if served.device is not None else None,
        "state": served.state.value,
        "reason": served.reason,
        "restarts": served.n_restarts,
        "server": f"{config.server_host}:{config.server_port}",
        "peername": config.peername,
        "registered": _registration(served, now),
        "changing": served.retiring.is_set(),
        "open": 0 if port is None else port.open_count,
        "call": None,
        "last_call": None,
    }
    if line is None:
        return status
    statistics, engine = line.statistics(), line.engine.statistics()
    status["modem"] = {
        "hook": "off" if line.engine.off_hook else "on",
        "call_state": engine.call_state.lower(),
        "fax_class": engine.fax_class,
    }
    status["counts"] = {
        "calls_out": statistics.calls_out,
        "calls_in": statistics.calls_in,
        "calls_refused": statistics.calls_refused,
        "bytes_to_host_dropped": statistics.bytes_to_host_dropped,
        "commands": engine.commands,
        "errors": engine.errors,
    }
    if line.call is not None and line.report is not None:
        measures = line.channel.measures()
        status["call"] = line.report.as_dict() | {
            "state": line.call.state.value,
            "level_dbm0": round(measures.level_dbm0, 1),
            "snr_db": round(measures.snr_db, 1),
            "jitter_depth_ms": line.call.jitter.depth_samples / 8,
        }
    if line.last_report is not None:
        status["last_call"] = line.last_report.as_dict()
    return status


def _registration(served: Served, now: float) -> str:
    if not served.config.refresh_s:
        return "not wanted"
    registration = served.registration
    if registration is None:
        return "no"
    if registration.registered(now):
        return "yes"
    return f"no: {registration.last_error}" if registration.last_error else "no"


def worker_status(worker: Worker, liveness: Liveness) -> dict[str, Any]:
    """All lines of this process, its tick, and the lines whose device is not read."""
    now = trio.current_time()
    tick = worker.clock.statistics()
    devices = {name: served.device for name, served in worker.served.items() if served.device is not None}
    return {
        "pid": os.getpid(),
        "time": time.time(),
        "ticks": tick.n_ticks,
        "ticks_skipped": tick.n_skipped,
        "tick_correction_ppm": round(tick.correction_ppm, 2),
        "stuck": liveness.stuck(devices),
        "room": worker.room,
        "cpu_s": round(time.process_time(), 3),
        "lines": [line_status(served, now) for served in worker.served.values()],
    }
