import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dsp
from dsp.kernel import records, source_stamp

PACKAGE = Path(dsp.__file__).parent


def test_the_cache_notices_a_change_in_any_file_a_kernel_is_built_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "dsp"
    copy.mkdir()
    for source in PACKAGE.glob("*.py"):
        (copy / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr("dsp.kernel._PACKAGE", copy)

    def stamps() -> None:
        monkeypatch.setattr("dsp.kernel._stamps", {})
        return {name: source_stamp(copy / f"{name}.py") for name in ("bank", "v21", "level")}

    before = stamps()
    with (copy / "hdlc.py").open("a") as file:
        file.write("# changed\n")
    after = stamps()
    assert after["bank"] != before["bank"]  # bank -> channel -> v21 -> hdlc
    assert after["v21"] != before["v21"]
    assert after["level"] == before["level"]


def test_records_have_attributes_all_the_way_down() -> None:
    inner = np.dtype([("x", "f4", (3,))])
    outer = np.dtype([("inner", inner), ("n", "i4")])
    state = records(outer, 2)
    state[1].inner.x[2] = 5.0
    assert state["inner"]["x"][1].tolist() == [0, 0, 5]


def test_the_kernels_run_uncompiled() -> None:
    script = (
        "from dsp import burst\n"
        "frames, _ = burst.receive_frames(burst.transmit_frames([b'\\xff\\x13\\x84']))\n"
        "assert [f.fcs_ok for f in frames] == [True]\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
