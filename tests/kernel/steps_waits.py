"""Steps on calls that wait: signals, several readers, settings that change meanwhile."""

import ctypes
import errno
import os
import select
import signal
import struct
import termios
import time
from collections.abc import Callable

from tests.kernel.host import child, until_asleep
from tests.kernel.steps import Steps, finished

_libc = ctypes.CDLL(None, use_errno=True)


class Waits(Steps):
    """Blocked calls, in processes of their own."""

    def signals(self) -> None:
        os.set_blocking(self.file, True)
        for name, restart in (("without SA_RESTART", False), ("with SA_RESTART", True)):
            self.step(f"a signal in read, {name}", lambda r=restart: self._interrupted(signal.SIGALRM, r))
        self.step("SIGSTOP and SIGCONT in read", lambda: self._interrupted(signal.SIGSTOP, False))
        self.step("an ignored signal in read", lambda: self._interrupted(signal.SIGCHLD, False))
        self.step("SIGKILL in read", self._killed)
        self.step("a signal in select", lambda: self._interrupted(signal.SIGALRM, True, "select"))
        self.step("a signal after half of VMIN", self._interrupted_half)

    def _interrupted(self, number: int, restart: bool, call: str = "read", sent: bytes = b"late") -> str:
        """A signal arrives in a blocked call, then input: what the call gave, told through a pipe."""
        told, tell = os.pipe()

        def reader() -> None:
            signal.signal(signal.SIGALRM, lambda *_: None)
            signal.siginterrupt(signal.SIGALRM, not restart)
            buffer = ctypes.create_string_buffer(100)
            if call == "read":
                size = _libc.read(self.file, buffer, 100)
            else:
                sets = struct.pack("16Q", *(1 << self.file if i == 0 else 0 for i in range(16)))
                size = _libc.select(self.file + 1, ctypes.create_string_buffer(sets), None, None, None)
            failed = ctypes.get_errno()
            os.write(
                tell,
                errno.errorcode[failed].encode() if size < 0 else b"%d " % size + buffer.raw[: max(size, 0)],
            )

        pid = child(reader)
        until_asleep(pid)
        os.kill(pid, number)
        time.sleep(0.1)
        if number == signal.SIGSTOP:
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.1)
        self.side.send(sent)
        finished(pid)
        result = os.read(told, 200).decode()
        os.close(told)
        os.close(tell)
        termios.tcflush(self.file, termios.TCIFLUSH)
        return result

    def _interrupted_half(self) -> str:
        self.set_up(vmin=9)
        self.side.send(b"half")
        try:
            return self._interrupted(signal.SIGALRM, False)
        finally:
            self.set_up()

    def _killed(self) -> int:
        pid = child(lambda: os.read(self.file, 9))
        until_asleep(pid)
        os.kill(pid, signal.SIGKILL)
        return finished(pid)

    def blocked(self) -> None:
        os.set_blocking(self.file, True)
        self.step("VMIN 5 gathers", self._gathers)
        self.step("two readers, one line each", self._two_readers)
        self.step("a reader in canonical mode", self._canonical_reader)
        self.step("a write larger than the queue", self._large_blocked_write)
        self.step(
            "select wakes for input", lambda: self._woken(lambda: select.select([self.file], [], [], 5)[0])
        )
        self.step("settings change under a reader", self._settings_change)

    def _gathers(self) -> list[bytes]:
        self.set_up(vmin=5)
        told, tell = os.pipe()
        pid = child(lambda: os.write(tell, os.read(self.file, 99)) < 0)
        until_asleep(pid)
        for part in (b"ab", b"c", b"de", b"f"):
            self.side.send(part)
        finished(pid)
        got = os.read(told, 99)
        os.set_blocking(self.file, False)
        rest = self.read_all()
        os.set_blocking(self.file, True)
        self.set_up()
        os.close(told)
        os.close(tell)
        # The kernel may hand over the sixth byte with the fifth, or not.
        return [got[:5], (got + b"".join(rest))[5:]]

    def _two_readers(self) -> list[bytes]:
        self.set_up(lflag=termios.ICANON)
        told, tell = os.pipe()
        pids = [child(lambda: os.write(tell, os.read(self.file, 99)) < 0) for _ in range(2)]
        until_asleep(*pids)
        self.side.send(b"one\ntwo\n")
        for pid in pids:
            finished(pid)
        got = sorted(os.read(told, 99).split())
        os.close(told)
        os.close(tell)
        return got

    def _canonical_reader(self) -> int:
        pid = child(lambda: os.read(self.file, 99) != b"whole\n")
        until_asleep(pid)
        self.side.send(b"who")
        self.side.send(b"le\n")
        status = finished(pid)
        self.set_up()
        return status

    def _large_blocked_write(self) -> tuple[int, int]:
        self.side.hold(True)
        pid = child(lambda: os.write(self.file, bytes(100_000)) != 100_000)
        until_asleep(pid)
        self.side.hold(False)
        total = 0
        while total < 100_000 and (more := self.side.heard()):
            total += len(more)
        return total, finished(pid)

    def _woken(self, wait: Callable[[], object]) -> int:
        pid = child(lambda: not wait())
        until_asleep(pid)
        self.side.send(b"x")
        status = finished(pid)
        termios.tcflush(self.file, termios.TCIFLUSH)
        return status

    def _settings_change(self) -> int:
        pid = child(lambda: os.read(self.file, 99) != b"OK\n")
        until_asleep(pid)
        self.set_up(termios.ICRNL, lflag=termios.ICANON)
        self.side.send(b"OK\r")
        status = finished(pid)
        self.set_up()
        return status
