"""What the line tells others of its IAX2 call: caller ID for the engine, counts for the report."""

from __future__ import annotations

import time

import iax
from cusemodem.at import events
from cusemodem.report import MediaCounts

SAMPLES_PER_MS = 8


def event_details(event: iax.Event) -> dict[str, object]:
    """What a recording must keep of an event of the call."""
    if isinstance(event, iax.CallEnded):
        return {"cause": event.cause, "text": event.text, "heard": event.call.heard}
    return {"digit": event.digit} if isinstance(event, iax.DtmfReceived) else {}


def caller_id(call: iax.Call, local_time: time.struct_time) -> events.CallerId:
    """Who calls, with the date and time of our own clock, as the original has it."""
    return events.CallerId(
        name=call.calling_name,
        number=call.calling_number,
        ani=call.ani,
        username=call.username,
        context=call.called_context,
        called_number=call.called_number,
        date=time.strftime("%m%d", local_time),
        time=time.strftime("%H%M", local_time),
    )


def media_counts(call: iax.Call) -> MediaCounts:
    """What became of the call's audio."""
    statistics = call.statistics()
    media = statistics.media
    return MediaCounts(
        received=media.frames_received,
        lost_ms=media.samples_lost / SAMPLES_PER_MS,
        held_ms=media.samples_held / SAMPLES_PER_MS,
        late=media.frames_late,
        duplicate=media.frames_duplicate,
        reordered=media.frames_reordered,
        jitter_ms=round(media.jitter_ms, 2),
        dropped_ms=media.samples_dropped / SAMPLES_PER_MS,
        inserted_ms=media.samples_inserted / SAMPLES_PER_MS,
        restarts=media.restarts,
        sent=statistics.frames_sent,
        rtt_ms=statistics.rtt_ms,
        resent=statistics.full_frames_resent,
        lost_at_peer=statistics.peer_loss_count,
    )
