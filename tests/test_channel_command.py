"""`cusemodem channel` between `tx` and `rx`, as processes and pipes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cusemodem import channel_command, cli
from dsp import burst
from dsp.level import dbm0_to_rms, measure_dbm0
from dsp.line_model import (
    FILLS,
    LAWS,
    SHAPES,
    BlockLoss,
    ClockOffset,
    Codec,
    DirectCurrent,
    Gain,
    Idle,
    Impairment,
    Line,
    ListenerEcho,
    Noise,
    PhaseHits,
    PhaseJitter,
    Slip,
    codecs,
    signal_level_dbm0,
)

CUSEMODEM = [sys.executable, "-c", "import sys; from cusemodem.cli import main; sys.exit(main())"]
DATA = random.Random(1).randbytes(1200)
BURST = burst.transmit(96, DATA)


def _run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*CUSEMODEM, *arguments], input=stdin, capture_output=True, timeout=120, check=False
    )


def _channel(*arguments: str, stdin: bytes = BURST.tobytes()) -> np.ndarray:
    done = _run("channel", *arguments, stdin=stdin)
    assert (done.returncode, done.stderr) == (0, b"")
    return np.frombuffer(done.stdout, "<i2")


def test_the_names_are_the_simulators() -> None:
    assert tuple(SHAPES) == channel_command.SHAPES
    assert tuple(LAWS) == channel_command.LAWS
    assert channel_command.FILLS == FILLS


def test_without_options_nothing_changes() -> None:
    assert np.array_equal(_channel(), BURST)
    assert len(_channel(stdin=b"")) == 0


def test_it_is_the_simulator() -> None:
    heard = _channel(
        "--clock-ppm", "100", "--noise-dbm0", "-40", "--idle-noise-dbm0", "-60", "--codec", "alaw", "--seed=7"
    )  # fmt: skip
    line = Line([ClockOffset(100), Noise(-40, idle_dbm0=-60), Codec("alaw")], seed=7)
    assert np.array_equal(heard, line.run(BURST))


@pytest.mark.parametrize(
    ("arguments", "stages"),
    [
        ("--echo-db 20 --echo-ms 12", [ListenerEcho(0.012, 20)]),
        ("--echo-db 15", [ListenerEcho(0.010, 15)]),
        ("--jitter-deg 10 --jitter-hz 50", [PhaseJitter(10, 50)]),
        ("--jitter-deg 20", [PhaseJitter(20, 60)]),
        ("--phase-hit 0.4:30 --phase-hit 0.6:-20", [PhaseHits([(0.4, 30), (0.6, -20)])]),
        ("--dc 300 --codec ulaw --codec alaw", [DirectCurrent(300), *codecs(["ulaw", "alaw"])]),
        ("--slip 0.5:7 --slip 0.8:-3 --delay-ms 33", [Slip(0.5, 7), Slip(0.8, -3), Idle(0.033)]),
        ("--loss 0.2 --loss-from 0.3 --fill repeat", [BlockLoss(share=0.2, from_s=0.3, fill="repeat")]),
        ("--loss-every 0.2", [BlockLoss(every_s=0.2)]),
        ("--snr-db 90", []),  # so little noise is none
        ("--gain-db -35 --snr-db 70", [Gain(-35)]),
        ("--signal-dbm0 -20 --snr-db 90", []),
    ],
)
def test_options_are_impairments(arguments: str, stages: list[Impairment]) -> None:
    heard = _channel(*arguments.split(), "--seed=5")
    assert np.array_equal(heard, Line(stages, seed=5).run(BURST))


def test_signal_to_noise_ratio_is_measured_at_the_noise() -> None:
    quiet = _channel("--gain-db", "-20", "--shape", "bell-3002").astype(float)
    noisy = _channel("--gain-db", "-20", "--shape", "bell-3002", "--snr-db", "12").astype(float)
    ratio_db = signal_level_dbm0(quiet.astype(np.int16)) - measure_dbm0((noisy - quiet).astype(np.int16))
    assert ratio_db == pytest.approx(12, abs=0.2)
    given = _channel("--snr-db", "12", "--signal-dbm0", "-30").astype(float) - BURST
    assert np.std(given) == pytest.approx(dbm0_to_rms(-42), rel=0.03)


def test_tx_channel_rx(tmp_path: Path) -> None:
    """What the help promises: noise, a fast clock and lost packets, and only these packets are missing."""
    mask = tmp_path / "mask"
    options = ("--modulation", "v29", "--rate", "9600")
    sent = _run("tx", *options, stdin=DATA).stdout
    heard = _run(
        "channel", "--before-s", "0.5", "--after-s", "0.1", "--snr-db", "25", "--clock-ppm", "100", "--codec",
        "alaw", "--loss-at", "1.2", "--lost-mask", str(mask), "--seed", "3", stdin=sent,
    ).stdout  # fmt: skip
    marks = np.frombuffer(mask.read_bytes(), np.uint8)
    assert np.flatnonzero(marks).tolist() == [60]
    assert len(marks) == -(-len(heard) // 320)
    done = _run("rx", *options, "--lost", str(mask), stdin=heard)
    report = json.loads(done.stderr.splitlines()[-1])
    assert report["trained"] is True
    assert report["clock_offset_ppm"] == pytest.approx(100, abs=30)
    assert report["lost_samples"] == 160
    wrong = np.frombuffer(done.stdout[: len(DATA)], np.uint8) != np.frombuffer(DATA, np.uint8)
    first, last = np.flatnonzero(wrong)[[0, -1]]
    assert last - first < 24 + 16  # 24 octets in 20 ms, and what the filters smear


def test_it_does_not_wait_for_the_end() -> None:
    with subprocess.Popen(
        [*CUSEMODEM, "channel", "--gain-db", "-6"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as channel:
        assert channel.stdin is not None
        assert channel.stdout is not None
        channel.stdin.write(BURST[:400].tobytes())
        channel.stdin.flush()
        assert len(channel.stdout.read(640)) == 640  # whole packets: two of 160 samples
        channel.stdin.close()
        assert len(channel.stdout.read()) == 160
        assert channel.wait(10) == 0


@pytest.mark.parametrize(
    ("arguments", "status", "error"),
    [
        (("--loss", "2"), 2, "loss 2.0 is not from 0 to 1"),
        (("--clock-ppm", "nan"), 2, "clock offset nan is not from -10000 to 10000 ppm"),
        (("--noise-dbm0", "30"), 2, "noise 30.0 is not from -99 to 3 dBm0"),
        (("--signal-dbm0", "-14"), 2, "--signal-dbm0 is what --snr-db refers to; give both, or --noise-dbm0"),
        (("--seed", "-1"), 2, "--seed -1 is negative"),
        (("--snr-db", "nan"), 2, "--snr-db nan is not from -50 to 200"),
        (("--snr-db", "10", "--signal-dbm0", "nan"), 2, "--signal-dbm0 nan is not from -99 to 6.2"),
        (
            ("--snr-db", "-30", "--signal-dbm0", "-14"),
            2,
            "--snr-db -30 below a signal of -14.0 dBm0 is noise of 16.0 dBm0, more than samples can hold; "
            "-17 is possible",
        ),
        (("--echo-ms", "5"), 2, "--echo-ms is the delay of an echo; give --echo-db too"),
        (("--jitter-hz", "50"), 2, "--jitter-hz is the rate of phase jitter; give --jitter-deg too"),
        (
            ("--fill", "silence"),
            2,
            "--fill is about lost packets; give --loss, --loss-every or --loss-at too",
        ),
        (
            ("--loss-from", "0"),
            2,
            "--loss-from is about lost packets; give --loss, --loss-every or --loss-at too",
        ),
        (
            ("--slip", "3"),
            2,
            "argument --slip: '3' is not AT:N, for example 1.5:-8; see cusemodem channel --help",
        ),
        (
            ("--phase-hit", "a:b"),
            2,
            "argument --phase-hit: 'a:b' is not AT:D, for example 1.5:30; see cusemodem channel --help",
        ),
        (
            ("--idle-noise-dbm0", "off"),
            2,
            "argument --idle-noise-dbm0: 'off' is neither a level in dBm0 nor `none` nor `same`; "
            "see cusemodem channel --help",
        ),
        (
            ("--lost-mask", "/nonexistent/mask"),
            1,
            "[Errno 2] No such file or directory: '/nonexistent/mask'",
        ),
    ],
)
def test_errors_are_one_line(
    arguments: tuple[str, ...], status: int, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["channel", *arguments]) == status
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"cusemodem channel: {error}\n")


def test_bad_input() -> None:
    loud = _run("channel", "--snr-db", "-30", stdin=BURST.tobytes())  # measured, so found out late
    assert (loud.returncode, loud.stdout) == (2, b"")
    assert loud.stderr.startswith(b"cusemodem channel: --snr-db -30 below a signal of -1")
    assert loud.stderr.count(b"\n") == 1
    full = _run("channel", "--lost-mask", "/dev/full", stdin=bytes(320))
    assert (full.returncode, full.stderr) == (
        1,
        b"cusemodem channel: /dev/full: No space left on device\n",
    )
    odd = _run("channel", stdin=b"abc")
    assert (odd.returncode, odd.stderr) == (
        1,
        b"cusemodem channel: stdin has 3 bytes, an odd number: not 16-bit samples\n",
    )
    silent = _run("channel", "--snr-db", "10", stdin=bytes(3200))
    assert silent.returncode == 1
    assert silent.stderr == (
        b"cusemodem channel: stdin has no signal for --snr-db to refer to; give --noise-dbm0\n"
    )
