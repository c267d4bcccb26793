"""The service's status as a tree of files, for the mounted file system: status in, bytes out.

lines/ttyIAX0/status          a line of text, as `cusemodem status` has it
lines/ttyIAX0/call.json       the call under way (absent without one)
lines/ttyIAX0/last-call.json  the last call's report (absent before the first)
lines/ttyIAX0/rx.wav, tx.wav  the last recording, or the one that grows now (absent without `record`)
service/status                one line; service/status.json: everything
service/metrics               Prometheus' text format
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cusemodem.service_status import sentence
from cusemodem.status_command import call_text

Content = Callable[[], bytes]
Tree = dict[str, "Content | GrowingWav | Tree"]

WAV_HEADER_BYTES = 44
GROWING = 0xFFFFFFFF - 36
"""The length a WAV header gives while the file still grows: players read on to its end."""


@dataclass(frozen=True)
class GrowingWav:
    """A recording's raw samples behind a WAV header, as much as there is at the moment."""

    raw: Path

    def size(self) -> int:
        """Bytes there are now. Raises OSError."""
        return WAV_HEADER_BYTES + self.raw.stat().st_size

    def open(self) -> OpenWav:
        """For reading, while it grows. Raises OSError."""
        return OpenWav(os.open(self.raw, os.O_RDONLY | os.O_CLOEXEC))


@dataclass(frozen=True)
class OpenWav:
    """An open one; `descriptor` is of the raw samples."""

    descriptor: int

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset` on; fewer, or none, at what is the end now. Raises OSError."""
        head = wav_header(GROWING)[offset : offset + size]
        return head + os.pread(self.descriptor, size - len(head), max(0, offset - WAV_HEADER_BYTES))

    def close(self) -> None:
        """Let go of it."""
        os.close(self.descriptor)


def tree(status: dict[str, Any], recordings: Path | None = None) -> Tree:
    """The directories and files, each file as a function that gives its bytes, or as a recording."""
    lines: Tree = {str(line["name"]): _line(line, recordings) for line in status["lines"]}
    service: Tree = {
        "status": lambda: sentence(status).encode() + b"\n",
        "status.json": lambda: _json(status),
        "metrics": lambda: metrics(status).encode(),
    }
    return {"lines": lines, "service": service}


def _line(line: dict[str, Any], recordings: Path | None) -> Tree:
    files: Tree = {"status": lambda: _status_text(line).encode() + b"\n"}
    for name, key in (("call.json", "call"), ("last-call.json", "last_call")):
        if line.get(key):
            files[name] = lambda key=key: _json(line[key])  # type: ignore[misc]
    if recordings is not None and (latest := latest_recording(recordings, str(line["name"]))) is not None:
        for name, direction in (("rx.wav", "iax"), ("tx.wav", "dsp")):
            raw = latest / f"{line['name']}-{direction}.raw"
            if raw.exists():
                files[name] = GrowingWav(raw)
    return files


def _status_text(line: dict[str, Any]) -> str:
    state = f"{line['state']}: {line['reason']}" if line.get("reason") else str(line["state"])
    registered = f"registered: {line.get('registered') or 'no'}"
    port = "port open" if line.get("open") else "port closed"
    return ", ".join(part for part in (state, registered, port, call_text(line)) if part)


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"


def latest_recording(recordings: Path, name: str) -> Path | None:
    """The newest recording of a line, the one under way included."""
    try:
        return max((p for p in (recordings / name).iterdir() if p.is_dir()), default=None)
    except OSError:
        return None


def wav_header(n_bytes: int) -> bytes:
    """A WAV header for 16-bit mono at 8000 Hz."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16)
    size = min(n_bytes + 36, 0xFFFFFFFF)
    return struct.pack("<4sI4s", b"RIFF", size, b"WAVE") + form + struct.pack("<4sI", b"data", n_bytes)


def metrics(status: dict[str, Any]) -> str:
    """The figures that are worth a graph, in Prometheus' text exposition format 0.0.4."""
    out: list[str] = []

    def family(name: str, kind: str, text: str, samples: list[tuple[dict[str, str], float]]) -> None:
        out.extend((f"# HELP cusemodem_{name} {text}", f"# TYPE cusemodem_{name} {kind}"))
        for labels, value in samples:
            inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
            out.append(f"cusemodem_{name}{{{inner}}} {value:g}" if inner else f"cusemodem_{name} {value:g}")

    lines, workers = status["lines"], status["service"]["workers"]

    def each(value: Callable[[dict[str, Any]], object]) -> list[tuple[dict[str, str], float]]:
        return [({"line": str(line["name"])}, float(value(line) or 0)) for line in lines]  # type: ignore[arg-type]

    def count(key: str) -> list[tuple[dict[str, str], float]]:
        return each(lambda line: (line.get("counts") or {}).get(key))

    family("line_ready", "gauge", "The device can be opened.", each(lambda at: at["state"] == "ready"))
    family("line_registered", "gauge", "The PBX knows us.", each(lambda at: at.get("registered") == "yes"))
    family("line_open", "gauge", "Programs that have the port open.", each(lambda at: at.get("open")))
    family("line_in_call", "gauge", "Whether there is a call.", each(lambda at: bool(at.get("call"))))
    family("line_restarts_total", "counter", "Restarts of the line.", each(lambda at: at.get("restarts")))
    family("calls_out_total", "counter", "Calls made.", count("calls_out"))
    family("calls_in_total", "counter", "Calls taken.", count("calls_in"))
    family("calls_refused_total", "counter", "Calls refused.", count("calls_refused"))
    ticks = [({"worker": str(k)}, float(w.get("ticks", 0))) for k, w in enumerate(workers)]
    skipped = [({"worker": str(k)}, float(w.get("ticks_skipped", 0))) for k, w in enumerate(workers)]
    cpu = [({"worker": str(k)}, float(w.get("cpu_s", 0))) for k, w in enumerate(workers)]
    family("ticks_total", "counter", "Blocks of 20 ms processed.", ticks)
    family("ticks_skipped_total", "counter", "Blocks left out after a stall.", skipped)
    family("cpu_seconds_total", "counter", "Processor time.", cpu)
    return "\n".join(out) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
