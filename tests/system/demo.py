"""`make demo`: two modems fax a made-up letter to each other, and the pages come out in demo-output/.

The devices are character devices of the kernel (CUSE) where that is possible: on this machine's own kernel,
else inside user-mode Linux; where neither is to be had, pseudo-terminals stand in, and that is said.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tests.bed.guest import REPOSITORY, Guest, missing_for_guest
from tests.system.documents import make_document, previews

OUTPUT = REPOSITORY / "demo-output"
TIMEOUT_S = 420
N_PAGES = 2

console = Console(highlight=False, soft_wrap=True)


def main() -> int:
    """Run the demo; 0 when the received pages are the sent ones."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    work = OUTPUT / "work"
    work.mkdir(parents=True)
    document = make_document(OUTPUT / "sent.tif")
    command, where = _command(document, work)
    console.print("Two modems, an IAX2 exchange between them, and Debian's efax on each device:")
    console.print(f"  {where}")
    console.print(f"Sending {OUTPUT.name}/{document.name}, {N_PAGES} pages: about a minute.\n")
    outcome, reports, status = _run(command)
    received = work / "call" / "received.tif"
    if status != 0 or not received.exists():
        console.print("\n".join(["", *outcome]))
        console.print(f"The demo failed (status {status}); what each program said is in {work}.")
        return 1
    console.print("\n".join(["", *outcome, ""]))
    received = Path(shutil.copy(received, OUTPUT / "received.tif"))
    for file in (document, received, *previews(received, OUTPUT, "received-page")):
        name = f"{OUTPUT.name}/{file.name}"
        console.print(f"  {name:<34} {file.stat().st_size:>8} bytes")
    for report in reports:
        console.print(f"\n{report}")
    return 0


def _command(document: Path, work: Path) -> tuple[list[str], str]:
    """The command that makes the call, and a sentence on where it does."""
    call = [sys.executable, "-m", "tests.system.through_exchange", "--directory", str(work)]
    call += ["--document", str(document)]
    devices = _free_device_names()
    cuse = ["--adapter", "cuse", "--devices", ",".join(f"/dev/{name}" for name in devices)]
    if os.geteuid() == 0 and os.access("/dev/cuse", os.R_OK | os.W_OK):
        return [
            *call,
            *cuse,
        ], f"/dev/{devices[0]} and /dev/{devices[1]} are devices of this machine's kernel."
    missing = missing_for_guest()
    if not missing and subprocess.run(Guest().command(["true"], timeout_s=60), check=False).returncode == 0:
        return Guest().command([*call, *cuse], timeout_s=TIMEOUT_S, share=[OUTPUT], real_time=True), (
            f"/dev/{devices[0]} and /dev/{devices[1]} are devices of a user-mode Linux kernel, "
            "for this machine's own has no CUSE (or we are not root)."
        )
    paths = [str(work / name) for name in devices]
    return [*call, "--adapter", "pty", "--devices", ",".join(paths)], (
        "NOT real devices, only pseudo-terminals: this machine has neither a usable /dev/cuse nor user-mode "
        f"Linux ({', '.join(missing) or 'it does not boot here'})."
    )


def _free_device_names() -> list[str]:
    """Two names of devices that this machine does not have."""
    names = (f"ttyIAX{number}" for number in range(100))
    free = [name for name in names if not os.path.lexists(f"/dev/{name}")]
    return free[:2]


def _run(command: list[str]) -> tuple[list[str], list[str], int]:
    """Run the call, draw its progress; returns the lines on the outcome, the call reports, the status."""
    outcome: list[str] = []
    reports: list[str] = []
    with (
        subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        ) as process,
        _Pages() as pages,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            kind, _, rest = line.rstrip("\n").partition(" ")
            if kind == "progress":
                page, share = rest.split()
                pages.show(int(page), float(share))
            elif kind == "outcome":
                outcome.append(rest)
            elif kind == "report":
                name, _, text = rest.partition(": ")
                reports.append(f"call report of {name}: {text}")
            else:
                console.print(line.rstrip("\n"))
    return outcome, reports, process.returncode


class _Pages:
    """Progress of each page: bars on a terminal, a line each quarter elsewhere."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._bars: dict[int, TaskID] = {}
        self._said: dict[int, int] = {}

    def __enter__(self) -> "_Pages":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, page: int, share: float) -> None:
        """This share of this page has arrived, and all of those before it."""
        for done in range(1, page):
            self._set(done, 1.0)
        self._set(page, share)

    def _set(self, page: int, share: float) -> None:
        if console.is_terminal:
            if page not in self._bars:
                self._bars[page] = self._progress.add_task(f"page {page} of {N_PAGES}", total=1.0)
            self._progress.update(self._bars[page], completed=share)
            return
        quarter = int(share * 4)
        if quarter > self._said.get(page, -1):
            self._said[page] = quarter
            console.print(f"page {page} of {N_PAGES}: {share:4.0%}")


if __name__ == "__main__":
    sys.exit(main())
