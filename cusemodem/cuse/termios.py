"""Terminal settings: the three layouts the kernel's callers use, and speeds (``asm-generic/termbits.h``).

The numbers are those of every architecture with the generic ABI (x86, ARM, RISC-V); Alpha, MIPS, PowerPC and
SPARC have others. This file knows what a setting is, not what it does: see ``discipline.py`` and ``waits.py``
for that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from struct import Struct

# struct termios (TCGETS): iflag, oflag, cflag, lflag, line, cc[19]
TERMIOS = Struct("<IIIIB19s")
# struct termios2 (TCGETS2): the same, ispeed, ospeed
TERMIOS2 = Struct("<IIIIB19sII")
# struct termio (TCGETA): 16-bit flags, line, cc[8], padding
TERMIO = Struct("<HHHHB8sx")

VINTR, VQUIT, VERASE, VKILL, VEOF, VTIME, VMIN = range(7)
VSTART, VSTOP, VSUSP, VEOL, VREPRINT = 8, 9, 10, 11, 12
VWERASE, VLNEXT, VEOL2 = 14, 15, 16

# c_iflag
ISTRIP = 0o000040
INLCR = 0o000100
IGNCR = 0o000200
ICRNL = 0o000400
PARMRK = 0o000010
IUCLC = 0o001000
IXON = 0o002000
IXANY = 0o004000
IXOFF = 0o010000
IUTF8 = 0o040000
# c_oflag
OPOST = 0o000001
OLCUC = 0o000002
ONLCR = 0o000004
OCRNL = 0o000010
ONOCR = 0o000020
ONLRET = 0o000040
TABDLY = 0o014000
XTABS = 0o014000
# c_cflag
CBAUD = 0o010017
BOTHER = 0o010000
CS8 = 0o000060
CREAD = 0o000200
HUPCL = 0o002000
CLOCAL = 0o004000
CIBAUD_SHIFT = 16
CIBAUD = CBAUD << CIBAUD_SHIFT
CRTSCTS = 0o20000000000
# c_lflag
ISIG = 0o000001
ICANON = 0o000002
ECHO = 0o000010
ECHOE = 0o000020
ECHOK = 0o000040
ECHONL = 0o000100
NOFLSH = 0o000200
ECHOCTL = 0o001000
ECHOPRT = 0o002000
ECHOKE = 0o004000
IEXTEN = 0o100000

# A control character of this value is switched off.
DISABLED = 0

B0 = 0
B9600 = 0o15

# CBAUD code -> bit/s
SPEEDS: dict[int, int] = {
    **dict(enumerate((0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400))),
    **dict(enumerate((57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000), 0o010001)),
    **dict(enumerate((1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000), 0o010011)),
}
_CODES = {speed: code for code, speed in SPEEDS.items()}


@dataclass(frozen=True, slots=True)
class Termios:
    """One set of terminal settings; speeds in bit/s, 0 means B0."""

    iflag: int
    oflag: int
    cflag: int
    lflag: int
    line: int
    cc: bytes
    ispeed: int
    ospeed: int

    @property
    def canonical(self) -> bool:
        """Input is read line by line."""
        return bool(self.lflag & ICANON)

    @property
    def local(self) -> bool:
        """CLOCAL: the carrier is ignored."""
        return bool(self.cflag & CLOCAL)

    @property
    def hangs_up_on_close(self) -> bool:
        """HUPCL: the last close drops DTR."""
        return bool(self.cflag & HUPCL)

    @property
    def minimum(self) -> int:
        """VMIN: bytes that a non-canonical read waits for, 0..255."""
        return self.cc[VMIN]

    @property
    def timeout_s(self) -> float:
        """VTIME in seconds, 0..25.5."""
        return self.cc[VTIME] / 10

    def with_cflag(self, cflag: int) -> Termios:
        """The same with other control flags; speeds stay."""
        return replace(self, cflag=cflag)

    def with_locked(self, locks: bytes, before: Termios) -> Termios:
        """The same, but for what is locked, which stays as it was ``before``.

        ``locks`` is a ``struct termios``: flags bit by bit, line and characters where not 0.
        """
        *flag_locks, line, cc = TERMIOS.unpack(locks)
        iflag, oflag, cflag, lflag = (
            (old & lock) | (new & ~lock)
            for new, old, lock in zip(
                (self.iflag, self.oflag, self.cflag, self.lflag),
                (before.iflag, before.oflag, before.cflag, before.lflag),
                flag_locks,
                strict=True,
            )
        )
        characters = bytes(
            old if lock else new for new, old, lock in zip(self.cc, before.cc, cc, strict=True)
        )
        kept = before.line if line else self.line
        settings = Termios(iflag, oflag, cflag, lflag, kept, characters, self.ispeed, self.ospeed)
        return settings._with_speeds_agreeing()

    def pack(self) -> bytes:
        """``struct termios``, 36 bytes."""
        return TERMIOS.pack(self.iflag, self.oflag, self.cflag, self.lflag, self.line, self.cc)

    def pack2(self) -> bytes:
        """``struct termios2``, 44 bytes."""
        return TERMIOS2.pack(
            self.iflag, self.oflag, self.cflag, self.lflag, self.line, self.cc, self.ispeed, self.ospeed
        )

    def pack_termio(self) -> bytes:
        """``struct termio``, 18 bytes: the lower halves of the flags."""
        flags = (flag & 0xFFFF for flag in (self.iflag, self.oflag, self.cflag, self.lflag))
        return TERMIO.pack(*flags, self.line, self.cc[:8])

    def changed(self, data: bytes) -> Termios:
        """These settings after a caller set ``data``, told apart by its size (36, 44 or 18 bytes).

        Raises ValueError for another size.
        """
        ispeed, ospeed = self.ispeed, self.ospeed
        if len(data) == TERMIOS.size:
            iflag, oflag, cflag, lflag, line, cc = TERMIOS.unpack(data)
        elif len(data) == TERMIOS2.size:
            iflag, oflag, cflag, lflag, line, cc, ispeed, ospeed = TERMIOS2.unpack(data)
        elif len(data) == TERMIO.size:
            halves = TERMIO.unpack(data)
            kept = (self.iflag, self.oflag, self.cflag, self.lflag)
            iflag, oflag, cflag, lflag = (
                (old & 0xFFFF0000) | half for old, half in zip(kept, halves[:4], strict=True)
            )
            line, cc = halves[4], halves[5] + self.cc[8:]
        else:
            raise ValueError(f"no terminal settings have {len(data)} bytes")
        settings = Termios(iflag, oflag, cflag, lflag, line, cc, ispeed, ospeed)
        return settings._with_speeds_agreeing()

    def _with_speeds_agreeing(self) -> Termios:
        """Speed codes and speeds brought into line, as a serial driver does after a change.

        A code of BOTHER takes the number given beside it, and becomes the standard code where the number has
        one. An input code of B0 means "as the output".
        """
        code, input_code = self.cflag & CBAUD, (self.cflag & CIBAUD) >> CIBAUD_SHIFT
        ospeed = self.ospeed if code == BOTHER else SPEEDS.get(code, 0)
        if input_code == B0 or ospeed == 0:
            ispeed = ospeed
        else:
            ispeed = self.ispeed if input_code == BOTHER else SPEEDS.get(input_code, ospeed)
        cflag = self.cflag & ~(CBAUD | CIBAUD) | _CODES.get(ospeed, BOTHER)
        if input_code != B0 and ospeed:
            cflag |= _CODES.get(ispeed, BOTHER) << CIBAUD_SHIFT
        return replace(self, cflag=cflag, ispeed=ispeed, ospeed=ospeed)


_CONTROL_CHARACTERS = bytes(
    # intr quit erase kill eof time min swtc start stop susp eol reprint discard werase lnext eol2
    [0x03, 0x1C, 0x7F, 0x15, 0x04, 0, 1, 0, 0x11, 0x13, 0x1A, 0, 0x12, 0x0F, 0x17, 0x16, 0, 0, 0]
)

# What a serial port of Linux starts with: 9600 cs8 cread hupcl clocal, canonical, echo.
INITIAL = Termios(
    iflag=ICRNL | IXON,
    oflag=OPOST | ONLCR,
    cflag=B9600 | CS8 | CREAD | HUPCL | CLOCAL,
    lflag=ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    line=0,
    cc=_CONTROL_CHARACTERS,
    ispeed=9600,
    ospeed=9600,
)
