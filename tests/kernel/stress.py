"""Stress of the port, in a guest: `python -m tests.kernel.stress [--opens N] [--kills N]`; without options
the whole of it: 100,000 opens and closes by eight processes, 1,000 readers killed in the middle of a read.

After each part: nobody stuck in state D, no open file, no lost poll wake-up, and the serving process has as
many descriptors and as much memory as before.
"""

import argparse
import json
import os
import random
import select
import signal
import termios
import time
from collections.abc import Callable
from pathlib import Path

from tests.kernel.host import PATH, Modem, child, ended, opened, state, until

N_PROCESSES = 8
# The allocator of the serving process settles during the first calls.
GROWTH_KIB = 1024


def resident_kib(pid: int) -> int:
    """Memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} has ended")


def stuck() -> list[str]:
    """Processes in state D, if they still are after a second."""

    def uninterruptible() -> set[int]:
        found = set()
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and state(int(entry.name)) == "D":
                    found.add(int(entry.name))
            except OSError:
                continue
        return found

    first = uninterruptible()
    if not first:
        return []
    time.sleep(1)
    return [Path(f"/proc/{pid}/cmdline").read_text() for pid in first & uninterruptible()]


class Server:
    """The serving process before and after."""

    def __init__(self, modem: Modem) -> None:
        self._modem = modem
        self._descriptors = modem.status()["descriptors"]
        self._kib = resident_kib(modem.process.pid)

    def unharmed(self) -> dict[str, int]:
        """Check it; figures."""
        until(lambda: self._modem.status()["open_count"] == 0, 10)
        status = self._modem.status()
        assert not stuck()
        assert status["descriptors"] == self._descriptors, "descriptors leak"
        grown = resident_kib(self._modem.process.pid) - self._kib
        assert grown < GROWTH_KIB, f"memory grew by {grown} KiB"
        with opened(os.O_RDWR | os.O_NONBLOCK) as file:
            os.write(file, b"AT\r")
            assert select.select([file], [], [], 5)[0]
            assert b"OK" in os.read(file, 99)
        return {"memory_growth_kib": grown}


def opens_and_closes(modem: Modem, n_opens: int) -> dict[str, object]:
    """`n_opens` in all, by eight processes at once; some write, some ask, some poll."""
    with opened():
        pass
    for _ in range(200):
        os.close(os.open(PATH, os.O_RDWR | os.O_NONBLOCK))
    server = Server(modem)
    start = time.monotonic()

    def busy(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(n_opens // N_PROCESSES):
            file = os.open(PATH, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY)
            match rng.randrange(8):
                case 0:
                    termios.tcgetattr(file)
                case 1:
                    select.select([file], [file], [], 0)
                case 2:
                    os.close(os.dup(file))
            os.close(file)

    workers = [child(lambda seed=seed: busy(seed)) for seed in range(N_PROCESSES)]  # type: ignore[misc]
    assert [ended(worker, 3600) for worker in workers] == [0] * N_PROCESSES
    seconds = time.monotonic() - start
    return {"opens": n_opens, "seconds": round(seconds, 1), **server.unharmed()}


def killed_readers(modem: Modem, n_kills: int) -> dict[str, object]:
    """SIGKILL at any moment of a program that opens, polls and reads; meanwhile a sleeper in poll, which must
    see each byte that comes.
    """
    rng = random.Random(4)

    def reader(file: int) -> None:
        while True:
            select.select([file], [], [], 0.001)
            os.read(file, 10)

    def killed(file: int) -> None:
        pid = child(lambda: reader(file))
        # Half of them as soon as they are there, half of them asleep in read.
        if rng.random() < 0.5:
            until(lambda: state(pid) == "S", 5)
        time.sleep(rng.uniform(0, 0.004))
        os.kill(pid, signal.SIGKILL)
        assert os.WTERMSIG(ended(pid, 5)) == signal.SIGKILL

    with opened() as file:
        for _ in range(20):
            killed(file)
    server = Server(modem)
    start, n_woken = time.monotonic(), 0
    with opened() as file:
        poller = select.poll()
        poller.register(file, select.POLLIN)
        for number in range(n_kills):
            killed(file)
            if number % 10 == 9:
                modem.send(b"x")
                assert poller.poll(5000), f"a wake-up was lost after {number + 1} kills"
                assert os.read(file, 10) == b"x"
                n_woken += 1
    seconds = time.monotonic() - start
    return {"kills": n_kills, "woken": n_woken, "seconds": round(seconds, 1), **server.unharmed()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Stress of the port, in a guest.")
    parser.add_argument("--opens", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=1_000)
    options = parser.parse_args()
    modem = Modem()
    parts: tuple[tuple[Callable[[Modem, int], dict[str, object]], int], ...] = (
        (opens_and_closes, options.opens),
        (killed_readers, options.kills),
    )
    for part, number in parts:
        print(json.dumps({part.__name__: part(modem, number)}), flush=True)
    modem.end()


if __name__ == "__main__":
    main()
