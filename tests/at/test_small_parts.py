"""DLE stuffing, dial strings, registers, results, caller ID: the parts without state or with little."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cusemodem.at.caller_id import MAX_LENGTH, caller_lines, sanitise
from cusemodem.at.dial_string import DialString, parse_dial_string
from cusemodem.at.dle import END, Unstuffer, stuff
from cusemodem.at.events import CallerId, FrameReceived
from cusemodem.at.frame_queue import is_final, is_noise
from cusemodem.at.modulations import MODULATIONS, offered_codes
from cusemodem.at.outbox import MAX_WAITING, Outbox
from cusemodem.at.registers import Registers
from cusemodem.at.results import Result, as_progress, format_result, format_text
from cusemodem.at.settings import Settings

# ---------------------------------------------------------------------- DLE

some_data = st.lists(st.sampled_from([b"\x10", b"\x03", b"\x1a", b"\0", b"data"]), max_size=40).map(b"".join)


@given(some_data, st.lists(st.integers(1, 9), max_size=30), st.integers(1, 12), st.binary(max_size=5))
def test_stuffing_comes_back_in_any_pieces(
    data: bytes, cuts: list[int], limit: int, following: bytes
) -> None:
    """Whole, in pieces, with little room: the same payload, and not a byte past DLE ETX is touched."""
    stream = stuff(data) + END + following
    unstuffer, payload, position = Unstuffer(), b"", 0
    while not unstuffer.ended:
        piece = stream[position : position + (cuts.pop() if cuts else 50)]
        got, n_taken = unstuffer.feed(piece, limit)
        assert n_taken > 0
        assert len(got) <= limit + 1
        payload += got
        position += n_taken
    assert payload == data
    assert stream[position:] == following


@pytest.mark.parametrize(
    ("stuffed", "payload"),
    [
        (b"a\x10\x1ab", b"a\x10\x10b"),  # DLE SUB: two DLE
        (b"a\x10xb", b"ab"),  # any other pair is ignored
        (b"\x10\x10\x03", b"\x10\x03"),  # ETX after a doubled DLE is data
    ],
)
def test_dle_pairs(stuffed: bytes, payload: bytes) -> None:
    unstuffer = Unstuffer()
    assert unstuffer.feed(stuffed, 100) == (payload, len(stuffed))
    assert not unstuffer.ended


# ---------------------------------------------------------------------- dial strings


@pytest.mark.parametrize(
    ("text", "dial"),
    [
        ("T5550100", DialString("5550100")),
        ("P 5-5(5).0/1!00", DialString("5550100")),
        ("+44123", DialString("44123", international=True)),
        ("+44(0)123", DialString("44123", international=True)),
        ("9W123", DialString("9123")),
        ("TW9+1", DialString("91", awaits_tone=True)),
        (",,9", DialString("9")),  # nothing to wait for before the first digit
        ("100,,23#*A,4", DialString("100", ",,23#*A,4")),
        ("100@", DialString("100", silent=True)),
        ("100;", DialString("100", stay_in_command=True)),
        ("", DialString("")),
        ("TL", DialString("777", ",8")),
        ("L;", DialString("777", ",8", stay_in_command=True)),
        ("S=3", DialString("42")),
        ("TS=3;", DialString("42", stay_in_command=True)),
        ("S=4", None),
        ("S=x", None),
        ("12E4", None),
        ("12=", None),
        ('"12"', None),
        ("1" * 65, None),
    ],
)
def test_dial_strings(text: str, dial: DialString | None) -> None:
    assert parse_dial_string(text, {3: "42"}, "777,8") == dial


@given(st.text(max_size=80))
def test_no_dial_string_raises(text: str) -> None:
    dial = parse_dial_string(text, {0: "1"}, "2")
    assert dial is None or set(dial.number) <= set("0123456789*#ABCD")


# ---------------------------------------------------------------------- registers


def test_registers() -> None:
    registers = Registers()
    assert [registers[n] for n in (0, 2, 3, 4, 5, 7, 8, 37, 255)] == [0, 43, 13, 10, 8, 60, 5, 0, 0]
    assert registers.set(7, 120)
    assert registers[7] == 120
    for number, value in ((7, 0), (3, 128), (0, 256), (256, 1)):
        assert not registers.set(number, value)
    assert registers.set_bit(20, 3, 1)
    assert registers[20] == 8
    assert registers.set_bit(20, 3, 0)
    assert registers[20] == 0
    assert not registers.set_bit(7, 8, 1)
    assert not registers.set_bit(7, 2, 2)
    copy = registers.copy()
    copy.set(7, 5)
    assert registers[7] == 120
    assert (7, 120) in registers.in_use()


# ---------------------------------------------------------------------- results


def test_result_forms() -> None:
    assert format_result(Result.NO_CARRIER, verbose=True, s3=13, s4=10) == b"\r\nNO CARRIER\r\n"
    assert format_result(Result.NO_CARRIER, verbose=False, s3=13, s4=10) == b"3\r"
    assert format_result(Result.FCERROR, verbose=False, s3=13, s4=10) == b"+F4\r"
    assert format_text("x", verbose=True, s3=13, s4=10) == b"\r\nx\r\n"
    assert format_text("x", verbose=False, s3=13, s4=10) == b"x\r\n"
    assert format_result(Result.OK, verbose=True, s3=65, s4=66) == b"ABOKAB"
    numbers = [result.number for result in Result]
    assert numbers == ["0", "1", "2", "3", "4", "6", "7", "8", "+F4", "+FRH:3"]


@pytest.mark.parametrize(
    ("x", "busy", "dialtone"),
    [
        (0, "NO CARRIER", "NO CARRIER"),
        (1, "NO CARRIER", "NO CARRIER"),
        (2, "NO CARRIER", "NO DIALTONE"),
        (3, "BUSY", "NO CARRIER"),
        (4, "BUSY", "NO DIALTONE"),
    ],
)
def test_x_hides_call_progress(x: int, busy: str, dialtone: str) -> None:
    assert as_progress(Result.BUSY, x).text == busy
    assert as_progress(Result.NO_DIALTONE, x).text == dialtone
    assert as_progress(Result.NO_ANSWER, x) is Result.NO_ANSWER


# ---------------------------------------------------------------------- caller ID


@given(st.text(max_size=400))
def test_network_text_is_one_short_printable_line(text: str) -> None:
    clean = sanitise(text)
    assert len(clean) <= MAX_LENGTH
    assert clean.isprintable()
    assert len(clean.splitlines()) <= 1


def test_caller_lines() -> None:
    caller = CallerId(name="Müller\r\nRING\x1b", number="555", called_number="99", date="1231", time="2359")
    assert caller_lines(caller) == [
        "DATE=1231",
        "TIME=2359",
        "NAME=MüllerRING",
        "NMBR=555",
        "ANID=<NONE>",
        "USER=<NONE>",
        "PASS=<NONE>",
        "CDID=<NONE>",
        "NDID=99",
    ]


# ---------------------------------------------------------------------- frames


@pytest.mark.parametrize(
    ("n_bytes", "fcs_ok", "noise"),
    [
        (3, True, True), (4, True, False), (284, True, False), (285, True, True),
        (4, False, True), (5, False, False), (284, False, False), (285, False, True),
    ],
)  # fmt: skip
def test_noise(n_bytes: int, fcs_ok: bool, noise: bool) -> None:
    assert is_noise(FrameReceived(bytes(n_bytes), fcs_ok)) is noise


def test_final_frames() -> None:
    assert is_final(b"\xff\x13\x80")
    assert not is_final(b"\xff\x03\x80")
    assert not is_final(b"\xff")


# ---------------------------------------------------------------------- outbox


def test_output_nobody_takes_is_bounded() -> None:
    outbox = Outbox(Settings())
    outbox.data(bytes(MAX_WAITING - 3))
    outbox.text("too much")
    outbox.data(b"abc")
    assert outbox.n_bytes_dropped == len("\r\ntoo much\r\n")
    assert outbox.take_output() == bytes(MAX_WAITING - 3) + b"abc"
    assert outbox.take_output() == b""


# ---------------------------------------------------------------------- modulations


def test_modulations() -> None:
    assert offered_codes() == (24, 48, 72, 73, 74, 96, 97, 98, 121, 122, 145, 146)
    assert sorted(MODULATIONS) == [24, 48, 72, 73, 74, 96, 97, 98, 121, 122, 145, 146]
