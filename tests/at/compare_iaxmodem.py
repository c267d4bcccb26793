"""The table of docs/at.md: each command, our answer, IAXmodem's, and what the Recommendation says.

    python -m tests.at.compare_iaxmodem            the table as docs/at.md has it, our column asked anew
    sudo python -m tests.at.compare_iaxmodem PACKAGE.deb
                                                   IAXmodem's column asked anew too, from Debian's package

IAXmodem knows only /etc/iaxmodem, so it runs in a mount namespace of its own with a writable layer over /etc.
A row is (command, Recommendation); commands are asked in class 1, on-hook, with E0, each on its own.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import tempfile
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cusemodem.at import Engine

PAGE = Path(__file__).parents[2] / "docs" / "at.md"
SET_UP = ("E0", "+FCLASS=1")
NOTHING = "nothing"

ROWS: tuple[tuple[str, str], ...] = (
    # V.250, the line and basic commands
    ("", "V.250 §5.2.1: OK"),
    ("A", "V.250 §6.3.5: off-hook as answerer; here nothing rings"),
    ("D", "V.250 §6.3.1: off-hook, no number"),
    ("D;", "V.250 §6.3.1: the line without a number"),
    ("E0", "V.250 §6.2.4: OK"),
    ("E1", "V.250 §6.2.4: OK"),
    ("E2", "V.250 §5.4.1: out of range, ERROR"),
    ("H", "V.250 §6.3.6: OK, also on-hook"),
    ("H1", "not in V.250; modems: off-hook, OK"),
    ("H2", "V.250: ERROR"),
    ("I", "V.250 §6.1.3: text of the maker's choice"),
    ("I0", "V.250 §6.1.3"),
    ("I1", "V.250 §6.1.3"),
    ("I2", "V.250 §6.1.3"),
    ("I3", "V.250 §6.1.3"),
    ("I5", "V.250 §6.1.3"),
    ("I6", "V.250 §6.1.3"),
    ("I7", "V.250 §6.1.3"),
    ("I8", "V.250 §6.1.3"),
    ("I9", "V.250 §6.1.3"),
    ("I10", "V.250 §6.1.3"),
    ("I11", "V.250 §6.1.3"),
    ("I12", "V.250 §6.1.3: ERROR for what there is not"),
    ("L2", "V.250 §6.3.13"),
    ("M1", "V.250 §6.3.14"),
    ("N1", "not in V.250"),
    ("O", "V.250 §6.3.7: back to the data state of a call; there is none"),
    ("P", "V.250 §6.3.3"),
    ("Q0", "V.250 §6.2.5"),
    ("Q2", "V.250: ERROR"),
    ("T", "V.250 §6.3.2"),
    ("V1", "V.250 §6.2.6"),
    ("X0", "V.250 §6.2.7"),
    ("X4", "V.250 §6.2.7"),
    ("X5", "V.250: ERROR"),
    ("Z", "V.250 §6.1.1; T.31 §8.2: +FCLASS=0"),
    ("Z1", "V.250 §6.1.1: profile 1"),
    ("&C1", "V.250 §6.2.8"),
    ("&C2", "V.250: ERROR"),
    ("&D0", "V.250 §6.2.9"),
    ("&D1", "V.250 §6.2.9"),
    ("&D2", "V.250 §6.2.9"),
    ("&D3", "common: reset; V.250 has 0 to 2"),
    ("&F", "V.250 §6.1.2"),
    ("&K3", "common: flow control"),
    ("&V", "common: view"),
    ("&W", "common: store the profile"),
    ("&Y0", "common: profile at the start"),
    ("&Z1=5550100", "common: store a number"),
    ("\\N3", "common: error control"),
    ("%C0", "common: compression"),
    ("B0", "common"),
    ("-J1", "common"),
    ("W1Y0*N3-K0\\Q3\\V1", "common: reports, long space, MNP, flow control"),
    ("&B1&G0&H1&I0&J0&L0&M0&P0&Q5&R1&S0&U0&X0", "common: jumpers and data modes"),
    ("C9", "unknown: ERROR (V.250 §5.4.1)"),
    ("&T1", "unknown here: ERROR"),
    ("$", "common: help"),
    # S registers
    ("S0?", "V.250 §6.3.8: 000 to 255"),
    ("S2?", "common: 043"),
    ("S3?", "V.250 §6.2.1: 013"),
    ("S4?", "V.250 §6.2.2: 010"),
    ("S5?", "V.250 §6.2.3: 008"),
    ("S6?", "V.250 §6.3.9: 002 to 010"),
    ("S7?", "V.250 §6.3.10: 001 to 255"),
    ("S8?", "V.250 §6.3.11: 000 to 255"),
    ("S10?", "V.250 §6.3.12: 001 to 254"),
    ("S37?", "common: any register can be read"),
    ("S7=?", "V.250 has no test form of S"),
    ("S7.0?", "common: single bits"),
    ("S7=0", "V.250 §6.3.10: from 1 on, ERROR"),
    ("S3=128", "V.250 §6.2.1: to 127, ERROR"),
    ("S300=1", "ERROR"),
    # identification
    ("+GMI", "V.250 §6.1.4: text"),
    ("+GMI?", "V.250: an action, ERROR; many ask so"),
    ("+GMM", "V.250 §6.1.5"),
    ("+GMR", "V.250 §6.1.6"),
    ("+GSN", "V.250 §6.1.7"),
    ("+GOI", "V.250 §6.1.8"),
    ("+GCAP", "V.250 §6.1.9: names +FCLASS"),
    ("+GCI?", "V.250 §6.1.10: +GCI: B5"),
    ("+GCI=?", "V.250 §6.1.10"),
    ("+GCI=AF", "V.250 §6.1.10: OK"),
    ("+FMI?", "T.31 §8.1: text"),
    ("+FMM?", "T.31 §8.1"),
    ("+FMR?", "T.31 §8.1"),
    # class
    ("+FCLASS=?", "T.31 §8.2: list"),
    ("+FCLASS?", "T.31 §8.2: 1"),
    ("+FCLASS=0", "T.31 §8.2"),
    ("+FCLASS=1.0", "T.31 §8.2"),
    ("+FCLASS=2", "not offered: ERROR"),
    ("+FCLASS=2.0", "not offered: ERROR"),
    ("+FCLASS=8", "not offered: ERROR"),
    # class 1 parameters
    ("+FAR?", "T.31: 0"),
    ("+FAR=?", "T.31: (0,1)"),
    ("+FAR=2", "T.31: ERROR"),
    ("+FCL?", "T.31: 0"),
    ("+FCL=?", "T.31: (0-255)"),
    ("+FCL=256", "T.31: ERROR"),
    ("+FDD?", "T.31: 0"),
    ("+FDD=?", "T.31: (0,1)"),
    ("+FDD=2", "T.31: ERROR"),
    ("+FIT?", "T.31: 0,0"),
    ("+FIT=?", "T.31: (0-255),(0,1)"),
    ("+FLO=?", "T.31: (0-2)"),
    ("+FLO=1", "T.31: OK"),
    ("+FLO?", "T.31: the value"),
    ("+FLO=3", "T.31: ERROR"),
    ("+FPR?", "T.31: 0"),
    ("+FPR=?", "T.31: list of rates"),
    ("+FPR=0", "T.31: OK"),
    ("+FAA=0", "T.32: OK"),
    ("+FAA=?", "T.32: (0,1)"),
    ("+FAE=1", "EIA-578: OK"),
    ("+FAE=?", "EIA-578: 0,1"),
    ("+F34=14,1,2", "T.31 Annex B; V.34 does not exist here"),
    ("+F34=?", "T.31 Annex B"),
    # class 1 actions, on-hook
    ("+FTM=?", "T.31 §8.3: list"),
    ("+FRM=?", "T.31 §8.3: list"),
    ("+FTH=?", "T.31 §8.3: 3"),
    ("+FRH=?", "T.31 §8.3: 3"),
    ("+FTS=?", "T.31 §8.3: 0-255"),
    ("+FRS=?", "T.31 §8.3: 0-255"),
    ("+FTM?", "T.31: no read form, ERROR"),
    ("+FTM=96", "T.31: on-hook, ERROR"),
    ("+FRM=96", "T.31: on-hook, ERROR"),
    ("+FTH=3", "T.31: on-hook, ERROR"),
    ("+FRH=3", "T.31: on-hook, ERROR"),
    ("+FTS=8", "T.31: on-hook, ERROR"),
    ("+FRS=8", "T.31: on-hook, ERROR"),
    ("+FTM=144", "T.31: unknown code, ERROR"),
    # caller ID
    ("+VCID?", "V.253 §8.2.3: 0"),
    ("+VCID=?", "V.253 §8.2.3: (0-2)"),
    ("+VCID=1", "V.253 §8.2.3: OK"),
    ("+VCID=2", "V.253: unformatted; not here"),
    ("+VRID=1", "V.253 §8.2.4: the report once more"),
    ('+VSID="Joe","123"', "not in V.253; IAXmodem's own"),
    ("#CID=1", "makers' own"),
    ("%CCID=1", "makers' own"),
    ("#CC1", "makers' own"),
    ("*ID1", "makers' own"),
    # other modems' init strings
    ("+MS=?", "V.250 §6.4.1"),
    ("+IFC?", "V.250 §6.2.12: +IFC: 2,2"),
    ("+ILRR?", "V.250 §6.2.13: +ILRR: 0"),
    ("+ICF?", "V.250 §6.2.11: +ICF: 3,3"),
    ("+IPR?", "V.250 §6.2.10: +IPR: 0"),
    ("+MR?", "V.250 §6.4.3: +MR: 0"),
    ("+MA?", "V.250 §6.4.2"),
    ("+ES=?", "V.250 §6.5.1"),
    ("+EB?", "V.250 §6.5.2"),
    ("+ER?", "V.250 §6.5.5: +ER: 0"),
    ("+EFCS?", "V.250 §6.5.4"),
    ("+ETBM?", "V.250 §6.5.6"),
    ("+EWIND?", "V.250 §6.5: window sizes"),
    ("+EFRAM?", "V.250 §6.5: frame lengths"),
    ("+ESR?", "V.250 §6.5.3"),
    ("+DS=?", "V.250 §6.6.1"),
    ("+DR?", "V.250 §6.6.2: +DR: 0"),
    ("+A8E=?", "V.251"),
    ("+VIP?", "V.253"),
    ("+VGR?", "V.253"),
    ("+VGT?", "V.253"),
    ("+VIT?", "V.253"),
    ("+VDR?", "V.253"),
    ("+VDT?", "V.253"),
    ("#CLS?", "makers' own: class"),
    ("#VLS?", "makers' own: voice line"),
    # unknown
    ("+FOO", "V.250 §5.4.1: ERROR"),
    ("+FOO=1", "V.250 §5.4.1: ERROR"),
    ("+FBOR?", "class 2's, not offered: ERROR"),
    ("+FDT", "class 2's: ERROR"),
    ("E0+FOO;V1", "V.250 §5.4.1: stops at the fault, ERROR"),
    ("?", "ERROR"),
)


def answer(raw: bytes) -> str:
    """The answer's lines with ` + ` between them; long ones are cut."""
    lines = [line for line in raw.decode("latin-1").replace("\r", "\n").split("\n") if line]
    shown = [re.sub(r"\s+", " ", line) for line in lines]
    if len(shown) > 3:
        shown = [shown[0], "…", shown[-1]]
    text = " + ".join(shown) or NOTHING
    return text.replace("|", "\\|")


