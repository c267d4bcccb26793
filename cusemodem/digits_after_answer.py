"""The digits dialled behind the first comma: sent as DTMF once the far end has answered (V.250 §6.3.1.2)."""

from __future__ import annotations

BLOCKS_PER_DIGIT = 10
"""200 ms from one digit to the next (chosen: the network plays each for about 100 ms)."""


class DigitsAfterAnswer:
    """`digits` with commas, each of which waits `pause_blocks`; `step` once a block."""

    def __init__(self, digits: str = "", pause_blocks: int = 0) -> None:
        self._digits = digits
        self._pause_blocks = pause_blocks
        self._wait_blocks = 0

    def __bool__(self) -> bool:
        """Something is still to be sent, or to be waited for."""
        return bool(self._digits) or self._wait_blocks > 0

    def step(self) -> str:
        """The digit to send in this block, or ""."""
        if self._wait_blocks > 0:
            self._wait_blocks -= 1
            return ""
        symbol, self._digits = self._digits[:1], self._digits[1:]
        self._wait_blocks = self._pause_blocks if symbol == "," else BLOCKS_PER_DIGIT
        return "" if symbol == "," else symbol
