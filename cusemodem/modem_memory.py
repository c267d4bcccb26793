"""What a modem leaves its successor beside the port: its settings, and whether it was in a call.

Kept as text with the port (`Port.notes`). A program that set its modem up finds it so when the modem's
process was replaced; one that had a call hears that it is over.
"""

from __future__ import annotations

import json

from cusemodem.at.engine import Engine
from cusemodem.at.results import Result, format_result
from cusemodem.settings_values import settings_of, values_of


def notes_of(engine: Engine) -> str:
    """For the successor."""
    return json.dumps({"settings": values_of(engine.settings), "off_hook": engine.off_hook})


def take_over(engine: Engine, notes: str) -> bytes:
    """Stand as the predecessor stood; what is to be said to the host. Notes that are none change nothing."""
    try:
        found = json.loads(notes)
        settings, was_off_hook = settings_of(found["settings"]), bool(found["off_hook"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return b""
    engine.settings.load(settings)
    if not was_off_hook or settings.quiet:
        return b""
    s3, s4 = settings.registers[3], settings.registers[4]
    return format_result(Result.NO_CARRIER, verbose=settings.verbose, s3=s3, s4=s4)
