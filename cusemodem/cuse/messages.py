"""The kernel's CUSE messages: bytes of ``/dev/cuse`` to requests, replies to bytes.

CUSE speaks the FUSE protocol (``linux/fuse.h``) over one descriptor a device. Each read of the descriptor
gives one whole request, each write takes one whole reply; numbers are in the machine's byte order, which we
take to be little endian. Only what arrives for a character device is here.

========== ===== ================================ ===================================
request    code  body after the 40-byte header    reply after the 16-byte header
========== ===== ================================ ===================================
CUSE_INIT  4096  ``INIT_IN``                      ``INIT_OUT``, ``DEVNAME=name\\0``
OPEN       14    ``OPEN_IN``                      ``OPEN_OUT``
READ       15    ``TRANSFER_IN``                  the bytes
WRITE      16    ``TRANSFER_IN``, the bytes       ``WRITE_OUT``
RELEASE    18    ``RELEASE_IN``                   nothing
IOCTL      39    ``IOCTL_IN``, in-data            ``IOCTL_OUT``, out-data or iovecs
POLL       40    ``POLL_IN``                      ``POLL_OUT``
INTERRUPT  36    ``INTERRUPT_IN``                 none of its own
========== ===== ================================ ===================================
"""

from __future__ import annotations

import errno
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

# len, opcode, unique, nodeid, uid, gid, pid, total_extlen, padding
IN_HEADER = Struct("<IIQQIIIHH")
# len, -errno, unique
OUT_HEADER = Struct("<IiQ")

# major, minor, unused, flags
INIT_IN = Struct("<IIII")
# major, minor, unused, flags, max_read, max_write, dev_major, dev_minor, ten spare words
INIT_OUT = Struct("<IIIIIIII40x")
# flags of open(2), open_flags
OPEN_IN = Struct("<II")
# fh, open_flags, padding
OPEN_OUT = Struct("<QII")
# fh, offset, size, read_flags/write_flags, lock_owner, flags of the open file, padding
TRANSFER_IN = Struct("<QQIIQII")
# size, padding
WRITE_OUT = Struct("<II")
# fh, flags, release_flags, lock_owner
RELEASE_IN = Struct("<QIIQ")
# fh, flags, cmd, arg, in_size, out_size
IOCTL_IN = Struct("<QIIQII")
# result, flags, in_iovs, out_iovs
IOCTL_OUT = Struct("<iIII")
# address, length
IOVEC = Struct("<QQ")
# fh, kh, flags, events
POLL_IN = Struct("<QQII")
# revents, padding
POLL_OUT = Struct("<II")
# kh
POLL_WAKEUP = Struct("<Q")
# unique of the request that a signal interrupts
INTERRUPT_IN = Struct("<Q")

PROTOCOL_MAJOR = 7
# With 21 poll carries its events and ioctl retries have 64-bit iovecs; nothing newer than 31 is used.
PROTOCOL_MINOR_MIN = 21
PROTOCOL_MINOR_MAX = 31

UNRESTRICTED_IOCTL = 1 << 0
IOCTL_RETRY = 1 << 2
IOCTL_32_BIT = 1 << 0 | 1 << 3
POLL_SCHEDULE_NOTIFY = 1 << 0
# In the number of an INTERRUPT, which is else that of its target (Linux 4.20).
INTERRUPT_BIT = 1 << 0
# In the number of a request that the kernel hands over once more.
RESEND_BIT = 1 << 63
NOTIFY_POLL = 1
NOTIFY_RESEND = 7

# Data of one request; the kernel splits larger reads and writes.
MAX_TRANSFER = 65536
MAX_MESSAGE = MAX_TRANSFER + IN_HEADER.size + TRANSFER_IN.size

# The whole range the kernel accepts in a reply: -511 .. -1.
LARGEST_ERRNO = 511


class Opcode(IntEnum):
    """Request numbers (``enum fuse_opcode``) that reach a character device."""

    OPEN = 14
    READ = 15
    WRITE = 16
    RELEASE = 18
    INTERRUPT = 36
    IOCTL = 39
    POLL = 40
    CUSE_INIT = 4096


