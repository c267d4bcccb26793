"""`cusemodem report`: the calls of the past."""

from __future__ import annotations

import argparse
import json
import sys
import time

from cusemodem.arguments import Commands, absolute_path, add_command, add_config
from cusemodem.config_service import load_settings
from cusemodem.history import History, HistoryError

_UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0}


def add(commands: Commands) -> None:
    """The sub-command `report`."""
    parser = add_command(
        commands,
        "report",
        _report,
        "what the last calls did, one sentence each",
        """\
Every call leaves a report: who, how long, rates, trainings, frames, loss,
levels, clock offset, cause.

  cusemodem report                     the last ten calls
  cusemodem report ttyIAX0 -n 1 --json everything about the last call
  cusemodem report --since 24h -n 1000 | grep -v 'cause 16'""",
    )
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="only this modem's calls")
    parser.add_argument("-n", metavar="N", type=_count, default=10, help="how many (default %(default)s)")
    parser.add_argument("--since", metavar="AGE", type=_age, help="only calls younger than 90m, 24h or 7d")
    parser.add_argument("--json", action="store_true", help="each call as one JSON object a line")
    parser.add_argument(
        "--state", metavar="DIR", type=absolute_path, help="where the service keeps its state"
    )
    add_config(parser)


def _report(options: argparse.Namespace) -> int:
    since = 0.0 if options.since is None else time.time() - options.since
    history = History(options.state or load_settings(options.config).state_directory)
    try:
        calls = history.last(options.n, line=options.name, since=since)
    except HistoryError as error:
        print(f"cusemodem report: {error}", file=sys.stderr)
        return 1
    for call in calls:
        if options.json:
            print(json.dumps(call))
        else:
            print(f"{call['started'][:19].replace('T', ' ')} {call['line']}: {call['summary']}")
    return 0


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000000")
    return int(text)


def _age(text: str) -> float:
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or len(number) > 6 or unit not in _UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age such as 90m, 24h or 7d")
    return int(number) * _UNITS[unit]
