"""The AT command engine: V.250 lines and T.31 Class 1, pure.

`Engine` is the whole face; `events` go in, `actions` come out.
"""

from cusemodem.at import actions, events
from cusemodem.at.engine import Engine, EngineStatistics
from cusemodem.at.identity import CUSEMODEM, IAXMODEM, Identity

__all__ = ["CUSEMODEM", "IAXMODEM", "Engine", "EngineStatistics", "Identity", "actions", "events"]
