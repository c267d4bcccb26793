"""How the few compiled functions of this package are made. They run as plain Python where numba is not there,
or with NUMBA_DISABLE_JIT=1."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

Record: TypeAlias = Any
"""An element of a structured array, or the array: its fields are attributes whose types the dtype has."""

try:
    import numba

    COMPILED = not getattr(numba.config, "DISABLE_JIT", False)
except ImportError:
    COMPILED = False


SOURCES = (
    *("arrivals", "batch_kernels", "formats", "frames", "jitter", "jitter_kernels", "kernel", "media"),
    *("playout", "voice_record"),
)
"""The modules whose functions and constants are built into machine code."""


@cache
def _stamp() -> bytes:
    """Hash of `SOURCES`: numba's own cache looks only at the file that a function stands in."""
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes() + b"\0")
    return digest.digest()


def kernel(function: F) -> F:
    """Compile FUNCTION if numba is there, and keep the machine code on disk if there is a place for it."""
    if not COMPILED:
        return function
    try:
        compiled = numba.njit(function, cache=True, nogil=True, error_model="numpy")
    except RuntimeError:  # no writable place for the cache
        return cast("F", numba.njit(function, nogil=True, error_model="numpy"))
    compiled._cache._cache_file._source_stamp = _stamp()
    return cast("F", compiled)
