"""Programs of people and scripts, unmodified: stty, picocom, minicom, Python's termios, pyserial's tests."""

import os
import re
import subprocess
import sys
import termios
import time
import tty
from pathlib import Path

from tests.bed.guest import REPOSITORY
from tests.kernel.host import read_exactly, run
from tests.kernel.programs import OnTerminal, modem

PYSERIAL_TESTS = REPOSITORY / ".cache" / "pyserial" / "pyserial-3.5" / "test"
# Those that want no other thing than a port with the loop plug; the others test URLs, sockets and helpers.
PYSERIAL_RUN = (
    *("test.py", "test_advanced.py", "test_cancel.py", "test_context.py", "test_exclusive.py"),
    *("test_high_load.py", "test_iolib.py", "test_readline.py", "test_settings_dict.py"),
    *("test_threaded.py", "test_timeout_class.py"),
)
# Both want a write to be slow, which on a modem that is software it is not: the one fills the buffer after
# XOFF (and raw input keeps XOFF here), the other sends 1 kB at 300 bit/s.
PYSERIAL_INAPPLICABLE = {
    "test_WriteTimeout (__main__.Test_MoreTimeouts.test_WriteTimeout)",
    "test_cancel_once (__main__.TestCancelWrite.test_cancel_once)",
}


def stty_shows_and_sets_everything() -> None:
    """Every setting that stty knows by name, set and read back; then all at once by -g."""
    master, slave = os.openpty()
    with modem() as at:
        path = at.path
        run("stty", "-F", path, "sane")
        run("stty", "-F", os.ttyname(slave), "sane")

        def shown(path: str) -> list[str]:
            # A pty starts with another speed, and without clocal and hupcl.
            text = run("stty", "-F", path, "-a")
            return [word for word in re.split(r"[\s;]+", text) if word not in ("9600", "38400")]

        ours, theirs = shown(path), shown(os.ttyname(slave))
        differing = {word.lstrip("-") for word in set(ours) ^ set(theirs)}
        assert differing <= {"clocal", "hupcl"}, differing
        # crtscts and cstopb mean nothing to a modem that is software; they are kept all the same.
        for setting in (
            *("raw", "-echo", "crtscts", "cstopb", "parenb", "parodd", "cs7", "ixoff", "ixany", "inlcr"),
            *("igncr", "noflsh", "tostop", "echoprt", "xcase", "olcuc", "tab3", "-hupcl", "ignbrk", "parmrk"),
        ):
            run("stty", "-F", path, setting)
        for speed in (
            "300",
            "1200",
            "9600",
            "19200",
            "38400",
            "57600",
            "115200",
            "230400",
            "460800",
            "921600",
        ):
            run("stty", "-F", path, speed)
            assert run("stty", "-F", path, "speed").strip() == speed
        run("stty", "-F", path, "min", "127", "time", "1", "erase", "^H", "rows", "24", "cols", "80")
        saved = run("stty", "-F", path, "-g").strip()
        everything = run("stty", "-F", path, "-a")
        for word in ("cs7", "parodd", "crtscts", "cstopb", "min = 127", "time = 1", "erase = ^H", "rows 24"):
            assert word in everything, everything
        run("stty", "-F", path, "sane", "cs8", "-parenb", "-cstopb", "-crtscts")
        run("stty", "-F", path, saved)
        assert run("stty", "-F", path, "-g").strip() == saved
        run("stty", "-F", path, "sane", "9600", "cs8", "hupcl", "clocal", "-crtscts")
    os.close(master)
    os.close(slave)


def python_termios_module() -> None:
    """Each function of termios and tty."""
    with modem() as at:
        file = os.open(at.path, os.O_RDWR | os.O_NOCTTY)
        before = termios.tcgetattr(file)
        tty.setraw(file)
        assert not termios.tcgetattr(file)[3] & termios.ICANON
        tty.setcbreak(file)
        tty.setraw(file, termios.TCSADRAIN)
        raw = termios.tcgetattr(file)
        for speed in (termios.B1200, termios.B115200, termios.B9600):
            raw[4] = raw[5] = speed
            termios.tcsetattr(file, termios.TCSANOW, raw)
            assert termios.tcgetattr(file)[4:6] == [speed, speed]
        os.write(file, b"ATE0\r")
        assert read_exactly(file, 11) == b"ATE0\r\r\nOK\r\n"
        termios.tcdrain(file)
        for action in (termios.TCOOFF, termios.TCOON, termios.TCIOFF, termios.TCION):
            termios.tcflow(file, action)
        termios.tcflush(file, termios.TCIOFLUSH)
        termios.tcsendbreak(file, 0)
        termios.tcsetwinsize(file, (24, 80))
        assert termios.tcgetwinsize(file) == (24, 80)
        os.write(file, b"ATI\r")
        assert os.read(file, 100)
        termios.tcsetattr(file, termios.TCSAFLUSH, before)
        assert termios.tcgetattr(file) == before
        os.close(file)
        assert not at.status()["dtr"]


