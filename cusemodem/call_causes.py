"""From the cause of a failed call (Q.931, as IAX2 carries it) to the V.250 result that the fax program sees.

The issue is what the program does next. HylaFAX calls again after BUSY (soon), NO ANSWER and NO DIALTONE;
after NO CARRIER it gives a number up that it has never reached. Its user is told the result, so BUSY is for
a called number that is busy, NO DIALTONE for a network on our side that does not take the call. X may
hide a result from the host (`at/results.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

RESULTS = ("BUSY", "NO ANSWER", "NO CARRIER", "NO DIALTONE")

USUAL_CAUSES: Mapping[int, str] = {
    17: "BUSY",
    **dict.fromkeys((18, 19, 20), "NO ANSWER"),
    # no circuit or congestion (34, 42, 44), out of order (27, 38, 41), not allowed (50): not the number's
    **dict.fromkeys((27, 34, 38, 41, 42, 44, 50), "NO DIALTONE"),
}
"""Every other cause, also 1, 3 and 28 (no such number), is NO CARRIER."""

HIGHEST_CAUSE = 127


def result_of_cause(
    cause: int | None, *, server_answered: bool, causes: Mapping[int, str] = USUAL_CAUSES
) -> str:
    """The V.250 result for an outgoing call that ended before it was answered.

    `server_answered` is False when the PBX itself never replied: then there is no dial tone.
    """
    if cause is not None and cause in causes:
        return causes[cause]
    return "NO CARRIER" if server_answered else "NO DIALTONE"


def read_causes(text: str) -> dict[int, str]:
    """The usual causes changed as `text` says: `1:NO DIALTONE, 34:NO CARRIER`.

    Raises ValueError with what is wrong and what to write.
    """
    causes = dict(USUAL_CAUSES)
    for item in text.split(","):
        number, colon, result = item.partition(":")
        result = " ".join(result.upper().split())
        if not (colon and re.fullmatch(r"\s*[0-9]{1,3}\s*", number) and 1 <= int(number) <= HIGHEST_CAUSE):
            raise ValueError(f"{item.strip()!r} is no cause with a result; write for example 1:NO DIALTONE")
        if result not in RESULTS:
            raise ValueError(f"{result!r} is no result of a call; write one of {', '.join(RESULTS)}")
        causes[int(number)] = result
    return causes
