"""`cusemodem compile`: put the signal processing kernels into numba's cache on disk."""

from __future__ import annotations

import argparse
import sys
import time

from cusemodem.arguments import Commands, add_command


def add(commands: Commands) -> None:
    """The sub-command `compile`."""
    add_command(
        commands,
        "compile",
        run,
        "compile the signal processing once, so that modems start fast",
        "The machine code is kept on disk, in NUMBA_CACHE_DIR or beside the program.\n"
        "Run it once after installing or upgrading; a second time it has nothing to do.",
    )


def run(_options: argparse.Namespace) -> int:
    """Compile every kernel that is not in the cache yet; progress is drawn on a terminal only."""
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

        kernels = dsp.kernels()
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
    if console.is_terminal:
        console.print(f"{len(kernels)} kernels ready ({time.monotonic() - started:.1f} s)", highlight=False)
    return 0
