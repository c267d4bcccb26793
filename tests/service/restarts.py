"""Restarts of the service under an open faxgetty: `python -m tests.service.restarts [N]`, in a guest (100).

HylaFAX's faxgetty has a port open, waiting in select; the service is killed, its workers are killed, or it
hands over, in turn. After every restart faxgetty is the same process in the same open file; every tenth time
(and at the end) a call comes in, which it has to hear of and answer. Prints a line a restart, and at the end
one JSON object with the figures.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.kernel.checks_survival import keeper_pid
from tests.kernel.host import state
from tests.service.running import CUSEMODEM, RunningService, eventually
from tests.service.survival import Program, is_dead
from tests.system.hylafax import HylaFax

DEVICE = Path("/dev/ttyIAX0")
EXCHANGE_PORT = 4599
CALL_EVERY = 10
CALL_TIMEOUT_S = 60.0


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def resident_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def faxgetty_pid() -> int:
    return int(subprocess.run(["pidof", "faxgetty"], capture_output=True, text=True, check=True).stdout)


def stuck() -> list[str]:
    """Processes that are in state D, and stay there."""
    found: set[int] | None = None
    for _ in range(20):
        now = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if state(int(entry.name)) == "D":
                        now.add(int(entry.name))
                except OSError:
                    continue
        found = now if found is None else found & now
        if not found:
            return []
        time.sleep(0.1)
    return [Path(f"/proc/{pid}/cmdline").read_text() for pid in found or ()]


class Restarts:
    def __init__(self, service: RunningService) -> None:
        self.service = service

    def kill_workers(self) -> None:
        pids = self.service.worker_pids()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            eventually(lambda pid=pid: is_dead(pid))
        eventually(lambda: set(self.service.states().values()) == {"ready"})

    def kill_service(self) -> None:
        self._end(signal.SIGKILL)

    def hand_over(self) -> None:
        self._end(signal.SIGUSR2)

    def _end(self, number: signal.Signals) -> None:
        process = self.service.process
        assert process is not None
        process.send_signal(number)
        process.communicate()
        self.service.start()


def call(service: RunningService, caller: Program) -> None:
    """faxgetty hears of a call and answers it, as a fax."""
    eventually(lambda: all(line["registered"] == "yes" for line in service.status()["lines"]))
    os.write(caller.file, b"ATDT100\r")
    answer = b""
    deadline = time.monotonic() + CALL_TIMEOUT_S
    while b"CONNECT" not in answer:
        answer += os.read(caller.file, 1000)
        assert b"NO " not in answer, answer
        assert time.monotonic() < deadline, f"faxgetty does not answer: {answer!r}"
    caller.hang_up()


def main(n_restarts: int) -> None:
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    exchange = [*CUSEMODEM, "exchange", "--listen", f"127.0.0.1:{EXCHANGE_PORT}"]
    exchange += ["--peer", "fax0:s0:100", "--peer", "fax1:s1:101"]
    with (
        subprocess.Popen(exchange, stdout=subprocess.DEVNULL) as exchange_process,
        RunningService(root, EXCHANGE_PORT) as service,
    ):
        for k in range(2):
            service.modem(k, "adapter = cuse")
        service.start()
        with HylaFax([DEVICE], root) as hylafax:
            caller = Program("/dev/ttyIAX1")
            modem = hylafax.modem(DEVICE)
            getty, keeper = faxgetty_pid(), keeper_pid()
            restarts = Restarts(service)
            kinds = [restarts.kill_workers, restarts.kill_service, restarts.hand_over]
            figures: list[dict[str, float]] = []
            for k in range(n_restarts):
                kind = kinds[k % 3]
                began = time.monotonic()
                kind()
                caller.check()
                took = time.monotonic() - began
                if k % CALL_EVERY == CALL_EVERY - 1 or k == n_restarts - 1:
                    call(service, caller)
                    modem.wait_idle()
                assert faxgetty_pid() == getty
                assert "Running and idle" in modem.status(), modem.status()
                assert stuck() == []
                row = {
                    "restart_s": round(took, 2),
                    "faxgetty_descriptors": descriptors(getty),
                    "keeper_descriptors": descriptors(keeper),
                    "keeper_kib": resident_kib(keeper),
                    "worker_descriptors": max(map(descriptors, service.worker_pids())),
                    "worker_kib": max(map(resident_kib, service.worker_pids())),
                }
                figures.append(row)
                print(k + 1, kind.__name__, json.dumps(row), flush=True)
        assert service.stop() == 0
        exchange_process.terminate()
    summary: dict[str, object] = {"restarts": n_restarts}
    for key in figures[0]:
        values = [row[key] for row in figures]
        summary[key] = {"first": values[min(3, n_restarts) - 1], "last": values[-1], "most": max(values)}
    print(json.dumps(summary))
    for key in ("faxgetty_descriptors", "keeper_descriptors", "worker_descriptors"):
        assert figures[-1][key] <= max(row[key] for row in figures[:3]), key
    print("all done")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
