"""`cusemodem NAME`: one modem in the foreground, informational lines to stdout, errors to stderr.

Where these are systemd's journal, lines go there with their priority and the modem's name.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import AsyncIterator

import trio

from cusemodem import logs, privileges
from cusemodem.archive import Archive
from cusemodem.background import Background
from cusemodem.config import ModemConfig
from cusemodem.config_service import ServiceConfig
from cusemodem.cuse.store import KeeperStore
from cusemodem.cuse.systemd_store import SystemdStore, has_store
from cusemodem.liveness import Liveness
from cusemodem.log_files import Ids
from cusemodem.paths import runtime_directory
from cusemodem.recording_store import Limits
from cusemodem.served_line import Hooks, LineState, Served
from cusemodem.systemd_notices import Notices, watchdog_s
from cusemodem.worker import Worker

LOOK_S = 1.0
"""A tick without a call comes as often as this; more often there is nothing to see for the watchdog."""
STALE_TICK_S = 3.0

log = logging.getLogger("cusemodem.run")


def run_modem(config: ModemConfig, service: ServiceConfig) -> int:
    """Run one modem until SIGTERM or SIGINT, or until it is on-hook after SIGHUP; returns the exit status.

    Of `service`, the keys that concern one modem: where and for how long calls are kept, and whose the
    process is if root starts it.
    """
    set_up_logging(config.name)
    user = service.ids
    if user is not None:
        try:
            _become(user, service)
        except privileges.PrivilegesError as error:
            _complain(str(error))
            return 1
    background = Background()
    background.start()  # as the user, not in a moment of root's
    try:
        return trio.run(_run, config, service, background)
    finally:
        background.close()


def _become(user: Ids, service: ServiceConfig) -> None:
    state, sockets = service.state_directory, runtime_directory()
    privileges.must_read_program(user)
    privileges.give(state, user, privileges.STATE_NAMES)
    privileges.give_place_of_sockets(sockets, user)
    os.environ |= {"STATE_DIRECTORY": str(state), "RUNTIME_DIRECTORY": str(sockets)}  # root's, not the user's
    privileges.drop(user)


async def _run(config: ModemConfig, service: ServiceConfig, background: Background) -> int:
    started = False

    def on_failure(served: Served, pause_s: float) -> None:
        if started:  # before, it is the end, and said below
            log.error("%s; next try in %.0f s", served.reason, pause_s)

    state = service.state_directory
    limits = Limits(service.record_limit_bytes, service.record_days * 86400.0)
    archive = Archive(state, background, limits, service.history_days * 86400.0)
    hooks = Hooks(
        _say_ready,
        on_failure,
        on_report=lambda _served, report: archive.keep(report),
        new_tap=archive.new_tap,
        state=state,
    )
    store = SystemdStore(config.device_name) if has_store() else KeeperStore(runtime_directory() / "keeper")
    # systemd closes what it stores when that was not a restart.
    keep = isinstance(store, SystemdStore)
    worker = Worker([config], hooks, store=store)
    notices = Notices()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_serve, worker, nursery)
            served = await _first_try(worker, config.name)
            if served.state is LineState.FAILED:
                _complain(f"{config.name}: {served.reason}")
                nursery.cancel_scope.cancel()
                return 1
            started = True
            notices.tell("READY=1")
            nursery.start_soon(_feed_watchdog, worker, notices)
            await _until_told(signals, worker, served, keep=keep)
            notices.tell("STOPPING=1")
            worker.stop(keep=keep)
    archive.close()
    return 0


async def _until_told(signals: AsyncIterator[int], worker: Worker, served: Served, *, keep: bool) -> None:
    """Until it shall end at once, or it was told to end when on-hook and has."""
    async with trio.open_nursery() as nursery:

        async def on_hook() -> None:
            while served.state is not LineState.ENDED:  # noqa: ASYNC110 - it has no bell
                await trio.sleep(LOOK_S / 10)
            nursery.cancel_scope.cancel()

        async for number in signals:
            name = signal.Signals(number).name
            if number != signal.SIGHUP:
                log.info("ending on %s", name)
                nursery.cancel_scope.cancel()
            elif not served.retiring.is_set():
                log.info("ending on %s, when on-hook", name)
                served.keep = keep
                worker.retire(served.config.name)
                nursery.start_soon(on_hook)


async def _serve(worker: Worker, nursery: trio.Nursery) -> None:
    """Run it to its end, and end what watches it."""
    await worker.run()
    nursery.cancel_scope.cancel()


async def _feed_watchdog(worker: Worker, notices: Notices) -> None:
    """Tell systemd that the tick goes on and the device is read, for as long as that is so."""
    interval_s = max(LOOK_S, watchdog_s() / 3)
    liveness = Liveness()
    n_ticks, ticked_at = -1, trio.current_time()
    while watchdog_s():
        await trio.sleep(interval_s)
        devices = {name: line.device for name, line in worker.served.items() if line.device is not None}
        stuck = liveness.stuck(devices)
        if worker.clock.statistics().n_ticks != n_ticks:
            n_ticks, ticked_at = worker.clock.statistics().n_ticks, trio.current_time()
        if not stuck and trio.current_time() - ticked_at < max(STALE_TICK_S, interval_s):
            notices.tell("WATCHDOG=1")


async def _first_try(worker: Worker, name: str) -> Served:
    while name not in worker.served:
        await trio.lowlevel.checkpoint()
    served = worker.served[name]
    await served.tried.wait()
    return served


def _say_ready(served: Served) -> None:
    if served.device is None or served.n_restarts:
        return
    said = f"ready: {served.device.path} ({served.device.kind})"
    if logs.under_systemd():
        log.info("%s", said)
    else:
        print(said, flush=True)  # as scripts wait for it


def _complain(text: str) -> None:
    if logs.under_systemd():
        log.error("%s", text)
    else:
        print(f"cusemodem: {text}", file=sys.stderr)


class _InfoOnly(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno < logging.WARNING


class _OneLine(logging.Filter):
    """All that is logged here is about one modem."""

    def __init__(self, line: str) -> None:
        super().__init__()
        self._line = line

    def filter(self, record: logging.LogRecord) -> bool:
        if not getattr(record, "line", ""):
            record.line = self._line
        return True


def set_up_logging(line: str, level: int = logging.INFO) -> None:
    """Information to stdout, warnings and errors to stderr, as the original has it; or all to the journal."""
    if logs.under_systemd():
        handler = logs.LogHandler(logs.JournalSink(), as_json=False, name_lines=True)
        handler.addFilter(_OneLine(line))
        logs.set_up(handler, level)
        return
    form = logging.Formatter("[%(asctime)s.%(msecs)03d] %(message)s", "%Y-%m-%d %H:%M:%S")
    information, errors = logging.StreamHandler(sys.stdout), logging.StreamHandler(sys.stderr)
    information.addFilter(_InfoOnly())
    errors.setLevel(logging.WARNING)
    for handler_ in (information, errors):
        handler_.setFormatter(form)
    logging.basicConfig(level=level, handlers=[information, errors], force=True)
