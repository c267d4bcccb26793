"""The two machines as tables: every state × every event, handled or ignored, never forgotten."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import cusemodem.at
from cusemodem.at import Engine, actions, call_control, call_states, class1_states, events
from cusemodem.at import class1 as class1_module
from cusemodem.at.call_states import CallState
from cusemodem.at.class1_states import Abort, HostMode, State, Timeout
from cusemodem.at.state_diagrams import engine_at

MODEM_EVENTS: dict[type, object] = {
    events.FlagsDetected: events.FlagsDetected(),
    events.FrameReceived: events.FrameReceived(b"\xff\x03\x40data", True),
    events.Trained: events.Trained(),
    events.TrainingFailed: events.TrainingFailed(),
    events.DataReceived: events.DataReceived(b"data"),
    events.CarrierLost: events.CarrierLost(True),
    events.FrameSent: events.FrameSent(),
    events.TransmitDone: events.TransmitDone(),
    events.CallEnded: events.CallEnded(),
    Timeout: Timeout(),
    Abort: Abort(),
}

# What each state does with each event, written down a second time, from the host's side: what is said.
# Events that are not named are ignored: nothing is said and the state stays.
OK, CONNECT, NC, ERROR = "OK", "CONNECT", "NO CARRIER", "ERROR"
FRAME, END = r"\xff\x03@data\x10\x03", r"\x10\x03"
EXPECTED: dict[State, dict[type, tuple[str, State]]] = {
    State.COMMAND: {},
    State.ANSWER_TONE: {
        events.TransmitDone: (CONNECT, State.HDLC_SEND),
        events.CallEnded: (NC, State.COMMAND),
        Abort: (OK, State.COMMAND),
    },
    State.SEND_SILENCE: {Timeout: (OK, State.COMMAND), events.CallEnded: (NC, State.COMMAND)},
    State.AWAIT_SILENCE: {events.CallEnded: (NC, State.COMMAND), Abort: (OK, State.COMMAND)},
    State.HDLC_SEND: {Timeout: (ERROR, State.DISCARD), events.CallEnded: (NC, State.DISCARD)},
    State.HDLC_SENDING: {
        events.FrameSent: (CONNECT, State.HDLC_SEND),
        events.CallEnded: (NC, State.DISCARD),
    },
    State.HDLC_ENDING: {
        events.TransmitDone: (OK, State.COMMAND),
        events.CallEnded: (NC, State.COMMAND),
    },
    State.FAST_SEND: {Timeout: (ERROR, State.DISCARD), events.CallEnded: (NC, State.DISCARD)},
    State.FAST_DRAIN: {events.CallEnded: (NC, State.COMMAND)},
    State.FAST_ENDING: {
        events.TransmitDone: (OK, State.COMMAND),
        events.CallEnded: (NC, State.COMMAND),
    },
    State.HDLC_AWAIT: {
        events.FlagsDetected: (CONNECT, State.HDLC_RECEIVE),
        events.FrameReceived: (f"{CONNECT} {FRAME} {OK}", State.COMMAND),
        events.CallEnded: (NC, State.COMMAND),
        Abort: (OK, State.COMMAND),
    },
    State.HDLC_RECEIVE: {
        events.FrameReceived: (f"{FRAME} {OK}", State.COMMAND),
        events.CarrierLost: (f"{END} {NC}", State.COMMAND),
        events.CallEnded: (f"{END} {NC}", State.COMMAND),
        Abort: (OK, State.COMMAND),
    },
    State.HDLC_HELD: {
        events.FrameReceived: (OK, State.COMMAND),
        events.CarrierLost: (OK, State.COMMAND),
        events.CallEnded: (OK, State.COMMAND),
        Timeout: (OK, State.COMMAND),
        Abort: (OK, State.COMMAND),
    },
    State.FAST_AWAIT: {
        events.Trained: (CONNECT, State.FAST_RECEIVE),
        events.FlagsDetected: ("+FCERROR", State.COMMAND),
        events.FrameReceived: ("+FCERROR", State.COMMAND),
        events.CallEnded: (NC, State.COMMAND),
        Abort: (OK, State.COMMAND),
    },
    State.FAST_RECEIVE: {
        events.DataReceived: ("data", State.FAST_RECEIVE),
        events.CallEnded: (f"{END} {NC}", State.COMMAND),
        Abort: (f"{END} {OK}", State.COMMAND),
    },
    State.FAST_GAP: {
        events.Trained: ("", State.FAST_RECEIVE),
        events.DataReceived: ("data", State.FAST_RECEIVE),
        events.FlagsDetected: (f"{END} {NC}", State.COMMAND),
        events.FrameReceived: (f"{END} {NC}", State.COMMAND),
        events.CallEnded: (f"{END} {NC}", State.COMMAND),
        Timeout: (f"{END} {NC}", State.COMMAND),
        Abort: (f"{END} {OK}", State.COMMAND),
    },
    State.DISCARD: {},
}


def said(engine: Engine) -> str:
    """What was said, result codes without their frames."""
    text = engine.take_output().decode("latin-1").replace("\r\n\r\n", " ").replace("\r\n", " ")
    return " ".join(
        "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
        .replace("\xff", r"\xff")
        .split(" ")
    ).strip()


@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
@pytest.mark.parametrize("event", MODEM_EVENTS, ids=lambda event: event.__name__)
def test_class1_product(state: State, event: type) -> None:
    """Every cell: what the host hears and where the machine goes."""
    engine = engine_at(state)
    if event is events.CallEnded:
        engine.event(events.CallEnded())
    else:
        engine.class1.event(MODEM_EVENTS[event])  # type: ignore[arg-type]
    text, new_state = EXPECTED[state].get(event, ("", state))
    assert said(engine) == text
    assert engine.class1.state is new_state


@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
def test_lost_fast_carrier_matters_only_to_a_fast_receiver(state: State) -> None:
    engine = engine_at(state)
    engine.event(events.CarrierLost(False))
    if state is State.FAST_RECEIVE:
        assert said(engine) == f"{END} {NC}"
        assert engine.take_actions() == [actions.ReceiveV21()]
    else:
        assert said(engine) == ""
        assert engine.class1.state is state


def test_tables_name_every_state_and_only_known_events() -> None:
    assert set(class1_module.TRANSITIONS) == set(State) == set(class1_states.HOST_MODES) == set(EXPECTED)
    for row in class1_module.TRANSITIONS.values():
        assert set(row) <= set(MODEM_EVENTS)
    assert set(call_control.TRANSITIONS) == set(CallState)
    for call_row in call_control.TRANSITIONS.values():
        assert set(call_row) <= set(CALL_INPUTS)


def test_every_wait_can_be_ended_by_host_or_clock() -> None:
    """No state can hold the host for ever: it aborts, data ends it, or the line's own events must come."""
    for state, row in class1_module.TRANSITIONS.items():
        if class1_states.HOST_MODES[state] is HostMode.ABORT:
            assert Abort in row, state
        if class1_states.HOST_MODES[state] is HostMode.KEEP and state is not State.FAST_DRAIN:
            assert {Timeout, events.TransmitDone, events.FrameSent} & set(row), state
        assert events.CallEnded in row, state


