"""Trunk frames out: the voice of many calls with one peer in common datagrams (RFC 5456 §8.1.3)."""

from __future__ import annotations

from struct import Struct

import numpy as np
from numpy.typing import NDArray

from iax.frames import Address

MAX_TRUNK_OCTETS = 1240
"""Fits into one Ethernet frame with room to spare; what chan_iax2 sends by default (trunkmtu)."""

# 16 zero bits; V=0 and command 1; command data 1 (entries have their own time stamps); trunk time stamp
_HEADER = Struct("!HBBI")
# length, source call number, low 16 bits of the call's time stamp
_ENTRY = Struct("!HHH")


class TrunkSender:
    """Collects mini frames for one address until the next flush."""

    def __init__(self, zero: float) -> None:
        """ZERO: when the trunk's time began."""
        self._zero = zero
        self.n_calls = 0
        """Calls that send through it."""
        self._full: list[bytes] = []
        self._open = bytearray()

    def leave(self) -> None:
        """One of its calls is over."""
        self.n_calls -= 1

    def add(self, source: int, timestamp: int, payload: bytes, now: float) -> None:
        """Put one frame of voice in; only the low 16 bits of TIMESTAMP travel."""
        if len(self._open) + _ENTRY.size + len(payload) > MAX_TRUNK_OCTETS:
            self._close()
        if not self._open:
            self._open += _HEADER.pack(0, 1, 1, int((now - self._zero) * 1000) & 0xFFFFFFFF)
        self._open += _ENTRY.pack(len(payload), source, timestamp & 0xFFFF)
        self._open += payload

    def add_batch(self, minis: NDArray[np.uint8], octets: NDArray[np.int64], now: float) -> None:
        """Do what `add` does for each of MINIS, mini frames of OCTETS octets."""
        from iax.batch_kernels import pack_trunk  # noqa: PLC0415 - only for those with a `MediaTable`

        frame = np.zeros(2 * MAX_TRUNK_OCTETS, np.uint8)
        first = 0
        while first < len(octets):
            if not self._open:
                self._open += _HEADER.pack(0, 1, 1, int((now - self._zero) * 1000) & 0xFFFFFFFF)
            used = len(self._open)
            frame[:used] = np.frombuffer(bytes(self._open), np.uint8)
            first, used = pack_trunk(minis, octets, first, frame, used, MAX_TRUNK_OCTETS)
            self._open[:] = frame[:used].tobytes()
            if first < len(octets):
                self._close()

    def take(self) -> list[bytes]:
        """Return the datagrams to send now."""
        self._close()
        datagrams, self._full = self._full, []
        return datagrams

    def _close(self) -> None:
        if self._open:
            self._full.append(bytes(self._open))
            self._open.clear()


class Trunks:
    """The trunk senders of one endpoint, by address; each lasts for as long as it has calls."""

    def __init__(self) -> None:
        self._senders: dict[Address, TrunkSender] = {}
        self._zero: float | None = None

    def __len__(self) -> int:
        return len(self._senders)

    def join(self, address: Address, now: float) -> TrunkSender:
        """Return the sender to ADDRESS for one more call, which says `leave` at its end."""
        if self._zero is None:
            self._zero = now  # of all, so that a trunk's time goes on after a pause without calls
        sender = self._senders.setdefault(address, TrunkSender(self._zero))
        sender.n_calls += 1
        return sender

    def take(self) -> list[tuple[bytes, Address]]:
        """Return the datagrams to send now, and drop the senders that no call uses any more."""
        datagrams: list[tuple[bytes, Address]] = []
        unused = []
        for address, sender in self._senders.items():
            datagrams += [(datagram, address) for datagram in sender.take()]
            if sender.n_calls <= 0:
                unused.append(address)
        for address in unused:
            del self._senders[address]
        return datagrams
