"""How a character device comes to be: a name, a channel of ``/dev/cuse``, the handshake with the kernel."""

from __future__ import annotations

import errno
import logging
import os
import re
import select
from pathlib import Path

import trio

from cusemodem.cuse import messages
from cusemodem.cuse.errors import DeviceError
from cusemodem.cuse.messages import BadMessageError, Init
from cusemodem.cuse.numbers import majors_to_try, minors_to_try

CUSE_PATH = Path("/dev/cuse")
DEVICE_DIRECTORY = Path("/dev")
HANDSHAKE_TIMEOUT_S = 5.0
# How long a device may take to vanish that its store was told to let go, and how often we look.
GONE_TIMEOUT_S = 1.0
GONE_INTERVAL_S = 0.01
MAX_NAME = 64

_log = logging.getLogger("cusemodem.device")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")


def node_name(path: str) -> str:
    """NAME of ``/dev/NAME`` or ``NAME``. Raises :class:`DeviceError` for what should not be a node's name."""
    name = path.removeprefix(f"{DEVICE_DIRECTORY}/")
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise DeviceError(
            f"{path!r} cannot be a device name: write /dev/ and up to {MAX_NAME} letters, digits and _ . + - "
            "(such as /dev/ttyIAX0)"
        )
    return name


def node_path(name: str) -> Path:
    """Where device ``name`` is."""
    return DEVICE_DIRECTORY / name


async def make_device(node: str, path: Path, major: int | None) -> int:
    """A channel whose device the kernel has accepted; see ``open_cuse`` for its ``major``."""
    _require_free(path)
    majors = majors_to_try() if major is None else [major] if major else []
    for wanted in majors:
        for minor in minors_to_try(node, wanted):
            descriptor = await _try_number(node, path, (wanted, minor))
            if descriptor is not None:
                return descriptor
    if majors:
        text = " or ".join(f"{wanted}:x" for wanted in majors)
        _log.warning("%s: no number %s is free; the device has one of the kernel's choice", path, text)
    descriptor = await _try_number(node, path, (0, 0))
    if descriptor is None:
        raise DeviceError(f"{path}: the kernel refused the device: the name is in use by another one")
    return descriptor


async def _try_number(node: str, path: Path, number: tuple[int, int]) -> int | None:
    """A channel whose device the kernel has accepted; None when the number or the name is taken."""
    descriptor = _open_channel(path)
    try:
        if await _shake_hands(descriptor, node, path, number):
            _require_node(path)
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


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


async def _shake_hands(descriptor: int, node: str, path: Path, number: tuple[int, int]) -> bool:
    """Answer the kernel's greeting, after which the node is there; False when the kernel refuses it."""
    try:
        with trio.move_on_after(HANDSHAKE_TIMEOUT_S):
            await trio.lowlevel.wait_readable(descriptor)
        greeting = messages.parse_request(os.read(descriptor, messages.MAX_MESSAGE))
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
        os.write(descriptor, messages.init_reply(greeting, kernel_name, messages.MAX_TRANSFER, number))
    except OSError as error:
        raise DeviceError(f"{path}: the kernel refused the device: {error.strerror}") from error
    return not is_dead(descriptor)


async def until_gone(path: Path) -> None:
    """Let a device vanish whose last copies somebody else closes (systemd), for a moment."""
    with trio.move_on_after(GONE_TIMEOUT_S):
        while os.path.lexists(path):  # noqa: ASYNC110, ASYNC240 - nothing waits, and a device has no bell
            await trio.sleep(GONE_INTERVAL_S)


def _require_free(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise DeviceError(
            f"{path} exists already: stop the program that made it, or choose another device name"
        )


def _require_node(path: Path) -> None:
    if not path.exists():
        raise DeviceError(
            f"{path}: the kernel made the device, but {DEVICE_DIRECTORY} does not show it: "
            "mount devtmpfs there (in a container, share the machine's)"
        )


def is_dead(descriptor: int) -> bool:
    """Whether the kernel has closed the channel, its only way to show that it refused the device."""
    poller = select.poll()
    poller.register(descriptor, 0)
    return bool(poller.poll(0))
