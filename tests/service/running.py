"""A service of real processes for tests: its configuration, its signals, its control socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CUSEMODEM = [sys.executable, "-c", "import sys; from cusemodem.cli import main; sys.exit(main())"]
TIMEOUT_S = 60.0
"""A limit, not a measure: the machine may be busy."""


def eventually(what: Callable[[], Any], timeout_s: float = TIMEOUT_S) -> Any:  # noqa: ANN401
    """The first true value of `what`; a failure after the limit."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := what():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {timeout_s:g} s")


class RunningService:
    """The service of `root/etc`, with everything else below `root` as well."""

    def __init__(self, root: Path, server_port: int = 9, **service_keys: object) -> None:
        self.root = root
        self.etc = root / "etc"
        (self.etc / "modems").mkdir(parents=True)
        keys: dict[str, object] = {
            "log": root / "log",
            "control": root / "run" / "control",
            "pid_file": root / "pid",
            "state": root / "state",
        }
        lines = [f"{key} = {value}" for key, value in (keys | service_keys).items()]
        defaults = ["[defaults]", "adapter = pty", f"server = 127.0.0.1:{server_port}", "port = any"]
        (self.etc / "cusemodem.conf").write_text("\n".join(["[service]", *lines, *defaults, ""]))
        self.process: subprocess.Popen[str] | None = None
        self.run_by: list[str] = []
        """A command that runs the service's, such as one that changes what it may see."""
        self.environment = {
            k: v for k, v in os.environ.items() if k not in ("NOTIFY_SOCKET", "JOURNAL_STREAM")
        }

    def modem(self, k: int, *lines: str, name: str = "") -> Path:
        """Write (or change) the file of modem number `k`, whose device is `root/ttyIAX{k}`."""
        file = self.etc / "modems" / (name or f"ttyIAX{k}")
        text = [
            "[modem]",
            f"device = {self.root}/ttyIAX{k}",
            f"peername = fax{k}",
            f"secret = s{k}",
            *lines,
            "",
        ]
        file.write_text("\n".join(text))
        return file

    def start(self, *, ready: bool = True) -> None:
        """Run it in the foreground."""
        command = [*self.run_by, *CUSEMODEM, "--config", str(self.etc), "-F"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment
        )
        if ready:
            eventually(lambda: self.is_ready() or self.process is None or self.process.poll() is not None)
            assert self.process.poll() is None, self.process.communicate()

    def is_ready(self) -> bool:
        try:
            return bool(self.status()["service"]["state"] == "ready")
        except OSError:
            return False

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT_S)

    def __enter__(self) -> RunningService:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                self.process.terminate()
            self.process.communicate(timeout=TIMEOUT_S)

    def ask(self, request: dict[str, str]) -> Any:  # noqa: ANN401
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT_S)
            connection.connect(str(self.root / "run" / "control"))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile() as answers:
                return json.loads(answers.readline())

    def status(self) -> Any:  # noqa: ANN401
        return self.ask({"get": "status"})

    def line(self, name: str) -> Any:  # noqa: ANN401
        """The status of one line, None when there is none."""
        return next((line for line in self.status()["lines"] if line["name"] == name), None)

    def states(self) -> dict[str, str]:
        return {line["name"]: line["state"] for line in self.status()["lines"]}

    def log(self, name: str = "cusemodem") -> str:
        path = self.root / "log" / name
        return path.read_text() if path.exists() else ""

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def worker_pids(self) -> list[int]:
        return [worker["pid"] for worker in self.status()["service"]["workers"] if worker.get("pid")]
