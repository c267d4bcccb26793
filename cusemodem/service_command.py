"""`cusemodem` and `cusemodem -F`: the service that serves every modem's file, detached or not."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cusemodem import privileges
from cusemodem.config import ModemConfig
from cusemodem.config_service import Configuration, load_directory
from cusemodem.log_files import LOG_DIRECTORY, SERVICE_NAME, Ids
from cusemodem.systemd_notices import Notices

READY = b"+"
HELD_SIGNALS = (signal.SIGHUP, signal.SIGUSR1)
"""A reload or new logs that are asked for during the start come after it."""
LAST_WORDS_S = 8.0
"""How long a killed service's workers may take to hang up and to write what they have."""
COMPILE_S = 600
"""What systemd is asked to wait for a first start, with nothing compiled yet."""


class ServiceError(Exception):
    """The service cannot start; one sentence with the remedy."""


def run(options: argparse.Namespace) -> int:
    """Serve every file of the configuration directory without `nodaemon`. Raises ConfigError."""
    directory: Path = options.config
    configuration = load_directory(directory)
    if not configuration.served:
        print(
            f"cusemodem: {directory}: no modem there to serve; write one, see cusemodem(5)", file=sys.stderr
        )
        return 1
    ready_fd = None if options.foreground else _detach()
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD_SIGNALS)  # until somebody listens
    try:
        with _only_one(configuration.service.control.with_name("lock")):
            return _serve(directory, configuration, ready_fd, classic=not under_notify())
    except ServiceError as error:
        print(f"cusemodem: {error}", file=sys.stderr, flush=True)
        return 1


def under_notify() -> bool:
    """Whether systemd waits for us to say that we are ready: then it needs no pid file."""
    return "NOTIFY_SOCKET" in os.environ


def _serve(directory: Path, configuration: Configuration, ready_fd: int | None, *, classic: bool) -> int:
    from multiprocessing.connection import Connection  # noqa: PLC0415 - not needed for wrong usage

    import dsp  # noqa: PLC0415 - brings numba
    from cusemodem import logs, worker_process  # noqa: PLC0415
    from cusemodem.control_server import ControlError  # noqa: PLC0415
    from cusemodem.supervisor import Supervisor  # noqa: PLC0415

    service = configuration.service
    user = service.ids
    if user is not None:
        _prepare_for(user, configuration)
    sink = logs.new_sink(service.log, service.log_limit_bytes, user)
    as_json = service.log_format == "json"
    logs.set_up(logs.LogHandler(sink, as_json=as_json, name_lines=logs.names_lines(sink)))
    log = logging.getLogger("cusemodem.service")
    notices = Notices()
    notices.tell(f"STATUS=loading the signal processing\nEXTEND_TIMEOUT_USEC={COMPILE_S * 1_000_000}")
    dsp.Bank(1)  # loads the compiled code once, for all that are forked; compiles it, the first time
    log.info("serving %d modems of %s", len(configuration.served), directory)
    for config in configuration.served:
        for sentence in config.without_effect():
            log.warning("%s", sentence, extra={"line": config.name})

    def serve(configs: list[ModemConfig], pipe: Connection) -> int:
        if ready_fd is not None:
            _silence()
        return worker_process.main(configs, service, pipe, sink)

    def on_ready() -> None:
        log.info("ready")
        if ready_fd is not None:
            os.write(ready_fd, READY)
            os.close(ready_fd)
            _silence()

    pid_file = service.pid_file if classic else None
    try:
        with _pid_file(pid_file):
            return Supervisor(directory, configuration, serve, sink.reopen, on_ready).run()
    except ControlError as error:
        raise ServiceError(str(error)) from error
    finally:
        sink.close()


def _prepare_for(user: Ids, configuration: Configuration) -> None:
    """Give the user what its processes write: state, logs and the directory of the control socket."""
    service = configuration.service
    try:
        privileges.must_read_program(user)
        privileges.give(service.state_directory, user, privileges.STATE_NAMES)
        os.environ["STATE_DIRECTORY"] = str(service.state_directory)  # root's, not the user's
        if service.log not in ("journal", "stderr"):
            log = Path(service.log if service.log.startswith("/") else LOG_DIRECTORY)
            names = {SERVICE_NAME, *(modem.config.name.partition(".")[0] for modem in configuration.modems)}
            privileges.give(log, user, names)
        privileges.give_place_of_sockets(service.control.parent, user, service.control.name)
    except privileges.PrivilegesError as error:
        raise ServiceError(str(error)) from error


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold the lock that says that the service runs; a killed service holds nothing."""
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise ServiceError(
            f"cannot make {path}: {error.strerror}; run as a user who may, or write another `control` in "
            "[service]"
        ) from error
    try:
        _lock(descriptor)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Lock it. The workers of a killed service hold the lock until they have hung up: they are waited for."""
    deadline = time.monotonic() + LAST_WORDS_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pid = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            if not pid.isdecimal() or _runs(int(pid)):
                raise ServiceError(f"another service runs already (process {pid}); end it first") from None
            if time.monotonic() >= deadline:
                raise ServiceError(
                    f"the service that was process {pid} is gone, but not its workers; end them first"
                ) from None
            time.sleep(0.05)
        else:
            return


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except OSError:
        return True


@contextmanager
def _pid_file(path: Path | None) -> Iterator[None]:
    if path is None:
        yield
        return
    try:
        path.write_text(f"{os.getpid()}\n", encoding="ascii")
    except OSError as error:
        raise ServiceError(
            f"cannot write {path}: {error.strerror}; run as root, or write another `pid_file` in [service]"
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()


def _detach() -> int:
    """Leave the terminal; the process that was called waits until the service is ready, or has failed.

    Returns, in the service, the descriptor to write READY to.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    if os.fork():
        os.close(write)
        said = os.read(read, 1)
        os._exit(0 if said == READY else 1)
    os.close(read)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return write


def _silence() -> None:
    """Let go of the terminal: from here on there is the log."""
    null = os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)
