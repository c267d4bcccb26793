"""Debian's efax on a modem's device: send a document, or answer and receive one."""

import os
import select
import subprocess
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# -o1: Class 1; messages of every kind go to the log.
COMMON = ("-o1", "-v", "ewin", "-v", "ewinchamrtf")


@dataclass(frozen=True)
class EfaxRun:
    """A started efax: `wait` for its status; `log` has all that it said; `pages` what it received."""

    process: subprocess.Popen[bytes]
    log: Path
    pattern: Path | None

    def wait(self, timeout_s: float) -> int:
        """The exit status (0: all pages done); on time-out efax is killed and the status is 124."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return 124

    def pages(self) -> list[Path]:
        """The files of the pages received so far, in order."""
        assert self.pattern is not None
        return sorted(self.pattern.parent.glob(f"{self.pattern.name}.[0-9][0-9][0-9]"))


def send(
    device: Path, number: str, documents: Sequence[Path], directory: Path, *, capabilities: str = ""
) -> EfaxRun:
    """Dial `number` and send single-strip Group 3 TIFF files. capabilities: efax's option -c."""
    options = ["-c", capabilities] if capabilities else []
    arguments = [*options, "-l", "+1 555 0100", "-t", number, *map(str, documents)]
    return _start(device, arguments, directory, "send", None)


def receive(device: Path, directory: Path, *, ring_timeout_s: float = 60) -> EfaxRun:
    """Wait for RING, then let efax answer with ATA and receive into `directory`/page.001, page.002, …

    efax itself does not wait for RING; on a real system a getty does, as here. Raises TimeoutError.
    """
    with open_modem(device) as modem:
        wait_for_ring(modem, ring_timeout_s)
        pattern = directory / "page"
        run = _start(device, ["-l", "+1 555 0199", "-r", str(pattern)], directory, "receive", pattern)
        # The last close of a port with HUPCL drops DTR: leave only when efax has the port, as a getty does.
        while run.process.poll() is None and b"opened" not in run.log.read_bytes():
            time.sleep(0.01)
        return run


@contextmanager
def open_modem(device: Path) -> Iterator[int]:
    """The device, raw and without carrier watch, as a getty opens it."""
    modem = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        tty.setraw(modem)
        settings = termios.tcgetattr(modem)
        settings[2] |= termios.CLOCAL
        termios.tcsetattr(modem, termios.TCSANOW, settings)
        yield modem
    finally:
        os.close(modem)


def wait_for_ring(modem: int, timeout_s: float) -> None:
    """Return when the modem says RING; TimeoutError if it does not."""
    heard = b""
    deadline = time.monotonic() + timeout_s
    while b"\r\nRING\r\n" not in heard:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([modem], [], [], left)[0]:
            raise TimeoutError(f"no RING within {timeout_s:g} s; the modem said {heard!r}")
        heard += os.read(modem, 1024)


def _start(
    device: Path, arguments: Sequence[str], directory: Path, name: str, pattern: Path | None
) -> EfaxRun:
    log = directory / f"efax-{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["efax", "-d", str(device), *COMMON, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    return EfaxRun(process, log, pattern)
