"""The service's first process: it reads the configuration, forks workers, and looks after them.

It has no event loop of trio's and no threads, because it forks; it opens no device and no UDP port, so that
nothing of a worker's depends on it. Orders go to the workers by a pipe each, and news come back.
"""

from __future__ import annotations

import gc
import logging
import os
import selectors
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import sdnotify

from cusemodem.config import ConfigError, ModemConfig
from cusemodem.config_service import Configuration, load_directory
from cusemodem.control_server import ControlServer

LINES_PER_WORKER = 30
"""With `workers = auto` another process begins beyond this, if there is another processor."""

STOP_TIMEOUT_S = 6.0
"""How long workers may take to hang up and deregister before they are killed."""

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0
STEADY_S = 60.0
STALE_S = 8.0
"""A worker whose status is older than this, or whose tick stood still between two of them, is stuck: the
watchdog gets no sign of life then."""

_log = logging.getLogger("cusemodem.service")

Serve = Callable[[list[ModemConfig], Connection], int]
"""What a worker process does; returns its exit status."""


@dataclass(eq=False)
class _Worker:
    """One worker process, living or to be started again."""

    configs: dict[str, ModemConfig]
    pid: int = 0
    pipe: Connection | None = None
    status: dict[str, Any] = field(default_factory=dict)
    status_at: float = 0.0
    ticking: bool = True
    started: bool = False
    started_at: float = 0.0
    retry_s: float = FIRST_RETRY_S
    restart_at: float | None = None
    n_restarts: int = 0


