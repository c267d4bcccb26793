"""`cusemodem NAME`: one modem in the foreground, informational lines to stdout, errors to stderr."""

from __future__ import annotations

import logging
import os
import signal
import sys

import trio

from cusemodem import privileges
from cusemodem.archive import Archive
from cusemodem.background import Background
from cusemodem.config import ModemConfig
from cusemodem.cuse.store import KeeperStore
from cusemodem.cuse.systemd_store import SystemdStore, has_store
from cusemodem.log_files import Ids
from cusemodem.paths import runtime_directory, state_directory
from cusemodem.served_line import Hooks, LineState, Served
from cusemodem.systemd_notices import Notices
from cusemodem.worker import Worker

log = logging.getLogger("cusemodem.run")


def run_modem(config: ModemConfig, user: Ids | None = None) -> int:
    """Run one modem until SIGTERM or SIGINT, as `user` if root starts it; returns the exit status."""
    set_up_logging()
    if user is not None:
        directories = {"STATE_DIRECTORY": state_directory(), "RUNTIME_DIRECTORY": runtime_directory()}
        for name, directory in directories.items():
            privileges.give(directory, user)
            os.environ[name] = str(directory)  # root's, not the user's
        privileges.drop(user)
    background = Background()
    background.start()  # as the user, not in a moment of root's
    try:
        return trio.run(_run, config, background)
    finally:
        background.close()


async def _run(config: ModemConfig, background: Background) -> int:
    started = False

    def on_failure(served: Served, pause_s: float) -> None:
        if started:  # before, it is the end, and said below
            log.error("%s; next try in %.0f s", served.reason, pause_s)

    archive = Archive(state_directory(), background)
    hooks = Hooks(
        _say_ready,
        on_failure,
        on_report=lambda _served, report: archive.keep(report),
        new_tap=archive.new_tap,
        state=state_directory(),
    )
    store = SystemdStore(config.device_name) if has_store() else KeeperStore(runtime_directory() / "keeper")
    worker = Worker([config], hooks, store=store)
    notices = Notices()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.run)
            served = await _first_try(worker, config.name)
            if served.state is LineState.FAILED:
                print(f"cusemodem: {config.name}: {served.reason}", file=sys.stderr)
                nursery.cancel_scope.cancel()
                return 1
            started = True
            notices.tell("READY=1")
            number = await anext(signals)
            log.info("ending on %s", signal.Signals(number).name)
            notices.tell("STOPPING=1")
            # systemd closes what it stores when that was not a restart.
            worker.stop(keep=isinstance(store, SystemdStore))
    archive.close()
    return 0


async def _first_try(worker: Worker, name: str) -> Served:
    while name not in worker.served:
        await trio.lowlevel.checkpoint()
    served = worker.served[name]
    await served.tried.wait()
    return served


def _say_ready(served: Served) -> None:
    if served.device is not None and not served.n_restarts:
        print(f"ready: {served.device.path} ({served.device.kind})", flush=True)


class _InfoOnly(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno < logging.WARNING


def set_up_logging(level: int = logging.INFO) -> None:
    """Informational lines to stdout, warnings and errors to stderr, as the original has it."""
    form = logging.Formatter("[%(asctime)s.%(msecs)03d] %(message)s", "%Y-%m-%d %H:%M:%S")
    information, errors = logging.StreamHandler(sys.stdout), logging.StreamHandler(sys.stderr)
    information.addFilter(_InfoOnly())
    errors.setLevel(logging.WARNING)
    for handler in (information, errors):
        handler.setFormatter(form)
    logging.basicConfig(level=level, handlers=[information, errors], force=True)
