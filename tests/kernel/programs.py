"""What the checks of programs share: our AT engine behind a device, and a program on a terminal of its own."""

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.bed.guest import BED
from tests.kernel.host import Modem

NAME = "ttyIAX1"
PATH = f"/dev/{NAME}"


class AtModem(Modem):
    """`at_modem.py` as a process; see there for the kinds."""

    def __init__(self, kind: str = "engine", name: str = NAME) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.kernel.at_modem", name, kind],
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

    def wait_for(self, what: str, condition: Callable[[], bool], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                status = self.status()
                heard, said = (bytes.fromhex(status[key])[-500:] for key in ("heard", "said"))
                raise TimeoutError(f"{what} did not happen: heard {heard!r}, said {said!r}, {status}")
            time.sleep(0.05)

    def wait_heard(self, text: str, seconds: float = 30) -> None:
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
    """Debian's packages, in the guest."""
    done = subprocess.run(
        [str(BED / "guest-packages"), "install", *names], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


class OnTerminal:
    """A program on a pty, as a person has it; `typed` and `seen`."""

    def __init__(self, *command: str, terminal: str = "vt100") -> None:
        self.seen = b""
        self.pid, self._master = pty.fork()
        if not self.pid:
            environment = {**os.environ, "TERM": terminal, "LC_ALL": "C"}
            with contextlib.suppress(OSError):
                os.execvpe(command[0], command, environment)  # noqa: S606
            os._exit(127)

    def type(self, text: bytes) -> None:
        os.write(self._master, text)

    def wait_seen(self, text: bytes, seconds: float = 20) -> None:
        """Until the program has shown `text`, since the last call; what came before is forgotten."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} was not seen, but {self.seen[-1500:]!r}"
            if select.select([self._master], [], [], min(left, 1))[0]:
                try:
                    self.seen += os.read(self._master, 4096)
                except OSError:
                    raise AssertionError(f"it ended; seen: {self.seen[-1500:]!r}") from None
        self.seen = self.seen.partition(text)[2]

    def wait_ended(self, seconds: float = 10) -> int:
        """Its exit status; killed if it does not end."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError):
                if select.select([self._master], [], [], 0.05)[0]:
                    self.seen += os.read(self._master, 4096)
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                os.close(self._master)
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                os.close(self._master)
                raise AssertionError(f"it did not end; seen: {self.seen[-1500:]!r}")


def log_of(path: Path) -> str:
    """The end of a program's log, for complaints."""
    return path.read_text(errors="replace")[-3000:] if path.exists() else f"no {path}"
