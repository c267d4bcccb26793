"""Whom an endpoint lets in, and what it says to strangers without remembering them.

A stranger costs no memory: POKE, refusals and demands for a call token are answered from the datagram alone,
at most `STATELESS_REPLIES_PER_S` of a kind, with at most `MAX_ANSWER_RATIO` times the octets that came. Our
servers (and, on a server, the registered accounts) have an allowance of their own, so that no flood from
elsewhere silences us towards them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, MutableSequence, Sequence
from enum import Enum

from iax import causes
from iax.auth import CallTokens, PeerConfig
from iax.call_setup import Offer
from iax.elements import Element, Elements, Pair, encode
from iax.encryption import Encryption
from iax.frames import STATELESS_CALL_NUMBER, Address, Command, FrameType, FullFrame

STATELESS_REPLIES_PER_S = 200
"""To strangers, and as many to those who are known; to POKE, and as many to NEW and registrations."""
MAX_ANSWER_RATIO = 1.36
"""Octets of a demand for a call token to those of the shortest REGREQ that gets one: 23 to 17."""


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
    NOT_WORTH_A_TOKEN = "no call token, and no VERSION or USERNAME either"  # noqa: S105
    REPLY_LIMIT = "too many answers without state"
    VIDEO = "video"


class KnownServers:
    """The servers whose calls are taken: those of the peers, and hosts and addresses given besides."""

    def __init__(self, accept_from: Iterable[str | Address], *, anyone: bool) -> None:
        self.accept_from: set[str | Address] = set(accept_from)
        """Hosts, and (host, port) pairs, besides the servers."""
        self._anyone = anyone
        self._peers: dict[PeerConfig, tuple[Address, ...]] = {}
        self._n_uses: Counter[PeerConfig] = Counter()

    def __contains__(self, peer: PeerConfig) -> bool:
        return peer in self._peers

    def add(self, peer: PeerConfig) -> None:
        """Take calls from PEER, until it was removed as often as it was added."""
        self._n_uses[peer] += 1
        if peer not in self._peers:
            self._peers[peer] = (peer.address, *peer.alternatives)

    def remove(self, peer: PeerConfig) -> None:
        """Take no more calls from PEER, unless it was added more often."""
        self._n_uses[peer] -= 1
        if self._n_uses[peer] <= 0:
            del self._n_uses[peer]
            self._peers.pop(peer, None)

    def move(self, peer: PeerConfig, addresses: tuple[Address, ...]) -> None:
        """Note that PEER's name has another meaning than in its configuration."""
        if peer in self._peers:
            self._peers[peer] = addresses

    def addresses(self, peer: PeerConfig) -> tuple[Address, ...]:
        """Return where PEER is, the best address first; what its configuration says if it is not known."""
        return self._peers.get(peer, (peer.address, *peer.alternatives))

    def allowed(self, addr: Address) -> bool:
        """Say whether calls from ADDR are taken."""
        return self._anyone or self.named(addr)

    def named(self, addr: Address) -> bool:
        """Say whether ADDR is one of those that were given, even where calls from anyone are taken."""
        return (
            addr in self.accept_from
            or addr[0] in self.accept_from
            or any(_is_at(addr, peer, addresses) for peer, addresses in self._peers.items())
        )

    def demands_token(self, addr: Address) -> bool:
        """Say whether calls from ADDR must bring a call token: one of the servers there wants it so."""
        return any(
            peer.demand_call_token and _is_at(addr, peer, addresses)
            for peer, addresses in self._peers.items()
        )

    def at(self, addr: Address, username: str) -> list[PeerConfig]:
        """Return the peers at ADDR: those with this USERNAME, or all if none has it."""
        peers = [peer for peer, addresses in self._peers.items() if _is_at(addr, peer, addresses)]
        return [peer for peer in peers if peer.username == username] or peers


def _is_at(addr: Address, peer: PeerConfig, addresses: tuple[Address, ...]) -> bool:
    return addr in addresses or addr[0] in peer.accept_from


def demanding(peers: Sequence[PeerConfig], offer: Offer) -> list[PeerConfig]:
    """Return those of PEERS that have to prove themselves in a call that they offer us so."""
    return [
        peer
        for peer in peers
        if peer.challenge_calls
        or peer.encryption is Encryption.REQUIRED
        or (peer.encryption is Encryption.ALLOWED and offer.encryption)
    ]


class _Allowance:
    """Answers of one kind: so many in a second."""

    def __init__(self) -> None:
        self._second = -1e9
        self._in_second = 0

    def take(self, now: float) -> bool:
        """Say whether one more may go out now, and count it."""
        if now - self._second >= 1.0:
            self._second = now
            self._in_second = 0
        if self._in_second >= STATELESS_REPLIES_PER_S:
            return False
        self._in_second += 1
        return True


class Doorkeeper:
    """Answers strangers without remembering them, and counts what is turned away."""

    def __init__(
        self,
        outbox: MutableSequence[tuple[bytes, Address]],
        tokens: CallTokens,
        known: Callable[[Address, float], bool],
    ) -> None:
        """KNOWN: says whether an address is one that answers are kept for, at a time."""
        self._outbox = outbox
        self.tokens = tokens
        self.drops: Counter[Drop] = Counter()
        self.replies = 0
        self._known = known
        self._allowances = {(poke, ours): _Allowance() for poke in (False, True) for ours in (False, True)}

    def address_proven(self, frame: FullFrame, elements: Elements, addr: Address, now: float) -> bool:
        """Say whether the opening brings the call token it needs; if not, that is on its way to ADDR.

        What lacks the element that it must have (RFC 5456 §6.1, §6.2.2) gets none: it may be as short as 14
        octets, and whoever forges an address shall not have more of them sent there than he sends.
        """
        tokens = self.tokens
        if tokens.valid_untrusted(elements.raw(Element.CALLTOKEN), addr, now):
            return True
        is_call = frame.is_command(Command.NEW)
        if Element.VERSION not in elements if is_call else not elements.text(Element.USERNAME):
            self.drops[Drop.NOT_WORTH_A_TOKEN] += 1
            return False
        self.drops[Drop.NO_CALL_TOKEN] += 1
        if Element.CALLTOKEN not in elements:
            command = Command.REJECT if is_call else Command.REGREJ
            self.reply(frame, command, [(Element.CAUSECODE, causes.FACILITY_REJECTED)], addr, now)
        else:
            self.reply(frame, Command.CALLTOKEN, [(Element.CALLTOKEN, tokens.make(addr, now))], addr, now)
        return False

    def reply(
        self, frame: FullFrame, command: Command, pairs: Iterable[Pair], addr: Address, now: float
    ) -> None:
        """Answer FRAME with COMMAND, unless there were too many such answers in this second."""
        kind = frame.is_command(Command.POKE), self._known(addr, now)
        if not self._allowances[kind].take(now):
            self.drops[Drop.REPLY_LIMIT] += 1
            return
        self.replies += 1
        reply = FullFrame(
            STATELESS_CALL_NUMBER, frame.source, frame.timestamp, 0, 1, FrameType.IAX, command, encode(pairs)
        )
        self._outbox.append((reply.encode(), addr))
