"""The trio adapter on ``/dev/cuse``: one descriptor, one character device.

The serving thread must never open, ioctl or close its own node: close(2) waits for an answer that only it can
give.
"""

from __future__ import annotations

import errno
import os
import re
import select
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from cusemodem.cuse import messages
from cusemodem.cuse.errors import DeviceError
from cusemodem.cuse.messages import IN_HEADER, TRANSFER_IN, BadMessageError, Init
from cusemodem.cuse.one_task import one_task
from cusemodem.cuse.port import Port
from cusemodem.cuse.requests import Channel

CUSE_PATH = Path("/dev/cuse")
DEVICE_DIRECTORY = Path("/dev")
# Data of one request; the kernel splits larger reads and writes.
MAX_TRANSFER = 65536
# Requests served before the other tasks of the process get their turn.
MAX_BATCH = 32
HANDSHAKE_TIMEOUT_S = 5.0
MAX_NAME = 64

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")


class CuseDevice:
    """A served ``/dev`` node; made by :func:`open_cuse`."""

    kind = "cuse"

    def __init__(self, descriptor: int, path: str, port: Port, on_activity: Callable[[], None]) -> None:
        self.path = path
        self.port = port
        self._descriptor = descriptor
        self._on_activity = on_activity
        self._channel = Channel(port)
        self._buffer = bytearray(MAX_TRANSFER + IN_HEADER.size + TRANSFER_IN.size)
        self._view = memoryview(self._buffer)
        # Around the wait for requests; its deadline is the port's next timer.
        self._sleep: trio.CancelScope | None = None
        self._settling = False

    def flush(self) -> None:
        """The modem may have changed the port: answer waiting reads, wake sleepers in poll.

        Never blocks, and costs next to nothing when nothing changed. What follows at the host's end (a
        blocked write goes on, files are hung up) is told by ``on_activity``.
        """
        if self.port.take_changed():
            self._settle()

    def _settle(self, *, host_acted: bool = False) -> None:
        """Let changes through in both directions until there is nothing new."""
        if self._settling:
            return
        self._settling = True
        try:
            if host_acted:
                self._on_activity()
            self._service()
            for _ in range(MAX_BATCH):
                if not self.port.has_events:
                    break
                self._on_activity()
                self._service()
        finally:
            self._settling = False
        if self._sleep is not None:
            self._sleep.deadline = self._deadline()

    def _service(self) -> None:
        self._channel.service(trio.current_time())
        self._send()

    async def serve(self) -> None:
        """Answer the kernel until cancelled. Raises :class:`DeviceError` when it takes the device away."""
        while True:
            with trio.CancelScope(deadline=self._deadline()) as self._sleep:
                await trio.lowlevel.wait_readable(self._descriptor)
            self._sleep = None
            self._serve_batch()

    def _serve_batch(self) -> None:
        channel = self._channel
        for _ in range(MAX_BATCH):
            size = self._read()
            if not size:
                break
            # A clock reading each: the host may run between two requests, and counts time from there.
            channel.receive(self._view[:size], trio.current_time())
            self._send()
        self._settle(host_acted=True)

    def _deadline(self) -> float:
        due = self._channel.next_timer()
        return float("inf") if due is None else due

    def _read(self) -> int:
        """One request into the buffer; its size, 0 when there is none."""
        while True:
            try:
                return os.readv(self._descriptor, [self._buffer])
            except BlockingIOError:
                return 0
            except OSError as error:
                # ENOENT: the request was aborted while it was being read.
                if error.errno in (errno.ENOENT, errno.EINTR):
                    continue
                if error.errno == errno.ENODEV:
                    raise DeviceError(
                        f"{self.path}: the kernel has taken the device away; start the modem again"
                    ) from error
                raise

    def _send(self) -> None:
        for reply in self._channel.replies():
            try:
                os.write(self._descriptor, reply)
            except OSError as error:
                # ENOENT: the caller is gone. ENODEV: so is the device; the next read says so.
                if error.errno not in (errno.ENOENT, errno.ENODEV):
                    raise


