"""&W, &Y, &Z: what is stored, what comes back after a restart, and text that is no such thing."""

from __future__ import annotations

import json
import random
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cusemodem.at import Engine
from cusemodem.at.profiles import ProfileError, Profiles, read_profiles
from cusemodem.at.settings import Settings

OK, ERROR = b"\r\nOK\r\n", b"\r\nERROR\r\n"
MUCH = b'ATE0X1S7=90S95=3P;+FAR=1;+FIT=9,1;+GCI=AF;+VSID="Joe","12";&D3\r'


SPOILERS = ["", "0", "9", '"', "{", "\\u0000", "null", "-1", "1e9"]


class Memory:
    """What the state directory is to a modem: text that outlives it."""

    def __init__(self) -> None:
        self.text = ""
        self.works = True

    def modem(self) -> Engine:
        profiles = read_profiles(self.text) if self.text else Profiles()
        profiles.store = self.store
        return Engine(profiles=profiles)

    def store(self, text: str) -> bool:
        if self.works:
            self.text = text
        return self.works


def said(engine: Engine, line: bytes) -> bytes:
    engine.host_bytes(line)
    return engine.take_output().removeprefix(line)


def test_a_stored_profile_is_in_force_after_a_restart() -> None:
    memory = Memory()
    engine = memory.modem()
    said(engine, MUCH)
    assert said(engine, b"AT+FCLASS=1;&W0\r") == OK
    after = memory.modem()
    assert after.settings.basic == engine.settings.basic
    assert after.settings.parameters == engine.settings.parameters
    assert said(after, b"ATS7?S95?;+GCI?;+VSID?;+FCLASS?\r") == (
        b'\r\n090\r\n\r\n003\r\n\r\n+GCI: AF\r\n\r\n"Joe","12"\r\n\r\n0\r\n' + OK
    )


def test_two_profiles_and_which_is_in_force_at_the_start() -> None:
    memory = Memory()
    engine = memory.modem()
    said(engine, b"ATE0S8=1&W0S8=9&W1\r")
    assert said(engine, b"ATZ0\r") == OK
    assert said(engine, b"ATS8?Z1\r") == b"\r\n001\r\n" + OK
    assert said(engine, b"ATS8?&Y1&FE0Z\r") == b"\r\n009\r\n" + OK
    assert b"009" in said(memory.modem(), b"ATS8?\r")
    for z in (b"Z2", b"Z9"):  # other modems have more: always a sane one
        assert said(engine, b"AT" + z + b"\r") == OK
        assert b"009" in said(engine, b"ATS8?\r")


def test_a_profile_that_was_never_written_is_the_factory_s() -> None:
    engine = Memory().modem()
    said(engine, b"ATE0S7=9X0\r")
    said(engine, b"ATZ1\r")
    assert engine.settings.basic == Settings().basic
    assert engine.settings.registers[7] == 60


def test_factory_settings_are_not_touched_by_w() -> None:
    engine = Memory().modem()
    said(engine, b"ATE0S7=9&W&F\r")
    assert engine.settings.registers[7] == 60
    assert engine.settings.echo


def test_stored_numbers_are_lasting() -> None:
    memory = Memory()
    assert said(memory.modem(), b"AT&Z1=+44123,9;&Z2=5\r") == OK
    engine = memory.modem()
    assert said(engine, b"AT&Z2=\r") == OK
    assert memory.modem()._profiles.numbers == {1: "+44123,9"}


@pytest.mark.parametrize("line", [b"AT&W\r", b"AT&Y1\r", b"AT&Z1=5\r"])
def test_a_memory_that_fails_is_an_error_and_changes_nothing(line: bytes) -> None:
    memory = Memory()
    engine = memory.modem()
    said(engine, b"ATE0S7=33\r")
    memory.works = False
    before = engine._profiles.as_text()
    assert said(engine, line) == ERROR
    assert engine._profiles.as_text() == before
    memory.works = True
    assert said(engine, line) == OK


def test_dtr_with_d3_brings_the_profile_of_the_start_back() -> None:
    memory = Memory()
    said(memory.modem(), b"ATS7=33&D3&W1&Y1\r")
    engine = memory.modem()
    said(engine, b"ATS7=44\r")
    engine.dtr_dropped()
    assert engine.settings.registers[7] == 33


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", 'has no "format": 1'),
        ('{"format": 2}', 'has no "format": 1'),
        ('{"format": 1}', 'has not 2 "profiles"'),
        ('{"format": 1, "profiles": [null]}', 'has not 2 "profiles"'),
        ('{"format": 1, "profiles": [null, null]}', "gives at_start a value"),
        ('{"format": 1, "profiles": [null, null], "at_start": 2}', "gives at_start a value"),
        ('{"format": 1, "profiles": [null, null], "at_start": true}', "gives at_start a value"),
        ('{"format": 1, "profiles": [null, null], "at_start": 0}', 'has no "numbers"'),
        ('{"format":1,"profiles":[null,null],"at_start":0,"numbers":{"10":"5"}}', "number '10'"),
        ('{"format":1,"profiles":[null,null],"at_start":0,"numbers":{"1":"5E"}}', "number '1'"),
        ('{"format":1,"profiles":[7,null]}', "other things than settings"),
        ('{"format":1,"profiles":[{"x":1},null]}', "other things than settings"),
        ('{"format":1,"profiles":[{"basic":{"E":2}},null]}', "gives E a value"),
        ('{"format":1,"profiles":[{"basic":{"K":2}},null]}', "unknown command 'K'"),
        ('{"format":1,"profiles":[{"basic":[]},null]}', "no list of settings under 'basic'"),
        ('{"format":1,"profiles":[{"registers":{"3":200}},null]}', "gives S3 a value"),
        ('{"format":1,"profiles":[{"registers":{"-1":1}},null]}', "gives S-1 a value"),
        ('{"format":1,"profiles":[{"parameters":{"+FAR":"2"}},null]}', r"gives \+FAR a value"),
        ('{"format":1,"profiles":[{"parameters":{"+FOO":"1"}},null]}', r"gives \+FOO a value"),
        (
            '{"format":1,"profiles":[{"calling_name":"a\\r\\nOK"},null]}',
            "no line of text under",
        ),
        ('{"format":1,"profiles":[{"country":"ZZ"},null]}', r"gives \+GCI a value"),
    ],
)
def test_text_that_is_no_memory_has_one_sentence(text: str, why: str) -> None:
    with pytest.raises(ProfileError, match=why) as caught:
        read_profiles(text)
    assert "\n" not in str(caught.value)


def test_spoilt_text_is_read_or_refused_but_never_raises_otherwise() -> None:
    memory = Memory()
    said(memory.modem(), MUCH[:-1] + b"&W0&W1&Z5=123\r")
    rng = random.Random(1)
    read = 0
    for _ in range(3000):
        text = list(memory.text)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(text))
            text[at : at + rng.randint(0, 2)] = rng.choice(SPOILERS)
        try:
            read_profiles("".join(text))
            read += 1
        except ProfileError:
            pass
    assert read > 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
)


@given(
    st.fixed_dictionaries(
        {"format": st.just(1), "profiles": st.lists(json_values, min_size=2, max_size=2)},
        optional={"at_start": json_values, "numbers": json_values},
    )
)
def test_any_json_is_read_or_refused(document: dict[str, object]) -> None:
    with suppress(ProfileError):
        read_profiles(json.dumps(document))
