"""`cusemodem config`: what other programs must be told of our modems."""

from __future__ import annotations

import argparse
import re
import sys

from cusemodem.arguments import Commands, add_command, add_config
from cusemodem.config_service import load_directory
from cusemodem.snippets import SnippetError, asterisk_dialplan, asterisk_peers


def add(commands: Commands) -> None:
    """The sub-command `config`."""
    parser = add_command(
        commands,
        "config",
        _config,
        "print what Asterisk must be told of the configured modems",
        """\
`config asterisk` prints sections for iax.conf, one a modem, from the modems' own
files, secrets included; with --number also the dial plan for extensions.conf.

  cusemodem config asterisk > /etc/asterisk/iax-fax.conf     # and #include it
  cusemodem config asterisk --number 5550100 ttyIAX0 ttyIAX1""",
    )
    parser.add_argument("program", choices=["asterisk"], help="who is to be told")
    parser.add_argument("names", metavar="NAME", nargs="*", help="only these modems")
    parser.add_argument(
        "--number", metavar="N", type=_number, help="print the dial plan for calls to N instead"
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
        text = asterisk_peers(wanted)
        if options.number:
            text = asterisk_dialplan(wanted, options.number)
    except SnippetError as error:
        print(f"cusemodem config: {error}", file=sys.stderr)
        return 1
    print(text, end="")
    return 0


def _number(text: str) -> str:
    if not re.fullmatch(r"_?[0-9A-Za-z*#.!+-]{1,40}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no extension of Asterisk")
    return text
