"""Debian's HylaFAX 6 inside the guest: faxgetty on a modem's device, faxq, hfaxd and sendfax.

Only for the guest of uml-run, whose root is forgotten afterwards: it is installed there, and started as
Debian's units start it (/etc/hylafax bound over /var/spool/hylafax/etc).
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.bed.guest import BED, REPOSITORY

SPOOL = Path("/var/spool/hylafax")
SHIPPED_CONFIGURATION = REPOSITORY / "docs" / "hylafax" / "config.ttyIAX0"

# On top of the configuration that we ship: no line of HylaFAX's own over the page, for the comparison,
# all of the session in the log, and no mail to anyone about what was received.
FOR_TESTS = """
TagLineFormat:		""
ServerTracing:		0xFFF
SessionTracing:		0xFFF
FaxRcvdCmd:		/bin/true
"""


class HylaFax:
    """HylaFAX serving one modem; `with` starts and ends it. `directory`: where its logs are kept."""

    def __init__(self, device: Path, directory: Path) -> None:
        self._device = device
        self._directory = directory
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "HylaFax":
        if os.environ.get("UML_RUN") != "1":
            raise RuntimeError("HylaFAX is set up only inside the guest of uml-run")
        if not Path("/usr/sbin/faxgetty").exists():
            install = [str(BED / "guest-packages"), "install", "hylafax"]
            subprocess.run(install, check=True, capture_output=True)
        name = self._device.name
        configuration = SHIPPED_CONFIGURATION.read_text() + FOR_TESTS
        Path(f"/etc/hylafax/config.{name}").write_text(configuration)
        with Path("/etc/hylafax/hyla.conf").open("a") as client_configuration:
            client_configuration.write("PageChop: none\n")  # else the white end of a page is not sent
        # Debian's faxsend runs as root, faxgetty as uucp: who makes these first must be the latter.
        for name_in_spool, content in (("log/seqf", "0"), ("log/xferfaxlog", ""), ("recvq/seqf", "0")):
            (SPOOL / name_in_spool).write_text(content)
            shutil.chown(SPOOL / name_in_spool, "uucp", "uucp")
        subprocess.run(["mount", "--bind", "/etc/hylafax", SPOOL / "etc"], check=True)
        for command in (
            ["/usr/sbin/faxq", "-D"],
            ["/usr/sbin/hfaxd", "-d", "-i", "localhost:4559"],
            ["/usr/sbin/faxgetty", name],
        ):
            with (self._directory / f"{Path(command[0]).name}.log").open("wb") as log:
                process = subprocess.Popen(
                    command, cwd=SPOOL, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            self._processes.append(process)
        self.wait_idle()
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for kind in ("log", "status"):
            for file in (SPOOL / kind).iterdir():
                if file.is_file():
                    (self._directory / f"hylafax-{kind}-{file.name}").write_bytes(file.read_bytes())
        subprocess.run(["umount", SPOOL / "etc"], check=False)

    def wait_idle(self) -> None:
        """Return when faxgetty has the modem and waits for calls."""
        self._wait_for(lambda: "Running and idle" in self.status(), 60, "faxgetty is not idle")

    def status(self) -> str:
        """What faxgetty says of the modem, as faxstat shows it."""
        try:
            return (SPOOL / "status" / self._device.name).read_text()
        except FileNotFoundError:
            return ""

    def send(self, number: str, document: Path, timeout_s: float) -> str:
        """Send one document once; returns HylaFAX's reason why it failed, empty if it did not."""
        before = len(self._transfers("SEND"))
        submitted = subprocess.run(
            ["sendfax", "-n", "-T1", "-t1", f"-h{self._device.name}@localhost:4559", "-d", number, document],
            check=False,
            capture_output=True,
            text=True,
            cwd="/tmp",
        )
        if submitted.returncode:
            return f"sendfax: {submitted.stderr.strip()}{submitted.stdout.strip()}"
        self._wait_for(lambda: len(self._transfers("SEND")) > before, timeout_s, "the job has not been sent")
        return self._transfers("SEND")[-1][REASON].strip('"')

    def received(self) -> list[Path]:
        """The documents received so far."""
        return sorted((SPOOL / "recvq").glob("fax*.tif"))

    def n_calls(self) -> int:
        """How many calls have been taken so far, whatever came of them."""
        return len(self._transfers("CALL"))

    def wait_call(self, number: int, timeout_s: float) -> str:
        """Wait for the end of call `number` (from 1); returns HylaFAX's reason why it failed, or empty."""
        self._wait_for(lambda: self.n_calls() >= number, timeout_s, "no call has come to its end")
        reasons = [fields[REASON] for kind in ("RECV", "CALL") for fields in self._transfers(kind)[-1:]]
        return "; ".join(filter(None, (reason.strip('"') for reason in reasons)))

    def _transfers(self, kind: str) -> list[list[str]]:
        """The lines of xferfaxlog(5) of one kind: SEND, RECV, CALL."""
        try:
            lines = (SPOOL / "log" / "xferfaxlog").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [fields for line in lines if (fields := re.split(r"\t", line))[1] == kind]

    def _wait_for(self, condition: Callable[[], bool], timeout_s: float, complaint: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"HylaFAX: {complaint} after {timeout_s:g} s; the modem: {self.status()}")
            time.sleep(0.2)


REASON = 13
"""The field of xferfaxlog(5) that says why a transfer failed, in quotes; empty if it did not."""
