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
