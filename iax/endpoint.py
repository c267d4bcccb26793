"""One UDP socket's worth of calls and registrations: finds the dialogue of each datagram, admits or refuses
new ones.

Pure: datagrams and `now` (seconds on any monotonic clock) go in, datagrams and events come out. Nothing
that comes from the network raises. Nothing from an address that is not allowed makes state: NEW from there
is dropped, POKE and demands for call tokens are answered without memory. UDP addresses can be forged, though:
who writes an allowed one can make a line ring, unless a call token is demanded. Every table has a bound. What
is dropped is counted by reason (`Drop`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from iax import causes
from iax.admission import Doorkeeper, Drop, KnownServers, demanding
from iax.auth import Account, Accounts, CallTokens, PeerConfig, methods_of
from iax.call import Call
from iax.call_authentication import CallerCheck
from iax.call_setup import Offer, read_new
from iax.call_state import CallState
from iax.caller_id import Presentation
from iax.dialogue import Desk, Dialogue
from iax.dialogues import MAX_DIALOGUES, Dialogues
from iax.elements import NO_ELEMENTS, Element, Elements, decode_untrusted
from iax.encryption import UnreadableFrame
from iax.events import Event
from iax.formats import ALL_FORMATS, FRAME_SAMPLES, Format
from iax.frames import (
    UNNUMBERED,
    Address,
    BadFrame,
    Command,
    FrameType,
    FullFrame,
    MetaVideo,
    MiniFrame,
)
from iax.frames import decode_untrusted as decode_frame_untrusted
from iax.jitter import JitterBuffer
from iax.keepalive import Poke
from iax.playout import Playout
from iax.registrar import Registrant, Registrar
from iax.registration import Attempt, Registration
from iax.reliability import Order
from iax.voice_batches import Outgoing, VoiceBatches

if TYPE_CHECKING:  # needs numba, which those without a table need not have
    from iax.datagram_batch import Received
    from iax.media_table import MediaTable

START_SPACING_S = 0.02
"""Registrations started together go out this far apart."""


@dataclass(frozen=True, slots=True)
class EndpointStatistics:
    """An endpoint's figures."""

    datagrams_received: int
    datagrams_sent: int
    dropped: Mapping[str, int]
    """By the text of `Drop`."""
    dialogues: int
    calls: int
    """Calls that are not over."""
    calls_offered: int
    calls_refused: int
    stateless_replies: int


