"""Steps on files: opening, sharing, sessions, and what remains after a hang-up."""

import errno
import fcntl
import mmap
import os
import signal
import socket
import stat
import struct
import termios
import time
from collections.abc import Callable
from pathlib import Path

from tests.kernel.host import child, until_asleep
from tests.kernel.steps import TCGETS, Steps, finished


class Files(Steps):
    """Opens, descriptors, exclusive use, controlling terminal, hang-up."""

    def opens(self) -> None:
        path = self.side.path
        self.step("open O_RDWR", lambda: self._opens_well(os.O_RDWR))
        self.step("open O_RDONLY", lambda: self._opens_well(os.O_RDONLY))
        self.step("open O_WRONLY", lambda: self._opens_well(os.O_WRONLY))
        self.step("open O_CREAT|O_TRUNC", lambda: self._opens_well(os.O_RDWR | os.O_CREAT | os.O_TRUNC))
        self.step("open O_CREAT|O_EXCL", lambda: self._opens_well(os.O_RDWR | os.O_CREAT | os.O_EXCL))
        self.step("open O_APPEND", lambda: self._opens_well(os.O_RDWR | os.O_APPEND))
        self.step("open O_SYNC", lambda: self._opens_well(os.O_RDWR | os.O_SYNC))
        self.step("open O_DIRECTORY", lambda: self._opens_well(os.O_RDWR | os.O_DIRECTORY))
        self.step("open O_DIRECT", lambda: self._opens_well(os.O_RDWR | os.O_DIRECT))
        self.step("open O_NOFOLLOW", lambda: self._opens_well(os.O_RDWR | os.O_NOFOLLOW))
        self.step("fstat is a character device", lambda: stat.S_ISCHR(os.fstat(self.file).st_mode))
        self.step("isatty", lambda: os.isatty(self.file))
        self.step("ttyname", lambda: os.ttyname(self.file) == path)
        self.step("access R_OK|W_OK", lambda: os.access(path, os.R_OK | os.W_OK))
        self.step("lseek", lambda: os.lseek(self.file, 0, os.SEEK_CUR))
        self.step("pread", lambda: os.pread(self.file, 10, 0))
        self.step("pwrite", lambda: os.pwrite(self.file, b"x", 0))
        self.side.heard()
        self.step("fsync", lambda: os.fsync(self.file))
        self.step("fdatasync", lambda: os.fdatasync(self.file))
        self.step("ftruncate", lambda: os.ftruncate(self.file, 0))
        self.step("mmap", lambda: mmap.mmap(self.file, 4096))
        self.step("flock", lambda: fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB))
        self.step("a second flock", self._second_flock)
        self.step("lockf", lambda: fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB))
        self.step("fcntl F_GETFL", lambda: hex(fcntl.fcntl(self.file, fcntl.F_GETFL) & 0x7FFF))
        self.step("fcntl F_SETFL O_ASYNC", self._set_async)
        self.step("fcntl F_SETOWN", lambda: fcntl.fcntl(self.file, fcntl.F_SETOWN, os.getpid()))
        self.step("fchmod", lambda: os.fchmod(self.file, 0o660))
        self.step("posix_fadvise", lambda: os.posix_fadvise(self.file, 0, 0, os.POSIX_FADV_SEQUENTIAL))
        self.step("read of 0 bytes", lambda: os.read(self.file, 0))
        self.step("write of 0 bytes", lambda: os.write(self.file, b""))
        with self.opened(os.O_RDONLY | os.O_NONBLOCK) as reader:
            self.step("write to O_RDONLY", lambda: os.write(reader, b"x"))
            self.step("tcflush on O_RDONLY", lambda: termios.tcflush(reader, termios.TCIFLUSH))
        with self.opened(os.O_WRONLY | os.O_NONBLOCK) as writer:
            self.step("read from O_WRONLY", lambda: os.read(writer, 1))
            self.step("write to O_WRONLY", lambda: (os.write(writer, b"x"), self.side.heard()))
        self.step("writev", lambda: (os.writev(self.file, [b"ab", b"", b"cd"]), self.side.heard()))
        self.side.send(b"abcdef")
        self.step("readv", self._readv)
        self.step("a large write", self._large_write)

    def _opens_well(self, flags: int) -> str:
        os.close(os.open(self.side.path, flags | os.O_NONBLOCK | os.O_NOCTTY))
        return "opened"

    def _second_flock(self) -> None:
        with self.opened(os.O_RDWR | os.O_NONBLOCK) as other:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _set_async(self) -> None:
        flags = fcntl.fcntl(self.file, fcntl.F_GETFL)
        fcntl.fcntl(self.file, fcntl.F_SETFL, flags | os.O_ASYNC)
        fcntl.fcntl(self.file, fcntl.F_SETFL, flags & ~os.O_ASYNC)

    def _readv(self) -> tuple[int, bytes]:
        buffers = [bytearray(2), bytearray(3), bytearray(9)]
        return os.readv(self.file, buffers), b"".join(buffers)

    def _large_write(self) -> bool:
        os.set_blocking(self.file, True)
        page = bytes(range(256)) * 12
        taken, heard = os.write(self.file, page), b""
        os.set_blocking(self.file, False)
        while len(heard) < len(page) and (more := self.side.heard()):
            heard += more
        return (taken, heard) == (len(page), page)

    def sharing(self) -> None:
        copy = os.dup(self.file)
        with self.opened(os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY) as other:
            os.set_blocking(self.file, True)
            self.step("O_NONBLOCK of a dup", lambda: os.get_blocking(copy))
            self.step("O_NONBLOCK of another open", lambda: os.get_blocking(other))
            os.set_blocking(self.file, False)
            self.side.send(b"ab")
            self.step("three files read the same bytes", lambda: [os.read(f, 1) for f in (copy, other)])
            self.set_up(lflag=termios.ECHO)
            self.step("settings are of the port", lambda: termios.tcgetattr(other)[3])
            self.set_up()
            self.step("TIOCEXCL", lambda: fcntl.ioctl(self.file, termios.TIOCEXCL))
            self.step("TIOCGEXCL set", lambda: self.integer(0x80045440))
            Path(self.side.path).chmod(0o666)
            self.step(
                "open by a user while exclusive",
                lambda: self.as_user(lambda: os.close(os.open(self.side.path, os.O_RDWR | os.O_NOCTTY))),
            )
            self.step("open by root while exclusive", lambda: self._opens_well(os.O_RDWR))
            self.step("TIOCNXCL", lambda: fcntl.ioctl(other, termios.TIOCNXCL))
            self.step(
                "open by a user after it",
                lambda: self.as_user(lambda: os.close(os.open(self.side.path, os.O_RDWR | os.O_NOCTTY))),
            )
        os.close(copy)
        self.step("a file passed by a socket", self._passed)
        self.step("a child reads", self._child_reads)

    def _passed(self) -> bytes:
        here, there = socket.socketpair()
        with here, there:
            socket.send_fds(here, [b"x"], [self.file])
            passed = socket.recv_fds(there, 1, 1)[1][0]
            self.side.send(b"via")
            try:
                return os.read(passed, 9)
            finally:
                os.close(passed)

    def _child_reads(self) -> int:
        os.set_blocking(self.file, True)
        pid = child(lambda: os.read(self.file, 9) != b"forked")
        until_asleep(pid)
        self.side.send(b"forked")
        return finished(pid)

    def sessions(self) -> None:
        def leader() -> int:
            os.setsid()
            with self.opened(os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK) as tty:
                fcntl.ioctl(tty, termios.TIOCSCTTY, 0)
                facts = (
                    fcntl.ioctl(tty, 0x5429, bytes(4)) == struct.pack("i", os.getpid()),
                    fcntl.ioctl(tty, termios.TIOCGPGRP, bytes(4)) == struct.pack("i", os.getpgrp()),
                    fcntl.ioctl(tty, termios.TIOCSPGRP, struct.pack("i", os.getpgrp())) is not None,
                )
                return sum(1 << i for i, fact in enumerate(facts) if fact)

        self.step(
            "a session leader takes the terminal", lambda: os.waitstatus_to_exitcode(finished(child(leader)))
        )
        self.step(
            "TIOCSCTTY by no leader",
            lambda: self.as_user(lambda: fcntl.ioctl(self.file, termios.TIOCSCTTY, 0)),
        )
        self.step("^C kills the foreground job", self._control_c)
        self.step("/dev/tty of the session", self._dev_tty)
        self.fresh()

    def _in_session(self, body: Callable[[], object]) -> int:
        def leader() -> object:
            os.setsid()
            tty = os.open(self.side.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            fcntl.ioctl(tty, termios.TIOCSCTTY, 0)
            return body()

        return child(leader)

    def _control_c(self) -> int:
        self.set_up(lflag=termios.ISIG | termios.ICANON)

        def job() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            time.sleep(10)

        pid = self._in_session(job)
        until_asleep(pid)
        self.side.send(b"\x03")
        return finished(pid)

    def _dev_tty(self) -> str:
        def attempt() -> int:
            try:
                os.close(os.open("/dev/tty", os.O_RDWR))
            except OSError as error:
                return error.errno or 99
            return 0

        status = os.waitstatus_to_exitcode(finished(self._in_session(attempt)))
        return errno.errorcode.get(status, str(status))

    def hang_up(self) -> None:
        file = self.file
        self.step("TIOCVHANGUP", lambda: fcntl.ioctl(file, 0x5437, 0))
        self.step("read when hung up", self.read)
        self.step("write when hung up", lambda: os.write(file, b"x"))
        self.step("TCGETS when hung up", lambda: self.get(TCGETS, 36))
        self.step("TIOCSPGRP when hung up", lambda: self.put_integer(termios.TIOCSPGRP, os.getpgrp()))
        self.step("FIONREAD when hung up", lambda: self.integer(termios.FIONREAD))
        self.step("isatty when hung up", lambda: os.isatty(file))
        self.step("poll when hung up", lambda: self.ready(0xFFFF & ~0x2000))
        self.step("an unknown ioctl when hung up", lambda: self.get(0x54FE))

        def again() -> object:
            with self.opened(os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY) as new:
                return os.write(new, b"again"), self.side.heard()

        self.step("opened again after a hang-up", again)
