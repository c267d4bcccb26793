"""The media half of a call: voice out with exact time stamps, voice in to the jitter buffer, figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from iax.dialogue import Desk, Dialogue
from iax.elements import Element, Elements, Pair
from iax.encryption import UnreadableFrame
from iax.formats import ALL_FORMATS, FRAME_SAMPLES, SAMPLES_PER_MS, Format, format_of
from iax.frames import Address, FullFrame
from iax.jitter import JitterBuffer
from iax.media import Timeline, VoiceSender
from iax.playout import Playout
from iax.reliability import Stamps

if TYPE_CHECKING:
    from iax.seat import Seat


class CallMedia(Dialogue):
    """What `Call` knows of audio. Whether there is any is the call's state to say."""

    def __init__(self, desk: Desk, local: int, address: Address, now: float, remote: int = 0) -> None:
        super().__init__(desk, local, address, now, remote)
        self.format: Format = Format.ULAW
        """The format of `send_audio` and `receive_audio`; fixed once the call is accepted (but see
        FormatChanged)."""
        self.formats: Sequence[Format] = ALL_FORMATS
        self.seat: Seat | None = None
        """Where its voice stands in the endpoint's `MediaTable`, if it has one."""
        self._relay = False
        self._jitter: Playout = JitterBuffer()
        self.frames_out_of_state = 0
        """Frames that mean nothing in the state the call was in."""
        self.frames_unreadable = 0
        """Mini frames that no key of this call fits."""
        self.peer_loss_count: int | None = None
        self.peer_jitter_ms: int | None = None
        self._sender = VoiceSender(self.link)
        self._timeline = Timeline(self.link)

    # -- in a `MediaTable`

    def take_seat(self, seat: Seat, timeline: Timeline, stamps: Stamps) -> None:
        """Keep all that is known of its voice in SEAT from now on."""
        self.seat = seat
        self._jitter = seat.playout
        self._jitter.format = self.format
        self._timeline = timeline
        self.link.stamps = stamps
        seat.record.local = self.link.local
        self.voice_changed()

    def voice_changed(self) -> None:
        """See anew whether its mini frames may come and go in batches: to be called after every change."""
        if self.seat is not None:
            plain = self.media_open and self.link.secrecy is None
            receiving = plain and not self._relay and self._jitter is self.seat.playout
            sending = plain and not self._sender.reliable
            self.seat.open(receiving=receiving, sending=sending, trunked=self.link.trunk is not None)

    def restart_voice(self) -> None:
        """Begin both directions anew, with another peer."""
        if self.seat is None:
            self._timeline = Timeline(self.link)
            self.link.stamps = Stamps()
        else:
            self.link.stamps = Stamps()
            self._timeline, self.link.stamps = self.seat.voice_of(self.link)
        self._sender.restart()
        self._jitter.clear()

    @property
    def relay(self) -> bool:
        """Whether voice goes to `VoiceReceived` events as it comes instead of to the jitter buffer."""
        return self._relay

    @relay.setter
    def relay(self, relay: bool) -> None:
        self._relay = relay
        self.voice_changed()

    @property
    def jitter(self) -> Playout:
        """What incoming voice waits in."""
        return self._jitter

    @jitter.setter
    def jitter(self, playout: Playout) -> None:
        self._jitter = playout
        playout.format = self.format
        self.voice_changed()

    # -- for the subclass

    @property
    def media_open(self) -> bool:
        """Whether audio passes in the state that the call is in."""
        raise NotImplementedError

    def voice_to_relay(self, timestamp: int, payload: bytes) -> None:
        """Hand on a frame of a call with `relay` set."""
        raise NotImplementedError

    def format_changed(self, format_: Format) -> None:
        """Tell the owner that the peer's audio changed its format."""
        raise NotImplementedError

    # -- out

    @property
    def reliable_voice(self) -> bool:
        """Whether voice goes out in full frames, which the peer gets again if they are lost."""
        return self._sender.reliable

    @reliable_voice.setter
    def reliable_voice(self, reliable: bool) -> None:
        self._sender.reliable = reliable
        self.voice_changed()

    def send_audio(self, payload: bytes, now: float) -> None:
        """Send one frame of audio in `format` (20 ms: 160 samples). Does nothing unless the call is
        accepted."""
        if self.media_open and self._sender.send(payload, self.format, now):
            self.desk.scheduler.reschedule(self)

    def skip_audio(self, n_frames: int) -> None:
        """Say that N_FRAMES of 20 ms were never made; the far end sees a gap of that length."""
        self._sender.skip(n_frames)

    def relay_audio(self, payload: bytes, timestamp: int, now: float) -> None:
        """Send on another leg's frame with its unwrapped time stamp."""
        if self.media_open and self._sender.relay(payload, self.format, timestamp, now):
            self.desk.scheduler.reschedule(self)

    # -- in

    def receive_audio(self, n_samples: int = FRAME_SAMPLES) -> tuple[bytes, bool]:
        """Return exactly N_SAMPLES in `format`, and True if any stand in for audio that never arrived."""
        return self.jitter.read(n_samples)

    def handle_early_voice(self, frame: FullFrame, now: float) -> None:
        """Take the audio of a repeated or early voice frame; the jitter buffer sorts it out."""
        self.receive_voice(frame, now)

    def receive_mini(self, timestamp: int, payload: bytes, now: float) -> None:
        """Take a mini frame: low 16 bits of the time stamp, and audio."""
        if not self.media_open:
            return
        at = self._timeline.mini(timestamp, now)
        if at is not None:
            self._deliver(at, payload, now)

    def receive_secret_mini(self, datagram: bytes, now: float) -> None:
        """Take a mini frame of an encrypted call. Wrong keys show by an odd length or time."""
        secrecy = self.link.secrecy
        assert secrecy is not None
        for reveal in (secrecy.reveal_mini_untrusted, secrecy.reveal_late_mini_untrusted):
            try:
                plain = reveal(datagram, now)
            except UnreadableFrame:
                continue
            if plain is None:
                continue
            timestamp, payload = plain[2] << 8 | plain[3], plain[4:]
            whole_ms = payload and len(payload) % (self.format.sample_bytes * SAMPLES_PER_MS) == 0
            if whole_ms and self._timeline.plausible(timestamp, now):
                self.receive_mini(timestamp, payload, now)
                return
        self.frames_unreadable += 1

    def receive_trunked(self, timestamp: int, payloads: Sequence[bytes], now: float) -> None:
        """Take this call's frames out of one trunk frame that has only the trunk's time stamp."""
        if not self.media_open:
            return
        lengths_ms = [len(payload) // self.format.sample_bytes // SAMPLES_PER_MS for payload in payloads]
        at = self._timeline.trunked(timestamp, lengths_ms, now)
        if at is None:
            return
        for payload, length_ms in zip(payloads, lengths_ms, strict=True):
            self._deliver(at, payload, now)
            at += length_ms

    def receive_voice(self, frame: FullFrame, now: float) -> None:
        """Take a full voice frame; its format holds for what follows."""
        if not self.media_open:
            return
        format_ = format_of(frame.subclass)
        if format_ is None or format_ not in self.formats:
            self.frames_out_of_state += 1
            return
        if format_ is not self.format:
            self.format = self.jitter.format = format_
            self.jitter.clear()
            self.format_changed(format_)
        self._deliver(self._timeline.full(frame.timestamp, now), frame.payload, now)

    def _deliver(self, timestamp: int, payload: bytes, now: float) -> None:
        if self.relay:
            self.voice_to_relay(timestamp, payload)
        else:
            self.jitter.put(timestamp, payload, now)

    # -- receiver reports (RFC 5456 §8.6.33 ff.)

    def receiver_report(self) -> list[Pair]:
        """Return what PONG says of the audio received."""
        media = self.jitter.statistics()
        lost = media.samples_lost // FRAME_SAMPLES
        total = media.frames_received + lost
        percent = 100 * lost // total if total else 0
        return [
            (Element.RR_JITTER, min(int(media.jitter_ms), 0xFFFF)),
            (Element.RR_LOSS, percent << 24 | min(lost, 0xFFFFFF)),
            (Element.RR_PKTS, media.frames_received & 0xFFFFFFFF),
            (Element.RR_DELAY, min(media.depth_samples // SAMPLES_PER_MS, 0xFFFF)),
            (Element.RR_DROPPED, media.frames_late & 0xFFFFFFFF),
            (Element.RR_OOO, media.frames_reordered & 0xFFFFFFFF),
        ]

    def take_receiver_report(self, elements: Elements) -> None:
        """Note what the peer says of our audio."""
        loss = elements.number(Element.RR_LOSS)
        if loss is not None:
            self.peer_loss_count = loss & 0xFFFFFF
        self.peer_jitter_ms = elements.number(Element.RR_JITTER)
