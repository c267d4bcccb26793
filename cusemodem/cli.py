"""The command line: `cusemodem NAME` runs a modem, `cusemodem COMMAND …` does one of the other things.

Exit status: 0 good, 1 the thing failed, 2 wrong usage. Results go to stdout, errors to stderr, one a line.
What a command needs is imported when it runs, so that `--help` and `check` answer at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path

from cusemodem import (
    channel_command,
    compile_command,
    config_command,
    exchange_command,
    import_command,
    mount_command,
    replay_command,
    report_command,
    service_command,
    signal_command,
    status_command,
)
from cusemodem.arguments import USAGE_ERROR, Command, Parser, add_command, add_config
from cusemodem.config import (
    DEFAULT_DIRECTORY,
    MAIN_FILE,
    ConfigError,
    Problem,
    is_there,
    modem_files,
)
from cusemodem.config_service import check_file, load_directory, load_named, load_settings

GOOD, FAILED = 0, 1
CLOSED_PIPE = 141
"""What a shell calls the end of a program whose reader has gone (128 + SIGPIPE)."""

DESCRIPTION = """\
A fax modem in software: fax programs open /dev/ttyIAX0 as if a real modem were there, and the call
goes over IAX2 to a PBX such as Asterisk."""

EPILOG = f"""\
One modem, in the foreground:

  cusemodem NAME [--config DIR]     from the file DIR/NAME (default {DEFAULT_DIRECTORY}/NAME), in our form or
                                    IAXmodem's; says `ready: /dev/ttyIAX0 (cuse)` when programs may open it;
                                    SIGTERM hangs up, deregisters and ends it

Beginning: write {DEFAULT_DIRECTORY}/ttyIAX0

  [modem]
  server = 127.0.0.1
  peername = fax0
  secret = the password of peer fax0 in the PBX
  port = 4570

then `cusemodem check`, then `cusemodem ttyIAX0`. Each command explains itself: cusemodem COMMAND --help.
All keys: cusemodem(5)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser, commands = command_line()
    if _names_a_modem(arguments, commands):
        arguments = ["run", *arguments]
    try:
        options = parser.parse_args(arguments)
    except SystemExit as end:  # argparse has said what there is to say
        return end.code if isinstance(end.code, int) else USAGE_ERROR
    command: Command = options.command
    try:
        status = command(options)
        if sys.stdout is not None:  # closed with `>&-`
            sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the last flush is quiet
        return CLOSED_PIPE
    except ConfigError as error:
        for problem in error.problems:
            print(f"cusemodem: {problem}", file=sys.stderr)
        return FAILED
    return status


def _names_a_modem(arguments: Sequence[str], commands: Sequence[str]) -> bool:
    """Whether the first word, options aside, is no command and so the name of a modem."""
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument == "--config":
            skip = True
        elif not argument.startswith("-"):
            return argument not in commands
    return False


def command_line() -> tuple[Parser, list[str]]:
    """The parser, and the names of its commands."""
    parser = Parser(
        prog="cusemodem",
        usage="cusemodem NAME [--config DIR] [--pty] | COMMAND … | -F | -V",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command=service_command.run, config=DEFAULT_DIRECTORY)
    parser.add_argument(
        "-V",
        "--version",
        action="store_const",
        const=_versions,
        dest="command",
        help="versions of the modem and of what it stands on",
    )
    parser.add_argument(
        "-F",
        dest="foreground",
        action="store_true",
        help="serve every file, as without arguments, but stay in the foreground",
    )
    add_config(parser)
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", prog="cusemodem", parser_class=Parser
    )
    run = add_command(
        commands,
        "run",
        _run,
        "run the modem NAME: the same as `cusemodem NAME`",
        """\
In the foreground: information on stdout, errors on stderr; ^C (SIGTERM) hangs up,
deregisters and ends it. It says `ready: /dev/ttyIAX0 (cuse)` when programs may open
the device. `run` is needed only for a modem that has the name of a command.

  cusemodem ttyIAX0
  cusemodem run ttyIAX0 --config /tmp/trial --pty""",
    )
    run.add_argument("name", metavar="NAME", help="file name of the modem's configuration")
    add_config(run)
    run.add_argument(
        "--pty",
        action="store_true",
        help="make the device a pty, even if the kernel has CUSE (adapter = pty)",
    )
    check = add_command(
        commands,
        "check",
        _check,
        "say what is wrong with configuration files, and what to write",
        """\
Prints `ok` for each file, or for each mistake a line
`FILE:LINE: key: what is wrong; what to write`. Exit status 1: there are mistakes.
Without FILE it also finds what two modems may not have in common.

  cusemodem check
  cusemodem check /etc/iaxmodem/*      IAXmodem's files: do they work as they are?""",
    )
    check.add_argument("files", metavar="FILE", nargs="*", type=Path, help="default: every file of --config")
    add_config(check)
    for add in (
        compile_command.add,
        config_command.add,
        exchange_command.add,
        import_command.add,
        mount_command.add,
        replay_command.add,
        report_command.add,
        status_command.add,
        signal_command.add_tx,
        channel_command.add,
        signal_command.add_rx,
    ):
        add(commands)
    return parser, list(commands.choices)


def _run(options: argparse.Namespace) -> int:
    try:
        config = load_named(options.name, options.config)
    except ConfigError as error:
        near = difflib.get_close_matches(options.name, command_line()[1], 1)
        if not near or is_there(options.config / options.name):
            raise
        problem = error.problems[0]
        remedy = f"{problem.text}; or did you mean the command {near[0]}?"
        raise ConfigError([problem._replace(text=remedy)]) from None
    if options.pty:
        config = dataclasses.replace(config, adapter="pty")
    for sentence in config.without_effect():
        print(f"cusemodem: {config.name}: {sentence}", file=sys.stderr)
    from cusemodem.run import run_modem  # noqa: PLC0415 - brings numba and trio

    return run_modem(config, load_settings(options.config))


def _check(options: argparse.Namespace) -> int:
    problems: list[Problem] = []
    files = options.files
    if files:
        for file in files:
            problems += _problems_of(partial(check_file, file, options.config))
    else:
        main = options.config / MAIN_FILE
        files = [*([main] if is_there(main) else []), *modem_files(options.config)]
        problems = _problems_of(partial(load_directory, options.config))
    if not files:
        print(
            f"cusemodem: {options.config}: no configuration there; write one, see cusemodem(5)",
            file=sys.stderr,
        )
        return FAILED
    for file in files:
        ours = [problem for problem in problems if problem.path == file]
        for problem in ours:
            print(problem)
        if not ours:
            print("ok")
    return FAILED if problems else GOOD


def _problems_of(load: Callable[[], object]) -> list[Problem]:
    try:
        load()
    except ConfigError as error:
        return error.problems
    return []


def _versions(_options: argparse.Namespace) -> int:
    print(f"cusemodem {metadata.version('cusemodem')}")
    libraries = " ".join(f"{name} {metadata.version(name)}" for name in ("numba", "numpy", "trio"))
    print(f"Python {sys.version.split()[0]} {libraries}")
    return GOOD
