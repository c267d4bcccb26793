"""What comes before the first block: seconds to compile and to start, and the memory of a line."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.fax_modems import Modem
from bench.rows import Row
from dsp.channel import CHANNEL
from tests.peers import spandsp_peer as peer

_COMPILE = """
import time; begin = time.perf_counter()
import dsp
for _, compile_it in dsp.kernels(): compile_it()
print(time.perf_counter() - begin)
"""
_START = """
import time; begin = time.perf_counter()
import numpy as np, dsp
bank = dsp.Bank(1)
bank.process(np.zeros((1, 160), np.int16), np.zeros(1, np.bool_))
print(time.perf_counter() - begin)
"""


def start_rows(_modems: Sequence[Modem], quick: bool) -> Iterator[Row]:
    """Seconds until the first block, with nothing compiled and with everything on disk."""
    with tempfile.TemporaryDirectory() as directory:
        environment = dict(os.environ, NUMBA_CACHE_DIR=directory)
        cold = None if quick else _seconds(_COMPILE, environment)
        if cold is not None:
            yield Row("compiling all kernels, no cache", cold, None, "s", goal=60)
        else:
            environment = dict(os.environ)
            _seconds(_START, environment)
        warm = min(_seconds(_START, environment) for _ in range(3))
        yield Row("import to first block, compiled before", warm, None, "s", goal=1.0)


def _seconds(program: str, environment: dict[str, str]) -> float:
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=root, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def memory_rows(_modems: Sequence[Modem], _quick: bool) -> Iterator[Row]:
    """KiB of state for a line: all that a channel has, and the peer's T.31 modem."""
    libc = ctypes.CDLL(None)
    libc.malloc_usable_size.restype = ctypes.c_size_t
    libc.malloc_usable_size.argtypes = [ctypes.c_void_p]
    modem = peer.T31()
    theirs = libc.malloc_usable_size(modem._p)
    yield Row("state of one channel", CHANNEL.itemsize / 1024, theirs / 1024, "KiB", goal=64)
