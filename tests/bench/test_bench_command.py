"""`python -m bench`: which benches there are, and what it hands on to them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers import spandsp_peer as peer

ROOT = Path(__file__).parents[2]


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_every_bench_is_listed() -> None:
    done = bench("--list")
    assert done.returncode == 0
    names = [line.split()[0] for line in done.stdout.splitlines()]
    commands = {
        path.stem for path in (ROOT / "bench").glob("*.py") if "def main() -> int" in path.read_text()
    }
    assert set(names) <= commands
    assert {"dsp", "first_light", "iax", "port"} <= set(names)
    assert names == sorted(names)


def test_an_unknown_bench_is_a_usage_error_that_says_which_there_are() -> None:
    done = bench("dps", "--quick")
    assert done.returncode == 2
    assert "no bench dps; there are dsp, first_light" in done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(not peer.available(), reason="there is no libspandsp")
def test_options_are_handed_on_and_rows_collected() -> None:
    done = bench("dsp", "--quick", "--only", "memory", "--json")
    assert done.returncode == 0
    rows = json.loads(done.stdout)
    assert [row["name"] for row in rows["dsp"]] == ["state of one channel"]
    assert rows["dsp"][0]["ours"] < 64


def test_a_bench_that_fails_is_said_to_have_failed() -> None:
    done = bench("dsp", "--only", "nosuch")
    assert done.returncode == 1
    assert "bench: dsp failed, exit status " in done.stderr
