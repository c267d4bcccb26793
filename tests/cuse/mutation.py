"""Mutated requests against the codec and the port: `python -m tests.cuse.mutation [N [SEED]]`, a million of
them without arguments.

Requests of every kind, their ioctls at every size, with bytes changed, cut and added, in any order, under a
clock that goes on; meanwhile the modem reads, writes, rings, connects and loses its carrier. None may raise,
none may be answered twice, and a reply is one that the kernel would take. Afterwards the port works.
"""

import os
import random
import struct
import sys
import time

from tests.cuse.channel_host import IOCTL, OPEN, WRITE, Kernel
from tests.cuse.host import NUMBERS, raw
from tests.cuse.test_messages import CASES, request

N_MUTATIONS = 1_000_000


def _seeds(rng: random.Random) -> tuple[list[bytes], list[bytes]]:
    """Whole requests to begin from: one of each kind, and each ioctl with memory of several sizes."""
    ioctls = []
    for number in NUMBERS.values():
        for in_size in (0, 1, 4, 8, 18, 36, 44, 72):
            body = struct.pack("<QIIQII", 1, 2, number, 1, in_size, 80 - in_size) + rng.randbytes(in_size)
            ioctls.append(request(IOCTL, body))
    return [case[0] for case in CASES[1:]], ioctls


def _mutated(message: bytearray, files: list[int], step: int, rng: random.Random) -> bytearray:
    struct.pack_into("<Q", message, 8, rng.choice([step + 1000, rng.randrange(1, 60)]))
    if rng.random() < 0.8 and len(message) >= 48:
        struct.pack_into("<Q", message, 40, rng.choice(files))
    for _ in range(rng.randrange(3)):
        message[rng.randrange(len(message))] = rng.randrange(256)
    if rng.random() < 0.3:
        message = message[: rng.randrange(len(message) + 1)] + rng.randbytes(rng.randrange(8))
        message = message.ljust(4, b"\0")
        struct.pack_into("<I", message, 0, len(message))
    return message


def mutate(n_requests: int, seed: int) -> dict[str, int]:
    """Send so many; what became of them."""
    rng = random.Random(seed)
    kernel = Kernel()
    files = [kernel.open() for _ in range(3)]
    calls, ioctls = _seeds(rng)
    n_replies = 0
    for step in range(n_requests):
        message = bytearray(rng.choice(calls if rng.random() < 0.6 else ioctls))
        kernel.channel.receive(_mutated(message, files, step, rng), kernel.now)
        for reply in kernel.channel.replies():
            length, error, _ = struct.unpack_from("<IiQ", reply)
            assert length == len(reply)
            assert -512 < error <= 1
            n_replies += 1
        if rng.random() < 0.2:
            kernel.port.put_input(rng.randbytes(rng.randrange(300)))
            kernel.port.take_output(rng.randrange(300))
            kernel.port.events()
            kernel.port.set_lines(dcd=rng.random() < 0.99, ri=rng.random() < 0.5)
            kernel.now += rng.random() / 10
            kernel.channel.service(kernel.now)
            kernel.channel.replies()
        if step % 100 == 0:
            files = sorted(kernel.channel.terminal._files)[-5:] or [1]
            _close_most(kernel)
    statistics = kernel.port.statistics()
    _works_afterwards(kernel)
    return {
        "requests": n_requests,
        "replies": n_replies,
        "refused as bad": statistics.n_bad_requests,
        "unknown ioctls": sum(statistics.unknown_ioctls.values()),
        "hang-ups": statistics.n_hang_ups,
        "bytes to the modem": statistics.bytes_to_modem,
        "bytes to the host": statistics.bytes_to_host,
    }


def _close_most(kernel: Kernel) -> None:
    """Open files and waiting calls do not pile up for ever on a real system either."""
    terminal = kernel.channel.terminal
    for file in sorted(terminal._files)[:-5]:
        terminal.release(file, kernel.now)
    for unique in list(kernel.channel._calls)[:-20]:
        terminal.interrupt(unique, kernel.now)
    kernel.channel.service(kernel.now)
    kernel.channel.replies()


def _works_afterwards(kernel: Kernel) -> None:
    terminal = kernel.channel.terminal
    for file in list(terminal._files):
        terminal.release(file, kernel.now)
    kernel.port.take_output(10**6)
    kernel.port.set_lines(dcd=False)
    kernel.channel.service(kernel.now)
    kernel.channel.replies()
    assert kernel.port.open_count == 0
    for unique in list(kernel.channel._calls):
        terminal.interrupt(unique, kernel.now)
    kernel.channel.service(kernel.now + 100)
    kernel.channel.replies()
    terminal.change_settings(raw())
    opening = request(OPEN, struct.pack("<II", os.O_NONBLOCK, 0), unique=2)
    kernel.channel.receive(opening, kernel.now)
    (reply,) = kernel.channel.replies()
    (handle,) = struct.unpack_from("<Q", reply, 16)
    writing = struct.pack("<QQIIQII", handle, 0, 2, 0, 0, os.O_RDWR, 0) + b"AT"
    kernel.channel.receive(request(WRITE, writing, unique=4), kernel.now)
    assert kernel.port.take_output(9) == b"AT"


def main() -> None:
    n_requests = int(sys.argv[1]) if len(sys.argv) > 1 else N_MUTATIONS
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    start = time.monotonic()
    figures = mutate(n_requests, seed)
    for what, number in figures.items():
        print(f"{number:12,}  {what}")
    print(f"{time.monotonic() - start:12.0f}  seconds; no exception")


if __name__ == "__main__":
    main()
