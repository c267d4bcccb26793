"""`cusemodem tx` and `cusemodem rx`: one modulation as a filter between bytes and audio."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cusemodem.arguments import Commands, add_command
from cusemodem.byte_streams import StreamError, read_input, write_output

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dsp import Measures

CODES = {
    ("v27ter", 2400): 24,
    ("v27ter", 4800): 48,
    ("v29", 4800): 2948,  # dsp's own: T.31 has none for it
    ("v29", 7200): 72,
    ("v29", 9600): 96,
    ("v17", 7200): 73,
    ("v17", 9600): 97,
    ("v17", 12000): 121,
    ("v17", 14400): 145,
}
"""(modulation, rate) → T.31 code, as dsp knows it; V.17 with short training has the next one."""
MODULATIONS = ("v21", "v27ter", "v29", "v17")
BLOCK = 160

AUDIO = "raw signed 16-bit little-endian, 8000 samples a second, mono"


def add_tx(commands: Commands) -> None:
    """The sub-command `tx`."""
    parser = add_command(
        commands,
        "tx",
        _tx,
        "turn bytes on stdin into one burst of audio on stdout",
        f"""\
The burst is training, the bytes (least significant bit first) and the turn-off.
Audio is {AUDIO}.
v21 takes one HDLC frame in hex a line (address and control first, no check
octets) and sends them all on one carrier.

  echo ff1384 | cusemodem tx --modulation v21 > cfr.raw
  cusemodem tx --modulation v29 --rate 9600 < data > burst.raw""",
    )
    _add_modulation(parser)
    parser.add_argument(
        "--level-dbm0", metavar="L", type=float, default=-14.0, help="-60 to -3 dBm0 (default %(default)s)"
    )


def add_rx(commands: Commands) -> None:
    """The sub-command `rx`."""
    parser = add_command(
        commands,
        "rx",
        _rx,
        "turn audio on stdin into the bytes it carries on stdout",
        f"""\