# ---------------------------------------------------------------------- the call machine

CALL_INPUTS: dict[type, object] = {
    events.IncomingCall: events.IncomingCall(),
    events.CallerGone: events.CallerGone(),
    events.CallAnswered: events.CallAnswered(),
    events.CallFailed: events.CallFailed("BUSY"),
    events.CallEnded: events.CallEnded(),
    events.BusyTone: events.BusyTone(),
    call_states.Expired: call_states.Expired(),
    call_states.DialCommand: b"ATD2\r",
    call_states.OriginateCommand: b"ATD\r",
    call_states.AnswerCommand: b"ATA\r",
    call_states.HangUpCommand: b"ATH\r",
    call_states.OffHookCommand: b"ATH1\r",
    call_states.ReleaseCommand: None,
    call_states.AbortCommand: b"\x18",
}
IGNORED = ("", None)
C = CallState
CALL_EXPECTED: dict[CallState, dict[type, tuple[str, CallState]]] = {
    C.ON_HOOK: {
        events.IncomingCall: ("RING", C.RINGING),
        call_states.DialCommand: ("", C.DIALLING),
        call_states.OriginateCommand: (ERROR, C.ON_HOOK),
        call_states.AnswerCommand: (ERROR, C.ON_HOOK),
        call_states.HangUpCommand: (OK, C.ON_HOOK),
        call_states.OffHookCommand: (OK, C.OFF_HOOK),
    },
    C.OFF_HOOK: {
        call_states.DialCommand: ("", C.DIALLING),
        call_states.OriginateCommand: (ERROR, C.OFF_HOOK),
        call_states.AnswerCommand: (ERROR, C.OFF_HOOK),
        call_states.HangUpCommand: (OK, C.ON_HOOK),
        call_states.OffHookCommand: (OK, C.OFF_HOOK),
        call_states.ReleaseCommand: ("", C.ON_HOOK),
    },
    C.RINGING: {
        events.CallerGone: ("", C.ON_HOOK),
        events.CallEnded: ("", C.ON_HOOK),
        call_states.DialCommand: (ERROR, C.RINGING),
        call_states.OriginateCommand: (ERROR, C.RINGING),
        call_states.AnswerCommand: ("", C.ANSWERING),
        call_states.HangUpCommand: (OK, C.ON_HOOK),
        call_states.OffHookCommand: (OK, C.ANSWERING),
    },
    C.DIAL_PAUSE: {
        call_states.Expired: ("", C.DIALLING),
        call_states.DialCommand: ("", C.DIAL_PAUSE),
        call_states.OriginateCommand: (ERROR, C.ON_HOOK),
        call_states.AnswerCommand: (ERROR, C.ON_HOOK),
        call_states.HangUpCommand: (OK, C.ON_HOOK),
        call_states.OffHookCommand: (OK, C.OFF_HOOK),
        call_states.ReleaseCommand: ("", C.ON_HOOK),
        call_states.AbortCommand: (OK, C.ON_HOOK),
    },
    C.DIALLING: {  # a command's A aborts, the command is obeyed, and only its own result is said
        events.CallAnswered: ("", C.HANDSHAKE),
        events.CallFailed: ("BUSY", C.ON_HOOK),
        events.CallEnded: (NC, C.ON_HOOK),
        call_states.Expired: ("NO ANSWER", C.ON_HOOK),
        call_states.DialCommand: ("", C.DIALLING),
        call_states.OriginateCommand: (ERROR, C.ON_HOOK),
        call_states.AnswerCommand: (ERROR, C.ON_HOOK),
        call_states.HangUpCommand: (OK, C.ON_HOOK),
        call_states.OffHookCommand: (OK, C.OFF_HOOK),
        call_states.ReleaseCommand: ("", C.ON_HOOK),
        call_states.AbortCommand: (OK, C.ON_HOOK),
    },
    C.ANSWERING: {
        events.CallAnswered: ("", C.HANDSHAKE),
        events.CallEnded: (NC, C.ON_HOOK),
        events.CallerGone: (NC, C.ON_HOOK),
        call_states.Expired: (NC, C.ON_HOOK),
        call_states.DialCommand: ("", C.DIALLING),
        call_states.OriginateCommand: (ERROR, C.ON_HOOK),
        call_states.AnswerCommand: (ERROR, C.ON_HOOK),
        call_states.HangUpCommand: (OK, C.ON_HOOK),
        call_states.OffHookCommand: (OK, C.OFF_HOOK),
        call_states.ReleaseCommand: ("", C.ON_HOOK),
        call_states.AbortCommand: (OK, C.ON_HOOK),
    },
    C.HANDSHAKE: {  # given up as before the answer
        events.BusyTone: ("BUSY", C.ON_HOOK),
        events.CallEnded: (NC, C.ON_HOOK),
        call_states.Expired: (NC, C.ON_HOOK),
        call_states.DialCommand: ("", C.DIALLING),
        call_states.OriginateCommand: (ERROR, C.ON_HOOK),
        call_states.AnswerCommand: (ERROR, C.ON_HOOK),
        call_states.HangUpCommand: (OK, C.ON_HOOK),
        call_states.OffHookCommand: (OK, C.OFF_HOOK),
        call_states.ReleaseCommand: ("", C.ON_HOOK),
        call_states.AbortCommand: (OK, C.ON_HOOK),
    },
    C.HANDOVER: {
        events.BusyTone: ("BUSY", C.ON_HOOK),
        events.CallEnded: (NC, C.ON_HOOK),
        call_states.Expired: (NC, C.ON_HOOK),
        call_states.DialCommand: (ERROR, C.CONNECTED),
        call_states.OriginateCommand: ("", C.HANDOVER),
        call_states.AnswerCommand: ("", C.HANDOVER),
        call_states.HangUpCommand: (OK, C.ON_HOOK),
        call_states.OffHookCommand: (OK, C.CONNECTED),
        call_states.ReleaseCommand: ("", C.ON_HOOK),
        call_states.AbortCommand: (OK, C.CONNECTED),
    },
    C.CONNECTED: {
        events.CallEnded: ("", C.ON_HOOK),
        call_states.DialCommand: (ERROR, C.CONNECTED),
        call_states.OriginateCommand: ("", C.HANDOVER),
        call_states.AnswerCommand: ("", C.HANDOVER),
        call_states.HangUpCommand: (OK, C.ON_HOOK),
        call_states.OffHookCommand: (OK, C.CONNECTED),
        call_states.ReleaseCommand: ("", C.ON_HOOK),
    },
}


