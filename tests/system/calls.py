"""One fax call each: a fax program on a modem's device, and Asterisk or a second modem at the other end."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bed.asterisk import Asterisk
from tests.system import efax
from tests.system.compare_pages import PageComparison, all_equal, compare, efax_header
from tests.system.documents import joined, single_strip_pages
from tests.system.ends import (
    AsteriskReceiver,
    AsteriskSender,
    EfaxReceiver,
    EfaxSender,
    HylaFaxReceiver,
    HylaFaxSender,
    Receiver,
    Sender,
)
from tests.system.hylafax import HylaFaxModem
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


def fax_call(
    name: str, sender: Sender, receiver: Receiver, number: str, *, document: Path, directory: Path
) -> Outcome:
    """One call from `sender` to `number`, where `receiver` answers; the pages are compared."""
    directory.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    pages: list[PageComparison] = []
    try:
        receiver.prepare(directory)
        trouble = sender.start(number, document, directory)
        if not trouble:
            receiver.answer()
            troubles = [sender.finish(CALL_TIMEOUT_S), receiver.finish(20)]
            trouble = "; ".join(filter(None, troubles))
            if received := receiver.pages():
                pages = compare(
                    document, received, header=sender.header(document), unsent_rows=sender.unsent_rows
                )
    except TimeoutError as error:
        trouble = str(error)
    return Outcome(name, time.monotonic() - started, trouble, pages)


def efax_to_asterisk(
    modem: Modem, asterisk: Asterisk, document: Path, directory: Path, *, account: str, extension: str
) -> Outcome:
    """Efax dials `extension`, whose ReceiveFAX writes a TIFF; it is kept as `directory`/received.tif."""
    name = f"{modem.kind}, efax to Asterisk {extension}"
    ends = EfaxSender(modem.device), AsteriskReceiver(asterisk, account)
    return fax_call(name, *ends, extension, document=document, directory=directory)


def asterisk_to_efax(
    modem: Modem, asterisk: Asterisk, document: Path, directory: Path, *, account: str, extension: str
) -> Outcome:
    """Asterisk rings `account` and sends `document` (the bed's own) by SendFAX; efax answers the RING."""
    name = f"{modem.kind}, Asterisk {extension} to efax"
    ends = AsteriskSender(asterisk, account, extension), EfaxReceiver(modem.device)
    return fax_call(name, *ends, account, document=document, directory=directory)


def hylafax_to_asterisk(
    hylafax: HylaFaxModem,
    asterisk: Asterisk,
    document: Path,
    directory: Path,
    *,
    account: str,
    extension: str,
) -> Outcome:
    """Sendfax, faxq and faxsend dial `extension`; its TIFF is kept as `directory`/received.tif."""
    name = f"HylaFAX to Asterisk {extension}"
    ends = HylaFaxSender(hylafax), AsteriskReceiver(asterisk, account)
    return fax_call(name, *ends, extension, document=document, directory=directory)


def asterisk_to_hylafax(
    hylafax: HylaFaxModem,
    asterisk: Asterisk,
    document: Path,
    directory: Path,
    *,
    account: str,
    extension: str,
) -> Outcome:
    """Asterisk rings `account`, faxgetty answers and receives."""
    name = f"Asterisk {extension} to HylaFAX"
    ends = AsteriskSender(asterisk, account, extension), HylaFaxReceiver(hylafax)
    return fax_call(name, *ends, account, document=document, directory=directory)


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
