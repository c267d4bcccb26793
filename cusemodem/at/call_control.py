"""The telephone side of the engine: hook, dialling, ringing, answering, S0, S7 and the pause after a call.

One machine, `CallState` × input, in `TRANSITIONS` at the end of this file. Inputs are the line's events and
the host's commands; a pair that is not there is refused (a command gets ERROR) or ignored and counted (an
event). What the modem sends and hears once a call is up is `class1.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from cusemodem.at import actions, events
from cusemodem.at.call_rules import CallRules
from cusemodem.at.call_states import (
    AbortCommand,
    AnswerCommand,
    CallCounters,
    CallState,
    DialCommand,
    Expired,
    HangUpCommand,
    OffHookCommand,
    OriginateCommand,
    ReleaseCommand,
)
from cusemodem.at.class1 import BLOCK, Class1
from cusemodem.at.class1_states import State
from cusemodem.at.dial_string import DialString
from cusemodem.at.host_data import SAMPLE_RATE_HZ
from cusemodem.at.outbox import Outbox
from cusemodem.at.results import CALL_FAILURES, Result
from cusemodem.at.ringing import Ringer
from cusemodem.at.settings import Settings

BLIND_DIALLING: Final = frozenset((0, 1, 3))
"""X values that do not wait for a dial tone but S6 seconds (V.250 §6.3.9, §6.2.7)."""

BUSY_DETECTION: Final = frozenset((3, 4))
"""X values that know a busy tone."""

HANDSHAKES: Final = (CallState.HANDSHAKE, CallState.HANDOVER)


class CallControl:
    """The machine. Commands give a Result, or None when the result comes later through `report`."""

    def __init__(
        self,
        settings: Settings,
        outbox: Outbox,
        class1: Class1,
        rules: CallRules,
        report: Callable[[Result], None],
    ) -> None:
        self.state = CallState.ON_HOOK
        self.counters = CallCounters()
        self.ringer = Ringer(settings, outbox, rules.ring_types)
        self.last_dialled = ""
        self.dtr = True
        self.line_in_progress = False
        self._settings = settings
        self._out = outbox
        self._class1 = class1
        self.rules = rules
        self._report = report
        self._timer: int | None = None
        self._busy_samples = 0
        self._dial = DialString("")
        self._with_tone = True
        self._carrier = False

    # ------------------------------------------------------------------ what others ask

    @property
    def accepts_calls(self) -> bool:
        """An incoming call may ring."""
        return self.state is CallState.ON_HOOK and self._busy_samples <= 0

    @property
    def off_hook(self) -> bool:
        """The line is taken: by a call of ours or by ATH1."""
        return self.state not in (CallState.ON_HOOK, CallState.RINGING)

    @property
    def is_up(self) -> bool:
        """Audio flows."""
        return self.state in (*HANDSHAKES, CallState.CONNECTED)

    @property
    def in_call(self) -> bool:
        """The host made or took this call; it does not merely ring, nor is the line only busied out."""
        return self.off_hook and self.state is not CallState.OFF_HOOK

    @property
    def awaits_call(self) -> bool:
        """D or A is under way, up to its CONNECT; a character of the host gives the call up."""
        calling = self.state in (CallState.DIAL_PAUSE, CallState.DIALLING, CallState.HANDSHAKE)
        return calling or (self.state is CallState.ANSWERING and self._with_tone)

    @property
    def carrier(self) -> bool:
        """From the first CONNECT to the end of the call (what &C1 shows on DCD)."""
        return self._carrier

    # ------------------------------------------------------------------ inputs

    def command(self, command: object) -> Result | None:
        """Take a command of the host; ERROR when the state has no place for it."""
        handler = TRANSITIONS[self.state].get(type(command))
        return Result.ERROR if handler is None else handler(self, command)

    def event(self, event: events.Event | Expired) -> None:
        """Take an event of the call."""
        handler = TRANSITIONS[self.state].get(type(event))
        if handler is None:
            self.counters.events_ignored += 1
            return
        result = handler(self, event)
        if result is not None:
            self._report(result)

    def noticed(self, result: Result) -> None:
        """A result is about to be said; the first CONNECT of a call ends the handshake, an abort's OK too."""
        if self.state in HANDSHAKES and result in (Result.CONNECT, Result.OK):
            self._carrier = result is Result.CONNECT
            self._enter(CallState.CONNECTED)
        elif self.state is CallState.CONNECTED and result is Result.CONNECT:
            self._carrier = True

    def tick(self) -> None:
        """One block has passed."""
        if self._busy_samples > 0:
            self._busy_samples -= BLOCK
        if self.state is CallState.RINGING:
            self.ringer.tick()
            self._ring()
        if self._timer is not None:
            self._timer -= BLOCK
            if self._timer <= 0:
                self._timer = None
                self.event(Expired())

    # ------------------------------------------------------------------ steps

    def _enter(self, state: CallState, timer: int | None = None) -> None:
        self.state = state
        self._timer = timer

    def _wait_for_carrier(self) -> int:
        """S7 in samples, and what the commas of the dial string take besides."""
        pauses_s = self._dial.n_pauses * self._settings.registers[8]
        return (self._settings.registers[7] + pauses_s) * SAMPLE_RATE_HZ

    def _release(self, *, busy: bool = True) -> None:
        """The call is over."""
        self._carrier = False
        self.ringer.stop()
        if busy:
            self._busy_samples = round(self.rules.busy_after_call_s * SAMPLE_RATE_HZ)
        self._enter(CallState.ON_HOOK)

    def _hang_up(self, _command: HangUpCommand | ReleaseCommand) -> Result:
        self._class1.reset()
        self._out.act(actions.HangUp())
        self._release()
        return Result.OK

    def _already_on_hook(self, _command: HangUpCommand | ReleaseCommand) -> Result:
        self._class1.reset()  # frames of an ended call are forgotten
        return Result.OK

    def _go_on_hook(self, _command: HangUpCommand | ReleaseCommand | AbortCommand) -> Result:
        self._out.act(actions.GoOnHook())
        self._release()
        return Result.OK

    def _take_off_hook(self, _command: OffHookCommand) -> Result:
        self._out.act(actions.TakeOffHook())
        self._enter(CallState.OFF_HOOK)
        return Result.OK

    def _is_off_hook(self, _command: OffHookCommand) -> Result:
        return Result.OK

    # calling

    def _start_dial(self, command: DialCommand) -> None:
        self._dial = command.dial
        self.ringer.caller = None
        self.counters.calls_out += 1
        self._class1.reset()
        waits = self._settings.call_progress in BLIND_DIALLING and not command.dial.awaits_tone
        if waits and self.state is CallState.ON_HOOK and (pause_s := self._settings.registers[6]):
            self._out.act(actions.TakeOffHook())
            self._enter(CallState.DIAL_PAUSE, pause_s * SAMPLE_RATE_HZ)
        else:
            self._place_call(None)

    def _place_call(self, _event: Expired | None) -> None:
        registers = self._settings.registers
        self._out.act(
            actions.Dial(
                number=self._number(),
                after_answer=self._dial.after_answer,
                silent=self._dial.silent,
                timeout_s=float(registers[7]),
                pause_s=float(registers[8]),
                calling_name=self._settings.calling_name,
                calling_number=self._settings.calling_number,
            )
        )
        self._enter(CallState.DIALLING, self._wait_for_carrier())

    def _number(self) -> str:
        prefix = self.rules.international_prefix if self._dial.international else ""
        return prefix + self._dial.number

    def _dialled_answered(self, _event: events.CallAnswered) -> Result | None:
        if self._dial.stay_in_command:
            self._enter(CallState.CONNECTED)
            return Result.OK
        self.state = CallState.HANDSHAKE  # the timer goes on: S7 counts from dialling
        self._class1.start_calling(silent=self._dial.silent)
        return None

    def _dial_failed(self, event: events.CallFailed) -> Result:
        self.counters.calls_failed += 1
        self._release(busy=False)
        return CALL_FAILURES.get(event.result, Result.NO_CARRIER)

    def _dial_ended(self, _event: events.CallEnded) -> Result:
        self.counters.calls_failed += 1
        self._release(busy=False)
        return Result.NO_CARRIER

    def _dial_expired(self, _event: Expired) -> Result:
        self.counters.calls_failed += 1
        self._hang_up(HangUpCommand())
        return Result.NO_ANSWER

    def _aborted(self, _command: AbortCommand) -> Result:
        """V.250 §6.3.1, §6.3.5: a call aborted before its CONNECT is cleared."""
        return self._hang_up(HangUpCommand())

    def _originate(self, command: OriginateCommand) -> None:
        self._enter(CallState.HANDOVER, self._settings.registers[7] * SAMPLE_RATE_HZ)
        self._class1.start_calling(silent=command.silent)

    # being called

    def _incoming(self, event: events.IncomingCall) -> None:
        self.counters.calls_in += 1
        self._class1.reset()
        self._enter(CallState.RINGING)
        self.ringer.begin(event.caller)
        self._ring(block_left=True)

    def _ring(self, *, block_left: bool = False) -> None:
        """RING now or when the command line being typed has ended; S0 answers."""
        if not self.ringer.ring(line_in_progress=self.line_in_progress, block_left=block_left):
            return
        wanted = self._settings.registers[0]
        if 0 < wanted <= self.ringer.n_rings and self._settings.is_fax_class_1 and self._may_answer:
            self._answer(AnswerCommand())

    @property
    def _may_answer(self) -> bool:
        """No automatic answer while DTR is off (V.250 §6.2.9), unless &D0 or &D1 ignores it."""
        return self.dtr or self._settings.basic["&D"] < 2

    def _caller_gone(self, _event: events.CallerGone | events.CallEnded) -> None:
        """RINGs just stop; the modem is free at once (the host was never on this call)."""
        self._release(busy=False)

    def _answer(self, _command: AnswerCommand) -> None:
        self._pick_up(with_tone=True)

    def _answer_silently(self, _command: OffHookCommand) -> Result:
        self._pick_up(with_tone=False)
        return Result.OK

    def _pick_up(self, *, with_tone: bool) -> None:
        self.ringer.stop()
        self._with_tone = with_tone
        self._dial = DialString("")
        self.counters.calls_answered += 1
        self._out.act(actions.Answer())
        self._enter(CallState.ANSWERING, self._wait_for_carrier())

    def _answered(self, _event: events.CallAnswered) -> None:
        if self._with_tone:
            self.state = CallState.HANDSHAKE
            self._class1.start_answering()
        else:
            self._enter(CallState.CONNECTED)

    def _answer_on_line(self, _command: AnswerCommand) -> None:
        self._enter(CallState.HANDOVER, self._settings.registers[7] * SAMPLE_RATE_HZ)
        self._class1.start_answering()

    def _answer_failed(self, _event: events.CallEnded | events.CallerGone | Expired) -> Result | None:
        said = Result.NO_CARRIER if self._with_tone else None
        self._hang_up(HangUpCommand())
        return said

    # on the call

    def _handshake_expired(self, _event: Expired) -> Result:
        self.counters.calls_failed += 1
        self._hang_up(HangUpCommand())
        return Result.NO_CARRIER

    def _busy_tone(self, _event: events.BusyTone) -> Result | None:
        """A gateway answered for a busy line; X3 and X4 know that (V.250 §6.2.7) until the fax is heard."""
        listens = self._dial.number and self._settings.call_progress in BUSY_DETECTION
        if not listens or self._class1.state is not State.HDLC_AWAIT:
            return None
        self.counters.calls_failed += 1
        self._hang_up(HangUpCommand())
        return Result.BUSY

    def _ended(self, event: events.CallEnded) -> None:
        """The far end hung up; what the host hears depends on what it was doing."""
        self._release()
        self._out.act(actions.SendSilence(), actions.ReceiveOff())
        self._class1.event(event)


