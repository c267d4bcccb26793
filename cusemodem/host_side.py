"""The host program's side of a line: its bytes and modem lines into the engine, the engine's words back."""

from __future__ import annotations

import logging
from collections.abc import Callable

from cusemodem.at.engine import Engine
from cusemodem.cuse.port import Closed, DtrDropped, DtrRaised, Opened, OutputWaiting, Port, Resumed
from cusemodem.modem_memory import notes_of, take_over
from cusemodem.tap import Tap

HOST_GONE_GRACE_BLOCKS = 50
"""A call whose port nobody holds open is hung up after one second (chosen): programs that hand the port
over between two processes reopen it within milliseconds."""

MAX_PENDING_BYTES = 1 << 16
"""Output the port did not take yet is kept up to here; a reader that far behind is not reading."""


class HostSide:
    """Port and engine of one line, as far as they deal with each other."""

    def __init__(
        self, port: Port, engine: Engine, tap: Tap | None, log: logging.LoggerAdapter[logging.Logger]
    ) -> None:
        self.n_dropped = 0
        """Bytes for the host that it did not read."""
        self._port = port
        self._engine = engine
        self.tap = tap
        self._log = log
        self._pending = bytearray()
        self._gone_blocks = 0
        self._noted_off_hook = False

    @property
    def waits(self) -> bool:
        """Something is on its way, in either direction."""
        return bool(self._pending or self._port.output_waiting)

    def listen(self, carry_out: Callable[[], None]) -> None:
        """Move what the host program did into the engine; `carry_out` after each piece."""
        acted = False
        for event in self._port.events():
            acted = True
            if self.tap is not None and not isinstance(event, OutputWaiting):
                self.tap.port_event(type(event).__name__)
            if isinstance(event, DtrDropped):
                self._engine.dtr_dropped()
            elif isinstance(event, DtrRaised):
                self._engine.dtr_raised()
            elif isinstance(event, Opened):
                self._gone_blocks = 0
            elif isinstance(event, Resumed):
                self._pending += take_over(self._engine, self._port.notes)
            elif isinstance(event, Closed):
                self._pending.clear()
        while self._engine.room > 0:
            data = self._port.take_output(self._engine.room)
            if not data:
                break
            acted = True
            if self.tap is not None:
                self.tap.host_bytes(data)
            self._engine.host_bytes(data)
            carry_out()
        carry_out()
        if acted and not self._noted_off_hook:
            self._note()  # a setting may have changed

    def say(self) -> None:
        """Pass the engine's words and modem lines to the host."""
        if said := self._engine.take_output():
            self._pending += said
            if self.tap is not None:
                self.tap.modem_bytes(said)
        if self._pending:
            del self._pending[: self._port.put_input(bytes(self._pending))]
            if len(self._pending) > MAX_PENDING_BYTES:
                self.n_dropped += len(self._pending)
                self._pending.clear()
                self._log.error("the program on the port does not read: its input was dropped")
        self._port.set_lines(dcd=self._engine.dcd, ri=self._engine.ring_indicator)
        if self._engine.off_hook != self._noted_off_hook:
            self._note()

    def _note(self) -> None:
        """For a successor of this process."""
        self._noted_off_hook = self._engine.off_hook
        self._port.notes = notes_of(self._engine)

    def gone(self, *, in_call: bool) -> bool:
        """One block of a call has passed: True, once, when nobody has had the port open for long enough."""
        if self._port.open_count > 0 or not in_call:
            self._gone_blocks = 0
            return False
        self._gone_blocks += 1
        if self._gone_blocks != HOST_GONE_GRACE_BLOCKS:
            return False
        self._log.info("nobody has the port open: hanging up")
        return True