@pytest.mark.parametrize("state", CallState, ids=lambda state: state.name)
@pytest.mark.parametrize("event", CALL_INPUTS, ids=lambda event: event.__name__)
def test_call_product(state: CallState, event: type) -> None:
    """Every cell: what the host hears and where the call goes."""
    engine = engine_at(state)
    happened = CALL_INPUTS[event]
    ignored = engine.statistics().calls.events_ignored
    if isinstance(happened, bytes):
        engine.host_bytes(happened)
    elif event is call_states.ReleaseCommand:
        engine.dtr_dropped()
    elif event is call_states.Expired:
        engine.calls.event(call_states.Expired())
    else:
        engine.event(happened)  # type: ignore[arg-type]
    text, new_state = CALL_EXPECTED[state].get(event, ("", state))
    assert said(engine) == text
    assert engine.calls.state is new_state
    if event not in CALL_EXPECTED[state] and not isinstance(happened, bytes | None):
        assert engine.statistics().calls.events_ignored == ignored + 1


# ---------------------------------------------------------------------- the room's walls


def test_the_room_is_pure_and_knows_nobody_above() -> None:
    """No clock, socket, file, thread or log in here, and no import of another room."""
    allowed = {
        "__future__", "ast", "collections", "collections.abc", "dataclasses", "enum", "json", "re", "typing",
    }  # fmt: skip
    for path in Path(cusemodem.at.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name in allowed or name.startswith("cusemodem.at"), f"{path.name} imports {name}"
