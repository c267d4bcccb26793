"""The line discipline in both directions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cusemodem.cuse import termios
from cusemodem.cuse.discipline import InputBuffer, processed_input, processed_output
from cusemodem.cuse.termios import INITIAL, Termios
from tests.cuse.host import raw, with_flags


@given(st.binary())
def test_raw_settings_change_nothing(data: bytes) -> None:
    buffer = InputBuffer(raw())
    assert buffer.receive(data) == b""
    assert buffer.readable == len(data)
    assert buffer.read(len(data)) == data
    assert processed_output(data, raw()) == data


@given(st.binary())
def test_flow_characters_are_data_in_spite_of_ixon(data: bytes) -> None:
    settings = raw(iflag=termios.IXON | termios.IXOFF)
    assert processed_input(data, settings) == data


@pytest.mark.parametrize(
    ("iflag", "data", "got"),
    [
        (termios.ICRNL, b"\r\nOK\r\n", b"\n\nOK\n\n"),
        (termios.IGNCR, b"\r\nOK\r\n", b"\nOK\n"),
        (termios.IGNCR | termios.ICRNL, b"\r\nOK\r\n", b"\nOK\n"),
        (termios.INLCR, b"\r\n", b"\r\r"),
        (termios.ISTRIP, b"\xc1\xd4\x0d", b"AT\r"),
        (termios.ISTRIP | termios.ICRNL, b"\x8d", b"\n"),
        (termios.ISTRIP | termios.IGNCR, b"\x8d\rA", b"A"),
        (termios.PARMRK, b"a\xffb", b"a\xff\xffb"),
        (termios.PARMRK | termios.ISTRIP, b"\xff", b"\x7f"),
    ],
)
def test_input_mappings(iflag: int, data: bytes, got: bytes) -> None:
    assert processed_input(data, raw(iflag=iflag)) == got


@pytest.mark.parametrize(
    ("oflag", "data", "got"),
    [
        (0, b"AT\n", b"AT\n"),
        (termios.ONLCR, b"AT\n", b"AT\n"),
        (termios.OPOST, b"AT\n", b"AT\n"),
        (termios.OPOST | termios.ONLCR, b"AT\n", b"AT\r\n"),
        (termios.OPOST | termios.OCRNL, b"AT\r", b"AT\n"),
    ],
)
def test_output_mappings(oflag: int, data: bytes, got: bytes) -> None:
    assert processed_output(data, raw(oflag=oflag)) == got


class TestCanonical:
    """cat and a person at a terminal."""

    @pytest.fixture
    def buffer(self) -> InputBuffer:
        return InputBuffer(with_flags(INITIAL, lflag=termios.ICANON))

    def test_a_read_gives_one_line_at_a_time(self, buffer: InputBuffer) -> None:
        buffer.receive(b"\r\nOK\r\nRI")
        assert buffer.readable == 6
        assert [buffer.read(100) for _ in range(4)] == [b"\n", b"\n", b"OK\n", b"\n"]
        assert not buffer.has()
        buffer.receive(b"NG\r")
        assert buffer.read(2) == b"RI"
        assert buffer.read(100) == b"NG\n"

    def test_erase_and_kill_edit_the_unfinished_line_only(self, buffer: InputBuffer) -> None:
        buffer.receive(b"one\rxy\x7f\x7f\x7f\x7ftwp\x7fo\r\x7fgarbage\x15three\r")
        assert [buffer.read(100) for _ in range(3)] == [b"one\n", b"two\n", b"three\n"]

    def test_end_of_file(self, buffer: InputBuffer) -> None:
        buffer.receive(b"half\x04\x04rest\r")
        assert buffer.has()
        assert [buffer.read(100) for _ in range(3)] == [b"half", b"", b"rest\n"]

    def test_end_of_line_characters(self) -> None:
        cc = bytearray(INITIAL.cc)
        cc[termios.VEOL], cc[termios.VEOL2] = ord(";"), ord("|")
        buffer = InputBuffer(with_flags(INITIAL, lflag=termios.ICANON, cc=bytes(cc)))
        buffer.receive(b"a;b|c\r")
        assert [buffer.read(100) for _ in range(3)] == [b"a;", b"b|", b"c\n"]

    def test_nul_ends_nothing_where_eol_is_undefined(self, buffer: InputBuffer) -> None:
        buffer.receive(b"a\0b\r")
        assert buffer.read(100) == b"a\0b\n"

    def test_leaving_canonical_mode_gives_the_unfinished_line_too(self, buffer: InputBuffer) -> None:
        buffer.receive(b"OK\rRIN")
        buffer.change_settings(raw())
        assert buffer.read(100) == b"OK\nRIN"

    def test_entering_canonical_mode_makes_a_line_of_what_waits(self) -> None:
        buffer = InputBuffer(raw())
        buffer.receive(b"OK RING")
        buffer.change_settings(INITIAL)
        assert buffer.has()
        assert buffer.read(100) == b"OK RING"
        assert not buffer.has()

    def test_clear(self, buffer: InputBuffer) -> None:
        buffer.receive(b"OK\rRIN")
        assert buffer.clear() == 6
        assert not buffer.has()
        buffer.receive(b"G\r")
        assert buffer.read(100) == b"G\n"


@pytest.mark.parametrize(
    ("settings", "data", "echoed"),
    [
        (INITIAL, b"at\r", b"at\n"),
        (INITIAL, b"ab\x7fc\r", b"ab\b \bc\n"),
        (INITIAL, b"ab\x15", b"ab" + b"\b \b" * 2),
        (INITIAL, b"\x03\t\x7f", b"^C\t\b \b"),
        (raw(lflag=termios.ECHO), b"\x03a\r", b"\x03a\r"),
        (raw(lflag=termios.ECHO | termios.ECHOCTL), b"a\x03\x7f", b"a^C^?"),
        (raw(lflag=termios.ICANON | termios.ECHONL), b"secret\n", b"\n"),
        (raw(lflag=termios.ICANON), b"secret\n", b""),
    ],
)
def test_echo(settings: Termios, data: bytes, echoed: bytes) -> None:
    assert InputBuffer(settings).receive(data) == echoed
