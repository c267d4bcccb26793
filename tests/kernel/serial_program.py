"""One long program of opens, ioctls, reads, writes, polls and signals, to be run on two terminals.

Each step has a name and records what came of it: bytes, numbers, or the name of an errno. Nothing is asserted
here; `differential.py` compares the records.
"""

import os

from tests.kernel.steps_data import Data
from tests.kernel.steps_files import Files
from tests.kernel.steps_ioctls import Ioctls
from tests.kernel.steps_waits import Waits


class Program(Files, Ioctls, Data, Waits):
    """Runs on one side."""

    def run(self) -> dict[str, str]:
        """All of it; the records."""
        with self.opened(os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY) as self.file:
            for part in (
                self.opens,
                self.settings,
                self.other_ioctls,
                self.reads,
                self.polls,
                self.input_discipline,
                self.output_discipline,
                self.flow,
                self.signals,
                self.sharing,
                self.blocked,
                self.sessions,
                self.hang_up,
            ):
                self.fresh()
                part()
        return self.results
