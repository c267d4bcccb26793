"""Standard input and output as bytes, for the commands that are filters: what fails is said in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

_CHUNK = 1 << 16


class StreamError(Exception):
    """Standard input or output is of no use; the text says which one, and why."""


def input_chunks() -> Iterator[bytes]:
    """The bytes of standard input, as they come."""
    if sys.stdin is None:  # what Python makes of `<&-`
        raise StreamError("stdin is closed; give it a file or a pipe")
    try:
        while data := os.read(sys.stdin.fileno(), _CHUNK):
            yield data
    except OSError as error:
        raise StreamError(f"stdin: {error.strerror}") from None


def read_input() -> bytes:
    """All of standard input."""
    return b"".join(input_chunks())


def write_output(data: bytes) -> None:
    """Write to standard output, at once. A reader that has gone is a ``BrokenPipeError``."""
    if sys.stdout is None:
        raise StreamError("stdout is closed; give it a file or a pipe")
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left must not fail again
        raise StreamError(f"stdout: {error.strerror}") from None