Audio is {AUDIO}.
What comes out are the bits after training, packed least significant bit first.
v21 gives a line for each frame: its octets in hex, then `ok` or `bad` for the
check sequence. The last line on stderr is a JSON object of what was measured:
trained, level_dbm0, snr_db, …. Exit status 1: nothing was received.
With --short a long training is taken too, and teaches what short ones after it
rely on: let one rx hear both.

  cusemodem rx --modulation v29 --rate 9600 < burst.raw > data""",
    )
    _add_modulation(parser)
    parser.add_argument(
        "--lost",
        metavar="MASK",
        type=Path,
        help="file of one byte for each 160 samples; 1: that block never arrived, its samples are a stand-in",
    )
    parser.add_argument(
        "--symbols",
        metavar="FILE",
        type=Path,
        help="write every symbol there, training and data, for a plot: a line of four numbers, the received "
        "and the decided point; not with v21, which has none",
    )


def _add_modulation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--modulation", choices=MODULATIONS, required=True)
    rates = ", ".join(f"{modulation} {rate}" for modulation, rate in CODES)
    parser.add_argument("--rate", type=int, metavar="R", help=f"bit/s: v21 300, {rates}")
    parser.add_argument(
        "--short", action="store_true", help="v17's short training, which relies on what a long one taught"
    )


class _UsageError(Exception):
    """The options do not fit each other."""


def _code(options: argparse.Namespace) -> int:
    """The T.31 code for --modulation and --rate; 3 is V.21."""
    modulation, rate = options.modulation, options.rate
    if options.short and modulation != "v17":
        raise _UsageError(f"{modulation} has no short training; --short belongs to v17")
    if modulation == "v21":
        if rate not in (None, 300):
            raise _UsageError(f"v21 has 300 bit/s, not {rate}")
        return 3
    rates = [r for m, r in CODES if m == modulation]
    if rate not in rates:
        given = "needs --rate" if rate is None else f"has no {rate} bit/s; give --rate"
        raise _UsageError(f"{modulation} {given} {' or '.join(map(str, rates))}")
    return CODES[modulation, rate] + (1 if options.short else 0)


def _tx(options: argparse.Namespace) -> int:
    try:
        code = _code(options)
        if not -60.0 <= options.level_dbm0 <= -3.0:
            raise _UsageError(f"--level-dbm0 {options.level_dbm0:g} is not from -60 to -3")
    except _UsageError as error:
        return _complain("tx", error, 2)
    try:
        samples = _burst(code, read_input(), options.level_dbm0)
        write_output(samples.astype("<i2").tobytes())
    except (StreamError, ValueError) as error:
        return _complain("tx", error, 1)
    return 0


def _burst(code: int, data: bytes, level_dbm0: float) -> NDArray[np.int16]:
    from dsp import burst  # noqa: PLC0415 - brings numba

    if code != 3:
        return burst.transmit(code, data, level_dbm0=level_dbm0)
    frames = []
    for number, line in enumerate(data.decode("ascii", "replace").splitlines(), 1):
        try:
            frame = bytes.fromhex(line)
        except ValueError:
            raise ValueError(f"stdin line {number}: not hex; write for example ff1384") from None
        if frame:
            frames.append(frame)
    if not frames:
        raise ValueError("stdin has no frame; write for example ff1384")
    return burst.transmit_frames(frames, level_dbm0=level_dbm0)


def _rx(options: argparse.Namespace) -> int:
    try:
        code = _code(options)
        if code == 3 and options.symbols:
            raise _UsageError("v21 has no symbols; --symbols belongs to the other modulations")
    except _UsageError as error:
        return _complain("rx", error, 2)
    try:
        out, measures, received = _heard(options, code)
        write_output(out)
    except BrokenPipeError:
        raise
    except (OSError, StreamError, ValueError) as error:
        return _complain("rx", error, 1)
    print(json.dumps(_report(measures, trained=received, v21=code == 3)), file=sys.stderr)
    return 0 if received else 1


def _heard(options: argparse.Namespace, code: int) -> tuple[bytes, Measures, bool]:
    """What goes to stdout for the audio on stdin, what was measured, and whether anything was received."""
    import numpy as np  # noqa: PLC0415

    from dsp import burst  # noqa: PLC0415

    raw = read_input()
    if len(raw) % 2:
        raise ValueError(f"stdin has {len(raw)} bytes, an odd number: not 16-bit samples")
    samples = np.frombuffer(raw, "<i2").astype(np.int16)
    lost = None if options.lost is None else _read_mask(options.lost, -(-len(samples) // BLOCK))
    if code != 3:
        data, measures = _receive(code, samples, lost, options.symbols)
        return data, measures, measures.n_trained > 0
    frames, measures = burst.receive_frames(samples, lost)
    lines = [f"{frame.data[:-2].hex()} {'ok' if frame.fcs_ok else 'bad'}\n" for frame in frames]
    return "".join(lines).encode(), measures, bool(frames)


def _receive(
    code: int, samples: NDArray[np.int16], lost: NDArray[np.bool_] | None, symbols: Path | None
) -> tuple[bytes, Measures]:
    """The data of a fast modulation and the measures; its symbols into that file, if one is named."""
    from dsp import burst  # noqa: PLC0415

    if symbols is None:
        return burst.receive(code, samples, lost)
    try:
        with symbols.open("w", encoding="ascii") as file:

            def write(received: NDArray[np.complex64], decided: NDArray[np.complex64]) -> None:
                for u, d in zip(received.tolist(), decided.tolist(), strict=True):
                    file.write(f"{u.real:.4f} {u.imag:.4f} {d.real:.4f} {d.imag:.4f}\n")

            return burst.receive(code, samples, lost, write)
    except OSError as error:
        raise ValueError(f"{symbols}: {error.strerror}") from None


def _read_mask(path: Path, n_blocks: int) -> NDArray[np.bool_]:
    import numpy as np  # noqa: PLC0415

    marks = np.frombuffer(path.read_bytes(), np.uint8)
    if len(marks) != n_blocks:
        raise ValueError(f"{path} has {len(marks)} marks, but the samples make {n_blocks} blocks of {BLOCK}")
    if not np.isin(marks, (0, 1)).all():
        raise ValueError(f"{path} has bytes other than 0 and 1; write the values themselves, not the digits")
    return marks.astype(np.bool_)


def _report(measures: Measures, *, trained: bool, v21: bool) -> dict[str, Any]:
    report: dict[str, Any] = dataclasses.asdict(measures)
    for name in ("snr_db", "carrier_offset_hz"):  # one of them has been heard
        of_v21 = report.pop(f"v21_{name}")
        report[name] = of_v21 if v21 else report[name]
    report["lost_samples"] = report.pop("n_lost_blocks") * BLOCK
    report["trained"] = trained
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in report.items()}


def _complain(command: str, error: object, status: int) -> int:
    print(f"cusemodem {command}: {error}", file=sys.stderr)
    return status
