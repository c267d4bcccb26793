"""One call, out or in: from NEW to HANGUP (RFC 5456 §6.2, §6.3).

    outgoing:  CALLING -> ACCEPTED -> RINGING -> UP -> ENDED
    incoming:  [AUTHENTICATING ->] OFFERED -> ACCEPTED -> RINGING -> UP -> ENDED

`_COMMANDS` and `_CONTROLS` are the machine: which frame means something in which state. Whatever is not in
them is acknowledged, counted and ignored, so that no peer can push a call through a door that is not there;
unknown IAX commands are answered with UNSUPPORT. A call may be ended from any state, from either side;
`CallEnded` comes once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from iax import causes
from iax.auth import AuthenticationRefusedError, PeerConfig
from iax.call_authentication import CallerCheck, answer_call_challenge, new_key
from iax.call_media import CallMedia
from iax.call_setup import (
    MAX_NAME,
    PROTOCOL_VERSION,
    Offer,
    checked_number,
    wide_number,
    write_new,
)
from iax.dialogue import Desk
from iax.elements import Element, Elements, Pair, clean_text, fit_text
from iax.encryption import KEY_OCTETS, Encryption, Secrecy
from iax.events import (
    CallAccepted,
    CallAnswered,
    CallBusy,
    CallCongestion,
    CallEnded,
    CallHeld,
    CallProceeding,
    CallProgress,
    CallResumed,
    CallRinging,
    DtmfReceived,
    FormatChanged,
    IncomingCall,
    TextReceived,
    VoiceReceived,
)
from iax.formats import Format, choose, format_of
from iax.frames import Address, BadFrame, Command, Control, FrameType, FullFrame
from iax.playout import MediaStatistics

PING_INTERVAL_S = 10.0
INVALID_GRACE_S = 2.0
"""After INVAL for a call, the peer must show within this time that it still knows the call."""
MAX_CHALLENGES = 3
"""So many challenges of one call are answered: we are nobody's MD5 oracle."""
AUTHENTICATION_WAIT_S = 10.0
KEY_LIFE_S = (120.0, 300.0)
"""The key of an encrypted call is changed after a random time between these, as chan_iax2 does."""
DTMF_DIGITS = "0123456789*#ABCD"


class CallState(Enum):
    """Where a call stands."""

    CALLING = "calling"
    AUTHENTICATING = "authenticating"
    OFFERED = "offered"
    ACCEPTED = "accepted"
    RINGING = "ringing"
    UP = "up"
    ENDED = "ended"


_BEFORE_ANSWER = frozenset({CallState.ACCEPTED, CallState.RINGING})
_WITH_MEDIA = frozenset({CallState.ACCEPTED, CallState.RINGING, CallState.UP})
_ALIVE = frozenset(CallState) - {CallState.ENDED}


@dataclass(frozen=True, slots=True)
class CallStatistics:
    """A call's figures, for the call report."""

    media: MediaStatistics
    frames_sent: int
    rtt_ms: float | None
    full_frames_resent: int
    duplicates: int
    frames_out_of_state: int
    peer_loss_count: int | None
    """Voice frames that the peer says it lost."""
    peer_jitter_ms: int | None
    duration_s: float | None
    """From the answer to the end; None if it was never answered or is not over."""


