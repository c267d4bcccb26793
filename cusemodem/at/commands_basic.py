"""Basic commands: one letter (or & and a letter) and a number (V.250 §6.2, §6.3), and the S registers."""

from __future__ import annotations

from typing import Final

from cusemodem.at.call_states import (
    AnswerCommand,
    DialCommand,
    HangUpCommand,
    OffHookCommand,
    OriginateCommand,
    ReleaseCommand,
)
from cusemodem.at.command_context import Context, Handler, number, range_number, say
from cusemodem.at.dial_string import parse_dial_string
from cusemodem.at.grammar import Command, Form
from cusemodem.at.parameters import TOLERATED_BASIC
from cusemodem.at.profiles import N_NUMBERS, N_PROFILES
from cusemodem.at.registers import describe
from cusemodem.at.results import Result
from cusemodem.at.settings import HIGHEST_BASIC, Settings

HANG_UP: Final = HangUpCommand()
RELEASE: Final = ReleaseCommand()

_HIGHEST_PROFILE: Final = 9


def _switch(context: Context, command: Command) -> Result:
    value = number(command, HIGHEST_BASIC[command.name])
    if value is None:
        return Result.ERROR
    context.settings.basic[command.name] = value
    return Result.OK


def _tolerate(_context: Context, _command: Command) -> Result:
    return Result.OK


def _answer(context: Context, command: Command) -> Result | None:
    """A: the ringing call, or on a call the answering role; class 0 has no data mode to answer in."""
    if number(command, 0) is None or not context.settings.is_fax_class_1:
        return Result.ERROR
    return context.calls.command(AnswerCommand())


def _dial(context: Context, command: Command) -> Result | None:
    """D: a fax call in class 1; in class 0 only calls that stay in command state (`;`)."""
    calls = context.calls
    dial = parse_dial_string(command.argument, context.profiles.numbers, calls.last_dialled)
    if dial is None:
        return Result.ERROR
    if not dial.number:
        if dial.stay_in_command or not context.settings.is_fax_class_1:
            return Result.ERROR
        return calls.command(OriginateCommand(dial.silent))
    if not (dial.stay_in_command or context.settings.is_fax_class_1):
        return Result.ERROR
    result = calls.command(DialCommand(dial))
    if result is None:
        calls.last_dialled = dial.again
    return result


def _hook(context: Context, command: Command) -> Result | None:
    value = number(command, 1)
    if value is None:
        return Result.ERROR
    return context.calls.command(OffHookCommand() if value else HangUpCommand())


def _return_on_line(context: Context, command: Command) -> Result:
    """O: there is no data carrier to return to (V.250 §6.3.7: NO CARRIER); without a call, ERROR."""
    if number(command, 0) is None or not context.calls.is_up:
        return Result.ERROR
    return Result.NO_CARRIER


def _pulse(context: Context, _command: Command) -> Result:
    context.settings.pulse = True
    return Result.OK


def _tone(context: Context, _command: Command) -> Result:
    context.settings.pulse = False
    return Result.OK


def reset(context: Context, settings: Settings) -> Result:
    """Hang up and take `settings`: Z, &F and DTR with &D3. A call that rings goes on ringing.

    A program that begins while it rings says Z first, and then wants to answer.
    """
    context.calls.command(RELEASE)
    context.settings.load(settings)
    return Result.OK


def _reset(context: Context, command: Command) -> Result:
    """Z0, Z1; higher numbers, which other modems have, are the profile of the start, and always sane."""
    place = number(command, _HIGHEST_PROFILE, default=context.profiles.at_start)
    if place is None:
        return Result.ERROR
    if place >= N_PROFILES:
        place = context.profiles.at_start
    return reset(context, context.profiles.load(place))


def _factory(context: Context, command: Command) -> Result:
    if number(command, _HIGHEST_PROFILE) is None:
        return Result.ERROR
    return reset(context, Settings())


def _write_profile(context: Context, command: Command) -> Result:
    """&W: what Z brings back from now on, also after a restart; ERROR when it cannot be stored."""
    place = number(command, N_PROFILES - 1)
    kept = place is not None and context.profiles.write(place, context.settings)
    return Result.OK if kept else Result.ERROR


def _choose_profile(context: Context, command: Command) -> Result:
    """&Y: which profile is in force when the modem starts."""
    place = number(command, N_PROFILES - 1)
    kept = place is not None and context.profiles.choose(place)
    return Result.OK if kept else Result.ERROR


def _store_number(context: Context, command: Command) -> Result:
    """&Zn=number, for D S=n; without a number the place is empty again."""
    if command.form is not Form.SET:
        return Result.ERROR
    index, _, text = command.argument.partition("=")
    place = range_number(index, 0, N_NUMBERS - 1)
    if place is None or parse_dial_string(text, {}, "") is None:
        return Result.ERROR
    return Result.OK if context.profiles.remember(place, text) else Result.ERROR


def execute_register(context: Context, command: Command) -> Result:
    """S: `Sn=v`, `Sn?`, `Sn=?`, and single bits with `Sn.b`; an omitted value is 0."""
    registers = context.settings.registers
    digits, dot, bit_digits = command.name[1:].partition(".")
    index = range_number(digits, 0, 255)
    bit = range_number(bit_digits, 0, 7) if dot else None
    described = None if index is None else describe(index)
    if index is None or described is None or (dot and bit is None):
        return Result.ERROR
    if command.form is Form.READ:
        value = registers[index] if bit is None else registers[index] >> bit & 1
        return say(context, f"{value:03}")
    if command.form is Form.TEST:
        return say(context, f"({described.low:03}-{described.high:03})")
    if command.form is Form.SET:
        new = range_number(command.argument or "0", 0, 255)
        if new is None:
            return Result.ERROR
        done = registers.set(index, new) if bit is None else registers.set_bit(index, bit, new)
        return Result.OK if done else Result.ERROR
    return Result.OK


BASIC: Final[dict[str, Handler]] = {
    **dict.fromkeys(HIGHEST_BASIC, _switch),
    **dict.fromkeys(TOLERATED_BASIC, _tolerate),
    "A": _answer,
    "D": _dial,
    "H": _hook,
    "O": _return_on_line,
    "P": _pulse,
    "T": _tone,
    "Z": _reset,
    "&F": _factory,
    "&W": _write_profile,
    "&Y": _choose_profile,
    "&Z": _store_number,
}
