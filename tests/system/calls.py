"""One fax call each: efax on a modem's device at one end, Asterisk or a second modem at the other."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bed.asterisk import Asterisk
from tests.system import efax
from tests.system.compare_pages import PageComparison, all_equal, compare, efax_header
from tests.system.documents import joined, single_strip_pages
from tests.system.hylafax import HylaFax
from tests.system.modem import Modem

CALL_TIMEOUT_S = 180

Progress = Callable[[int, float], None]
"""Called with a page's number, from 1, and the share of it that has arrived."""


@dataclass(frozen=True)
class Outcome:
    """How one call ended: what went wrong besides the pages (nothing: empty), and the pages."""

    name: str
    seconds: float
    trouble: str
    pages: Sequence[PageComparison]

    @property
    def ok(self) -> bool:
        """Every party reports success, and every page is what was sent."""
        return not self.trouble and all_equal(self.pages)

    def __str__(self) -> str:
        lines = [f"{self.name}: {'ok' if self.ok else 'FAILED'} in {self.seconds:.1f} s"]
        if self.trouble:
            lines.append(f"  {self.trouble}")
        lines += [f"  {page}" for page in self.pages]
        return "\n".join(lines)


def efax_to_asterisk(
    modem: Modem, asterisk: Asterisk, document: Path, directory: Path, *, extension: str
) -> Outcome:
    """Efax dials `extension`, whose ReceiveFAX writes a TIFF; it is kept as `directory`/received.tif."""
    directory.mkdir(parents=True, exist_ok=True)
    before = len(asterisk.results())
    started = time.monotonic()
    run = efax.send(modem.device, extension, single_strip_pages(document, directory), directory)
    status = run.wait(CALL_TIMEOUT_S)
    trouble = f"efax: exit status {status} (see {run.log})" if status else ""
    received, asterisk_trouble = _asterisk_outcome(asterisk, before)
    pages: list[PageComparison] = []
    if received:
        kept = directory / "received.tif"
        shutil.copy(received, kept)
        pages = compare(document, [kept], header=efax_header(document))
    name = f"{modem.kind}, efax to Asterisk {extension}"
    return Outcome(name, time.monotonic() - started, trouble or asterisk_trouble, pages)


def asterisk_to_efax(
    modem: Modem,
    asterisk: Asterisk,
    document: Path,
    directory: Path,
    *,
    account: str,
    extension: str,
) -> Outcome:
    """Asterisk rings `account` and sends `document` (the bed's own) by SendFAX; efax answers the RING."""
    directory.mkdir(parents=True, exist_ok=True)
    before = len(asterisk.results())
    started = time.monotonic()
    asterisk.originate(account, extension)
    run = efax.receive(modem.device, directory)
    status = run.wait(CALL_TIMEOUT_S)
    trouble = f"efax: exit status {status} (see {run.log})" if status else ""
    _, asterisk_trouble = _asterisk_outcome(asterisk, before)
    pages = compare(document, run.pages())
    name = f"{modem.kind}, Asterisk {extension} to efax"
    return Outcome(name, time.monotonic() - started, trouble or asterisk_trouble, pages)


def hylafax_to_asterisk(
    modem: Modem, hylafax: HylaFax, asterisk: Asterisk, document: Path, directory: Path, *, extension: str
) -> Outcome:
    """Sendfax, faxq and faxsend dial `extension`; its TIFF is kept as `directory`/received.tif."""
    directory.mkdir(parents=True, exist_ok=True)
    before = len(asterisk.results())
    started = time.monotonic()
    trouble = hylafax.send(extension, document, CALL_TIMEOUT_S)
    received, asterisk_trouble = _asterisk_outcome(asterisk, before)
    pages: list[PageComparison] = []
    if received:
        kept = directory / "received.tif"
        shutil.copy(received, kept)
        pages = compare(document, [kept])
    name = f"{modem.kind}, HylaFAX to Asterisk {extension}"
    return Outcome(name, time.monotonic() - started, trouble or asterisk_trouble, pages)


def asterisk_to_hylafax(
    modem: Modem,
    hylafax: HylaFax,
    asterisk: Asterisk,
    document: Path,
    directory: Path,
    *,
    account: str,
    extension: str,
) -> Outcome:
    """Asterisk rings `account`, faxgetty answers; HylaFAX's TIFF is kept as `directory`/received.tif."""
    directory.mkdir(parents=True, exist_ok=True)
    before = len(asterisk.results())
    already, n_calls = len(hylafax.received()), hylafax.n_calls()
    hylafax.wait_idle()
    started = time.monotonic()
    asterisk.originate(account, extension)
    trouble = hylafax.wait_call(n_calls + 1, CALL_TIMEOUT_S)
    _, asterisk_trouble = _asterisk_outcome(asterisk, before)
    pages: list[PageComparison] = []
    if len(hylafax.received()) > already:
        kept = directory / "received.tif"
        shutil.copy(hylafax.received()[already], kept)
        pages = compare(document, [kept])
    name = f"{modem.kind}, Asterisk {extension} to HylaFAX"
    return Outcome(name, time.monotonic() - started, trouble or asterisk_trouble, pages)


def efax_to_efax(
    caller: Modem,
    called: Modem,
    number: str,
    document: Path,
    directory: Path,
    *,
    on_progress: Progress = lambda _page, _fraction: None,
) -> Outcome:
    """One efax dials `number`, another answers the RING on the modem that has it.

    The pages are kept as one document in `directory`/received.tif. on_progress: called about once a second
    with the page that is travelling, from 1, and the share of it that has arrived, 0 to 1.
    """
    directory.mkdir(parents=True, exist_ok=True)
    pages_sent = single_strip_pages(document, directory)
    started = time.monotonic()
    sending = efax.send(caller.device, number, pages_sent, directory)
    try:
        receiving = efax.receive(called.device, directory)
    except TimeoutError as error:
        sending.wait(0)
        return Outcome(f"{caller.kind}, efax to efax", time.monotonic() - started, str(error), [])
    sizes = [page.stat().st_size for page in pages_sent]
    while receiving.process.poll() is None and time.monotonic() < started + CALL_TIMEOUT_S:
        if arrived := receiving.pages()[: len(sizes)]:
            share = arrived[-1].stat().st_size / sizes[len(arrived) - 1]
            on_progress(len(arrived), min(share, 1.0))
        time.sleep(1)
    troubles = [
        f"efax: exit status {status} (see {run.log})"
        for run in (sending, receiving)
        if (status := run.wait(20))
    ]
    pages: list[PageComparison] = []
    if received := receiving.pages():
        on_progress(len(received), 1.0)
        kept = joined(received, directory / "received.tif")
        pages = compare(document, [kept], header=efax_header(document))
    return Outcome(f"{caller.kind}, efax to efax", time.monotonic() - started, "; ".join(troubles), pages)


def _asterisk_outcome(asterisk: Asterisk, before: int) -> tuple[Path | None, str]:
    """The file and the trouble of the fax after the first `before` ones."""
    try:
        result = asterisk.wait_results(before + 1, timeout_s=20)[before]
    except TimeoutError as error:
        return None, str(error)
    file = Path(result.file)
    trouble = "" if result.succeeded else f"Asterisk: {result.status} {result.error} {result.statusstr}"
    return (file if file.exists() else None), trouble
