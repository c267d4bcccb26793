"""The two machines drawn: `python -m cusemodem.at.state_diagrams > docs/at-states.md`.

Nothing is drawn from memory: an engine is brought to each state, each input of the state's row in the table
is given to it, and what it said and where it went is an arrow of the diagram and a cell of the page's table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from cusemodem.at import call_states, events
from cusemodem.at.call_control import TRANSITIONS as CALL_TRANSITIONS
from cusemodem.at.call_states import CallState
from cusemodem.at.class1 import TRANSITIONS as CLASS1_TRANSITIONS
from cusemodem.at.class1_states import HOST_MODES, Abort, HostMode, State, Timeout
from cusemodem.at.engine import Engine

Way = bytes | events.Event
"""Something that happens to an engine: the host writes, or the line tells."""

FRAME: Final = b"\xff\x03\x40data"
LAST_FRAME: Final = b"\xff\x13\x40data"
END: Final = b"\x10\x03"
_SET_UP: Final = b"ATE0+FCLASS=1\r"
_SET_UP_CALL: Final = b"ATE0+FCLASS=1;D1;\r"

CLASS1_ROADS: Final[Mapping[State, tuple[Way, ...]]] = {
    State.COMMAND: (),
    State.ANSWER_TONE: (b"ATA\r",),
    State.SEND_SILENCE: (b"AT+FTS=200\r",),
    State.AWAIT_SILENCE: (b"AT+FRS=200\r",),
    State.HDLC_SEND: (b"AT+FTH=3\r",),
    State.HDLC_SENDING: (b"AT+FTH=3\r", FRAME + END),
    State.HDLC_ENDING: (b"AT+FTH=3\r", LAST_FRAME + END),
    State.FAST_SEND: (b"AT+FTM=96\r",),
    State.FAST_DRAIN: (b"AT+FTM=96\r", FRAME + END),
    State.FAST_ENDING: (b"AT+FTM=96\r", END),
    State.HDLC_AWAIT: (b"AT+FRH=3\r",),
    State.HDLC_RECEIVE: (b"AT+FRH=3\r", events.FlagsDetected()),
    State.HDLC_HELD: (b"AT+FRH=3\r", events.FrameReceived(LAST_FRAME, True)),
    State.FAST_AWAIT: (b"AT+FRM=96\r",),
    State.FAST_RECEIVE: (b"AT+FRM=96\r", events.Trained()),
    State.FAST_GAP: (b"AT+FCL=5;+FRM=96\r", events.Trained(), events.CarrierLost(False)),
    State.DISCARD: (b"AT+FTM=96\r", events.CallEnded()),
}
"""How each class 1 state is reached from command state on a call."""

CALL_ROADS: Final[Mapping[CallState, tuple[Way, ...]]] = {
    CallState.ON_HOOK: (),
    CallState.OFF_HOOK: (b"ATH1\r",),
    CallState.RINGING: (events.IncomingCall(),),
    CallState.DIAL_PAUSE: (b"ATX3D1\r",),
    CallState.DIALLING: (b"ATD1\r",),
    CallState.ANSWERING: (events.IncomingCall(), b"ATA\r"),
    CallState.HANDSHAKE: (b"ATD1\r", events.CallAnswered()),
    CallState.HANDOVER: (b"ATD1;\r", events.CallAnswered(), b"ATD\r"),
    CallState.CONNECTED: (b"ATD1;\r", events.CallAnswered()),
}
"""How each state of a call is reached from on-hook."""


def engine_at(state: State | CallState) -> Engine:
    """An engine brought to `state` by commands and events only; what it said on the way is forgotten."""
    engine = Engine()
    if isinstance(state, State):
        engine.host_bytes(_SET_UP_CALL)
        engine.event(events.CallAnswered())
        road = CLASS1_ROADS[state]
    else:
        engine.host_bytes(_SET_UP)
        road = CALL_ROADS[state]
    for way in road:
        give(engine, way)
    engine.take_output()
    engine.take_actions()
    return engine


def give(engine: Engine, way: Way) -> None:
    """Let one thing happen to `engine`."""
    if isinstance(way, bytes):
        engine.host_bytes(way)
    else:
        engine.event(way)


# ---------------------------------------------------------------------- the inputs of the tables


@dataclass(frozen=True)
class Input:
    """One input of a table's row: what it is called on the page, and how it is given."""

    name: str
    give: Callable[[Engine], None]
    is_line: bool = False
    "a command line: where a character aborts, its A does so first"


