"""The AT engine: one modem's command interpreter and T.31 class 1, as a pure machine.

Bytes of the host, events of the line and blocks of time go in; bytes for the host and actions for the line
come out. Whatever goes in, nothing is raised, nothing waits and memory stays bounded.

>>> engine = Engine()
>>> engine.host_bytes(b"ATE0+FCLASS=1\\r")
>>> engine.take_output()
b'ATE0+FCLASS=1\\r\\r\\nOK\\r\\n'

The line calls `host_bytes` (at most `room` bytes), `event` and, once a block, `tick`; after each it takes
`take_actions` in order and `take_output`. While a burst is sent it calls `pull_data` before each block and
then takes actions again: the last data is followed by EndTransmission.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from cusemodem.at import events
from cusemodem.at.actions import Action
from cusemodem.at.call_control import CallControl
from cusemodem.at.call_rules import USUAL_RULES, CallRules
from cusemodem.at.call_states import AbortCommand, CallCounters, CallState, HangUpCommand, ReleaseCommand
from cusemodem.at.caller_id import sanitise
from cusemodem.at.class1 import BLOCK, Class1, Counters
from cusemodem.at.class1_states import Abort, HostMode, State, Timeout
from cusemodem.at.command_context import Context
from cusemodem.at.command_line import CommandLine, Line
from cusemodem.at.commands import CHAINABLE, execute
from cusemodem.at.commands_basic import reset
from cusemodem.at.grammar import Command, parse
from cusemodem.at.host_data import SAMPLE_RATE_HZ
from cusemodem.at.identity import CUSEMODEM, Identity
from cusemodem.at.line_facts import NO_FACTS, LineFacts
from cusemodem.at.outbox import Outbox
from cusemodem.at.profiles import Profiles
from cusemodem.at.results import Result
from cusemodem.at.settings import Settings

MAX_KEPT: Final = 1 << 16
"""Host bytes kept for later, against a line that ignores `room`; what exceeds it is dropped and counted."""

_NEVER_ABORT: Final = frozenset((0x11, 0x13))
"""DC1 and DC3 are flow control where they are not data; they abort nothing (T.31 §8.3.6)."""

LINE_END_SAMPLES: Final = SAMPLE_RATE_HZ // 8
"""What a program sends in the first 125 ms after a line's terminator aborts nothing (V.250 §5.6.1)."""

_ABORT_AT_ONCE: Final = b"Aa\x18"
"""But CAN and the A of the next command do (chosen): nobody appends them, and efax and HylaFAX are quick."""

_LF = 0x0A


@dataclass(frozen=True, slots=True)
class EngineStatistics:
    """A snapshot for status and reports; counters are since the engine was made."""

    call_state: str
    class1_state: str
    fax_class: str
    commands: int
    errors: int
    lines_too_long: int
    host_bytes_dropped: int
    output_bytes_dropped: int
    calls: CallCounters
    class1: Counters


_CALL_EVENTS: Final = (
    events.IncomingCall,
    events.CallerGone,
    events.CallAnswered,
    events.CallFailed,
    events.CallEnded,
    events.BusyTone,
)


