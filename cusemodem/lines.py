"""All lines of one process: one bank, one endpoint, one step every 20 ms.

`Lines.step(now)` is the whole data path of a tick; it is synchronous, and pure apart from the datagrams
that its caller moves into and out of the endpoint. `run.py` paces it with a real clock and socket; a test
paces it with a virtual one.
"""

from __future__ import annotations

import logging

import numpy as np

import dsp
import iax
from cusemodem.at.engine import Engine
from cusemodem.cuse.port import Port
from cusemodem.line import Line, LineOptions

_log = logging.getLogger("cusemodem.lines")


class Lines:
    """The lines of one process; every line of a process shares its endpoint, hence its UDP socket."""

    def __init__(self, endpoint: iax.Endpoint, n_lines: int) -> None:
        self.endpoint = endpoint
        self.bank = dsp.Bank(n_lines)
        self.lines: list[Line] = []
        self._rx = np.zeros((n_lines, dsp.BLOCK), np.int16)
        self._lost = np.zeros(n_lines, np.bool_)

    def add(self, name: str, port: Port, engine: Engine, peer: iax.PeerConfig, options: LineOptions) -> Line:
        """Make the next line. Raises IndexError beyond `n_lines`."""
        index = len(self.lines)
        line = Line(
            name,
            index,
            port=port,
            engine=engine,
            channel=self.bank.channels[index],
            endpoint=self.endpoint,
            peer=peer,
            options=options,
        )
        self.lines.append(line)
        return line

    @property
    def in_call(self) -> bool:
        """True while any line has a call, ringing ones included."""
        return any(line.call is not None for line in self.lines)

    def fill_error_samples(self) -> float | None:
        """Mean of the jitter buffers' fill above (+) or below (−) target; None while no call is up."""
        errors = [error for line in self.lines if (error := line.fill_error_samples()) is not None]
        return sum(errors) / len(errors) if errors else None

    def service(self, now: float) -> None:
        """Hand the endpoint's events to their lines."""
        self.endpoint.handle_timer(now)
        for event in self.endpoint.events():
            if isinstance(event, iax.IncomingCall):
                self._offer(event.call, now)
                continue
            call = getattr(event, "call", None)
            if call is None:
                self._registration_event(event)
                continue
            for line in self.lines:
                if line.call is call:
                    line.on_call_event(event, now)
                    break

    def _offer(self, call: iax.Call, now: float) -> None:
        """Ring the line whose IAX2 name the caller used; otherwise the first that is free."""
        named = [line for line in self.lines if line.peer.username == call.username]
        for line in named or self.lines:
            if line.call is None and line.engine.accepts_calls:
                line.offer(call, now)
                return
        (named or self.lines)[0].offer(call, now)  # which refuses it as busy

    def _registration_event(self, event: iax.Event) -> None:
        if isinstance(event, iax.Registered):
            _log.info("registration completed: refresh %d s", event.refresh_s)
        elif isinstance(event, iax.RegistrationRejected):
            _log.error(
                "registration refused: cause %s %s; check peername and secret", event.cause, event.text
            )
        elif isinstance(event, iax.RegistrationTimedOut):
            _log.error("registration timed out: no answer from the server; trying again")

    def step(self, now: float) -> None:
        """One tick: 160 samples in, 160 out, for every line."""
        self.service(now)
        lines, rx, lost = self.lines, self._rx, self._lost
        for line in lines:
            lost[line.index] = line.receive_block(rx[line.index])
        tx = self.bank.process(rx, lost)
        for index, event in self.bank.events():
            lines[index].on_modem_event(event)
        for line in lines:
            line.finish_block(tx[line.index], now)

    def shut_down(self, now: float) -> None:
        """Hang up every call; the caller then flushes the endpoint."""
        for line in self.lines:
            line.shut_down(now)
