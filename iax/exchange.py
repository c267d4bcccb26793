"""A small exchange for tests and demonstrations: peers register, call each other and some test extensions.

Pure like the endpoint, and built on it: the same frames, links, calls. Peers prove themselves by MD5 or RSA
for each registration and call, and must return a call token first (unless told otherwise: old clients know
none). Encryption and trunk frames go by account. Media is not touched: each frame goes out on
the other leg at the moment it comes in, its time stamp moved to that leg's time, so the exchange adds no
jitter and hides no loss.

Extensions: echo; milliwatt (1004 Hz, 0 dBm0); busy; congestion; noanswer (rings for ever); delay5 (rings 5
s, then echo).
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from iax import causes, milliwatt
from iax.auth import Account, PeerConfig
from iax.call import Call
from iax.call_setup import MAX_NUMBER
from iax.call_state import CallState
from iax.elements import clean_text, fit_text
from iax.endpoint import Endpoint, EndpointStatistics
from iax.events import (
    CallAccepted,
    CallAnswered,
    CallEnded,
    CallProgress,
    CallRinging,
    DtmfBegan,
    DtmfReceived,
    Event,
    FormatChanged,
    IncomingCall,
    PeerRegistered,
    PeerUnregistered,
    TextReceived,
    VoiceReceived,
)
from iax.formats import ALL_FORMATS, FRAME_SAMPLES, SAMPLE_RATE, Format
from iax.frames import Address
from iax.impairment import Impairer, Impairments
from iax.registrar import Registrar

EXTENSIONS = ("echo", "milliwatt", "busy", "congestion", "noanswer", "delay5")
FRAME_S = FRAME_SAMPLES / SAMPLE_RATE
MAX_TONE_LAG_S = 1.0
DELAY_S = 5.0
BUSY_S = 10.0
"""A caller that does not hang up on "busy" is hung up after this."""


@dataclass(frozen=True, slots=True)
class ExchangeStatistics:
    """The exchange's figures."""

    registered: int
    bridges: int
    frames_relayed: int
    datagrams_lost: int
    """By the impairments asked for."""
    datagrams_duplicated: int
    datagrams_reordered: int
    endpoint: EndpointStatistics


