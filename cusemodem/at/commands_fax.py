"""Fax commands: the class, its identification, and the six actions of T.31 class 1 (§8.2, §8.3)."""

from __future__ import annotations

from typing import Final

from cusemodem.at.command_context import Context, Handler, informing, range_number, say
from cusemodem.at.grammar import Command, Form
from cusemodem.at.modulations import MODULATIONS, V21, offered_codes
from cusemodem.at.results import Result

FAX_CLASSES: Final = ("0", "1", "1.0")
"""What +FCLASS=? lists. efax takes the first of 2.0, 2 and 1 it finds: offer no class before it works."""

_MAX_SILENCE: Final = 255
"""Of +FTS and +FRS, in 10 ms."""


def _fax_class(context: Context, command: Command) -> Result:
    if command.form is Form.TEST:
        return say(context, ",".join(FAX_CLASSES))
    if command.form is Form.READ:
        return say(context, context.settings.fax_class)
    if command.form is not Form.SET or command.argument not in FAX_CLASSES:
        return Result.ERROR
    context.settings.fax_class = command.argument
    return Result.OK


def _is_ready(context: Context) -> bool:
    """The six actions need fax class 1 and a call; on-hook they get ERROR (HylaFAX: the call is gone)."""
    return context.settings.is_fax_class_1 and context.calls.is_up


def _silence(command: Command) -> int | None:
    return range_number(command.argument, 0, _MAX_SILENCE) if command.form is Form.SET else None


def _modulation(command: Command) -> int | None:
    code = range_number(command.argument, 0, 999) if command.form is Form.SET else None
    return code if code is not None and code in MODULATIONS and MODULATIONS[code].offered else None


def _send_silence(context: Context, command: Command) -> Result | None:
    if command.form is Form.TEST:
        return say(context, f"0-{_MAX_SILENCE}")
    n_units = _silence(command)
    if n_units is None or not _is_ready(context):
        return Result.ERROR
    return context.class1.send_silence(n_units)


def _await_silence(context: Context, command: Command) -> Result | None:
    if command.form is Form.TEST:
        return say(context, f"0-{_MAX_SILENCE}")
    n_units = _silence(command)
    if n_units is None or not _is_ready(context):
        return Result.ERROR
    return context.class1.await_silence(n_units)


def _send_hdlc(context: Context, command: Command) -> Result | None:
    if command.form is Form.TEST:
        return say(context, str(V21))
    if command.form is not Form.SET or command.argument != str(V21) or not _is_ready(context):
        return Result.ERROR
    return context.class1.send_hdlc()


def _receive_hdlc(context: Context, command: Command) -> Result | None:
    """+FRH: frames that came before the far end hung up are still delivered."""
    if command.form is Form.TEST:
        return say(context, str(V21))
    if command.form is not Form.SET or command.argument != str(V21):
        return Result.ERROR
    if not (_is_ready(context) or (context.settings.is_fax_class_1 and context.class1.has_frames)):
        return Result.ERROR
    return context.class1.receive_hdlc()


def _send_fast(context: Context, command: Command) -> Result | None:
    if command.form is Form.TEST:
        return say(context, ",".join(map(str, offered_codes())))
    code = _modulation(command)
    if code is None or not _is_ready(context):
        return Result.ERROR
    return context.class1.send_fast(code)


def _receive_fast(context: Context, command: Command) -> Result | None:
    if command.form is Form.TEST:
        return say(context, ",".join(map(str, offered_codes())))
    code = _modulation(command)
    if code is None or not _is_ready(context):
        return Result.ERROR
    return context.class1.receive_fast(code)


FAX: Final[dict[str, Handler]] = {
    "+FCLASS": _fax_class,
    "+FTS": _send_silence,
    "+FRS": _await_silence,
    "+FTH": _send_hdlc,
    "+FRH": _receive_hdlc,
    "+FTM": _send_fast,
    "+FRM": _receive_fast,
    # T.31 §8.1 and, for programs that ask before they know the class, T.32's and class 2's names
    "+FMI": informing(lambda context: context.identity.manufacturer),
    "+FMM": informing(lambda context: context.identity.model),
    "+FMR": informing(lambda context: context.identity.revision),
    "+FMFR": informing(lambda context: context.identity.manufacturer),
    "+FMDL": informing(lambda context: context.identity.model),
    "+FREV": informing(lambda context: context.identity.revision),
}
