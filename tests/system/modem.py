"""A modem under test: ours or Debian's iaxmodem, on a device of its own, as one child process."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bed.guest import BED

KINDS = ("cusemodem", "iaxmodem")
PAUSE_BETWEEN_CALLS_S = 6.0
"""Either modem is busy for five seconds after a call, for the program on it to set it up again."""


@dataclass(frozen=True)
class Account:
    """Where a modem registers, and as whom."""

    server: str
    port: int
    name: str
    secret: str


class Modem:
    """One modem process; `with` starts it and ends it by SIGTERM.

    kind: of KINDS. device: such as /dev/ttyIAX0. local_port: the UDP port that it uses (0: any, in our
    own form only). directory: for its configuration and log. adapter: cuse or pty, for cusemodem; empty:
    IAXmodem's form of the configuration, which cusemodem takes as it is, and the adapter that it finds.
    environment: of the process; None: ours.
    """

    def __init__(
        self,
        kind: str,
        device: Path,
        account: Account,
        local_port: int,
        directory: Path,
        *,
        adapter: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.name = device.name
        self.device = device
        self.log = directory / f"{self.name}.log"
        self._directory = directory / f"etc-{self.name}"
        self._account = account
        self._local_port = local_port
        self._adapter = adapter
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self.ready_s = 0.0

    def __enter__(self) -> "Modem":
        self._directory.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        command = self._iaxmodem() if self.kind == "iaxmodem" else self._cusemodem()
        command = [str(BED / "real-time"), "--rr", *command]  # as a unit file would: a modem cannot wait
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment
            )
        try:
            self._wait_ready(90)
        except BaseException:
            self.stop()
            raise
        self.ready_s = time.monotonic() - started
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def wait_log(self, text: str, timeout_s: float) -> list[str]:
        """Wait until a line of the log has `text`; returns what follows it in each such line."""
        deadline = time.monotonic() + timeout_s
        while True:
            lines = self.log.read_text(errors="replace").splitlines()
            found = [line.partition(text)[2] for line in lines if text in line]
            if found:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: no {text!r} in {self.log} after {timeout_s:g} s")
            time.sleep(0.1)

    def cpu_s(self) -> float:
        """Processor time that the process has used so far in all its threads, user's and kernel's."""
        nanoseconds = 0
        for thread in Path(f"/proc/{self.pid}/task").iterdir():
            try:
                nanoseconds += int((thread / "schedstat").read_text().split()[0])
            except FileNotFoundError:  # a kernel without schedstat: its clock ticks
                fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
                return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return nanoseconds / 1e9

    def memory_kib(self) -> dict[str, int]:
        """VmRSS and VmHWM of the process, in KiB."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {
            key: int(value.split()[0])
            for key, _, value in (line.partition(":") for line in lines)
            if key in ("VmRSS", "VmHWM")
        }

    def _settings(self) -> dict[str, str]:
        account = self._account
        settings = {
            "device": str(self.device),
            "port": str(self._local_port or "any"),
            "refresh": "60",
            "server": f"{account.server}:{account.port}",
            "peername": account.name,
            "secret": account.secret,
            "cidname": "Bed Modem",
            "cidnumber": account.name,
            "codec": "slinear",
        }
        if os.geteuid() == 0:
            settings |= {"owner": "uucp:uucp", "mode": "660"}
        return settings

    def _iaxmodem_form(self) -> str:
        return "".join(f"{key}\t{value}\n" for key, value in self._settings().items())

    def _our_form(self) -> str:
        settings = self._settings() | {"adapter": self._adapter}
        return "[modem]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items())

    def _iaxmodem(self) -> list[str]:
        configuration = Path("/etc/iaxmodem")  # fixed at its compile time
        configuration.mkdir(exist_ok=True)
        (configuration / self.name).write_text(self._iaxmodem_form())
        return ["iaxmodem", self.name]

    def _cusemodem(self) -> list[str]:
        form = self._our_form() if self._adapter else self._iaxmodem_form()
        (self._directory / self.name).write_text(form)
        program = Path(sys.executable).parent / "cusemodem"
        return [str(program), self.name, "--config", str(self._directory)]

    def _wait_ready(self, timeout_s: float) -> None:
        assert self._process is not None
        deadline = time.monotonic() + timeout_s
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.kind} did not get ready:\n{self.log.read_text(errors='replace')}")
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        if self.kind == "cusemodem":
            return "ready: " in self.log.read_text(errors="replace")
        try:
            return stat.S_ISCHR(self.device.stat().st_mode)
        except OSError:
            return False