class Engine:
    """One modem's AT engine; see the module's text for the order of calls."""

    def __init__(
        self,
        identity: Identity = CUSEMODEM,
        rules: CallRules = USUAL_RULES,
        *,
        profiles: Profiles | None = None,
        facts: LineFacts = NO_FACTS,
    ) -> None:
        self._profiles = profiles or Profiles()
        self._settings = self._profiles.load(self._profiles.at_start)
        self._out = Outbox(self._settings)
        self.class1 = Class1(self._settings, self._out, self._report)
        self.calls = CallControl(self._settings, self._out, self.class1, rules, self._report)
        self._context = Context(
            self._settings, self._profiles, identity, facts, self._out, self.calls, self.class1
        )
        self._line = CommandLine()
        self._input = bytearray()
        self._pending: deque[Command] = deque()
        self._line_just_ended = False
        self._line_end_samples = 0
        self._output_taken = False
        self._abort_unsaid = False
        self._host_idle_samples = 0
        self._n_commands = self._n_errors = self._n_too_long = self._n_dropped = 0

    # ------------------------------------------------------------------ in

    @property
    def room(self) -> int:
        """Bytes of host data wanted now (back pressure); 4096 when nothing is kept."""
        return max(0, self.class1.room - len(self._input))

    def host_bytes(self, data: bytes) -> None:
        """Take what the host program wrote."""
        free = MAX_KEPT - len(self._input)
        self._n_dropped += max(0, len(data) - free)
        self._host_idle_samples = 0
        self._input += data[:free]
        self._consume()

    def event(self, event: events.Event) -> None:
        """Take one event of the line."""
        self.calls.line_in_progress = self._line.in_progress
        if isinstance(event, _CALL_EVENTS):
            self.calls.event(event)
        elif isinstance(event, events.DtmfReceived):
            self._dtmf(event)
        else:
            self.class1.event(event)
        self._consume()

    def tick(self, silence_samples: int) -> None:
        """One block (160 samples, 20 ms) has passed; all times are counted here.

        `silence_samples`: how long the received level has been below the threshold of silence.
        """
        self.calls.line_in_progress = self._line.in_progress
        self.class1.tick(silence_samples)
        self.calls.tick()
        self._line_end_samples -= min(BLOCK, self._line_end_samples)
        if self._input:
            self._consume()
        self._watch_host()

    def _watch_host(self) -> None:
        """+FIT (T.31 §8.5.3): a host that does not take its turn on a call for so long has died: hang up."""
        limit = self._settings.number("+FIT") * SAMPLE_RATE_HZ
        if limit == 0 or not (self.calls.is_up and self.class1.awaits_host):
            self._host_idle_samples = 0
            return
        self._host_idle_samples += BLOCK
        if self._host_idle_samples >= limit:
            self._host_idle_samples = 0
            self._forget_host()
            if self.class1.state is not State.COMMAND:
                self.class1.event(Timeout())
            self.calls.command(HangUpCommand())
            if self._settings.number("+FIT", 1) == 0:
                self._settings.fax_class = "0"

    def dtr_raised(self) -> None:
        """The host program raised DTR (it opened the port)."""
        self.calls.dtr = True

    def dtr_dropped(self) -> None:
        """The host program dropped DTR: as &D says, ignore, command state, hang up, or reset.

        A call that rings goes on ringing, as on any modem: programs drop DTR when they begin anew.
        """
        self.calls.dtr = False
        mode = self._settings.basic["&D"]
        if mode == 0:
            return
        self._forget_host()
        if mode == 1:
            if self.class1.state is not State.COMMAND:
                self.class1.reset()
                self._say(Result.OK)
        elif mode == 2:
            self.calls.command(ReleaseCommand())
        else:
            reset(self._context, self._profiles.load(self._profiles.at_start))

    def host_gone(self) -> None:
        """Nobody has the port open any more: hang up whatever &D says; nothing is said, a ring goes on."""
        self._forget_host()
        self.calls.command(ReleaseCommand())

    # ------------------------------------------------------------------ out

    def take_output(self) -> bytes:
        """Bytes for the host since the last call."""
        output = self._out.take_output()
        if output:
            self._output_taken = True
        return output

    def take_actions(self) -> list[Action]:
        """Actions for the line since the last call, in order."""
        return self._out.take_actions()

    def pull_data(self, max_bytes: int) -> bytes:
        """Data of the burst being sent, unstuffed; take actions again afterwards."""
        data = self.class1.pull_data(max_bytes)
        if self._input:
            self._consume()
        return data

    @property
    def idle(self) -> bool:
        """Time passing changes nothing: `tick` may be left out until a byte or an event comes."""
        waits = self._input or self._pending or self._line_end_samples
        return self.calls.accepts_calls and self.class1.idle and not waits

    @property
    def settings(self) -> Settings:
        """The settings in force; `load` them from another engine's to continue where that one stood."""
        return self._settings

    @property
    def dcd(self) -> bool:
        """The carrier-detect line: on from CONNECT to the end of the call, or always with &C0."""
        return self._settings.basic["&C"] == 0 or self.calls.carrier

    @property
    def ring_indicator(self) -> bool:
        """The RI line: a call is ringing."""
        return self.calls.state is CallState.RINGING

    @property
    def off_hook(self) -> bool:
        """The modem has the line (a call of ours, or busied out by ATH1)."""
        return self.calls.off_hook

    @property
    def in_call(self) -> bool:
        """A call that the host made or took is under way, from dialling on."""
        return self.calls.in_call

    @property
    def accepts_calls(self) -> bool:
        """An incoming call may ring: on-hook, and 5 s after the last hang-up."""
        return self.calls.accepts_calls

    def statistics(self) -> EngineStatistics:
        """A snapshot of state and counters."""
        return EngineStatistics(
            call_state=self.calls.state.name,
            class1_state=self.class1.state.name,
            fax_class=self._settings.fax_class,
            commands=self._n_commands,
            errors=self._n_errors,
            lines_too_long=self._n_too_long,
            host_bytes_dropped=self._n_dropped,
            output_bytes_dropped=self._out.n_bytes_dropped,
            calls=replace(self.calls.counters),
            class1=replace(self.class1.counters),
        )

    # ------------------------------------------------------------------ the host's bytes

    def _host_mode(self) -> HostMode:
        return HostMode.ABORT if self.calls.awaits_call else self.class1.host_mode

    def _consume(self) -> None:
        """Give the host's bytes to whom they belong, until none is left or somebody makes them wait."""
        while self._input:
            mode = self._host_mode()
            if self._belongs_to_line_end(self._input[0], mode):
                del self._input[0]
                continue
            if mode is HostMode.KEEP:
                return
            if mode is HostMode.DATA:
                n_taken = self.class1.host_data(self._input)
                del self._input[:n_taken]
                if n_taken == 0 and self._host_mode() is HostMode.DATA:
                    return
                continue
            byte = self._input[0]
            del self._input[0]
            if self._abort_unsaid:
                self._abort_unsaid = False
                if byte & 0x7F not in b"Tt/":
                    self._say(Result.OK)  # no command after all: the abort is answered like any other
            if mode is HostMode.COMMAND or self._abort(byte):
                self._command_byte(byte)

    def _belongs_to_line_end(self, byte: int, mode: HostMode) -> bool:
        """The byte only rounds off the line before it: LF, NUL, another CR, what comes too soon to abort."""
        just_ended, self._line_just_ended = self._line_just_ended, False
        if mode is HostMode.COMMAND:
            belongs = just_ended and byte == _LF
        elif self._line_end_samples == 0:
            return False
        elif mode is HostMode.DATA:
            # data it is as soon as the host could have read CONNECT; no frame begins with NUL
            fills = b"\r\n\0" if self.class1.state is State.HDLC_SEND else b"\r\n"
            belongs = not self._output_taken and byte in fills
        else:
            belongs = byte & 0x7F not in _ABORT_AT_ONCE
        if not belongs:
            self._line_end_samples = 0
        return belongs

    def _command_byte(self, byte: int) -> None:
        if self._settings.echo:
            self._out.data(bytes((byte,)))
        registers = self._settings.registers
        line = self._line.feed(byte, registers[3], registers[5])
        if line is not None:
            self._line_just_ended, self._output_taken = True, False
            self._line_end_samples = LINE_END_SAMPLES
            self._execute_line(line)

    def _abort(self, byte: int) -> bool:
        """A character ends the wait (V.250 §5.6.1); True when it also begins a command line.

        Programs abort with CAN, but some just send their next command: its A is not lost, and its result is
        the only one. An OK of the abort's own would be taken for the command's, the program would send the
        command again, abort it again, and so on for ever (efax does).
        """
        if byte & 0x7F in _NEVER_ABORT:
            return False
        self._pending.clear()
        self._abort_unsaid = byte & 0x7F in b"Aa"
        if self.calls.awaits_call:
            result = self.calls.command(AbortCommand())
            if result is not None:
                self._say(result)
        else:
            self.class1.event(Abort())
        return self._abort_unsaid

    def _forget_host(self) -> None:
        self._input.clear()
        self._pending.clear()
        self._abort_unsaid = False
        self._line.cancel()

    # ------------------------------------------------------------------ lines and results

    def _execute_line(self, line: Line) -> None:
        if line.too_long:
            self._n_too_long += 1
            self._say(Result.ERROR)
            return
        self._pending = deque(parse(line.body))
        self._run()

    def _run(self) -> None:
        """Execute the line from left to right, to its end, to a failure or to a command that waits."""
        while self._pending:
            command = self._pending.popleft()
            self._n_commands += 1
            result = execute(self._context, command)
            if result is None:
                if command.name not in CHAINABLE:
                    self._pending.clear()
                return
            if result is not Result.OK:
                self._pending.clear()
                self._say(result)
                return
        self._say(Result.OK)

    def _report(self, result: Result) -> None:
        """A wait has ended. OK lets the rest of its line go on, if there is one."""
        if result is Result.OK and self._pending:
            self._run()
        else:
            self._pending.clear()
            self._say(result)

    def _say(self, result: Result) -> None:
        self._n_errors += result is Result.ERROR
        self.calls.noticed(result)
        if not self._abort_unsaid:
            self._out.result(result)

    def _dtmf(self, event: events.DtmfReceived) -> None:
        """A digit is shown in command state only, never amid data."""
        if self.calls.is_up and self.class1.state is State.COMMAND:
            self._out.text(f"DTMF={sanitise(event.digit)[:1]}")
