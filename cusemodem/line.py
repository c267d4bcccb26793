"""One modem: the only place where port, AT engine, DSP channel and call meet.

Outwards a byte walks port → engine → channel → G.711 → call; inwards call → G.711 → channel → engine →
port. Each room speaks its own small language; this file translates one to one and decides nothing that
belongs to a room: command timing is the engine's, signal timing the channel's, frames the call's.

No clock, socket or await here: the tick (or a test) calls with `now`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import dsp
import iax
from cusemodem.at import actions, events
from cusemodem.at.engine import Engine
from cusemodem.cuse.port import Closed, DtrDropped, DtrRaised, Opened, OutputWaiting, Port
from cusemodem.report import CallReport, MediaCounts
from cusemodem.tap import Tap
from dsp import g711

HOST_GONE_GRACE_BLOCKS = 50
"""A call whose port nobody holds open is hung up after one second (chosen): programs that hand the port
over between two processes reopen it within milliseconds."""

MAX_PLAYOUT_BLOCKS = 12
"""Audio still in the jitter buffer when the far end hangs up is heard to its end, for at most this long
(its greatest depth is 200 ms): the last frame of a fax, DCN, is often in it."""

MAX_PENDING_BYTES = 1 << 16
"""Output the port did not take yet is kept up to here; a reader that far behind is not reading."""

SAMPLES_PER_MS = 8

Samples = NDArray[np.int16]


@dataclass(frozen=True)
class LineStatistics:
    """Counters of one line since it was made."""

    calls_out: int
    calls_in: int
    calls_refused: int
    bytes_to_host_dropped: int


@dataclass(frozen=True)
class LineOptions:
    """What the configuration says about one line's calls."""

    calling_number: str = ""
    calling_name: str = ""
    formats: Sequence[iax.Format] = iax.ALL_FORMATS
    """Voice formats, the preferred one first."""
    local_time: Callable[[], time.struct_time] = time.localtime
    """For the DATE and TIME of caller ID."""
    on_report: Callable[[CallReport], None] | None = None
    """Called with each call's report at its end."""
    tap: Tap | None = None
    """Records or replays the line's calls."""
    dsp_debug: bool = False
    """Log every order to the DSP channel and everything it reports."""


def result_of_cause(cause: int | None, *, server_answered: bool) -> str:
    """The V.250 result for an outgoing call that ended before it was answered.

    `cause` is Q.931's; `server_answered` is False when the PBX itself never replied.
    """
    if cause == 17:
        return "BUSY"
    if cause in (34, 42, 44):
        return "BUSY"  # congestion: HylaFAX retries a busy number sooner than a dead one
    if cause in (18, 19, 20):
        return "NO ANSWER"
    if not server_answered or cause in (27, 38, 41, 50):
        return "NO DIALTONE"
    return "NO CARRIER"


