"""What the configuration says about the calls of one modem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class CallRules:
    """Rules that no AT command changes.

    `ring_types`: what stands behind RING for a called number (`1`: `RING 1`), for programs that tell calls
    apart by distinctive ring. `international_prefix`: what is dialled for a leading `+`.
    """

    busy_after_call_s: float = 5.0
    ring_types: Mapping[str, str] = field(default_factory=dict)
    international_prefix: str = ""


USUAL_RULES: Final = CallRules()
"""Without a word in the configuration."""
