"""`cusemodem channel`: audio through the line simulator, as a filter."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cusemodem.arguments import Commands, add_command
from cusemodem.byte_streams import StreamError, input_chunks, write_output

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dsp.line_model import Impairment, Line

SHAPES = ("g712", "loop-short", "loop-long", "loop-loaded", "m1020", "bell-3002")
"""The names of dsp.line_model.SHAPES, here so that --help need not import numpy."""
LAWS = ("ulaw", "alaw")
FILLS = ("silence", "repeat")

#: Noise that is weaker is none, and stronger than the samples can hold.
_LEAST_NOISE_DBM0, _MOST_NOISE_DBM0 = -99.0, 3.0
#: What a signal can have: that of a full-scale square wave.
_MOST_SIGNAL_DBM0 = 6.2
T = TypeVar("T", int, float)


def add(commands: Commands) -> None:
    """The sub-command `channel`."""
    parser = add_command(
        commands,
        "channel",
        _channel,
        "spoil audio as a telephone line and a packet network would",
        """\
Reads and writes raw signed 16-bit little-endian audio, 8000 samples a second,
mono; without options it comes out as it went in. The same --seed brings the same
noise and the same accidents. The impairments act in the order in which they are
listed here: from the sender's clock along the line, through the codecs, to the
packets.

What it takes for V.29 9600 to survive noise, a fast clock and lost packets:

  cusemodem tx --modulation v29 --rate 9600 < data |
    cusemodem channel --before-s 1 --snr-db 25 --clock-ppm 100 \\
      --codec alaw --loss 0.01 --lost-mask mask > heard.raw
  cusemodem rx --modulation v29 --rate 9600 --lost mask < heard.raw | cmp - data""",
    )
    signal = parser.add_argument_group("signal")
    _number(signal, "--before-s", "S", "seconds of silence before it (which noise then fills)")
    _number(signal, "--after-s", "S", "seconds of silence after it")
    _number(signal, "--gain-db", "G", "louder by this much, or weaker if negative")
    line = parser.add_argument_group("line")
    _number(line, "--clock-ppm", "P", "the sender's clock is fast by this much, parts per million")
    _number(line, "--carrier-hz", "F", "every frequency is moved by this much")
    _number(line, "--jitter-deg", "D", "phase jitter, degrees from peak to peak")
    _number(line, "--jitter-hz", "F", "its rate (default 60)")
    line.add_argument(
        "--phase-hit",
        metavar="AT:D",
        type=_pair(float),
        action="append",
        default=[],
        help="a sudden turn of the phase by D degrees at AT seconds; may be given many times",
    )
    line.add_argument(
        "--shape",
        choices=SHAPES,
        help="attenuation and delay distortion: codec filters only; subscriber loops after EIA-496 and "
        "V.56bis, short, long or with loading coils; the limits of ITU-T M.1020; of a Bell 3002 line",
    )
    _number(line, "--echo-db", "L", "listener echo that is weaker than the signal by this much")
    _number(line, "--echo-ms", "T", "its delay (default 10)")
    noise = line.add_mutually_exclusive_group()
    _number(
        noise,
        "--snr-db",
        "S",
        "white noise, this much below the signal over 0 to 4 kHz; the signal is measured, so nothing comes "
        "out until all has been read, unless --signal-dbm0 says how strong it is",
    )
    _number(noise, "--noise-dbm0", "L", "white noise of this level")
    _number(line, "--signal-dbm0", "L", "level of the signal that --snr-db refers to")
    line.add_argument(
        "--idle-noise-dbm0",
        metavar="L",
        type=_idle_level,
        default="same",
        help="noise before and after the signal and in its pauses: a level, `none`, or `same` (default)",
    )
    _number(line, "--dc", "N", "direct current, added to each sample")
    network = parser.add_argument_group("network")
    network.add_argument(
        "--codec",
        choices=LAWS,
        action="append",
        default=[],
        help="G.711; given twice: two conversions, with an analogue stretch between them",
    )
    network.add_argument(
        "--slip",
        metavar="AT:N",
        type=_pair(int),
        action="append",
        default=[],
        help="N samples too many (the last ones once more) at AT seconds, or too few if negative; may be "
        "given many times",
    )
    _number(network, "--delay-ms", "T", "later by this much, with silence before")
    _number(network, "--loss", "P", "share, 0 to 1, of the packets of 20 ms that never arrive")
    _number(network, "--loss-every", "S", "one packet is lost every S seconds")
    network.add_argument(
        "--loss-at",
        metavar="AT",
        type=float,
        action="append",
        default=[],
        help="the packet at AT seconds is lost; may be given many times",
    )
    _number(network, "--loss-from", "AT", "no loss before AT seconds")
    network.add_argument(
        "--fill",
        choices=FILLS,
        help="what stands in for a lost packet: silence (default), or the packet before it",
    )
    network.add_argument(
        "--lost-mask",
        metavar="FILE",
        type=Path,
        help="write there which packets were lost: one byte, 0 or 1, for each 160 samples, as "
        "`cusemodem rx --lost` takes it",
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of everything random (default 0)")


def _number(group: argparse._ActionsContainer, option: str, metavar: str, text: str) -> None:
    group.add_argument(option, metavar=metavar, type=float, help=text)


def _pair(kind: Callable[[str], T]) -> Callable[[str], tuple[float, T]]:
    """Parser of AT:VALUE."""

    def pair(text: str) -> tuple[float, T]:
        at, colon, value = text.partition(":")
        try:
            if not colon:
                raise ValueError
            return float(at), kind(value)
        except ValueError:
            example = "1.5:-8" if kind is int else "1.5:30"
            raise argparse.ArgumentTypeError(
                f"{text!r} is not AT:{'N' if kind is int else 'D'}, for example {example}"
            ) from None

    return pair


def _idle_level(text: str) -> float | str | None:
    if text in ("none", "same"):
        return None if text == "none" else text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a level in dBm0 nor `none` nor `same`"
        ) from None


class _UsageError(Exception):
    """An option's value is impossible, or options do not fit each other."""


