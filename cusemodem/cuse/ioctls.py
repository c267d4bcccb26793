"""The ioctls of a serial port: number, what its argument is, and the size of the memory behind it.

CUSE hands over a bare number and argument. Only this table says whether the argument is a value or an
address, and how many bytes stand there (``asm-generic/ioctls.h``, ``linux/serial.h``). What each ioctl does
is in ``control.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Argument(Enum):
    """What the third argument of ioctl(2) is."""

    NONE = "unused"
    VALUE = "a number"
    IN = "address of memory the port reads"
    OUT = "address of memory the port fills"


@dataclass(frozen=True, slots=True)
class IoctlCall:
    """One ioctl; ``size`` is in bytes, 0 unless ``argument`` is an address."""

    name: str
    number: int
    argument: Argument
    size: int = 0

    @property
    def in_size(self) -> int:
        """Bytes that the port needs to see."""
        return self.size if self.argument is Argument.IN else 0

    @property
    def out_size(self) -> int:
        """Bytes that the port fills."""
        return self.size if self.argument is Argument.OUT else 0


_TABLE = (
    # terminal settings
    IoctlCall("TCGETS", 0x5401, Argument.OUT, 36),
    IoctlCall("TCSETS", 0x5402, Argument.IN, 36),
    IoctlCall("TCSETSW", 0x5403, Argument.IN, 36),
    IoctlCall("TCSETSF", 0x5404, Argument.IN, 36),
    IoctlCall("TCGETA", 0x5405, Argument.OUT, 18),
    IoctlCall("TCSETA", 0x5406, Argument.IN, 18),
    IoctlCall("TCSETAW", 0x5407, Argument.IN, 18),
    IoctlCall("TCSETAF", 0x5408, Argument.IN, 18),
    IoctlCall("TCGETS2", 0x802C542A, Argument.OUT, 44),
    IoctlCall("TCSETS2", 0x402C542B, Argument.IN, 44),
    IoctlCall("TCSETSW2", 0x402C542C, Argument.IN, 44),
    IoctlCall("TCSETSF2", 0x402C542D, Argument.IN, 44),
    IoctlCall("TIOCGLCKTRMIOS", 0x5456, Argument.OUT, 36),
    IoctlCall("TIOCSLCKTRMIOS", 0x5457, Argument.IN, 36),
    # break, flow, queues
    IoctlCall("TCSBRK", 0x5409, Argument.VALUE),
    IoctlCall("TCSBRKP", 0x5425, Argument.VALUE),
    IoctlCall("TIOCSBRK", 0x5427, Argument.NONE),
    IoctlCall("TIOCCBRK", 0x5428, Argument.NONE),
    IoctlCall("TCXONC", 0x540A, Argument.VALUE),
    IoctlCall("TCFLSH", 0x540B, Argument.VALUE),
    IoctlCall("FIONREAD", 0x541B, Argument.OUT, 4),
    IoctlCall("TIOCOUTQ", 0x5411, Argument.OUT, 4),
    IoctlCall("TIOCSERGETLSR", 0x5459, Argument.OUT, 4),
    # exclusive use
    IoctlCall("TIOCEXCL", 0x540C, Argument.NONE),
    IoctlCall("TIOCNXCL", 0x540D, Argument.NONE),
    IoctlCall("TIOCGEXCL", 0x80045440, Argument.OUT, 4),
    # modem lines
    IoctlCall("TIOCMGET", 0x5415, Argument.OUT, 4),
    IoctlCall("TIOCMBIS", 0x5416, Argument.IN, 4),
    IoctlCall("TIOCMBIC", 0x5417, Argument.IN, 4),
    IoctlCall("TIOCMSET", 0x5418, Argument.IN, 4),
    IoctlCall("TIOCMIWAIT", 0x545C, Argument.VALUE),
    IoctlCall("TIOCGICOUNT", 0x545D, Argument.OUT, 80),
    IoctlCall("TIOCGSOFTCAR", 0x5419, Argument.OUT, 4),
    IoctlCall("TIOCSSOFTCAR", 0x541A, Argument.IN, 4),
    # the port itself
    IoctlCall("TIOCGSERIAL", 0x541E, Argument.OUT, 72),
    IoctlCall("TIOCSSERIAL", 0x541F, Argument.IN, 72),
    IoctlCall("TIOCGWINSZ", 0x5413, Argument.OUT, 8),
    IoctlCall("TIOCSWINSZ", 0x5414, Argument.IN, 8),
    IoctlCall("TIOCGETD", 0x5424, Argument.OUT, 4),
    IoctlCall("TIOCSETD", 0x5423, Argument.IN, 4),
    IoctlCall("TIOCVHANGUP", 0x5437, Argument.NONE),
    # controlling terminal: see sessions.py for how far
    IoctlCall("TIOCSCTTY", 0x540E, Argument.VALUE),
    IoctlCall("TIOCNOTTY", 0x5422, Argument.NONE),
    IoctlCall("TIOCGPGRP", 0x540F, Argument.OUT, 4),
    IoctlCall("TIOCSPGRP", 0x5410, Argument.IN, 4),
    IoctlCall("TIOCGSID", 0x5429, Argument.OUT, 4),
    IoctlCall("TIOCSTI", 0x5412, Argument.IN, 1),
)

IOCTLS: dict[int, IoctlCall] = {call.number: call for call in _TABLE}
