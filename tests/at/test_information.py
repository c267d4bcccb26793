"""What a person asks: ATI0 to I11, &V, listings, help; each line fits a terminal and is printable."""

from __future__ import annotations

import pytest

from cusemodem.at import IAXMODEM, Engine
from cusemodem.at.call_rules import CallRules
from cusemodem.at.identity import VERSION
from cusemodem.at.line_facts import LineFacts
from cusemodem.at.parameters import PARAMETERS
from cusemodem.at.profiles import Profiles
from cusemodem.at.registers import REGISTERS


def ask(engine: Engine, body: str) -> list[str]:
    """The lines of the answer; the last is the result."""
    engine.host_bytes(b"ATE0\r")
    engine.take_output()
    engine.host_bytes(b"AT" + body.encode() + b"\r")
    text = engine.take_output().decode("utf-8")
    assert text.startswith("\r\n")
    assert text.endswith("\r\n")
    return text[2:-2].split("\r\n\r\n")


def test_each_i_says_something_of_its_own() -> None:
    engine = Engine()
    answers = [ask(engine, f"I{n}") for n in range(12)]
    assert all(answer[-1] == "OK" and len(answer) > 1 for answer in answers)
    texts = [tuple(answer[:-1]) for answer in answers]
    assert len({*texts}) >= len(texts) - 1  # before the first call I6 and I11 have the same to say
    assert texts[0] == ("cusemodem fax modem",)
    assert texts[1] == (VERSION,)
    assert texts[3] == ("cusemodem",)
    assert "V.17" in texts[4][1]
    assert ask(engine, "I") == ask(engine, "I0")
    assert ask(engine, "I12") == ["ERROR"]


def test_i_tells_what_the_line_knows() -> None:
    facts = LineFacts(
        last_call=lambda: ("call report: 42 s\r\nCONNECT",),
        line=lambda: ("ttyIAX0: /dev/ttyIAX0",),
        quality=lambda: ("V.29 9600: SNR 33 dB", "packets: 0 ms lost"),
    )
    engine = Engine(rules=CallRules(3, {"100": "1"}, "00"), facts=facts)
    assert ask(engine, "I6") == ["call report: 42 s??CONNECT", "OK"]  # nobody writes lines of his own here
    assert ask(engine, "I7") == ["ttyIAX0: /dev/ttyIAX0", "on-hook, takes calls, +FCLASS=0", "OK"]
    assert ask(engine, "I11") == ["V.29 9600: SNR 33 dB", "packets: 0 ms lost", "OK"]
    assert ask(engine, "I9")[1:4] == ["busy for 3 s after a call", "+ is dialled as 00", "RING 1 for 100"]
    ask(engine, "H1")
    assert ask(engine, "I7")[1] == "off-hook, takes no call now, +FCLASS=0"


def test_i2_tells_of_a_memory_that_cannot_be_used() -> None:
    profiles = Profiles(store=lambda _text: False)
    engine = Engine(profiles=profiles)
    assert ask(engine, "I2") == ["stored profiles: good", "OK"]
    assert ask(engine, "&W") == ["ERROR"]
    assert ask(engine, "I2") == ["the profiles cannot be stored, see the log", "OK"]


def test_i8_counts() -> None:
    engine = Engine()
    ask(engine, "+FCLASS=1")
    engine.host_bytes(b"ATD1\r")
    engine.host_bytes(b"\x18")
    engine.take_output()
    assert ask(engine, "I8")[0] == "calls: 1 out, 0 in, 0 answered, 0 failed"


def test_iaxmodem_s_name_keeps_what_programs_know_it_by() -> None:
    engine = Engine(IAXMODEM)
    assert ask(engine, "I3") == ["www.soft-switch.org", "OK"]
    assert ask(engine, "I0") == ["spandsp", "OK"]
    assert all(ask(engine, f"I{n}")[-1] == "OK" for n in range(12))


def test_view() -> None:
    engine = Engine()
    ask(engine, 'X2S7=90&W1&Y1&Z3=9W555;+FAR=1;+VSID="Joe","12"')
    view = ask(engine, "&V")
    assert view[0] == "ACTIVE PROFILE:"
    assert view[1] == "E0 L2 M1 Q0 V1 X2 &C1 &D2 T"
    assert "+FCLASS=0" in view[2]
    assert '+VSID="Joe","12"' in view[2]
    assert "S07:090" in view[3]
    assert "STORED PROFILE 0: factory settings" in view
    stored = view.index("STORED PROFILE 1 (at the start):")
    assert "X2" in view[stored + 1]
    assert view[-3:] == ["TELEPHONE NUMBERS:", "3=9W555", "OK"]
    assert ask(engine, "I5")[1] == "STORED PROFILE 1:"


def test_view_1_explains_the_registers() -> None:
    lines = ask(Engine(), "&V1")
    assert len(lines) == len(REGISTERS) + 1
    assert "S07=060 (1-255) seconds from dialling or answering to the first carrier" in lines


@pytest.mark.parametrize("family", sorted({name[:2] for name in PARAMETERS}))
def test_listings_name_every_value_of_a_family(family: str) -> None:
    engine = Engine()
    ask(engine, "+FCL=7")
    values, ranges = ask(engine, family + "?"), ask(engine, family + "=?")
    names = [name for name in PARAMETERS if name.startswith(family)]
    assert [line.split(":")[0] for line in values[:-1]] == names
    assert [line.split(":")[0] for line in ranges[:-1]] == names
    if family == "+F":
        assert any(line.startswith("+FCL: 7 ") and line.endswith("may be lost") for line in values)
        assert any(line.startswith("+FCL: (0-255) ") for line in ranges)


@pytest.mark.parametrize("body", ["&V", "&V1", "$", "+F?", "+V?", "+E?", "I4", "I5", "I8", "I9"])
def test_lines_fit_a_terminal(body: str) -> None:
    for line in ask(Engine(), body):
        assert len(line) < 80
        assert line.isprintable()


@pytest.mark.parametrize("synonym", ["+VCID=1", "#CID=1", "%CCID=1", "#CC1", "*ID1"])
def test_caller_id_by_any_name(synonym: str) -> None:
    engine = Engine()
    assert ask(engine, synonym) == ["OK"]
    assert ask(engine, "+VCID?;#CID?;%CCID?") == ["1", "1", "1", "OK"]
    assert ask(engine, synonym.replace("1", "0")) == ["OK"]
    assert ask(engine, "+VCID?") == ["0", "OK"]
