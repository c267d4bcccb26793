"""Steps on ioctls: settings of every layout and speed, and all the others."""

import fcntl
import os
import struct
import termios

from tests.kernel.steps import (
    BOTHER,
    CFLAG,
    SANE_CC,
    TCGETA,
    TCGETS,
    TCGETS2,
    TCSETA,
    TCSETAF,
    TCSETAW,
    TCSETS,
    TCSETS2,
    TCSETSF,
    TCSETSF2,
    TCSETSW,
    TCSETSW2,
    TERMIO,
    TERMIOS,
    TERMIOS2,
    Steps,
)


class Ioctls(Steps):
    """Settings and all other ioctls."""

    def settings(self) -> None:
        file = self.file
        raw = TERMIOS.pack(0, 0, CFLAG, 0, 0, SANE_CC)
        for name, number in (("TCSETS", TCSETS), ("TCSETSW", TCSETSW), ("TCSETSF", TCSETSF)):
            self.step(
                f"{name} and TCGETS",
                lambda number=number: fcntl.ioctl(file, number, raw) == raw and self.get(TCGETS, 36) == raw,
            )
        for name, number in (("TCSETS2", TCSETS2), ("TCSETSW2", TCSETSW2), ("TCSETSF2", TCSETSF2)):
            for speed in (12345, 9600, 134, 4_000_000, 7):
                wanted = TERMIOS2.pack(0, 0, CFLAG & ~0o17 | BOTHER, 0, 0, SANE_CC, speed, speed)
                self.step(f"{name} at {speed}", lambda n=number, w=wanted: self._set_and_see2(n, w))
        split = TERMIOS2.pack(0, 0, CFLAG & ~0o17 | BOTHER | BOTHER << 16, 0, 0, SANE_CC, 1200, 75)
        self.step("TCSETS2 at 1200/75", lambda: self._set_and_see2(TCSETS2, split))
        for code in (*range(16), *range(0o10001, 0o10020)):
            wanted = TERMIOS.pack(0, 0, CFLAG & ~0o17 | code, 0, 0, SANE_CC)
            self.step(
                f"TCSETS with speed code {code:#o}",
                lambda w=wanted: (fcntl.ioctl(file, TCSETS, w), TERMIOS2.unpack(self.get(TCGETS2, 44))[2:8])[
                    1
                ],
            )
        halves = TERMIO.pack(termios.ICRNL, termios.OPOST, CFLAG & 0xFFFF, termios.ECHO, 0, SANE_CC[:8])
        for name, number in (("TCSETA", TCSETA), ("TCSETAW", TCSETAW), ("TCSETAF", TCSETAF)):
            self.step(
                f"{name} and TCGETA",
                lambda number=number: (
                    fcntl.ioctl(file, number, halves) and None,
                    self.get(TCGETA, 18),
                    self.get(TCGETS, 36),
                ),
            )
        everything = TERMIOS.pack(0xFFFFFFFF & ~termios.IXON, 0xFFFFFFFF, CFLAG, 0, 0, bytes(range(19)))
        self.step("all flags of iflag and oflag", lambda: self._set_and_see(everything))
        cs7 = TERMIOS.pack(0, 0, CFLAG & ~termios.CSIZE | termios.CS7 | termios.PARENB, 0, 0, SANE_CC)
        self.step("seven bits and parity", lambda: self._set_and_see(cs7))
        stop = TERMIOS.pack(0, 0, CFLAG | termios.CSTOPB | termios.HUPCL | termios.CRTSCTS, 0, 0, SANE_CC)
        self.step("two stop bits, HUPCL and CRTSCTS", lambda: self._set_and_see(stop))
        self.step(
            "another line discipline's number",
            lambda: self._set_and_see(TERMIOS.pack(0, 0, CFLAG, 0, 5, SANE_CC)),
        )
        for name, number in (("TCGETS", TCGETS), ("TCSETS", TCSETS), ("TCSETSW2", TCSETSW2)):
            self.step(f"{name} at a bad address", lambda number=number: fcntl.ioctl(file, number, 16))
        self.step("tcgetattr, tcsetattr", self._round_trip)
        self.step("TCSETSF drops input", self._drops_input)
        self.step("TCSETSW keeps input", self._keeps_input)

    def _set_and_see(self, wanted: bytes) -> tuple[object, ...]:
        fcntl.ioctl(self.file, TCSETS, wanted)
        return TERMIOS.unpack(self.get(TCGETS, 36))

    def _set_and_see2(self, number: int, wanted: bytes) -> tuple[object, ...]:
        fcntl.ioctl(self.file, number, wanted)
        return TERMIOS2.unpack(self.get(TCGETS2, 44))[2:]

    def _round_trip(self) -> bool:
        before = termios.tcgetattr(self.file)
        for when in (termios.TCSANOW, termios.TCSADRAIN, termios.TCSAFLUSH):
            termios.tcsetattr(self.file, when, before)
        return termios.tcgetattr(self.file) == before

    def _drops_input(self) -> object:
        self.set_up()
        self.side.send(b"lost")
        fcntl.ioctl(self.file, TCSETSF, self.get(TCGETS, 36))
        return self.read_all()

    def _keeps_input(self) -> object:
        self.side.send(b"kept")
        fcntl.ioctl(self.file, TCSETSW, self.get(TCGETS, 36))
        return self.read_all()

    def other_ioctls(self) -> None:
        file = self.file
        out = {
            "TIOCGWINSZ": (termios.TIOCGWINSZ, 8),
            "TIOCGETD": (termios.TIOCGETD, 4),
            "TIOCGEXCL": (0x80045440, 4),
            "TIOCMGET": (termios.TIOCMGET, 4),
            "TIOCGICOUNT": (0x545D, 80),
            "TIOCGSOFTCAR": (0x5419, 4),
            "TIOCGSERIAL": (0x541E, 72),
            "TIOCSERGETLSR": (0x5459, 4),
            "TIOCGLCKTRMIOS": (0x5456, 36),
            "TIOCGPGRP": (termios.TIOCGPGRP, 4),
            "TIOCGSID": (0x5429, 4),
            "TIOCGRS485": (0x542E, 32),
            "TIOCGPTN": (0x80045430, 4),
            "TIOCGPKT": (0x80045438, 4),
            "TIOCGPTLCK": (0x80045439, 4),
            "TIOCGDEV": (0x80045432, 4),
            "TCGETX": (0x5432, 16),
            "FIONREAD": (termios.FIONREAD, 4),
            "TIOCOUTQ": (termios.TIOCOUTQ, 4),
            "FIOQSIZE": (0x5460, 8),
            "FIGETBSZ": (2, 4),
            "an unknown number": (0x54FE, 4),
            "an unknown number with a size": (0x80045CFE, 4),
        }
        for name, (number, size) in out.items():
            self.step(f"ioctl {name}", lambda n=number, s=size: self.get(n, s))
        window = struct.pack("4H", 24, 80, 0, 0)
        self.step("TIOCSWINSZ", lambda: fcntl.ioctl(file, termios.TIOCSWINSZ, window) and None)
        self.step("TIOCGWINSZ after it", lambda: self.get(termios.TIOCGWINSZ, 8))
        for name, number, value in (
            ("TIOCSETD 0", termios.TIOCSETD, 0),
            ("TIOCSETD 29", termios.TIOCSETD, 29),
            ("TIOCSETD -1", termios.TIOCSETD, -1),
            ("TIOCSPGRP", termios.TIOCSPGRP, os.getpgrp()),
            ("TIOCMBIS DTR", termios.TIOCMBIS, 2),
            ("TIOCMBIC RTS", termios.TIOCMBIC, 4),
            ("TIOCMSET DTR|RTS", termios.TIOCMSET, 6),
            ("TIOCSSOFTCAR 0", 0x541A, 0),
            ("CLOCAL after it", 0, 0),
            ("TIOCSSOFTCAR 1", 0x541A, 1),
            ("CLOCAL after that", 0, 0),
            ("TIOCPKT", termios.TIOCPKT, 0),
            ("FIONBIO 0", termios.FIONBIO, 0),
            ("FIONBIO 1", termios.FIONBIO, 1),
            ("FIOASYNC 0", termios.FIOASYNC, 0),
        ):
            if not number:
                self.step(name, lambda: bool(termios.tcgetattr(file)[2] & termios.CLOCAL))
            else:
                self.step(name, lambda n=number, v=value: self.put_integer(n, v) and None)
        for name, number, value in (
            ("TIOCNOTTY", termios.TIOCNOTTY, 0),
            ("TCFLSH 0", termios.TCFLSH, 0),
            ("TCFLSH 1", termios.TCFLSH, 1),
            ("TCFLSH 2", termios.TCFLSH, 2),
            ("TCFLSH 3", termios.TCFLSH, 3),
            ("TCXONC 4", termios.TCXONC, 4),
            ("TCSBRK 1", termios.TCSBRK, 1),
            ("TCSBRK 0", termios.TCSBRK, 0),
            ("TCSBRKP 1", termios.TCSBRKP, 1),
            ("TIOCSBRK", 0x5427, 0),
            ("TIOCCBRK", 0x5428, 0),
            ("FIOCLEX", termios.FIOCLEX, 0),
            ("FIONCLEX", termios.FIONCLEX, 0),
        ):
            self.step(name, lambda n=number, v=value: fcntl.ioctl(file, n, v))
        self.step("TIOCSTI", lambda: (fcntl.ioctl(file, termios.TIOCSTI, b"t") and None, self.read_all()))
        self.step(
            "TIOCSTI by a user",
            lambda: self.as_user(lambda: fcntl.ioctl(file, termios.TIOCSTI, b"t") and None),
        )
        self.step("TIOCVHANGUP by a user", lambda: self.as_user(lambda: fcntl.ioctl(file, 0x5437, 0)))
        self.step(
            "TIOCSLCKTRMIOS by a user",
            lambda: self.as_user(lambda: fcntl.ioctl(file, 0x5457, bytes(36)) and None),
        )
        self.step("locked settings", self._locked)

    def _locked(self) -> object:
        locks = TERMIOS.pack(0, termios.OPOST, 0, termios.ECHO, 0, bytes([1, 0, 1]) + bytes(16))
        fcntl.ioctl(self.file, 0x5457, locks)
        wanted = TERMIOS.pack(0, termios.OPOST | termios.ONLCR, CFLAG, 0xA, 0, bytes(range(60, 79)))
        try:
            return self._set_and_see(wanted)
        finally:
            fcntl.ioctl(self.file, 0x5457, bytes(36))