class BadMessageError(ValueError):
    """Bytes that are not a request of the protocol: the one error of :func:`parse_request`.

    ``unique`` is the number to refuse it by, 0 when not even that can be read.
    """

    def __init__(self, text: str, unique: int = 0) -> None:
        super().__init__(text)
        self.unique = unique


class Init(NamedTuple):
    """The kernel's greeting: its protocol version and whether it offers unrestricted ioctl."""

    unique: int
    major: int
    minor: int
    flags: int


class Open(NamedTuple):
    """open(2) of the node; ``flags`` are those of open(2) that CUSE lets through."""

    unique: int
    flags: int
    uid: int
    pid: int


class Read(NamedTuple):
    """read(2) of up to ``size`` bytes; ``flags`` are the open file's flags of this moment."""

    unique: int
    handle: int
    offset: int
    size: int
    flags: int


class Write(NamedTuple):
    """write(2) of ``data``; ``flags`` as in :class:`Read`."""

    unique: int
    handle: int
    offset: int
    data: bytes
    flags: int


class Release(NamedTuple):
    """The last copy of an open file was closed."""

    unique: int
    handle: int


class Ioctl(NamedTuple):
    """ioctl(2): raw ``argument``; on a retry also memory, ``data`` in and room for ``out_size`` bytes out."""

    unique: int
    handle: int
    number: int
    argument: int
    data: bytes
    out_size: int
    uid: int
    pid: int
    from_32_bit: bool


class Poll(NamedTuple):
    """poll(2), select(2) or epoll; ``wake_key`` (kh) names the open file in a later wake-up."""

    unique: int
    handle: int
    wake_key: int
    schedule_notify: bool
    events: int


class Interrupt(NamedTuple):
    """A signal is pending for the thread that waits for request ``target``."""

    unique: int
    target: int


class Unsupported(NamedTuple):
    """A well-formed request that no character device needs; answer ENOSYS."""

    unique: int
    opcode: int


Request = Init | Open | Read | Write | Release | Ioctl | Poll | Interrupt | Unsupported


def parse_request(message: bytes | bytearray | memoryview) -> Request:
    """One request as read from the descriptor. Raises :class:`BadMessageError`, and nothing else."""
    if len(message) < IN_HEADER.size:
        raise BadMessageError(f"a request of {len(message)} bytes; its header alone has {IN_HEADER.size}")
    length, opcode, unique, _node, uid, _gid, pid, extension, _padding = IN_HEADER.unpack_from(message)
    if length != len(message):
        raise BadMessageError(f"a request of {len(message)} bytes says that it has {length}", unique)
    # Extensions (8-byte units, protocol 7.38) stand behind the body.
    end = length - 8 * extension if extension else length

    def fields(layout: Struct) -> tuple[int, ...]:
        if IN_HEADER.size + layout.size > end:
            raise BadMessageError(
                f"request {opcode}: {max(0, end - IN_HEADER.size)} bytes of body where {layout.size} belong",
                unique,
            )
        return layout.unpack_from(message, IN_HEADER.size)

    match opcode:
        case Opcode.READ:
            handle, offset, size, _, _, flags, _ = fields(TRANSFER_IN)
            return Read(unique, handle, offset, size, flags)
        case Opcode.WRITE:
            handle, offset, size, _, _, flags, _ = fields(TRANSFER_IN)
            data = bytes(message[IN_HEADER.size + TRANSFER_IN.size : end])
            if len(data) != size:
                raise BadMessageError(f"WRITE of {size} bytes carries {len(data)}", unique)
            return Write(unique, handle, offset, data, flags)
        case Opcode.POLL:
            handle, wake_key, flags, events = fields(POLL_IN)
            return Poll(unique, handle, wake_key, bool(flags & POLL_SCHEDULE_NOTIFY), events)
        case Opcode.IOCTL:
            handle, flags, number, argument, in_size, out_size = fields(IOCTL_IN)
            data = bytes(message[IN_HEADER.size + IOCTL_IN.size : end])
            if len(data) != in_size:
                raise BadMessageError(f"IOCTL with {in_size} bytes of memory carries {len(data)}", unique)
            return Ioctl(
                unique, handle, number, argument, data, out_size, uid, pid, bool(flags & IOCTL_32_BIT)
            )
        case Opcode.INTERRUPT:
            (target,) = fields(INTERRUPT_IN)
            return Interrupt(unique, target)
        case Opcode.OPEN:
            flags, _ = fields(OPEN_IN)
            return Open(unique, flags, uid, pid)
        case Opcode.RELEASE:
            handle, _, _, _ = fields(RELEASE_IN)
            return Release(unique, handle)
        case Opcode.CUSE_INIT:
            major, minor, _, flags = fields(INIT_IN)
            return Init(unique, major, minor, flags)
        case _:
            return Unsupported(unique, opcode)