Handler = Callable[[CallControl, Any], Result | None]

_UP: Final[Mapping[type, Handler]] = {
    events.CallEnded: CallControl._ended,
    HangUpCommand: CallControl._hang_up,
    ReleaseCommand: CallControl._hang_up,
}

_LIVE: Final[Mapping[type, Handler]] = {
    **_UP,
    OffHookCommand: CallControl._is_off_hook,
    OriginateCommand: CallControl._originate,
    AnswerCommand: CallControl._answer_on_line,
}

TRANSITIONS: Final[Mapping[CallState, Mapping[type, Handler]]] = {
    CallState.ON_HOOK: {
        events.IncomingCall: CallControl._incoming,
        DialCommand: CallControl._start_dial,
        HangUpCommand: CallControl._already_on_hook,
        ReleaseCommand: CallControl._already_on_hook,
        OffHookCommand: CallControl._take_off_hook,
    },
    CallState.OFF_HOOK: {
        DialCommand: CallControl._start_dial,
        HangUpCommand: CallControl._go_on_hook,
        ReleaseCommand: CallControl._go_on_hook,
        OffHookCommand: CallControl._is_off_hook,
    },
    CallState.DIAL_PAUSE: {
        Expired: CallControl._place_call,
        AbortCommand: CallControl._go_on_hook,
        HangUpCommand: CallControl._go_on_hook,
        ReleaseCommand: CallControl._go_on_hook,
    },
    CallState.RINGING: {
        events.CallerGone: CallControl._caller_gone,
        events.CallEnded: CallControl._caller_gone,
        AnswerCommand: CallControl._answer,
        HangUpCommand: CallControl._hang_up,
        OffHookCommand: CallControl._answer_silently,
    },
    CallState.DIALLING: {
        events.CallAnswered: CallControl._dialled_answered,
        events.CallFailed: CallControl._dial_failed,
        events.CallEnded: CallControl._dial_ended,
        Expired: CallControl._dial_expired,
        AbortCommand: CallControl._aborted,
        HangUpCommand: CallControl._hang_up,
        ReleaseCommand: CallControl._hang_up,
    },
    CallState.ANSWERING: {
        events.CallAnswered: CallControl._answered,
        events.CallEnded: CallControl._answer_failed,
        events.CallerGone: CallControl._answer_failed,
        Expired: CallControl._answer_failed,
        AbortCommand: CallControl._aborted,
        HangUpCommand: CallControl._hang_up,
        ReleaseCommand: CallControl._hang_up,
        OffHookCommand: CallControl._is_off_hook,
    },
    CallState.HANDSHAKE: {
        **_UP,
        events.BusyTone: CallControl._busy_tone,
        Expired: CallControl._handshake_expired,
        AbortCommand: CallControl._aborted,
    },
    CallState.HANDOVER: {
        **_LIVE,
        events.BusyTone: CallControl._busy_tone,
        Expired: CallControl._handshake_expired,
    },
    CallState.CONNECTED: _LIVE,
}
