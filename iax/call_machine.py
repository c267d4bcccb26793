"""A call as the peer drives it: which frame means something in which state (RFC 5456 §6.2, §6.3).

    outgoing:  CALLING -> ACCEPTED -> RINGING -> UP -> ENDED
    incoming:  [AUTHENTICATING ->] OFFERED -> ACCEPTED -> RINGING -> UP -> ENDED

`COMMANDS` and `CONTROLS` are the machine. Whatever is not in them is acknowledged, counted and ignored, so
that no peer can push a call through a door that is not there; unknown IAX commands are answered with
UNSUPPORT. A call may be ended from any state, from either side; `CallEnded` comes once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from iax import causes
from iax.auth import AuthenticationRefusedError, PeerConfig
from iax.call_authentication import CallerCheck, answer_call_challenge, new_key
from iax.call_media import CallMedia
from iax.call_setup import wide_number
from iax.call_state import ALIVE, BEFORE_ANSWER, DTMF_DIGITS, WITH_MEDIA, CallState
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
    CallTransferred,
    DtmfBegan,
    DtmfReceived,
    Event,
    FormatChanged,
    IncomingCall,
    TextReceived,
    VoiceReceived,
)
from iax.formats import Format, format_of
from iax.frames import MAX_CALL_NUMBER, Address, BadFrame, Command, Control, FrameType, FullFrame
from iax.keypad import Keypad
from iax.transfer import CONNECT_EVERY_S, Transfer

if TYPE_CHECKING:
    from iax.call import Call

PING_INTERVAL_S = 10.0
INVALID_GRACE_S = 2.0
"""After INVAL for a call, the peer must show within this time that it still knows the call."""
MAX_CHALLENGES = 3
"""So many challenges of one call are answered: we are nobody's MD5 oracle."""
AUTHENTICATION_WAIT_S = 10.0
KEY_LIFE_S = (120.0, 300.0)
"""The key of an encrypted call is changed after a random time between these, as chan_iax2 does."""


