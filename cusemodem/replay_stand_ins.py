"""Stand-ins for what is around a line when a recorded call is replayed: port, call and telephone do what the
journal says, when it says so."""

# ruff: noqa: D102 - the doors are those of the real ones
from __future__ import annotations

from collections import deque
from collections.abc import Callable

import iax
from cusemodem.cuse.port import Closed, DtrDropped, DtrRaised, Opened, PortEvent

_PORT_EVENTS: dict[str, Callable[[], PortEvent]] = {
    "Opened": Opened,
    "Closed": Closed,
    "DtrDropped": DtrDropped,
    "DtrRaised": DtrRaised,
}


class RecordedPort:
    """The port as the journal has it."""

    def __init__(self, *, is_open: bool, dtr: bool) -> None:
        self.open_count = int(is_open)
        self.dtr = dtr
        self.output_waiting = 0
        self.queue: deque[bytes] = deque()
        self.n_bytes = 0
        self._events: list[PortEvent] = [DtrRaised()] if dtr else []

    def event(self, name: str) -> None:
        if name in ("Opened", "Closed"):
            self.open_count = int(name == "Opened")
        self._events.append(_PORT_EVENTS[name]())

    def events(self) -> list[PortEvent]:
        events, self._events = self._events, []
        return events

    def take_output(self, max_bytes: int) -> bytes:
        if not self.queue:
            return b""
        data = self.queue.popleft()
        if len(data) > max_bytes:
            self.queue.appendleft(data[max_bytes:])
        self.n_bytes += len(data[:max_bytes])
        return data[:max_bytes]

    def put_input(self, data: bytes) -> int:
        return len(data)

    def set_lines(self, **_lines: bool) -> None:
        pass


class RecordedPlayout:
    """The jitter buffer, of which the line asks only whether something is in it."""

    fill_samples = 1
    mean_fill_samples = depth_samples = 0.0

    def hold(self, n_samples: int) -> bool:
        """Never: which blocks were held stands in the journal."""
        return False


class RecordedCall:
    """The call as the journal has it; its audio is the tap's."""

    format = iax.SLINEAR
    heard = True

    def __init__(self, caller: dict[str, str] | None = None) -> None:
        caller = caller or {}
        self.jitter = RecordedPlayout()
        self.calling_name = caller.get("name", "")
        self.calling_number = caller.get("number", "")
        self.ani = caller.get("ani", "")
        self.username = caller.get("username", "")
        self.called_context = caller.get("context", "")
        self.called_number = caller.get("called_number", "")

    def receive_audio(self, n_samples: int) -> tuple[bytes, bool]:
        return bytes(2 * n_samples), False

    def statistics(self) -> iax.CallStatistics:
        media = iax.MediaStatistics(**dict.fromkeys(iax.MediaStatistics.__dataclass_fields__, 0))
        return iax.CallStatistics(media, 0, None, 0, 0, 0, None, None, None)

    def send_audio(self, payload: bytes, now: float) -> None:
        pass

    def send_dtmf(self, digit: str, now: float) -> None:
        pass

    ringing = answer = hangup = reject = lambda self, *_args, **_details: None


class RecordedEndpoint:
    """The telephone, which does nothing by itself."""

    def __init__(self) -> None:
        self.call_up: RecordedCall | None = None

    def call(self, *_args: object, **_details: object) -> RecordedCall:
        self.call_up = RecordedCall()
        return self.call_up

    def handle_timer(self, now: float) -> None:
        pass

    def events(self) -> list[iax.Event]:
        return []
