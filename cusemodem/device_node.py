"""The node that fax programs open, made as configured: CUSE or pty, link, owner and mode."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from cusemodem.config import ModemConfig
from cusemodem.cuse.device import open_cuse
from cusemodem.cuse.errors import DeviceError
from cusemodem.cuse.port import Port
from cusemodem.cuse.pty import open_pty

CUSE_PATH = Path("/dev/cuse")

log = logging.getLogger("cusemodem.device")


class Device(Protocol):
    """What the CUSE and the pty adapter have in common."""

    path: str
    kind: str

    def flush(self) -> None:
        """Tell the kernel what the modem side changed in the port."""


@asynccontextmanager
async def open_device(
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
