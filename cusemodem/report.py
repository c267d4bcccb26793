"""The call report: what one call did, in one paragraph and as plain values.

The line notes facts here while the call runs; nothing is measured in this file. Times are in seconds of
audio (blocks of 20 ms), so a report reads the same from a live call and from one under a virtual clock.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from cusemodem.tick import BLOCK_S

MODULATION_NAMES = {
    3: "V.21 300",
    24: "V.27ter 2400",
    48: "V.27ter 4800",
    72: "V.29 7200",
    96: "V.29 9600",
    73: "V.17 7200",
    74: "V.17 7200 short",
    97: "V.17 9600",
    98: "V.17 9600 short",
    121: "V.17 12000",
    122: "V.17 12000 short",
    145: "V.17 14400",
    146: "V.17 14400 short",
}
"""T.31 modulation codes (T.31 table 3) by the names people use."""


@dataclass
class Burst:
    """One fast-modem burst: a training and the data after it."""

    code: int
    transmitted: bool
    start_s: float
    trained: bool | None = None
    """Received bursts: True when the training was recognised, False when it was not. Sent ones: None."""
    n_failed_trainings: int = 0
    n_bytes: int = 0
    level_dbm0: float | None = None
    snr_db: float | None = None
    evm: float | None = None
    """Error vector magnitude, as a share of the constellation's rms."""
    carrier_offset_hz: float | None = None
    clock_offset_ppm: float | None = None
    n_slips: int = 0
    """Times that the carrier went on at another instant, and was found again."""
    missing_ms: float = 0.0
    """Of its time between training and end: audio that never came, or came as silence."""


@dataclass
class MediaCounts:
    """What the jitter buffer did to this call's received audio, in voice frames and milliseconds."""

    received: int = 0
    lost_ms: float = 0.0
    held_ms: float = 0.0
    """Time the receivers waited for audio that was late; none of it is lost."""
    late: int = 0
    duplicate: int = 0
    reordered: int = 0
    jitter_ms: float = 0.0
    dropped_ms: float = 0.0
    """Audio thrown away, and silence put in, to keep the buffer's depth: slips, if a carrier was up."""
    inserted_ms: float = 0.0
    restarts: int = 0
    """The far end's time line jumped."""
    sent: int = 0
    rtt_ms: float | None = None
    resent: int = 0
    """Full (signalling) frames that had to be sent again."""
    lost_at_peer: int | None = None
    """Voice frames that the far end says it missed."""


@dataclass
class CallReport:
    """Everything worth saying about one call."""

    outgoing: bool
    number: str
    line: str = ""
    started: str = ""
    """Local time, ISO 8601."""
    called_number: str = ""
    """For an incoming call: the number that was dialled (DID)."""
    voice_format: str = ""
    n_blocks: int = 0
    answered_block: int | None = None
    bursts: list[Burst] = field(default_factory=list)
    frames_sent: int = 0
    frames_received: int = 0
    frames_bad: int = 0
    media: MediaCounts = field(default_factory=MediaCounts)
    ended_by: str = ""
    cause: int | None = None
    cause_text: str = ""

    def burst_started(self, code: int, *, transmitted: bool) -> None:
        """Note the start of a fast-modem burst; waiting again for the same training is the same burst."""
        last = self.bursts[-1] if self.bursts else None
        if not transmitted and last and not last.transmitted and last.code == code and last.trained is None:
            return
        self.bursts.append(Burst(code, transmitted, self.n_blocks * BLOCK_S))

    @property
    def burst(self) -> Burst | None:
        """The burst under way or just over."""
        return self.bursts[-1] if self.bursts else None

    @property
    def duration_s(self) -> float:
        """Seconds from the answer to the end; 0 for a call that was never answered."""
        return 0.0 if self.answered_block is None else (self.n_blocks - self.answered_block) * BLOCK_S

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON-ready values."""
        return asdict(self) | {
            "duration_s": round(self.duration_s, 2),
            "rate": self.rate,
            "summary": self.sentence().removeprefix("call report: "),
        }

    @property
    def rate(self) -> str:
        """The modulation that last carried data, `V.29 9600`, or nothing."""
        code = next((b.code for b in reversed(self.bursts) if b.n_bytes and b.trained is not False), None)
        return "" if code is None else MODULATION_NAMES.get(code, str(code))

    def sentence(self) -> str:
        """One paragraph for a person, on one line, beginning with `call report:`."""
        direction = "outgoing call to" if self.outgoing else "incoming call from"
        parts = [f"{direction} {self.number or 'an unknown number'}"]
        if self.answered_block is None:
            parts.append("never answered")
        else:
            parts[0] += f", {self.duration_s:.1f} s"
            parts += self._signal_parts()
        by = f"ended by {self.ended_by}" if self.ended_by else "ended"
        if self.cause is not None:
            by += f", cause {self.cause}"
        if self.cause_text:
            by += f" ({self.cause_text})"
        parts.append(by)
        return "call report: " + "; ".join(parts)

    def _signal_parts(self) -> list[str]:
        parts = []
        sent = _burst_groups([b for b in self.bursts if b.transmitted])
        if sent:
            parts.append("sent " + ", ".join(sent))
        received = _burst_groups([b for b in self.bursts if not b.transmitted])
        if received:
            parts.append("received " + ", ".join(received))
        bad = f", {self.frames_bad} of them damaged" if self.frames_bad else ""
        parts.append(f"V.21 frames: {self.frames_sent} sent, {self.frames_received} received{bad}")
        heard = next((b for b in reversed(self.bursts) if b.level_dbm0 is not None), None)
        if heard is not None and heard.level_dbm0 is not None:
            quality = f", SNR {heard.snr_db:.0f} dB" if heard.snr_db is not None else ""
            parts.append(f"level {heard.level_dbm0:.1f} dBm0{quality}")
        offset = next((b.clock_offset_ppm for b in reversed(self.bursts) if b.clock_offset_ppm), None)
        if offset is not None:
            parts.append(f"far clock {offset:+.0f} ppm")
        n_slips, missing_ms = sum(b.n_slips for b in self.bursts), sum(b.missing_ms for b in self.bursts)
        if n_slips or missing_ms:
            slips = f"{n_slips} slip{'' if n_slips == 1 else 's'}"
            parts.append(f"within carriers: {missing_ms:.0f} ms missing, {slips}")
        media = self.media
        parts.append(
            f"audio: {media.received} frames received, {media.lost_ms:.0f} ms lost, "
            f"{media.held_ms:.0f} ms waited for, {media.late} late, "
            f"{media.duplicate} duplicate, {media.reordered} reordered, jitter {media.jitter_ms:.1f} ms"
        )
        return parts


def _burst_groups(bursts: list[Burst]) -> list[str]:
    """`V.29 9600 (2 of 2 trained, 41250 bytes)` for each rate, in the order they were first tried."""
    texts = []
    for code in dict.fromkeys(b.code for b in bursts):
        group = [b for b in bursts if b.code == code]
        n_bytes = sum(b.n_bytes for b in group)
        name = MODULATION_NAMES.get(code, f"modulation {code}")
        if group[0].transmitted:
            texts.append(f"{name} ({len(group)} burst{'s' if len(group) > 1 else ''}, {n_bytes} bytes)")
        else:
            n_trained = sum(b.trained is True for b in group)
            texts.append(f"{name} ({n_trained} of {len(group)} trained, {n_bytes} bytes)")
    return texts
