"""A recorded call once more: offline through the whole line at full speed, or on the device in real time.

Offline everything above the telephone is the product's own (line, engine, channel); only the call, the port
and the clock are stand-ins that do what the journal says, when it says so. The first thing that the modem
says or sends otherwise than it did then is the result.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

import iax
from cusemodem import journal
from cusemodem.at.engine import Engine
from cusemodem.cuse.port import Port
from cusemodem.line import LineOptions
from cusemodem.lines import Lines
from cusemodem.recording_store import blocks
from cusemodem.replay_stand_ins import RecordedCall, RecordedEndpoint, RecordedPort
from cusemodem.report import CallReport
from cusemodem.tap import Samples, Tap
from cusemodem.tick import BLOCK_S
from dsp import Fate

MAX_IDLE_BLOCKS = 1500
"""Half a minute without a call and without a word is enough: longer silences between calls are shortened."""


class ReplayError(Exception):
    """What cannot be replayed, in one sentence."""


@dataclass(frozen=True)
class Difference:
    """The first thing that came out otherwise."""

    what: str
    """`audio sent` or `words to the host program`."""
    at_s: float
    """Seconds since the answer (negative: before it)."""
    recorded: str
    now: str

    def __str__(self) -> str:
        return f"{self.what} at {self.at_s:.3f} s: recorded {self.recorded}, now {self.now}"


@dataclass(frozen=True)
class Outcome:
    """What an offline replay found."""

    difference: Difference | None
    duration_s: float
    """Seconds of audio compared."""
    n_host_bytes: int
    n_modem_bytes: int
    report: CallReport | None


class _Comparison(Tap):
    """Gives the recorded audio to the modem, and holds what comes out against what came out then."""

    def __init__(self, heard: Iterator[bytes], sent: Iterator[bytes]) -> None:
        self._heard, self._sent = heard, sent
        self.block = 0
        self.n_up = 0
        self.up_block: int | None = None
        self.fate = Fate.HEARD
        self.over = False
        self.difference: Difference | None = None
        self._expected: deque[tuple[int, bytes]] = deque()
        self._said: deque[tuple[int, bytes]] = deque()
        self.n_modem_bytes = 0

    def expect(self, block: int, data: bytes) -> None:
        """The modem said this then, after so many blocks."""
        self._expected.append((block, data))

    def modem_bytes(self, data: bytes) -> None:
        self._said.append((self.block, data))
        self.n_modem_bytes += len(data)

    def audio_begins(self) -> None:
        self.up_block = self.block

    def received(self, row: Samples, fate: Fate) -> Fate:
        if (piece := next(self._heard, None)) is None:
            self.over = True
            row[:] = 0
            return Fate.HEARD
        row[:] = np.frombuffer(piece, "<i2")
        return self.fate

    def transmitted(self, row: Samples) -> None:
        if (piece := next(self._sent, None)) is None:
            return
        then = np.frombuffer(piece, "<i2")
        if self.difference is None and not np.array_equal(then, row):
            k = int(np.flatnonzero(then != row)[0])
            self._differ("audio sent", self.n_up * BLOCK_S + k / 8000, str(then[k]), str(row[k]))
        self.n_up += 1

    def compare_words(self, *, final: bool) -> None:
        """Hold what was said in finished blocks against what was said then."""
        while self.difference is None and (self._expected or self._said):
            block = min(queue[0][0] for queue in (self._expected, self._said) if queue)
            if not final and block >= self.block:
                return
            then, now = (_take(queue, block) for queue in (self._expected, self._said))
            if then != now:
                at_s = (block - (self.up_block or 0)) * BLOCK_S
                self._differ("words to the host program", at_s, _shown(then), _shown(now))

    def _differ(self, what: str, at_s: float, recorded: str, now: str) -> None:
        self.difference = Difference(what, at_s, recorded, now)


def _take(queue: deque[tuple[int, bytes]], block: int) -> bytes:
    taken = b""
    while queue and queue[0][0] == block:
        taken += queue.popleft()[1]
    return taken


def _shown(data: bytes) -> str:
    return repr(data[:60])[1:] + ("…" if len(data) > 60 else "") if data else "nothing"


def replay_call(directory: Path) -> Outcome:
    """Run the recording in `directory` through the modem, as fast as it goes. Raises ReplayError."""
    try:
        with (directory / "call.jsonl").open(encoding="utf-8") as file:
            header, entries = journal.parse(file)
            heard, sent = (directory / f"{header.line}-{name}.raw" for name in ("iax", "dsp"))
            if heard.stat().st_size != sent.stat().st_size:
                raise ReplayError(f"{heard.name} and {sent.name} are not equally long; was one cut?")
            return _Replay(header, _Comparison(blocks(heard), blocks(sent))).run(entries)
    except (OSError, journal.JournalError) as error:
        raise ReplayError(f"{directory}: {error}") from error


class _Replay:
    def __init__(self, header: journal.Header, comparison: _Comparison) -> None:
        self._comparison = comparison
        self._port = RecordedPort(is_open=header.is_open, dtr=header.dtr)
        self._endpoint = RecordedEndpoint()
        engine = Engine()
        engine.settings.load(header.settings)
        self._lines = Lines(cast(iax.Endpoint, self._endpoint), 1)
        self._caller_time = time.gmtime(0)
        self._line = self._lines.add(
            header.line,
            cast(Port, self._port),
            engine,
            iax.PeerConfig(("", 0), "", "", 0),
            LineOptions(local_time=lambda: self._caller_time, tap=comparison),
        )

    def run(self, entries: Iterator[journal.Entry]) -> Outcome:
        comparison, line = self._comparison, self._line
        skipped = 0
        ahead = deque(entries)
        while ahead:
            entry = ahead.popleft()
            idle = entry.block - skipped - comparison.block
            if line.call is None and idle > MAX_IDLE_BLOCKS:
                skipped += idle - MAX_IDLE_BLOCKS
            while comparison.block + skipped < entry.block:
                self._step()
            if entry.kind == "modem":
                comparison.expect(entry.block - skipped, entry.value)
            else:
                self._apply(entry, ahead[0] if ahead else None)
            if comparison.difference is not None:
                break
        while comparison.difference is None and line.call is not None and not comparison.over:
            self._step()
        if comparison.difference is None:
            self._step()
            comparison.compare_words(final=True)
        return Outcome(
            comparison.difference,
            comparison.n_up * BLOCK_S,
            self._port.n_bytes,
            comparison.n_modem_bytes,
            line.last_report,
        )

    def _step(self) -> None:
        self._lines.step(0.0)
        self._comparison.block += 1
        self._comparison.compare_words(final=False)

    def _apply(self, entry: journal.Entry, following: journal.Entry | None) -> None:
        line = self._line
        if entry.kind == "host":
            self._port.queue.append(entry.value)
            line.service_port(0.0)
        elif entry.kind == "port":
            self._port.event(entry.value)
            line.service_port(0.0)
        elif entry.kind == "fate":
            self._comparison.fate = Fate(entry.value)
        elif entry.kind == "call":
            self._call_event(entry.value, entry.details, following)

    def _call_event(self, name: str, details: dict[str, Any], following: journal.Entry | None) -> None:
        if name == "IncomingCall":
            when = (details.get("date") or "0101") + (details.get("time") or "0000")
            self._caller_time = time.strptime(when, "%m%d%H%M")
            self._endpoint.call_up = RecordedCall(details)
            self._line.offer(cast(iax.Call, self._endpoint.call_up), 0.0)
            return
        stand_in = self._endpoint.call_up
        if stand_in is None:
            return
        call = cast(iax.Call, stand_in)
        if name == "CallAnswered":
            self._line.on_call_event(iax.CallAnswered(call), 0.0)
        elif name == "CallBusy":
            self._line.on_call_event(iax.CallBusy(call), 0.0)
        elif name == "CallCongestion":
            self._line.on_call_event(iax.CallCongestion(call), 0.0)
        elif name == "DtmfReceived":
            self._line.on_call_event(iax.DtmfReceived(call, str(details["digit"])), 0.0)
        elif name == "CallEnded":
            at_once = following is not None and following.kind == "call" and following.value == "Gone"
            stand_in.jitter.fill_samples = 0 if at_once else 1
            stand_in.heard = bool(details["heard"])
            ended = iax.CallEnded(call, details["cause"], str(details["text"]), local=False)
            self._line.on_call_event(ended, 0.0)
        elif name == "Gone":
            stand_in.jitter.fill_samples = 0
