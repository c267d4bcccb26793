"""The command line as its users meet it: arguments in; words, bytes and an exit status out."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from cusemodem import cli, compile_command
from cusemodem.signal_command import CODES
from dsp.qam_tables import MODULATIONS

CUSEMODEM = [sys.executable, "-c", "import sys; from cusemodem.cli import main; sys.exit(main())"]


def _run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own: its streams are real, and so is its exit status."""
    return subprocess.run(
        [*CUSEMODEM, *arguments], input=stdin, capture_output=True, timeout=120, check=False
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "ttyIAX0").write_text("[modem]\npeername = fax0\n")
    return tmp_path


def _outcome(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = cli.main(arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


# --- check --------------------------------------------------------------------------------------------------


def test_check_says_ok_and_nothing_else(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _outcome(capsys, "check", str(directory / "ttyIAX0")) == (0, "ok\n", "")
    (directory / "ttyIAX1").write_text("peername fax1\n")
    (directory / "ttyIAX1~").write_text("what an editor leaves")
    assert _outcome(capsys, "check", "--config", str(directory)) == (0, "ok\nok\n", "")


def test_check_of_one_file_is_as_the_service_reads_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main, modem = tmp_path / "cusemodem.conf", tmp_path / "ttyIAX0"
    main.write_text("[service]\nworkers = 2\n[defaults]\nrefresh = 0\n")
    modem.write_text("[modem]\nport = any\n")  # no peername: refresh = 0 of the defaults
    config = ["--config", str(tmp_path)]
    assert _outcome(capsys, "check", str(main), str(modem), *config) == (0, "ok\nok\n", "")
    monkeypatch.chdir(tmp_path)
    assert _outcome(capsys, "check", "cusemodem.conf") == (0, "ok\n", "")
    main.write_text("[service]\nworker = 2\n")
    status, out, _ = _outcome(capsys, "check", "cusemodem.conf", str(modem), *config)
    assert status == 1
    assert out.splitlines() == [
        "cusemodem.conf:2: worker: is no key; did you mean workers?",
        f"{modem}:1: peername: is missing; write the name the server knows this modem by, or refresh 0 for "
        "no registration",
    ]
    status, out, _ = _outcome(capsys, "check", str(tmp_path / "none" / "cusemodem.conf"))
    assert out.startswith(f"{tmp_path}/none/cusemodem.conf: cannot be read (No such file or directory); ")


def test_check_names_each_mistake(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = directory / "ttyIAX1"
    bad.write_text("[modem]\npeername = x\nsevrer = pbx\nport = 99999\n")
    status, out, err = _outcome(capsys, "check", "--config", str(directory))
    assert (status, err) == (1, "")
    assert out.splitlines() == [
        "ok",
        f"{bad}:3: sevrer: is no key; did you mean server?",
        f"{bad}:4: port: '99999' is out of place; write a UDP port from 1 to 65535, or any",
    ]


def test_check_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = _outcome(capsys, "check", "--config", str(tmp_path))
    assert (status, out) == (1, "")
    assert err == f"cusemodem: {tmp_path}: no configuration there; write one, see cusemodem(5)\n"
    status, out, err = _outcome(capsys, "check", str(tmp_path / "none"))
    assert (status, err) == (1, "")
    assert out.startswith(f"{tmp_path}/none: cannot be read (No such file or directory); ")


# --- running a modem ----------------------------------------------------------------------------------------


def test_name_runs_the_modem_of_that_file(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import cusemodem.run

    ran: list[object] = []

    def run_modem(config: object, service: object) -> int:
        ran.append(config)
        return 7

    monkeypatch.setattr(cusemodem.run, "run_modem", run_modem)
    for arguments in (
        ["ttyIAX0", "--config", str(directory)],
        ["--config", str(directory), "ttyIAX0"],
        ["run", f"--config={directory}", "ttyIAX0", "--pty"],
    ):
        assert cli.main(arguments) == 7
    assert [getattr(config, "peername", None) for config in ran] == ["fax0"] * 3
    assert [getattr(config, "adapter", None) for config in ran] == ["auto", "auto", "pty"]


def test_keys_without_effect_are_named_at_the_start(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import cusemodem.run

    monkeypatch.setattr(cusemodem.run, "run_modem", lambda config, service: 0)
    (directory / "ttyIAX0").write_text("peername x\nrecord\ndspdebug\nskew 5\n")
    status, out, err = _outcome(capsys, "ttyIAX0", "--config", str(directory))
    assert (status, out) == (0, "")
    assert err == "cusemodem: ttyIAX0: skew has no effect: the modem follows the far end's clock by itself\n"


def test_a_modem_that_is_not_configured(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = _outcome(capsys, "ttyIAX9", "--config", str(directory))
    assert (status, out) == (1, "")
    assert err == f"cusemodem: {directory}/ttyIAX9: there is no such configuration; there is ttyIAX0\n"


def test_a_mistyped_command_is_not_only_a_missing_modem(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = _outcome(capsys, "exchagne", "--config", str(directory))
    assert status == 1
    assert err.endswith("there is ttyIAX0; or did you mean the command exchange?\n")


def test_a_bad_configuration_does_not_start(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "ttyIAX0").write_text("[modem]\npeername = x\nsevrer = pbx\ncodec = mp3\n")
    status, out, err = _outcome(capsys, "ttyIAX0", "--config", str(directory))
    assert (status, out) == (1, "")
    assert [line.split(": ")[1:3] for line in err.splitlines()] == [
        [f"{directory}/ttyIAX0:3", "sevrer"],
        [f"{directory}/ttyIAX0:4", "codec"],
    ]


@pytest.mark.parametrize("arguments", [(), ("-F",)])
def test_a_service_without_modems_says_so(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = _outcome(capsys, "--config", str(tmp_path), *arguments)
    assert (status, out) == (1, "")
    assert err == f"cusemodem: {tmp_path}: no modem there to serve; write one, see cusemodem(5)\n"


# --- words -------------------------------------------------------------------------------------------------


def test_versions(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = _outcome(capsys, "-V")
    assert status == 0
    assert out.startswith("cusemodem 0.")
    assert "numba" in out


@pytest.mark.parametrize("command", [[], *([name] for name in cli.command_line()[1])])
def test_every_command_has_help_within_a_terminal(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    status, out, err = _outcome(capsys, *command, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: {' '.join(['cusemodem', *command])}")
    assert max(map(len, out.splitlines())) <= 110


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("check", "--nonsense"), "cusemodem: unrecognized arguments: --nonsense; see cusemodem --help"),
        (("ttyIAX0", "ttyIAX1"), "cusemodem: unrecognized arguments: ttyIAX1; see cusemodem --help"),
        (("--nonsense",), "cusemodem: unrecognized arguments: --nonsense; see cusemodem --help"),
        (
            ("tx",),
            "cusemodem tx: the following arguments are required: --modulation; see cusemodem tx --help",
        ),
        (("tx", "--modulation", "v29"), "cusemodem tx: v29 needs --rate 4800 or 7200 or 9600"),
        (
            ("rx", "--modulation", "v29", "--rate", "1"),
            "cusemodem rx: v29 has no 1 bit/s; give --rate 4800 or 7200 or 9600",
        ),
        (("rx", "--modulation", "v21", "--rate", "9600"), "cusemodem rx: v21 has 300 bit/s, not 9600"),
        (
            ("tx", "--modulation", "v17", "--rate", "4800"),
            "cusemodem tx: v17 has no 4800 bit/s; give --rate 7200 or 9600 or 12000 or 14400",
        ),
        (
            ("tx", "--modulation", "v21", "--short"),
            "cusemodem tx: v21 has no short training; --short belongs to v17",
        ),
        (
            ("tx", "--modulation", "v21", "--level-dbm0", "3"),
            "cusemodem tx: --level-dbm0 3 is not from -60 to -3",
        ),
        (
            ("exchange", "--listen", "4569"),
            "cusemodem exchange: argument --listen: '4569' is not HOST:PORT, for example 127.0.0.1:4569; "
            "see cusemodem exchange --help",
        ),
        (
            ("exchange", "--listen", "127.0.0.1:0", "--loss", "2"),
            "cusemodem exchange: argument --loss: '2' is not a share from 0 to 1; "
            "see cusemodem exchange --help",
        ),
        (
            ("exchange", "--listen", "127.0.0.1:0", "--jitter-ms", "nan"),
            "cusemodem exchange: argument --jitter-ms: 'nan' is not a time from 0 to 10000 ms; "
            "see cusemodem exchange --help",
        ),
        (
            ("exchange", "--listen", "127.0.0.1:0", "--peer", "a:b:1", "--peer", "c:d:1"),
            "cusemodem exchange: account 'c': '1' is already taken; give each peer its own",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    arguments: tuple[str, ...], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _outcome(capsys, *arguments) == (2, "", f"{error}\n")


def test_words_come_without_the_signal_processing() -> None:
    """--help and check must be quick: neither numba nor trio nor numpy is imported for them."""
    probe = (
        "import sys; from cusemodem.cli import main; main(['check', '/dev/null']); main(['--help']);"
        "print(sorted({'numba', 'numpy', 'trio', 'rich', 'dsp', 'iax'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_has_gone_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as broken:
        done = subprocess.run(
            [*CUSEMODEM, "-V"], stdout=broken, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (141, b"")


# --- tx and rx ----------------------------------------------------------------------------------------------


def test_v21_frames_through_tx_and_rx() -> None:
    frames = b"ff03400102030405\nff1384\n"
    sent = _run("tx", "--modulation", "v21", stdin=frames)
    assert (sent.returncode, sent.stderr) == (0, b"")
    samples = np.frombuffer(sent.stdout, "<i2")
    assert 8000 < len(samples) < 24000  # a preamble of 1 s, two frames at 300 bit/s
    received = _run("rx", "--modulation", "v21", "--rate", "300", stdin=sent.stdout)
    assert received.stdout == b"ff03400102030405 ok\nff1384 ok\n"
    report = json.loads(received.stderr.splitlines()[-1])
    assert report["trained"] is True
    assert report["lost_samples"] == 0
    assert report["level_dbm0"] == pytest.approx(-14.0, abs=0.5)
    assert received.returncode == 0


def test_a_damaged_frame_is_bad() -> None:
    samples = np.frombuffer(
        _run("tx", "--modulation", "v21", stdin=b"ff1384aaaaaaaaaa\n").stdout, "<i2"
    ).copy()
    middle = len(samples) - 1600  # the frame is near the end, behind its preamble
    samples[middle : middle + 60] = 0
    done = _run("rx", "--modulation", "v21", stdin=samples.tobytes())
    assert not done.stdout.endswith(b" ok\n")


@pytest.mark.parametrize(("modulation", "rate"), CODES)
def test_fast_bytes_through_tx_and_rx(modulation: str, rate: int) -> None:
    options = ("--modulation", modulation, "--rate", str(rate))
    data = random.Random(rate).randbytes(rate // 8)
    sent = _run("tx", *options, "--level-dbm0", "-20", stdin=data)
    assert (sent.returncode, sent.stderr) == (0, b"")
    done = _run("rx", *options, stdin=sent.stdout)
    assert done.stdout.startswith(data)
    assert len(done.stdout) < len(data) + 30  # the turn-off cannot be told from data
    report = json.loads(done.stderr.splitlines()[-1])
    assert report["trained"] is True
    assert report["level_dbm0"] == pytest.approx(-20.0, abs=1.0)
    assert abs(report["carrier_offset_hz"]) < 1
    assert done.returncode == 0


def test_the_codes_are_the_modulations() -> None:
    known = {m.code: (m.name, m.bit_rate) for m in MODULATIONS}
    names = {"v27ter": "V.27ter", "v29": "V.29", "v17": "V.17"}
    assert {(names[modulation], rate) for modulation, rate in CODES} == {
        (name, rate) for name, rate in known.values() if name in names.values()
    }
    for (modulation, rate), code in CODES.items():
        assert known[code] == (names[modulation], rate)
        assert modulation != "v17" or known[code + 1] == ("V.17 short", rate)


@pytest.mark.parametrize("rate", [7200, 14400])
def test_a_short_training_after_a_long_one(rate: int) -> None:
    """One `rx --short` hears both, as a receiver of a fax does: TCF, then the page, on a bad line."""
    options = ("--modulation", "v17", "--rate", str(rate))
    tcf, page = bytes(100), random.Random(rate).randbytes(rate // 8)
    pause = bytes(2 * 800)
    sent = _run("tx", *options, stdin=tcf).stdout + pause + _run("tx", *options, "--short", stdin=page).stdout
    heard = _run(
        "channel", "--shape", "bell-3002", "--snr-db", "32", "--before-s", "0.2", "--after-s", "0.2",
        "--codec", "alaw", "--seed", "1", stdin=sent,
    ).stdout  # fmt: skip
    done = _run("rx", *options, "--short", stdin=heard)
    report = json.loads(done.stderr.splitlines()[-1])
    assert (done.returncode, report["n_trained"], report["n_training_failed"]) == (0, 2, 0)
    assert done.stdout.startswith(tcf)
    assert page in done.stdout[len(tcf) :]
    alone = _run("rx", *options, "--short", stdin=heard[len(heard) - len(sent) // 2 :])
    assert page not in alone.stdout


def test_rx_writes_every_symbol_for_a_plot(tmp_path: Path) -> None:
    sent = _run("tx", "--modulation", "v29", "--rate", "9600", stdin=bytes(range(100)))
    file = tmp_path / "symbols"
    done = _run("rx", "--modulation", "v29", "--rate", "9600", "--symbols", str(file), stdin=sent.stdout)
    assert done.stdout[:100] == bytes(range(100))
    points = [[float(word) for word in line.split()] for line in file.read_text().splitlines()]
    assert len(points) > 200  # the data alone
    assert all(len(point) == 4 for point in points)
    assert max(abs(complex(a, b) - complex(c, d)) for a, b, c, d in points[:-30]) < 0.1
    nowhere = _run(
        "rx", "--modulation", "v29", "--rate", "9600", "--symbols", str(tmp_path), stdin=sent.stdout
    )
    assert nowhere.returncode == 1
    assert b"Is a directory" in nowhere.stderr
    v21 = _run("rx", "--modulation", "v21", "--symbols", str(file))
    assert v21.returncode == 2
    assert b"v21 has no symbols" in v21.stderr


def test_rx_reports_snr_and_carrier_offset_of_v21() -> None:
    sent = _run("tx", "--modulation", "v21", stdin=b"ff1384\n")
    heard = _run("channel", "--snr-db", "20", "--carrier-hz", "5", "--seed", "1", stdin=sent.stdout)
    report = json.loads(_run("rx", "--modulation", "v21", stdin=heard.stdout).stderr.splitlines()[-1])
    assert 13 < report["snr_db"] < 22
    assert 3 < report["carrier_offset_hz"] < 7
    assert not any(name.startswith("v21") for name in report)


def test_rx_of_silence_fails_with_a_report() -> None:
    done = _run("rx", "--modulation", "v29", "--rate", "9600", stdin=bytes(32000))
    assert (done.returncode, done.stdout) == (1, b"")
    assert json.loads(done.stderr)["trained"] is False


def test_lost_blocks_are_counted(tmp_path: Path) -> None:
    sent = _run("tx", "--modulation", "v21", stdin=b"ff1384\n").stdout
    n_blocks = -(-len(sent) // 320)
    mask = tmp_path / "mask"
    mask.write_bytes(bytes(i in (3, 4) for i in range(n_blocks)))
    done = _run("rx", "--modulation", "v21", "--lost", str(mask), stdin=sent)
    assert json.loads(done.stderr.splitlines()[-1])["lost_samples"] == 320
    mask.write_bytes(b"\0")
    assert (
        b"has 1 marks, but the samples make"
        in _run("rx", "--modulation", "v21", "--lost", str(mask), stdin=sent).stderr
    )
    mask.write_bytes(b"0" * n_blocks)
    assert (
        b"bytes other than 0 and 1"
        in _run("rx", "--modulation", "v21", "--lost", str(mask), stdin=sent).stderr
    )
    gone = _run("rx", "--modulation", "v21", "--lost", str(tmp_path / "none"), stdin=sent)
    assert gone.returncode == 1
    assert gone.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("arguments", "stdin", "error"),
    [
        (
            ("tx", "--modulation", "v21"),
            b"ff1384\nxyz\n",
            b"cusemodem tx: stdin line 2: not hex; write for example ff1384\n",
        ),
        (
            ("tx", "--modulation", "v21"),
            b"\n",
            b"cusemodem tx: stdin has no frame; write for example ff1384\n",
        ),
        (
            ("rx", "--modulation", "v21"),
            b"abc",
            b"cusemodem rx: stdin has 3 bytes, an odd number: not 16-bit samples\n",
        ),
    ],
)
def test_bad_input_is_one_line_and_status_1(arguments: tuple[str, ...], stdin: bytes, error: bytes) -> None:
    done = _run(*arguments, stdin=stdin)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", error)


@pytest.mark.parametrize(
    "command", ["tx --modulation v29 --rate 9600", "rx --modulation v29 --rate 9600", "channel"]
)
def test_streams_of_no_use_are_one_line_and_status_1(command: str) -> None:
    name = command.split(maxsplit=1)[0]
    program = f"{shlex.join(CUSEMODEM)} {command}"
    audio = bytes(16000)
    if name == "rx":
        audio = _run("tx", "--modulation", "v29", "--rate", "9600", stdin=bytes(100)).stdout
    for redirection, said in (
        ("> /dev/full", "stdout: No space left on device"),
        ("<&-", "stdin is closed; give it a file or a pipe"),
        (">&-", "stdout is closed; give it a file or a pipe"),
    ):
        done = subprocess.run(
            ["sh", "-c", f"{program} {redirection}"],
            input=audio,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr.decode()) == (1, f"cusemodem {name}: {said}\n")


# --- exchange and compile -----------------------------------------------------------------------------------


def test_the_exchange_listens_until_it_is_told_to_stop() -> None:
    command = [
        *CUSEMODEM,
        "exchange",
        "--listen",
        "127.0.0.1:0",
        "--peer",
        "a:b:1",
        "--loss",
        "0.1",
        "--seed",
        "3",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as exchange:
        assert exchange.stdout is not None
        line = exchange.stdout.readline()
        assert line.startswith("listening on 127.0.0.1:")
        port = int(line.rpartition(":")[2])
        taken = _run("exchange", "--listen", f"127.0.0.1:{port}")
        assert taken.returncode == 1
        assert taken.stderr.startswith(b"cusemodem exchange: ")
        assert taken.stderr.count(b"\n") == 1
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.sendto(b"garbage", ("127.0.0.1", port))
        exchange.send_signal(signal.SIGTERM)
        assert exchange.wait(10) == 0
        assert exchange.stderr is not None
        assert exchange.stderr.read() == ""


def test_compile_is_quiet_without_a_terminal() -> None:
    done = _run("compile")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_second_compile_does_not_even_load_the_compiler(tmp_path: Path) -> None:
    """So that a unit may have it in ExecStartPre= at no cost; but only while nothing has changed."""
    (tmp_path / compile_command.STAMP_NAME).write_text(compile_command._stamp())
    (tmp_path / "kernel.nbc").touch()
    code = (
        "import sys; from cusemodem.cli import main; status = main(['compile']); "
        "sys.exit(status or 'numba' in sys.modules)"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
    assert compile_command._read(tmp_path / compile_command.STAMP_NAME) == compile_command._stamp()
    (tmp_path / "kernel.nbc").unlink()
    assert compile_command._read(tmp_path / compile_command.STAMP_NAME) == "", "the code has been deleted"


@contextmanager
def _as_somebody_else() -> Iterator[None]:
    """Root may read everything."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize(
    "command", [["status"], ["report"], ["check"], ["run", "ttyIAX0"], ["config", "hylafax"], ["-F"]]
)
def test_a_configuration_that_we_may_not_look_at_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "ttyIAX0").write_text("[modem]\npeername = fax0\n")
    etc.chmod(0o000)
    try:
        with _as_somebody_else():
            assert cli.main([*command, "--config", str(etc)]) == 1
    finally:
        etc.chmod(0o700)
    (said,) = capsys.readouterr().err.splitlines()
    good = r"cusemodem: \S+: cannot .*\(Permission denied\); run as a user who may.*"
    assert re.fullmatch(good, said), said