def node_name(path: str) -> str:
    """NAME of ``/dev/NAME`` or ``NAME``. Raises :class:`DeviceError` for what should not be a node's name."""
    name = path.removeprefix(f"{DEVICE_DIRECTORY}/")
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise DeviceError(
            f"{path!r} cannot be a device name: write /dev/ and up to {MAX_NAME} letters, digits and _ . + - "
            "(such as /dev/ttyIAX0)"
        )
    return name


@asynccontextmanager
async def open_cuse(
    name: str,
    port: Port,
    on_activity: Callable[[], None],
    *,
    number: tuple[int, int] = (0, 0),
) -> AsyncIterator[CuseDevice]:
    """Make the character device ``/dev/NAME`` and serve it with ``port`` inside the ``async with`` block.

    ``on_activity`` is called, in the trio thread and without a task switch, after each batch of the kernel's
    requests: take the port's output and events, put its input; what it did is sent at once, without a
    ``flush()`` of its own. ``number`` is the (major, minor) wanted, major 0 for one of the kernel's choice.

    Raises :class:`DeviceError` when the device cannot be made, or is taken away later.
    """
    node = node_name(name)
    path = DEVICE_DIRECTORY / node
    if path.exists() or path.is_symlink():
        raise DeviceError(
            f"{path} exists already: stop the program that made it, or choose another device name"
        )
    descriptor = _open_channel(path)
    try:
        await _shake_hands(descriptor, node, path, number)
        _require_node(path)
        device = CuseDevice(descriptor, str(path), port, on_activity)
        async with one_task(device.serve):
            yield device
    finally:
        os.close(descriptor)


def _open_channel(path: Path) -> int:
    try:
        return os.open(CUSE_PATH, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        match error.errno:
            case errno.ENOENT | errno.ENODEV | errno.ENXIO:
                reason = (
                    f"this kernel offers no {CUSE_PATH}: load its module with 'modprobe cuse', "
                    "or use a pty instead of a device"
                )
            case errno.EACCES | errno.EPERM:
                reason = (
                    f"no permission to open {CUSE_PATH}: run as root, or give {CUSE_PATH} to a group "
                    "of the modem's user"
                )
            case _:
                reason = f"cannot open {CUSE_PATH}: {error.strerror}"
        raise DeviceError(f"{path}: {reason}") from error


async def _shake_hands(descriptor: int, node: str, path: Path, number: tuple[int, int]) -> None:
    """Answer the kernel's greeting, after which the node is there."""
    try:
        with trio.move_on_after(HANDSHAKE_TIMEOUT_S):
            await trio.lowlevel.wait_readable(descriptor)
        greeting = messages.parse_request(os.read(descriptor, MAX_TRANSFER))
    except (OSError, BadMessageError) as error:
        raise DeviceError(
            f"{path}: {CUSE_PATH} gave no greeting ({error}); is it the kernel's own?"
        ) from error
    if not isinstance(greeting, Init):
        raise DeviceError(f"{path}: {CUSE_PATH} did not begin with its greeting; is it the kernel's own?")
    if greeting.major != messages.PROTOCOL_MAJOR or greeting.minor < messages.PROTOCOL_MINOR_MIN:
        raise DeviceError(
            f"{path}: this kernel speaks CUSE {greeting.major}.{greeting.minor}; {messages.PROTOCOL_MAJOR}."
            f"{messages.PROTOCOL_MINOR_MIN} or later is needed (Linux 3.16)"
        )
    kernel_name = node.replace("/", "!")
    try:
        os.write(descriptor, messages.init_reply(greeting, kernel_name, MAX_TRANSFER, number))
    except OSError as error:
        raise DeviceError(f"{path}: the kernel refused the device: {error.strerror}") from error
    if _is_dead(descriptor):
        major, minor = number
        taken = f"the name, or the number {major}:{minor}," if major else "the name"
        raise DeviceError(f"{path}: the kernel refused the device: {taken} is in use by another one")


def _require_node(path: Path) -> None:
    if not path.exists():
        raise DeviceError(
            f"{path}: the kernel made the device, but {DEVICE_DIRECTORY} does not show it: "
            "mount devtmpfs there (in a container, share the machine's)"
        )


def _is_dead(descriptor: int) -> bool:
    """Whether the kernel has closed the channel, its only way to show that it refused the device."""
    poller = select.poll()
    poller.register(descriptor, 0)
    return bool(poller.poll(0))
