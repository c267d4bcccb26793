"""How the whole service stands, put together from what its workers told."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cusemodem.line_placement import NO_ROOM
from cusemodem.worker_children import Child


def service_status(
    children: Iterable[Child], *, state: str, started: float, unplaced: Mapping[str, Path] | None = None
) -> dict[str, Any]:
    """Everything, for the control socket; `started` is the wall clock's time, `unplaced` the devices of lines
    that no worker has room for."""
    children = list(children)
    lines = sorted(
        (line for child in children for line in child.status.get("lines", ())),
        key=lambda line: str(line["name"]),
    )
    known = {line["name"] for line in lines}
    for child in children:
        waiting = {
            "state": "starting" if child.pid else "failed",
            "reason": "its process is not running",
        }
        for config in child.configs.values():
            if config.name not in known:
                lines.append({"name": config.name, "device": str(config.device_path)} | waiting)
    for name, device in (unplaced or {}).items():
        lines.append({"name": name, "device": str(device), "state": "failed", "reason": NO_ROOM})
    return {
        "service": {
            "pid": os.getpid(),
            "started": started,
            "state": state,
            "workers": [
                {k: v for k, v in child.status.items() if k != "lines"} | {"restarts": child.n_restarts}
                for child in children
            ],
        },
        "lines": lines,
    }


def sentence(status: dict[str, Any]) -> str:
    """The status in one line: `8 modems, 7 registered, 2 in call; ttyIAX3: why it is out of service`."""
    lines = status["lines"]
    n_registered = sum(line.get("registered") == "yes" for line in lines)
    n_calls = sum(bool(line.get("call")) for line in lines)
    failed = [f"{line['name']}: {line['reason']}" for line in lines if line["state"] == "failed"]
    n_ready = sum(line["state"] == "ready" for line in lines)
    many = f"{len(lines)} modem{'s' if len(lines) != 1 else ''}"
    if n_ready < len(lines):
        many = f"{n_ready} of {many} ready"
    return "; ".join([f"{many}, {n_registered} registered, {n_calls} in call", *failed[:3]])
