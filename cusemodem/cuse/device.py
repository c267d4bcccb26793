"""The trio adapter on ``/dev/cuse``: one descriptor, one character device.

The serving thread must never open, ioctl or close its own node: close(2) waits for an answer that only it can
give.
"""

from __future__ import annotations

import errno
import logging
import os
import select
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio

from cusemodem.cuse import messages
from cusemodem.cuse.errors import DeviceError
from cusemodem.cuse.messages import MAX_MESSAGE
from cusemodem.cuse.node import is_dead, make_device, node_name, node_path, until_gone
from cusemodem.cuse.one_task import one_task
from cusemodem.cuse.port import Port
from cusemodem.cuse.record import Record
from cusemodem.cuse.requests import Channel
from cusemodem.cuse.state import BadStateError, PortState
from cusemodem.cuse.store import Descriptors, Place, Store, forget

# Requests served before the other tasks of the process get their turn.
MAX_BATCH = 32
# How long a program that is busy with the port, or was woken, is waited for, and how many single requests, or
# wake-ups, there are to a look whether it has become so.
LINGER_S = 0.0002
PROBE_INTERVAL = 16
SELECT_LIMIT = 1024

# Where the number of a request stands in its message, and that of poll.
_OPCODE = slice(4, 8)
_POLL = messages.Opcode.POLL.to_bytes(4, "little")

_log = logging.getLogger("cusemodem.device")


class CuseDevice:
    """A served ``/dev`` node; made by :func:`open_cuse`."""

    kind = "cuse"

    def __init__(
        self,
        descriptor: int,
        path: str,
        port: Port,
        on_activity: Callable[[], None],
        record: Record | None = None,
    ) -> None:
        self.path = path
        self.port = port
        self.keep = True
        """Leave the device to a successor at the end, if there is a store for it."""
        self.can_be_kept = record is not None
        self.resumed = False
        """Taken over from a predecessor, node, owner, mode and all."""
        self._descriptor = descriptor
        self._on_activity = on_activity
        self._channel = Channel(port, node_name(path), record)
        self._n_unknown_ioctls = 0
        self._buffer = record.buffer() if record is not None else memoryview(bytearray(MAX_MESSAGE))
        # Around the wait for requests; its deadline is the port's next timer.
        self._sleep: trio.CancelScope | None = None
        self._settling = False
        self.n_reads = 0
        """How often requests were read: whether the reader lives."""
        # The last reading of the clock.
        self._now = 0.0
        # Whether the last look for another request found one.
        self._is_busy = False
        # The same for the question of a sleeper in poll that was woken, and how many were.
        self._asks_at_once = True
        self._n_woken = 0

    def fileno(self) -> int:
        """The channel's descriptor, to look whether requests wait."""
        return self._descriptor

    def flush(self) -> None:
        """The modem may have changed the port: answer waiting reads, wake sleepers in poll.

        Never blocks, and costs next to nothing when nothing changed. What follows at the host's end (a
        blocked write goes on, files are hung up) is told by ``on_activity``.
        """
        if not self.port.take_changed():
            return
        n_woken = self._n_woken
        self._settle(trio.current_time())
        if self._n_woken > n_woken and self._is_asked():
            # A device that the kernel has taken away is told of where it is served.
            with suppress(DeviceError):
                self._serve_batch(is_timer_due=False, most=1)

    def _is_asked(self) -> bool:
        """Whether a program that was woken in poll asks what there is, which it does before poll returns.

        It is back within microseconds, less than it takes to have the other tasks look round; but only on a
        machine that has a processor for it, so this is a matter of experience as in :meth:`_expects_more`.
        """
        if not self._asks_at_once and self._n_woken % PROBE_INTERVAL:
            return False
        self._asks_at_once = self._has_request()
        return self._asks_at_once

    def _settle(self, now: float, *, host_acted: bool = False) -> None:
        """Let changes through in both directions until there is nothing new."""
        if self._settling:
            return
        self._settling = True
        try:
            if host_acted:
                self._on_activity()
            self._service(now)
            for _ in range(MAX_BATCH):
                if not self.port.has_events:
                    break
                self._on_activity()
                self._service(now)
        finally:
            self._settling = False
        if self._sleep is not None:
            self._sleep.deadline = self._deadline()

    def resume(self, state: PortState) -> None:
        """Go on where a predecessor left; before :meth:`serve`."""
        self.resumed = True
        self._channel.resume(state, self._is_waiting, self._resend, trio.current_time())
        _log.info(
            "%s: taken over with %d open files; %d calls go on",
            self.path,
            self.port.open_count,
            self._channel.n_waiting,
        )

    def _is_waiting(self, unique: int) -> bool:
        """Whether the kernel waits for our answer to a request."""
        try:
            os.write(self._descriptor, messages.requeue_interrupt(unique))
        except OSError as error:
            return error.errno == errno.EINVAL
        return True

    def _resend(self) -> bool:
        """Have the kernel hand over once more what a predecessor left unanswered; False if it cannot."""
        try:
            os.write(self._descriptor, messages.resend())
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return False
        return True

    def close(self) -> None:
        """Let go of the record; the descriptors are the caller's."""
        self._buffer.release()

    def _service(self, now: float) -> None:
        if self._channel.service(now):
            self._n_woken += 1
        self._send()

    async def serve(self) -> None:
        """Answer the kernel until cancelled. Raises :class:`DeviceError` when it takes the device away."""
        # Before the first request is read there is a state for a successor.
        self._send()
        if self.resumed:
            self._settle(trio.current_time(), host_acted=True)
        while True:
            with trio.CancelScope(deadline=self._deadline()) as self._sleep:
                await trio.lowlevel.wait_readable(self._descriptor)
            is_timer_due = self._sleep.cancelled_caught
            self._sleep = None
            self.n_reads += 1
            self._serve_batch(is_timer_due=is_timer_due)

    def _serve_batch(self, *, is_timer_due: bool, most: int = MAX_BATCH) -> None:
        n_served = 0
        if is_timer_due:
            self._settle(trio.current_time(), host_acted=True)
        while size := self._read():
            n_served += 1
            # A clock reading each: the host may run between two requests, and counts time from there.
            if not self._channel.is_timeless(self._buffer):
                self._now = trio.current_time()
            self._channel.receive(self._buffer[:size], self._now)
            self._send()
            # A poll changes nothing at the port, unless it looks at input that is echoed.
            if self._buffer[_OPCODE] != _POLL or self.port.has_events:
                self._settle(self._now, host_acted=True)
            if n_served == most or not self._expects_more(n_served):
                break
        if len(self.port.unknown_ioctls) > self._n_unknown_ioctls:
            self._log_unknown_ioctls()

    def _expects_more(self, n_served: int) -> bool:
        """Whether another request is there, or comes in a moment.

        A program that writes or reads piece by piece asks again within microseconds, less than it takes to
        have the other tasks look round; so it is waited for that long. But only where it paid the last time,
        and now and then: most programs have one thing to ask.
        """
        if n_served == 1 and not self._is_busy and self.n_reads % PROBE_INTERVAL:
            return False
        self._is_busy = self._has_request()
        return self._is_busy

    def _has_request(self) -> bool:
        """Whether a request is there within a moment."""
        if self._descriptor >= SELECT_LIMIT:
            return False
        return bool(select.select([self._descriptor], [], [], LINGER_S)[0])

    def _log_unknown_ioctls(self) -> None:
        new = list(self.port.unknown_ioctls)[self._n_unknown_ioctls :]
        self._n_unknown_ioctls += len(new)
        for number in new:
            _log.info("%s: a program tried ioctl 0x%X, which this port does not have", self.path, number)

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
        self._channel.sent()


