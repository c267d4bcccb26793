"""What systemd is told of the service; a systemd that does not listen never makes the service wait."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress

import sdnotify

MAX_WAITING = 16


class Notices:
    """sd_notify(3) by `sdnotify`, on a socket that does not block.

    What must not be missed (READY, RELOADING, STOPPING) waits for its turn, in order; STATUS and WATCHDOG are
    left out when the socket is full: the next one says the same.
    """

    def __init__(self) -> None:
        self._notifier: sdnotify.SystemdNotifier | None = None
        if os.environ.get("NOTIFY_SOCKET"):
            with suppress(OSError):
                self._notifier = sdnotify.SystemdNotifier(debug=True)  # errors are decided upon here
                self._notifier.socket.setblocking(False)
        self._waiting: deque[str] = deque(maxlen=MAX_WAITING)

    @property
    def waiting(self) -> bool:
        """Whether `flush` has something to do."""
        return bool(self._waiting)

    def close(self) -> None:
        """Tell nothing more."""
        if self._notifier is not None:
            self._notifier.socket.close()
            self._notifier = None

    def tell(self, text: str) -> None:
        """Send one notice, now or when it can be."""
        self._waiting.append(text)
        self.flush()
        if self._waiting and self._waiting[-1] is text and text.startswith(("STATUS=", "WATCHDOG=")):
            self._waiting.pop()

    def flush(self) -> None:
        """Try again what is waiting."""
        if self._notifier is None:
            self._waiting.clear()
            return
        while self._waiting:
            # sdnotify encodes as Latin-1; systemd reads UTF-8
            text = self._waiting[0].encode("utf-8", "replace").decode("latin-1")
            try:
                self._notifier.notify(text)
            except BlockingIOError:
                return
            except OSError:
                pass  # nobody listens any more, or the notice is too long: not worth more
            self._waiting.popleft()


def watchdog_s() -> float:
    """How often systemd wants a sign of life at least: WATCHDOG_USEC, if it is meant for us; 0: never."""
    pid = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    usec = os.environ.get("WATCHDOG_USEC", "")
    return int(usec) / 1e6 if usec.isdecimal() and pid == str(os.getpid()) else 0.0
