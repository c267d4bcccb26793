"""What a command's handler may touch, and the small helpers that all handlers share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cusemodem.at.call_control import CallControl
from cusemodem.at.class1 import Class1
from cusemodem.at.grammar import Command, Form
from cusemodem.at.identity import Identity
from cusemodem.at.line_facts import LineFacts
from cusemodem.at.outbox import Outbox
from cusemodem.at.profiles import Profiles
from cusemodem.at.results import Result
from cusemodem.at.settings import Settings


@dataclass(slots=True)
class Context:
    """The engine's rooms, as the commands see them."""

    settings: Settings
    profiles: Profiles
    identity: Identity
    facts: LineFacts
    out: Outbox
    calls: CallControl
    class1: Class1


Handler = Callable[[Context, Command], Result | None]


def number(command: Command, highest: int, *, default: int = 0) -> int | None:
    """The digits of a basic command as a number 0…`highest`; None when it is out of range."""
    if not command.argument:
        return default
    if len(command.argument) > 9 or not command.argument.isdecimal():
        return None
    value = int(command.argument)
    return value if value <= highest else None


def range_number(argument: str, low: int, high: int) -> int | None:
    """A decimal number in `low`…`high`, or None."""
    if not argument.isdecimal() or len(argument) > 9 or not low <= int(argument) <= high:
        return None
    return int(argument)


def say(context: Context, text: str) -> Result:
    """An information text line, then go on."""
    context.out.text(text)
    return Result.OK


def informing(text: Callable[[Context], str]) -> Handler:
    """A handler for `+XXX` and `+XXX?` that answers a text; `+XXX=?` shows that the command exists."""

    def handler(context: Context, command: Command) -> Result | None:
        if command.form in (Form.ACTION, Form.READ):
            return say(context, text(context))
        return Result.OK if command.form is Form.TEST else Result.ERROR

    return handler
