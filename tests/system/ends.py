"""The two ends of a fax call: HylaFAX or efax on a modem's device, or Asterisk's own fax machine.

A call goes: receiver.prepare, sender.start, receiver.answer, then both finish. What finish returns is why it
failed, in words; nothing: it did not.
"""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tests.bed.asterisk import Asterisk, FaxResult
from tests.system import efax
from tests.system.compare_pages import NO_HEADER, Header, efax_header
from tests.system.documents import single_strip_pages
from tests.system.hylafax import HylaFaxModem


class Sender(Protocol):
    """An end that calls and sends."""

    def start(self, number: str, document: Path, directory: Path) -> str:
        """Let it call `number`; why it cannot, or nothing."""

    def finish(self, timeout_s: float) -> str:
        """Wait for the end of the call."""

    def header(self, document: Path) -> Header:
        """What it writes over the top of each page."""

    unsent_rows: int
    """How many rows at the end of a page it does not send."""


class Receiver(Protocol):
    """An end that answers and receives."""

    def prepare(self, directory: Path) -> None:
        """Be ready for a call."""

    def answer(self) -> None:
        """Answer it, if it is not answered by itself. Raises TimeoutError."""

    def finish(self, timeout_s: float) -> str:
        """Wait for the end of the call."""

    def pages(self) -> Sequence[Path]:
        """Files with what was received."""


class EfaxSender:
    """`efax -t`. capabilities: those of efax's option -c; empty: its own choice."""

    unsent_rows = 0

    def __init__(self, device: Path, *, capabilities: str = "") -> None:
        self._device, self._capabilities = device, capabilities
        self._run: efax.EfaxRun | None = None

    def start(self, number: str, document: Path, directory: Path) -> str:
        pages = single_strip_pages(document, directory)
        self._run = efax.send(self._device, number, pages, directory, capabilities=self._capabilities)
        return ""

    def finish(self, timeout_s: float) -> str:
        return _efax_trouble(self._run, timeout_s)

    def header(self, document: Path) -> Header:
        return efax_header(document)


class EfaxReceiver:
    """`efax -r` after the RING."""

    def __init__(self, device: Path) -> None:
        self._device = device
        self._directory = Path()
        self._run: efax.EfaxRun | None = None

    def prepare(self, directory: Path) -> None:
        self._directory = directory

    def answer(self) -> None:
        self._run = efax.receive(self._device, self._directory)

    def finish(self, timeout_s: float) -> str:
        return _efax_trouble(self._run, timeout_s)

    def pages(self) -> Sequence[Path]:
        return self._run.pages() if self._run else []


class HylaFaxSender:
    """A job for one modem of HylaFAX. configuration: lines on top of what we ship; options: of sendfax."""

    # HylaFAX 6.0.7 leaves out the last row of some pages: counted in what it writes to the modem.
    unsent_rows = 1

    def __init__(self, modem: HylaFaxModem, *, configuration: str = "", options: Sequence[str] = ()) -> None:
        self._modem, self._configuration, self._options = modem, configuration, options
        self._number = 0

    def start(self, number: str, document: Path, directory: Path) -> str:
        self._modem.configure(self._configuration)
        self._modem.wait_idle()
        self._number = len(self._modem.transfers("SEND")) + 1
        return self._modem.submit(number, document, self._options)

    def finish(self, timeout_s: float) -> str:
        try:
            return self._modem.wait_sent(self._number, timeout_s)
        finally:
            self._modem.configure()  # faxgetty, which takes the modem again now, reads it for the next caller

    def header(self, document: Path) -> Header:
        return NO_HEADER


class HylaFaxReceiver:
    """Faxgetty answers by itself."""

    def __init__(self, modem: HylaFaxModem) -> None:
        self._modem = modem
        self._n_calls = self._n_received = 0
        self._directory = Path()

    def prepare(self, directory: Path) -> None:
        self._directory = directory
        self._modem.wait_idle()
        self._n_calls = len(self._modem.transfers("CALL"))
        self._n_received = len(self._modem.received())

    def answer(self) -> None:
        pass

    def finish(self, timeout_s: float) -> str:
        return self._modem.wait_call(self._n_calls + 1, timeout_s)

    def pages(self) -> Sequence[Path]:
        files = [file for file in self._modem.received()[self._n_received :] if file.exists()]
        return [Path(shutil.copy(file, self._directory)) for file in files]


class _AsteriskEnd:
    """Either end: it knows the call by the modem's account, the only one with a call of it now."""

    def __init__(self, asterisk: Asterisk, account: str) -> None:
        self._asterisk, self._account = asterisk, account
        self._before = 0

    def result(self) -> FaxResult | None:
        """Asterisk's line about the call, once it is over."""
        results = self._asterisk.results_of(self._account)
        return results[self._before] if len(results) > self._before else None

    def finish(self, timeout_s: float) -> str:
        try:
            self._asterisk.wait_results(self._before + 1, timeout_s, account=self._account)
        except TimeoutError as error:
            return str(error)
        result = self.result()
        assert result is not None
        return "" if result.succeeded else f"Asterisk: {result.status} {result.error} {result.statusstr}"


class AsteriskSender(_AsteriskEnd):
    """SendFAX in `extension` sends the bed's document to the modem of `account`, which is called."""

    unsent_rows = 0

    def __init__(self, asterisk: Asterisk, account: str, extension: str) -> None:
        super().__init__(asterisk, account)
        self._extension = extension

    def start(self, number: str, document: Path, directory: Path) -> str:
        self._before = len(self._asterisk.results_of(self._account))
        try:
            self._asterisk.originate(self._account, self._extension)
        except subprocess.CalledProcessError as error:
            return f"Asterisk: {error.stderr}"
        return ""

    def header(self, document: Path) -> Header:
        return NO_HEADER


class AsteriskReceiver(_AsteriskEnd):
    """ReceiveFAX in the extension that the modem of `account` calls."""

    def __init__(self, asterisk: Asterisk, account: str) -> None:
        super().__init__(asterisk, account)
        self._directory = Path()

    def prepare(self, directory: Path) -> None:
        self._directory = directory
        self._before = len(self._asterisk.results_of(self._account))

    def answer(self) -> None:
        pass

    def pages(self) -> Sequence[Path]:
        result = self.result()
        if not result or not Path(result.file).exists():
            return []
        kept = self._directory / "received.tif"
        shutil.copy(result.file, kept)
        return [kept]


def _efax_trouble(run: efax.EfaxRun | None, timeout_s: float) -> str:
    if run is None:
        return "efax did not run"
    status = run.wait(timeout_s)
    return f"efax: exit status {status} (see {run.log})" if status else ""