class Endpoint:
    """Calls and registrations over one UDP port.

    RNG: seeded in tests, `random.SystemRandom()` in earnest (call numbers and challenges must not be
    guessed). ACCEPT_FROM: hosts, or (host, port) pairs, whose calls are taken; `register` adds its server.
    MAX_INCOMING: calls beyond this are refused as busy without keeping state. NEW_PLAYOUT: makes each
    call's jitter buffer. DEMAND_CALL_TOKEN: whoever calls or registers must prove
    his address first (see also `PeerConfig.demand_call_token`). ACCOUNTS: if given,
    callers must prove one of them. REGISTRAR: if given, accounts may register here. PORT: our own UDP port,
    for call numbers that no other process of this host uses. LOCAL_ADDRESS: tells from which address
    datagrams to a server leave; if given, NATs are noticed (see `PeerConfig.keep_alive_s`). MEDIA: where the
    voice of calls stands so that batches of datagrams can be taken (`receive_batch`, `send_voice`,
    `receive_voice`); its jitter buffers are then used instead of NEW_PLAYOUT's while it has seats.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        accept_from: Iterable[str | Address] = (),
        formats: Sequence[Format] = ALL_FORMATS,
        max_incoming: int = 1000,
        new_playout: Callable[[], Playout] = JitterBuffer,
        demand_call_token: bool = False,
        accounts: Accounts | None = None,
        registrar: Registrar | None = None,
        accept_from_anyone: bool = False,
        port: int = 0,
        local_address: Callable[[Address], Address | None] | None = None,
        media: MediaTable | None = None,
    ) -> None:
        self._rng = rng
        self._dialogues = Dialogues(rng, port, on_known=self._known, on_free=self._freed)
        self._desk = Desk(self._dialogues, rng)
        self._outbox = self._desk.outbox
        self._formats = tuple(formats)
        self._max_incoming = max_incoming
        self._new_playout = new_playout
        self._media = media
        self._voice = VoiceBatches(self._outbox, media)
        self._demand_call_token = demand_call_token
        self._servers = KnownServers(accept_from, anyone=accept_from_anyone)
        self._accounts = accounts
        self._registrar = registrar
        self._door = Doorkeeper(self._outbox, CallTokens(rng), self._is_known)
        self._drops = self._door.drops
        self._local_address = local_address
        self._registrations: list[Registration] = []
        self._incoming = 0
        self._received = self._sent = self._offered = self._refused = 0
        self._starts_at = -1e9

    # -- the owner's side

    def register(self, peer: PeerConfig, now: float) -> Registration:
        """Register with PEER and stay registered; it may call us from now on, until `remove_peer`."""
        if peer not in self._servers:
            self._servers.add(peer)
        self._starts_at = max(now, self._starts_at + START_SPACING_S)
        registration = Registration(
            peer,
            self._desk,
            self._start_attempt,
            self._start_poke,
            first_at=self._starts_at,
            addresses=self._servers.addresses(peer),
            local_address=self._local_address,
        )
        self._registrations.append(registration)
        registration.handle_timer(now)
        return registration

    def forget(self, registration: Registration) -> None:
        """Drop a released registration."""
        self._registrations.remove(registration)

    @property
    def accept_from(self) -> set[str | Address]:
        """Hosts and (host, port) pairs whose calls are taken besides the servers'; add to it as needed."""
        return self._servers.accept_from

    def accepts_from(self, addr: Address) -> bool:
        """Say whether calls from ADDR are taken."""
        return self._servers.allowed(addr)

    def add_peer(self, peer: PeerConfig) -> None:
        """Take calls from PEER, on its terms, until `remove_peer`. `register` does it too; this is for
        servers that know our address by themselves."""
        self._servers.add(peer)

    def remove_peer(self, peer: PeerConfig) -> None:
        """Take no more calls from PEER, unless it was added once more."""
        self._servers.remove(peer)

    def move_peer(self, peer: PeerConfig, addresses: Sequence[Address], now: float) -> None:
        """Take ADDRESSES, the best first, as those of PEER from now on: its name has a new meaning.

        Calls that are up stay where they are.
        """
        moved = tuple(addresses)
        if not moved or self._servers.addresses(peer) == moved:
            return
        self._servers.move(peer, moved)
        for registration in self._registrations:
            if registration.peer == peer:
                registration.move(moved, now)

    def address_of(self, peer: PeerConfig) -> Address:
        """Return where calls through PEER go: to the server that we are registered with, if any."""
        for registration in self._registrations:
            if registration.peer == peer:
                return registration.address
        return self._servers.addresses(peer)[0]

    def call(
        self,
        peer: PeerConfig,
        number: str,
        now: float,
        *,
        calling_number: str = "",
        calling_name: str = "",
        presentation: Presentation | None = None,
        ani: str = "",
        formats: Sequence[Format] | None = None,
        playout: Playout | None = None,
        date_time: datetime | None = None,
    ) -> Call:
        """Call NUMBER through PEER. Raise ValueError if the number cannot be dialled.

        CALLING_NUMBER and CALLING_NAME: who calls; PRESENTATION: whether that may be shown (None: as PEER has
        it); ANI: the number that pays. The first of FORMATS is what we ask for; the server chooses.
        DATE_TIME: our local time, to be told.
        """
        address = self.address_of(peer)
        call = Call(self._desk, self._dialogues.new_number(), address, now)
        call.start_outgoing(
            peer,
            number,
            now,
            calling_number=calling_number,
            calling_name=calling_name,
            presentation=presentation,
            ani=ani,
            formats=self._formats if formats is None else formats,
            date_time=date_time,
        )
        if playout is not None:
            call.jitter = playout
        else:
            self._give_playout(call)  # only now: a seat that it took before it raised would never be free
        if peer.trunk:
            call.link.trunk = self._desk.trunks.join(address, now)
        call.reliable_voice = peer.reliable_voice
        self._dialogues.add(call)
        return call

    def events(self) -> list[Event]:
        """Return what happened since the last time, in order."""
        events = list(self._desk.events)
        self._desk.events.clear()
        return events

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        """Return what has to go out, in order."""
        before, voice, after = self.outgoing()
        return before + ([] if voice is None else voice.singly()) + after

    def outgoing(self) -> Outgoing:
        """Return what has to go out, in order: datagrams, a batch of voice, and datagrams."""
        before, voice, after = self._voice.take()
        after += self._desk.trunks.take()
        self._sent += len(before) + len(after) + (0 if voice is None else len(voice))
        return before, voice, after

    def use_table(self, media: MediaTable) -> None:
        """Keep the voice of calls from now on in MEDIA, as if it had been given at the beginning."""
        self._media = self._voice.table = media

    def send_voice(self, calls: Sequence[Call], rows: NDArray[np.uint8], now: float) -> None:
        """Send 20 ms of audio of each of CALLS: the first octets of its row of ROWS, in its format.

        Does what `Call.send_audio` does for each, and for calls with a seat without an object a frame.
        """
        self._voice.send(calls, rows, now)

    def receive_voice(
        self, calls: Sequence[Call], n_samples: int = FRAME_SAMPLES
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return N_SAMPLES of each of CALLS as a row of octets in its format, and what became of it.

        0: as it came; 1: with a stand-in for audio that never arrived; 2: held. Does what `Playout.hold` and,
        unless that says to wait, `Call.receive_audio` do for each.
        """
        return self._voice.receive(calls, n_samples)

    def statistics(self) -> EndpointStatistics:
        """Return the figures."""
        return EndpointStatistics(
            self._received,
            self._sent,
            MappingProxyType({drop.value: count for drop, count in self._drops.items()}),
            len(self._dialogues),
            sum(isinstance(dialogue, Call) and not dialogue.finished for dialogue in self._dialogues),
            self._offered,
            self._refused,
            self._door.replies,
        )

    # -- time

    def next_timer(self) -> float | None:
        """Return when `handle_timer` has something to do, or None."""
        times = [
            timer for registration in self._registrations if (timer := registration.next_timer()) is not None
        ]
        if (due := self._dialogues.next_timer()) is not None:
            times.append(due)
        return min(times, default=None)

    def handle_timer(self, now: float) -> None:
        """Do everything that is due: retransmissions, PINGs, registrations. Cheap when nothing is."""
        self._dialogues.handle_timer(now)
        for registration in self._registrations:
            registration.handle_timer(now)

    # -- datagrams in

    def receive_batch(self, batch: Received, n: int, now: float) -> None:
        """Take the first N datagrams of BATCH as `receive` would one after the other. Never raises."""
        media = self._media
        begins = b"" if media is None else batch.datagrams[:n, 0].tobytes()
        i = 0
        while i < n:
            if media is not None and not begins[i] & 0x80:  # asking it about a full frame costs 5 µs
                first = media.receive(batch.datagrams, batch.lengths, batch.names, batch.ipv6, i, n, now)
                self._received += first - i
                i = first
                if i == n:
                    break
            self.receive(batch.datagram(i), batch.address(i), now)
            i += 1

    def receive(self, datagram: bytes, addr: Address, now: float) -> None:
        """Take one datagram from ADDR. Never raises."""
        self._received += 1
        # the common case first: a mini frame of a known call
        if len(datagram) > 4 and not datagram[0] & 0x80:
            source = datagram[0] << 8 | datagram[1]
            if source:
                dialogue = self._dialogues.by_remote.get((addr, source))
                if isinstance(dialogue, Call):
                    if dialogue.link.secrecy is None:
                        dialogue.receive_mini(datagram[2] << 8 | datagram[3], datagram[4:], now)
                    else:
                        dialogue.receive_secret_mini(datagram, now)
                else:
                    self._drops[Drop.NO_DIALOGUE] += 1
                return
        try:
            frame = decode_frame_untrusted(self._reveal_untrusted(datagram, addr, now))
            if isinstance(frame, FullFrame):
                elements = decode_untrusted(frame.payload) if frame.type == FrameType.IAX else NO_ELEMENTS
                self._receive_full(frame, elements, addr, now)
                return
        except UnreadableFrame:
            self._drops[Drop.UNREADABLE] += 1
            return
        except BadFrame:
            self._drops[Drop.BAD_FRAME] += 1
            return
        if isinstance(frame, MetaVideo):
            self._drops[Drop.VIDEO] += 1
            return
        if isinstance(frame, MiniFrame):
            self._receive_mini(frame, addr, now)
        elif frame.timestamped:
            for entry in frame.entries:
                self._receive_mini(entry, addr, now)
        else:
            by_source: dict[int, list[bytes]] = {}
            for entry in frame.entries:
                by_source.setdefault(entry.source, []).append(entry.payload)
            for source, payloads in by_source.items():
                call = self._dialogues.by_remote.get((addr, source))
                if isinstance(call, Call) and call.link.secrecy is None:
                    call.receive_trunked(frame.timestamp, payloads, now)
                else:
                    self._drops[Drop.NO_DIALOGUE] += 1

    def _reveal_untrusted(self, datagram: bytes, addr: Address, now: float) -> bytes:
        """Decrypt a full frame, if its dialogue is encrypted; the first 4 octets are always in clear."""
        if len(datagram) < 12 or not datagram[0] & 0x80:
            return datagram
        dialogue = self._dialogues.get((datagram[2] & 0x7F) << 8 | datagram[3])
        if dialogue is None or dialogue.link.address != addr:
            return datagram
        if dialogue.link.remote not in (0, (datagram[0] & 0x7F) << 8 | datagram[1]):
            return datagram
        return dialogue.reveal_untrusted(datagram, now)

    def _receive_mini(self, frame: MiniFrame, addr: Address, now: float) -> None:
        call = self._dialogues.by_remote.get((addr, frame.source))
        if isinstance(call, Call) and call.link.secrecy is None:
            call.receive_mini(frame.timestamp, frame.payload, now)
        else:
            self._drops[Drop.NO_DIALOGUE] += 1

    def _receive_full(self, frame: FullFrame, elements: Elements, addr: Address, now: float) -> None:
        if frame.destination == 0:
            self._receive_opening(frame, elements, addr, now)
            return
        dialogue = self._dialogues.get(frame.destination)
        if dialogue is None:
            self._drops[Drop.NO_DIALOGUE] += 1
        elif dialogue.link.address != addr:
            if not dialogue.handle_from_elsewhere(frame, elements, addr, now):
                self._drops[Drop.WRONG_ADDRESS] += 1
        elif dialogue.link.remote not in (0, frame.source):
            self._drops[Drop.WRONG_CALL_NUMBER] += 1
        else:
            dialogue.receive(frame, elements, now)

    # -- admission

    def _receive_opening(self, frame: FullFrame, elements: Elements, addr: Address, now: float) -> None:
        if frame.type != FrameType.IAX or frame.subclass in UNNUMBERED:
            # an acknowledgement by a peer that does not know our number yet, or nonsense
            self._drops[Drop.NOT_AN_OPENING] += 1
            return
        if frame.subclass == Command.POKE:
            self._door.reply(frame, Command.PONG, (), addr, now)
            return
        if frame.subclass not in (Command.NEW, Command.REGREQ, Command.REGREL):
            self._drops[Drop.NOT_AN_OPENING] += 1
            return
        if frame.subclass == Command.NEW:
            if not self._servers.allowed(addr):
                self._drops[Drop.ADDRESS_NOT_ALLOWED] += 1
                return
        elif self._registrar is None:
            self._drops[Drop.NO_REGISTRAR] += 1
            return
        if self._wants_token(frame, addr) and not self._door.address_proven(frame, elements, addr, now):
            return
        opening = _opening_of(frame)
        known = self._dialogues.by_remote.get((addr, frame.source))
        if known is not None:
            if known.opening == opening:
                known.receive(frame, elements, now)  # repeated: our answer got lost, or is on its way
                return
            if not known.finished:
                # The peer has restarted, or got two call tokens, or this is forged: address and number are
                # enough for that. A call asks whether the peer still knows it, a registration ends soon; if
                # this is true, it will be repeated.
                self._drops[Drop.NUMBER_IN_USE] += 1
                if isinstance(known, Call):
                    known.ask_whether_known(now)
                return
            known.link.stop()
            self._dialogues.free(known, now)
        self._open(frame, elements, addr, opening, now)

    def _open(self, frame: FullFrame, elements: Elements, addr: Address, opening: bytes, now: float) -> None:
        is_call = frame.subclass == Command.NEW
        if len(self._dialogues) >= MAX_DIALOGUES or (is_call and self._incoming >= self._max_incoming):
            self._drops[Drop.NO_ROOM] += 1
            command = Command.REJECT if is_call else Command.REGREJ
            if is_call:
                self._refused += 1
            self._door.reply(frame, command, [(Element.CAUSECODE, causes.SWITCH_CONGESTION)], addr, now)
            return
        local = self._dialogues.new_number()
        dialogue: Dialogue
        if is_call:
            dialogue = call = Call(self._desk, local, addr, now, frame.source)
            self._give_playout(call)
        else:
            assert self._registrar is not None
            dialogue = registrant = Registrant(
                self._desk, local, addr, now, remote=frame.source, registrar=self._registrar
            )
        dialogue.opening = opening
        self._dialogues.add(dialogue)
        link = dialogue.link
        if link.receive(frame, now) is not Order.IN_ORDER:
            # a first frame whose number is not 0: no client does that
            self._drops[Drop.NOT_AN_OPENING] += 1
            link.stop()
            self._dialogues.free(dialogue, now)
            return
        if is_call:
            self._incoming += 1
            self._offered += 1
            offer = read_new(elements)
            check, trunk = self._check_of(offer, addr)
            call.follow_transfers = any(
                peer.follow_transfers for peer in self._servers.at(addr, offer.username)
            )
            call.start_incoming(offer, now, formats=self._formats, check=check)
            if trunk:
                call.link.trunk = self._desk.trunks.join(addr, now)
            call.reliable_voice = any(peer.reliable_voice for peer in self._servers.at(addr, offer.username))
            if call.state is CallState.ENDED:
                self._refused += 1
        else:
            registrant.start(frame, elements, now)
        link.acknowledge(frame)
        self._dialogues.reschedule(dialogue)

    def _check_of(self, offer: Offer, addr: Address) -> tuple[CallerCheck | None, bool]:
        """Return what the caller has to prove, None if nothing; and whether he gets trunk frames."""
        if self._accounts is not None:
            named = self._accounts.get(offer.username)
            candidates: Sequence[Account] = () if named is None else (named,)
            # an unknown user is challenged too, so that names cannot be guessed
            check = CallerCheck(
                candidates,
                methods_of(self._accounts.values()),
                offer.encryption,
                self._rng,
                offer.username,
            )
            return check, named is not None and named.trunk
        peers = self._servers.at(addr, offer.username)
        trunk = any(peer.trunk for peer in peers)
        wary = demanding(peers, offer)
        if not wary:
            return None, trunk
        candidates = [peer.caller() for peer in wary]
        check = CallerCheck(candidates, methods_of(candidates), offer.encryption, self._rng, offer.username)
        return check, trunk

    def _wants_token(self, frame: FullFrame, addr: Address) -> bool:
        by_peer = frame.is_command(Command.NEW) and self._servers.demands_token(addr)
        return by_peer or self._demand_call_token

    def _is_known(self, addr: Address, now: float) -> bool:
        """Say whether ADDR is a server's of ours, or an account's that is registered here."""
        return self._servers.named(addr) or (self._registrar is not None and self._registrar.at(addr, now))

    # -- dialogues of our own

    def _start_attempt(self, registration: Registration, now: float) -> Attempt:
        local = self._dialogues.new_number()
        attempt = Attempt(self._desk, local, registration.address, now, registration)
        self._dialogues.add(attempt)
        return attempt

    def _start_poke(self, registration: Registration, now: float) -> Poke:
        local = self._dialogues.new_number()
        poke = Poke(self._desk, local, registration.address, now, registration)
        self._dialogues.add(poke)
        poke.begin(now)
        return poke

    def _give_playout(self, call: Call) -> None:
        seat = None if self._media is None else self._media.new_seat()
        if seat is None:
            call.jitter = self._new_playout()
        else:
            call.take_seat(seat, *seat.voice_of(call.link))

    def _known(self, dialogue: Dialogue, before: Dialogue | None) -> None:
        if isinstance(before, Call) and before is not dialogue and before.seat is not None:
            before.seat.unknown()
        if isinstance(dialogue, Call) and dialogue.seat is not None:
            dialogue.seat.known_as(dialogue.link.address, dialogue.link.remote)

    def _freed(self, dialogue: Dialogue) -> None:
        if isinstance(dialogue, Call):
            if dialogue.seat is not None:
                dialogue.seat.leave()
            self._incoming -= not dialogue.outgoing
        if dialogue.link.trunk is not None:
            dialogue.link.trunk.leave()


def _opening_of(frame: FullFrame) -> bytes:
    return frame.timestamp.to_bytes(4, "big") + frame.payload
