"""Steps on bytes: reads, polls, both directions of the line discipline, flow."""

import fcntl
import os
import random
import select
import termios

from tests.kernel.steps import CFLAG, SANE_CC, Steps


class Data(Steps):
    """Reads, polls, line discipline, flow."""

    def reads(self) -> None:
        for blocking, cases in (
            (False, [(0, 0), (0, 1), (1, 0), (1, 1), (5, 0), (5, 1), (255, 0), (255, 1)]),
            (True, [(0, 0), (0, 1), (1, 0), (1, 1), (5, 1), (255, 1)]),
        ):
            os.set_blocking(self.file, blocking)
            for vmin, vtime in cases:
                self.set_up(vmin=vmin, vtime=vtime)
                for n_sent, size in ((0, 9), (1, 9), (4, 2), (4, 9), (5, 9), (9, 5), (9, 3)):
                    if blocking and n_sent < min(vmin, size) and (not vtime or not n_sent):
                        continue  # it would wait for ever
                    if n_sent:
                        self.side.send(b"abcdefghi"[:n_sent])
                    how = "blocking" if blocking else "O_NONBLOCK"
                    name = f"{how} read({size}) of {n_sent}, VMIN {vmin} VTIME {vtime}"
                    self.step(name, lambda size=size: self.read(size))
                    self.step(f"FIONREAD after {name}", lambda: self.integer(termios.FIONREAD))
                    termios.tcflush(self.file, termios.TCIFLUSH)

    def polls(self) -> None:
        for vmin, vtime in ((1, 0), (0, 0), (0, 5), (5, 0), (5, 5)):
            self.set_up(vmin=vmin, vtime=vtime)
            for n_sent in (0, 1, 4, 5):
                if n_sent:
                    self.side.send(b"abcde"[:n_sent])
                self.step(f"poll with {n_sent} bytes, VMIN {vmin} VTIME {vtime}", self.ready)
                termios.tcflush(self.file, termios.TCIFLUSH)
        self.set_up()
        self.step("poll for nothing", lambda: self.ready(0))
        self.step("poll for all", lambda: self.ready(0xFFFF & ~0x2000))
        with self.opened(os.O_WRONLY | os.O_NONBLOCK) as writer:
            self.step(
                "select on O_WRONLY", lambda: [len(x) for x in select.select([writer], [writer], [], 0)]
            )
        self.step("select for exceptions", lambda: [len(x) for x in select.select([], [], [self.file], 0)])
        for name, flags in (
            ("level", select.EPOLLIN),
            ("edge", select.EPOLLIN | select.EPOLLET),
            ("one-shot", select.EPOLLIN | select.EPOLLONESHOT),
            ("edge, both ways", select.EPOLLIN | select.EPOLLOUT | select.EPOLLET),
        ):
            self.step(f"epoll {name}", lambda flags=flags: self._epoll(flags))
        self.step("ppoll with a mask", self._ppoll)
        self.set_up(lflag=termios.ICANON)
        self.side.send(b"half")
        self.step("poll with half a line", self.ready)
        self.step("FIONREAD of half a line", lambda: self.integer(termios.FIONREAD))
        self.side.send(b"line\nand half")
        self.step("poll with a line", self.ready)
        self.step("FIONREAD of a line and a half", lambda: self.integer(termios.FIONREAD))
        self.step("read it", self.read_all)

    def _epoll(self, flags: int) -> list[int]:
        found = []
        with select.epoll() as epoll:
            epoll.register(self.file, flags)
            for act in ("look", "send", "look", "send", "look", "read 1", "look", "read all", "look", "send"):
                if act == "send":
                    self.side.send(b"xy")
                elif act.startswith("read"):
                    self.read(1 if act.endswith("1") else 99)
                found.append(sum(events for _, events in epoll.poll(0)))
                found.append(sum(events for _, events in epoll.poll(0.02)))
        self.read_all()
        return found

    def _ppoll(self) -> object:
        return select.select([self.file], [self.file], [], 0.01)[0]

    def input_discipline(self) -> None:
        """Random settings and random input of mostly special characters."""
        rng = random.Random(5)
        iflags = (
            termios.ISTRIP,
            termios.INLCR,
            termios.IGNCR,
            termios.ICRNL,
            termios.PARMRK,
            0o1000,
            0o40000,
        )
        lflags = (
            *(termios.ECHO, termios.ECHO, termios.ECHOE, termios.ECHOK, termios.ECHONL, termios.ISIG),
            *(termios.NOFLSH, termios.ECHOCTL, termios.ECHOPRT, termios.ECHOKE, termios.IEXTEN),
        )
        oflags = (termios.OPOST, termios.ONLCR, termios.OCRNL, termios.ONOCR, termios.ONLRET, 0o2, 0o14000)
        special = bytes(
            [3, 28, 127, 127, 127, 21, 4, 26, 18, 23, 23, 22, 9, 9, 13, 10, 10, 7, 0, 255, 0xC3, 0xA9]
        )
        for number in range(140):
            iflag = sum({flag for flag in iflags if rng.random() < 0.3})
            lflag = sum({flag for flag in lflags if rng.random() < 0.5})
            oflag = sum({flag for flag in oflags if rng.random() < 0.3})
            lflag |= termios.ICANON if number % 4 else 0
            if number % 8 == 5:
                iflag |= termios.IXON | rng.choice((0, termios.IXANY))
            cc = bytearray(SANE_CC)
            cc[termios.VEOL], cc[termios.VEOL2] = rng.choice((0, ord("e"))), rng.choice((0, ord("|")))
            special_here = special + (b"\x11\x13" if iflag & termios.IXON else b"") + b"e|"
            text = bytes(
                rng.choice(special_here) if rng.random() < 0.4 else rng.choice(b"abcXYZ_ 12")
                for _ in range(rng.randrange(1, 40))
            )
            self.fresh()
            self.set_up(iflag, oflag, lflag, cc=bytes(cc))
            self.step(f"input {number:03}", lambda text=text: self._typed(text))
        self.fresh()
        self.set_up(lflag=termios.ICANON)
        self.step("a line of 5000", lambda: self._typed(b"x" * 2500 + b"y" * 2500 + b"\n")[0][-3:])
        self.step("the end of a line of 5000", lambda: [len(part) for part in self.read_all()])
        for before, after in ((0, termios.ICANON), (termios.ICANON, 0), (termios.ICANON, termios.ICANON)):
            self.fresh()
            self.set_up(lflag=before)
            self.side.send(b"one\ntwo\x04thr")
            self.set_up(lflag=after)
            self.step(f"ICANON {bool(before)} -> {bool(after)}", self.read_all)
        self.fresh()
        self.set_up(lflag=termios.ICANON)
        self.side.send(b"abc\x04\x04def\n")
        self.step("read(3) of abc^D", lambda: [self.read(3), self.read(3), self.read(2), self.read(9)])

    def _typed(self, text: bytes) -> tuple[list[bytes], bytes]:
        self.side.send(text)
        got = self.read_all()
        return got, self.side.heard()

    def output_discipline(self) -> None:
        rng = random.Random(6)
        oflags = (termios.ONLCR, termios.OCRNL, termios.ONOCR, termios.ONLRET, 0o2, 0o14000)
        for number in range(40):
            oflag = termios.OPOST | sum({flag for flag in oflags if rng.random() < 0.4})
            self.fresh()
            self.set_up(oflag=oflag)
            text = bytes(rng.choice(b"ab\t\t\r\r\n\n\b\x07 xyz\xe9\x00") for _ in range(30))
            self.step(f"output {number:02}", lambda text=text: self._written(text))

    def _written(self, text: bytes) -> tuple[int, bytes]:
        os.set_blocking(self.file, True)
        return os.write(self.file, text), self.side.heard()

    def flow(self) -> None:
        file = self.file
        self.step("TCOOFF", lambda: fcntl.ioctl(file, termios.TCXONC, termios.TCOOFF))
        self.step("write while suspended", lambda: (os.write(file, b"held"), self.side.heard()))
        self.step("poll while suspended", self.ready)
        self.step("TCOON", lambda: (fcntl.ioctl(file, termios.TCXONC, termios.TCOON), self.side.heard()))
        self.step("TCIOFF", lambda: (fcntl.ioctl(file, termios.TCXONC, termios.TCIOFF), self.side.heard()))
        self.step("TCION", lambda: (fcntl.ioctl(file, termios.TCXONC, termios.TCION), self.side.heard()))
        self.set_up(termios.IXON)
        self.side.send(b"a\x13b\x11c")
        self.step("XOFF and XON in raw input with IXON", self.read_all)
        self.set_up(termios.IXON, lflag=termios.ICANON)
        self.side.send(b"\x13")
        self.step("write after XOFF", lambda: (os.write(file, b"held"), self.side.heard()))
        self.side.send(b"\x11")
        self.step("what was heard after XON", self.side.heard)
        self.set_up(termios.IXON, lflag=termios.ICANON)
        self.side.send(b"\x13")
        self.set_up()
        self.step("write after XOFF and IXON off", lambda: (os.write(file, b"free"), self.side.heard()))
        self.fresh()
        self.set_up(cflag=CFLAG & ~termios.CREAD)
        self.side.send(b"x")
        self.step("read without CREAD", self.read_all)
        self.fresh()
        self.side.hold(True)
        self.step("write to a modem that is behind", lambda: os.write(file, b"12345"))
        self.step("TIOCOUTQ behind", lambda: self.integer(termios.TIOCOUTQ))
        self.step("tcflush TCOFLUSH", lambda: termios.tcflush(file, termios.TCOFLUSH))
        self.side.hold(False)
        self.step("what was heard after it", self.side.heard)
        self.side.send(b"gone")
        self.step("tcflush TCIFLUSH", lambda: (termios.tcflush(file, termios.TCIFLUSH), self.read_all()))
        self.side.send(b"kept")
        self.step(
            "tcflush TCOFLUSH keeps input", lambda: (termios.tcflush(file, termios.TCOFLUSH), self.read_all())
        )
        self.step("tcdrain with nothing to drain", lambda: termios.tcdrain(file))
        self.step("tcsendbreak", lambda: termios.tcsendbreak(file, 0))
