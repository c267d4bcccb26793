"""An exchange for the services of the tests."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.service.running import CUSEMODEM


@pytest.fixture(scope="module")
def exchange() -> Iterator[int]:
    """The port of an exchange that knows fax0 to fax9, dialled as 100 to 109."""
    command = [*CUSEMODEM, "exchange", "--listen", "127.0.0.1:0"]
    command += [word for k in range(10) for word in ("--peer", f"fax{k}:s{k}:10{k}")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline().rpartition(":")[2])
        process.terminate()
        process.communicate()
