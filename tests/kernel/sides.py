"""The two terminals that the differential test compares: our device, and a pty of the same kernel.

A side is where the program under comparison opens its port, and what the modem at the other end does.
"""

import contextlib
import os
import time
from typing import Protocol

from tests.kernel.host import PATH, Modem

# What a pty's worker needs to bring bytes from one end to the other, generously.
_SETTLE_S = 0.01


class Side(Protocol):
    """A terminal and the modem behind it."""

    name: str
    path: str

    def send(self, data: bytes) -> None:
        """Bytes from the modem, which have arrived when this returns."""

    def heard(self) -> bytes:
        """What came to the modem since the last call."""

    def hold(self, holding: bool) -> None:
        """Stop the modem's reading, or let it go on."""


class Device:
    """Our device, its carrier on: echo goes to the far end of a call only."""

    name, path = "ours", PATH

    def __init__(self, modem: Modem) -> None:
        self._modem = modem
        modem.tell("set", answering=False)
        modem.tell("lines", dcd=True)

    def send(self, data: bytes) -> None:
        """See :class:`Side`."""
        self._modem.send(data)

    def heard(self) -> bytes:
        """See :class:`Side`."""
        return self._modem.heard()

    def hold(self, holding: bool) -> None:
        """See :class:`Side`."""
        self._modem.tell("set", holding=holding)


class Pty:
    """A pty, its master in our hands."""

    name = "tty"

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._holding = False

    def send(self, data: bytes) -> None:
        """See :class:`Side`."""
        os.write(self._master, data)
        time.sleep(_SETTLE_S)

    def heard(self) -> bytes:
        """See :class:`Side`."""
        time.sleep(_SETTLE_S)
        data = b""
        with contextlib.suppress(BlockingIOError):
            while not self._holding:
                data += os.read(self._master, 65536)
        return data

    def hold(self, holding: bool) -> None:
        """See :class:`Side`."""
        self._holding = holding

    def close(self) -> None:
        """Give both ends back."""
        os.close(self._slave)
        os.close(self._master)
