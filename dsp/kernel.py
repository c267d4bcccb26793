"""How signal kernels are compiled, cached and given their state.

A kernel is a plain function of records (elements of structured arrays) and sample blocks. :func:`kernel`
compiles it with numba and keeps the machine code on disk. With ``NUMBA_DISABLE_JIT=1`` the same code runs
uncompiled, for a debugger.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])

#: Type of a kernel's state argument: one element of :func:`records`. Its fields are attributes whose types
#: only the dtype knows.
Record: TypeAlias = Any

#: Sums may be re-ordered so that filters use vector instructions; NaN and infinity keep their meaning.
_FASTMATH = {"reassoc", "contract", "nsz", "arcp"}
_PACKAGE = Path(__file__).parent
_IMPORT = re.compile(r"^\s*(?:from dsp\.(\w+) import|import dsp\.(\w+)|from dsp import (.+))", re.MULTILINE)
_stamps: dict[Path, bytes] = {}
_uncached: list[str] = []


def _imported_sources(path: Path, seen: set[Path]) -> None:
    if path in seen or not path.is_file():
        return
    seen.add(path)
    for module, plain, several in _IMPORT.findall(path.read_text(encoding="utf-8")):
        for name in re.findall(r"\w+", several) if several else (module or plain,):
            _imported_sources(_PACKAGE / f"{name}.py", seen)


def source_stamp(path: Path) -> bytes:
    """Hash of a kernel file and of every file of this package that it imports, directly or not.

    numba's own cache looks only at the file a kernel stands in, so after an upgrade it would go on using
    machine code that has an old version of some other file's kernel or table built in.
    """
    if path not in _stamps:
        sources: set[Path] = set()
        _imported_sources(path, sources)
        digest = hashlib.sha256()
        for source in sorted(sources):
            digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
        _stamps[path] = digest.digest()
    return _stamps[path]


def kernel(function: F) -> F:
    """Compile ``function`` for real-time use: no GIL, no exceptions on division, cached on disk.

    Without any writable place for the cache the kernel still works, but each process compiles it again
    (see :func:`uncached_kernels`).
    """
    try:
        compiled = numba.njit(function, cache=True, nogil=True, error_model="numpy", fastmath=_FASTMATH)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        _uncached.append(function.__qualname__)
        return numba.njit(function, nogil=True, error_model="numpy", fastmath=_FASTMATH)  # type: ignore[no-any-return]
    cache = getattr(compiled, "_cache", None)  # absent when the compiler is disabled
    if cache is not None:
        cache._cache_file._source_stamp = source_stamp(Path(function.__code__.co_filename))
    return compiled  # type: ignore[no-any-return]


def uncached_kernels() -> list[str]:
    """Names of kernels that found no writable cache directory; normally empty."""
    return list(_uncached)


def records(dtype: np.dtype[Any], n: int) -> NDArray[Any]:
    """``n`` zeroed records of ``dtype`` whose fields are attributes, nested ones too."""
    return np.zeros(n, dtype).view(np.recarray)


def argument(state: NDArray[Any]) -> NDArray[Any]:
    """The form in which an array from :func:`records` is best given to a kernel.

    Compiled code takes a plain array several times faster; uncompiled code needs the attributes.
    """
    return state if getattr(numba.config, "DISABLE_JIT", 0) else state.view(np.ndarray)
