"""One modem: the only place where port, AT engine, DSP channel and call meet.

Outwards a byte walks port → engine → channel → G.711 → call; inwards call → G.711 → channel → engine →
port. Each room speaks its own small language; this file translates one to one and decides nothing that
belongs to a room: command timing is the engine's, signal timing the channel's, frames the call's.

No clock, socket or await here: the tick (or a test) calls with `now`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

import dsp
import iax
from cusemodem.at import actions, events
from cusemodem.at.engine import Engine
from cusemodem.call_causes import result_of_cause
from cusemodem.call_facts import caller_id, event_details, media_counts
from cusemodem.cuse.port import Port
from cusemodem.digits_after_answer import DigitsAfterAnswer
from cusemodem.host_side import HostSide
from cusemodem.line_options import LineOptions, LineStatistics
from cusemodem.lookback import Lookback
from cusemodem.modem_events import engine_event, note_modem_event
from cusemodem.report import CallReport
from cusemodem.tap import Tap
from cusemodem.tick import BLOCK_S
from cusemodem.voice_payload import Samples, decode, encode

__all__ = ["Line", "LineOptions", "LineStatistics", "decode", "encode"]

MAX_PLAYOUT_BLOCKS = 12
"""Audio still in the jitter buffer when the far end hangs up is heard to its end, for at most this long
(its greatest depth is 200 ms): the last frame of a fax, DCN, is often in it."""


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
        self.call: iax.Call | None = None
        self.report: CallReport | None = None
        self.last_report: CallReport | None = None
        self._up = False
        self._digits = DigitsAfterAnswer()
        self._lookback = Lookback()
        self._ended: iax.CallEnded | None = None
        self._playout_blocks = 0
        self._log = logging.LoggerAdapter(logging.getLogger("cusemodem.line"), {"line": name})
        self._host = HostSide(port, engine, options.tap, self._log)
        self._calls_out = self._calls_in = self._calls_refused = 0
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
            actions.ReceiveOff: self._receive_off,
            actions.ReceiveV21: self._receive_v21,
            actions.ReceiveFast: self._receive_fast,
        }
        self._begin_tap()

    @property
    def tap(self) -> Tap | None:
        """What listens in."""
        return self._host.tap

    @tap.setter
    def tap(self, tap: Tap | None) -> None:
        self._host.tap = tap

    # ------------------------------------------------------------------ the host program's side

    def service_port(self, now: float) -> None:
        """Move what the host program did into the engine, and the engine's answers back; at once."""
        self._host.listen(lambda: self._perform(now))

    def _perform(self, now: float) -> None:
        """Carry out the engine's actions in order, then pass its words to the host."""
        while todo := self.engine.take_actions():
            for action in todo:
                if self.options.dsp_debug:
                    self._log.info("dsp: do %s", action)
                self._do[type(action)](action, now)
        self._host.say()

    # ------------------------------------------------------------------ actions

    def _dial(self, action: actions.Dial, now: float) -> None:
        self._log.info("dialling %s", action.number)
        self._calls_out += 1
        self._digits = DigitsAfterAnswer(action.after_answer, round(action.pause_s / BLOCK_S))
        self.report = self._new_report(outgoing=True, number=action.number)
        try:
            self.call = self.endpoint.call(
                self.peer,
                action.number,
                now,
                calling_number=action.calling_number or self.options.calling_number,
                calling_name=action.calling_name or self.options.calling_name,
                formats=self.options.formats,
                date_time=_date_time(self.options.local_time()),
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
        self._lookback.go_back()
        self.channel.receive_fast(action.code)

    def _receive_v21(self, _action: actions.ReceiveV21, _now: float) -> None:
        self._lookback.behind = 0
        self.channel.receive_v21()

    def _receive_off(self, _action: actions.ReceiveOff, _now: float) -> None:
        self._lookback.behind = 0
        self.channel.receive_off()

    # ------------------------------------------------------------------ the call's side

    def offer(self, call: iax.Call, now: float) -> bool:
        """Take an incoming call, or refuse it as busy; True when it rings."""
        unheard = self.options.busy_when_closed and not self.port.open_count
        if self.call is not None or not self.engine.accepts_calls or unheard:
            self._calls_refused += 1
            why = ": no program has the port open" if unheard else ""
            who = call.calling_number or "an unknown number"
            self._log.info("busy: refused a call from %s%s", who, why)
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
        caller = caller_id(call, self.options.local_time())
        if self.tap is not None:
            self.tap.call_event("IncomingCall", asdict(caller))
        self.engine.event(events.IncomingCall(caller))
        self._perform(now)
        return True

    def on_call_event(self, event: iax.Event, now: float) -> None:
        """Take one event of this line's call."""
        if self.tap is not None:
            self.tap.call_event(type(event).__name__, event_details(event))
        if isinstance(event, iax.CallAnswered):
            self._log.info("the far end answered")
            if self._digits:
                self._start_audio()
            else:
                self._call_up(now)
        elif isinstance(event, iax.CallBusy | iax.CallCongestion):
            if self.call is not None:
                call, cause = self.call, 17 if isinstance(event, iax.CallBusy) else 42
                self._end_call("the far end", cause, "")
                call.hangup(now, cause=16)
                self.engine.event(events.CallFailed(self._result(cause, server_answered=True)))
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
            result = self._result(event.cause, server_answered=event.call.heard)
            self.engine.event(events.CallFailed(result))
        else:
            self.engine.event(events.CallerGone())

    def _result(self, cause: int | None, *, server_answered: bool) -> str:
        return result_of_cause(cause, server_answered=server_answered, causes=self.options.causes)

    def _start_audio(self) -> None:
        self._up = True
        self.channel.reset()  # each call begins alike, so that a recorded one can be repeated bit for bit
        self._lookback = Lookback()
        if self.tap is not None:
            self.tap.audio_begins()
        if self.report is not None:
            self.report.answered_block = self.report.n_blocks

    def _call_up(self, now: float) -> None:
        """Audio flows and the engine has the line."""
        if not self._up:
            self._start_audio()
        if self.report is not None and self.report.outgoing:
            self.channel.listen_for(call_progress=True)  # a gateway may answer for a busy line
        self.engine.event(events.CallAnswered())
        self._perform(now)

    def _end_call(self, by: str, cause: int | None, text: str) -> None:
        """Forget the call: what it did goes into the report, and the channel falls silent."""
        call, report = self.call, self.report
        self.call, self.report, self._up, self._ended = None, None, False, None
        self._digits = DigitsAfterAnswer()
        self.channel.send_silence()
        self.channel.receive_off()
        if call is None or report is None:
            return
        report.media = media_counts(call)
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
        return self.call is None and self.engine.idle and not self._host.waits

    @property
    def batch_call(self) -> iax.Call | None:
        """The call whose audio `LineVoice` moves, if this is such a one."""
        if not self._up or self._ended is not None or getattr(self.call, "seat", None) is None:
            return None
        return self.call

    def received_block(self, row: Samples, fate: dsp.Fate) -> dsp.Fate:
        """`row` has this block's received audio: let the tap have it, put there what is to be heard now, and
        say what became of that."""
        return self._lookback.block(row, fate if self.tap is None else self.tap.received(row, fate))

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
        return self.received_block(row, fate)

    def on_modem_event(self, event: dsp.Event) -> None:
        """Pass one event of the DSP channel to the engine, and note it in the report."""
        if self.options.dsp_debug:
            said = f"{len(event.data)} bytes" if isinstance(event, dsp.DataReceived) else event
            self._log.info("dsp: %s; %s", said, self.channel.measures())
        if self.report is not None:
            note_modem_event(self.report, event, self.channel)
        if isinstance(event, dsp.TransmitDone | dsp.CarrierLost | dsp.FlagsDetected):
            self._lookback.begin()
        if isinstance(event, dsp.FlagsDetected):
            self.channel.listen_for()  # it is a fax: no more tones of the exchange
        if (translated := engine_event(event)) is not None:
            self.engine.event(translated)

    def finish_block(self, row: Samples, now: float, *, sent: bool = False) -> None:
        """End one block: send its transmit audio, unless it was sent, let the engine's time pass, feed the
        transmitter."""
        call = self.call
        if self.report is not None:
            self.report.n_blocks += 1
        if self.tap is not None and self._up:
            self.tap.transmitted(row)
        if call is not None and self._up and self._ended is None:
            if not sent:
                call.send_audio(encode(row, call.format), now)
            if self._digits:
                self._send_digits(call, now)
        self.engine.tick(self.channel.silence_samples if self._up else dsp.BLOCK * 500)
        self._perform(now)
        if call is not None:
            self._feed_transmitter(now)
        if self._host.gone(in_call=self.engine.in_call):
            self.engine.host_gone()
            self._perform(now)
        if self._ended is not None:
            self._play_out(self._ended, now)
        if self.tap is not None:
            self._service_tap(self.tap, now)
        if self._host.waits:
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
        if digit := self._digits.step():
            call.send_dtmf(digit, now)
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
        return LineStatistics(self._calls_out, self._calls_in, self._calls_refused, self._host.n_dropped)


def _date_time(local: time.struct_time) -> datetime | None:
    """For the far end; None while this machine's clock is not set (IAX2 knows no year before 2000)."""
    return datetime(*local[:5], min(local[5], 59)) if local[0] >= 2000 else None
