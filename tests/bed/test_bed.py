"""The bed itself: Asterisk starts, answers on its console and knows its accounts."""

import pytest

from tests.bed.asterisk import Asterisk
from tests.bed.guest import Guest

pytestmark = pytest.mark.peer


def test_asterisk_answers_with_both_fax_modules(asterisk: Asterisk) -> None:
    assert "res_fax_spandsp.so" in asterisk.cli("module show like res_fax")


def test_no_fax_has_run_in_a_new_bed(asterisk: Asterisk) -> None:
    assert asterisk.results() == []


@pytest.mark.kernel
def test_guest_has_cuse_and_returns_status_and_output(uml: Guest) -> None:
    done = uml(["bash", "-c", "stat -c %F /dev/cuse; echo to stderr >&2; exit 3"])
    assert (done.returncode, done.stdout.strip(), done.stderr.strip()) == (
        3,
        "character special file",
        "to stderr",
    )