def _channel(options: argparse.Namespace) -> int:
    try:
        _check(options)
        before, after = _before_noise(options), _after_noise(options)
        if options.signal_dbm0 is not None:
            _noise_at(options.snr_db, options.signal_dbm0)
    except (_UsageError, ValueError) as error:
        return _complain(error, 2)
    try:
        if options.lost_mask is None:
            _spoil(options, before, after)
        else:
            with options.lost_mask.open("wb", buffering=0) as mask:
                _write_mask(mask, options.lost_mask, _spoil(options, before, after))
    except _UsageError as error:
        return _complain(error, 2)
    except BrokenPipeError:
        raise
    except (OSError, StreamError, ValueError) as error:
        return _complain(error, 1)
    return 0


def _write_mask(mask: RawIOBase, path: Path, line: Line) -> None:
    try:
        mask.write(line.lost.tobytes())
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None


def _check(options: argparse.Namespace) -> None:
    """Refuse what would be ignored, and what the simulator would not call by its option's name."""
    if options.seed < 0:
        raise _UsageError(f"--seed {options.seed} is negative")
    if options.signal_dbm0 is not None and options.snr_db is None:
        raise _UsageError("--signal-dbm0 is what --snr-db refers to; give both, or --noise-dbm0")
    _check_range("--snr-db", options.snr_db, -50.0, 200.0)
    _check_range("--signal-dbm0", options.signal_dbm0, _LEAST_NOISE_DBM0, _MOST_SIGNAL_DBM0)
    if options.echo_ms is not None and options.echo_db is None:
        raise _UsageError("--echo-ms is the delay of an echo; give --echo-db too")
    if options.jitter_hz is not None and options.jitter_deg is None:
        raise _UsageError("--jitter-hz is the rate of phase jitter; give --jitter-deg too")
    for option, value in (("--fill", options.fill), ("--loss-from", options.loss_from)):
        if value is not None and options.loss is None and options.loss_every is None and not options.loss_at:
            raise _UsageError(f"{option} is about lost packets; give --loss, --loss-every or --loss-at too")


