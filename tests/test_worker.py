"""The lines of one process: what becomes of a line's device when its configuration changes."""

from dataclasses import replace
from pathlib import Path

import pytest

from cusemodem.config import ModemConfig
from cusemodem.served_line import Served
from cusemodem.worker import Worker

CONFIG = ModemConfig(name="ttyIAX0", device_path=Path("/dev/ttyIAX0"))


@pytest.mark.parametrize(
    ("changes", "is_kept"),
    [
        ({"cidname": "FAX"}, True),
        ({"keep": False}, False),
        ({"adapter": "pty"}, False),
        ({"device_path": Path("/dev/ttyIAX1")}, False),
    ],
)
def test_a_changed_line_keeps_its_device_where_the_new_one_takes_it(
    changes: dict[str, object], is_kept: bool
) -> None:
    """One that is left to nobody would hang its programs, and be in its own way."""
    worker = Worker([CONFIG])
    served = worker.served[CONFIG.name] = Served(CONFIG)
    fresh = replace(CONFIG, **changes)  # type: ignore[arg-type]
    worker.replace(fresh)
    assert (served.replacement, served.keep) == (fresh, is_kept)
    assert served.retiring.is_set()
