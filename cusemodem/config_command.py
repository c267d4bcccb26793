"""`cusemodem config`: what other programs must be told of our modems."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from cusemodem.arguments import Commands, add_command, add_config
from cusemodem.config import ModemConfig
from cusemodem.config_service import load_directory
from cusemodem.fax_program_snippets import hylafax_config, mgetty_config
from cusemodem.snippets import SnippetError, asterisk_dialplan, asterisk_peers


def add(commands: Commands) -> None:
    """The sub-command `config`."""
    parser = add_command(
        commands,
        "config",
        _config,
        "print what Asterisk, HylaFAX or mgetty must be told of the modems",
        """\
Everything is made from the modems' own files: numbers, names, secrets.

  asterisk   sections for iax.conf, one a modem; with --number the dial plan for
             extensions.conf instead
  hylafax    the file config.NAME of a modem; with --into one for each modem
  mgetty     sections for mgetty.config, one a modem

  cusemodem config asterisk > /etc/asterisk/iax-fax.conf     # and #include it
  cusemodem config asterisk --number 5550100 ttyIAX0 ttyIAX1
  cusemodem config hylafax ttyIAX0 > /etc/hylafax/config.ttyIAX0
  cusemodem config hylafax --into /etc/hylafax
  cusemodem config mgetty >> /etc/mgetty/mgetty.config""",
    )
    parser.add_argument("program", choices=["asterisk", "hylafax", "mgetty"], help="who is to be told")
    parser.add_argument("names", metavar="NAME", nargs="*", help="only these modems")
    parser.add_argument(
        "--number", metavar="N", type=_number, help="asterisk: print the dial plan for calls to N instead"
    )
    parser.add_argument(
        "--into",
        metavar="DIR",
        type=Path,
        help="hylafax: write DIR/config.NAME for each modem; a file that is there already is left alone",
    )
    add_config(parser)


def _config(options: argparse.Namespace) -> int:
    modems = [modem.config for modem in load_directory(options.config).modems]
    unknown = set(options.names) - {modem.name for modem in modems}
    wanted = [modem for modem in modems if not options.names or modem.name in options.names]
    try:
        if unknown:
            raise SnippetError(f"there is no modem {', '.join(sorted(unknown))} in {options.config}")
        if not wanted:
            raise SnippetError(f"{options.config} has no modem yet; write one, see cusemodem(5)")
        if options.into is not None and options.program != "hylafax":
            raise SnippetError(f"--into is for hylafax; for {options.program} send the output to a file")
        if options.number and options.program != "asterisk":
            raise SnippetError("--number is for asterisk")
        if options.into is not None:
            return _write_each(wanted, options.into)
        text = _text(options.program, wanted, options.number)
    except SnippetError as error:
        print(f"cusemodem config: {error}", file=sys.stderr)
        return 1
    print(text, end="")
    return 0


def _text(program: str, modems: Sequence[ModemConfig], number: str | None) -> str:
    if program == "asterisk":
        return asterisk_dialplan(modems, number) if number else asterisk_peers(modems)
    if program == "mgetty":
        return mgetty_config(modems)
    if len(modems) != 1:
        names = ", ".join(modem.name for modem in modems)
        raise SnippetError(f"HylaFAX wants a file for each modem; name one of {names}, or use --into DIR")
    return hylafax_config(modems[0])


def _write_each(modems: Sequence[ModemConfig], directory: Path) -> int:
    """A file for each modem; 1 if any could not be written."""
    status = 0
    for modem in modems:
        path = directory / f"config.{modem.device_name}"
        text = hylafax_config(modem)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            said = f"{path} is there already and was left alone; move it away to have a new one"
            print(f"cusemodem config: {said}", file=sys.stderr)
            status = 1
        except OSError as error:
            said = f"cannot write {path}: {error.strerror}; run as root, or write another --into DIR"
            print(f"cusemodem config: {said}", file=sys.stderr)
            status = 1
        else:
            print(path)
    return status


def _number(text: str) -> str:
    if not re.fullmatch(r"_?[0-9A-Za-z*#.!+-]{1,40}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no extension of Asterisk")
    return text