class Supervisor:
    """Runs the service of `directory` until SIGTERM or SIGINT. `serve` is called in each forked child."""

    def __init__(
        self,
        directory: Path,
        configuration: Configuration,
        serve: Serve,
        reopen_logs: Callable[[], None] = lambda: None,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._directory = directory
        self._configuration = configuration
        self._serve = serve
        self._reopen_logs = reopen_logs
        self._on_ready = on_ready
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Worker] = []
        self._moving: dict[str, ModemConfig] = {}
        """Lines that begin in another worker once their old one has let them go."""
        self._notify = sdnotify.SystemdNotifier()
        self._watchdog_s = _watchdog_s()
        self._watchdog_at = 0.0
        self._is_ready = False
        self._started_at = time.time()
        self._stopping_since: float | None = None
        self._told = ""
        self._signals: list[int] = []
        self._control: ControlServer | None = None

    # ------------------------------------------------------------------ the loop

    def run(self) -> int:
        """Serve; returns the exit status. Raises ControlError when there can be no control socket."""
        service = self._configuration.service
        control = self._control = ControlServer(service.control, service.control_group, self._selector)
        control.status = self.status
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD):
            signal.signal(number, lambda number, _frame: self._signals.append(number))
        self._selector.register(wake_read, selectors.EVENT_READ, lambda _events: os.read(wake_read, 4096))
        try:
            gc.collect()
            gc.freeze()  # pages that no collection touches stay shared with the workers
            for configs in share_out(self._configuration.served, service.workers):
                self._fork(_Worker({config.name: config for config in configs}))
            while not (self._stopping_since is not None and not any(w.pid for w in self._workers)):
                for key, events in self._selector.select(self._timeout_s()):
                    key.data(events)
                while self._signals:
                    self._on_signal(self._signals.pop(0))
                self._look_after()
        finally:
            control.close()
        _log.info("ended")
        return 0

    def _timeout_s(self) -> float:
        now = time.monotonic()
        due = [worker.restart_at for worker in self._workers if worker.restart_at is not None]
        if self._watchdog_s:
            due.append(self._watchdog_at)
        if self._stopping_since is not None:
            due.append(self._stopping_since + STOP_TIMEOUT_S)
        return max(0.0, min([*due, now + 60.0]) - now)

    def _on_signal(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._stop(signal.Signals(number).name)
        elif number == signal.SIGHUP:
            self.reload()
        elif number == signal.SIGUSR1:
            self._reopen_logs()
            self._order_all("reopen")
            _log.info("logs reopened")
        elif number == signal.SIGCHLD:
            self._reap()

    def _look_after(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if worker.restart_at is not None and now >= worker.restart_at and self._stopping_since is None:
                worker.n_restarts += 1
                self._fork(worker)
        if self._stopping_since is not None and now >= self._stopping_since + STOP_TIMEOUT_S:
            for worker in self._workers:
                if worker.pid:
                    _log.error("worker %d does not end: killed", worker.pid)
                    os.kill(worker.pid, signal.SIGKILL)
            self._stopping_since = now
        if self._watchdog_s and now >= self._watchdog_at:
            self._watchdog_at = now + self._watchdog_s / 3
            if self._alive(now):
                self._notify.notify("WATCHDOG=1")
        if not self._is_ready and all(worker.started for worker in self._workers):
            self._is_ready = True
            self._notify.notify("READY=1")
            self._on_ready()
        self._tell_status()

    def _alive(self, now: float) -> bool:
        """Whether every worker that should be has ticked lately."""
        running = [worker for worker in self._workers if worker.started and worker.pid]
        return all(worker.ticking and now - worker.status_at < STALE_S for worker in running)

    def _stop(self, why: str) -> None:
        if self._stopping_since is not None:
            return
        _log.info("ending on %s", why)
        self._notify.notify("STOPPING=1")
        self._stopping_since = time.monotonic()
        self._order_all("stop")

    # ------------------------------------------------------------------ workers

    def _fork(self, worker: _Worker) -> None:
        ours, theirs = Pipe()
        pid = os.fork()
        if pid == 0:
            self._become_worker(worker, ours, theirs)
        theirs.close()
        now = time.monotonic()
        worker.pid, worker.pipe, worker.restart_at = pid, ours, None
        worker.started, worker.started_at, worker.status_at, worker.ticking = False, now, now, True
        self._selector.register(ours, selectors.EVENT_READ, lambda _events: self._hear(worker))
        if worker not in self._workers:
            self._workers.append(worker)

    def _become_worker(self, worker: _Worker, ours: Connection, theirs: Connection) -> None:
        """In the child: forget all that is the supervisor's, serve, and never return."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for key in list(self._selector.get_map().values()):
                if not isinstance(key.fileobj, Connection):
                    os.close(key.fd)
            for other in self._workers:
                if other.pipe is not None and not other.pipe.closed:
                    other.pipe.close()
            ours.close()
            os.environ.pop("NOTIFY_SOCKET", None)
            status = self._serve(list(worker.configs.values()), theirs)
        except BaseException:
            _log.exception("a worker failed")
        finally:
            logging.shutdown()
            os._exit(status)

    def _hear(self, worker: _Worker) -> None:
        pipe = worker.pipe
        try:
            while pipe is not None and pipe.poll():
                self._take(worker, pipe.recv())
        except (EOFError, OSError):
            if pipe is not None:
                self._selector.unregister(pipe)
                pipe.close()
            worker.pipe = None

    def _take(self, worker: _Worker, news: tuple[Any, ...]) -> None:
        if news[0] == "status":
            status = news[1]
            worker.ticking = status["ticks"] != worker.status.get("ticks") or not worker.started
            worker.status, worker.status_at = status, time.monotonic()
            self._release_ended(worker)
            if self._control is not None:
                self._control.publish("status", self.status())
        elif news[0] == "started":
            worker.started = True
        elif news[0] == "report" and self._control is not None:
            self._control.publish("reports", news[2])

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for worker in self._workers:
                if worker.pid == pid:
                    self._buried(worker, status)

    def _buried(self, worker: _Worker, status: int) -> None:
        self._hear(worker)
        worker.pid, worker.status = 0, {}
        now = time.monotonic()
        if self._stopping_since is not None:
            return
        if not worker.configs:
            self._workers.remove(worker)
            return
        how = os.waitstatus_to_exitcode(status)
        why = f"was killed by {signal.Signals(-how).name}" if how < 0 else f"ended with status {how}"
        if now - worker.started_at > STEADY_S:
            worker.retry_s = FIRST_RETRY_S
        worker.restart_at = now + worker.retry_s
        names = " ".join(worker.configs)
        _log.error("worker %s (%s); started again in %.0f s", why, names, worker.retry_s)
        worker.retry_s = min(2 * worker.retry_s, LONGEST_RETRY_S)

    def _order(self, worker: _Worker, *order: object) -> None:
        if worker.pipe is not None:
            try:
                worker.pipe.send(order)
            except OSError:
                _log.error("worker %d takes no orders", worker.pid)

    def _order_all(self, *order: object) -> None:
        for worker in self._workers:
            self._order(worker, *order)

    # ------------------------------------------------------------------ reload

    def reload(self) -> None:
        """Read the configuration again: new lines start, vanished ones end when on-hook, changed ones start
        anew at the end of their call. With a mistake in it everything stays as it is."""
        self._notify.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            fresh = load_directory(self._directory)
        except ConfigError as error:
            for problem in error.problems:
                _log.error("%s", problem)
            _log.error("the configuration was not reloaded: the old one stays in force")
        else:
            self._apply(fresh)
        self._notify.notify("READY=1")

    def _apply(self, fresh: Configuration) -> None:
        if fresh.service != self._configuration.service:
            _log.warning("[service] has changed: that takes effect at the next start")
        wanted = {config.name: config for config in fresh.served}
        n_ended = n_changed = n_new = 0
        for worker in list(self._workers):
            for name, config in list(worker.configs.items()):
                if name not in wanted:
                    n_ended += 1
                    self._order(worker, "retire", name)
                    del worker.configs[name]
                elif wanted[name] != config:
                    n_changed += 1
                    self._change(worker, wanted[name])
        present = {name for worker in self._workers for name in worker.configs} | set(self._moving)
        for name, config in wanted.items():
            if name not in present:
                n_new += 1
                self._begin(config)
        self._configuration = Configuration(self._configuration.service, fresh.modems)
        _log.info("reloaded: %d new, %d changed, %d ended", n_new, n_changed, n_ended)

    def _change(self, worker: _Worker, config: ModemConfig) -> None:
        """Restart a line with another configuration, in another process if its new port is there."""
        owner = self._owner_of_port(config)
        if owner is None or owner is worker:
            worker.configs[config.name] = config
            self._order(worker, "serve", config)
        else:
            del worker.configs[config.name]
            self._order(worker, "retire", config.name)
            self._moving[config.name] = config

    def _begin(self, config: ModemConfig) -> None:
        worker = self._owner_of_port(config)
        if worker is None:
            room = [w for w in self._workers if w.pid and len(w.configs) < LINES_PER_WORKER]
            worker = min(room, key=lambda w: len(w.configs), default=None)
        if worker is None:
            self._fork(_Worker({config.name: config}))
        else:
            worker.configs[config.name] = config
            self._order(worker, "serve", config)

    def _owner_of_port(self, config: ModemConfig) -> _Worker | None:
        if config.port == 0:
            return None
        for worker in self._workers:
            for other in worker.configs.values():
                if other.port == config.port and other.name != config.name:
                    return worker
        return None

    def _release_ended(self, worker: _Worker) -> None:
        """A line that its worker has let go may begin where it was to move."""
        names = {line["name"] for w in self._workers for line in w.status.get("lines", ())}
        for name in [name for name in self._moving if name not in names]:
            self._begin(self._moving.pop(name))

    # ------------------------------------------------------------------ status

    def status(self) -> dict[str, Any]:
        """How everything stands, for the control socket."""
        lines = sorted(
            (line for worker in self._workers for line in worker.status.get("lines", ())),
            key=lambda line: str(line["name"]),
        )
        known = {line["name"] for line in lines}
        for worker in self._workers:
            waiting = {
                "state": "starting" if worker.pid else "failed",
                "reason": "its process is not running",
            }
            for config in worker.configs.values():
                if config.name not in known:
                    lines.append({"name": config.name, "device": str(config.device_path)} | waiting)
        return {
            "service": {
                "pid": os.getpid(),
                "started": self._started_at,
                "state": "ending"
                if self._stopping_since is not None
                else "ready"
                if self._is_ready
                else "starting",
                "workers": [
                    {k: v for k, v in worker.status.items() if k != "lines"} | {"restarts": worker.n_restarts}
                    for worker in self._workers
                ],
            },
            "lines": lines,
        }

    def _tell_status(self) -> None:
        text = sentence(self.status())
        if text != self._told:
            self._told = text
            self._notify.notify(f"STATUS={text}")


def sentence(status: dict[str, Any]) -> str:
    """The status in one line: `8 modems, 7 registered, 2 in call; ttyIAX3: why it is out of service`."""
    lines = status["lines"]
    n_registered = sum(line.get("registered") == "yes" for line in lines)
    n_calls = sum(bool(line.get("call")) for line in lines)
    failed = [f"{line['name']}: {line['reason']}" for line in lines if line["state"] == "failed"]
    n_ready = sum(line["state"] == "ready" for line in lines)
    many = f"{len(lines)} modem{'s' if len(lines) != 1 else ''}"
    if n_ready < len(lines):
        many = f"{n_ready} of {many} ready"
    return "; ".join([f"{many}, {n_registered} registered, {n_calls} in call", *failed[:3]])


def share_out(configs: Sequence[ModemConfig], n_workers: int) -> list[list[ModemConfig]]:
    """The lines of each worker: those that share a UDP port together, the rest evenly."""
    groups: dict[object, list[ModemConfig]] = {}
    for config in configs:
        groups.setdefault(config.port or config.name, []).append(config)
    if n_workers == 0:
        n_workers = min(os.cpu_count() or 1, -(-len(configs) // LINES_PER_WORKER))
    shares: list[list[ModemConfig]] = [[] for _ in range(max(1, n_workers))]
    for group in sorted(groups.values(), key=len, reverse=True):
        min(shares, key=len).extend(group)
    return [share for share in shares if share]


def _watchdog_s() -> float:
    """systemd's WATCHDOG_USEC, if it is meant for us."""
    pid = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    usec = os.environ.get("WATCHDOG_USEC", "")
    return int(usec) / 1e6 if usec.isdecimal() and pid == str(os.getpid()) else 0.0
