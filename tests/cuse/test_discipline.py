"""The line discipline in both directions."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cusemodem.cuse import termios
from cusemodem.cuse.discipline import Flow, InputBuffer, Signal, processed_input
from cusemodem.cuse.output import OutputProcessor
from cusemodem.cuse.termios import INITIAL, Termios
from tests.cuse.host import raw, with_flags


@given(st.binary())
def test_raw_settings_change_nothing(data: bytes) -> None:
    buffer = InputBuffer(raw())
    assert buffer.receive(data) == []
    assert buffer.readable == len(data)
    assert buffer.read(len(data)) == data
    assert OutputProcessor().process(data, raw()) == data


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
        (termios.OPOST | termios.OCRNL | termios.ONLCR, b"AT\r\n", b"AT\n\r\n"),
        (termios.OPOST | termios.ONOCR, b"\rAT\r\r", b"AT\r"),
        (termios.OPOST | termios.ONLRET | termios.ONOCR, b"AT\n\rX", b"AT\nX"),
        (termios.OPOST | termios.OLCUC, b"atz\xe4", b"ATZ\xc4"),
        (termios.OPOST | termios.XTABS, b"AT\tX\n\tY", b"AT      X\n" + b" " * 7 + b"Y"),
        (termios.OPOST | termios.XTABS | termios.ONLCR, b"AT\n\tY", b"AT\r\n        Y"),
    ],
)
def test_output_mappings(oflag: int, data: bytes, got: bytes) -> None:
    assert OutputProcessor().process(data, raw(oflag=oflag)) == got


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
        lflag = termios.ICANON | termios.IEXTEN
        buffer = InputBuffer(with_flags(INITIAL, lflag=lflag, cc=bytes(cc)))
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
        (INITIAL, b"at\r", b"at\r\n"),
        (INITIAL, b"ab\x7fc\r", b"ab\b \bc\r\n"),
        (INITIAL, b"ab\x15", b"ab" + b"\b \b" * 2),
        (INITIAL, b"a\x01\t\x7f\x7f\x7f", b"a^A\t" + b"\b" * 5 + b"\b \b" * 3),
        (INITIAL, b"one two_3 \x17.", b"one two_3 " + b"\b \b" * 6 + b"."),
        (INITIAL, b"ab\x12c", b"ab^R\r\nabc"),
        (INITIAL, b"a\x16\x7fb", b"a^\b^?b"),
        (INITIAL, b"\x7f\x15\x17", b""),
        (raw(lflag=termios.ICANON | termios.ECHO), b"ab\x15", b"ab\x15"),
        (raw(lflag=termios.ICANON | termios.ECHO | termios.ECHOK), b"ab\x15c\x7f", b"ab\x15\nc\x7f"),
        (raw(lflag=termios.ICANON | termios.ECHO | termios.ECHOPRT), b"ab\x7f\x7fc", b"ab\\ba/c"),
        (raw(lflag=termios.ECHO), b"\x03a\r", b"\x03a\r"),
        (raw(lflag=termios.ECHO | termios.ECHOCTL), b"a\x03\x7f", b"a^C^?"),
        (raw(lflag=termios.ICANON | termios.ECHONL), b"secret\n", b"\n"),
        (raw(lflag=termios.ICANON), b"secret\n", b""),
    ],
)
def test_echo(settings: Termios, data: bytes, echoed: bytes) -> None:
    assert b"".join(InputBuffer(settings).receive(data)) == echoed  # type: ignore[arg-type]


def test_an_edited_line_is_what_the_echo_shows() -> None:
    buffer = InputBuffer(INITIAL)
    buffer.receive(b"x\x15one tqo\x7f\x7fwo three \x17\x17two \x16\x15 \x16\x04.\r")
    assert buffer.read(100) == b"one two \x15 \x04.\n"


def test_erase_takes_a_whole_character_of_utf8() -> None:
    buffer = InputBuffer(with_flags(INITIAL, iflag=INITIAL.iflag | termios.IUTF8))
    assert buffer.receive("aé€".encode() + b"\x7f\x7f\n") == ["aé€".encode() + b"\b \b" * 2 + b"\r\n"]
    assert buffer.read(100) == b"a\n"


def test_a_line_longer_than_the_buffer_keeps_its_end() -> None:
    buffer = InputBuffer(with_flags(INITIAL, lflag=termios.ICANON))
    buffer.receive(b"a" * 5000 + b"b\n")
    line = buffer.read(10000)
    assert len(line) == 4096
    assert line.endswith(b"ab\n")


class TestSignalCharacters:
    """ISIG: ^C and its like are no input."""

    def test_what_was_typed_before_is_flushed(self) -> None:
        buffer = InputBuffer(with_flags(INITIAL, lflag=termios.ISIG | termios.ICANON))
        effects = buffer.receive(b"one\ntw\x03three\n")
        assert effects == [Signal(signal.SIGINT, flushes=True)]
        assert buffer.read(100) == b"three\n"

    def test_noflsh_keeps_it(self) -> None:
        buffer = InputBuffer(raw(lflag=termios.ISIG | termios.NOFLSH))
        assert buffer.receive(b"on\x1ce\x1a") == [
            Signal(signal.SIGQUIT, flushes=False),
            Signal(signal.SIGTSTP, flushes=False),
        ]
        assert buffer.read(100) == b"one"

    def test_the_character_is_echoed_behind_what_the_flush_leaves(self) -> None:
        buffer = InputBuffer(INITIAL)
        assert buffer.receive(b"ab\x03") == [Signal(signal.SIGINT, flushes=True), b"^C"]

    def test_without_isig_it_is_input(self) -> None:
        buffer = InputBuffer(raw())
        assert buffer.receive(b"\x03\x1c\x1a") == []
        assert buffer.read(100) == b"\x03\x1c\x1a"


class TestFlowCharacters:
    """IXON, for a person at the far end: in canonical mode only."""

    def test_stop_and_start_are_no_input(self) -> None:
        buffer = InputBuffer(with_flags(INITIAL, lflag=termios.ICANON))
        assert buffer.receive(b"a\x13b\x11c\n") == [Flow(stops=True), Flow(stops=False)]
        assert buffer.read(100) == b"abc\n"

    def test_ixany(self) -> None:
        iflag = termios.IXON | termios.IXANY
        buffer = InputBuffer(with_flags(INITIAL, iflag=iflag, lflag=termios.ICANON))
        assert buffer.receive(b"\x13bc\n") == [Flow(stops=True), Flow(stops=False)]
        assert buffer.read(100) == b"bc\n"