class CallMachine(CallMedia):
    """The peer's side of `Call`."""

    def __init__(self, desk: Desk, local: int, address: Address, now: float, remote: int = 0) -> None:
        super().__init__(desk, local, address, now, remote)
        self._state = CallState.CALLING
        self.outgoing = True
        self.account = ""
        """As a server: the account that proved itself."""
        self._peer: PeerConfig | None = None
        self._challenges = 0
        self._check: CallerCheck | None = None
        self._rotation_due: float | None = None
        self._late_hangup: tuple[int, str] | None = None
        self._ping_due = now + PING_INTERVAL_S
        self._invalid_since: float | None = None
        self.follow_transfers = False
        self._transfer: Transfer | None = None
        self.keypad = Keypad()
        self._answered_at: float | None = None
        self._ended_at: float | None = None

    @property
    def state(self) -> CallState:
        """Where the call stands."""
        return self._state

    @state.setter
    def state(self, state: CallState) -> None:
        self._state = state
        self.voice_changed()

    def tell(self, event: Callable[[Call], Event]) -> None:
        """Tell the owner something of this call."""
        raise NotImplementedError

    # -- the network's side

    def handle(self, frame: FullFrame, elements: Elements, now: float) -> None:
        """Act on a frame that came in order."""
        if frame.type == FrameType.IAX:
            entry = COMMANDS.get(frame.subclass)
            if entry is None:
                self._unsupported(frame, now)
            elif self.state in entry[0]:
                entry[1](self, frame, elements, now)
            else:
                self.frames_out_of_state += 1
        elif frame.type == FrameType.VOICE:
            self.receive_voice(frame, now)
        elif frame.type == FrameType.CONTROL:
            control = CONTROLS.get(frame.subclass)
            if control is None:
                return
            if self.state in control[0] and (self.outgoing or frame.subclass in _EITHER_WAY):
                control[1](self, now)
            elif self.outgoing:
                self.frames_out_of_state += 1
        elif frame.type in (FrameType.DTMF_BEGIN, FrameType.DTMF):
            if self.state in WITH_MEDIA and 0 < frame.subclass < 128 and chr(frame.subclass) in DTMF_DIGITS:
                digit = chr(frame.subclass)
                kind = DtmfBegan if frame.type == FrameType.DTMF_BEGIN else DtmfReceived
                self.tell(lambda call: kind(call, digit))
        elif frame.type == FrameType.TEXT:
            text = clean_text(frame.payload.rstrip(b"\0").decode("utf-8", "replace"))
            self.tell(lambda call: TextReceived(call, text))
        elif frame.type == FrameType.COMFORT_NOISE:
            self.jitter.comfort_noise()
        # video, image, HTML, modem, null: acknowledged, no use to us

    def handle_after_end(self, now: float) -> None:
        """Hang up a call that was given up before the server ever answered NEW."""
        if self._late_hangup is not None and self.link.remote:
            cause, text = self._late_hangup
            self._late_hangup = None
            self._send_cause(Command.HANGUP, cause, text, now)

    @property
    def media_open(self) -> bool:
        """Whether audio passes."""
        return self.state in WITH_MEDIA

    @property
    def encrypted(self) -> bool:
        """Whether the call's frames are encrypted."""
        return self.link.secrecy is not None

    def voice_to_relay(self, timestamp: int, payload: bytes) -> None:
        """Hand on a frame of a call with `relay` set."""
        self.tell(lambda call: VoiceReceived(call, timestamp, payload))

    def format_changed(self, format_: Format) -> None:
        """Tell the owner."""
        self.tell(lambda call: FormatChanged(call, format_))

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
        else:
            self.ask_whether_known(now)

    def ask_whether_known(self, now: float) -> None:
        """Something says that the peer has lost this call: it must answer PING, or the call is over."""
        if self._invalid_since is None and not self.finished:
            self._invalid_since = now
            self.send(Command.PING, [], now)

    def handle_dead(self, now: float) -> None:
        """The peer does not answer any more."""
        host, port = self.link.address
        self._ended(causes.DESTINATION_OUT_OF_ORDER, f"no answer from {host}:{port}", now)

    def own_timer(self) -> float | None:
        """Return when the next PING is due, or a wait ends."""
        if self._invalid_since is not None:
            return _earliest(self._invalid_since + INVALID_GRACE_S, self.keypad.due)
        if self.state is CallState.AUTHENTICATING:
            return self.link.zero + AUTHENTICATION_WAIT_S
        transfer = self._transfer
        transfer_due = None
        if transfer is not None:
            transfer_due = transfer.deadline if transfer.connected else transfer.connect_due
        return _earliest(self._ping_due, self._rotation_due, self.keypad.due, transfer_due)

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
        self.send_keys(now)
        if now >= self._ping_due:
            self._ping_due = now + PING_INTERVAL_S
            if self.link.remote:
                self.send(Command.PING, [], now)
        if self._rotation_due is not None and now >= self._rotation_due:
            self.change_key(now)
        if self._transfer is not None:
            if now >= self._transfer.deadline:
                self._transfer = None
                self.send(Command.TXREJ, [], now)
            elif not self._transfer.connected and now >= self._transfer.connect_due:
                self._connect(self._transfer, now)

    def send_keys(self, now: float) -> None:
        """Send the keys that are due."""
        for frame_type, key in self.keypad.take(now):
            self.send_frame(frame_type, key, b"", now)

    def change_key(self, now: float) -> None:
        """Encrypt with a new key from now on. Does nothing unless both sides know key rotation."""
        secrecy = self.link.secrecy
        if secrecy is None or not secrecy.rotates or self.finished:
            return
        key = new_key(self.desk.rng)
        self.send(Command.RTKEY, [(Element.CHALLENGE, key)], now)
        secrecy.change_sending_key(key)
        self._rotation_due = now + self.desk.rng.uniform(*KEY_LIFE_S)

    def _encrypt(self, secrecy: Secrecy, now: float) -> None:
        self.link.secrecy = secrecy
        self.voice_changed()
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
        self.tell(CallAccepted)

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
        self.tell(IncomingCall)

    def _on_end(self, frame: FullFrame, elements: Elements, now: float) -> None:
        cause = elements.number(Element.CAUSECODE)
        text = elements.text(Element.CAUSE) or causes.cause_text(cause)
        self._ended(cause, text, now)

    def _on_ping(self, frame: FullFrame, elements: Elements, now: float) -> None:
        self.send(Command.PONG, self.receiver_report(), now, echo=frame)

    def _on_pong(self, frame: FullFrame, elements: Elements, now: float) -> None:
        self.take_receiver_report(elements)

    def _on_lagrq(self, frame: FullFrame, elements: Elements, now: float) -> None:
        self.send(Command.LAGRP, [], now, echo=frame)

    def _on_txreq(self, frame: FullFrame, elements: Elements, now: float) -> None:
        transfer = Transfer.asked_for(elements, self.link.local, now)
        plain = self.link.secrecy is None and self.state in WITH_MEDIA and self.link.remote != 0
        if not self.follow_transfers or not plain or transfer is None or self._transfer is not None:
            self.send(Command.TXREJ, [], now)
            return
        self._transfer = transfer
        self._connect(transfer, now)

    def _connect(self, transfer: Transfer, now: float) -> None:
        transfer.connect_due = now + CONNECT_EVERY_S
        self.desk.outbox.append(transfer.frame(Command.TXCNT, self.link.clock(now)))

    def handle_from_elsewhere(self, frame: FullFrame, elements: Elements, addr: Address, now: float) -> bool:
        """Act on TXCNT and TXACC of the far end that the server wants to connect us with."""
        transfer = self._transfer
        if transfer is None or not transfer.concerns(frame, elements, addr):
            return False
        if frame.subclass == Command.TXCNT:
            self.desk.outbox.append(transfer.frame(Command.TXACC, frame.timestamp))
        elif not transfer.connected:
            transfer.connected = True
            self.send(Command.TXREADY, [(Element.CALLNO, self.link.local)], now)
        return True

    def _on_txrel(self, frame: FullFrame, elements: Elements, now: float) -> None:
        transfer, self._transfer = self._transfer, None
        if transfer is None or not transfer.connected:
            self.frames_out_of_state += 1
            return
        self.link.acknowledge(frame)  # the last that the server hears
        if self.link.trunk is not None:
            self.link.trunk.leave()
            self.link.trunk = None
        number = elements.number(Element.CALLNO) or 0
        if not 1 < number <= MAX_CALL_NUMBER:
            number = transfer.number
        self.desk.scheduler.move(self, transfer.address, number, now)
        self.restart_voice()
        self.voice_changed()
        self.tell(lambda call: CallTransferred(call, transfer.address))

    def _on_txmedia(self, frame: FullFrame, elements: Elements, now: float) -> None:
        self._transfer = None  # the voice alone does not go elsewhere
        self.send(Command.TXREJ, [], now)

    def _on_txrej(self, frame: FullFrame, elements: Elements, now: float) -> None:
        self._transfer = None

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
        self.tell(CallRinging)

    def _on_answer(self, now: float) -> None:
        self.state = CallState.UP
        self._answered_at = now
        self.tell(CallAnswered)

    def _on_busy(self, now: float) -> None:
        self.tell(CallBusy)
        self._send_cause(Command.HANGUP, causes.BUSY, "", now)
        self._ended(causes.BUSY, causes.cause_text(causes.BUSY), now)

    def _on_congestion(self, now: float) -> None:
        self.tell(CallCongestion)
        self._send_cause(Command.HANGUP, causes.CONGESTION, "", now)
        self._ended(causes.CONGESTION, causes.cause_text(causes.CONGESTION), now)

    def _on_hangup_control(self, now: float) -> None:
        self._send_cause(Command.HANGUP, causes.NORMAL, "", now)
        self._ended(causes.NORMAL, causes.cause_text(causes.NORMAL), now)

    def _on_proceeding(self, now: float) -> None:
        self.tell(CallProceeding)

    def _on_progress(self, now: float) -> None:
        self.tell(CallProgress)

    def _on_hold(self, now: float) -> None:
        # our audio goes on: a modem keeps its clock
        self.tell(CallHeld)

    def _on_unhold(self, now: float) -> None:
        self.tell(CallResumed)

    # -- inside

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

    def _ended(self, cause: int | None, text: str, now: float) -> None:
        told = self.state is not CallState.AUTHENTICATING  # before the proof nobody knows of the call
        self._close(now)
        if told:
            self.tell(lambda call: CallEnded(call, cause, text, local=False))

    def _close(self, now: float) -> None:
        self.state = CallState.ENDED
        self._ended_at = now
        self.finish(now)


