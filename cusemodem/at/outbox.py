"""Where the engine's rooms put what they have to say: bytes for the host, actions for the line."""

from __future__ import annotations

from typing import Final

from cusemodem.at.actions import Action
from cusemodem.at.results import Result, as_progress, format_result, format_text
from cusemodem.at.settings import Settings

MAX_WAITING: Final = 1 << 18
"""Bytes kept for a line that does not take its output; more than any block can bring."""


class Outbox:
    """Output and actions, in order, until the line takes them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._output = bytearray()
        self._actions: list[Action] = []
        self.n_bytes_dropped = 0

    def data(self, data: bytes) -> None:
        """Bytes for the host as they are: echo and stuffed data."""
        if len(self._output) + len(data) > MAX_WAITING:
            self.n_bytes_dropped += len(data)
        else:
            self._output += data

    def result(self, result: Result) -> None:
        """A result code, as Q, V and X say."""
        settings = self._settings
        if not settings.quiet:
            shown = as_progress(result, settings.call_progress)
            s3, s4 = settings.registers[3], settings.registers[4]
            self.data(format_result(shown, verbose=settings.verbose, s3=s3, s4=s4))

    def ring(self, kind: str) -> None:
        """RING, with V1 followed by the kind of a distinctive ring."""
        settings = self._settings
        if kind and settings.verbose and not settings.quiet:
            self.text(f"{Result.RING.text} {kind}")
        else:
            self.result(Result.RING)

    def text(self, text: str) -> None:
        """A line of information text."""
        settings = self._settings
        s3, s4 = settings.registers[3], settings.registers[4]
        self.data(format_text(text, verbose=settings.verbose, s3=s3, s4=s4))

    def act(self, *actions: Action) -> None:
        """Orders for the line."""
        self._actions += actions

    def take_output(self) -> bytes:
        """All bytes for the host since the last call."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def take_actions(self) -> list[Action]:
        """All actions since the last call, in order."""
        actions, self._actions = self._actions, []
        return actions
