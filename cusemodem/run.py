"""Running modems: the device, the socket, the 20 ms tick and the signals, in trio.

One task paces the tick and drains the socket; the device adapters call back as soon as the kernel asks
something, so that a command is answered at once and not at the next tick. Nothing else wakes up.
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

import sdnotify
import trio

import iax
import iax.socket
from cusemodem.at.engine import Engine
from cusemodem.config import ModemConfig
from cusemodem.cuse.device import CUSE_PATH, open_cuse
from cusemodem.cuse.errors import DeviceError
from cusemodem.cuse.port import Port
from cusemodem.cuse.pty import open_pty
from cusemodem.line import LineOptions
from cusemodem.lines import Lines
from cusemodem.tick import BLOCK_S, TickClock

log = logging.getLogger("cusemodem.run")

IDLE_TICK_S = 0.1
"""With no call on any line the tick wakes five times less often and then does five blocks at once: a ring
is noticed within 100 ms, and an idle modem costs next to nothing."""

LATE_TICK_S = 0.04
"""Lateness beyond this may have cost audio, at our jitter buffer or the far end's: worth a log line."""

FAREWELL_S = 1.0
"""How long hanging up and releasing the registration may take at the end."""


class Device(Protocol):
    """What the CUSE and the pty adapter have in common."""

    path: str
    kind: str

    def flush(self) -> None:
        """Tell the kernel what the modem side changed in the port."""


def run_modem(config: ModemConfig) -> int:
    """Run one modem in the foreground until SIGTERM or SIGINT; returns the exit status."""
    set_up_logging()
    try:
        trio.run(_run, config)
    except (DeviceError, iax.socket.SocketError) as error:
        print(f"cusemodem: {config.name}: {error}", file=sys.stderr)
        return 1
    return 0


async def _run(config: ModemConfig) -> None:
    now = trio.current_time
    server = await iax.socket.resolve(config.server_host, config.server_port)
    peer = iax.PeerConfig(server, config.peername, config.secret, config.refresh_s)
    async with AsyncExitStack() as stack:
        socket = stack.enter_context(await iax.socket.Socket.open(port=config.port))
        endpoint = iax.Endpoint(
            random.SystemRandom(),
            accept_from=[server[0]],
            formats=config.formats,
            new_playout=iax.ArrivalQueue if config.nojitterbuffer else iax.JitterBuffer,
        )
        lines = Lines(endpoint, 1)
        port = Port()
        line = lines.add(
            config.name,
            port,
            Engine(),
            peer,
            LineOptions(config.cidnumber, config.cidname, config.formats),
        )

        def on_activity() -> None:
            line.service_port(now())
            socket.flush(endpoint)

        device = await stack.enter_async_context(_open_device(config, port, on_activity))
        registration = endpoint.register(peer, now()) if config.refresh_s else None
        gc.collect()
        gc.freeze()  # what start-up made lives for ever: collections then scan little, and the tick is steady
        print(f"ready: {device.path} ({device.kind})", flush=True)
        notify = sdnotify.SystemdNotifier()
        notify.notify("READY=1")
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_tick, lines, socket, device)
                async for number in signals:
                    log.info("ending on %s", signal.Signals(number).name)
                    break
                nursery.cancel_scope.cancel()
        notify.notify("STOPPING=1")
        lines.shut_down(now())
        if registration is not None:
            registration.release(now())
        await _farewell(lines, socket, registration)


async def _tick(lines: Lines, socket: iax.socket.Socket, device: Device) -> None:
    """Pace the blocks: sleep to the next boundary, take the datagrams, do what is due, send."""
    clock = TickClock(trio.current_time())
    was_in_call = False
    endpoint = lines.endpoint
    while True:
        wake = clock.next_due if lines.in_call else max(clock.next_due, trio.current_time() + IDLE_TICK_S)
        await trio.sleep_until(wake)
        for _ in range(clock.due(trio.current_time(), at_once=not lines.in_call)):
            now = trio.current_time()
            socket.drain(endpoint, now)
            lines.step(now)
            socket.flush(endpoint)
            clock.steer(lines.fill_error_samples())
        if was_in_call != lines.in_call:
            was_in_call = lines.in_call
            lateness_s = clock.take_worst_lateness_s()
            if not was_in_call and lateness_s > LATE_TICK_S:
                log.warning("this machine was busy: the tick came up to %.0f ms late", lateness_s * 1000)
        device.flush()


