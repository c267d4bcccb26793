"""The node that fax programs open, made as configured: CUSE or pty, link, owner and mode."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Protocol

from cusemodem.config import ModemConfig
from cusemodem.cuse.device import CuseDevice, forget_cuse, open_cuse
from cusemodem.cuse.errors import DeviceError
from cusemodem.cuse.port import Port
from cusemodem.cuse.pty import open_pty
from cusemodem.cuse.store import Store, StoreError
from cusemodem.node_owner import set_owner_and_mode, set_owner_and_mode_of_pty
from cusemodem.privileges import as_root

CUSE_PATH = Path("/dev/cuse")

PTY_LIMITS = "a program cannot hang up by DTR, sees no DCD or RI, and has to reopen it after a restart"
"""What a pty cannot do that a program may miss; all of it is in docs/port.md."""

log = logging.getLogger("cusemodem.device")


class Device(Protocol):
    """What the CUSE and the pty adapter have in common."""

    path: str
    kind: str
    keep: bool
    """At the end, leave the device to a successor, if it can be left."""

    n_reads: int
    """How often its reader has read."""

    def fileno(self) -> int:
        """What its reader waits for."""

    def flush(self) -> None:
        """Tell the kernel what the modem side changed in the port."""


@asynccontextmanager
async def open_device(
    config: ModemConfig, port: Port, on_activity: Callable[[], None], store: Store | None = None
) -> AsyncIterator[Device]:
    """The device as configured: CUSE, or a pty where the kernel has no CUSE; owner and mode set.

    What a predecessor left in the `store` is taken over, with owner and mode as they are.
    Raises DeviceError with one sentence when it cannot be made.
    """
    stack = AsyncExitStack()
    with as_root():
        device = await stack.enter_async_context(_open_device(config, port, on_activity, store))
    try:
        yield device
    finally:
        with as_root():
            await stack.aclose()


@asynccontextmanager
async def _open_device(
    config: ModemConfig, port: Port, on_activity: Callable[[], None], store: Store | None
) -> AsyncIterator[Device]:
    adapter = config.adapter
    if adapter == "auto":
        adapter = "cuse" if _kernel_has_cuse() else "pty"
        if adapter == "pty":
            log.warning(
                "this kernel offers no %s (modprobe cuse): %s is a pty instead; %s",
                CUSE_PATH,
                config.device_path,
                PTY_LIMITS,
            )
    elif adapter == "pty":
        log.info("%s is a pty, as configured; %s", config.device_path, PTY_LIMITS)
    if store is not None and (adapter == "pty" or not config.keep):
        await forget_cuse(config.device_name, store)
    if adapter == "pty":
        give = partial(set_owner_and_mode_of_pty, config)
        with _claimed(config.device_path):
            async with open_pty(str(config.device_path), port, on_activity, give, as_root) as pty:
                yield pty
        return
    async with AsyncExitStack() as stack:
        cuse = await _enter_cuse(stack, config, port, on_activity, store)
        if Path(cuse.path) != config.device_path:
            stack.enter_context(_link(config.device_path, cuse))
        if not cuse.resumed:
            await set_owner_and_mode(config, Path(cuse.path))
        yield cuse


async def _enter_cuse(
    stack: AsyncExitStack,
    config: ModemConfig,
    port: Port,
    on_activity: Callable[[], None],
    store: Store | None,
) -> CuseDevice:
    """A CUSE device that outlives us if there is a store for it, and does not otherwise."""
    if store is not None and config.keep:
        try:
            device = open_cuse(config.device_name, port, on_activity, major=config.major, store=store)
            return await stack.enter_async_context(device)
        except StoreError as error:
            log.warning("%s", error, extra={"line": config.name})
    return await stack.enter_async_context(
        open_cuse(config.device_name, port, on_activity, major=config.major)
    )


def _kernel_has_cuse() -> bool:
    """Whether /dev/cuse can be opened, or at least is there and refuses us for want of permission."""
    try:
        os.close(os.open(CUSE_PATH, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.errno not in (errno.ENOENT, errno.ENODEV, errno.ENXIO)
    return True


@contextmanager
def _claimed(path: Path) -> Iterator[None]:
    """Keep the link of a pty from another cusemodem, which would otherwise take it over in silence. What
    says so is an abstract socket, which a killed process leaves nothing of."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as claim:
        digest = hashlib.sha256(os.fsencode(path)).hexdigest()
        try:
            claim.bind(f"\0cusemodem-device-{digest}")
        except OSError:
            raise DeviceError(
                f"{path} is the device of another cusemodem that runs; end it, or choose another `device`"
            ) from None
        yield


@contextmanager
def _link(path: Path, device: CuseDevice) -> Iterator[None]:
    """A symbolic link to the node for as long as it lives, where the configuration wants one."""
    if path.is_symlink() and path.exists() and path.resolve() != Path(device.path):
        raise DeviceError(f"{path} is a link to {path.readlink()}: remove it, or choose another `device`")
    try:
        if path.is_symlink():
            path.unlink()
        path.symlink_to(device.path)
    except OSError as error:
        raise DeviceError(
            f"cannot make the link {path} to {device.path}: {error.strerror}; choose another `device`"
        ) from error
    try:
        yield
    finally:
        if not (device.keep and device.can_be_kept):
            with suppress(OSError):
                path.unlink()
