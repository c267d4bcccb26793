"""One thread for what may wait for a disk: recordings, history, log files. The tick only hands over.

A disk that stops for a minute costs memory up to a bound, then the jobs that come too many are left out and
counted; it never costs a block of audio.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

MAX_WAITING = 10_000
"""Jobs kept for a disk that hangs; at most some ten megabytes (chosen)."""

_log = logging.getLogger("cusemodem.background")

Job = Callable[[], None]
Submit = Callable[[Job], None]
"""Hands a job over; a test may run it at once."""


class Background:
    """Runs jobs in order in a thread of its own, which starts with the first job (so that a process may
    fork before)."""

    def __init__(self, name: str = "writer") -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.n_left_out = 0
        """Jobs that were dropped because too many were waiting."""

    def submit(self, job: Job) -> None:
        """Have `job` run; returns at once. An OSError it raises is logged, nothing else should come."""
        if self._jobs.qsize() >= MAX_WAITING:
            self.n_left_out += 1
            return
        self.start()
        self._jobs.put(job)

    def start(self) -> None:
        """Start the thread now: it keeps the privileges of the moment for ever."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except OSError as error:
                _log.error("cannot write: %s", error)
            except Exception:
                _log.exception("a background job failed")

    def close(self, timeout_s: float = 3.0) -> bool:
        """Finish what is waiting, within a bound; True when everything was done."""
        thread = self._thread
        if thread is None:
            return True
        self._jobs.put(None)
        thread.join(timeout_s)
        self._thread = None
        return not thread.is_alive()
