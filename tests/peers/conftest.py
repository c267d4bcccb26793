"""After every test with the real Asterisk its log is read: no warning but what its own peers cause, too."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.bed.asterisk import Asterisk

_COMPLAINT = re.compile(r"^\[[^]]*\] (?:WARNING|ERROR)\[.*", re.MULTILINE)
# A frame that was on its way, or in another of its threads, while the call was hung up; another Asterisk's
# frames have it just so.
_USUAL = "Silently dropping frame without existent call number"


@pytest.fixture(autouse=True)
def asterisk_does_not_complain(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that makes it complain says so: `@pytest.mark.asterisk_says("regular expression", …)`."""
    if "asterisk" not in request.fixturenames:
        yield
        return
    asterisk: Asterisk = request.getfixturevalue("asterisk")
    log = asterisk.rundir / "log" / "full"
    position = log.stat().st_size
    yield
    with log.open("rb") as file:
        file.seek(position)
        text = file.read().decode(errors="replace")
    marker = request.node.get_closest_marker("asterisk_says")
    allowed = [re.compile(pattern) for pattern in (_USUAL, *(marker.args if marker else ()))]
    complaints = [
        line for line in _COMPLAINT.findall(text) if not any(pattern.search(line) for pattern in allowed)
    ]
    assert complaints == []
