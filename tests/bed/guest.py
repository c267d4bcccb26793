"""Run commands in a user-mode Linux guest that has /dev/cuse (`uml-run`)."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BED = Path(__file__).parent
REPOSITORY = BED.parent.parent


def missing_for_guest() -> list[str]:
    """Debian packages that the guest needs and this machine does not have."""
    needed = {"linux.uml": "user-mode-linux", "insmod": "kmod", "ip": "iproute2"}
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return [package for program, package in needed.items() if not shutil.which(program, path=path)]


@dataclass(frozen=True)
class Guest:
    """Boots a fresh guest for each command; the guest sees this machine's files, copy-on-write."""

    memory: str = "2G"

    def command(
        self,
        command: Sequence[str | Path],
        *,
        timeout_s: int = 120,
        share: Sequence[Path] = (),
        udev: bool = False,
        real_time: bool = False,
    ) -> list[str]:
        """The command line of `uml-run` that runs `command` in a guest.

        real_time: put it before other programs of this machine, if we may: a call cannot wait for them.
        """
        line = [str(BED / "real-time")] if real_time else []
        line += [str(BED / "uml-run"), "--mem", self.memory, "--timeout", str(timeout_s)]
        for directory in share:
            line += ["--share", str(directory)]
        if udev:
            line.append("--udev")
        return [*line, "--", *(str(word) for word in command)]

    def __call__(
        self,
        command: Sequence[str | Path],
        *,
        timeout_s: int = 120,
        share: Sequence[Path] = (),
        udev: bool = False,
        real_time: bool = False,
        cwd: Path = REPOSITORY,
    ) -> subprocess.CompletedProcess[str]:
        """Run `command` to its end and return its status and output.

        Status 124: it took longer than `timeout_s`. 125: the guest could not be started, or died.
        What the guest writes below a `share` directory stays; all else that it writes is forgotten.
        """
        return subprocess.run(
            self.command(command, timeout_s=timeout_s, share=share, udev=udev, real_time=real_time),
            cwd=cwd,
            text=True,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