def _event(name: str, event: events.Event) -> Input:
    return Input(name, lambda engine: engine.event(event))


def _host(name: str, data: bytes) -> Input:
    return Input(name, lambda engine: engine.host_bytes(data), is_line=data.startswith(b"AT"))


def _class1(name: str, event: Timeout | Abort) -> Input:
    return Input(name, lambda engine: engine.class1.event(event))


_FLAGS: Final = _event("flags", events.FlagsDetected())
_CALL_ENDED: Final = _event("far end hangs up", events.CallEnded())

CLASS1_INPUTS: Final[Mapping[type, tuple[Input, ...]]] = {
    events.FlagsDetected: (_FLAGS,),
    events.FrameReceived: (
        _event("frame", events.FrameReceived(FRAME, True)),
        _event("last frame", events.FrameReceived(LAST_FRAME, True)),
        _event("bad frame", events.FrameReceived(FRAME, False)),
    ),
    events.CarrierLost: (
        _event("V.21 carrier lost", events.CarrierLost(True)),
        _event("fast carrier lost", events.CarrierLost(False)),
    ),
    events.Trained: (_event("trained", events.Trained()),),
    events.TrainingFailed: (_event("training failed", events.TrainingFailed()),),
    events.DataReceived: (_event("data", events.DataReceived(b"data")),),
    events.FrameSent: (_event("frame sent", events.FrameSent()),),
    events.TransmitDone: (_event("all sent", events.TransmitDone()),),
    events.CallEnded: (_CALL_ENDED,),
    Timeout: (_class1("time is up", Timeout()),),
    Abort: (_host("character of the host", b"\x18"),),
}

CALL_INPUTS: Final[Mapping[type, tuple[Input, ...]]] = {
    events.IncomingCall: (_event("incoming call", events.IncomingCall()),),
    events.CallerGone: (_event("caller gone", events.CallerGone()),),
    events.CallAnswered: (_event("answered", events.CallAnswered()),),
    events.CallFailed: (_event("call failed (busy)", events.CallFailed("BUSY")),),
    events.CallEnded: (_CALL_ENDED,),
    events.BusyTone: (_event("busy tone", events.BusyTone()),),
    call_states.Expired: (Input("S6 or S7 is up", lambda engine: engine.calls.event(call_states.Expired())),),
    call_states.DialCommand: (_host("D2", b"ATD2\r"),),
    call_states.OriginateCommand: (_host("D", b"ATD\r"),),
    call_states.AnswerCommand: (_host("A", b"ATA\r"),),
    call_states.HangUpCommand: (_host("H0", b"ATH0\r"),),
    call_states.OffHookCommand: (_host("H1", b"ATH1\r"),),
    call_states.AbortCommand: (_host("character of the host", b"\x18"),),
    call_states.ReleaseCommand: (Input("Z or DTR off", Engine.dtr_dropped),),
}


def _pull(engine: Engine) -> None:
    engine.pull_data(1000)


def _let_pass(engine: Engine, seconds: int) -> None:
    for _ in range(50 * seconds + 1):
        engine.tick(0)


def _ring_s0(engine: Engine) -> None:
    engine.host_bytes(b"ATS0=2\r")
    engine.take_output()
    _let_pass(engine, 5)


STEPS: Final[Mapping[State | CallState, tuple[Input, ...]]] = {
    CallState.RINGING: (
        Input("5 s", lambda engine: _let_pass(engine, 5)),
        Input("5 s, the RING that S0 names", _ring_s0),
    ),
    CallState.HANDSHAKE: (_FLAGS,),
    CallState.HANDOVER: (_FLAGS, _host("character of the host", b"\x18")),
    State.COMMAND: (
        _host("+FTS=n", b"AT+FTS=8\r"),
        _host("+FRS=n", b"AT+FRS=8\r"),
        _host("+FTH=3", b"AT+FTH=3\r"),
        _host("+FRH=3", b"AT+FRH=3\r"),
        _host("+FTM=m", b"AT+FTM=96\r"),
        _host("+FRM=m", b"AT+FRM=96\r"),
        _host("A", b"ATA\r"),
        _host("D", b"ATD\r"),
    ),
    State.HDLC_SEND: (
        _host("frame DLE ETX", FRAME + END),
        _host("last frame DLE ETX", LAST_FRAME + END),
        _host("DLE ETX", END),
    ),
    State.FAST_SEND: (_host("DLE ETX", b"data" + END),),
    State.FAST_DRAIN: (Input("data taken", _pull),),
    State.DISCARD: (_host("DLE ETX", END),),
}
"""What commands, data and results do besides: no cells of the tables, but they belong to the drawing."""


