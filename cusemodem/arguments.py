"""What the sub-commands' command lines have in common: errors in one line, help that keeps its lines."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeAlias

from cusemodem.config import DEFAULT_DIRECTORY

USAGE_ERROR = 2

Command: TypeAlias = Callable[[argparse.Namespace], int]
"""A sub-command: options in, exit status out."""


class Parser(argparse.ArgumentParser):
    """argparse with its errors in one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where the help is; exit status 2."""
        self.exit(USAGE_ERROR, f"{self.prog}: {message}; see {self.prog} --help\n")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def add_command(
    commands: Commands, name: str, command: Command, summary: str, description: str = ""
) -> Parser:
    """A new sub-command; `description` follows the summary in its help as it stands."""
    text = f"{summary[0].upper()}{summary[1:]}."
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{text}\n\n{description}" if description else text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command=command)
    return parser


def absolute_path(text: str) -> Path:
    """A path as an option gives it, from the directory of this moment on: the service leaves it."""
    return Path(text).absolute()


def add_config(parser: argparse.ArgumentParser) -> None:
    """The option --config, before or after the command."""
    parser.add_argument(
        "--config",
        metavar="DIR",
        type=absolute_path,
        default=argparse.SUPPRESS,  # it may stand before the command as well
        help=f"directory of the modems' files (default {DEFAULT_DIRECTORY})",
    )
