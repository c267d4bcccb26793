"""What the checks of programs share: our AT engine behind a device, a program on a terminal of its own."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.bed.guest import BED
from tests.kernel.host import Modem


class AtModem(Modem):
    """`at_modem.py` as a process; see there for the kinds."""

    def __init__(self, kind: str = "engine") -> None:
        # Checks run side by side, each in a process of its own.
        self.name = f"ttyIAX{os.getpid()}"
        self.path = f"/dev/{self.name}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.kernel.at_modem", self.name, kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()
        self.log: dict[str, Any] = {"heard": "", "said": "", "far_heard": "", "events": [], "actions": []}

    def status(self) -> dict[str, Any]:
        """As of now; what was heard, said and done since the start."""
        status = super().status()
        for key, so_far in self.log.items():
            self.log[key] = so_far + status[key]
        return {**status, **self.log}

    def text(self, key: str) -> str:
        """What was `heard`, `said` or `far_heard`, printable."""
        return bytes.fromhex(self.status()[key]).decode("latin-1")

    def wait_for(self, what: str, condition: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                status = self.status()
                heard, said = (bytes.fromhex(status[key])[-500:] for key in ("heard", "said"))
                raise TimeoutError(f"{what} did not happen: heard {heard!r}, said {said!r}, {status}")
            time.sleep(0.05)

    def wait_heard(self, text: str, seconds: float = 60) -> None:
        self.wait_for(f"the command {text!r}", lambda: text in self.text("heard"), seconds)


@contextlib.contextmanager
def modem(kind: str = "engine") -> Iterator[AtModem]:
    """A modem; at the end nobody has its port open, no request was bad, and DTR is off."""
    running = AtModem(kind)
    try:
        yield running
        running.wait_for("the last close", lambda: running.status()["open_count"] == 0, 5)
        assert running.status()["bad_requests"] == 0
    finally:
        running.end()


def install(*names: str) -> None:
    """Debian's packages, in the guest, for all checks at once."""
    done = subprocess.run(
        [str(BED / "guest-packages"), "install", *names], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


class OnTerminal:
    """A program on a pty, as a person has it: what is typed, and what is seen."""

    def __init__(self, *command: str, terminal: str = "vt100") -> None:
        self._seen = b""
        self.pid, self._master = pty.fork()
        if not self.pid:
            environment = {**os.environ, "TERM": terminal, "LC_ALL": "C"}
            with contextlib.suppress(OSError):
                os.execvpe(command[0], command, environment)
            os._exit(127)
        termios.tcsetwinsize(self._master, (24, 80))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._master, 4096):
                self._seen += data

    def type(self, text: bytes) -> None:
        os.write(self._master, text)

    def wait_seen(self, text: bytes, seconds: float = 60) -> None:
        """Until the program has shown `text`, since the last call; what came before is forgotten."""
        deadline = time.monotonic() + seconds
        while text not in self._seen:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{text!r} was not seen, but {self._seen[-1500:]!r}")
            time.sleep(0.02)
        self._seen = self._seen.partition(text)[2]

    def wait_ended(self, seconds: float = 30) -> int:
        """Its exit status; killed if it does not end."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self._reader.join(5)
                os.close(self._master)
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise TimeoutError(f"it did not end; seen: {self._seen[-1500:]!r}")


def log_of(path: Path) -> str:
    """The end of a program's log, for complaints."""
    return path.read_text(errors="replace")[-3000:] if path.exists() else f"no {path}"
