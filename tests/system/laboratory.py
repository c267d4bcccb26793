"""Several modems of one service, HylaFAX and efax on their devices, one Asterisk: all in one guest."""

import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bed.asterisk import HOST, Asterisk, AsteriskBed
from tests.bed.guest import BED
from tests.system.campaign_cases import IAXMODEM, End
from tests.system.documents import make_document
from tests.system.hylafax import HylaFax
from tests.system.modem import Account, Modem

PAGES = "text,halftone,text"
FIRST_ACCOUNT = 601  # without call tokens, which iaxmodem does not have
FIRST_IAXMODEM_PORT = 4601
MODEMS_A_LANE = (End("hylafax", "1"), End("hylafax", "1.0"), End("efax"), End("efax"), IAXMODEM)


@dataclass(frozen=True)
class Line:
    """A modem, and the program that it is for: of the service, or an iaxmodem."""

    number: int
    end: End

    @property
    def device(self) -> Path:
        return Path(f"/dev/ttyIAX{self.number}")

    @property
    def account(self) -> str:
        return str(FIRST_ACCOUNT + self.number)


class Laboratory:
    """What runs in the guest. rows: of a page, one document each; ends: those that are needed."""

    def __init__(
        self,
        directory: Path,
        n_lanes: int,
        rows: Collection[int],
        ends: Collection[End],
        *,
        adapter: str = "cuse",
    ) -> None:
        self.directory = directory
        self.adapter = adapter
        self.work = Path("/tmp/campaign")  # the guest's own, forgotten with it
        self.work.mkdir()
        self.document_numbers = {n_rows: k for k, n_rows in enumerate(sorted(rows))}
        self.documents = {
            n_rows: make_document(self.work / f"doc-{k}.tif", pages=PAGES, lines=n_rows, seed=40 + k)
            for n_rows, k in self.document_numbers.items()
        }
        kinds = [end for end in MODEMS_A_LANE if end in ends]
        self.lanes = [
            [Line(len(kinds) * lane + k, end) for k, end in enumerate(kinds)] for lane in range(n_lanes)
        ]
        lines = [line for lane in self.lanes for line in lane]
        self._ours = [line for line in lines if line.end != IAXMODEM]
        self._theirs = [line for line in lines if line.end == IAXMODEM]
        self.asterisk: Asterisk
        self.hylafax: HylaFax

    @contextmanager
    def open(self) -> Iterator[None]:
        """All of it, as long as the context lasts."""
        bed = AsteriskBed()
        try:
            self.asterisk = bed.start()
            for document in self.documents.values():
                shutil.copy(document, bed.rundir / "play" / document.name)
            with self._service(), self._iaxmodems(), self._hylafax():
                yield
        finally:
            self._keep(bed.rundir / "log", "asterisk")
            bed.clean()

    @contextmanager
    def _service(self) -> Iterator[None]:
        self._configure()
        program = Path(sys.executable).parent / "cusemodem"
        command = [str(BED / "real-time"), "--rr", str(program), "--config", str(self.work / "etc"), "-F"]
        with (self.work / "service.out").open("wb") as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + 120
            while not all(line.device.exists() for line in self._ours):
                if process.poll() is not None or time.monotonic() > deadline:
                    said = (self.work / "service.out").read_text(errors="replace")
                    raise RuntimeError(f"the service did not start: {said[-2000:]}")
                time.sleep(0.1)
            for line in self._ours:
                self.asterisk.wait_registered(line.account, timeout_s=60)
            yield
        finally:
            process.terminate()
            process.wait(20)
            self._keep(self.work / "log", "modems")

    def _configure(self) -> None:
        modems = self.work / "etc" / "modems"
        modems.mkdir(parents=True)
        paths = {key: self.work / key for key in ("log", "state", "control", "pid_file")}
        text = ["[service]", *(f"{key} = {path}" for key, path in paths.items()), "[defaults]"]
        text += [
            f"server = {HOST}:{self.asterisk.iax_port}",
            f"adapter = {self.adapter}",
            "refresh = 60",
            "port = any",
        ]
        text += ["owner = uucp:uucp", "mode = 660"]
        if self.adapter == "pty":  # in the guest of uml-run it costs too much of its one processor
            text.append("record = yes")
        (self.work / "etc" / "cusemodem.conf").write_text("\n".join([*text, ""]))
        for line in self._ours:
            account = line.account
            text = ["[modem]", f"peername = {account}", f"secret = secret{account}", f"cidnumber = {account}"]
            (modems / line.device.name).write_text("\n".join([*text, ""]))

    @contextmanager
    def _iaxmodems(self) -> Iterator[None]:
        if self._theirs and not shutil.which("iaxmodem"):
            install = [str(BED / "guest-packages"), "install", "iaxmodem"]
            subprocess.run(install, check=True, capture_output=True)
        with ExitStack() as running:
            for line in self._theirs:
                account = Account(HOST, self.asterisk.iax_port, line.account, f"secret{line.account}")
                port = FIRST_IAXMODEM_PORT + line.number
                running.enter_context(Modem("iaxmodem", line.device, account, port, self.work))
                self.asterisk.wait_registered(line.account, timeout_s=60)  # one by one: tests/bed/README.md
            yield

    @contextmanager
    def _hylafax(self) -> Iterator[None]:
        classes = {line.device: line.end.fax_class for line in self._ours if line.end.program == "hylafax"}
        logs = self.work / "hylafax"
        logs.mkdir()
        try:
            if classes:
                with HylaFax(list(classes), logs, classes=classes) as self.hylafax:
                    yield
            else:
                yield
        finally:
            self._keep(logs, "hylafax")

    def log(self, line: Line) -> list[str]:
        """What our modem has logged so far."""
        try:
            return (self.work / "log" / line.device.name).read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []

    def recordings(self, line: Line) -> set[Path]:
        """The directories of the calls that our modem has recorded."""
        place = self.work / "state" / "recordings" / line.device.name
        return {path for path in place.glob("*") if path.is_dir()}

    def _keep(self, source: Path, name: str) -> None:
        """Logs of this guest; only the last guest's are kept."""
        if source.exists():
            shutil.copytree(source, self.directory / "last-guest" / name, dirs_exist_ok=True)
