"""A worker process: the lines it was given, and a pipe to the supervisor for orders and news.

Orders (tuples, the first item says which): ("serve", config) for a new or a changed line, ("retire", name),
("keep", report) for a call of a predecessor's, ("reopen",), ("stop", whether a successor will go on).
News: ("status", dict), ("started",), ("report", line, dict), ("refused", line) when there is no room.
Everything on the pipe is between a process and its own child.
"""

from __future__ import annotations

import logging
import select
import signal
from multiprocessing.connection import Connection
from typing import Any

import trio

from cusemodem import logs, privileges
from cusemodem.archive import Archive
from cusemodem.background import Background
from cusemodem.config import ModemConfig
from cusemodem.config_service import ServiceConfig
from cusemodem.cuse.store import KeeperStore
from cusemodem.line_placement import LINES_PER_WORKER
from cusemodem.liveness import Liveness
from cusemodem.paths import keeper_path
from cusemodem.recording_store import Limits
from cusemodem.report import CallReport
from cusemodem.served_line import Hooks, Served
from cusemodem.status import worker_status
from cusemodem.worker import Worker

STATUS_INTERVAL_S = 1.0
HEARTBEAT_S = 3.0
"""An unchanged status is sent as often as this, as a sign of life."""

SPARE_LINES = 16
"""Room beyond what the supervisor gives a process: for lines that still have calls when others come in their
place, and for more on a port that is this process's."""

_log = logging.getLogger("cusemodem.run")


def main(configs: list[ModemConfig], service: ServiceConfig, pipe: Connection, sink: logs.Sink) -> int:
    """Serve until told to stop, or until the supervisor is gone; returns the exit status."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # of the group's signals the supervisor makes orders
    if service.ids is not None:
        privileges.drop(service.ids)
    background = Background()
    background.start()  # as the user, not in a moment of root's
    as_json = service.log_format == "json"
    logs.set_up(
        logs.LogHandler(sink, as_json=as_json, name_lines=logs.names_lines(sink), submit=background.submit)
    )
    status = 0
    try:
        trio.run(_Process(configs, service, pipe, background, sink).run)
    except BaseException:
        status = 1
        _log.critical("this process fails, and all its lines", exc_info=True)  # while the log is open
    finally:
        background.close()
        sink.close()
    return status


class _Process:
    def __init__(
        self,
        configs: list[ModemConfig],
        service: ServiceConfig,
        pipe: Connection,
        background: Background,
        sink: logs.Sink,
    ) -> None:
        limits = Limits(service.record_limit_bytes, service.record_days * 86400.0)
        state = service.state_directory
        self._archive = Archive(state, background, limits, service.history_days * 86400.0)
        self._pipe = pipe
        self._sink = sink
        self._background = background
        self._liveness = Liveness()
        self._refused: list[str] = []
        hooks = Hooks(
            on_ready=self._ready, on_report=self._report, new_tap=self._archive.new_tap, state=state
        )
        store = KeeperStore(keeper_path(service.control))
        capacity = max(len(configs), LINES_PER_WORKER) + SPARE_LINES
        self._worker = Worker(configs, hooks, capacity, store)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._obey)
            nursery.start_soon(self._tell)
            await self._worker.run()
            self._archive.close()
            nursery.cancel_scope.cancel()
        self._send(("status", worker_status(self._worker, self._liveness)))

    def _ready(self, served: Served) -> None:
        if served.device is not None:
            _log.info(
                "ready: %s (%s)", served.device.path, served.device.kind, extra={"line": served.config.name}
            )

    def _report(self, served: Served, report: CallReport) -> None:
        self._archive.keep(report)
        self._send(("report", served.config.name, report.as_dict()))

    def _refuse(self) -> None:
        """Tell of lines that found no room, until it has been heard."""
        self._refused = [name for name in self._refused if not self._send(("refused", name))]

    def _send(self, news: tuple[Any, ...]) -> bool:
        """Tell the supervisor, unless it does not listen: the tick never waits for it. False: not told."""
        try:
            if select.select([], [self._pipe.fileno()], [], 0)[1]:
                self._pipe.send(news)
                return True
        except OSError:
            pass  # gone; `_obey` notices too
        return False

    async def _tell(self) -> None:
        last: object = None
        last_at = 0.0
        started = False
        while True:
            status = worker_status(self._worker, self._liveness)
            changed = [line | {"call": line["call"] and line["call"]["state"]} for line in status["lines"]]
            in_call = any(line["call"] for line in status["lines"]) or bool(status["stuck"])
            if changed != last or in_call or trio.current_time() - last_at >= HEARTBEAT_S:
                self._send(("status", status))
                last, last_at = changed, trio.current_time()
            self._refuse()
            if not started and self._worker.started.is_set():
                started = True
                self._send(("started",))
            with trio.move_on_after(STATUS_INTERVAL_S):
                if started:
                    await trio.sleep_forever()
                await self._worker.started.wait()

    async def _obey(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._pipe.fileno())
            try:
                order = self._pipe.recv()
            except (EOFError, OSError):
                _log.error("the supervisor is gone: ending")
                order = ("stop", True)
            if order[0] == "stop":
                self._worker.stop(keep=order[1])
                return
            self._do(*order)

    def _do(self, what: str, detail: ModemConfig | dict[str, Any] | str = "") -> None:
        worker = self._worker
        if isinstance(detail, ModemConfig):
            if detail.name in worker.served:
                worker.replace(detail)
            elif worker.room > 0:
                worker.add(detail)
            else:
                self._refused.append(detail.name)
                self._refuse()
        elif isinstance(detail, dict):
            self._archive.keep_dict(detail)
        elif what == "retire" and detail in worker.served:
            worker.retire(detail)
        elif what == "reopen":
            self._background.submit(self._sink.reopen)
