"""Many datagrams by one system call: recvmmsg and sendmmsg over arrays that are made once (Linux, 64 bit)."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from iax.frames import Address
from iax.media_table import VoiceBatch
from iax.socket_names import NAME_OCTETS, NAME_OCTETS_IPV4, address_in, name_of

MAX_DATAGRAM = 4096
N_RECEIVED = 128
"""Datagrams by one call. 128 of them are half a megabyte, which stays in the cache of the processor."""
MAX_ADDRESSES = 1000
"""So many are remembered, to be spared their making."""

# struct mmsghdr of 64-bit Linux: msg_name, msg_namelen, msg_iov, msg_iovlen, msg_control, msg_controllen,
# msg_flags; msg_len
_MESSAGE = np.dtype(
    [
        ("name", "u8"),
        ("name_octets", "u4"),
        ("_1", "u4"),
        ("parts", "u8"),
        ("n_parts", "u8"),
        ("control", "u8"),
        ("control_octets", "u8"),
        ("message_flags", "i4"),
        ("_2", "u4"),
        ("octets", "u4"),
        ("_3", "u4"),
    ]
)
_PART = np.dtype([("base", "u8"), ("octets", "u8")])


def available() -> bool:
    """Whether this system has what is needed."""
    return sys.platform == "linux" and ctypes.sizeof(ctypes.c_void_p) == 8 and hasattr(_libc(), "recvmmsg")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


class Received:
    """Room for a batch of datagrams and their senders."""

    def __init__(self, n: int = N_RECEIVED, *, ipv6: bool = True) -> None:
        self.ipv6 = ipv6
        """How the addresses are written: as a socket of that family has them."""
        self.datagrams: NDArray[np.uint8] = np.zeros((n, MAX_DATAGRAM), np.uint8)
        self.lengths: NDArray[np.int64] = np.zeros(n, np.int64)
        self.names: NDArray[np.uint8] = np.zeros((n, NAME_OCTETS), np.uint8)
        self._parts = np.zeros(n, _PART)
        self._parts["base"] = self.datagrams.ctypes.data + MAX_DATAGRAM * np.arange(n)
        self._parts["octets"] = MAX_DATAGRAM
        self._messages = np.zeros(n, _MESSAGE)
        self._messages["name"] = self.names.ctypes.data + NAME_OCTETS * np.arange(n)
        self._messages["parts"] = self._parts.ctypes.data + _PART.itemsize * np.arange(n)
        self._messages["n_parts"] = 1
        self._addresses: dict[bytes, Address] = {}
        self._receive = _libc().recvmmsg
        self._where = ctypes.c_void_p(self._messages.ctypes.data)

    def __len__(self) -> int:
        return len(self.lengths)

    @classmethod
    def of(cls, datagrams: Sequence[tuple[bytes, Address]]) -> Received:
        """Return a batch of these, as if they had come."""
        batch = cls(max(1, len(datagrams)))
        for i, (datagram, address) in enumerate(datagrams):
            whole = datagram[:MAX_DATAGRAM]
            batch.datagrams[i, : len(whole)] = np.frombuffer(whole, np.uint8)
            batch.lengths[i] = len(whole)
            batch.names[i] = name_of(address)
        return batch

    def receive(self, descriptor: int, most: int) -> int:
        """Take at most MOST of the datagrams there; return how many. Raises OSError, also if none is."""
        n = min(most, len(self))
        self._messages["name_octets"] = NAME_OCTETS
        got = self._receive(descriptor, self._where, n, socket.MSG_DONTWAIT, None)
        if got < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        self.lengths[:got] = self._messages["octets"][:got]
        return int(got)

    def datagram(self, i: int) -> bytes:
        """Return one as bytes."""
        return self.datagrams[i, : self.lengths[i]].tobytes()

    def address(self, i: int) -> Address:
        """Return its sender."""
        name = self.names[i].tobytes()
        address = self._addresses.get(name)
        if address is None:
            if len(self._addresses) >= MAX_ADDRESSES:
                self._addresses.clear()
            address = self._addresses[name] = address_in(self.names[i], ipv6=self.ipv6)
        return address


class Sender:
    """Sends batches of voice through one socket."""

    def __init__(self, *, ipv6: bool) -> None:
        self._ipv6 = ipv6
        self._send = _libc().sendmmsg
        self._messages = np.zeros(0, _MESSAGE)
        self._parts = np.zeros(0, _PART)

    def send(self, descriptor: int, batch: VoiceBatch) -> int:
        """Send all of BATCH; return how many the kernel refused."""
        n = len(batch)
        if n > len(self._messages):
            self._parts = np.zeros(n, _PART)
            self._messages = np.zeros(n, _MESSAGE)
            self._messages["parts"] = self._parts.ctypes.data + _PART.itemsize * np.arange(n)
            self._messages["n_parts"] = 1
        names = np.ascontiguousarray(batch.names(ipv6=self._ipv6))
        parts, messages = self._parts[:n], self._messages[:n]
        parts["base"] = batch.datagrams.ctypes.data + batch.datagrams.strides[0] * np.arange(n)
        parts["octets"] = batch.octets
        messages["name"] = names.ctypes.data + NAME_OCTETS * np.arange(n)
        messages["name_octets"] = NAME_OCTETS if self._ipv6 else NAME_OCTETS_IPV4
        start = self._messages.ctypes.data
        sent = n_refused = 0
        while sent + n_refused < n:
            at = sent + n_refused
            where = ctypes.c_void_p(start + at * _MESSAGE.itemsize)
            gone = self._send(descriptor, where, n - at, socket.MSG_DONTWAIT)
            if gone > 0:
                sent += gone
            elif ctypes.get_errno() != errno.EINTR:
                n_refused += 1  # the first of them: as good as lost on the way
        return n_refused
