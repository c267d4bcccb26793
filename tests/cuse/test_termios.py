"""Layouts of terminal settings and their speeds."""

import struct
import termios as kernel

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cusemodem.cuse import termios
from cusemodem.cuse.termios import INITIAL, SPEEDS, Termios


def test_constants_are_those_of_this_machine() -> None:
    names = [name for name in vars(termios) if name.isupper() and hasattr(kernel, name)]
    assert {"ICRNL", "OPOST", "CLOCAL", "ICANON", "VMIN", "B9600"} <= set(names)
    for name in names:
        if name not in ("CIBAUD",):
            assert getattr(termios, name) == getattr(kernel, name), name


def test_speeds_are_those_of_this_machine() -> None:
    named = {
        getattr(kernel, name): int(name[1:]) for name in vars(kernel) if name[0] == "B" and name[1:].isdigit()
    }
    assert named == SPEEDS


def test_a_port_starts_as_a_serial_port_does() -> None:
    assert INITIAL.ospeed == INITIAL.ispeed == 9600
    assert INITIAL.canonical
    assert INITIAL.local
    assert INITIAL.hangs_up_on_close
    assert (INITIAL.minimum, INITIAL.timeout_s) == (1, 0)
    assert len(INITIAL.pack()) == 36
    assert len(INITIAL.pack2()) == 44
    assert len(INITIAL.pack_termio()) == 18


flags = st.integers(0, 2**32 - 1)
settings = st.builds(
    Termios,
    flags,
    flags,
    flags,
    flags,
    st.integers(0, 255),
    st.binary(min_size=19, max_size=19),
    flags,
    flags,
)


@given(settings)
def test_what_was_set_is_read_back_but_for_speeds(wanted: Termios) -> None:
    speed_bits = termios.CBAUD | termios.CIBAUD
    for packed in (wanted.pack(), wanted.pack2()):
        got = INITIAL.changed(packed)
        assert (got.iflag, got.oflag, got.lflag, got.line, got.cc) == (
            wanted.iflag, wanted.oflag, wanted.lflag, wanted.line, wanted.cc,
        )  # fmt: skip
        assert got.cflag & ~speed_bits == wanted.cflag & ~speed_bits
        # Setting what was got changes nothing more.
        assert got.changed(got.pack2()) == got
        assert got.changed(got.pack()) == got


@given(st.sampled_from(sorted(SPEEDS)))
def test_standard_speeds(code: int) -> None:
    got = INITIAL.changed(Termios(0, 0, code, 0, 0, bytes(19), 0, 0).pack())
    assert (got.ospeed, got.ispeed, got.cflag) == (SPEEDS[code], SPEEDS[code], code)


@pytest.mark.parametrize(
    ("wanted", "code"), [(12345, termios.BOTHER), (115200, kernel.B115200), (14400, termios.BOTHER), (0, 0)]
)
def test_speeds_given_as_numbers(wanted: int, code: int) -> None:
    got = INITIAL.changed(Termios(0, 0, termios.BOTHER, 0, 0, bytes(19), wanted, wanted).pack2())
    assert (got.ospeed, got.ispeed, got.cflag & termios.CBAUD) == (wanted, wanted, code)


def test_an_input_speed_of_its_own() -> None:
    cflag = kernel.B9600 | kernel.B1200 << termios.CIBAUD_SHIFT
    got = INITIAL.changed(Termios(0, 0, cflag, 0, 0, bytes(19), 0, 0).pack())
    assert (got.ospeed, got.ispeed, got.cflag) == (9600, 1200, cflag)


def test_termio_changes_the_lower_halves_only() -> None:
    before = INITIAL.changed(INITIAL.pack()).with_cflag(INITIAL.cflag | termios.CRTSCTS)
    data = struct.pack("<HHHHB8sx", 0, 0, termios.CS8 | kernel.B1200, 0, 0, b"\1\2\3\4\5\6\7\x08")
    got = before.changed(data)
    assert got.cflag & termios.CRTSCTS
    assert (got.iflag, got.oflag, got.lflag, got.ospeed) == (0, 0, 0, 1200)
    assert got.cc == b"\1\2\3\4\5\6\7\x08" + before.cc[8:]
    assert got.pack_termio()[:8] == struct.pack("<HHHH", 0, 0, termios.CS8 | kernel.B1200, 0)


@pytest.mark.parametrize("size", [0, 17, 35, 37, 45])
def test_other_sizes_are_no_settings(size: int) -> None:
    with pytest.raises(ValueError, match=f"no terminal settings have {size} bytes"):
        INITIAL.changed(bytes(size))
