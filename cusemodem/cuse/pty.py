"""The fallback without CUSE: the same :class:`Port` behind a pseudo-terminal, with a symbolic link at the
wanted path.

The kernel is the tty here, so reads, line discipline and poll are exact. What a pty cannot do:

* no modem lines: TIOCMGET, TIOCMSET, TIOCMIWAIT and TIOCGSERIAL fail with ENOTTY in the host's program;
* DTR is guessed: on while somebody has the port open, off at the last close with HUPCL, and within
  ``SETTINGS_INTERVAL_S`` after a speed of B0; several open files count as one;
* a lost carrier without CLOCAL closes the pty and puts a new one behind the link;
* tcdrain does not wait for the modem, and break is not seen.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import select
import stat
import struct
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from pathlib import Path

import trio

from cusemodem.cuse.errors import DeviceError
from cusemodem.cuse.modem_lines import TIOCM_DTR, TIOCM_RTS
from cusemodem.cuse.one_task import one_task
from cusemodem.cuse.port import Port

# How often settings are looked at while the port is open: B0 must hang up within 100 ms.
SETTINGS_INTERVAL_S = 0.05
# Where inotify is missing: how often a closed port is looked at.
OPEN_INTERVAL_S = 0.05
CHUNK = 4096
MAX_BATCH = 32

# First byte of each read of the master in packet mode (ioctl_tty(2)): bits, or 0 for data.
_PACKET_FLUSHED_INPUT = 1
_PACKET_FLUSHED_OUTPUT = 2
_DISABLED = b"\0"

_IN_OPEN = 0x20


class PtyDevice:
    """A pty served with a port; made by :func:`open_pty`."""

    kind = "pty"

    def __init__(
        self,
        link: Path,
        port: Port,
        on_activity: Callable[[], None],
        on_new_slave: Callable[[Path], None] = lambda _slave: None,
        privileged: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.path = str(link)
        self.port = port
        self.keep = False
        self._link = link
        self._on_new_slave, self._privileged = on_new_slave, privileged
        self._on_activity = on_activity
        self._open = False
        self._had_speed = True
        self._settling = False
        self._inotify = _inotify()
        self._epoll = select.epoll()
        if self._inotify is not None:
            self._epoll.register(self._inotify, select.EPOLLIN)
        self._master = -1
        self.n_reads = 0
        """How often what programs did was read: whether the reader lives."""
        self._slave_path = ""
        # Why there is no pty after a hang-up: told by `serve`, for `flush` is called by others' business.
        self._failure: DeviceError | None = None
        self._sleep = trio.CancelScope()
        try:
            with privileged():
                self._make_pty()
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """The descriptor to look at whether something waits to be read."""
        return self._epoll.fileno()

    def flush(self) -> None:
        """The modem may have changed the port: pass its bytes on, hang up if the carrier was lost.

        Never blocks, and costs next to nothing when nothing changed. A hang-up is told by ``on_activity``.
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
            if self.port.has_events:
                self._on_activity()
                self._service()
        finally:
            self._settling = False

    def _service(self) -> None:
        if self._open:
            self._look_at_settings()
        if self.port.take_carrier_loss() and self._open and not self._settings_flag(termios.CLOCAL):
            self._hang_up()
        self._write()

    async def serve(self) -> None:
        """Serve the pty until cancelled. Raises :class:`DeviceError` when a hang-up cannot make a new one."""
        while True:
            with trio.move_on_after(self._interval_s()) as self._sleep:
                if self._failure is None:
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
            if self._failure is not None:
                raise self._failure
            self._serve_batch()

    def close(self) -> None:
        """Give everything back, the link too if it is still ours."""
        with contextlib.suppress(OSError):
            if self._link.readlink() == Path(self._slave_path):
                self._link.unlink()
        self._epoll.close()
        if self._inotify is not None:
            os.close(self._inotify)
        if self._master >= 0:
            os.close(self._master)

    def _interval_s(self) -> float:
        if self._open:
            return SETTINGS_INTERVAL_S
        return OPEN_INTERVAL_S if self._inotify is None else float("inf")

    def _serve_batch(self) -> None:
        self.n_reads += 1
        if self._inotify is not None:
            with contextlib.suppress(BlockingIOError):
                os.read(self._inotify, CHUNK)
        hung_up = self._is_hung_up()
        if not self._open and (not hung_up or self._has_output()):
            self._opened()
        if not self._open:
            return
        self._look_at_settings()
        closed = self._read()
        self._settle(host_acted=True)
        for _ in range(MAX_BATCH):
            if not hung_up or closed or not self._open or not self.port.to_modem.room:
                break
            closed = self._read()
            self._settle(host_acted=True)
        # A modem that takes no more in the middle of a page shall hang up now, not after the page.
        if self._open and (closed or (hung_up and not self.port.to_modem.room)):
            self.port.flush_output()
            self._closed()
        self._settle()

    def _make_pty(self) -> None:
        """A new pty with a serial port's settings, behind the link; nobody has it open."""
        self._master, slave = os.openpty()
        os.set_blocking(self._master, False)
        fcntl.ioctl(self._master, termios.TIOCPKT, struct.pack("i", 1))
        iflag, oflag, _, lflag, _, _, cc = termios.tcgetattr(slave)
        # Without a carrier to send it to, echo would only give the modem its own result codes as commands.
        lflag &= ~termios.ECHO
        cflag = termios.CS8 | termios.CREAD | termios.HUPCL | termios.CLOCAL
        _free_flow_characters(cc)
        speed = termios.B9600
        termios.tcsetattr(slave, termios.TCSANOW, [iflag, oflag, cflag, lflag, speed, speed, cc])
        self._slave_path = os.ttyname(slave)
        os.close(slave)
        self._had_speed = True
        if self._inotify is not None:
            _watch_opens(self._inotify, self._slave_path)
        # Before anybody finds it by the link.
        self._on_new_slave(Path(self._slave_path))
        _link(self._link, self._slave_path)

    def _is_hung_up(self) -> bool:
        """Whether nobody has the other side open."""
        poller = select.poll()
        poller.register(self._master, 0)
        return any(events & select.POLLHUP for _, events in poller.poll(0))

    def _has_output(self) -> bool:
        """Whether somebody wrote and has closed already."""
        poller = select.poll()
        poller.register(self._master, select.POLLIN)
        return any(events & select.POLLIN for _, events in poller.poll(0))

    def _opened(self) -> None:
        self._open = True
        self._epoll.register(self._master, select.EPOLLIN)
        self.port.file_opened()
        self._had_speed = self._has_speed()
        if self._had_speed:
            self.port.drive_host_lines(TIOCM_DTR | TIOCM_RTS, 0)

    def _closed(self) -> None:
        self._open = False
        self._epoll.unregister(self._master)
        self.port.flush_input()
        termios.tcflush(self._master, termios.TCOFLUSH)
        self.port.files_closed()
        if self._settings_flag(termios.HUPCL):
            self.port.drive_host_lines(0, TIOCM_DTR | TIOCM_RTS)

    def _hang_up(self) -> None:
        self.port.counts["hang_ups"] += 1
        self.port.flush_output()
        self._closed()
        # Closing this side is the hang-up: the host's files read 0, write EIO, poll HUP.
        os.close(self._master)
        self._master = -1
        try:
            with self._privileged():
                self._make_pty()
        except OSError as error:
            self._failure = DeviceError(f"{self._link}: cannot make a pty: {error.strerror}")
        except DeviceError as error:
            self._failure = error
        if self._failure is not None:
            self._sleep.cancel()

    def _settings(self) -> list[int]:
        # On the master these are the other side's.
        return termios.tcgetattr(self._master)[:6]

    def _settings_flag(self, cflag: int) -> bool:
        return bool(self._settings()[2] & cflag)

    def _has_speed(self) -> bool:
        return self._settings()[5] != termios.B0

    def _look_at_settings(self) -> None:
        """B0 is DTR off; and the kernel must not eat 0x11 and 0x13 of a fax page, whatever IXON says."""
        settings = termios.tcgetattr(self._master)
        has_speed = settings[5] != termios.B0
        if has_speed != self._had_speed:
            self._had_speed = has_speed
            lines = TIOCM_DTR | TIOCM_RTS
            self.port.drive_host_lines(lines if has_speed else 0, lines)
        if settings[0] & termios.IXON and _free_flow_characters(settings[6]):
            termios.tcsetattr(self._master, termios.TCSANOW, settings)

    def _read(self) -> bool:
        """From the host into the port; returns whether the other side was closed by everybody."""
        for _ in range(MAX_BATCH):
            room = self.port.to_modem.room
            if not room:
                # The modem is behind: leave the rest in the pty, whose writers then wait.
                return False
            try:
                packet = os.read(self._master, min(room, CHUNK) + 1)
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno == errno.EIO:
                    return True
                raise
            if packet[:1] == b"\0":
                self.port.put_output(packet[1:])
                continue
            if packet[0] & _PACKET_FLUSHED_INPUT:
                self.port.flush_input()
            if packet[0] & _PACKET_FLUSHED_OUTPUT:
                self.port.flush_output()
        return False

    def _write(self) -> None:
        """From the port to the host, as far as the pty takes it; also, note what epoll shall wait for."""
        if not self._open:
            return
        blocked = False
        while data := self.port.to_host.peek(CHUNK):
            try:
                n_written = os.write(self._master, data)
            except BlockingIOError:
                n_written = 0
            if not n_written:
                blocked = True
                break
            self.port.to_host.take(n_written)
        events = select.EPOLLIN if self.port.to_modem.room else 0
        self._epoll.modify(self._master, events | (select.EPOLLOUT if blocked else 0))


