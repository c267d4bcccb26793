"""Debian's HylaFAX 6 inside the guest: faxq, hfaxd, and a faxgetty on each modem's device.

Only for the guest of uml-run, whose root is forgotten afterwards: it is installed there, and started as
Debian's units start it (/etc/hylafax bound over /var/spool/hylafax/etc).
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
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
    """HylaFAX serving modems; `with` starts and ends it. `directory`: where its logs are kept.

    classes: the fax class of each device, 1 or 1.0, where it is not 1.
    """

    def __init__(
        self, devices: Sequence[Path], directory: Path, *, classes: dict[Path, str] | None = None
    ) -> None:
        self._directory = directory
        self._processes: list[subprocess.Popen[bytes]] = []
        self._modems = {device: HylaFaxModem(device, (classes or {}).get(device, "1")) for device in devices}

    def __enter__(self) -> "HylaFax":
        if os.environ.get("UML_RUN") != "1":
            raise RuntimeError("HylaFAX is set up only inside the guest of uml-run")
        if not Path("/usr/sbin/faxgetty").exists():
            install = [str(BED / "guest-packages"), "install", "hylafax"]
            subprocess.run(install, check=True, capture_output=True)
        with Path("/etc/hylafax/hyla.conf").open("a") as client_configuration:
            client_configuration.write("PageChop: none\n")  # else the white end of a page is not sent
        with Path("/etc/hylafax/config").open("a") as server_configuration:
            server_configuration.write("MaxConcurrentCalls: 50\n")
        # Debian's faxsend runs as root, faxgetty as uucp: who makes these first must be the latter.
        for name_in_spool, content in (("log/seqf", "0"), ("log/xferfaxlog", ""), ("recvq/seqf", "0")):
            (SPOOL / name_in_spool).write_text(content)
            shutil.chown(SPOOL / name_in_spool, "uucp", "uucp")
        subprocess.run(["mount", "--bind", "/etc/hylafax", SPOOL / "etc"], check=True)
        for modem in self._modems.values():
            modem.configure()
        for command in (
            ["/usr/sbin/faxq", "-D"],
            ["/usr/sbin/hfaxd", "-d", "-i", "localhost:4559"],
            *(["/usr/sbin/faxgetty", device.name] for device in self._modems),
        ):
            with (self._directory / f"{Path(command[0]).name}.log").open("ab") as log:
                process = subprocess.Popen(
                    command, cwd=SPOOL, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            self._processes.append(process)
        for modem in self._modems.values():
            modem.wait_idle()
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self._processes):
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

    def modem(self, device: Path) -> "HylaFaxModem":
        """The modem with that device."""
        return self._modems[device]


class HylaFaxModem:
    """One modem of a running HylaFAX. fax_class: 1 or 1.0."""

    def __init__(self, device: Path, fax_class: str) -> None:
        self.device = device
        self.fax_class = fax_class

    def configure(self, lines: str = "") -> None:
        """Write its configuration: what we ship, and `lines`. Faxsend reads it at the next job."""
        text = SHIPPED_CONFIGURATION.read_text() + FOR_TESTS + lines
        text = re.sub(r"(?m)^ModemType:.*$", f"ModemType: Class{self.fax_class}", text)
        path = Path(f"/etc/hylafax/config.{self.device.name}")
        if not path.exists() or path.read_text() != text:
            path.write_text(text)

    def wait_idle(self) -> None:
        """Return when faxgetty has the modem and waits for calls."""
        self._wait_for(lambda: "Running and idle" in self.status(), 60, "faxgetty is not idle")

    def status(self) -> str:
        """What faxgetty says of the modem, as faxstat shows it."""
        try:
            return (SPOOL / "status" / self.device.name).read_text()
        except FileNotFoundError:
            return ""

    def submit(self, number: str, document: Path, options: Sequence[str] = ()) -> str:
        """Queue one document for this modem, to be tried once; returns why it cannot be, or nothing.

        options: more of sendfax.
        """
        for learnt in (SPOOL / "info").glob("*"):  # what the far end could do last time
            learnt.unlink(missing_ok=True)
        submitted = subprocess.run(
            [
                "sendfax",
                "-n",
                "-T1",
                "-t1",
                *options,
                f"-h{self.device.name}@localhost:4559",
                "-d",
                number,
                document,
            ],
            check=False,
            capture_output=True,
            text=True,
            cwd="/tmp",
        )
        if submitted.returncode:
            return f"sendfax: {submitted.stderr.strip()}{submitted.stdout.strip()}"
        return ""

    def send(self, number: str, document: Path, timeout_s: float) -> str:
        """Send one document once; returns HylaFAX's reason why it failed, empty if it did not."""
        before = len(self.transfers("SEND"))
        return self.submit(number, document) or self.wait_sent(before + 1, timeout_s)

    def wait_sent(self, number: int, timeout_s: float) -> str:
        """Wait for the end of sending `number` (from 1); HylaFAX's reason why it failed, or empty."""
        self._wait_for(lambda: len(self.transfers("SEND")) >= number, timeout_s, "the job has not been sent")
        return self.transfers("SEND")[number - 1][REASON].strip('"')

    def wait_call(self, number: int, timeout_s: float) -> str:
        """Wait for the end of call `number` (from 1); returns HylaFAX's reason why it failed, or empty."""
        self._wait_for(
            lambda: len(self.transfers("CALL")) >= number, timeout_s, "no call has come to its end"
        )
        reasons = [fields[REASON] for kind in ("RECV", "CALL") for fields in self.transfers(kind)[-1:]]
        return "; ".join(filter(None, (reason.strip('"') for reason in reasons)))

    def received(self) -> list[Path]:
        """The documents received so far, in order."""
        return [SPOOL / fields[FILE].strip('"') for fields in self.transfers("RECV")]

    def transfers(self, kind: str) -> list[list[str]]:
        """This modem's lines of xferfaxlog(5) of one kind: SEND, RECV, CALL."""
        try:
            lines = (SPOOL / "log" / "xferfaxlog").read_text().splitlines()
        except FileNotFoundError:
            return []
        split = (re.split(r"\t", line) for line in lines)
        return [fields for fields in split if fields[1] == kind and fields[MODEM] == self.device.name]

    def session_log(self, kind: str) -> Path | None:
        """HylaFAX's log of the last transfer of that kind, with every command and answer."""
        transfers = self.transfers(kind)
        return SPOOL / "log" / f"c{transfers[-1][COMMUNICATION]}" if transfers else None

    def _wait_for(self, condition: Callable[[], bool], timeout_s: float, complaint: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"HylaFAX: {complaint} after {timeout_s:g} s; the modem: {self.status()}")
            time.sleep(0.2)


COMMUNICATION, MODEM, FILE, REASON = 2, 3, 4, 13
"""Fields of xferfaxlog(5); FILE for RECV; REASON says why a transfer failed, in quotes; empty: it did not."""
