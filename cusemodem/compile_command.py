"""`cusemodem compile`: put the signal processing kernels into numba's cache on disk."""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import sys
import time
from contextlib import suppress
from importlib import metadata, util
from pathlib import Path

from cusemodem.arguments import Commands, add_command


def add(commands: Commands) -> None:
    """The sub-command `compile`."""
    add_command(
        commands,
        "compile",
        run,
        "compile the signal processing once, so that modems start fast",
        """\
The machine code is kept on disk, in NUMBA_CACHE_DIR or beside the program.
Run it once after installing or upgrading; a second time it has nothing to do.
cusemodem.service does so itself, before it starts.

  cusemodem compile""",
    )


STAMP_NAME = "cusemodem-compiled"
"""In NUMBA_CACHE_DIR: for what the code there was compiled last."""


def run(_options: argparse.Namespace) -> int:
    """Compile every kernel that is not in the cache yet; progress is drawn on a terminal only."""
    stamp = _stamp_file()
    wanted = _stamp() if stamp is not None else ""
    if stamp is not None and _read(stamp) == wanted:
        return 0  # at every start of the service: numba need not even be loaded
    from rich.console import Console  # noqa: PLC0415 - rich and numba take a while to import
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    console = Console(stderr=True)
    started = time.monotonic()
    progress = Progress(
        TextColumn("{task.description:<24}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    with progress:
        task = progress.add_task("reading the sources", total=None)
        import dsp  # noqa: PLC0415
        from dsp.kernel import uncached_kernels  # noqa: PLC0415
        from iax.media_table import warm_up  # noqa: PLC0415

        kernels = [*dsp.kernels(), ("iax.media_table", warm_up)]
        progress.update(task, total=len(kernels))
        for name, warm in kernels:
            progress.update(task, description=name)
            warm()
            progress.advance(task)
    if uncached_kernels():
        print(
            "cusemodem compile: no directory to keep the compiled code in; "
            "set NUMBA_CACHE_DIR to one that only this user may write",
            file=sys.stderr,
        )
        return 1
    if stamp is not None:
        with suppress(OSError):  # then the next time takes a second longer
            stamp.write_text(wanted, encoding="ascii")
    if console.is_terminal:
        console.print(f"{len(kernels)} kernels ready ({time.monotonic() - started:.1f} s)", highlight=False)
    return 0


def _stamp_file() -> Path | None:
    """Where the stamp is kept: only in a cache of our own, not beside the sources."""
    directory = os.environ.get("NUMBA_CACHE_DIR")
    return Path(directory) / STAMP_NAME if directory else None


def _read(stamp: Path) -> str:
    """The stamp, if the machine code that it speaks of is still there."""
    try:
        text = stamp.read_text(encoding="ascii")
        return text if next(stamp.parent.glob("**/*.nbc"), None) is not None else ""
    except (OSError, ValueError):
        return ""


def _stamp() -> str:
    """Changes with everything that machine code depends on: sources, compiler, Python, processor."""
    digest = hashlib.sha256()
    for name in ("dsp", "iax"):
        package = util.find_spec(name)  # finds without loading
        for place in (package.submodule_search_locations or []) if package is not None else []:
            digest.update(place.encode())
            for source in sorted(Path(place).glob("*.py")):
                digest.update(source.read_bytes())
    for name in ("numba", "llvmlite", "numpy"):
        digest.update(metadata.version(name).encode())
    digest.update(sys.version.encode())
    digest.update(_processor().encode())
    return digest.hexdigest() + "\n"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
