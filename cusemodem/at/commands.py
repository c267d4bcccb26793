"""The table of all commands, and how one is looked up and executed.

The tables themselves stand where their subject is: `commands_basic.py`, `commands_information.py`,
`commands_generic.py`, `commands_fax.py`. What is in none of them is unknown and gets ERROR (V.250 §5.4.1),
for programs use that to find out what a modem can do.
"""

from __future__ import annotations

from typing import Final

from cusemodem.at.command_context import Context, Handler
from cusemodem.at.commands_basic import BASIC, execute_register
from cusemodem.at.commands_fax import FAX
from cusemodem.at.commands_generic import GENERIC
from cusemodem.at.commands_information import INFORMATION, list_parameters
from cusemodem.at.grammar import Command, Form
from cusemodem.at.results import Result

COMMANDS: Final[dict[str, Handler]] = {**BASIC, **INFORMATION, **GENERIC, **FAX}

CHAINABLE: Final = frozenset(("+FTS", "+FRS", "D"))
"""Commands that end in command state again: what stands after them in the line is executed then.

mgetty relies on `AT+FTS=8;+FTH=3`; D comes back only with `;` (V.250 §6.3.1)."""


def execute(context: Context, command: Command) -> Result | None:
    """Carry out one command: OK to go on with the line, another result to end it, None to wait."""
    if command.form is Form.MALFORMED:
        return Result.ERROR
    if command.name[0] == "S" and len(command.name) > 1:
        return execute_register(context, command)
    handler = COMMANDS.get(command.name)
    if handler is None:
        return list_parameters(context, command.name, command.form) or Result.ERROR
    return handler(context, command)
