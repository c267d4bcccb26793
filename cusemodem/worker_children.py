"""The worker processes as the supervisor sees them: forked, heard, given orders, buried and started again."""

from __future__ import annotations

import logging
import os
import selectors
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from cusemodem.config import ModemConfig

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0
STEADY_S = 60.0
"""A worker that lived so long begins with the shortest pause again."""

STALE_S = 8.0
"""A worker whose status is older than this, or whose tick stood still between two of them, is stuck: the
watchdog gets no sign of life then."""

START_STALE_S = 60.0
"""The same for one that still starts, and may wait for a slow disk or compile something (chosen)."""

_log = logging.getLogger("cusemodem.service")

Serve = Callable[[list[ModemConfig], Connection], int]
"""What a worker process does; returns its exit status."""


@dataclass(eq=False)
class Child:
    """One worker process, living or to be started again."""

    configs: dict[str, ModemConfig]
    pid: int = 0
    pipe: Connection | None = None
    status: dict[str, Any] = field(default_factory=dict)
    status_at: float = 0.0
    ticking: bool = True
    n_stuck: int = 0
    """How many statuses in a row told of a device that is not read."""
    started: bool = False
    started_at: float = 0.0
    retry_s: float = FIRST_RETRY_S
    restart_at: float | None = None
    n_restarts: int = 0
    unkept: list[dict[str, Any]] = field(default_factory=list)
    """Reports of calls that died with the process, for its successor to keep."""

    @property
    def room(self) -> int:
        """For how many more lines it said it has room; before it has said anything, for one."""
        return int(self.status.get("room", 1))

    def order(self, *order: object) -> None:
        """Send an order, see `worker_process`."""
        if self.pipe is not None:
            try:
                self.pipe.send(order)
            except OSError:
                _log.error("worker %d takes no orders", self.pid)

    def alive(self, now: float) -> bool:
        """Whether it has ticked and read its devices lately, if it should; one that still starts, whether it
        has said anything."""
        if not self.pid:
            return True
        if not self.started:
            return now - self.status_at < START_STALE_S
        return self.ticking and not self.n_stuck and now - self.status_at < STALE_S


class Children(list[Child]):
    """All worker processes. `serve` is called in each forked one; `on_news` takes what a worker tells;
    `on_fork` is called in the child, to let go of what is the supervisor's."""

    def __init__(
        self,
        serve: Serve,
        selector: selectors.BaseSelector,
        on_news: Callable[[Child, tuple[Any, ...]], None],
        on_fork: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._on_fork = on_fork
        self._serve = serve
        self._selector = selector
        self._on_news = on_news
        self.ending = False
        """Whoever ends now ends for good."""

    def fork(self, child: Child) -> None:
        """Start a new worker, or one that died."""
        ours, theirs = Pipe()
        pid = os.fork()
        if pid == 0:
            self._become_worker(child, ours, theirs)
        theirs.close()
        now = time.monotonic()
        child.pid, child.pipe, child.restart_at = pid, ours, None
        child.started, child.started_at, child.status_at, child.ticking = False, now, now, True
        self._selector.register(ours, selectors.EVENT_READ, lambda _events: self._hear(child))
        if child not in self:
            self.append(child)
        for report in child.unkept:
            child.order("keep", report)
        child.unkept = []

    def _become_worker(self, child: Child, ours: Connection, theirs: Connection) -> NoReturn:
        """In the child: forget all that is the supervisor's, serve, and never return."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            self._on_fork()
            for key in list(self._selector.get_map().values()):
                if not isinstance(key.fileobj, Connection):
                    os.close(key.fd)
            for other in self:
                if other.pipe is not None and not other.pipe.closed:
                    other.pipe.close()
            ours.close()
            os.environ.pop("NOTIFY_SOCKET", None)
            status = self._serve(list(child.configs.values()), theirs)
        except BaseException:
            _log.exception("a worker failed")
        finally:
            logging.shutdown()
            os._exit(status)

    def restart_due(self) -> None:
        """Start again whose pause is over."""
        now = time.monotonic()
        for child in self:
            if child.restart_at is not None and now >= child.restart_at and not self.ending:
                child.n_restarts += 1
                self.fork(child)

    def next_restart(self) -> float | None:
        """When the next one is to be started again (monotonic time), None if none is."""
        return min((child.restart_at for child in self if child.restart_at is not None), default=None)

    def order_all(self, *order: object) -> None:
        """The same order to every worker."""
        for child in self:
            child.order(*order)

    def kill_all(self) -> None:
        """End by force whoever still lives."""
        for child in self:
            if child.pid:
                _log.error("worker %d does not end: killed", child.pid)
                os.kill(child.pid, signal.SIGKILL)

    def _hear(self, child: Child) -> None:
        pipe = child.pipe
        try:
            while pipe is not None and pipe.poll():
                self._take(child, pipe.recv())
        except (EOFError, OSError):
            if pipe is not None:
                self._selector.unregister(pipe)
                pipe.close()
            child.pipe = None

    def _take(self, child: Child, news: tuple[Any, ...]) -> None:
        if news[0] == "status":
            status = news[1]
            child.n_stuck = child.n_stuck + 1 if status["stuck"] else 0
            if child.n_stuck == 1:
                said = "the device is not read: without a change the watchdog ends this process"
                for name in status["stuck"]:
                    _log.error(said, extra={"line": name})
            child.ticking = status["ticks"] != child.status.get("ticks") or not child.started
            child.status, child.status_at = status, time.monotonic()
        elif news[0] == "started":
            child.started = True
        self._on_news(child, news)

    def reap(self) -> None:
        """Bury who has ended, and set the time for the next life."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for child in list(self):
                if child.pid == pid:
                    self._bury(child, status)

    def _bury(self, child: Child, status: int) -> None:
        self._hear(child)
        lines, child.pid, child.status = child.status.get("lines", ()), 0, {}
        now = time.monotonic()
        if self.ending:
            return
        if not child.configs:
            self.remove(child)
            return
        how = os.waitstatus_to_exitcode(status)
        why = f"was killed by {signal.Signals(-how).name}" if how < 0 else f"ended with status {how}"
        if now - child.started_at > STEADY_S:
            child.retry_s = FIRST_RETRY_S
        child.restart_at = now + child.retry_s
        names = " ".join(child.configs)
        _log.error("worker %s (%s); started again in %.0f s", why, names, child.retry_s)
        for line in lines:
            if line["call"]:
                report = _lost_call(line["call"], why)
                _log.error("call report: %s", report["summary"], extra={"line": line["name"], "call": report})
                child.unkept.append(report)
        child.retry_s = min(2 * child.retry_s, LONGEST_RETRY_S)


def _lost_call(call: dict[str, Any], why: str) -> dict[str, Any]:
    """The report of a call that died with its process, as far as the last status knew it."""
    by = f"its process, which {why}"
    return call | {"ended_by": by, "summary": f"{call['summary'].removesuffix('; ended')}; ended by {by}"}