def _check_range(option: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:
        raise _UsageError(f"{option} {value:g} is not from {least:g} to {most:g}")


def _noise_at(snr_db: float, signal_dbm0: float) -> float | None:
    """Level of the noise so much below the signal; None if it is next to nothing."""
    level_dbm0 = signal_dbm0 - snr_db
    if level_dbm0 > _MOST_NOISE_DBM0:
        least = math.ceil(signal_dbm0 - _MOST_NOISE_DBM0)
        raise _UsageError(
            f"--snr-db {snr_db:g} below a signal of {signal_dbm0:.1f} dBm0 is noise of {level_dbm0:.1f} "
            f"dBm0, more than samples can hold; {least} is possible"
        )
    return None if level_dbm0 < _LEAST_NOISE_DBM0 else level_dbm0


def _spoil(options: argparse.Namespace, before: list[Impairment], after: list[Impairment]) -> Line:
    """All of stdin to stdout; the line that it came through."""
    chunks = _chunks()
    noise_dbm0 = options.noise_dbm0
    if options.snr_db is not None:
        signal_dbm0 = options.signal_dbm0
        if signal_dbm0 is None:
            chunks, signal_dbm0 = _measured(chunks, before, options.seed)
        noise_dbm0 = _noise_at(options.snr_db, signal_dbm0)
    line = _line([*before, *_noise(noise_dbm0, options.idle_noise_dbm0), *after], options.seed)
    for chunk in chunks:
        _put(line.process(chunk))
    _put(line.flush())
    return line


def _before_noise(options: argparse.Namespace) -> list[Impairment]:
    """What is done to the signal before noise comes to it, in order."""
    from dsp import line_model as lm  # noqa: PLC0415 - brings numpy

    stages: list[Impairment] = []
    if options.before_s or options.after_s:
        stages.append(lm.Idle(options.before_s or 0.0, options.after_s or 0.0))
    if options.gain_db:
        stages.append(lm.Gain(options.gain_db))
    if options.clock_ppm:
        stages.append(lm.ClockOffset(options.clock_ppm))
    if options.carrier_hz:
        stages.append(lm.CarrierOffset(options.carrier_hz))
    if options.jitter_deg:
        stages.append(
            lm.PhaseJitter(options.jitter_deg, 60.0 if options.jitter_hz is None else options.jitter_hz)
        )
    if options.phase_hit:
        stages.append(lm.PhaseHits(options.phase_hit))
    if options.shape is not None:
        stages.append(lm.Shape(options.shape))
    if options.echo_db is not None:
        stages.append(
            lm.ListenerEcho(10e-3 if options.echo_ms is None else options.echo_ms / 1e3, options.echo_db)
        )
    return stages


def _noise(level_dbm0: float | None, idle_dbm0: float | str | None) -> list[Impairment]:
    from dsp import line_model as lm  # noqa: PLC0415

    if isinstance(idle_dbm0, str):
        return [] if level_dbm0 is None else [lm.Noise(level_dbm0)]
    return [lm.Noise(level_dbm0, idle_dbm0=idle_dbm0)]


def _after_noise(options: argparse.Namespace) -> list[Impairment]:
    """What comes after noise, in order."""
    from dsp import line_model as lm  # noqa: PLC0415

    if options.snr_db is None:
        _noise(options.noise_dbm0, options.idle_noise_dbm0)  # are the levels possible?
    stages: list[Impairment] = []
    if options.dc:
        stages.append(lm.DirectCurrent(options.dc))
    stages += lm.codecs(options.codec)
    stages += [lm.Slip(at, n) for at, n in options.slip]
    if options.delay_ms:
        stages.append(lm.Idle(options.delay_ms / 1e3))
    loss = {"share": options.loss or 0.0, "every_s": options.loss_every, "at_s": options.loss_at}
    stages.append(lm.BlockLoss(fill=options.fill or "silence", from_s=options.loss_from or 0.0, **loss))
    return stages


def _line(stages: list[Impairment], seed: int) -> Line:
    from dsp.line_model import Line  # noqa: PLC0415

    return Line(stages, seed)


def _measured(
    chunks: Iterator[NDArray[np.int16]], before: list[Impairment], seed: int
) -> tuple[Iterator[NDArray[np.int16]], float]:
    """All that is to come, and the level of its signal where noise comes to it."""
    from dsp.level import FLOOR_DBM0  # noqa: PLC0415
    from dsp.line_model import signal_level_dbm0  # noqa: PLC0415

    everything = list(chunks)
    line = _line(before, seed)
    level = signal_level_dbm0(_joined([*(line.process(chunk) for chunk in everything), line.flush()]))
    if level <= FLOOR_DBM0:
        raise ValueError("stdin has no signal for --snr-db to refer to; give --noise-dbm0")
    return iter(everything), level


def _joined(parts: list[NDArray[np.int16]]) -> NDArray[np.int16]:
    import numpy as np  # noqa: PLC0415

    return np.concatenate(parts)


def _chunks() -> Iterator[NDArray[np.int16]]:
    """The samples of stdin, as they come."""
    import numpy as np  # noqa: PLC0415

    left = b""
    n_bytes = 0
    for data in input_chunks():
        n_bytes += len(data)
        waiting = left + data
        whole = len(waiting) // 2 * 2
        left = waiting[whole:]
        yield np.frombuffer(waiting[:whole], "<i2").astype(np.int16)
    if left:
        raise ValueError(f"stdin has {n_bytes} bytes, an odd number: not 16-bit samples")


def _put(samples: NDArray[np.int16]) -> None:
    write_output(samples.astype("<i2").tobytes())


def _complain(error: object, status: int) -> int:
    print(f"cusemodem channel: {error}", file=sys.stderr)
    return status
