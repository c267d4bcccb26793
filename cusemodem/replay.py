"""A recorded call once more: offline through the whole line at full speed, or on the device in real time.

Offline everything above the telephone is the product's own (line, engine, channel); only the call, the port
and the clock are stand-ins that do what the journal says, when it says so. The first thing that the modem
says or sends otherwise than it did then is the result.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

import iax
from cusemodem import journal
from cusemodem.at.engine import Engine
from cusemodem.at.settings import Settings
from cusemodem.cuse.port import Closed, DtrDropped, DtrRaised, Opened, Port, PortEvent
from cusemodem.line import LineOptions
from cusemodem.lines import Lines
from cusemodem.recording_store import blocks, last_call
from cusemodem.report import CallReport
from cusemodem.tap import Samples, Tap
from cusemodem.tick import BLOCK_S
from dsp import Fate

MAX_IDLE_BLOCKS = 1500
"""Half a minute without a call and without a word is enough: longer silences between calls are shortened."""

_PORT_EVENTS: dict[str, Callable[[], PortEvent]] = {
    "Opened": Opened,
    "Closed": Closed,
    "DtrDropped": DtrDropped,
    "DtrRaised": DtrRaised,
}
_log = logging.getLogger("cusemodem.replay")


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


class _Port:
    """The port as the journal has it."""

    def __init__(self, *, is_open: bool, dtr: bool) -> None:
        self.open_count = int(is_open)
        self.dtr = dtr
        self.output_waiting = 0
        self.queue: deque[bytes] = deque()
        self.n_bytes = 0
        self._events: list[PortEvent] = [DtrRaised()] if dtr else []

    def event(self, name: str) -> None:
        if name in ("Opened", "Closed"):
            self.open_count = int(name == "Opened")
        self._events.append(_PORT_EVENTS[name]())

    def events(self) -> list[PortEvent]:
        events, self._events = self._events, []
        return events

    def take_output(self, max_bytes: int) -> bytes:
        if not self.queue:
            return b""
        data = self.queue.popleft()
        if len(data) > max_bytes:
            self.queue.appendleft(data[max_bytes:])
        self.n_bytes += len(data[:max_bytes])
        return data[:max_bytes]

    def put_input(self, data: bytes) -> int:
        return len(data)

    def set_lines(self, **_lines: bool) -> None:
        pass


class _Playout:
    """The jitter buffer, of which the line asks only whether something is in it."""

    fill_samples = 1
    mean_fill_samples = depth_samples = 0.0

    def hold(self, n_samples: int) -> bool:
        """Never: which blocks were held stands in the journal."""
        return False


class _Call:
    """The call as the journal has it; its audio is the tap's."""

    format = iax.SLINEAR
    heard = True

    def __init__(self, caller: dict[str, str] | None = None) -> None:
        caller = caller or {}
        self.jitter = _Playout()
        self.calling_name = caller.get("name", "")
        self.calling_number = caller.get("number", "")
        self.ani = caller.get("ani", "")
        self.username = caller.get("username", "")
        self.called_context = caller.get("context", "")
        self.called_number = caller.get("called_number", "")

    def receive_audio(self, n_samples: int) -> tuple[bytes, bool]:
        return bytes(2 * n_samples), False

    def statistics(self) -> iax.CallStatistics:
        media = iax.MediaStatistics(**dict.fromkeys(iax.MediaStatistics.__dataclass_fields__, 0))
        return iax.CallStatistics(media, 0, None, 0, 0, 0, None, None, None)

    def send_audio(self, payload: bytes, now: float) -> None:
        pass

    def send_dtmf(self, digit: str, now: float) -> None:
        pass

    ringing = answer = hangup = reject = lambda self, *_args, **_details: None


class _Endpoint:
    """The telephone, which does nothing by itself."""

    def __init__(self) -> None:
        self.call_up: _Call | None = None

    def call(self, *_args: object, **_details: object) -> _Call:
        self.call_up = _Call()
        return self.call_up

    def handle_timer(self, now: float) -> None:
        pass

    def events(self) -> list[iax.Event]:
        return []


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
        self._port = _Port(is_open=header.is_open, dtr=header.dtr)
        self._endpoint = _Endpoint()
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
            self._endpoint.call_up = _Call(details)
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


class LiveReplay(Tap):
    """IAXmodem's `replay`: in each call of the line the modem hears the recorded call, and the far end hears
    what was sent then; what the modem sends now is held against it."""

    def __init__(self, line: str, directory: Path) -> None:
        self._line = line
        self._directory = directory
        self._heard: Iterator[bytes] = iter(())
        self._sent: Iterator[bytes] = iter(())
        self._n_blocks = 0
        self._told = False

    def begin(self, settings: Settings, *, is_open: bool, dtr: bool) -> None:
        """Nothing to do."""

    def audio_begins(self) -> None:
        """Open the last recording."""
        self.exhausted, self._n_blocks, self._told = False, 0, False
        found = last_call(self._directory, self._line)
        if found is None:
            _log.error("%s: nothing to replay: no %s-iax.raw there", self._directory, self._line)
            self.exhausted = True
            return
        self._heard, self._sent = map(blocks, found)
        _log.info("replaying %s", found[0].resolve().parent)

    def received(self, row: Samples, fate: Fate) -> Fate:
        """Put the recorded block in the place of the received one."""
        if (piece := next(self._heard, None)) is None:
            self.exhausted = True
            row[:] = 0
        else:
            row[:] = np.frombuffer(piece, "<i2")
        return Fate.HEARD

    def transmitted(self, row: Samples) -> None:
        """Compare, then put the recorded block in the place of the modem's."""
        if (piece := next(self._sent, None)) is None:
            return
        then = np.frombuffer(piece, "<i2")
        if not self._told and not np.array_equal(then, row):
            k = int(np.flatnonzero(then != row)[0])
            at_s = self._n_blocks * BLOCK_S + k / 8000
            _log.info(
                "replay: first difference: %s", Difference("audio sent", at_s, str(then[k]), str(row[k]))
            )
            self._told = True
        row[:] = then
        self._n_blocks += 1

    def call_ended(self, report: CallReport) -> None:
        """Say how it went."""
        if self._n_blocks and not self._told:
            _log.info("replay: %.2f s sent as recorded, bit for bit", self._n_blocks * BLOCK_S)
        self.exhausted = False
