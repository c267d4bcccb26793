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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cusemodem.config import ConfigError
from cusemodem.config_service import Configuration, load_directory
from cusemodem.control_server import ControlServer
from cusemodem.line_placement import Placement
from cusemodem.paths import keeper_path
from cusemodem.port_keeping import PortKeeping
from cusemodem.service_status import sentence, service_status
from cusemodem.systemd_notices import Notices, watchdog_s
from cusemodem.worker_children import Child, Children, Serve

STOP_TIMEOUT_S = 6.0
"""How long workers may take to hang up and deregister before they are killed."""

NOTICE_RETRY_S = 0.5
"""How soon a notice that systemd had no room for is tried again."""

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
_SIGNALS = (*_ENDING, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)

_log = logging.getLogger("cusemodem.service")


class Supervisor:
    """Runs the service of `directory` until SIGTERM or SIGINT; SIGUSR2 ends it too, but leaves the ports to a
    successor. `serve` is called in each forked child."""

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
        self._reopen_logs = reopen_logs
        self._on_ready = on_ready
        self._selector = selectors.DefaultSelector()
        names = [modem.device_name for modem in configuration.served]
        self._keeping = PortKeeping(keeper_path(configuration.service.control), self._selector, names)
        self._children = Children(serve, self._selector, self._hear, self._keeping.forget)
        self._placement = Placement(self._children)
        self._notices = Notices()
        self._watchdog_s = watchdog_s()
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
        for number in _SIGNALS:
            signal.signal(number, lambda number, _frame: self._signals.append(number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)  # some were held during the start
        self._selector.register(wake_read, selectors.EVENT_READ, lambda _events: os.read(wake_read, 4096))
        try:
            gc.collect()
            gc.freeze()  # pages that no collection touches stay shared with the workers
            self._placement.begin_all(self._configuration.served, service.workers)
            while not (self._stopping_since is not None and not any(c.pid for c in self._children)):
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
        due = [now + 60.0]
        for timer in (self._children.next_restart(), self._keeping.next_timer()):
            if timer is not None:
                due.append(timer)
        if self._watchdog_s:
            due.append(self._watchdog_at)
        if self._notices.waiting:
            due.append(now + NOTICE_RETRY_S)
        if self._stopping_since is not None:
            due.append(self._stopping_since + STOP_TIMEOUT_S)
        return max(0.0, min(due) - now)

    def _on_signal(self, number: int) -> None:
        if number in _ENDING:
            self._stop(signal.Signals(number).name, keep=number == signal.SIGUSR2)
        elif number == signal.SIGHUP:
            self._reopen()  # logrotate entries of IAXmodem's time send this
            self.reload()
        elif number == signal.SIGUSR1:
            self._reopen()
            _log.info("logs reopened")
        elif number == signal.SIGCHLD:
            self._children.reap()

    def _reopen(self) -> None:
        self._reopen_logs()
        self._children.order_all("reopen")

    def _look_after(self) -> None:
        now = time.monotonic()
        self._notices.flush()
        self._children.restart_due()
        self._keeping.expire()
        if self._stopping_since is not None and now >= self._stopping_since + STOP_TIMEOUT_S:
            self._children.kill_all()
            self._stopping_since = now
        if self._watchdog_s and now >= self._watchdog_at:
            self._watchdog_at = now + self._watchdog_s / 3
            if all(child.alive(now) for child in self._children):
                self._notices.tell("WATCHDOG=1")
        if not self._is_ready and all(child.started for child in self._children):
            self._is_ready = True
            self._notices.tell("READY=1")
            self._on_ready()
        self._tell_status()

    def _stop(self, why: str, *, keep: bool) -> None:
        if self._stopping_since is not None:
            return
        _log.info("ending on %s", why)
        self._notices.tell("STOPPING=1")
        self._stopping_since = time.monotonic()
        self._children.ending = True
        self._children.order_all("stop", keep or self._keeping.outlives_stop)

    def _hear(self, child: Child, news: tuple[Any, ...]) -> None:
        """What a worker tells."""
        if news[0] == "status":
            self._placement.begin_released()
            if self._control is not None:
                self._control.publish("status", self.status())
        elif news[0] == "refused":
            self._placement.refused(child, news[1])
        elif news[0] == "report" and self._control is not None:
            self._control.publish("reports", news[2])

    # ------------------------------------------------------------------ reload

    def reload(self) -> None:
        """Read the configuration again: new lines start, vanished ones end when on-hook, changed ones start
        anew at the end of their call. With a mistake in it everything stays as it is."""
        self._notices.tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            fresh = load_directory(self._directory)
        except ConfigError as error:
            for problem in error.problems:
                _log.error("%s", problem)
            _log.error("the configuration was not reloaded: the old one stays in force")
        else:
            self._apply(fresh)
        self._notices.tell("READY=1")

    def _apply(self, fresh: Configuration) -> None:
        changed = fresh.service.changed_keys(self._configuration.service)
        if changed:
            effect = "take effect" if len(changed) > 1 else "takes effect"
            _log.warning("[service]: %s: %s at the next start of the service", ", ".join(changed), effect)
        changes = self._placement.apply(fresh.served)
        self._configuration = Configuration(self._configuration.service, fresh.modems)
        _log.info("reloaded: %s", changes)

    # ------------------------------------------------------------------ status

    def status(self) -> dict[str, Any]:
        """How everything stands, for the control socket."""
        state = "ready" if self._is_ready else "starting"
        if self._stopping_since is not None:
            state = "ending"
        unplaced = {name: config.device_path for name, config in self._placement.unplaced.items()}
        return service_status(self._children, state=state, started=self._started_at, unplaced=unplaced)

    def _tell_status(self) -> None:
        text = sentence(self.status())
        if text != self._told:
            self._told = text
            self._notices.tell(f"STATUS={text}")
