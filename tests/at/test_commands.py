"""Every command: what it answers, what it refuses, what Z brings back."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from cusemodem.at import IAXMODEM, Engine, actions, events
from cusemodem.at.commands import COMMANDS
from cusemodem.at.identity import VERSION
from cusemodem.at.parameters import PARAMETERS, TOLERATED_BASIC
from tests.at import compare_iaxmodem

OK, ERROR = "\r\nOK\r\n", "\r\nERROR\r\n"


def ask(engine: Engine, body: str) -> str:
    """The answer to a line, echo off."""
    engine.host_bytes(b"AT" + body.encode("ascii") + b"\r")
    return engine.take_output().decode("utf-8")


def info(text: str) -> str:
    return f"\r\n{text}\r\n"


@pytest.fixture
def engine() -> Engine:
    engine = Engine()
    engine.host_bytes(b"ATE0\r")
    engine.take_output()
    return engine


@pytest.mark.parametrize(
    "body",
    [
        "", "E0", "E", "Q0", "V1", "L", "L3", "M2", "X0", "X4", "&C", "&C1", "&D0", "&D1", "&D2", "&D3",
        "P", "T", "Z", "Z1", "Z2", "&F", "&F5S39=22", "&W", "&W0", "H", "H0", "S0=0", "S0=255", "S7=1",
        "S8=2", "S10=20", "S95=47", "S37=", "S7.0=1", "S1", "Q0V1", "&FE0&D2S7=120", "M1L0", "S0=0Q0&D3&C1",
        "&K0", "&K3", "&K4", "\\N0", "\\N5", "\\Q3", "&H1", "&I0", "&R1", "&S0", "&B1", "&Y0", "%C0", "%C1",
        "&Y1",
        "\\V1", "-J1", "-K0", "B0B15", "N0", "N1", "W2", "Y0", "*H1", "*", "#CID=1", "#CLS=0", "#VLS=0",
        "+IFC=2,2", "+ILRR=1", "+ICF=3,3", "+IPR=115200", "+MS=V34", "+MR=1", "+MA=", "+ES=3,0,2",
        "+EB=1,0,30", "+ER=0", "+EFCS=1", "+ETBM=1,1,20", "+EWIND=15,15", "+EFRAM=128", "+ESR=0",
        "+DS=3,0,2048,32", "+DR=1", "+A8E=1,1", "+VIP", "+VGR=127", "+VGT=127", "+VIT=10", "+VDR=1,10",
        "+VDT=1,10", "+GCI=B5", "+FCLASS=0", "+FCLASS=1", "+FCLASS=1.0", "+FAR=1", "+FCL=255", "+FDD=1",
        "+FIT=0,0", "+FIT=255,1", "+FIT=10", "+FIT=,1", "+FLO=2", "+FPR=8", "+FAA=0", "+FAE=1", "+VCID=1",
        "+VRID", "+VRID=1", '+VSID="Joe","123"', "+VSID=123", '+VSID="",""', "&Z3=5550100", "+GMI=?",
        "+FCLASS=0;+FAR=0;E0", "+VSID=?",
    ],
)  # fmt: skip
def test_good(engine: Engine, body: str) -> None:
    assert ask(engine, body) == OK


@pytest.mark.parametrize(
    "body",
    [
        "E2", "Q2", "V9", "L4", "M4", "X5", "&C2", "&D4", "H2", "I12", "Z10", "&F99", "&W99", "O", "O1",
        "S3=128", "S7=0", "S7=256", "S256=1", "S999?", "S7.8=1", "S7.0=2", "S0=99999999999999999999",
        "E99999999999999999999", "C1", "F1", "G", "J", "K3", "R", "U", "%E2", "\\A1", "&T1", "&Z", "&Z10=5",
        "&Z1=5E", "&Z1?", "!", "?", "=", "+", "+FOO", "+FOO=1", "+FOO?", "+FOO=?", "+FCLASS", "+FCLASS=",
        "+FCLASS=2", "+FCLASS=2.0", "+FCLASS=2.1", "+FCLASS=8", "+FCLASS=1E0", "+FAR=2", "+FAR", "+FCL=256",
        "+FIT=256", "+FIT=1,2", "+FIT=1,1,1", "+FIT=-1", "+FLO=3", "+FLO=A", "+VCID=2", "+VSID", '+VSID="Joe',
        '+VSID="a","b","c"', "+VSID=" + "9" * 81, '+VSID="a\\0D\\0AOK"', "+VRID=2", "+VRID?", "+GCI=1",
        "+GCI=XX", "+GCI", "+GMI=1", "+MS=" + "9" * 65, "+F34=14,1,2", "+FDT", "+FDR", "A", "A1", "D", "D5",
        "D;", "+FTS=8", "+FRS=8", "+FTH=3", "+FRH=3", "+FTM=96", "+FRM=96",
        "+FRH=4", "+FTH", "+FRS=256", "+FTS=", "+FTM", "+GMI)", "&V99", "&W2", "&Y2",
        "#CID=2", "#CC2", "%CCID=2", "+FT?", "+Q?", "+V",
    ],
)  # fmt: skip
def test_refused(engine: Engine, body: str) -> None:
    assert ask(engine, body) == ERROR
    assert engine.statistics().errors == 1


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ("I", "cusemodem fax modem"),
        ("I0", "cusemodem fax modem"),
        ("I1", VERSION),
        ("I3", "cusemodem"),
        ("I2", "stored profiles: good"),
        ("I6", "no call yet"),
        ("I11", "no call yet"),
        ("+GMI", "cusemodem"),
        ("+GMI?", "cusemodem"),
        ("+GMM", "cusemodem fax modem"),
        ("+GMR", VERSION),
        ("+GSN", "0"),
        ("+GCAP", "+GCAP: +FCLASS,+VCID"),
        ("+GCI?", "+GCI: B5"),
        ("+GCI=?", "+GCI: (00-FF)"),
        ("+FMI?", "cusemodem"),
        ("+FMM?", "cusemodem fax modem"),
        ("+FMR?", VERSION),
        ("+FMFR?", "cusemodem"),
        ("+FMDL?", "cusemodem fax modem"),
        ("+FREV?", VERSION),
        ("S7?", "060"),
        ("S0?", "000"),
        ("S37?", "000"),
        ("S3.0?", "001"),
        ("S3=?", "(000-127)"),
        ("S7=?", "(001-255)"),
        ("+FCLASS?", "0"),
        ("+FCLASS=?", "0,1,1.0"),
        ("+FTM=?", "24,48,72,73,74,96,97,98,121,122,145,146"),
        ("+FRM=?", "24,48,72,73,74,96,97,98,121,122,145,146"),
        ("+FTH=?", "3"),
        ("+FRH=?", "3"),
        ("+FTS=?", "0-255"),
        ("+FRS=?", "0-255"),
        ("+FAR?", "0"),
        ("+FAR=?", "(0,1)"),
        ("+FCL=?", "(0-255)"),
        ("+FDD=?", "(0,1)"),
        ("+FIT?", "0,0"),
        ("+FIT=?", "(0-255),(0,1)"),
        ("+FLO=?", "(0-2)"),
        ("+VCID?", "0"),
        ("+VCID=?", "(0,1)"),
        ("+VSID?", '"",""'),
        ("+VRID=?", "(0,1)"),
        ("+IFC?", "+IFC: 2,2"),
        ("+IFC=?", "+IFC: (0-3),(0-2)"),
        ("+DS=?", "+DS: (0-3),(0,1),(512-65535),(6-250)"),
    ],
)
def test_questions(engine: Engine, body: str, answer: str) -> None:
    assert ask(engine, body) == info(answer) + OK


def test_i0_to_i9_all_answer(engine: Engine) -> None:
    for n in range(10):
        assert ask(engine, f"I{n}").endswith(OK)


def test_version_is_the_package_s() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION


def test_iaxmodem_s_identity() -> None:
    engine = Engine(IAXMODEM)
    engine.host_bytes(b"ATE0\r")
    engine.take_output()
    assert ask(engine, "I3") == info("www.soft-switch.org") + OK
    assert ask(engine, "+GMM?") == info("spandsp") + OK
    beside = compare_iaxmodem.rows_of_the_page()
    for question in ("+FMI?", "+FMM?", "+FMR?", "+GMI?", "I3"):  # as its package answered
        assert ask(engine, question).strip().split("\r\n\r\n") == beside[question][1].split(" + ")


def test_values_are_kept(engine: Engine) -> None:
    for name, parameter in PARAMETERS.items():
        value = ",".join(str(high) for _, high in parameter.ranges) if parameter.ranges else "1"
        assert ask(engine, f"{name}={value}") == OK, name
        label = "" if parameter.bare else f"{name}: "
        assert ask(engine, name + "?") == info(label + value) + OK
    assert ask(engine, "+GCI=af;+GCI?") == info("+GCI: AF") + OK
    assert ask(engine, "S7=120S7?") == info("120") + OK
    assert ask(engine, '+VSID="Joe Doe\\2c Ltd","123"') == OK
    assert ask(engine, "+VSID?") == info('"Joe Doe, Ltd","123"') + OK


def test_execution_stops_at_the_first_error(engine: Engine) -> None:
    assert ask(engine, "S0=3I3+FOO;S0=4") == info("cusemodem") + ERROR
    assert ask(engine, "S0?") == info("003") + OK


def test_v_and_q(engine: Engine) -> None:
    assert ask(engine, "V0") == "0\r"
    assert ask(engine, "+FOO") == "4\r"
    assert ask(engine, "I3") == "cusemodem\r\n0\r"
    assert ask(engine, "Q1") == ""
    assert ask(engine, "I3") == "cusemodem\r\n"
    assert ask(engine, "+FOO") == ""
    assert ask(engine, "V1Q0") == OK


def test_s3_and_s4_form_the_answer(engine: Engine) -> None:
    assert ask(engine, "S3=33S4=45") == "!-OK!-"
    engine.host_bytes(b"ATS3=13S4=10!")
    assert engine.take_output().decode() == OK


def test_view_shows_the_profile(engine: Engine) -> None:
    ask(engine, "X2S95=47")
    text = ask(engine, "&V")
    assert "X2" in text
    assert "S07:060" in text
    assert "S95:047" in text
    assert "+FCLASS=0" in text
    assert text.endswith(OK)


@pytest.mark.parametrize("body", ["Z", "Z1", "&F", "&F1"])
def test_reset_restores_everything(engine: Engine, body: str) -> None:
    fresh = ask(Engine(), "E1&V")
    ask(engine, '+FCLASS=1;+FAR=1;+VCID=1;+FIT=9,1;+FCL=3;+VSID="a","b";X0V1L0M0&C0&D3S0=2S7=9S95=1')
    assert ask(engine, body) == OK
    for question, answer in (
        ("+FCLASS?", "0"),
        ("+FAR?", "0"),
        ("+VCID?", "0"),
        ("+FIT?", "0,0"),
        ("S0?", "000"),
    ):
        assert info(answer) in ask(engine, question)
    assert info('"",""') in ask(engine, "+VSID?")
    assert ask(engine, "&V").replace("AT&V\r", "") == fresh.replace("ATE1&V\r", "")


def test_write_keeps_a_profile_but_not_the_class(engine: Engine) -> None:
    ask(engine, "+FCLASS=1;E0S7=90&W")
    ask(engine, "E1S7=30")
    assert "\r\nOK\r\n" in ask(engine, "Z")
    assert ask(engine, "S7?+FCLASS?") == info("090") + info("0") + OK
    assert ask(engine, "&F").endswith(OK)
    assert info("060") in ask(engine, "S7?")


def test_reset_hangs_up(engine: Engine) -> None:
    for body in ("Z", "&F", "H0"):
        ask(engine, "E0H1")
        assert engine.off_hook
        engine.take_actions()
        assert ask(engine, body).endswith(OK)
        assert engine.take_actions() == [actions.GoOnHook()]
        assert not engine.off_hook


def test_stored_and_last_numbers(engine: Engine) -> None:
    ask(engine, "+FCLASS=1;&Z2=9W555,,12")
    engine.take_actions()
    for body in ("DS=2", "DL", "DTL"):
        assert ask(engine, body) == ""
        dial = next(action for action in engine.take_actions() if isinstance(action, actions.Dial))
        assert (dial.number, dial.after_answer) == ("9555", ",,12")
        engine.event(events.CallFailed("BUSY"))
        assert engine.take_output() == b"\r\nBUSY\r\n"
    assert ask(engine, "DS=7") == ERROR


def test_no_command_is_in_two_tables() -> None:
    assert len(COMMANDS) == len(set(COMMANDS))
    assert not TOLERATED_BASIC & set(PARAMETERS)
    for name in COMMANDS:
        assert name == name.upper()