class Line:
    """A modem line: one serial port, one AT engine, one DSP channel, and a call when there is one.

    `index` is the channel's row in the bank's arrays.
    """

    def __init__(
        self,
        name: str,
        index: int,
        *,
        port: Port,
        engine: Engine,
        channel: dsp.Channel,
        endpoint: iax.Endpoint,
        peer: iax.PeerConfig,
        options: LineOptions,
    ) -> None:
        self.name = name
        self.index = index
        self.port = port
        self.engine = engine
        self.channel = channel
        self.endpoint = endpoint
        self.peer = peer
        self.options = options
        self.tap = options.tap
        self.call: iax.Call | None = None
        self.report: CallReport | None = None
        self.last_report: CallReport | None = None
        self._up = False
        self._digits: str = ""
        self._digit_wait_blocks = 0
        self._pause_blocks = 100
        self._gone_blocks = 0
        self._ended: iax.CallEnded | None = None
        self._playout_blocks = 0
        self._pending = bytearray()
        self._log = logging.LoggerAdapter(logging.getLogger("cusemodem.line"), {"line": name})
        self._calls_out = self._calls_in = self._calls_refused = self._dropped = 0
        self._do: dict[type, Callable[[Any, float], None]] = {
            actions.Dial: self._dial,
            actions.Answer: self._answer,
            actions.HangUp: self._hang_up,
            actions.TakeOffHook: lambda _a, _n: self._log.info("taken off-hook: incoming calls are busy"),
            actions.GoOnHook: lambda _a, _n: self._log.info("on-hook"),
            actions.SendSilence: lambda _a, _n: channel.send_silence(),
            actions.SendCng: lambda _a, _n: channel.send_cng(),
            actions.SendCed: lambda _a, _n: channel.send_ced(),
            actions.SendFlags: lambda _a, _n: channel.send_flags(),
            actions.SendFrame: self._send_frame,
            actions.SendFast: self._send_fast,
            actions.EndTransmission: lambda _a, _n: channel.end(),
            actions.ReceiveOff: lambda _a, _n: channel.receive_off(),
            actions.ReceiveV21: lambda _a, _n: channel.receive_v21(),
            actions.ReceiveFast: self._receive_fast,
        }
        self._begin_tap()

    # ------------------------------------------------------------------ the host program's side

    def service_port(self, now: float) -> None:
        """Move what the host program did into the engine, and the engine's answers back; at once."""
        for event in self.port.events():
            if self.tap is not None and not isinstance(event, OutputWaiting):
                self.tap.port_event(type(event).__name__)
            if isinstance(event, DtrDropped):
                self.engine.dtr_dropped()
            elif isinstance(event, DtrRaised):
                self.engine.dtr_raised()
            elif isinstance(event, Opened):
                self._gone_blocks = 0
            elif isinstance(event, Closed):
                self._pending.clear()
        while self.engine.room > 0:
            data = self.port.take_output(self.engine.room)
            if not data:
                break
            if self.tap is not None:
                self.tap.host_bytes(data)
            self.engine.host_bytes(data)
            self._perform(now)
        self._perform(now)

    def _perform(self, now: float) -> None:
        """Carry out the engine's actions in order, then pass its words to the host."""
        while todo := self.engine.take_actions():
            for action in todo:
                if self.options.dsp_debug:
                    self._log.info("dsp: do %s", action)
                self._do[type(action)](action, now)
        if said := self.engine.take_output():
            self._pending += said
            if self.tap is not None:
                self.tap.modem_bytes(said)
        if self._pending:
            del self._pending[: self.port.put_input(bytes(self._pending))]
            if len(self._pending) > MAX_PENDING_BYTES:
                self._dropped += len(self._pending)
                self._pending.clear()
                self._log.error("the program on the port does not read: its input was dropped")
        self.port.set_lines(dcd=self.engine.dcd, ri=self.engine.ring_indicator)

    # ------------------------------------------------------------------ actions

    def _dial(self, action: actions.Dial, now: float) -> None:
        self._log.info("dialling %s", action.number)
        self._calls_out += 1
        self._digits = action.after_answer
        self._pause_blocks = round(action.pause_s / 0.02)
        self.report = self._new_report(outgoing=True, number=action.number)
        try:
            self.call = self.endpoint.call(
                self.peer,
                action.number,
                now,
                calling_number=action.calling_number or self.options.calling_number,
                calling_name=action.calling_name or self.options.calling_name,
                formats=self.options.formats,
            )
        except ValueError as error:
            self._log.error("cannot dial: %s", error)
            self.report = None
            self.engine.event(events.CallFailed("NO CARRIER"))

    def _new_report(self, *, outgoing: bool, number: str) -> CallReport:
        started = time.strftime("%Y-%m-%dT%H:%M:%S%z", self.options.local_time())
        return CallReport(outgoing, number, self.name, started)

    def _answer(self, _action: actions.Answer, now: float) -> None:
        if self.call is None:
            self.engine.event(events.CallEnded())
            return
        self._log.info("answering")
        self.call.answer(now)
        self._call_up(now)

    def _hang_up(self, _action: actions.HangUp, now: float) -> None:
        if self.call is None:
            return
        call, ringing = self.call, self.report is not None and not self.report.outgoing and not self._up
        self._end_call("the host program", 17 if ringing else 16, "")
        call.hangup(now, cause=17 if ringing else 16)

    def _send_frame(self, action: actions.SendFrame, _now: float) -> None:
        if self.report is not None:
            self.report.frames_sent += 1
        self.channel.send_frame(action.data)

    def _send_fast(self, action: actions.SendFast, _now: float) -> None:
        if self.report is not None:
            self.report.burst_started(action.code, transmitted=True)
        self.channel.send_fast(action.code)

    def _receive_fast(self, action: actions.ReceiveFast, _now: float) -> None:
        if self.report is not None:
            self.report.burst_started(action.code, transmitted=False)
        self.channel.receive_fast(action.code)

    # ------------------------------------------------------------------ the call's side

    def offer(self, call: iax.Call, now: float) -> bool:
        """Take an incoming call, or refuse it as busy; True when it rings."""
        if self.call is not None or not self.engine.accepts_calls:
            self._calls_refused += 1
            self._log.info("busy: refused a call from %s", call.calling_number or "an unknown number")
            call.reject(now, cause=17, text="Busy")
            return False
        self._calls_in += 1
        self.call = call
        self.report = self._new_report(outgoing=False, number=call.calling_number)
        self.report.called_number = call.called_number
        self._log.info(
            "incoming call from %s %s for %s", call.calling_number, call.calling_name, call.called_number
        )
        call.ringing(now)
        caller = _caller_id(call, self.options.local_time())
        if self.tap is not None:
            self.tap.call_event("IncomingCall", asdict(caller))
        self.engine.event(events.IncomingCall(caller))
        self._perform(now)
        return True

    def on_call_event(self, event: iax.Event, now: float) -> None:
        """Take one event of this line's call."""
        if self.tap is not None:
            self.tap.call_event(type(event).__name__, _details(event))
        if isinstance(event, iax.CallAnswered):
            self._log.info("the far end answered")
            if self._digits:
                self._start_audio()
            else:
                self._call_up(now)
        elif isinstance(event, iax.CallBusy | iax.CallCongestion):
            if self.call is not None:
                call = self.call
                self._end_call("the far end", 17 if isinstance(event, iax.CallBusy) else 42, "")
                call.hangup(now, cause=16)
                self.engine.event(events.CallFailed("BUSY"))
        elif isinstance(event, iax.CallEnded):
            self._ended, self._playout_blocks = event, MAX_PLAYOUT_BLOCKS
            if not self._up or self._jitter_fill() == 0:
                self._far_end_hung_up(event)
        elif isinstance(event, iax.DtmfReceived):
            self.engine.event(events.DtmfReceived(event.digit))
        self._perform(now)

    def _far_end_hung_up(self, event: iax.CallEnded) -> None:
        was_up, outgoing = self._up, self.report is not None and self.report.outgoing
        if self.tap is not None:
            self.tap.call_event("Gone", {})
        self._log.info("the far end hung up: cause %s %s", event.cause, event.text)
        self._end_call("the far end", event.cause, event.text)
        if was_up:
            self.engine.event(events.CallEnded())
        elif outgoing:
            result = result_of_cause(event.cause, server_answered=event.call.heard)
            self.engine.event(events.CallFailed(result))
        else:
            self.engine.event(events.CallerGone())

    def _start_audio(self) -> None:
        self._up = True
        self.channel.reset()  # each call begins alike, so that a recorded one can be repeated bit for bit
        if self.tap is not None:
            self.tap.audio_begins()
        if self.report is not None:
            self.report.answered_block = self.report.n_blocks

    def _call_up(self, now: float) -> None:
        """Audio flows and the engine has the line."""
        if not self._up:
            self._start_audio()
        self.engine.event(events.CallAnswered())
        self._perform(now)

    def _end_call(self, by: str, cause: int | None, text: str) -> None:
        """Forget the call: what it did goes into the report, and the channel falls silent."""
        call, report = self.call, self.report
        self.call, self.report, self._up, self._digits, self._ended = None, None, False, "", None
        self._gone_blocks = 0
        self.channel.send_silence()
        self.channel.receive_off()
        if call is None or report is None:
            return
        statistics = call.statistics()
        media = statistics.media
        report.media = MediaCounts(
            received=media.frames_received,
            lost_ms=media.samples_lost / SAMPLES_PER_MS,
            held_ms=media.samples_held / SAMPLES_PER_MS,
            late=media.frames_late,
            duplicate=media.frames_duplicate,
            reordered=media.frames_reordered,
            jitter_ms=round(media.jitter_ms, 2),
            dropped_ms=media.samples_dropped / SAMPLES_PER_MS,
            inserted_ms=media.samples_inserted / SAMPLES_PER_MS,
            restarts=media.restarts,
            sent=statistics.frames_sent,
            rtt_ms=statistics.rtt_ms,
            resent=statistics.full_frames_resent,
            lost_at_peer=statistics.peer_loss_count,
        )
        report.voice_format = call.format.name.lower()
        report.ended_by, report.cause, report.cause_text = by, cause, text
        self.last_report = report
        self._log.logger.info("%s", report.sentence(), extra={"line": self.name, "call": report.as_dict()})
        if self.tap is not None:
            self.tap.call_ended(report)
        if self.options.on_report is not None:
            self.options.on_report(report)

    # ------------------------------------------------------------------ audio: one block

    @property
    def idle(self) -> bool:
        """Blocks may be left out: no call, nothing on its way, and an engine that waits for the host."""
        return self.call is None and not self._pending and self.engine.idle and not self.port.output_waiting

    def receive_block(self, row: Samples) -> dsp.Fate:
        """Put this block's received audio into `row`, and say what became of it."""
        if not self._up or self.call is None:
            row[:] = 0
            return dsp.Fate.HEARD
        if self._ended is None and self.call.jitter.hold(dsp.BLOCK):
            row[:] = 0
            fate = dsp.Fate.HELD
        else:
            payload, lost = self.call.receive_audio(dsp.BLOCK)
            row[:] = decode(payload, self.call.format)
            fate = dsp.Fate.LOST if lost else dsp.Fate.HEARD
        return fate if self.tap is None else self.tap.received(row, fate)

    def on_modem_event(self, event: dsp.Event) -> None:
        """Pass one event of the DSP channel to the engine, and note it in the report."""
        report = self.report
        if self.options.dsp_debug:
            self._log_dsp(event)
        if isinstance(event, dsp.DataReceived):
            if report is not None and report.burst is not None:
                report.burst.n_bytes += len(event.data)
            self.engine.event(events.DataReceived(event.data))
        elif isinstance(event, dsp.FrameReceived):
            if report is not None:
                report.frames_received += 1
                report.frames_bad += not event.fcs_ok
            self.engine.event(events.FrameReceived(event.data, event.fcs_ok))
        elif isinstance(event, dsp.Trained | dsp.TrainingFailed):
            self._note_training(isinstance(event, dsp.Trained))
            self.engine.event(events.Trained() if isinstance(event, dsp.Trained) else events.TrainingFailed())
        elif isinstance(event, dsp.CarrierLost):
            self._note_quality(event)
            self.engine.event(events.CarrierLost(event.v21))
        elif isinstance(event, dsp.FlagsDetected):
            self.engine.event(events.FlagsDetected())
        elif isinstance(event, dsp.FrameSent):
            self.engine.event(events.FrameSent())
        elif isinstance(event, dsp.TransmitDone):
            self.engine.event(events.TransmitDone())

    def _log_dsp(self, event: dsp.Event) -> None:
        if isinstance(event, dsp.DataReceived):
            self._log.info("dsp: %d bytes", len(event.data))
        else:
            self._log.info("dsp: %s; %s", event, self.channel.measures())

    def _note_training(self, trained: bool) -> None:
        burst = self.report.burst if self.report is not None else None
        if burst is None or burst.transmitted:
            return
        if trained:
            burst.trained = True
            burst.level_dbm0 = round(float(self.channel.measures().level_dbm0), 1)
        else:
            burst.trained = burst.trained or False
            burst.n_failed_trainings += 1

    def _note_quality(self, event: dsp.CarrierLost) -> None:
        burst = self.report.burst if self.report is not None else None
        if burst is not None and not burst.transmitted and not event.v21:
            measures = self.channel.measures()
            burst.snr_db = round(float(measures.snr_db), 1)
            burst.evm = round(float(measures.evm), 4)
            burst.carrier_offset_hz = round(float(measures.carrier_offset_hz), 2)
            burst.clock_offset_ppm = round(float(measures.clock_offset_ppm), 1)

    def finish_block(self, row: Samples, now: float) -> None:
        """End one block: send its transmit audio, let the engine's time pass, feed the transmitter."""
        call = self.call
        if self.report is not None:
            self.report.n_blocks += 1
        if self.tap is not None and self._up:
            self.tap.transmitted(row)
        if call is not None and self._up and self._ended is None:
            call.send_audio(encode(row, call.format), now)
            if self._digits:
                self._send_digits(call, now)
        self.engine.tick(self.channel.silence_samples if self._up else dsp.BLOCK * 500)
        self._perform(now)
        if call is not None:
            self._feed_transmitter(now)
            self._watch_host(now)
        if self._ended is not None:
            self._play_out(self._ended, now)
        if self.tap is not None:
            self._service_tap(self.tap, now)
        if self.port.output_waiting or self._pending:
            self.service_port(now)

    def _feed_transmitter(self, now: float) -> None:
        if data := self.engine.pull_data(self.channel.room):
            self.channel.write(data)
            if self.report is not None and self.report.burst is not None:
                self.report.burst.n_bytes += len(data)
        self._perform(now)

    def fill_error_samples(self) -> float | None:
        """Jitter-buffer fill above (+) or below (−) what it should hold; None while no audio comes."""
        if self.call is None or not self._up or self._ended is not None or self._jitter_fill() == 0:
            return None
        jitter = self.call.jitter
        return jitter.mean_fill_samples - jitter.depth_samples

    def _send_digits(self, call: iax.Call, now: float) -> None:
        """Send the digits dialled after the first comma; each comma waits S8 seconds first."""
        if self._digit_wait_blocks > 0:
            self._digit_wait_blocks -= 1
            return
        symbol, self._digits = self._digits[0], self._digits[1:]
        if symbol == ",":
            self._digit_wait_blocks = self._pause_blocks
        else:
            call.send_dtmf(symbol, now)
            self._digit_wait_blocks = 10
        if not self._digits:
            self._call_up(now)

    def _jitter_fill(self) -> int:
        return 0 if self.call is None else self.call.jitter.fill_samples

    def _play_out(self, event: iax.CallEnded, now: float) -> None:
        """The far end is gone: end the call once the last of its audio has been heard."""
        self._playout_blocks -= 1
        if self._playout_blocks <= 0 or self._jitter_fill() == 0:
            self._far_end_hung_up(event)
            self._perform(now)

    def _begin_tap(self) -> None:
        if self.tap is not None:
            is_open = self.port.open_count > 0
            self.tap.begin(self.engine.settings, is_open=is_open, dtr=self.port.dtr)

    def _service_tap(self, tap: Tap, now: float) -> None:
        if tap.exhausted and self.call is not None and self._up:
            self._log.info("the recording is at its end: hanging up, as the far end did")
            call = self.call
            self._far_end_hung_up(iax.CallEnded(call, 16, "end of the recording", local=True))
            call.hangup(now, cause=16)
            self._perform(now)
        if tap.block_done() and self.call is None:
            self._begin_tap()

    def _watch_host(self, now: float) -> None:
        if self.port.open_count > 0 or (self.report is not None and not self._up):
            self._gone_blocks = 0
            return
        self._gone_blocks += 1
        if self._gone_blocks == HOST_GONE_GRACE_BLOCKS:
            self._log.info("nobody has the port open: hanging up")
            self.engine.host_gone()
            self._perform(now)

    # ------------------------------------------------------------------ the end

    def shut_down(self, now: float) -> None:
        """Hang up politely, as on SIGTERM."""
        if self.call is not None:
            call = self.call
            self._end_call("this modem (shutting down)", 16, "")
            call.hangup(now, cause=16)
            self.engine.event(events.CallEnded())
            self._perform(now)

    def statistics(self) -> LineStatistics:
        """A snapshot of the counters."""
        return LineStatistics(self._calls_out, self._calls_in, self._calls_refused, self._dropped)


