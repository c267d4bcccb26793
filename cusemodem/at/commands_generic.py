"""Extended commands that are not about fax: identification, country, caller ID, and mere value holders."""

from __future__ import annotations

from typing import Final

from cusemodem.at.caller_id import MAX_LENGTH, sanitise
from cusemodem.at.command_context import Context, Handler, informing, say
from cusemodem.at.grammar import Command, Form, split_values
from cusemodem.at.parameters import PARAMETERS
from cusemodem.at.results import Result


def _parameter(context: Context, command: Command) -> Result:
    """A value holder of `parameters.py`."""
    parameter = PARAMETERS[command.name]
    label = "" if parameter.bare else f"{command.name}: "
    if command.form is Form.READ:
        return say(context, label + context.settings.parameter(command.name))
    if command.form is Form.TEST:
        return say(context, label + parameter.test)
    value = parameter.accepts(command.argument)
    if value is None or (command.form is Form.ACTION and parameter.ranges is not None):
        return Result.ERROR
    if command.form is Form.SET:
        context.settings.parameters[command.name] = value
    return Result.OK


def _other_caller_id(context: Context, command: Command) -> Result:
    """#CID and %CCID, older names of +VCID. The unformatted report (2) does not exist here."""
    if command.form is Form.TEST:
        return say(context, "(0,1)")
    if command.form is Form.READ:
        return say(context, context.settings.parameter("+VCID"))
    if command.form is not Form.SET or command.argument not in ("0", "1"):
        return Result.ERROR
    context.settings.parameters["+VCID"] = command.argument
    return Result.OK


def _switched_caller_id(context: Context, command: Command) -> Result:
    """#CC0 and #CC1, a still older name."""
    if command.form is not Form.ACTION:
        return Result.ERROR
    context.settings.parameters["+VCID"] = command.name[-1]
    return Result.OK


def _maker_s(context: Context, command: Command) -> Result:
    """*ID0 and *ID1, caller ID once more; other makers' `*` commands are passed over."""
    if command.argument in ("ID0", "ID1"):
        context.settings.parameters["+VCID"] = command.argument[-1]
    return Result.OK


def _repeat_caller_id(context: Context, command: Command) -> Result:
    """+VRID: the caller-ID lines once more (V.253 §8.2.4)."""
    if command.form is Form.TEST:
        return say(context, "(0,1)")
    if command.form is Form.READ or command.argument not in ("", "0", "1"):
        return Result.ERROR
    context.calls.ringer.show_caller()
    return Result.OK


def _outgoing_caller_id(context: Context, command: Command) -> Result:
    """+VSID: `"name","number"`, or the number alone; for the calls dialled from now on."""
    settings = context.settings
    if command.form is Form.TEST:
        return Result.OK
    if command.form is Form.READ:
        return say(context, f'"{settings.calling_name}","{settings.calling_number}"')
    values = split_values(command.argument)
    if command.form is not Form.SET or values is None or len(values) > 2:
        return Result.ERROR
    cleaned = [sanitise(value) for value in values]
    if cleaned != values or any(len(value) > MAX_LENGTH for value in values):
        return Result.ERROR
    settings.calling_name = cleaned[0] if len(cleaned) == 2 else ""
    settings.calling_number = cleaned[-1]
    return Result.OK


def _country(context: Context, command: Command) -> Result:
    """+GCI: T.35 country code, two hexadecimal digits; stored."""
    if command.form is Form.READ:
        return say(context, f"+GCI: {context.settings.country}")
    if command.form is Form.TEST:
        return say(context, "+GCI: (00-FF)")
    code = command.argument
    if command.form is not Form.SET or len(code) != 2 or not set(code) <= set("0123456789ABCDEF"):
        return Result.ERROR
    context.settings.country = code
    return Result.OK


GENERIC: Final[dict[str, Handler]] = {
    **dict.fromkeys(PARAMETERS, _parameter),
    "+GMI": informing(lambda context: context.identity.manufacturer),
    "+GMM": informing(lambda context: context.identity.model),
    "+GMR": informing(lambda context: context.identity.revision),
    "+GSN": informing(lambda context: context.identity.serial_number),
    "+GOI": informing(lambda context: context.identity.object_identifier),
    "+GCAP": informing(lambda _context: "+GCAP: +FCLASS,+VCID"),
    "+GCI": _country,
    "+VRID": _repeat_caller_id,
    "+VSID": _outgoing_caller_id,
    **dict.fromkeys(("#CID", "%CCID"), _other_caller_id),
    **dict.fromkeys(("#CC0", "#CC1"), _switched_caller_id),
    "*": _maker_s,
}
