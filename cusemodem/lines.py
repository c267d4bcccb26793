"""All lines of one process: one bank, one step every 20 ms, and an endpoint for each UDP port.

`Lines.step(now)` is the whole data path of a tick; it is synchronous, and pure apart from the datagrams
that its caller moves into and out of the endpoints. `worker.py` paces it with a real clock and sockets; a
test paces it with a virtual one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

import dsp
import iax
from cusemodem.at.engine import Engine
from cusemodem.cuse.port import Port
from cusemodem.line import Line, LineOptions
from cusemodem.line_voice import LineVoice

_log = logging.getLogger("cusemodem.lines")


class Lines:
    """The lines of one process. `endpoint` is for lines that are not given one of their own."""

    def __init__(self, endpoint: iax.Endpoint, n_lines: int) -> None:
        self.endpoint = endpoint
        self.bank = dsp.Bank(n_lines)
        self.lines: list[Line] = []
        self.on_failure: Callable[[Line, Exception], None] | None = None
        """Called when a line fails by a fault of ours, after it was taken out; without it the error is
        raised. The others go on."""
        self._at: list[Line | None] = [None] * n_lines
        self._rx = np.zeros((n_lines, dsp.BLOCK), np.int16)
        self._fate = np.zeros(n_lines, np.uint8)
        self._voice = LineVoice()

    def add(
        self,
        name: str,
        port: Port,
        engine: Engine,
        peer: iax.PeerConfig,
        options: LineOptions,
        *,
        endpoint: iax.Endpoint | None = None,
    ) -> Line:
        """Make a line. Raises IndexError beyond `n_lines`."""
        if None not in self._at:
            raise IndexError(f"no room for another line beside {len(self._at)}")
        index = self._at.index(None)
        channel = self.bank.channels[index]
        channel.reset()
        line = Line(
            name,
            index,
            port=port,
            engine=engine,
            channel=channel,
            endpoint=endpoint or self.endpoint,
            peer=peer,
            options=options,
        )
        self._at[index] = line
        self.lines.append(line)
        return line

    def remove(self, line: Line) -> None:
        """Forget a line, whose call was ended before."""
        if self._at[line.index] is line:
            self._at[line.index] = None
            self.lines.remove(line)
            self._rx[line.index] = 0
            self._fate[line.index] = dsp.Fate.HEARD

    @property
    def bank_size(self) -> int:
        """How many lines there may be."""
        return len(self._at)

    @property
    def in_call(self) -> bool:
        """True while any line has a call, ringing ones included."""
        return any(line.call is not None for line in self.lines)

    @property
    def idle(self) -> bool:
        """No line would notice a block."""
        return all(line.idle for line in self.lines)

    def fill_error_samples(self) -> float | None:
        """Mean of the jitter buffers' fill above (+) or below (−) target; None while no call is up."""
        errors = [error for line in self.lines if (error := line.fill_error_samples()) is not None]
        return sum(errors) / len(errors) if errors else None

    def service(self, now: float) -> None:
        """Hand the endpoints' events to their lines."""
        self._service(self.endpoint, now)
        others = {id(line.endpoint): line.endpoint for line in self.lines}
        others.pop(id(self.endpoint), None)
        for endpoint in others.values():
            self._service(endpoint, now)

    def _service(self, endpoint: iax.Endpoint, now: float) -> None:
        endpoint.handle_timer(now)
        for event in endpoint.events():
            if isinstance(event, iax.IncomingCall):
                self._offer(endpoint, event.call, now)
                continue
            call = getattr(event, "call", None)
            if call is None:
                self._registration_event(event)
                continue
            for line in self.lines:
                if line.call is call:
                    try:
                        line.on_call_event(event, now)
                    except Exception as error:
                        self._fail(line, error)
                    break

    def _offer(self, endpoint: iax.Endpoint, call: iax.Call, now: float) -> None:
        """Ring the line whose IAX2 name the caller used; otherwise the first that is free."""
        here = [line for line in self.lines if line.endpoint is endpoint]
        if not here:
            call.reject(now, cause=27, text="Out of order")
            return
        candidates = [line for line in here if line.peer.username == call.username] or here
        free = (line for line in candidates if line.call is None and line.engine.accepts_calls)
        line = next(free, candidates[0])  # if none is free, the first refuses it as busy
        try:
            line.offer(call, now)
        except Exception as error:
            self._fail(line, error)

    def _registration_event(self, event: iax.Event) -> None:
        registration = getattr(event, "registration", None)
        if registration is None:
            return
        extra = {"line": next((line.name for line in self.lines if line.peer is registration.peer), "")}
        if isinstance(event, iax.Registered):
            _log.info("registration completed: refresh %d s", event.refresh_s, extra=extra)
        elif isinstance(event, iax.RegistrationRejected):
            what = "registration refused: cause %s %s; check peername and secret"
            _log.error(what, event.cause, event.text, extra=extra)
        elif isinstance(event, iax.RegistrationTimedOut):
            _log.error("registration timed out: no answer from the server; trying again", extra=extra)

    def step(self, now: float) -> None:
        """One tick: 160 samples in, 160 out, for every line."""
        self.service(now)
        if self.idle:
            return
        rx, fate = self._rx, self._fate
        voice = self._voice
        voice.receive(self.lines, rx, fate)
        for line in tuple(self.lines):
            row = rx[line.index]
            try:
                if line in voice.served:
                    fate[line.index] = line.received_block(row, dsp.Fate(fate[line.index]))
                else:
                    fate[line.index] = line.receive_block(row)
            except Exception as error:
                self._fail(line, error)
        tx = self.bank.process(rx, fate)
        for index, event in self.bank.events():
            if (heard := self._at[index]) is not None:
                try:
                    heard.on_modem_event(event)
                except Exception as error:
                    self._fail(heard, error)
        voice.send(tx, now)
        for line in tuple(self.lines):
            try:
                line.finish_block(tx[line.index], now, sent=line in voice.served)
            except Exception as error:
                self._fail(line, error)

    def _fail(self, line: Line, error: Exception) -> None:
        self.remove(line)
        if self.on_failure is None:
            raise error
        self.on_failure(line, error)

    def shut_down(self, now: float) -> None:
        """Hang up every call; the caller then flushes the endpoint."""
        for line in self.lines:
            line.shut_down(now)
