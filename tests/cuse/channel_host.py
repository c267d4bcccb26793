"""The kernel's end of a channel, for tests: requests by plain calls, under a virtual clock."""

import os
import select
import struct

from cusemodem.cuse.port import Port
from cusemodem.cuse.requests import Channel
from cusemodem.cuse.sessions import Process
from tests.cuse.test_messages import request

OPEN, READ, WRITE, RELEASE, INTERRUPT, IOCTL, POLL = 14, 15, 16, 18, 36, 39, 40


class NoProcesses:
    """Every process leads a session, and none is signalled, which requests made at random could else do."""

    def find(self, pid: int) -> Process | None:
        """See :class:`cusemodem.cuse.sessions.Processes`."""
        return Process(session=pid, group=pid, has_terminal=False, started=1) if pid else None

    def signal(self, group: int, number: int) -> None:
        """See :class:`cusemodem.cuse.sessions.Processes`."""


class Kernel:
    """The kernel's end of a channel."""

    def __init__(self) -> None:
        self.port = Port()
        # No request may signal a process of this machine.
        self.channel = Channel(self.port, processes=NoProcesses())
        self.now = 0.0
        self._unique = 0
        self._replies: dict[int, tuple[int, bytes]] = {}
        self.wakeups: list[int] = []

    def ask(self, opcode: int, body: bytes, *, uid: int = 0) -> int:
        self._unique += 2
        self.channel.receive(request(opcode, body, unique=self._unique, uid=uid), self.now)
        return self._unique

    def collect(self) -> None:
        for reply in self.channel.replies():
            length, error, unique = struct.unpack_from("<IiQ", reply)
            assert length == len(reply)
            assert -512 < error <= 1
            if unique == 0:
                assert error == 1
                self.wakeups.append(struct.unpack_from("<Q", reply, 16)[0])
                continue
            assert unique not in self._replies, "answered twice"
            self._replies[unique] = (-error, reply[16:])

    def answer(self, unique: int) -> tuple[int, bytes] | None:
        """errno and body of the reply, if there is one."""
        self.collect()
        return self._replies.pop(unique, None)

    def open(self, flags: int = os.O_RDWR) -> int:
        answer = self.answer(self.ask(OPEN, struct.pack("<II", flags, 0)))
        assert answer is not None
        assert answer[0] == 0
        return int(struct.unpack("<QII", answer[1])[0])

    def read(self, handle: int, size: int = 100, offset: int = 0, flags: int = os.O_RDWR) -> int:
        return self.ask(READ, struct.pack("<QQIIQII", handle, offset, size, 0, 0, flags, 0))

    def write(self, handle: int, data: bytes, flags: int = os.O_RDWR) -> int:
        return self.ask(WRITE, struct.pack("<QQIIQII", handle, 0, len(data), 0, 0, flags, 0) + data)

    def ioctl(
        self,
        handle: int,
        number: int,
        argument: int = 0x1000,
        data: bytes = b"",
        *,
        out: int = 0,
        flags: int = 2,
    ) -> int:
        fields = struct.pack("<QIIQII", handle, flags, number, argument, len(data), out)
        return self.ask(IOCTL, fields + data)

    def poll(self, handle: int, key: int, events: int = select.POLLIN, flags: int = 1) -> int:
        return self.ask(POLL, struct.pack("<QQII", handle, key, flags, events))

    def service(self) -> None:
        self.channel.service(self.now)
        self.collect()
