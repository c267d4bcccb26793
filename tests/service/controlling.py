"""A session that makes a port its controlling terminal: `setsid -w python -m tests.service.controlling PORT`.

Prints why it may not, or `taken` and whether giving it up brought the terminal's SIGHUP.
"""

import errno
import fcntl
import os
import signal
import sys
import termios
import time

TIMEOUT_S = 5.0


def main(path: str) -> None:
    hung_up: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, _frame: hung_up.append(number))
    file = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        fcntl.ioctl(file, termios.TIOCSCTTY, 0)
    except OSError as error:
        print(errno.errorcode[error.errno or 0])
        return
    fcntl.ioctl(file, termios.TIOCNOTTY)
    deadline = time.monotonic() + TIMEOUT_S
    while not hung_up and time.monotonic() < deadline:
        time.sleep(0.05)
    print("taken,", "hung up" if hung_up else "no SIGHUP")


if __name__ == "__main__":
    main(sys.argv[1])
