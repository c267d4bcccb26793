"""What a port must remember when the process that serves it dies: everything the host could notice missing.

Bytes on their way are not part of it: a modem that loses power loses those too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from dataclasses import fields as fields_of
from typing import Any

VERSION = 1
_BYTES = ("settings", "window_size", "locks")


class BadStateError(ValueError):
    """Bytes that are not a state: the one error of :meth:`PortState.unpack`."""


@dataclass(frozen=True, slots=True)
class FileState:
    """One open file of the host."""

    number: int
    hung_up: bool
    # The request that opened it: unanswered only if the server died that very moment, or waits for carrier.
    opened_by: int
    # The kernel's name for it in poll wake-ups (kh), 0 before the first poll.
    wake_key: int


@dataclass(frozen=True, slots=True)
class PortState:
    """One port, as its host knows it."""

    name: str
    # struct termios2
    settings: bytes
    # all lines, TIOCM bits
    lines: int
    # TIOCM bit -> how often that line of the modem changed
    line_changes: dict[int, int]
    bytes_to_host: int
    bytes_to_modem: int
    next_file: int
    files: tuple[FileState, ...]
    exclusive: bool
    input_stopped: bool
    output_stopped: bool
    window_size: bytes
    # of struct serial_struct: flags, close_delay, closing_wait
    serial: tuple[int, int, int]
    # As struct termios: what nobody can change.
    locks: bytes
    # Its leader, when that started, the foreground process group.
    session: tuple[int, int, int]
    # of the modem behind the port, for its successor
    notes: str

    def pack(self) -> bytes:
        """The state as a line of JSON."""
        fields = asdict(self)
        for name in _BYTES:
            fields[name] = fields[name].hex()
        fields["line_changes"] = list(self.line_changes.items())
        # Lists are shorter, and there may be thousands.
        fields["files"] = [
            (file.number, int(file.hung_up), file.opened_by, file.wake_key) for file in self.files
        ]
        return json.dumps({"version": VERSION, **fields}).encode("ascii")

    @classmethod
    def unpack(cls, data: bytes) -> PortState:
        """The state from its line of JSON. Raises :class:`BadStateError`."""
        try:
            fields: dict[str, Any] = json.loads(data)
            version = fields.pop("version")
            if version != VERSION:
                raise BadStateError(f"a state of version {version!r}; {VERSION} is what we read")
            for name in _BYTES:
                fields[name] = bytes.fromhex(fields[name])
            fields["line_changes"] = {int(line): int(count) for line, count in fields["line_changes"]}
            fields["files"] = tuple(_files(fields["files"]))
            for name in ("serial", "session"):
                first, second, third = map(int, fields[name])
                fields[name] = (first, second, third)
            # Another version of ours may know more.
            return cls(**{field.name: fields[field.name] for field in fields_of(cls)})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadStateError(f"not the state of a port: {error}") from error


def _files(rows: Iterable[tuple[int, int, int, int]]) -> Iterable[FileState]:
    for number, hung_up, opened_by, wake_key in rows:
        yield FileState(number, bool(hung_up), opened_by, wake_key)
