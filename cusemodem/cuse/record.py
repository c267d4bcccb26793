"""Memory that outlives its process: the state of one port and the host's unanswered requests.

A memfd, kept next to the descriptor of the channel (``keeper.py``, or systemd's store), mapped by whoever
serves. The writer may be killed between any two instructions; so everything becomes valid by one aligned
store of eight bytes. The requests themselves are read into the record: whatever the kernel has handed over
is in it, even if the reader is killed before its next instruction.

====== ==============================================================================
offset content
====== ==============================================================================
0      words of 8 bytes: magic, which of the two states is valid, the length of either
4096   1024 slots of 256 bytes: unique (0: free), length, the beginning of the message
1 MiB  state 0 (JSON)
2 MiB  state 1
3 MiB  the request read last
====== ==============================================================================

The file is sparse: one port costs some 16 KiB, and up to 64 more after large writes.
"""

from __future__ import annotations

import mmap
import os

from cusemodem.cuse.messages import IN_HEADER, MAX_MESSAGE
from cusemodem.cuse.state import BadStateError, PortState

_BUFFER = 3 << 20
SIZE = _BUFFER + (MAX_MESSAGE + 4095) // 4096 * 4096
N_SLOTS = 1024

_MAGIC = int.from_bytes(b"cmport02", "little")
_MAGIC_WORD, _VALID_WORD, _LENGTH_WORD = 0, 1, 2
_SLOTS, _SLOT_SIZE, _SLOT_HEADER = 4096, 256, 16
_STATES, _STATE_SIZE = 1 << 20, 1 << 20
# What a slot holds of a message; a longer one is a write, whose data need not be kept.
KEPT = _SLOT_SIZE - _SLOT_HEADER


class Record:
    """The memory of one port, over the descriptor of a memfd, which stays the caller's.

    Raises :class:`BadStateError` when the file is something else.
    """

    def __init__(self, descriptor: int) -> None:
        try:
            size = os.fstat(descriptor).st_size
            if size != SIZE:
                raise BadStateError(f"a record of {size} bytes; ours have {SIZE}")
            self._map = mmap.mmap(descriptor, SIZE)
        except OSError as error:
            raise BadStateError(f"cannot map a record: {error.strerror}") from error
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("Q")
        if self._words[_MAGIC_WORD] not in (0, _MAGIC):
            self.close()
            raise BadStateError("a record without its magic number")
        self._slot_of: dict[int, int] = {}
        self._free = list(range(N_SLOTS - 1, -1, -1))

    @staticmethod
    def create() -> int:
        """A descriptor for a new, empty record, close-on-exec."""
        descriptor = os.memfd_create("cusemodem-port", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, SIZE)
        return descriptor

    def close(self) -> None:
        """Unmap; the memory lives on as long as a descriptor of it does."""
        self._words.release()
        self._bytes.release()
        self._map.close()

    # While serving

    def buffer(self) -> memoryview:
        """Where requests are read into, each over the one before; the caller's to release before
        :meth:`close`."""
        return self._bytes[_BUFFER : _BUFFER + MAX_MESSAGE]

    def save(self, state: PortState) -> None:
        """Make ``state`` the valid one. One too large to fit (26 000 open files) is left out."""
        data = state.pack()
        if len(data) > _STATE_SIZE:
            return
        other = 1 - self._words[_VALID_WORD] % 2 if self._words[_MAGIC_WORD] else 0
        start = _STATES + other * _STATE_SIZE
        self._bytes[start : start + len(data)] = data
        self._words[_LENGTH_WORD + other] = len(data)
        self._words[_VALID_WORD] = other
        self._words[_MAGIC_WORD] = _MAGIC

    def begin(self, unique: int, message: bytes | bytearray | memoryview) -> None:
        """A request that is not answered at once. With all slots in use it is not recorded: a signal still
        ends it."""
        if not self._free or unique in self._slot_of:
            return
        slot = self._slot_of[unique] = self._free.pop()
        start = _SLOTS + slot * _SLOT_SIZE
        kept = min(len(message), KEPT)
        self._words[start // 8 + 1] = kept
        self._bytes[start + _SLOT_HEADER : start + _SLOT_HEADER + kept] = message[:kept]
        self._words[start // 8] = unique

    def end(self, unique: int) -> None:
        """The request is answered."""
        slot = self._slot_of.pop(unique, None)
        if slot is not None:
            self._words[(_SLOTS + slot * _SLOT_SIZE) // 8] = 0
            self._free.append(slot)

    # After a predecessor

    def state(self) -> PortState | None:
        """What the predecessor saved last; None when it saved nothing. Raises :class:`BadStateError`."""
        if not self._words[_MAGIC_WORD]:
            return None
        valid = self._words[_VALID_WORD] % 2
        start = _STATES + valid * _STATE_SIZE
        length = min(self._words[_LENGTH_WORD + valid], _STATE_SIZE)
        return PortState.unpack(bytes(self._bytes[start : start + length]))

    def unanswered(self) -> dict[int, bytes]:
        """The beginnings of the messages that the predecessor left unanswered, oldest first, by unique. They
        stay recorded until their :meth:`end`."""
        found = []
        self._slot_of.clear()
        self._free.clear()
        for slot in range(N_SLOTS):
            start = _SLOTS + slot * _SLOT_SIZE
            unique = self._words[start // 8]
            if not unique:
                self._free.append(slot)
                continue
            length = min(self._words[start // 8 + 1], KEPT)
            message = bytes(self._bytes[start + _SLOT_HEADER : start + _SLOT_HEADER + length])
            self._slot_of[unique] = slot
            if len(message) >= IN_HEADER.size:
                found.append((unique, message))
        return dict(sorted(found))

    def last_message(self) -> bytes:
        """The request that the predecessor read last, b"" if none; it may be answered or not."""
        length = IN_HEADER.unpack_from(self._bytes, _BUFFER)[0]
        if not IN_HEADER.size <= length <= MAX_MESSAGE:
            return b""
        return bytes(self._bytes[_BUFFER : _BUFFER + length])

    def forget_unanswered(self) -> None:
        """Those of a predecessor come again, or are answered."""
        for unique in list(self._slot_of):
            self.end(unique)
