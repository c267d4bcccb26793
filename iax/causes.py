"""Q.931 causes: why a call ended (RFC 5456 §8.6.33)."""

from __future__ import annotations

NORMAL = 16
BUSY = 17
NO_USER_RESPONDING = 18
NO_ANSWER = 19
SUBSCRIBER_ABSENT = 20
REJECTED = 21
DESTINATION_OUT_OF_ORDER = 27
FACILITY_REJECTED = 29
CONGESTION = 34
TEMPORARY_FAILURE = 41
SWITCH_CONGESTION = 42
NOT_SUBSCRIBED = 50
BEARER_NOT_AVAILABLE = 58
INVALID_CALL_REFERENCE = 81
UNALLOCATED = 1
NO_ROUTE = 3

TEXTS: dict[int, str] = {
    1: "unallocated number",
    2: "no route to transit network",
    3: "no route to destination",
    5: "misdialled trunk prefix",
    6: "channel unacceptable",
    7: "call awarded",
    8: "preemption",
    14: "ported number",
    16: "normal clearing",
    17: "user busy",
    18: "no user responding",
    19: "no answer",
    20: "subscriber absent",
    21: "call rejected",
    22: "number changed",
    23: "redirected to new destination",
    26: "answered elsewhere",
    27: "destination out of order",
    28: "invalid number format",
    29: "facility rejected",
    30: "response to status enquiry",
    31: "normal, unspecified",
    34: "no circuit available (congestion)",
    38: "network out of order",
    41: "temporary failure",
    42: "switch congestion",
    43: "access information discarded",
    44: "requested circuit unavailable",
    50: "facility not subscribed",
    52: "outgoing calls barred",
    54: "incoming calls barred",
    57: "bearer not authorised",
    58: "bearer not available",
    65: "bearer not implemented",
    66: "channel type not implemented",
    69: "facility not implemented",
    81: "invalid call reference",
    88: "incompatible destination",
    95: "invalid message",
    96: "mandatory information element missing",
    97: "message type non-existent",
    98: "wrong message",
    99: "information element non-existent",
    100: "invalid information element contents",
    101: "wrong call state",
    102: "recovery on timer expiry",
    103: "mandatory information element length error",
    111: "protocol error",
    127: "interworking",
}


def cause_text(cause: int | None) -> str:
    """Return words for CAUSE, for reports and logs."""
    if cause is None:
        return "no cause given"
    return TEXTS.get(cause, f"cause {cause}")
