"""One UDP socket's worth of calls and registrations: finds the dialogue of each datagram, admits or refuses
new ones.

Pure: datagrams and `now` (seconds on any monotonic clock) go in, datagrams and events come out. Nothing
that comes from the network raises, and nothing from a stranger makes state: a NEW counts only from an
allowed address, POKE and call-token demands are answered without memory, and every table has a bound. What
is dropped is counted by reason (`Drop`).
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from types import MappingProxyType

from iax import causes
from iax.auth import Account, Accounts, CallTokens, PeerConfig, methods_of
from iax.call import Call
from iax.call_authentication import CallerCheck
from iax.call_setup import Offer, read_new
from iax.call_state import CallState
from iax.dialogue import Desk, Dialogue
from iax.elements import NO_ELEMENTS, Element, Elements, Pair, decode_untrusted, encode
from iax.encryption import Encryption, UnreadableFrame
from iax.events import Event
from iax.formats import ALL_FORMATS, Format
from iax.frames import (
    MAX_CALL_NUMBER,
    STATELESS_CALL_NUMBER,
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
from iax.trunk import TrunkSender

MAX_DIALOGUES = 16_000
QUARANTINE_S = 60.0
"""A call number is not used again for so long."""
STATELESS_REPLIES_PER_S = 200
NUMBER_CLASSES = 32
"""Call numbers are dealt out by UDP port modulo this, so that the modems of one host, which have ports in a
row, never use the same one; chan_iax2 under load mixes up callers of one host whose numbers are equal."""
OWN_CLASS_TRIES = 20
"""After so many numbers in use, which means thousands of calls a minute, any class will do."""
START_SPACING_S = 0.02
"""Registrations started together go out this far apart."""


class Drop(Enum):
    """Why a datagram was not acted upon."""

    BAD_FRAME = "bad frame"
    UNREADABLE = "encrypted with no key of that call, or not encrypted"
    NO_DIALOGUE = "no dialogue with that call number"
    WRONG_ADDRESS = "wrong address for that call number"
    WRONG_CALL_NUMBER = "wrong source call number"
    ADDRESS_NOT_ALLOWED = "new call from an address that is not allowed"
    NUMBER_IN_USE = "new dialogue with the call number of another"
    NOT_AN_OPENING = "no destination call number, and not a frame that may open a dialogue"
    NO_REGISTRAR = "registration request, but this is not a server"
    NO_ROOM = "too many dialogues"
    NO_CALL_TOKEN = "call token demanded"  # noqa: S105
    REPLY_LIMIT = "too many answers without state"
    VIDEO = "video"


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
    call's jitter buffer. DEMAND_CALL_TOKEN: strangers must prove their address first. ACCOUNTS: if given,
    callers must prove one of them. REGISTRAR: if given, accounts may register here. PORT: our own UDP port,
    for call numbers that no other process of this host uses. LOCAL_ADDRESS: tells from which address
    datagrams to a server leave; if given, NATs are noticed (see `PeerConfig.keep_alive_s`).
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
    ) -> None:
        self.accept_from: set[str | Address] = set(accept_from)
        self._accept_from_anyone = accept_from_anyone
        self._rng = rng
        self._desk = Desk(self, rng)
        self._outbox = self._desk.outbox
        self._formats = tuple(formats)
        self._max_incoming = max_incoming
        self._new_playout = new_playout
        self._tokens = CallTokens(rng) if demand_call_token else None
        self._accounts = accounts
        self._registrar = registrar
        self._port = port
        self._local_address = local_address
        self._peers: dict[PeerConfig, tuple[Address, ...]] = {}
        self._dialogues: dict[int, Dialogue] = {}
        self._by_remote: dict[tuple[Address, int], Dialogue] = {}
        self._registrations: list[Registration] = []
        self._quarantine: deque[tuple[float, int]] = deque()
        self._quarantined: set[int] = set()
        self._timers: list[tuple[float, int, Dialogue]] = []
        self._timer_serial = 0
        self._incoming = 0
        self._drops: Counter[Drop] = Counter()
        self._received = self._sent = self._offered = self._refused = self._stateless = 0
        self._stateless_window = -1e9
        self._stateless_in_window = 0
        self._starts_at = -1e9

    # -- the owner's side

    def register(self, peer: PeerConfig, now: float) -> Registration:
        """Register with PEER and stay registered; its address may call us from now on."""
        self.add_peer(peer)
        self._starts_at = max(now, self._starts_at + START_SPACING_S)
        registration = Registration(
            peer,
            self._desk,
            self._start_attempt,
            self._start_poke,
            first_at=self._starts_at,
            addresses=self._peers[peer],
            local_address=self._local_address,
        )
        self._registrations.append(registration)
        registration.handle_timer(now)
        return registration

    def forget(self, registration: Registration) -> None:
        """Drop a released registration."""
        self._registrations.remove(registration)

    def add_peer(self, peer: PeerConfig) -> None:
        """Take calls from PEER, on its terms. `register` does it; for servers that know our address by
        themselves."""
        if peer not in self._peers:
            self._peers[peer] = (peer.address, *peer.alternatives)
        self.accept_from.update(self._peers[peer])

    def remove_peer(self, peer: PeerConfig) -> None:
        """Take no more calls from PEER, unless others have the same server."""
        gone = set(self._peers.pop(peer, ()))
        self.accept_from -= gone - {address for known in self._peers.values() for address in known}

    def move_peer(self, peer: PeerConfig, addresses: Sequence[Address], now: float) -> None:
        """Take ADDRESSES, the best first, as those of PEER from now on: its name has a new meaning.

        Calls that are up stay where they are.
        """
        if not addresses or self._peers.get(peer) == tuple(addresses):
            return
        self.remove_peer(peer)
        self._peers[peer] = tuple(addresses)
        self.add_peer(peer)
        for registration in self._registrations:
            if registration.peer == peer:
                registration.move(tuple(addresses), now)

    def address_of(self, peer: PeerConfig) -> Address:
        """Return where calls through PEER go: to the server that we are registered with, if any."""
        for registration in self._registrations:
            if registration.peer == peer:
                return registration.address
        return self._peers.get(peer, (peer.address,))[0]

    def call(
        self,
        peer: PeerConfig,
        number: str,
        now: float,
        *,
        calling_number: str = "",
        calling_name: str = "",
        formats: Sequence[Format] | None = None,
        playout: Playout | None = None,
        date_time: datetime | None = None,
    ) -> Call:
        """Call NUMBER through PEER. Raise ValueError if the number cannot be dialled.

        The first of FORMATS is what we ask for; the server chooses. DATE_TIME: our local time, to be told.
        """
        address = self.address_of(peer)
        call = Call(self._desk, self._new_number(now), address, now)
        call.jitter = self._new_playout() if playout is None else playout
        call.start_outgoing(
            peer,
            number,
            now,
            calling_number=calling_number,
            calling_name=calling_name,
            formats=self._formats if formats is None else formats,
            date_time=date_time,
        )
        if peer.trunk:
            call.link.trunk = self._trunk_to(address, now)
        self._dialogues[call.link.local] = call
        return call

    def events(self) -> list[Event]:
        """Return what happened since the last time, in order."""
        events = list(self._desk.events)
        self._desk.events.clear()
        return events

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        """Return what has to go out, in order."""
        datagrams = list(self._outbox)
        self._outbox.clear()
        for address, trunk in self._desk.trunks.items():
            datagrams += [(datagram, address) for datagram in trunk.take()]
        self._sent += len(datagrams)
        return datagrams

    def statistics(self) -> EndpointStatistics:
        """Return the figures."""
        return EndpointStatistics(
            self._received,
            self._sent,
            MappingProxyType({drop.value: count for drop, count in self._drops.items()}),
            len(self._dialogues),
            sum(
                isinstance(dialogue, Call) and not dialogue.finished for dialogue in self._dialogues.values()
            ),
            self._offered,
            self._refused,
            self._stateless,
        )

    # -- time

    def next_timer(self) -> float | None:
        """Return when `handle_timer` has something to do, or None."""
        times = [
            timer for registration in self._registrations if (timer := registration.next_timer()) is not None
        ]
        if self._timers:
            times.append(self._timers[0][0])
        return min(times, default=None)

    def handle_timer(self, now: float) -> None:
        """Do everything that is due: retransmissions, PINGs, registrations. Cheap when nothing is."""
        timers = self._timers
        while timers and timers[0][0] <= now:
            due, _, dialogue = heapq.heappop(timers)
            if dialogue.scheduled != due:
                continue  # an older note; a newer one is in the heap
            dialogue.scheduled = None
            if dialogue.gone:
                continue
            dialogue.handle_timer(now)
            if dialogue.gone:
                self._free(dialogue, now)
            else:
                self.reschedule(dialogue)
        for registration in self._registrations:
            registration.handle_timer(now)
        while self._quarantine and self._quarantine[0][0] <= now:
            self._quarantined.discard(self._quarantine.popleft()[1])

    def reschedule(self, dialogue: Dialogue) -> None:
        """Note the dialogue's next timer (called by the dialogue)."""
        due = dialogue.next_timer()
        if due is None or (dialogue.scheduled is not None and dialogue.scheduled <= due):
            return
        dialogue.scheduled = due
        self._timer_serial += 1
        heapq.heappush(self._timers, (due, self._timer_serial, dialogue))

    def remote_learned(self, dialogue: Dialogue) -> None:
        """Note the peer's call number (called by the dialogue)."""
        self._by_remote[dialogue.link.address, dialogue.link.remote] = dialogue

    # -- datagrams in

    def receive(self, datagram: bytes, addr: Address, now: float) -> None:
        """Take one datagram from ADDR. Never raises."""
        self._received += 1
        # the common case first: a mini frame of a known call
        if len(datagram) > 4 and not datagram[0] & 0x80:
            source = datagram[0] << 8 | datagram[1]
            if source:
                dialogue = self._by_remote.get((addr, source))
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
                call = self._by_remote.get((addr, source))
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
        call = self._by_remote.get((addr, frame.source))
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
            self._reply_without_state(frame, Command.PONG, (), addr, now)
            return
        if frame.subclass not in (Command.NEW, Command.REGREQ, Command.REGREL):
            self._drops[Drop.NOT_AN_OPENING] += 1
            return
        if frame.subclass == Command.NEW:
            if not self._allowed(addr):
                self._drops[Drop.ADDRESS_NOT_ALLOWED] += 1
                return
        elif self._registrar is None:
            self._drops[Drop.NO_REGISTRAR] += 1
            return
        if self._tokens is not None and not self._token_ok(self._tokens, frame, elements, addr, now):
            return
        opening = _opening_of(frame)
        known = self._by_remote.get((addr, frame.source))
        if known is not None:
            if known.opening == opening:
                known.receive(frame, elements, now)  # repeated: our answer got lost, or is on its way
                return
            if not known.finished:
                # The peer has restarted, or got two call tokens, or this is forged. A call asks whether the
                # peer
                # still knows it, a registration ends soon; if this is true, it will be repeated.
                self._drops[Drop.NUMBER_IN_USE] += 1
                if isinstance(known, Call):
                    known.handle_invalid(now)
                return
            known.link.stop()
            self._free(known, now)
        self._open(frame, elements, addr, opening, now)

    def _open(self, frame: FullFrame, elements: Elements, addr: Address, opening: bytes, now: float) -> None:
        is_call = frame.subclass == Command.NEW
        if len(self._dialogues) >= MAX_DIALOGUES or (is_call and self._incoming >= self._max_incoming):
            self._drops[Drop.NO_ROOM] += 1
            command = Command.REJECT if is_call else Command.REGREJ
            if is_call:
                self._refused += 1
            self._reply_without_state(
                frame, command, [(Element.CAUSECODE, causes.SWITCH_CONGESTION)], addr, now
            )
            return
        local = self._new_number(now)
        dialogue: Dialogue
        if is_call:
            dialogue = call = Call(self._desk, local, addr, now, frame.source)
            call.jitter = self._new_playout()
            self._incoming += 1
        else:
            assert self._registrar is not None
            dialogue = registrant = Registrant(
                self._desk, local, addr, now, remote=frame.source, registrar=self._registrar
            )
        dialogue.opening = opening
        self._dialogues[local] = dialogue
        self._by_remote[addr, frame.source] = dialogue
        link = dialogue.link
        if link.receive(frame, now) is not Order.IN_ORDER:
            # a first frame whose number is not 0: no client does that
            self._drops[Drop.NOT_AN_OPENING] += 1
            link.stop()
            self._free(dialogue, now)
            return
        if is_call:
            self._offered += 1
            offer = read_new(elements)
            check, trunk = self._check_of(offer, addr)
            call.start_incoming(offer, now, formats=self._formats, check=check)
            if trunk:
                call.link.trunk = self._trunk_to(addr, now)
            if call.state is CallState.ENDED:
                self._refused += 1
        else:
            registrant.start(frame, elements, now)
        link.acknowledge(frame)
        self.reschedule(dialogue)

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
        peers = [peer for peer, addresses in self._peers.items() if addr in addresses]
        peers = [peer for peer in peers if peer.username == offer.username] or peers
        trunk = any(peer.trunk for peer in peers)
        demanding = [
            peer
            for peer in peers
            if peer.challenge_calls
            or peer.encryption is Encryption.REQUIRED
            or (peer.encryption is Encryption.ALLOWED and offer.encryption)
        ]
        if not demanding:
            return None, trunk
        candidates = [peer.caller() for peer in demanding]
        check = CallerCheck(candidates, methods_of(candidates), offer.encryption, self._rng, offer.username)
        return check, trunk

    def _trunk_to(self, addr: Address, now: float) -> TrunkSender:
        return self._desk.trunks.setdefault(addr, TrunkSender(now))

    def _allowed(self, addr: Address) -> bool:
        return self._accept_from_anyone or addr in self.accept_from or addr[0] in self.accept_from

    def _token_ok(
        self, tokens: CallTokens, frame: FullFrame, elements: Elements, addr: Address, now: float
    ) -> bool:
        token = elements.raw(Element.CALLTOKEN)
        if tokens.valid_untrusted(token, addr, now):
            return True
        self._drops[Drop.NO_CALL_TOKEN] += 1
        if Element.CALLTOKEN not in elements:
            command = Command.REJECT if frame.subclass == Command.NEW else Command.REGREJ
            pairs: list[Pair] = [(Element.CAUSECODE, causes.FACILITY_REJECTED)]
            self._reply_without_state(frame, command, pairs, addr, now)
        else:
            pairs = [(Element.CALLTOKEN, tokens.make(addr, now))]
            self._reply_without_state(frame, Command.CALLTOKEN, pairs, addr, now)
        return False

    def _reply_without_state(
        self, frame: FullFrame, command: Command, pairs: Iterable[Pair], addr: Address, now: float
    ) -> None:
        if now - self._stateless_window >= 1.0:
            self._stateless_window = now
            self._stateless_in_window = 0
        if self._stateless_in_window >= STATELESS_REPLIES_PER_S:
            self._drops[Drop.REPLY_LIMIT] += 1
            return
        self._stateless_in_window += 1
        self._stateless += 1
        reply = FullFrame(
            STATELESS_CALL_NUMBER, frame.source, frame.timestamp, 0, 1, FrameType.IAX, command, encode(pairs)
        )
        self._outbox.append((reply.encode(), addr))

    # -- call numbers

    def _start_attempt(self, registration: Registration, now: float) -> Attempt:
        local = self._new_number(now)
        attempt = Attempt(self._desk, local, registration.address, now, registration)
        self._dialogues[local] = attempt
        return attempt

    def _start_poke(self, registration: Registration, now: float) -> Poke:
        local = self._new_number(now)
        poke = Poke(self._desk, local, registration.address, now, registration)
        self._dialogues[local] = poke
        poke.begin(now)
        return poke

    def _new_number(self, now: float) -> int:
        while self._quarantine and len(self._dialogues) + len(self._quarantine) > MAX_CALL_NUMBER // 2:
            self._quarantined.discard(self._quarantine.popleft()[1])
        tries = 0
        while True:
            tries += 1
            number = self._rng.randint(STATELESS_CALL_NUMBER + 1, MAX_CALL_NUMBER)
            if tries <= OWN_CLASS_TRIES:
                number += (self._port - number) % NUMBER_CLASSES
                if number > MAX_CALL_NUMBER:
                    continue
            if number not in self._dialogues and number not in self._quarantined:
                return number

    def _free(self, dialogue: Dialogue, now: float) -> None:
        dialogue.gone = True
        link = dialogue.link
        self._dialogues.pop(link.local, None)
        if self._by_remote.get((link.address, link.remote)) is dialogue:
            del self._by_remote[link.address, link.remote]
        if isinstance(dialogue, Call) and not dialogue.outgoing:
            self._incoming -= 1
        self._quarantine.append((now + QUARANTINE_S, link.local))
        self._quarantined.add(link.local)


def _opening_of(frame: FullFrame) -> bytes:
    return frame.timestamp.to_bytes(4, "big") + frame.payload