async def _farewell(lines: Lines, socket: iax.socket.Socket, registration: iax.Registration | None) -> None:
    """Let the last frames (HANGUP, REGREL) be acknowledged, within a bound."""
    endpoint = lines.endpoint
    with trio.move_on_after(FAREWELL_S):
        while True:
            now = trio.current_time()
            socket.drain(endpoint, now)
            endpoint.handle_timer(now)
            endpoint.events()
            socket.flush(endpoint)
            released = registration is None or registration.state is iax.RegistrationState.RELEASED
            if released and endpoint.statistics().calls == 0:
                return
            await trio.sleep(BLOCK_S)


@asynccontextmanager
async def _open_device(
    config: ModemConfig, port: Port, on_activity: Callable[[], None]
) -> AsyncIterator[Device]:
    """The device as configured: CUSE, or a pty where the kernel has no CUSE; owner and mode set.

    Raises DeviceError with one sentence when it cannot be made.
    """
    adapter = config.adapter
    if adapter == "auto":
        adapter = "cuse" if _kernel_has_cuse() else "pty"
        if adapter == "pty":
            log.warning(
                "this kernel offers no %s (modprobe cuse): %s is a pty instead; a program cannot hang up by "
                "dropping DTR, and sees no DCD or RI",
                CUSE_PATH,
                config.device_path,
            )
    async with AsyncExitStack() as stack:
        if adapter == "pty":
            device: Device = await stack.enter_async_context(
                open_pty(str(config.device_path), port, on_activity)
            )
        else:
            device = await stack.enter_async_context(open_cuse(config.device_name, port, on_activity))
            if Path(device.path) != config.device_path:
                stack.enter_context(_link(config.device_path, device.path))
        _set_owner_and_mode(config, Path(device.path))
        yield device


def _kernel_has_cuse() -> bool:
    """Whether /dev/cuse can be opened, or at least is there and refuses us for want of permission."""
    try:
        os.close(os.open(CUSE_PATH, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.errno not in (errno.ENOENT, errno.ENODEV, errno.ENXIO)
    return True


@contextmanager
def _link(path: Path, target: str) -> Iterator[None]:
    """A symbolic link to the node for as long as it lives, where the configuration wants one."""
    try:
        if path.is_symlink():
            path.unlink()
        path.symlink_to(target)
    except OSError as error:
        raise DeviceError(
            f"cannot make the link {path} to {target}: {error.strerror}; choose another `device`"
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()


def _set_owner_and_mode(config: ModemConfig, node: Path) -> None:
    """Give the node away as configured; udev may have done so already, and wins where it disagrees later."""
    try:
        if config.owner is not None:
            os.chown(node, config.owner.uid, config.owner.gid)
        if config.mode is not None:
            node.chmod(config.mode)
    except OSError as error:
        log.warning("cannot set owner and mode of %s: %s", node, error.strerror)


class _InfoOnly(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno < logging.WARNING


def set_up_logging(level: int = logging.INFO) -> None:
    """Informational lines to stdout, warnings and errors to stderr, as the original has it."""
    form = logging.Formatter("[%(asctime)s.%(msecs)03d] %(message)s", "%Y-%m-%d %H:%M:%S")
    information, errors = logging.StreamHandler(sys.stdout), logging.StreamHandler(sys.stderr)
    information.addFilter(_InfoOnly())
    errors.setLevel(logging.WARNING)
    for handler in (information, errors):
        handler.setFormatter(form)
    logging.basicConfig(level=level, handlers=[information, errors], force=True)
