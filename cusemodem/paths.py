"""Where things are kept: systemd's directories when it gives some, the usual ones otherwise."""

from __future__ import annotations

import os
from pathlib import Path


def state_directory() -> Path:
    """For recordings and history: STATE_DIRECTORY, /var/lib/cusemodem, or below a plain user's home."""
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/lib/cusemodem")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "cusemodem"


def keeper_path(control: Path) -> Path:
    """Where the keeper of the devices listens, of a service with its control socket at `control`."""
    return control.with_name("keeper")


def runtime_directory() -> Path:
    """For sockets: RUNTIME_DIRECTORY, /run/cusemodem-service, or a plain user's own."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    if os.geteuid() == 0:
        return Path("/run/cusemodem-service")
    own = os.environ.get("XDG_RUNTIME_DIR")
    return Path(own) / "cusemodem" if own else state_directory()
