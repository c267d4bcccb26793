"""A bounded queue of bytes between the host and the modem."""

from __future__ import annotations


class ByteQueue:
    """Bytes in, the same bytes out, in order; ``limit`` is what :meth:`put` fills it to."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._bytes = bytearray()

    def __len__(self) -> int:
        return len(self._bytes)

    @property
    def room(self) -> int:
        """Bytes that :meth:`put` takes now."""
        return max(0, self.limit - len(self._bytes))

    def put(self, data: bytes) -> int:
        """Append as much of ``data`` as there is room for; returns how many bytes that was."""
        taken = min(self.room, len(data))
        self._bytes += data if taken == len(data) else data[:taken]
        return taken

    def put_whole(self, data: bytes) -> None:
        """Append all of ``data``, beyond the limit if need be."""
        self._bytes += data

    def peek(self, max_bytes: int) -> bytes:
        """Up to ``max_bytes`` bytes from the front, which stay."""
        return bytes(self._bytes[:max_bytes])

    def take(self, max_bytes: int) -> bytes:
        """Remove and return up to ``max_bytes`` bytes from the front."""
        if max_bytes >= len(self._bytes):
            data = bytes(self._bytes)
            self._bytes.clear()
            return data
        max_bytes = max(0, max_bytes)
        data = bytes(self._bytes[:max_bytes])
        del self._bytes[:max_bytes]
        return data

    def clear(self) -> int:
        """Drop everything; returns how many bytes that was."""
        dropped = len(self._bytes)
        self._bytes.clear()
        return dropped
