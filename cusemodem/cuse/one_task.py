"""A trio task beside a block of code, whose errors stay plain."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def one_task(function: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run an async function beside the block. Its error, or the block's, comes out bare, not in a group."""
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(function)
            try:
                yield
            finally:
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from group.exceptions[0].__cause__
        raise
