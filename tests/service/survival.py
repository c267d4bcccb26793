"""The ports of a real service outlive it: `python -m tests.service.survival [N]`, in a guest with CUSE.

A program has two ports open over kills and restarts of workers and of the whole service, N of each (1), and
finds its modem as it left it. Prints a line for each thing seen; the last is "all done".
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import struct
import sys
import tempfile
import termios
import time
import tty
from pathlib import Path

import pytest

from tests.kernel.checks_survival import keeper_pid
from tests.service.running import RunningService, eventually

TIMEOUT_S = 60.0


class Program:
    """What a fax program does: opens the port, sets the modem up, asks it whether it is there."""

    def __init__(self, path: str) -> None:
        self.file = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self.file)
        settings = termios.tcgetattr(self.file)
        settings[2] |= termios.CLOCAL
        settings[6][termios.VMIN], settings[6][termios.VTIME] = 0, 10
        termios.tcsetattr(self.file, termios.TCSANOW, settings)
        os.set_blocking(self.file, True)
        self.settings = termios.tcgetattr(self.file)
        assert b"OK" in self.ask(b"ATE0S0=0+FCLASS=1")

    def ask(self, command: bytes) -> bytes:
        """The whole answer, up to its result."""
        assert os.write(self.file, command + b"\r") == len(command) + 1
        answer = b""
        deadline = time.monotonic() + TIMEOUT_S
        while not answer.endswith((b"OK\r\n", b"ERROR\r\n")):
            answer += os.read(self.file, 1000)
            assert time.monotonic() < deadline, answer
        return answer

    def hang_up(self) -> None:
        """Drop DTR, and set the modem up again."""
        fcntl.ioctl(self.file, termios.TIOCMBIC, struct.pack("I", termios.TIOCM_DTR))
        time.sleep(0.2)
        fcntl.ioctl(self.file, termios.TIOCMBIS, struct.pack("I", termios.TIOCM_DTR))
        termios.tcflush(self.file, termios.TCIFLUSH)
        assert b"OK" in self.ask(b"ATE0S0=0+FCLASS=1")

    def check(self) -> None:
        """The same open file, the same terminal settings, the same modem settings."""
        assert self.ask(b"AT") == b"\r\nOK\r\n", "no echo, as it was set"
        assert self.ask(b"AT+FCLASS?") == b"\r\n1\r\n\r\nOK\r\n"
        assert termios.tcgetattr(self.file) == self.settings


def is_dead(pid: int) -> bool:
    """A process that has ended, or been buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def node_of(path: str) -> int:
    """The inode, 0 when there is none."""
    try:
        return Path(path).stat().st_ino
    except FileNotFoundError:
        return 0


def main(n_times: int) -> None:
    root = Path(tempfile.mkdtemp())
    with RunningService(root, workers=2) as service:
        for k in range(2):
            service.modem(k, "adapter = cuse", "refresh = 0")
        service.start()
        links = [root / f"ttyIAX{k}" for k in range(2)]
        assert [link.readlink() for link in links] == [Path(f"/dev/ttyIAX{k}") for k in range(2)]
        programs = [Program(str(link)) for link in links]
        nodes = [Path(f"/dev/ttyIAX{k}").stat().st_ino for k in range(2)]
        print("keeper:", Path(f"/proc/{keeper_pid()}/statm").read_text().split()[1], "pages resident")

        def check(what: str) -> None:
            for program in programs:
                program.check()
            assert nodes == [Path(f"/dev/ttyIAX{k}").stat().st_ino for k in range(2)]
            assert all(link.is_symlink() for link in links)
            print(f"{what}: the ports work", flush=True)

        check("at first")
        for _ in range(n_times):
            for pid in service.worker_pids():
                os.kill(pid, signal.SIGKILL)
                eventually(lambda pid=pid: is_dead(pid))
            check("after kill -9 of both workers")
        for _ in range(n_times):
            process = service.process
            assert process is not None
            workers = service.worker_pids()
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            service.start()
            check("after kill -9 of the service")
            assert all(is_dead(pid) for pid in workers)
        for _ in range(n_times):
            process = service.process
            assert process is not None
            process.send_signal(signal.SIGUSR2)
            process.communicate()
            assert process.returncode == 0
            assert all(Path(f"/dev/ttyIAX{k}").exists() for k in range(2))
            service.start()
            check("after SIGUSR2 and a new start")
        # Another server, another account: the line begins anew, its port stays.
        service.modem(0, "adapter = cuse", "refresh = 0", "cidnumber = 5550100")
        service.signal(signal.SIGHUP)
        eventually(lambda: "1 changed" in service.log())
        eventually(lambda: service.states() == {"ttyIAX0": "ready", "ttyIAX1": "ready"})
        check("after a reload with changes")
        # A port that shall not be kept any more ends, and a new one takes its place.
        service.modem(1, "adapter = cuse", "refresh = 0", "keep = no")
        service.signal(signal.SIGHUP)
        eventually(lambda: links[1].exists() and node_of("/dev/ttyIAX1") not in (0, nodes[1]))
        programs[0].check()
        with pytest.raises(OSError, match=os.strerror(errno.ENOTCONN)):
            os.read(programs[1].file, 1)
        Program(str(links[1])).check()
        print("keep = no: a new port", flush=True)
        assert service.stop() == 0
        assert not [entry.name for entry in Path("/dev").iterdir() if entry.name.startswith("ttyIAX")]
        assert not any(link.is_symlink() for link in links)
        print("after SIGTERM: no nodes")
    print("all done")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