class Exchange:
    """The exchange. Drive it like an `Endpoint`: `receive`, `handle_timer`, `datagrams_to_send`,
    `next_timer`."""

    def __init__(
        self,
        accounts: Iterable[Account],
        rng: random.Random,
        *,
        impairments: Impairments | None = None,
        demand_call_token: bool = True,
        formats: Sequence[Format] = ALL_FORMATS,
        port: int = 0,
    ) -> None:
        by_name: dict[str, Account] = {}
        numbers: dict[str, Account] = {}
        for account in accounts:
            for number in {account.name, account.number} - {""}:
                if fit_text(clean_text(number), MAX_NUMBER) != number:
                    raise ValueError(f"account {account.name!r}: {number!r} is not a number to dial")
                if number in numbers or number in EXTENSIONS:
                    raise ValueError(f"account {account.name!r}: {number!r} is already taken")
                numbers[number] = account
            by_name[account.name] = account
        self._numbers = numbers
        self._accounts = by_name
        self._registrar = Registrar(by_name)
        self._endpoint = Endpoint(
            rng,
            accept_from_anyone=True,
            demand_call_token=demand_call_token,
            formats=formats,
            port=port,
            accounts=by_name,
            registrar=self._registrar,
        )
        self._impairer = None if impairments is None else Impairer(impairments)
        self._other: dict[Call, Call] = {}  # both legs of each bridge
        self._echoing: set[Call] = set()
        self._tones: list[tuple[float, int, int, Call]] = []
        self._later: list[tuple[float, int, Callable[[float], None]]] = []
        self._serial = 0
        self._relayed = 0
        self._outbox: list[tuple[bytes, Address]] = []
        self._notices: list[str] = []

    # -- driving

    def receive(self, datagram: bytes, addr: Address, now: float) -> None:
        """Take one datagram. Never raises."""
        self._endpoint.receive(datagram, addr, now)
        self._work(now)

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        self._endpoint.handle_timer(now)
        while self._later and self._later[0][0] <= now:
            heapq.heappop(self._later)[2](now)
        self._send_tones(now)
        self._work(now)

    def next_timer(self) -> float | None:
        """Return when `handle_timer` has something to do."""
        times = [self._endpoint.next_timer()]
        if self._tones:
            times.append(self._tones[0][0])
        if self._later:
            times.append(self._later[0][0])
        if self._impairer is not None:
            times.append(self._impairer.next_timer())
        return min((time for time in times if time is not None), default=None)

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        """Return what has to go out, in order."""
        datagrams, self._outbox = self._outbox, []
        return datagrams

    def notices(self) -> list[str]:
        """Return lines for the operator about what happened since the last time."""
        notices, self._notices = self._notices, []
        return notices

    def registered(self, now: float) -> dict[str, Address]:
        """Return the registered peers and where they are."""
        return self._registrar.registered(now)

    def statistics(self, now: float) -> ExchangeStatistics:
        """Return the figures."""
        impairer = self._impairer
        return ExchangeStatistics(
            len(self._registrar.registered(now)),
            len(self._other) // 2,
            self._relayed,
            impairer.lost if impairer else 0,
            impairer.duplicated if impairer else 0,
            impairer.reordered if impairer else 0,
            self._endpoint.statistics(),
        )

    # -- inside

    def _work(self, now: float) -> None:
        while events := self._endpoint.events():
            for event in events:
                self._handle(event, now)
        datagrams = self._endpoint.datagrams_to_send()
        if self._impairer is None:
            self._outbox += datagrams
            return
        for datagram, addr in datagrams:
            self._impairer.put(datagram, addr, now)
        self._outbox += self._impairer.due(now)

    def _handle(self, event: Event, now: float) -> None:
        if isinstance(event, VoiceReceived):
            self._relay(event, now)
        elif isinstance(event, IncomingCall):
            self._route(event.call, now)
        elif isinstance(event, CallEnded):
            self._end(event, now)
        elif isinstance(event, PeerRegistered):
            host, port = event.address
            self._notices.append(f"{event.name} registered from {host}:{port} for {event.refresh_s} s")
        elif isinstance(event, PeerUnregistered):
            self._notices.append(f"{event.name} withdrew its registration")
        elif isinstance(
            event,
            CallAccepted
            | CallRinging
            | CallProgress
            | CallAnswered
            | DtmfBegan
            | DtmfReceived
            | TextReceived
            | FormatChanged,
        ):
            other = self._other.get(event.call)
            if other is not None:
                self._pass_on(event, other, now)

    def _pass_on(self, event: Event, other: Call, now: float) -> None:
        match event:
            case CallAccepted(call):
                other.accept(now, call.format)
            case CallRinging():
                other.ringing(now)
            case CallProgress():
                other.progress(now)
            case CallAnswered():
                other.answer(now)
                caller = other.calling_number or other.account
                self._notices.append(f"{caller} is talking to {other.called_number}")
            case DtmfBegan(digit=digit):
                other.dtmf_down(digit, now)
            case DtmfReceived(digit=digit):
                other.dtmf_up(digit, now)
            case TextReceived(text=text):
                other.send_text(text, now)
            case FormatChanged(format=format_):
                other.format = format_

    def _route(self, call: Call, now: float) -> None:
        call.relay = True
        number = call.called_number or call.dnid
        if number in EXTENSIONS:
            self._notices.append(f"{call.account} calls {number}")
            self._run_extension(number, call, now)
            return
        account = self._numbers.get(number)
        if account is None:
            self._notices.append(f"{call.account} calls {number}: no such extension")
            call.reject(now, causes.NO_ROUTE, "No such context/extension")
            return
        address = self._registrar.contact(account.name, now)
        if address is None:
            self._notices.append(f"{call.account} calls {number}: not registered")
            call.reject(now, causes.SUBSCRIBER_ABSENT, "Subscriber absent")
            return
        self._notices.append(f"{call.account} calls {number}")
        caller = self._accounts[call.account]
        formats = (call.format, *(format_ for format_ in call.formats if format_ is not call.format))
        other = self._endpoint.call(
            PeerConfig(
                address,
                account.name,
                account.secret,
                encryption=account.encryption,
                key_rotation=account.key_rotation,
                trunk=account.trunk,
            ),
            number,
            now,
            calling_number=call.calling_number or caller.number or caller.name,
            calling_name=call.calling_name,
            formats=formats,
        )
        other.relay = True
        self._other[call], self._other[other] = other, call

    def _run_extension(self, name: str, call: Call, now: float) -> None:
        if name == "busy":
            call.busy(now)
            self._do_later(now + BUSY_S, partial(call.hangup, cause=causes.BUSY))
        elif name == "congestion":
            call.congestion(now)
            self._do_later(now + BUSY_S, partial(call.hangup, cause=causes.CONGESTION))
        elif name == "noanswer":
            call.ringing(now)
        elif name == "delay5":
            call.ringing(now)
            self._echoing.add(call)
            self._do_later(now + DELAY_S, call.answer)
        elif name == "echo":
            call.answer(now)
            self._echoing.add(call)
        else:
            call.answer(now)
            self._serial += 1
            heapq.heappush(self._tones, (now, self._serial, 0, call))

    def _do_later(self, when: float, action: Callable[[float], None]) -> None:
        self._serial += 1
        heapq.heappush(self._later, (when, self._serial, action))

    def _relay(self, event: VoiceReceived, now: float) -> None:
        call = event.call
        target = call if call in self._echoing else self._other.get(call)
        if target is not None:
            self._relayed += 1
            target.relay_audio(event.payload, event.timestamp, now)

    def _send_tones(self, now: float) -> None:
        tones = self._tones
        while tones and tones[0][0] <= now:
            due, serial, index, call = heapq.heappop(tones)
            if call.state is not CallState.UP:
                continue
            if now - due > MAX_TONE_LAG_S:  # we were asleep: leave the time out rather than flood
                missed = int((now - due) / FRAME_S)
                call.skip_audio(missed)
                due += missed * FRAME_S
            call.send_audio(milliwatt.frames(call.format)[index % milliwatt.N_FRAMES], now)
            heapq.heappush(tones, (due + FRAME_S, serial, index + 1, call))

    def _end(self, event: CallEnded, now: float) -> None:
        call = event.call
        self._echoing.discard(call)
        other = self._other.pop(call, None)
        if other is None:
            return
        self._other.pop(other, None)
        cause = causes.NORMAL if event.cause is None else event.cause
        self._notices.append(f"{call.called_number}: call ended, {event.text}")
        if call.outgoing:
            other.reject(now, cause, event.text)
        else:
            other.hangup(now, cause, event.text)
