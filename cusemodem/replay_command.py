"""`cusemodem replay`: a recorded call through the modem once more, at full speed."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from cusemodem.arguments import Commands, add_command


def add(commands: Commands) -> None:
    """The sub-command `replay`."""
    parser = add_command(
        commands,
        "replay",
        _replay,
        "run a recorded call through the modem again and name the first difference",
        """\
A line with `record` keeps each answered call in STATE/recordings/NAME/TIME: the
audio of both directions and a journal of all else that the modem was told.
The same input goes through this version's modem, as fast as it can; what it
sends and says is held against the recording, sample for sample and byte for
byte. Exit status 0: the same; 1: a difference.

  cusemodem replay /var/lib/cusemodem/recordings/ttyIAX0/20261124T101502.123""",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="the recording's directory, or a file in it")


def _replay(options: argparse.Namespace) -> int:
    from cusemodem.replay import ReplayError, replay_call  # noqa: PLC0415 - brings numba

    path: Path = options.file.resolve()
    directory = path if path.is_dir() else path.parent
    started = time.monotonic()
    try:
        outcome = replay_call(directory)
    except ReplayError as error:
        print(f"cusemodem replay: {error}", file=sys.stderr)
        return 1
    took_s = time.monotonic() - started
    if outcome.difference is not None:
        print(f"first difference: {outcome.difference}")
        return 1
    print(
        f"the same: {outcome.duration_s:.2f} s of audio, {outcome.n_modem_bytes} bytes to and "
        f"{outcome.n_host_bytes} from the host program, in {took_s:.2f} s"
    )
    return 0
