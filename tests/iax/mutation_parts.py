"""What attacks by mutation have in common: who is who on the network, which dialogues there are to attack,
and a call that nobody may disturb."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from iax import Call, CallState, Endpoint
from iax.auth import md5_key, md5_result
from iax.dialogue import Dialogue
from iax.elements import Element, encode
from iax.encryption import FrameCipher
from iax.frames import Address, Command, FrameType, FullFrame
from iax.registrar import Registrant
from tests.iax.mutator import HEADER, Mutator, Numbers, aim
from tests.iax.network import Core

Batch = Sequence[tuple[bytes, Address]]
OURS: Address = ("192.0.2.9", 4570)
FRIEND: Address = ("192.0.2.1", 4569)
"""Its calls are those that must not suffer. The attacker cannot send from there."""
FOE: Address = ("198.51.100.1", 4569)
"""A server whose calls the attacker may ruin: he sends from its address and knows all numbers."""
FAR_END: Address = ("198.51.100.2", 4569)
"""Named in the mutated transfers."""
STRANGERS: tuple[Address, ...] = (
    *((f"203.0.113.{n}", 1024 + n) for n in range(20)),
    (FRIEND[0], FRIEND[1] + 1),
    ("2001:db8::66", 4569),
)
TICK_S = 0.02
QUIET_S = 150.0
"""After this long without attack nothing may be left of it: the last call waits for 30 s, its HANGUP for 20 s
and its number for 60 s."""


class Target(Protocol):
    """Something that takes datagrams from anyone."""

    name: str

    def aimed(self, mutator: Mutator) -> tuple[bytes, Address]:
        """Return one more bad datagram, and where it comes from."""

    def taking(self, batch: Batch) -> Callable[[], None]:
        """Return what takes BATCH. Only that is timed."""

    def tick(self) -> None:
        """Let 20 ms pass; check what must hold."""

    def finish(self) -> None:
        """Check that nothing is left of the attack."""


def receive_all(core: Core, batch: Batch, now: float) -> None:
    receive = core.receive
    for datagram, address in batch:
        receive(datagram, address, now)


class Conversation:
    """A call between two cores, of which each sends numbered blocks and hears the other's, whole."""

    def __init__(self, call: Call, other: Call) -> None:
        self.ends = (call, other)
        self._sent = 0
        self._heard = [0, 0]

    def send(self, now: float) -> None:
        self._sent += 1
        block = self._sent.to_bytes(4, "big") * 40
        for end in self.ends:
            end.send_audio(block, now)

    def hear(self) -> None:
        for n, end in enumerate(self.ends):
            payload, lost = end.receive_audio()
            self.heard(n, payload, lost)

    def heard(self, n: int, payload: bytes, lost: bool) -> None:
        number = int.from_bytes(payload[:4], "big")
        if not self._heard[n] and number != 1:
            return  # the jitter buffer fills
        assert not lost
        assert payload == number.to_bytes(4, "big") * 40
        assert number == self._heard[n] + 1
        self._heard[n] = number

    def check(self) -> None:
        assert all(end.state is CallState.UP for end in self.ends)
        assert self._sent - min(self._heard) <= 20


class Attacked:
    """Which dialogues there are to attack, and how datagrams find them."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.foes: list[Dialogue] = []
        """Attacked from their peer's address."""
        self.friends: list[Dialogue] = []
        """Attacked from every other."""

    def look_around(self, dialogues: Sequence[Dialogue]) -> None:
        """Choose anew among all: those that are alive, and a few that are over."""
        foes = [d for d in dialogues if d.link.address != FRIEND and d.link.address[0] != OURS[0]]
        alive = [d for d in foes if not d.finished]
        self.rng.shuffle(alive)
        # first a few of those that are rare: registrations, and requests that nobody has answered
        alive.sort(key=lambda d: isinstance(d, Call) and d.link.remote != 0)
        alive[12:] = self.rng.sample(alive[12:], len(alive[12:]))
        over = [foes[int(self.rng.random() * len(foes))] for _ in range(4 if foes else 0)]
        self.foes = alive[:36] + over

    def aimed(self, mutator: Mutator) -> tuple[bytes, Address]:
        octets, random = mutator.datagram(), self.rng.random
        chance = random()
        if chance < 0.72 and self.foes:
            dialogue = self.foes[int(random() * len(self.foes))]
            link = dialogue.link
            if random() < 0.1:
                prove(octets, dialogue, self.rng)
            chance = random()
            address = link.address if chance < 0.9 else FAR_END if chance < 0.97 else FOE
            source = 77 if link.remote == 0 or address == FAR_END else link.remote
            aim(octets, Numbers(source, link.local, link.i_seq, link.o_seq), self.rng)
            if link.secrecy is not None and len(octets) >= HEADER and random() < 0.75:
                octets = bytearray(link.secrecy.encryptor.encrypt(bytes(octets)))
                if random() < 0.1:
                    octets[int(random() * len(octets))] ^= 0x10
            return bytes(octets), address
        if chance < 0.85 and self.friends:
            link = self.friends[int(random() * len(self.friends))].link
            aim(octets, Numbers(link.remote, link.local, link.i_seq, link.o_seq), self.rng)
            return bytes(octets), STRANGERS[int(random() * len(STRANGERS))]
        from_foe = random() < 0.5
        return bytes(octets), FOE if from_foe else STRANGERS[int(random() * len(STRANGERS))]


def prove(octets: bytearray, dialogue: Dialogue, rng: random.Random) -> None:
    """Make a frame the right answer to the challenge of a call or registration, whatever else is in it."""
    if len(octets) < HEADER or not octets[0] & 0x80:
        return
    if isinstance(dialogue, Call) and dialogue._check is not None:
        octets[10:12] = FrameType.IAX, Command.AUTHREP
        challenge = dialogue._check.challenge
    elif isinstance(dialogue, Registrant):
        octets[10:12] = FrameType.IAX, rng.choice((Command.REGREQ, Command.REGREL))
        octets += encode([(Element.USERNAME, dialogue._name)])
        challenge = dialogue._challenge
    else:
        return
    octets += encode([(Element.MD5_RESULT, md5_result(challenge, "secret"))])


def place_call(endpoint: Endpoint, receive: Callable[[Batch], None], new: bytes, rng: random.Random) -> None:
    """Call from the foe with the elements NEW; if challenged, mostly prove to know the secret."""
    number = 2 + int(rng.random() * 0x7F00)
    receive([(FullFrame(number, 0, 1, 0, 0, FrameType.IAX, Command.NEW, new).encode(), FOE)])
    call = endpoint._dialogues.by_remote.get((FOE, number))
    if not isinstance(call, Call) or call._check is None or rng.random() < 0.3:
        return
    link, challenge = call.link, call._check.challenge
    proof = encode([(Element.MD5_RESULT, md5_result(challenge, "secret"))])
    frame = FullFrame(number, link.local, 5, link.i_seq, link.o_seq, FrameType.IAX, Command.AUTHREP, proof)
    datagram = frame.encode()
    if call._check.encrypted:
        datagram = FrameCipher(md5_key(challenge, "secret"), rng).encrypt(datagram)
    receive([(datagram, FOE)])