def _earliest(*times: float | None) -> float:
    return min(time for time in times if time is not None)


_EITHER_WAY = frozenset({Control.HANGUP, Control.HOLD, Control.UNHOLD})
_Handler = Callable[[CallMachine, FullFrame, Elements, float], None]
_ControlHandler = Callable[[CallMachine, float], None]

_CALLING = frozenset({CallState.CALLING})

COMMANDS: dict[int, tuple[frozenset[CallState], _Handler]] = {
    Command.ACCEPT: (_CALLING, CallMachine._on_accept),
    Command.AUTHREQ: (_CALLING, CallMachine._on_authreq),
    Command.AUTHREP: (frozenset({CallState.AUTHENTICATING}), CallMachine._on_authrep),
    Command.REJECT: (ALIVE, CallMachine._on_end),
    Command.HANGUP: (ALIVE, CallMachine._on_end),
    Command.PING: (ALIVE, CallMachine._on_ping),
    Command.PONG: (ALIVE, CallMachine._on_pong),
    Command.LAGRQ: (ALIVE, CallMachine._on_lagrq),
    Command.LAGRP: (ALIVE, CallMachine._ignore),
    Command.TXREQ: (ALIVE, CallMachine._on_txreq),
    Command.QUELCH: (WITH_MEDIA, CallMachine._on_quelch),
    Command.UNQUELCH: (WITH_MEDIA, CallMachine._on_unquelch),
    Command.RTKEY: (ALIVE, CallMachine._on_rtkey),
    Command.MWI: (ALIVE, CallMachine._ignore),
    Command.UNSUPPORT: (ALIVE, CallMachine._ignore),
    Command.TXREJ: (ALIVE, CallMachine._on_txrej),
    Command.TXREL: (ALIVE, CallMachine._on_txrel),
    Command.TXMEDIA: (ALIVE, CallMachine._on_txmedia),
    Command.TXREADY: (ALIVE, CallMachine._ignore),
    Command.NEW: (ALIVE, CallMachine._ignore),
}

CONTROLS: dict[int, tuple[frozenset[CallState], _ControlHandler]] = {
    Control.RINGING: (BEFORE_ANSWER, CallMachine._on_ringing),
    Control.ANSWER: (BEFORE_ANSWER, CallMachine._on_answer),
    Control.BUSY: (BEFORE_ANSWER, CallMachine._on_busy),
    Control.CONGESTION: (BEFORE_ANSWER, CallMachine._on_congestion),
    Control.PROCEEDING: (BEFORE_ANSWER, CallMachine._on_proceeding),
    Control.PROGRESS: (BEFORE_ANSWER, CallMachine._on_progress),
    Control.HOLD: (WITH_MEDIA, CallMachine._on_hold),
    Control.UNHOLD: (WITH_MEDIA, CallMachine._on_unhold),
    Control.HANGUP: (WITH_MEDIA, CallMachine._on_hangup_control),
}
