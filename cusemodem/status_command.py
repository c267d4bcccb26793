"""`cusemodem status`: all lines of the running service, as a table, as JSON, or live."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cusemodem.arguments import Commands, absolute_path, add_command, add_config
from cusemodem.config_service import load_settings
from cusemodem.control_client import NoServiceError, get_status, watch_status

if TYPE_CHECKING:
    from rich.table import Table


def add(commands: Commands) -> None:
    """The sub-command `status`."""
    parser = add_command(
        commands,
        "status",
        _status,
        "how the modems of the running service stand",
        """\
A line for each modem: is its device there, is it registered, has a program the
port open, what does its call do. Exit status 1: no service answers, or a modem
is out of service.

  cusemodem status --watch          until interrupted
  cusemodem status --json | jq '.lines[] | select(.state != "ready")'""",
    )
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="everything, as one JSON object")
    parser.add_argument("--watch", action="store_true", help="go on, whenever something changes")
    parser.add_argument(
        "--control", metavar="PATH", type=absolute_path, help="the control socket (default: as configured)"
    )


def _status(options: argparse.Namespace) -> int:
    control = options.control or load_settings(options.config).control
    try:
        if options.watch:
            _watch(control, as_json=options.json)
        status = get_status(control)
    except NoServiceError as error:
        print(f"cusemodem status: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(status))
    else:
        _console().print(table(status))
    return 1 if any(line["state"] == "failed" for line in status["lines"]) else 0


def _console() -> Any:  # noqa: ANN401 - rich comes late
    from rich.console import Console  # noqa: PLC0415

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)


def _watch(control: Path, *, as_json: bool) -> None:
    """Show every change, until the service ends (NoServiceError) or the user interrupts."""
    if as_json:
        for status in watch_status(control):
            print(json.dumps(status), flush=True)
        return
    from rich.live import Live  # noqa: PLC0415

    with Live(console=_console(), auto_refresh=False) as live:
        for status in watch_status(control):
            live.update(table(status), refresh=True)


def table(status: dict[str, Any]) -> Table:
    """The status as people read it."""
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("modem", "device", "state", "registered", "port", "call"):
        shown.add_column(heading, overflow="fold")
    for line in status["lines"]:
        device = f"{line['device']} ({line['kind']})" if line.get("kind") else line["device"]
        registered = line.get("registered", "")
        port = "open" if line.get("open") else "closed"
        if (line.get("modem") or {}).get("hook") == "off" and not line.get("call"):
            port += ", off-hook"
        cells = (line["name"], device, _state(line), registered, port, call_text(line))
        shown.add_row(*map(Text, cells))  # Text: nothing in it is taken for markup
    return shown


def _state(line: dict[str, Any]) -> str:
    state = f"{line['state']}: {line['reason']}" if line.get("reason") else str(line["state"])
    return f"{state}, to be changed" if line.get("changing") else state


def call_text(line: dict[str, Any]) -> str:
    """`to 5550123, up 12 s, V.29 9600, -14.2 dBm0`, or what the last call was."""
    call = line.get("call")
    if call:
        direction = "to" if call["outgoing"] else "from"
        parts = [f"{direction} {call['number'] or 'an unknown number'}", call["state"]]
        if call["duration_s"]:
            parts[1] += f" {call['duration_s']:.0f} s"
            parts += [call["rate"]] if call["rate"] else []
            parts.append(f"{call['level_dbm0']:.1f} dBm0")
        return ", ".join(parts)
    last = line.get("last_call")
    if not last:
        return ""
    direction = "to" if last["outgoing"] else "from"
    how = f"{last['duration_s']:.0f} s" if last["duration_s"] else "not answered"
    return f"last: {direction} {last['number'] or 'an unknown number'}, {how}"
