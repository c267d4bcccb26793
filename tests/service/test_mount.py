"""The mounted status, for real: this machine's kernel has FUSE, or the test says that it has not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest

from cusemodem.status_files import metrics, tree, wav_header
from tests.service.running import CUSEMODEM, TIMEOUT_S, RunningService, eventually

LINE = {
    "name": "ttyIAX0",
    "device": "/dev/ttyIAX0",
    "state": "ready",
    "registered": "yes",
    "open": 1,
    "call": None,
}
STATUS = {"service": {"workers": [{"ticks": 7, "ticks_skipped": 0, "cpu_s": 0.5}]}, "lines": [LINE]}


def test_metrics_are_prometheus_text() -> None:
    text = metrics({**STATUS, "lines": [{**LINE, "name": 'odd"name'}]})
    assert 'cusemodem_line_ready{line="odd\\"name"} 1\n' in text
    assert '# TYPE cusemodem_ticks_total counter\ncusemodem_ticks_total{worker="0"} 7\n' in text
    for line in text.splitlines():
        assert line.startswith(("# HELP cusemodem_", "# TYPE cusemodem_", "cusemodem_"))


def test_a_wav_that_grows_can_be_read(tmp_path: Path) -> None:
    call = tmp_path / "ttyIAX0" / "20261124T101502.123"
    call.mkdir(parents=True)
    (call / "ttyIAX0-iax.raw").write_bytes(bytes(range(200)))
    files = tree(STATUS, tmp_path)["lines"]["ttyIAX0"]  # type: ignore[index,call-overload]
    assert sorted(files) == ["rx.wav", "status"]
    wav = files["rx.wav"]
    opened = wav.open()
    try:
        data = opened.read(0, 1000)
        assert wav.size() == len(data)
        assert (opened.read(40, 10), opened.read(44, 2)) == (data[40:50], bytes([0, 1]))
        assert opened.read(244, 1000) == b""
        (call / "ttyIAX0-iax.raw").write_bytes(bytes(range(250)))
        assert (wav.size(), opened.read(244, 1000)) == (294, bytes(range(200, 250)))
    finally:
        opened.close()
    assert data[44:] == bytes(range(200))
    with wave.open(BytesIO(wav_header(200) + data[44:])) as played:
        assert (played.getframerate(), played.getnframes()) == (8000, 100)


@contextmanager
def _mounted(service: RunningService) -> Iterator[Path]:
    where = service.root / "mounted"
    where.mkdir()
    command = [*CUSEMODEM, "mount", str(where), "--config", str(service.etc)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: where.is_mount() or process.poll() is not None)
        assert process.poll() is None, process.communicate()[1]
        yield where
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, err) == (0, "")
    assert not where.is_mount()


@pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="no /dev/fuse here")
def test_the_mounted_status(tmp_path: Path) -> None:
    with RunningService(tmp_path) as service:
        service.modem(0)
        service.modem(1)
        service.start()
        recording = tmp_path / "state" / "recordings" / "ttyIAX1" / "20261124T101502.123"
        recording.mkdir(parents=True)
        raw = recording / "ttyIAX1-iax.raw"
        raw.write_bytes(bytes(320))
        with _mounted(service) as where:
            assert sorted(path.name for path in where.iterdir()) == ["lines", "service"]
            assert sorted(path.name for path in (where / "lines").iterdir()) == ["ttyIAX0", "ttyIAX1"]
            assert (where / "lines/ttyIAX0/status").read_text() == "ready, registered: no, port closed\n"
            assert len((where / "lines/ttyIAX1/rx.wav").read_bytes()) == 44 + 320
            with raw.open("ab") as more:
                more.write(bytes(320))
            assert len((where / "lines/ttyIAX1/rx.wav").read_bytes()) == 44 + 640, "it grows"
            with (where / "lines/ttyIAX1/rx.wav").open("rb", buffering=0) as listener:
                assert len(listener.read(100_000)) == 44 + 640
                assert listener.read(1000) == b""
                with raw.open("ab") as more:
                    more.write(b"live")
                assert os.fstat(listener.fileno()).st_size == 44 + 644
                assert listener.read(1000) == b"live", "also for who listens, such as tail -f"
            assert 'cusemodem_line_ready{line="ttyIAX0"} 1' in (where / "service/metrics").read_text()
            status = json.loads((where / "service/status.json").read_text())
            assert [line["name"] for line in status["lines"]] == ["ttyIAX0", "ttyIAX1"]
            assert not (where / "lines/ttyIAX0/call.json").exists()
            with pytest.raises(OSError, match="Read-only"):
                (where / "lines/ttyIAX0/status").write_text("no")
            host = os.open(tmp_path / "ttyIAX0", os.O_RDWR | os.O_NOCTTY)
            eventually(lambda: "port open" in (where / "lines/ttyIAX0/status").read_text())
            os.close(host)
            service.stop()
            eventually(lambda: _error(where / "lines") == "Host is down")


def _error(path: Path) -> str:
    try:
        list(path.iterdir())
    except OSError as error:
        return str(error.strerror)
    return ""


def test_where_nothing_can_be_mounted(tmp_path: Path) -> None:
    done = subprocess.run(
        [*CUSEMODEM, "mount", str(tmp_path / "none")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f"cusemodem mount: {tmp_path}/none: no such directory; make it first\n"