def decode(payload: bytes, fmt: iax.Format) -> Samples:
    """One block of payload in `fmt` as int16 samples."""
    if fmt == iax.Format.ULAW:
        return g711.ulaw_decode(np.frombuffer(payload, np.uint8))
    if fmt == iax.Format.ALAW:
        return g711.alaw_decode(np.frombuffer(payload, np.uint8))
    return np.frombuffer(payload, ">i2").astype(np.int16)


def encode(samples: Samples, fmt: iax.Format) -> bytes:
    """int16 samples as payload in `fmt`; signed linear goes in network byte order."""
    if fmt == iax.Format.ULAW:
        return g711.ulaw_encode(samples).tobytes()
    if fmt == iax.Format.ALAW:
        return g711.alaw_encode(samples).tobytes()
    return samples.astype(">i2").tobytes()


def _details(event: iax.Event) -> dict[str, object]:
    """What a recording must keep of an event of the call."""
    if isinstance(event, iax.CallEnded):
        return {"cause": event.cause, "text": event.text, "heard": event.call.heard}
    return {"digit": event.digit} if isinstance(event, iax.DtmfReceived) else {}


def _caller_id(call: iax.Call, local_time: time.struct_time) -> events.CallerId:
    """Who calls, with the date and time of our own clock, as the original has it."""
    return events.CallerId(
        name=call.calling_name,
        number=call.calling_number,
        ani=call.ani,
        username=call.username,
        context=call.called_context,
        called_number=call.called_number,
        date=time.strftime("%m%d", local_time),
        time=time.strftime("%H%M", local_time),
    )