def ours(command: str) -> str:
    """What our engine answers."""
    engine = Engine()
    for line in SET_UP:
        engine.host_bytes(b"AT" + line.encode() + b"\r")
    engine.take_output()
    engine.host_bytes(b"AT" + command.encode() + b"\r")
    return answer(engine.take_output())


@contextmanager
def iaxmodem(package: Path) -> Iterator[list[int]]:
    """Debian's iaxmodem, running; a list with the descriptor of its tty."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        subprocess.run(["dpkg-deb", "-x", package, place / "package"], check=True)
        for directory in ("upper", "work"):
            (place / directory).mkdir()
        device = place / "tty"
        config = f"device {device}\nowner root:root\nmode 660\nport 45998\nrefresh 0\nserver 127.0.0.1\n"
        (place / "config").write_text(config + "peername x\nsecret x\ncodec ulaw\n")
        layers = f"lowerdir=/etc,upperdir={place / 'upper'},workdir={place / 'work'}"
        script = (
            f"mount -t overlay overlay -o {layers} /etc && mkdir -p /etc/iaxmodem && "
            f"cp {place / 'config'} /etc/iaxmodem/compared && "
            f"exec {place / 'package/usr/bin/iaxmodem'} compared"
        )
        with (place / "log").open("w") as log:
            process = subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 10
            while not device.exists():
                if time.monotonic() > deadline:
                    raise RuntimeError((place / "log").read_text())
                time.sleep(0.1)
            time.sleep(0.3)
            tty_fd = os.open(device, os.O_RDWR | os.O_NOCTTY)
            tty.setraw(tty_fd)
            yield [tty_fd]
            os.close(tty_fd)
        finally:
            process.terminate()
            process.wait()


def ask(tty_fd: int, command: str, wait_s: float = 0.25) -> bytes:
    """The bytes that come back."""
    os.write(tty_fd, b"AT" + command.encode() + b"\r")
    said, end = b"", time.monotonic() + wait_s
    while (left := end - time.monotonic()) > 0:
        if select.select([tty_fd], [], [], left)[0]:
            said += os.read(tty_fd, 4096)
    return said


def theirs(package: Path) -> dict[str, str]:
    """IAXmodem's answer to each command; a modem that fell silent is started anew."""
    answers: dict[str, str] = {}
    rows = list(ROWS)
    while rows:
        with iaxmodem(package) as (tty_fd,):
            while rows:
                for line in ("H0", "E0", "&F", *SET_UP):
                    alive = ask(tty_fd, line, 0.06)
                if b"OK" not in alive:
                    break
                command = rows.pop(0)[0]
                answers[command] = answer(ask(tty_fd, command))
    return answers


def rows_of_the_page() -> dict[str, tuple[str, str, str]]:
    """command → (ours, IAXmodem's, Recommendation) as docs/at.md has them."""
    section = PAGE.read_text().split("## 9. Beside IAXmodem", 1)[-1].split("\nWhat no question", 1)[0]
    found = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
        if len(cells) == 4 and cells[0].startswith("`AT"):
            found[cells[0].strip("`")[2:]] = (cells[1].strip("`"), cells[2].strip("`"), cells[3])
    return found


def table(known: dict[str, str]) -> str:
    """The table as Markdown."""
    lines = ["| command | cusemodem | IAXmodem 1.2.0 | Recommendation |", "| --- | --- | --- | --- |"]
    for command, recommendation in ROWS:
        us, them = (f"`{text}`" for text in (ours(command), known.get(command, "not asked")))
        lines.append(f"| `AT{command}` | {us} | {them} | {recommendation} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(table(theirs(Path(sys.argv[1]))))
    else:
        print(table({command: cells[1] for command, cells in rows_of_the_page().items()}))
