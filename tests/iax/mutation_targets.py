"""What is attacked by mutation: the codec; and an endpoint, singly, in batches or encrypted, that has calls
in every state, registrations under way, and calls with another server that nobody may disturb."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial

import numpy as np

from iax import Account, Call, CallEnded, CallState, Encryption, Endpoint, IncomingCall, PeerConfig
from iax.call_setup import read_new
from iax.datagram_batch import Received
from iax.elements import Element, Pair, decode_untrusted, encode
from iax.formats import Format
from iax.frames import Address, BadFrame, Command, Control, FrameType, FullFrame
from iax.frames import decode_untrusted as decode_frame
from iax.media_table import MediaTable
from iax.registrar import Registrar
from iax.registration import Registration, RegistrationState
from iax.socket_names import name_of
from iax.transfer import Transfer
from tests.iax.keys import PRIVATE_KEY, PUBLIC_KEY
from tests.iax.mutation_parts import (
    FAR_END,
    FOE,
    FRIEND,
    OURS,
    QUIET_S,
    TICK_S,
    Attacked,
    Batch,
    Conversation,
    place_call,
    receive_all,
)
from tests.iax.mutation_seeds import CALL
from tests.iax.mutator import Mutator

MAX_INCOMING = 200
N_SEATS = 48
MAX_ATTACKED_S = 30.0
"""The owner hangs up calls of this age."""


class CodecTarget:
    """Decodes everything; only `BadFrame` may be raised."""

    name = "codec"

    def aimed(self, mutator: Mutator) -> tuple[bytes, Address]:
        return bytes(mutator.datagram()), FOE

    def taking(self, batch: Batch) -> Callable[[], None]:
        return partial(self._take, batch)

    @staticmethod
    def _take(batch: Batch) -> None:
        for datagram, _ in batch:
            with suppress(BadFrame):
                frame = decode_frame(datagram)
                if isinstance(frame, FullFrame):
                    elements = decode_untrusted(frame.payload)
                    read_new(elements)
                    Transfer.asked_for(elements, 5, 0.0)

    def tick(self) -> None:
        pass

    def finish(self) -> None:
        pass


_STEPS: tuple[tuple[int, int, list[Pair]], ...] = (
    (FrameType.IAX, Command.ACCEPT, [(Element.FORMAT, 4)]),
    (FrameType.CONTROL, Control.RINGING, []),
    (FrameType.CONTROL, Control.ANSWER, []),
    (FrameType.VOICE, Format.ULAW, []),
    (
        FrameType.IAX,
        Command.TXREQ,
        [(Element.APPARENT_ADDR, FAR_END), (Element.CALLNO, 77), (Element.TRANSFERID, 4)],
    ),
)


class EndpointTarget:
    """A modem's endpoint. BATCHES: the batched way, with a `MediaTable`. ENCRYPTION: of all its calls."""

    def __init__(self, seed: int, *, batches: bool = False, encryption: Encryption = Encryption.OFF) -> None:
        self.name = "batches" if batches else "singly" if encryption is Encryption.OFF else "encrypted"
        self.rng = random.Random(seed)
        self.now = 1000.0
        self.batches = batches
        self._received = Received()
        self._name = cache(name_of)
        media = MediaTable(N_SEATS) if batches else None
        if media is not None:
            media.payloads.fill(0)  # real memory now, not as seats are taken
        self.endpoint = Endpoint(
            random.Random(seed + 1),
            max_incoming=MAX_INCOMING,
            media=media,
            local_address=lambda _: OURS,
        )
        self.encryption = encryption
        names = ("plain", "trunk", "reliable")
        accounts = {
            name: Account(name, "s" + name, encryption=encryption, trunk=name == "trunk") for name in names
        }
        self.far = Endpoint(
            random.Random(seed + 2), accept_from_anyone=True, accounts=accounts, registrar=Registrar(accounts)
        )
        self.attacked = Attacked(self.rng)
        friends = [
            PeerConfig(
                FRIEND,
                name,
                "s" + name,
                encryption=encryption,
                trunk=name == "trunk",
                reliable_voice=name == "reliable",
            )
            for name in names
        ]
        self.conversations = [self._conversation(peer) for peer in friends]
        self.attacked.friends = [conversation.ends[0] for conversation in self.conversations]
        self.registration = self.endpoint.register(friends[0], self.now)
        self.foes = (
            PeerConfig(FOE, "9000", "secret", encryption=encryption, follow_transfers=True),
            PeerConfig(FOE, "wary", "secret", challenge_calls=True, trunk=True, allow_plaintext=True),
            PeerConfig(
                FOE, "key", "secret", challenge_calls=True, private_key=PRIVATE_KEY, server_key=PUBLIC_KEY
            ),
            PeerConfig(FOE, "secret", "secret", encryption=Encryption.ALLOWED, reliable_voice=True),
        )
        for peer in self.foes:
            self.endpoint.add_peer(peer)
        self.doomed: list[Registration] = []
        self.calls: list[tuple[float, Call]] = []
        self.n_made: list[float] = []
        self.n_ticks = 0

    # -- the calls that must not suffer

    def _conversation(self, peer: PeerConfig) -> Conversation:
        call = self.endpoint.call(peer, "1", self.now, formats=[Format.ULAW])
        for _ in range(100):
            self._carry()
            for event in self.far.events():
                if isinstance(event, IncomingCall):
                    event.call.answer(self.now)
                    other = event.call
            if call.state is CallState.UP:
                return Conversation(call, other)
            self.now += TICK_S
        raise AssertionError("the call did not come about")

    def _carry(self) -> None:
        """Move datagrams between the friend and us until there are none."""
        moved = True
        while moved:
            moved = False
            for datagram, to in self.endpoint.datagrams_to_send():
                if to == FRIEND:
                    self.far.receive(datagram, OURS, self.now)
                    moved = True
            datagrams = self.far.datagrams_to_send()
            self.receive([(datagram, FRIEND) for datagram, _ in datagrams])
            moved |= bool(datagrams)

    # -- the attack

    def aimed(self, mutator: Mutator) -> tuple[bytes, Address]:
        return self.attacked.aimed(mutator)

    def taking(self, batch: Batch) -> Callable[[], None]:
        if self.batches:
            for i, (datagram, address) in enumerate(batch):
                self._received.datagrams[i, : len(datagram)] = np.frombuffer(datagram, np.uint8)
                self._received.lengths[i] = len(datagram)
                self._received.names[i] = self._name(address)
            return partial(self.endpoint.receive_batch, self._received, len(batch), self.now)
        return partial(receive_all, self.endpoint, batch, self.now)

    def receive(self, batch: Batch) -> None:
        self.taking(batch)()

    def tick(self, *, attack: bool = True) -> None:
        self.n_ticks += 1
        self._work_with(self.endpoint.events())
        for conversation in self.conversations:
            conversation.send(self.now + TICK_S)
        self._pass_time(TICK_S)
        self._hear()
        if not attack:
            return
        if self.n_ticks % 5 == 0:
            self._make_call()
            self._be_called()
        if self.n_ticks % 50 == 0:
            self._make_registration()
            self._check()
        if self.n_ticks % 10 == 0:
            self.attacked.look_around(list(self.endpoint._dialogues))

    def _pass_time(self, duration_s: float) -> None:
        self.now += duration_s
        self._carry()
        for core in (self.endpoint, self.far):
            core.handle_timer(self.now)
        self._carry()

    def _hear(self) -> None:
        if not self.batches:
            for conversation in self.conversations:
                conversation.hear()
            return
        rows, fates = self.endpoint.receive_voice([c.ends[0] for c in self.conversations])
        for conversation, row, fate in zip(self.conversations, rows, fates, strict=True):
            conversation.heard(0, row[:160].tobytes(), bool(fate))
            conversation.heard(1, *conversation.ends[1].receive_audio())

    def _work_with(self, events: Sequence[object]) -> None:
        """Be an owner who does anything at all to the calls of the foe."""
        for event in events:
            call = getattr(event, "call", None)
            if call in self.attacked.friends:
                assert not isinstance(event, CallEnded)
            elif isinstance(event, IncomingCall):
                self.calls.append((self.now, event.call))
                self._touch(event.call)
        for _ in range(2):
            if self.calls:
                self._touch(self.calls[int(self.rng.random() * len(self.calls))][1])
        while self.calls and self.calls[0][0] < self.now - MAX_ATTACKED_S:
            self.calls.pop(0)[1].hangup(self.now)

    def _touch(self, call: Call) -> None:
        choice, now = int(self.rng.random() * 12), self.now
        if choice == 0:
            call.reject(now)
        elif choice == 1:
            call.hangup(now)
        elif choice < 4:
            call.ringing(now)
        elif choice < 6:
            call.answer(now)
        elif choice == 6:
            call.send_dtmf("5", now)
        elif choice == 7:
            call.send_text("text", now)
        elif choice == 8:
            call.change_key(now)
        call.send_audio(bytes(160 * call.format.sample_bytes), now)
        payload, _ = call.receive_audio()
        assert len(payload) == 160 * call.format.sample_bytes
        call.statistics()

    def _make_call(self) -> None:
        """One more call to the foe, brought into any state."""
        peer = self.foes[int(self.rng.random() * len(self.foes))]
        call = self.endpoint.call(peer, "9000", self.now)
        self.calls.append((self.now, call))
        self.n_made.append(self.now)
        number = 2 + int(self.rng.random() * 0x7F00)
        steps = list(_STEPS[: int(self.rng.random() * 7)])
        if self.rng.random() < 0.6:
            challenge: list[Pair] = [(Element.AUTHMETHODS, 2), (Element.CHALLENGE, b"123456789")]
            if peer.encryption is not Encryption.OFF:
                challenge.append((Element.ENCRYPTION, 0x8001))
            steps.insert(0, (FrameType.IAX, Command.AUTHREQ, challenge))
        for frame_type, subclass, body in steps:
            link = call.link
            frame = FullFrame(
                number, link.local, 20, link.i_seq, link.o_seq, frame_type, subclass, encode(body)
            ).encode()
            if link.secrecy is not None:
                frame = link.secrecy.encryptor.encrypt(frame)
            self.receive([(frame, FOE)])

    def _be_called(self) -> None:
        name = self.rng.choice(self.foes).username
        new: list[Pair] = [*CALL, (Element.CALLED_NUMBER, "1"), (Element.USERNAME, name)]
        if self.rng.random() < 0.5:
            new.append((Element.ENCRYPTION, 0x8001))
        place_call(self.endpoint, self.receive, encode(new), self.rng)

    def _make_registration(self) -> None:
        if self.doomed:
            self.doomed[-1].release(self.now)
            self.endpoint.handle_timer(self.now)
        for registration in self.doomed[:-1]:
            if registration.state is RegistrationState.RELEASED:
                self.endpoint.forget(registration)
                self.doomed.remove(registration)
        peer = self.foes[int(self.rng.random() * len(self.foes))]
        self.doomed.append(self.endpoint.register(peer, self.now))

    def _check(self) -> None:
        self.n_made = [at for at in self.n_made if at > self.now - QUIET_S]
        statistics = self.endpoint.statistics()
        own = len(self.conversations) + len(self.n_made) + 40 * len(self.doomed) + 400
        assert statistics.dialogues <= MAX_INCOMING + own, statistics
        assert len(self.endpoint._dialogues.by_remote) <= statistics.dialogues
        assert len(self.endpoint._dialogues._timers) < 20_000
        assert len(self.endpoint._desk.trunks) <= 3
        assert len(self.doomed) <= 4
        for conversation in self.conversations:
            conversation.check()
        assert self.now < 1010 or self.registration.registered(self.now)

    def finish(self) -> None:
        """Let the attack end; after a while all is as if it had never been."""
        for _, call in self.calls:
            call.hangup(self.now)
        for registration in self.doomed:
            registration.release(self.now)
        self.doomed, self.calls = [], []
        for _ in range(100):
            self.tick(attack=False)
        self._check()
        assert self.registration.registered(self.now)
        for conversation in self.conversations:
            conversation.ends[0].hangup(self.now)
        end = self.now + QUIET_S
        while self.now < end:
            for event in self.endpoint.events():
                if isinstance(event, IncomingCall):
                    event.call.hangup(self.now)
            self._pass_time(0.1)
        endpoint = self.endpoint
        assert endpoint.statistics().calls == 0
        assert endpoint.statistics().dialogues <= 1, "a registration may be under way"
        assert len(endpoint._dialogues.by_remote) <= 1
        assert len(endpoint._dialogues._timers) <= 4
        assert len(endpoint._dialogues._numbers._rests) <= 4
        assert len(endpoint._desk.trunks) == 0
        assert endpoint._incoming == 0
        assert endpoint._media is None or endpoint._media.n_free == N_SEATS
        assert self.registration.registered(self.now)
