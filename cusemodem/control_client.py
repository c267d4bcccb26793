"""Asking the running service: the client's end of the control socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TIMEOUT_S = 5.0


class NoServiceError(Exception):
    """Nobody answers; one sentence with the remedy."""


def get_status(control: Path) -> dict[str, Any]:
    """The service's status. Raises NoServiceError."""
    return next(_answers(control, {"get": "status"}, TIMEOUT_S))


def watch_status(control: Path) -> Iterator[dict[str, Any]]:
    """The status now and whenever it changes. Raises NoServiceError, also when the service ends."""
    return _answers(control, {"watch": "status"}, None)


def _answers(control: Path, request: dict[str, str], timeout_s: float | None) -> Iterator[dict[str, Any]]:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT_S)
            connection.connect(str(control))
            connection.sendall(json.dumps(request).encode() + b"\n")
            connection.settimeout(timeout_s)
            with connection.makefile(encoding="utf-8") as answers:
                for line in answers:
                    yield json.loads(line)
    except PermissionError as error:
        raise NoServiceError(
            f"no permission for {control}; run as root, or as a member of the group `control_group`"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NoServiceError(f"no service answers at {control} ({reason}); is it running?") from error
    raise NoServiceError(f"the service at {control} has ended")