def pyserials_own_tests() -> None:
    """Its test-suite, for the tests that ask for a port with a loop plug."""
    assert PYSERIAL_TESTS.is_dir(), "pyserial's sources were not fetched"
    failed = set()
    with modem("loop") as at:
        for name in PYSERIAL_RUN:
            done = subprocess.run(
                [sys.executable, "-W", "ignore", PYSERIAL_TESTS / name, at.path],
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            print(name, done.stderr.rstrip().rpartition("\n")[2], file=sys.stderr)
            assert re.search(r"Ran [1-9]", done.stderr), done.stderr
            failed |= set(re.findall(r"(?m)^(?:FAIL|ERROR): (\w+ \(\S+\))", done.stderr))
    assert failed == PYSERIAL_INAPPLICABLE, failed ^ PYSERIAL_INAPPLICABLE


def picocom_talks_and_hangs_up() -> None:
    with modem() as at:
        program = OnTerminal("picocom", "-b", "115200", "-f", "h", at.path)
        program.wait_seen(b"Terminal ready")
        program.type(b"ATI3\r")
        program.wait_seen(b"OK")
        assert termios_speed(at.path) == termios.B115200
        program.type(b"\x01\x14")  # C-a C-t: toggle DTR
        program.wait_seen(b"DTR: down")
        assert not at.status()["dtr"]
        program.type(b"\x01\x14")
        program.wait_seen(b"DTR: up")
        program.type(b"\x01\x07")  # C-a C-g: RTS
        program.wait_seen(b"RTS: down")
        program.type(b"\x01\x07")
        program.type(b"\x01\x1c")  # C-a C-\\: break
        program.wait_seen(b"break sent")
        program.type(b"\x01\x02")  # C-a C-b: any speed
        program.wait_seen(b"baud:")
        program.type(b"12345\r")
        program.wait_seen(b"12345")
        program.type(b"AT\r")
        program.wait_seen(b"OK")
        program.type(b"\x01\x18")  # C-a C-x: exit
        program.wait_seen(b"Thanks for using picocom")
        assert program.wait_ended() == 0
        at.wait_for("the hang-up", lambda: not at.status()["dtr"], 20)


def termios_speed(path: str) -> int:
    file = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        return int(termios.tcgetattr(file)[5])
    finally:
        os.close(file)


def minicom_initialises_dials_and_leaves() -> None:
    with modem() as at:
        Path("/etc/minicom").mkdir(exist_ok=True)
        Path(f"/etc/minicom/minirc.{at.name}").write_text(
            f"pu port {at.path}\npu baudrate 38400\npu bits 8\npu parity N\npu stopbits 1\npu rtscts No\n"
            "pu minit ~^M~AT S7=45 S0=0 L1 V1 X4 &c1 E1 Q0^M\n"
        )
        program = OnTerminal("minicom", at.name)
        program.wait_seen(b"Welcome to minicom")
        at.wait_heard("AT S7=45 S0=0 L1 V1 X4 &c1 E1 Q0\r")
        at.wait_for("OK", lambda: "OK" in at.text("said"))
        time.sleep(0.5)
        program.type(b"ATI3\r")
        at.wait_heard("ATI3\r")
        program.wait_seen(b"ATI3")
        program.wait_seen(b"OK")
        program.type(b"\x01f")  # C-a f: send a break
        time.sleep(1)
        program.type(b"AT\r")
        program.wait_seen(b"OK")
        program.type(b"\x01h")  # C-a h: hang up, by DTR
        program.wait_seen(b"Hang-up line?")
        program.type(b"\r")
        at.wait_for("DTR dropped", lambda: "DtrDropped" in at.status()["events"], 30)
        at.wait_for("DTR raised", lambda: at.status()["dtr"], 30)
        time.sleep(1)
        program.type(b"\x01x")  # C-a x: leave
        program.wait_seen(b"Leave Minicom?")
        program.type(b"\r")
        assert program.wait_ended() == 0
