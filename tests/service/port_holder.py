"""A program that keeps a port open: `python -m tests.service.port_holder DEVICE`.

Each line of its standard input asks whether the modem behind the open file still works; the answer is
`works`, or why it does not.
"""

import sys
import traceback

from tests.service.survival import Program


def main(path: str) -> None:
    program = Program(path)
    print("opened", flush=True)
    for _ in sys.stdin:
        try:
            program.check()
        except (OSError, AssertionError):
            print(traceback.format_exc().replace("\n", " | "), flush=True)
        else:
            print("works", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
