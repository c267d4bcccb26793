"""Arrays that a caller hands in: the wrong kind is refused by name, where numpy would make nonsense of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def checked_array(
    name: str, value: object, dtypes: tuple[np.dtype[Any], ...], shape: tuple[int | None, ...] | None = None
) -> NDArray[Any]:
    """``value``, if it is a numpy array of one of ``dtypes`` and of ``shape`` (None: any; in it: any length).

    Raises ``TypeError`` for another type, ``ValueError`` for another shape; both say what ``name`` should be
    and what it was.
    """
    if type(value) is np.ndarray and value.dtype in dtypes:
        if shape is None or value.shape == shape:
            return value
        if len(value.shape) == len(shape) and all(
            n in (None, has) for n, has in zip(shape, value.shape, strict=True)
        ):
            return value
    wanted = " or ".join(map(str, dtypes)) + (" of any shape" if shape is None else f" {_shown(shape)}")
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: expected a numpy array of {wanted}, got {type(value).__name__}")
    if value.dtype not in dtypes:
        raise TypeError(f"{name}: expected {wanted}, got {value.dtype} {_shown(value.shape)}")
    if type(value) is not np.ndarray:  # a subclass, as a memory map is
        return checked_array(name, value.view(np.ndarray), dtypes, shape)
    raise ValueError(f"{name}: expected {wanted}, got {value.dtype} {_shown(value.shape)}")


def _shown(shape: tuple[int | None, ...]) -> str:
    inside = ", ".join("n" if n is None else str(n) for n in shape)
    return f"({inside},)" if len(shape) == 1 else f"({inside})"


INT16 = (np.dtype(np.int16),)
MARKS = (np.dtype(np.bool_), np.dtype(np.uint8))
"""What blocks became of: whether each is lost, or its `Fate`."""
