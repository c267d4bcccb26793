"""What the parts of the program share: steps, settings, reads, a record of what came of each."""

import contextlib
import errno
import fcntl
import os
import select
import struct
import termios
from collections.abc import Callable, Iterator

from tests.kernel.host import USER, child, ended
from tests.kernel.sides import Side

TERMIOS = struct.Struct("<IIIIB19s")
TERMIOS2 = struct.Struct("<IIIIB19sII")
TERMIO = struct.Struct("<HHHHB8sx")
TCGETS, TCSETS, TCSETSW, TCSETSF = 0x5401, 0x5402, 0x5403, 0x5404
TCGETA, TCSETA, TCSETAW, TCSETAF = 0x5405, 0x5406, 0x5407, 0x5408
TCGETS2, TCSETS2, TCSETSW2, TCSETSF2 = 0x802C542A, 0x402C542B, 0x402C542C, 0x402C542D
BOTHER = 0o010000
EXTPROC = 0o200000
SANE_CC = bytes([3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0])
CFLAG = termios.CS8 | termios.CREAD | termios.CLOCAL | termios.B9600
SANE_LFLAG = 0o105073 & ~EXTPROC


def finished(pid: int) -> int:
    """Wait status of a child that must end soon, on a machine that may have much else to do."""
    return ended(pid, 20)


class Steps:
    """Runs on one side; `results` has a line for each step."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.results: dict[str, str] = {}
        self.file = -1

    def step(self, name: str, call: Callable[[], object]) -> None:
        """Do something and record what came of it."""
        assert name not in self.results, f"two steps are called {name!r}"
        try:
            result = call()
        except (OSError, termios.error) as error:
            result = errno.errorcode[error.args[0]]
        self.results[name] = result if isinstance(result, str) else repr(result)

    @contextlib.contextmanager
    def opened(self, flags: int) -> Iterator[int]:
        file = os.open(self.side.path, flags | os.O_NOCTTY)
        try:
            yield file
        finally:
            with contextlib.suppress(OSError):
                os.close(file)

    def set_up(
        self,
        iflag: int = 0,
        oflag: int = 0,
        lflag: int = 0,
        *,
        cflag: int = CFLAG,
        cc: bytes = SANE_CC,
        vmin: int = 1,
        vtime: int = 0,
    ) -> None:
        characters = bytearray(cc)
        if not lflag & termios.ICANON:
            characters[termios.VMIN], characters[termios.VTIME] = vmin, vtime
        fcntl.ioctl(self.file, TCSETS, TERMIOS.pack(iflag, oflag, cflag, lflag, 0, bytes(characters)))

    def fresh(self) -> None:
        """Raw settings, non-blocking, nothing on its way."""
        self.set_up()
        os.set_blocking(self.file, False)
        termios.tcflush(self.file, termios.TCIOFLUSH)
        self.side.heard()

    def read(self, size: int = 4096) -> bytes:
        return os.read(self.file, size)

    def read_all(self) -> list[bytes]:
        """Reads until there is nothing more; an end of file is b""."""
        got: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            while len(got) < 50:
                got.append(self.read())
        return got

    def get(self, number: int, size: int = 4) -> bytes:
        return fcntl.ioctl(self.file, number, bytes(size))

    def integer(self, number: int) -> int:
        return int(struct.unpack("i", self.get(number))[0])

    def put_integer(self, number: int, value: int) -> bytes:
        return fcntl.ioctl(self.file, number, struct.pack("i", value))

    def ready(self, wanted: int = select.POLLIN | select.POLLOUT | select.POLLPRI) -> str:
        """Poll without waiting: the events by name."""
        poller = select.poll()
        poller.register(self.file, wanted)
        found = dict(poller.poll(0)).get(self.file, 0)
        names = ("IN", "PRI", "OUT", "ERR", "HUP", "NVAL", "RDNORM", "WRNORM")
        return "|".join(name for name in names if found & getattr(select, f"POLL{name}")) or "0"

    def as_user(self, call: Callable[[], object]) -> str:
        """A call by somebody without rights, in a child: its errno."""

        def attempt() -> int:
            try:
                call()
            except OSError as error:
                return error.errno or 99
            return 0

        status = os.waitstatus_to_exitcode(finished(child(attempt, uid=USER)))
        return errno.errorcode.get(status, str(status))