def _free_flow_characters(cc: list[bytes | int]) -> bool:
    """Switch off the characters of IXON; returns whether that changed anything."""
    changed = False
    for index in (termios.VSTART, termios.VSTOP):
        if cc[index] != _DISABLED:
            cc[index] = _DISABLED
            changed = True
    return changed


def _inotify() -> int | None:
    """An inotify descriptor, None where there is no more to be had."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    return descriptor if descriptor >= 0 else None


def _watch_opens(inotify: int, path: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.inotify_add_watch(inotify, os.fsencode(path), _IN_OPEN) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), path)


def _link(link: Path, target: str) -> None:
    """Put a symbolic link in place, at once. Raises :class:`DeviceError`."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISLNK(link.lstat().st_mode):
            raise DeviceError(f"{link} exists and is not a link: remove it, or choose another device path")
    new = link.with_name(f".{link.name}.{os.getpid()}")
    try:
        new.unlink(missing_ok=True)
        new.symlink_to(target)
        new.replace(link)
    except OSError as error:
        raise DeviceError(
            f"{link}: cannot link it to {target} ({error.strerror}): choose a device path in a directory "
            "that the modem's user may write"
        ) from error


@asynccontextmanager
async def open_pty(
    link_path: str,
    port: Port,
    on_activity: Callable[[], None],
    on_new_slave: Callable[[Path], None] = lambda _slave: None,
    privileged: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> AsyncIterator[PtyDevice]:
    """Serve a pty with ``port`` inside the ``async with`` block; the host opens it by ``link_path``.

    A symbolic link already there is replaced. ``on_activity`` is called as by
    :func:`cusemodem.cuse.device.open_cuse`. ``on_new_slave`` is called with the path of each pty before the
    link leads to it, the first one's and that of each hang-up; a pty is made, and so linked, under
    ``privileged``. Raises :class:`DeviceError` when there can be no pty or no link.
    """
    try:
        device = PtyDevice(Path(link_path), port, on_activity, on_new_slave, privileged)
    except OSError as error:
        raise DeviceError(f"{link_path}: cannot make a pty: {error.strerror}") from error
    try:
        async with one_task(device.serve):
            yield device
    finally:
        device.close()