class Call(CallMedia):
    """One call. Make it with `Endpoint.call`, or take it from an `IncomingCall` event."""

    def __init__(self, desk: Desk, local: int, address: Address, now: float, remote: int = 0) -> None:
        super().__init__(desk, local, address, now, remote)
        self.state = CallState.CALLING
        self.outgoing = True
        self.called_number = ""
        """The number dialled (for an incoming call: the DID)."""
        self.dnid = ""
        self.calling_number = ""
        self.calling_name = ""
        self.ani = ""
        self.username = ""
        self.called_context = ""
        self.presentation: int | None = None
        """Q.931 presentation of the calling number, None if not given: 0x2x restricted, 0x43 not
        available."""
        self.account = ""
        """As a server: the account that proved itself."""
        self.date_time: datetime | None = None
        """The peer's local time when it called."""
        self._peer: PeerConfig | None = None
        self._challenges = 0
        self._check: CallerCheck | None = None
        self._rotation_due: float | None = None
        self._late_hangup: tuple[int, str] | None = None
        self._ping_due = now + PING_INTERVAL_S
        self._invalid_since: float | None = None
        self._answered_at: float | None = None
        self._ended_at: float | None = None

    # -- beginning

    def start_outgoing(
        self,
        peer: PeerConfig,
        number: str,
        now: float,
        *,
        calling_number: str,
        calling_name: str,
        formats: Sequence[Format],
        date_time: datetime | None = None,
    ) -> None:
        """Send NEW."""
        self._peer = peer
        self.called_number = self.dnid = checked_number(number)
        self.calling_number = checked_number(calling_number)
        self.calling_name = fit_text(clean_text(calling_name), MAX_NAME)
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
        chosen = choose(self.formats, wanted=offer.wanted, capable=offer.capable | (offer.wanted or 0))
        self.state = CallState.OFFERED
        if offer.version != PROTOCOL_VERSION:
            self._refuse(causes.FACILITY_REJECTED, "Unsupported IAX version", now)
            return
        if chosen is None:
            self._refuse(causes.BEARER_NOT_AVAILABLE, "Unable to negotiate codec", now)
            return
        self.format = chosen
        self.formats = tuple(format_ for format_ in self.formats if offer.capable & format_) or (chosen,)
        if check is None:
            self.desk.events.append(IncomingCall(self))
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
        self._send_control(Control.PROCEEDING, _BEFORE_ANSWER, now)

    def progress(self, now: float) -> None:
        """Tell the caller to listen: audio comes before the answer."""
        self._send_control(Control.PROGRESS, _BEFORE_ANSWER, now)

    def ringing(self, now: float) -> None:
        """Accept an incoming call and tell the caller that it rings."""
        self.accept(now)
        if self._send_control(Control.RINGING, _BEFORE_ANSWER, now):
            self.state = CallState.RINGING

    def answer(self, now: float) -> None:
        """Answer an incoming call: it is up at once."""
        self.accept(now)
        if self._send_control(Control.ANSWER, _BEFORE_ANSWER, now):
            self.state = CallState.UP
            self._answered_at = now

    def busy(self, now: float) -> None:
        """Tell the caller "busy" in an accepted call; it will hang up."""
        self.accept(now)
        self._send_control(Control.BUSY, _BEFORE_ANSWER, now)

    def congestion(self, now: float) -> None:
        """Tell the caller "congestion" in an accepted call; it will hang up."""
        self.accept(now)
        self._send_control(Control.CONGESTION, _BEFORE_ANSWER, now)

    def reject(self, now: float, cause: int = causes.BUSY, text: str = "Busy") -> None:
        """Refuse an incoming call. Once accepted, it is hung up instead."""
        self._end_locally(cause, text, now)

    def hangup(self, now: float, cause: int = causes.NORMAL, text: str = "") -> None:
        """End the call, whatever its state."""
        self._end_locally(cause, text, now)

    def send_dtmf(self, digit: str, now: float) -> None:
        """Press a key; raise ValueError if it is none of 0-9 * # A-D."""
        if len(digit) != 1 or digit.upper() not in DTMF_DIGITS:
            raise ValueError(f"{digit!r} is not a DTMF digit (0-9 * # A-D)")
        if self.state in _WITH_MEDIA:
            self.send_frame(FrameType.DTMF, ord(digit.upper()), b"", now)

    def send_text(self, text: str, now: float) -> None:
        """Send a text frame of at most 1000 octets."""
        if self.state in _WITH_MEDIA:
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
            self._sender.frames_sent,
            None if self.link.rtt_s is None else self.link.rtt_s * 1000,
            self.link.frames_resent,
            self.link.duplicates,
            self.frames_out_of_state,
            self.peer_loss_count,
            self.peer_jitter_ms,
            duration,
        )

    # -- the network's side

    def handle(self, frame: FullFrame, elements: Elements, now: float) -> None:
        """Act on a frame that came in order."""
        if frame.type == FrameType.IAX:
            entry = _COMMANDS.get(frame.subclass)
            if entry is None:
                self._unsupported(frame, now)
            elif self.state in entry[0]:
                entry[1](self, frame, elements, now)
            else:
                self.frames_out_of_state += 1
        elif frame.type == FrameType.VOICE:
            self.receive_voice(frame, now)
        elif frame.type == FrameType.CONTROL:
            control = _CONTROLS.get(frame.subclass)
            if control is None:
                return
            if self.state in control[0] and (self.outgoing or frame.subclass in _EITHER_WAY):
                control[1](self, now)
            elif self.outgoing:
                self.frames_out_of_state += 1
        elif frame.type == FrameType.DTMF:
            if self.state in _WITH_MEDIA and 0 < frame.subclass < 128 and chr(frame.subclass) in DTMF_DIGITS:
                self.desk.events.append(DtmfReceived(self, chr(frame.subclass)))
        elif frame.type == FrameType.TEXT:
            text = clean_text(frame.payload.rstrip(b"\0").decode("utf-8", "replace"))
            self.desk.events.append(TextReceived(self, text))
        elif frame.type == FrameType.COMFORT_NOISE:
            self.jitter.comfort_noise()
        # video, image, HTML, modem, null, DTMF begin: acknowledged, no use to us

    def handle_after_end(self, now: float) -> None:
        """Hang up a call that was given up before the server ever answered NEW."""
        if self._late_hangup is not None and self.link.remote:
            cause, text = self._late_hangup
            self._late_hangup = None
            self._send_cause(Command.HANGUP, cause, text, now)

    @property
    def media_open(self) -> bool:
        """Whether audio passes."""
        return self.state in _WITH_MEDIA

    @property
    def encrypted(self) -> bool:
        """Whether the call's frames are encrypted."""
        return self.link.secrecy is not None

    def voice_to_relay(self, timestamp: int, payload: bytes) -> None:
        """Hand on a frame of a call with `relay` set."""
        self.desk.events.append(VoiceReceived(self, timestamp, payload))

    def format_changed(self, format_: Format) -> None:
        """Tell the owner."""
        self.desk.events.append(FormatChanged(self, format_))

    def reveal_untrusted(self, datagram: bytes, now: float) -> bytes:
        """Return a full frame of this call in clear; raise `UnreadableFrame`."""
        if self.link.secrecy is None and self._check is not None and self._check.encrypted:
            try:
                plain = self._check.reveal_untrusted(datagram)
            except BadFrame:
                if self.state is CallState.AUTHENTICATING:  # an answer made with another secret
                    self._refuse(causes.NOT_SUBSCRIBED, "No authority found", now)
                raise
            if self._check.secrecy is not None:
                self._encrypt(self._check.secrecy, now)
            return plain
        return super().reveal_untrusted(datagram, now)

    def handle_invalid(self, now: float) -> None:
        """INVAL ends a call that is not up; in one that is up it may be forged, so the peer is asked with
        PING."""
        if self.finished:
            return
        if self.state is CallState.CALLING:
            self._ended(causes.INVALID_CALL_REFERENCE, "the server does not know this call", now)
        elif self._invalid_since is None:
            self._invalid_since = now
            self.send(Command.PING, [], now)

    def handle_dead(self, now: float) -> None:
        """The peer does not answer any more."""
        if self.state is CallState.AUTHENTICATING:
            self._close(now)  # nobody was told of this call
            return
        host, port = self.link.address
        self._ended(causes.DESTINATION_OUT_OF_ORDER, f"no answer from {host}:{port}", now)

    def own_timer(self) -> float | None:
        """Return when the next PING is due, or a wait ends."""
        if self._invalid_since is not None:
            return self._invalid_since + INVALID_GRACE_S
        if self.state is CallState.AUTHENTICATING:
            return self.link.zero + AUTHENTICATION_WAIT_S
        return self._ping_due if self._rotation_due is None else min(self._ping_due, self._rotation_due)

    def handle_own_timer(self, now: float) -> None:
        """Send PING, or draw the consequence of INVAL."""
        if self._invalid_since is not None and now >= self._invalid_since + INVALID_GRACE_S:
            asked_at, self._invalid_since = self._invalid_since, None
            if self.link.last_heard is None or self.link.last_heard <= asked_at:
                self._ended(causes.INVALID_CALL_REFERENCE, "the server lost this call", now)
                return
        if self.state is CallState.AUTHENTICATING:
            if now >= self.link.zero + AUTHENTICATION_WAIT_S:
                self._refuse(causes.NOT_SUBSCRIBED, "No authority found", now)
            return
        if now >= self._ping_due:
            self._ping_due = now + PING_INTERVAL_S
            if self.link.remote:
                self.send(Command.PING, [], now)
        if self._rotation_due is not None and now >= self._rotation_due:
            self.change_key(now)

    def change_key(self, now: float) -> None:
        """Encrypt with a new key from now on. Does nothing unless both sides know key rotation."""
        secrecy = self.link.secrecy
        if secrecy is None or not secrecy.rotates:
            return
        key = new_key(self.desk.rng)
        self.send(Command.RTKEY, [(Element.CHALLENGE, key)], now)
        secrecy.change_sending_key(key)
        self._rotation_due = now + self.desk.rng.uniform(*KEY_LIFE_S)

    def _encrypt(self, secrecy: Secrecy, now: float) -> None:
        self.link.secrecy = secrecy
        if secrecy.rotates:
            self._rotation_due = now + self.desk.rng.uniform(*KEY_LIFE_S)

    # -- commands

    def _on_accept(self, frame: FullFrame, elements: Elements, now: float) -> None:
        if self._peer is not None and self._peer.encryption is Encryption.REQUIRED and not self.encrypted:
            text = "the server accepted the call without encryption, which is required here"
            self._send_cause(Command.HANGUP, causes.NOT_SUBSCRIBED, "Encryption required", now)
            self._ended(causes.NOT_SUBSCRIBED, text, now)
            return
        value = wide_number(elements, Element.FORMAT2, Element.FORMAT)
        chosen = self.format if value is None else format_of(value)
        if chosen is None or chosen not in self.formats:
            text = "the server chose a voice format that was not offered"
            self._send_cause(Command.HANGUP, causes.BEARER_NOT_AVAILABLE, "Unable to negotiate codec", now)
            self._ended(causes.BEARER_NOT_AVAILABLE, text, now)
            return
        self.format = chosen
        self.state = CallState.ACCEPTED
        self._media_begins()
        self.desk.events.append(CallAccepted(self))

    def _on_authreq(self, frame: FullFrame, elements: Elements, now: float) -> None:
        assert self._peer is not None
        self._challenges += 1
        if self._challenges > MAX_CHALLENGES or self.encrypted:
            self.frames_out_of_state += 1
            return
        try:
            proof, secrecy = answer_call_challenge(self._peer, elements, self.desk.rng)
        except AuthenticationRefusedError as error:
            self._send_cause(Command.HANGUP, causes.NOT_SUBSCRIBED, "Authentication refused", now)
            self._ended(causes.NOT_SUBSCRIBED, str(error), now)
            return
        if secrecy is not None:
            self._encrypt(secrecy, now)  # AUTHREP is the first encrypted frame
        self.send(Command.AUTHREP, [proof], now)

    def _on_authrep(self, frame: FullFrame, elements: Elements, now: float) -> None:
        account = None if self._check is None else self._check.proven(elements)
        if account is None:
            self._refuse(causes.NOT_SUBSCRIBED, "No authority found", now)
            return
        self.account = account.name
        self.state = CallState.OFFERED
        self.desk.events.append(IncomingCall(self))

    def _on_end(self, frame: FullFrame, elements: Elements, now: float) -> None:
        cause = elements.number(Element.CAUSECODE)
        text = elements.text(Element.CAUSE) or causes.cause_text(cause)
        if self.state is CallState.AUTHENTICATING:
            self._close(now)  # nobody was told of this call
        else:
            self._ended(cause, text, now)

    def _on_ping(self, frame: FullFrame, elements: Elements, now: float) -> None:
        self.send(Command.PONG, self.receiver_report(), now, echo=frame)

    def _on_pong(self, frame: FullFrame, elements: Elements, now: float) -> None:
        self.take_receiver_report(elements)

    def _on_lagrq(self, frame: FullFrame, elements: Elements, now: float) -> None:
        self.send(Command.LAGRP, [], now, echo=frame)

    def _on_txreq(self, frame: FullFrame, elements: Elements, now: float) -> None:
        # a change of peers is a gap in the middle of a page
        self.send(Command.TXREJ, [], now)

    def _on_rtkey(self, frame: FullFrame, elements: Elements, now: float) -> None:
        key = elements.raw(Element.CHALLENGE)
        if self.link.secrecy is None or len(key) != KEY_OCTETS:
            self.frames_out_of_state += 1
            return
        self.link.secrecy.change_receiving_key(key, now)

    def _on_quelch(self, frame: FullFrame, elements: Elements, now: float) -> None:
        self._on_hold(now)

    def _on_unquelch(self, frame: FullFrame, elements: Elements, now: float) -> None:
        self._on_unhold(now)

    def _ignore(self, frame: FullFrame, elements: Elements, now: float) -> None:
        pass

    def _unsupported(self, frame: FullFrame, now: float) -> None:
        self.send(Command.UNSUPPORT, [(Element.IAX_UNKNOWN, frame.subclass & 0xFF)], now)

    # -- control frames

    def _on_ringing(self, now: float) -> None:
        if self.state is CallState.ACCEPTED:
            self.state = CallState.RINGING
        self.desk.events.append(CallRinging(self))

    def _on_answer(self, now: float) -> None:
        self.state = CallState.UP
        self._answered_at = now
        self.desk.events.append(CallAnswered(self))

    def _on_busy(self, now: float) -> None:
        self.desk.events.append(CallBusy(self))
        self._send_cause(Command.HANGUP, causes.BUSY, "", now)
        self._ended(causes.BUSY, causes.cause_text(causes.BUSY), now)

    def _on_congestion(self, now: float) -> None:
        self.desk.events.append(CallCongestion(self))
        self._send_cause(Command.HANGUP, causes.CONGESTION, "", now)
        self._ended(causes.CONGESTION, causes.cause_text(causes.CONGESTION), now)

    def _on_hangup_control(self, now: float) -> None:
        self._send_cause(Command.HANGUP, causes.NORMAL, "", now)
        self._ended(causes.NORMAL, causes.cause_text(causes.NORMAL), now)

    def _on_proceeding(self, now: float) -> None:
        self.desk.events.append(CallProceeding(self))

    def _on_progress(self, now: float) -> None:
        self.desk.events.append(CallProgress(self))

    def _on_hold(self, now: float) -> None:
        # our audio goes on: a modem keeps its clock
        self.desk.events.append(CallHeld(self))

    def _on_unhold(self, now: float) -> None:
        self.desk.events.append(CallResumed(self))

    # -- inside

    def _send_control(self, control: Control, states: frozenset[CallState], now: float) -> bool:
        if self.outgoing or self.state not in states:
            return False
        self.send_frame(FrameType.CONTROL, control, b"", now)
        return True

    def _send_cause(self, command: Command, cause: int, text: str, now: float) -> None:
        pairs: list[Pair] = []
        if text:
            pairs.append((Element.CAUSE, fit_text(text, 200)))
        pairs.append((Element.CAUSECODE, cause))
        self.send(command, pairs, now)

    def _media_begins(self) -> None:
        self.jitter.format = self.format

    def _refuse(self, cause: int, text: str, now: float) -> None:
        """Reject a call that the owner was never told of."""
        self._send_cause(Command.REJECT, cause, text, now)
        self._close(now)

    def _end_locally(self, cause: int, text: str, now: float) -> None:
        if self.state not in _ALIVE:
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
        self.desk.events.append(CallEnded(self, cause, text or causes.cause_text(cause), local=True))

    def _ended(self, cause: int | None, text: str, now: float) -> None:
        self._close(now)
        self.desk.events.append(CallEnded(self, cause, text, local=False))

    def _close(self, now: float) -> None:
        self.state = CallState.ENDED
        self._ended_at = now
        self.finish(now)