def _reply(unique: int, body: bytes) -> bytes:
    return OUT_HEADER.pack(OUT_HEADER.size + len(body), 0, unique) + body


def init_reply(init: Init, name: str, max_transfer: int, number: tuple[int, int] = (0, 0)) -> bytes:
    """Accept the greeting and ask for node ``name``; data of up to ``max_transfer`` bytes a request.

    ``number`` is the (major, minor) wanted; major 0 lets the kernel choose.
    """
    out = INIT_OUT.pack(
        PROTOCOL_MAJOR,
        min(init.minor, PROTOCOL_MINOR_MAX),
        0,
        UNRESTRICTED_IOCTL,
        max_transfer,
        max_transfer,
        *number,
    )
    return _reply(init.unique, out + b"DEVNAME=" + name.encode("ascii") + b"\0")


def error_reply(unique: int, error: int) -> bytes:
    """Refuse a request with a positive errno, 1..511."""
    assert 0 < error <= LARGEST_ERRNO
    return OUT_HEADER.pack(OUT_HEADER.size, -error, unique)


def requeue_interrupt(unique: int) -> bytes:
    """Have a signal that is pending for the caller of request ``unique`` told once more.

    The kernel refuses it with ENOENT when the request is not (or no longer) with us, with EINVAL when it is
    and no signal is pending: the one way to ask whether a request is unanswered (Linux 4.20).
    """
    return OUT_HEADER.pack(OUT_HEADER.size, -errno.EAGAIN, unique | INTERRUPT_BIT)


def resend() -> bytes:
    """Have every request that was read and not answered handed over once more, with ``RESEND_BIT`` in its
    number: Linux 6.9, protocol 7.40. Older kernels refuse it with EINVAL.
    """
    return OUT_HEADER.pack(OUT_HEADER.size, NOTIFY_RESEND, 0)


def empty_reply(unique: int) -> bytes:
    """RELEASE is done."""
    return OUT_HEADER.pack(OUT_HEADER.size, 0, unique)


def open_reply(unique: int, handle: int) -> bytes:
    """The file is open; ``handle`` (fh, 64 bits) comes back in each of its requests."""
    return _reply(unique, OPEN_OUT.pack(handle, 0, 0))


def read_reply(unique: int, data: bytes) -> bytes:
    """The bytes read, at most as many as asked for."""
    return _reply(unique, data)


def write_reply(unique: int, size: int) -> bytes:
    """The number of bytes taken."""
    return _reply(unique, WRITE_OUT.pack(size, 0))


def ioctl_reply(unique: int, result: int, data: bytes = b"") -> bytes:
    """What ioctl(2) returns, and the memory it fills."""
    return _reply(unique, IOCTL_OUT.pack(result, 0, 0, 0) + data)


def ioctl_retry(unique: int, address: int, in_size: int, out_size: int) -> bytes:
    """Ask again, with ``in_size`` bytes of memory at ``address`` in hand, or ``out_size`` to fill there."""
    n_in, n_out = int(in_size > 0), int(out_size > 0)
    body = IOCTL_OUT.pack(0, IOCTL_RETRY, n_in, n_out)
    if n_in:
        body += IOVEC.pack(address, in_size)
    if n_out:
        body += IOVEC.pack(address, out_size)
    return _reply(unique, body)


def poll_reply(unique: int, events: int) -> bytes:
    """The events (POLLIN, …) that hold now."""
    return _reply(unique, POLL_OUT.pack(events, 0))


def poll_wakeup(wake_key: int) -> bytes:
    """Unasked: whoever sleeps in poll on this open file shall ask again."""
    return OUT_HEADER.pack(OUT_HEADER.size + POLL_WAKEUP.size, NOTIFY_POLL, 0) + POLL_WAKEUP.pack(wake_key)