# ---------------------------------------------------------------------- what happens

ABORT_FIRST: Final = "abort, then "
"""Before a command line whose A ends a wait."""


@dataclass(frozen=True)
class Arrow:
    """One cell: the input's name, what the host hears, the state after it."""

    name: str
    said: str
    after: Enum


_WORDS: Final = (
    (FRAME + END, b" frame DLE ETX "),
    (LAST_FRAME + END, b" last frame DLE ETX "),
    (END, b" DLE ETX "),
    (b"data", b" data "),
)


def _said(engine: Engine) -> str:
    output = engine.take_output()
    for raw, word in _WORDS:
        output = output.replace(raw, word)
    return ", ".join(output.decode("ascii").replace("\r\n", " ").replace("  ", "\n").split("\n")).strip(" ,")


def arrow(state: State | CallState, given: Input) -> Arrow:
    """What `given` does in `state`."""
    engine = engine_at(state)
    aborts = engine.calls.awaits_call or engine.class1.host_mode is HostMode.ABORT
    name = ABORT_FIRST + given.name if given.is_line and aborts else given.name
    given.give(engine)
    said = " ".join(_said(engine).replace(",", " ").split())
    return Arrow(name, said, engine.class1.state if isinstance(state, State) else engine.calls.state)


def row(state: State | CallState) -> list[Arrow]:
    """All cells of a state's row in its table, and the other steps."""
    if isinstance(state, State):
        inputs = [given for event in CLASS1_TRANSITIONS[state] for given in CLASS1_INPUTS[event]]
    else:
        inputs = [given for event in CALL_TRANSITIONS[state] for given in CALL_INPUTS[event]]
    return [arrow(state, given) for given in (*STEPS.get(state, ()), *inputs)]


# ---------------------------------------------------------------------- the page

_HEAD: Final = """# The state machines of the AT engine

Drawn by `python -m cusemodem.at.state_diagrams` from the program itself; a test compares this page with what
that prints. The tables are `TRANSITIONS` in [call_control.py](../cusemodem/at/call_control.py) and
[class1.py](../cusemodem/at/class1.py); the words behind a slash are what the host hears. What is not in a row
is ignored there by decision, and counted if it is an event of the call. "abort, then" stands where the A of a
command line ends the wait before the command is obeyed.
"""


Rows = Sequence[tuple[Enum, list[Arrow]]]


def _label(text: str) -> str:
    """Text as a label of a Mermaid arrow, where `:` and `;` mean something."""
    return text.replace(";", "#59;").replace(":", "#58;")


def _diagram(rows: Rows) -> list[str]:
    lines = ["```mermaid", "stateDiagram-v2"]
    for state, arrows in rows:
        for one in arrows:
            if one.after is not state or one.said:
                said = f" / {one.said}" if one.said else ""
                lines.append(f"    {state.name} --> {one.after.name} : {_label(one.name + said)}")
    return [*lines, "```"]


def _table(rows: Rows) -> list[str]:
    lines = ["| state | input | the host hears | then |", "| --- | --- | --- | --- |"]
    for state, arrows in rows:
        lines += [f"| {state.name} | {one.name} | {one.said} | {one.after.name} |" for one in arrows]
        if not arrows:
            lines.append(f"| {state.name} | | | |")
    return lines


def page() -> str:
    """docs/at-states.md."""
    calls: Rows = [(state, row(state)) for state in CallState]
    class1: Rows = [(state, row(state)) for state in State]
    modes = ["| state | a byte of the host is |", "| --- | --- |"]
    modes += [f"| {state.name} | {mode.name.lower()} |" for state, mode in HOST_MODES.items()]
    parts = [
        [_HEAD],
        ["## The call", "", *_diagram(calls), "", *_table(calls), ""],
        ["## Class 1 on a call", "", *_diagram(class1), "", *_table(class1), ""],
        ["## What the host's bytes mean", "", *modes],
    ]
    return "\n".join(line for part in parts for line in part) + "\n"


if __name__ == "__main__":
    print(page(), end="")