_EITHER_WAY = frozenset({Control.HANGUP, Control.HOLD, Control.UNHOLD})
_Handler = Callable[[Call, FullFrame, Elements, float], None]
_ControlHandler = Callable[[Call, float], None]

_CALLING = frozenset({CallState.CALLING})

_COMMANDS: dict[int, tuple[frozenset[CallState], _Handler]] = {
    Command.ACCEPT: (_CALLING, Call._on_accept),
    Command.AUTHREQ: (_CALLING, Call._on_authreq),
    Command.AUTHREP: (frozenset({CallState.AUTHENTICATING}), Call._on_authrep),
    Command.REJECT: (_ALIVE, Call._on_end),
    Command.HANGUP: (_ALIVE, Call._on_end),
    Command.PING: (_ALIVE, Call._on_ping),
    Command.PONG: (_ALIVE, Call._on_pong),
    Command.LAGRQ: (_ALIVE, Call._on_lagrq),
    Command.LAGRP: (_ALIVE, Call._ignore),
    Command.TXREQ: (_ALIVE, Call._on_txreq),
    Command.QUELCH: (_WITH_MEDIA, Call._on_quelch),
    Command.UNQUELCH: (_WITH_MEDIA, Call._on_unquelch),
    Command.RTKEY: (_ALIVE, Call._on_rtkey),
    Command.MWI: (_ALIVE, Call._ignore),
    Command.UNSUPPORT: (_ALIVE, Call._ignore),
    Command.TXREJ: (_ALIVE, Call._ignore),
    Command.TXREL: (_ALIVE, Call._ignore),
    Command.TXREADY: (_ALIVE, Call._ignore),
    Command.NEW: (_ALIVE, Call._ignore),
}

_CONTROLS: dict[int, tuple[frozenset[CallState], _ControlHandler]] = {
    Control.RINGING: (_BEFORE_ANSWER, Call._on_ringing),
    Control.ANSWER: (_BEFORE_ANSWER, Call._on_answer),
    Control.BUSY: (_BEFORE_ANSWER, Call._on_busy),
    Control.CONGESTION: (_BEFORE_ANSWER, Call._on_congestion),
    Control.PROCEEDING: (_BEFORE_ANSWER, Call._on_proceeding),
    Control.PROGRESS: (_BEFORE_ANSWER, Call._on_progress),
    Control.HOLD: (_WITH_MEDIA, Call._on_hold),
    Control.UNHOLD: (_WITH_MEDIA, Call._on_unhold),
    Control.HANGUP: (_WITH_MEDIA, Call._on_hangup_control),
}
