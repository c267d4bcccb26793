"""Information elements: a complete table, values that survive, malformed ones refused, clean text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iax.elements import KINDS, MAX_UNKNOWN, Element, Kind, Value, clean_text, decode_untrusted, encode
from iax.frames import BadFrame

SAMPLES: dict[Kind, Value] = {
    Kind.TEXT: "Žofie",
    Kind.RAW: b"\x00\xff",
    Kind.EMPTY: None,
    Kind.U8: 0xFE,
    Kind.U16: 0xFFFE,
    Kind.U32: 0xFFFFFFFE,
    Kind.U64: 0xFFFFFFFFFFFFFFFE,
    Kind.ADDRESS: ("192.0.2.7", 4569),
}
FIXED = {Kind.U8: 1, Kind.U16: 2, Kind.U32: 4, Kind.U64: 9, Kind.ADDRESS: 16}


def test_the_table_is_complete() -> None:
    assert set(KINDS) == set(Element)
    assert sorted(Element) == list(range(1, 58))


@pytest.mark.parametrize("element", Element)
def test_round_trip(element: Element) -> None:
    value = SAMPLES[KINDS[element]]
    elements = decode_untrusted(encode([(element, value)]))
    if element is Element.VARIABLE:
        assert elements.variables == (value,)
    else:
        assert elements.values == {element: value}


@pytest.mark.parametrize("element", [element for element in Element if KINDS[element] in FIXED])
def test_a_wrong_length_spoils_the_frame(element: Element) -> None:
    right = FIXED[KINDS[element]]
    for length in (*range(right), right + 1):
        with pytest.raises(BadFrame):
            decode_untrusted(bytes([element, length]) + bytes(length))


@pytest.mark.parametrize("element", Element)
def test_every_truncation_spoils_the_frame(element: Element) -> None:
    whole = encode([(Element.VERSION, 2), (element, SAMPLES[KINDS[element]])])
    for end in range(5, len(whole)):
        with pytest.raises(BadFrame):
            decode_untrusted(whole[:end])


def test_known_octets() -> None:
    pairs = [(Element.VERSION, 2), (Element.USERNAME, "101"), (Element.CALLTOKEN, b"")]
    assert encode(pairs).hex(" ") == "0b 02 00 02 06 03 31 30 31 36 00"
    assert encode([(Element.FORMAT2, 4)]).hex(" ") == "38 09 00 00 00 00 00 00 00 00 04"


def test_unknown_elements_are_tolerated_and_kept() -> None:
    octets = encode([(Element.REFRESH, 60)]) + b"\xc8\x03abc\x00\x00"
    elements = decode_untrusted(octets)
    assert elements.number(Element.REFRESH) == 60
    assert elements.unknown == ((200, b"abc"), (0, b""))
    assert elements.encode() == octets
    many = decode_untrusted(b"\xc8\x01x" * 300)
    assert many.unknown == ((200, b"x"),) * MAX_UNKNOWN
    with pytest.raises(ValueError, match="element 200 has 256 octets"):
        encode([], [(200, bytes(256))])


def test_format2_of_another_version_spoils_the_frame() -> None:
    with pytest.raises(BadFrame):
        decode_untrusted(b"\x38\x09\x01" + bytes(8))


def test_addresses_of_both_families() -> None:
    for address in (("198.51.100.1", 65535), ("2001:db8::1", 1)):
        assert (
            decode_untrusted(encode([(Element.APPARENT_ADDR, address)])).address(Element.APPARENT_ADDR)
            == address
        )
    # a server with one socket for both families
    mapped = bytes.fromhex("12 1c 0a00 11d9 00000000 00000000 00000000 0000ffff c6336401 00000000")
    assert decode_untrusted(mapped).address(Element.APPARENT_ADDR) == ("198.51.100.1", 4569)
    # the family in the sender's byte order: both are accepted
    for family in (b"\x00\x02", b"\x02\x00"):
        octets = b"\x12\x10" + family + b"\x11\xd9\xc0\x00\x02\x07" + bytes(8)
        assert decode_untrusted(octets).address(Element.APPARENT_ADDR) == ("192.0.2.7", 4569)


@pytest.mark.parametrize(
    ("element", "value"),
    [
        (Element.CALLED_NUMBER, "x" * 256),
        (Element.CALLED_NUMBER, "ž" * 128),
        (Element.REFRESH, 65536),
        (Element.REFRESH, -1),
        (Element.CAUSECODE, 256),
        (Element.REFRESH, "60"),
        (Element.CALLED_NUMBER, 60),
        (Element.AUTOANSWER, 1),
        (Element.CAPABILITY2, 1 << 64),
    ],
)
def test_values_that_do_not_fit_are_refused(element: Element, value: Value) -> None:
    with pytest.raises(ValueError, match=element.name):
        encode([(element, value)])


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"Jane\r\nNO CARRIER\r\n", "JaneNO CARRIER"),
        (b"a\x00b\x1b[31mc\x7f", "ab[31mc"),
        (b"\xc2\x85\xe2\x80\xa8x\xe2\x80\xae", "x"),  # NEL, line separator, right-to-left override
        (b"\xff\xfe", "\ufffd\ufffd"),
        ("Müller & Söhne".encode(), "Müller & Söhne"),
    ],
)
def test_text_is_clean(octets: bytes, text: str) -> None:
    elements = decode_untrusted(bytes([Element.CALLING_NAME, len(octets)]) + octets)
    assert elements.text(Element.CALLING_NAME) == text


@given(st.text())
def test_clean_text_prints_on_one_line(text: str) -> None:
    cleaned = clean_text(text)
    assert len(cleaned.splitlines()) <= 1
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in cleaned)


@given(st.binary(max_size=300))
def test_whatever_arrives_parses_or_is_a_bad_frame(payload: bytes) -> None:
    try:
        elements = decode_untrusted(payload)
    except BadFrame:
        return
    for element in elements.values:
        assert elements.text(element) == clean_text(elements.text(element))
    assert len(elements.unknown) <= MAX_UNKNOWN
    assert decode_untrusted(elements.encode()) == elements or "\ufffd" in str(elements)
