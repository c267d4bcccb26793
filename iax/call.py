"""One call, out or in, as its owner holds it: from NEW to HANGUP (RFC 5456 §6.2, §6.3).

What the peer's frames do to it is `CallMachine`'s; its audio, `CallMedia`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from iax import causes
from iax.auth import PeerConfig
from iax.call_authentication import CallerCheck
from iax.call_machine import CallMachine
from iax.call_setup import MAX_NAME, PROTOCOL_VERSION, Offer, checked_number, write_new
from iax.call_state import ALIVE, BEFORE_ANSWER, WITH_MEDIA, CallState, CallStatistics
from iax.caller_id import Presentation
from iax.dialogue import Desk
from iax.elements import Element, clean_text, fit_text
from iax.events import CallEnded, Event, IncomingCall
from iax.formats import Format, choose
from iax.frames import Address, Command, Control, FrameType
from iax.keypad import DTMF_S, key_of


class Call(CallMachine):
    """One call. Make it with `Endpoint.call`, or take it from an `IncomingCall` event."""

    def __init__(self, desk: Desk, local: int, address: Address, now: float, remote: int = 0) -> None:
        super().__init__(desk, local, address, now, remote)
        self.called_number = ""
        """The number dialled (for an incoming call: the DID)."""
        self.dnid = ""
        self.calling_number = ""
        self.calling_name = ""
        self.ani = ""
        self.username = ""
        self.called_context = ""
        self.presentation: int | None = None
        """Of the calling number: a value of `Presentation`, or another that the peer made up; None if it gave
        none."""
        self.date_time: datetime | None = None
        """The peer's local time when it called."""

    # -- beginning

    def start_outgoing(
        self,
        peer: PeerConfig,
        number: str,
        now: float,
        *,
        calling_number: str,
        calling_name: str,
        presentation: Presentation | None = None,
        ani: str = "",
        formats: Sequence[Format],
        date_time: datetime | None = None,
    ) -> None:
        """Send NEW."""
        self._peer = peer
        self.follow_transfers = peer.follow_transfers
        self.called_number = self.dnid = checked_number(number)
        self.calling_number = checked_number(calling_number)
        self.calling_name = fit_text(clean_text(calling_name), MAX_NAME)
        presentation = peer.presentation if presentation is None else presentation
        self.presentation = presentation
        self.ani = checked_number(ani)
        self.username = peer.username
        self.called_context = peer.context
        if not formats:
            raise ValueError("a call needs at least one voice format")
        self.formats = tuple(formats)
        self.format = self.formats[0]
        pairs = write_new(
            peer,
            self.called_number,
            calling_number=self.calling_number,
            calling_name=self.calling_name,
            presentation=presentation,
            ani=self.ani,
            formats=self.formats,
            date_time=date_time,
        )
        self.request(Command.NEW, pairs, now)

    def start_incoming(
        self, offer: Offer, now: float, *, formats: Sequence[Format], check: CallerCheck | None
    ) -> None:
        """Act on NEW (already counted in by the link): refuse, challenge by CHECK, or offer the call."""
        self.outgoing = False
        self.called_number = offer.called_number
        self.dnid = offer.dnid
        self.calling_number = offer.calling_number
        self.calling_name = offer.calling_name
        self.ani = offer.ani
        self.username = offer.username
        self.called_context = offer.called_context
        self.presentation = offer.presentation
        self.date_time = offer.date_time
        self.formats = tuple(formats)
        capable = offer.capable | (offer.wanted or 0)
        chosen = choose(
            self.formats,
            wanted=offer.wanted,
            capable=capable,
            preferences=offer.preferences,
        )
        self.state = CallState.OFFERED
        if offer.version != PROTOCOL_VERSION:
            self._refuse(causes.FACILITY_REJECTED, "Unsupported IAX version", now)
            return
        if chosen is None:
            self._refuse(causes.BEARER_NOT_AVAILABLE, "Unable to negotiate codec", now)
            return
        self.format = self.jitter.format = chosen
        self.formats = tuple(format_ for format_ in self.formats if capable & format_)
        if check is None:
            self.tell(IncomingCall)
        elif check.lacks_encryption:
            self._refuse(causes.NOT_SUBSCRIBED, "Encryption required", now)
        else:
            self.state = CallState.AUTHENTICATING
            self._check = check
            self.send(Command.AUTHREQ, check.pairs, now)

    # -- the owner's side

    def accept(self, now: float, format_: Format | None = None) -> None:
        """Take an incoming call without ringing yet; the format is the one negotiated, or FORMAT_."""
        if self.state is not CallState.OFFERED:
            return
        if format_ is not None:
            self.format = format_
        self.state = CallState.ACCEPTED
        self.send(
            Command.ACCEPT, [(Element.FORMAT, int(self.format)), (Element.FORMAT2, int(self.format))], now
        )
        self._media_begins()

    def proceeding(self, now: float) -> None:
        """Tell the caller that the call is on its way."""
        self._send_control(Control.PROCEEDING, BEFORE_ANSWER, now)

    def progress(self, now: float) -> None:
        """Tell the caller to listen: audio comes before the answer."""
        self._send_control(Control.PROGRESS, BEFORE_ANSWER, now)

    def ringing(self, now: float) -> None:
        """Accept an incoming call and tell the caller that it rings."""
        self.accept(now)
        if self._send_control(Control.RINGING, BEFORE_ANSWER, now):
            self.state = CallState.RINGING

    def answer(self, now: float) -> None:
        """Answer an incoming call: it is up at once."""
        self.accept(now)
        if self._send_control(Control.ANSWER, BEFORE_ANSWER, now):
            self.state = CallState.UP
            self._answered_at = now

    def busy(self, now: float) -> None:
        """Tell the caller "busy" in an accepted call; it will hang up."""
        self.accept(now)
        self._send_control(Control.BUSY, BEFORE_ANSWER, now)

    def congestion(self, now: float) -> None:
        """Tell the caller "congestion" in an accepted call; it will hang up."""
        self.accept(now)
        self._send_control(Control.CONGESTION, BEFORE_ANSWER, now)

    def reject(self, now: float, cause: int = causes.BUSY, text: str = "Busy") -> None:
        """Refuse an incoming call. Once accepted, it is hung up instead."""
        self._end_locally(cause, text, now)

    def hangup(self, now: float, cause: int = causes.NORMAL, text: str = "") -> None:
        """End the call, whatever its state."""
        self._end_locally(cause, text, now)

    def send_dtmf(self, digit: str, now: float, duration_s: float = DTMF_S) -> None:
        """Press a key for DURATION_S, after those that are pressed already; at most
        `iax.keypad.MAX_KEYS` wait.

        Raise ValueError if it is none of 0-9 * # A-D.
        """
        key = key_of(digit)
        if self.state in WITH_MEDIA:
            self.keypad.press(key, duration_s, now)
            self.send_keys(now)
            self.desk.scheduler.reschedule(self)

    def dtmf_down(self, digit: str, now: float) -> None:
        """Press a key until `dtmf_up`; raise ValueError as `send_dtmf` does."""
        self._send_key(FrameType.DTMF_BEGIN, digit, now)

    def dtmf_up(self, digit: str, now: float) -> None:
        """Let a key go; a peer that has not been told that it went down takes it for a whole digit."""
        self._send_key(FrameType.DTMF, digit, now)

    def _send_key(self, frame_type: FrameType, digit: str, now: float) -> None:
        key = key_of(digit)
        if self.state in WITH_MEDIA:
            self.send_frame(frame_type, key, b"", now)

    def send_text(self, text: str, now: float) -> None:
        """Send a text frame of at most 1000 octets."""
        if self.state in WITH_MEDIA:
            self.send_frame(FrameType.TEXT, 0, fit_text(text, 1000).encode(), now)

    @property
    def heard(self) -> bool:
        """True if the peer ever answered anything at all."""
        return self.link.last_heard is not None

    def statistics(self) -> CallStatistics:
        """Return the call's figures."""
        duration = None
        if self._answered_at is not None and self._ended_at is not None:
            duration = self._ended_at - self._answered_at
        return CallStatistics(
            self.jitter.statistics(),
            self.link.stamps.frames_sent,
            None if self.link.rtt_s is None else self.link.rtt_s * 1000,
            self.link.frames_resent,
            self.link.duplicates,
            self.frames_out_of_state,
            self.peer_loss_count,
            self.peer_jitter_ms,
            duration,
        )

    def tell(self, event: Callable[[Call], Event]) -> None:
        """Tell the owner something of this call."""
        self.desk.events.append(event(self))

    def _send_control(self, control: Control, states: frozenset[CallState], now: float) -> bool:
        if self.outgoing or self.state not in states:
            return False
        self.send_frame(FrameType.CONTROL, control, b"", now)
        return True

    def _end_locally(self, cause: int, text: str, now: float) -> None:
        if self.state not in ALIVE:
            return
        text = clean_text(text)
        if self.link.remote == 0:
            # NEW is still unanswered: no number to send HANGUP to; should an answer come yet, it gets one
            self.link.stop()
            self._late_hangup = (cause, text)
        else:
            command = Command.REJECT if self.state is CallState.OFFERED else Command.HANGUP
            self._send_cause(command, cause, text, now)
        self._close(now)
        self.tell(lambda call: CallEnded(call, cause, text or causes.cause_text(cause), local=True))