@asynccontextmanager
async def open_cuse(
    name: str,
    port: Port,
    on_activity: Callable[[], None],
    *,
    major: int | None = None,
    store: Store | None = None,
) -> AsyncIterator[CuseDevice]:
    """Make the character device ``/dev/NAME`` and serve it with ``port`` inside the ``async with`` block.

    ``on_activity`` is called, in the trio thread and without a task switch, after each batch of the kernel's
    requests: take the port's output and events, put its input; what it did is sent at once, without a
    ``flush()`` of its own. ``major`` is the device number that all modems share, each with a minor number of
    its own; None for a free one of those for local use, 0 for a whole major of the kernel's choice.

    With a ``store`` the device outlives us: a device that a predecessor left there is taken over, its open
    files and all, and ours is left there when the block ends, unless ``device.keep`` is off by then.

    Raises :class:`DeviceError` when the device cannot be made, or is taken away later.
    """
    node = node_name(name)
    path = node_path(node)
    if store is None:
        descriptor = await make_device(node, path, major)
        try:
            device = CuseDevice(descriptor, str(path), port, on_activity)
            async with one_task(device.serve):
                yield device
        finally:
            os.close(descriptor)
        return
    async with store.serve(node) as place:
        descriptors, state = await _take(place, path)
        if descriptors is None:
            descriptors = Descriptors(await make_device(node, path, major), Record.create())
            try:
                await place.keep(descriptors)
            except BaseException:
                descriptors.close()
                raise
        try:
            record = Record(descriptors.record)
            device = CuseDevice(descriptors.channel, str(path), port, on_activity, record)
            try:
                if state is not None:
                    device.resume(state)
                async with one_task(device.serve):
                    yield device
            finally:
                device.close()
                record.close()
                if not device.keep or is_dead(descriptors.channel):
                    with trio.CancelScope(shield=True):
                        await place.release()
        finally:
            descriptors.close()


async def _take(place: Place, path: Path) -> tuple[Descriptors | None, PortState | None]:
    """What a predecessor left, if it is any good; without a state when it never came to serve."""
    kept = place.kept
    if kept is None:
        return None, None
    if not is_dead(kept.channel):
        try:
            record = Record(kept.record)
            try:
                return kept, record.state()
            finally:
                record.close()
        except BadStateError as error:
            _log.warning(
                "%s: cannot take over from the modem before (%s): programs have to reopen it", path, error
            )
    await forget(place)
    await until_gone(path)
    return None, None


async def forget_cuse(name: str, store: Store) -> None:
    """Have the device that a predecessor left in the store end: it shall not outlive its process any more.

    Raises as :func:`open_cuse` does.
    """
    node = node_name(name)
    if await store.forget(node):
        await until_gone(node_path(node))
