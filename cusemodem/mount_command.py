"""`cusemodem mount`: the status of the service as files."""

from __future__ import annotations

import argparse
import sys

from cusemodem.arguments import Commands, absolute_path, add_command, add_config
from cusemodem.config_service import load_settings


def add(commands: Commands) -> None:
    """The sub-command `mount`."""
    parser = add_command(
        commands,
        "mount",
        _mount,
        "show the running service as a read-only file system",
        """\
  lines/ttyIAX0/status            one line of text
  lines/ttyIAX0/call.json         the call under way
  lines/ttyIAX0/last-call.json    the last call's report
  lines/ttyIAX0/rx.wav, tx.wav    the last recording, also while it grows
  service/status, status.json     all of it
  service/metrics                 for Prometheus' text-file collector

Runs until SIGTERM, SIGINT or `fusermount3 -u DIR`; the modems do not need it.

  cusemodem mount /run/cusemodem &
  watch cat /run/cusemodem/lines/*/status""",
    )
    parser.add_argument("directory", metavar="DIR", type=absolute_path, help="an empty directory")
    parser.add_argument(
        "--control", metavar="PATH", type=absolute_path, help="the control socket (default: as configured)"
    )
    parser.add_argument("--allow-other", action="store_true", help="let other users read it too")
    add_config(parser)


def _mount(options: argparse.Namespace) -> int:
    settings = load_settings(options.config)
    try:
        from cusemodem.mount import serve  # noqa: PLC0415 - the modem runs without pyfuse3
    except ImportError as error:
        print(f"cusemodem mount: {error}; install pyfuse3, which needs libfuse3", file=sys.stderr)
        return 1
    if not options.directory.is_dir():
        print(f"cusemodem mount: {options.directory}: no such directory; make it first", file=sys.stderr)
        return 1
    more = ["allow_other"] if options.allow_other else []
    try:
        serve(
            options.directory,
            options.control or settings.control,
            settings.state_directory / "recordings",
            more,
        )
    except RuntimeError as error:
        print(f"cusemodem mount: cannot mount {options.directory}: {error}", file=sys.stderr)
        return 1
    return 0
