"""What a person asks the modem: I0…I11, &V, listings such as +V?, and $ for help.

HylaFAX asks I0 and I3, efax I3, mgetty I: those stay one line each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from cusemodem.at.caller_id import sanitise
from cusemodem.at.command_context import Context, Handler, number
from cusemodem.at.grammar import Command, Form
from cusemodem.at.modulations import offered_names
from cusemodem.at.parameters import PARAMETERS
from cusemodem.at.profiles import N_PROFILES
from cusemodem.at.registers import REGISTERS, Registers
from cusemodem.at.results import Result
from cusemodem.at.settings import Settings

HIGHEST_INFORMATION: Final = 11
_WIDTH: Final = 72
"""Characters of a shown line; a terminal of 80 has room for them."""

_MAX_SHOWN: Final = 400
"""Characters of a line that the line room tells."""


def _say_all(context: Context, lines: Sequence[str]) -> Result:
    for line in lines:
        context.out.text("".join(c if " " <= c <= "~" else "?" for c in line[:_MAX_SHOWN]))
    return Result.OK


# ---------------------------------------------------------------------- I


def _memory(context: Context) -> list[str]:
    """I2: V.250 has the result of a memory test here."""
    return [context.profiles.trouble or "stored profiles: good"]


def _abilities(context: Context) -> list[str]:
    return [context.identity.description, f"Class 1, 1.0: {', '.join(offered_names())}"]


def _last_call(context: Context) -> list[str]:
    return list(context.facts.last_call()) or ["no call yet"]


def _line(context: Context) -> list[str]:
    calls = context.calls
    state = {True: "off-hook", False: "ringing" if calls.ringer.n_rings else "on-hook"}[calls.off_hook]
    takes = "takes calls" if calls.accepts_calls else "takes no call now"
    return [*context.facts.line(), f"{state}, {takes}, +FCLASS={context.settings.fax_class}"]


def _counters(context: Context) -> list[str]:
    calls, fax = context.calls.counters, context.class1.counters
    return [
        f"calls: {calls.calls_out} out, {calls.calls_in} in, {calls.calls_answered} answered, "
        f"{calls.calls_failed} failed",
        f"frames: {fax.frames_sent} sent, {fax.frames_received} received, {fax.frames_bad} bad",
        f"wrong carriers: {fax.wrong_carriers}, host too slow: {fax.inactivity_timeouts}",
    ]


def _rules(context: Context) -> list[str]:
    rules = context.calls.rules
    said = [f"serial number {context.identity.serial_number}"]
    said.append(f"busy for {rules.busy_after_call_s:g} s after a call")
    if rules.international_prefix:
        said.append(f"+ is dialled as {rules.international_prefix}")
    said += [f"RING {kind} for {called}" for called, kind in sorted(rules.ring_types.items())]
    return said


def _quality(context: Context) -> list[str]:
    return list(context.facts.quality()) or ["no call yet"]


_INFORMATION: Final[dict[int, Callable[[Context], list[str]]]] = {
    0: lambda context: [context.identity.model],
    1: lambda context: [context.identity.revision],
    2: _memory,
    3: lambda context: [context.identity.manufacturer],
    4: _abilities,
    5: lambda context: [
        line
        for number in range(N_PROFILES)
        for line in _profile(f"STORED PROFILE {number}:", context, number)
    ],
    6: _last_call,
    7: _line,
    8: _counters,
    9: _rules,
    10: lambda context: [context.identity.object_identifier or "no object identifier"],
    11: _quality,
}


def _information(context: Context, command: Command) -> Result:
    value = number(command, HIGHEST_INFORMATION)
    return Result.ERROR if value is None else _say_all(context, _INFORMATION[value](context))


# ---------------------------------------------------------------------- &V


def _shown(settings: Settings) -> list[str]:
    """The settings of a profile in lines that can be typed again."""
    basic = " ".join(f"{name}{value}" for name, value in settings.basic.items())
    basic += " P" if settings.pulse else " T"
    changed = [f"{name}={value}" for name, value in sorted(settings.parameters.items())]
    fax = [f"+FCLASS={settings.fax_class}"]
    fax += [f"{name}={settings.parameter(name)}" for name in _SHOWN if name not in settings.parameters]
    if settings.calling_name or settings.calling_number:
        changed.append(f'+VSID="{sanitise(settings.calling_name)}","{settings.calling_number}"')
    registers = [f"S{number:02}:{value:03}" for number, value in settings.registers.in_use()]
    return [basic, *_folded(fax + changed), *_folded(registers)]


_SHOWN: Final = ("+FAR", "+FCL", "+FDD", "+FIT", "+VCID")
"""Parameters worth a look even at their factory value."""


def _folded(words: list[str]) -> list[str]:
    lines, line = [], ""
    for word in words:
        if line and len(line) + 1 + len(word) > _WIDTH:
            lines.append(line)
            line = ""
        line += (" " if line else "") + word
    return [*lines, line] if line else lines


def _profile(title: str, context: Context, place: int) -> list[str]:
    if context.profiles.stored[place] is None:
        return [title + " factory settings"]
    return [title, *_shown(context.profiles.load(place))]


def _view(context: Context, command: Command) -> Result:
    """&V: the settings in force, the stored profiles and numbers; &V1: the S registers with their meaning."""
    value = number(command, 1)
    if value is None:
        return Result.ERROR
    if value == 1:
        return _say_all(context, _register_lines(context.settings.registers))
    profiles = context.profiles
    lines = ["ACTIVE PROFILE:", *_shown(context.settings)]
    for place in range(N_PROFILES):
        at_start = " (at the start)" if place == profiles.at_start else ""
        lines += _profile(f"STORED PROFILE {place}{at_start}:", context, place)
    numbers = [f"{place}={number}" for place, number in sorted(profiles.numbers.items())]
    return _say_all(context, [*lines, "TELEPHONE NUMBERS:", *(numbers or ["none"])])


def _register_lines(registers: Registers) -> list[str]:
    return [
        f"S{number:02}={registers[number]:03} ({register.low}-{register.high}) {register.meaning}"
        for number, register in REGISTERS.items()
    ]


# ---------------------------------------------------------------------- listings and help


def list_parameters(context: Context, prefix: str, form: Form) -> Result | None:
    """`+V?` and `+V=?`: every value under a prefix of one letter; None when there is no such prefix."""
    names = [name for name in PARAMETERS if name.startswith(prefix)]
    if len(prefix) != 2 or not names or form not in (Form.READ, Form.TEST):
        return None
    lines = []
    for name in names:
        parameter = PARAMETERS[name]
        value = parameter.test if form is Form.TEST else context.settings.parameter(name)
        lines.append(f"{name}: {value}".ljust(24) + f" {parameter.meaning}")
    return _say_all(context, lines)


HELP: Final = (
    "A answer  D dial  H0 hang up  H1 take the line  O return on line  A/ repeat",
    "E0 E1 echo  Q0 Q1 results  V0 V1 numbers or words  X0-X4 call progress",
    "Z0 Z1 reset  &F factory  &W0 &W1 store  &Y0 &Y1 at the start  &V view",
    "&C0 &C1 carrier detect  &D0-&D3 DTR  &Z0=number store a number",
    "I0-I11 information: I6 last call, I7 line, I8 counters, I11 line quality",
    "Sn=v Sn? registers: &V1 lists them",
    "+FCLASS=1 fax: +FTS +FRS +FTH +FRH +FTM +FRM",
    "+FAR +FCL +FDD +FIT +FLO +FPR fax parameters: +F? and +F=? list them",
    '+VCID=1 caller ID  +VRID once more  +VSID="name","number" ours',
)
"""Of `AT$`; short lines, by what a person may want."""


def _help(context: Context, _command: Command) -> Result:
    return _say_all(context, HELP)


INFORMATION: Final[dict[str, Handler]] = {"I": _information, "&V": _view, "$": _help}
