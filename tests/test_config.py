"""Configuration files: both forms, every key, and the sentence for each mistake."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cusemodem.config import ConfigError, ModemConfig, find, load, modem_files
from iax.formats import ALAW, SLINEAR, ULAW

USER = pwd.getpwuid(os.getuid()).pw_name
GROUP = grp.getgrgid(os.getgid()).gr_name

IAXMODEM_SAMPLE = f"""\
;
; a modem as IAXmodem's own sample has it
device\t\t/dev/ttyIAX
owner\t\t{USER}:{GROUP}
mode\t\t660
port\t\t4570
refresh\t\t300
server\t\t127.0.0.1
peername\tiaxmodem
secret\t\tpassword   ; not a good one
cidname\t\tJohn Doe
cidnumber\t8005551212
codec\t\tslinear
;nojitterbuffer
"""


def _load(tmp_path: Path, text: str | bytes, name: str = "ttyIAX0") -> ModemConfig:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(path)


def _problems(tmp_path: Path, text: str | bytes, name: str = "ttyIAX0") -> list[str]:
    with pytest.raises(ConfigError) as raised:
        _load(tmp_path, text, name)
    lines = str(raised.value).splitlines()
    assert all(line.startswith(str(tmp_path)) for line in lines)
    return [line.removeprefix(f"{tmp_path}/") for line in lines]


def _ini(*lines: str) -> str:
    return "\n".join(("[modem]", "peername = fax", *lines, ""))


def test_an_iaxmodem_file_works_as_it_is(tmp_path: Path) -> None:
    config = _load(tmp_path, IAXMODEM_SAMPLE, "ttyIAX")
    assert config.name == "ttyIAX"
    assert config.device_path == Path("/dev/ttyIAX")
    assert config.device_name == "ttyIAX"
    assert config.owner is not None
    assert (config.owner.uid, config.owner.gid) == (os.getuid(), os.getgid())
    assert config.mode == 0o660
    assert (config.port, config.refresh_s) == (4570, 300)
    assert (config.server_host, config.server_port) == ("127.0.0.1", 4569)
    assert (config.peername, config.secret) == ("iaxmodem", "password")
    assert (config.cidname, config.cidnumber) == ("John Doe", "8005551212")
    assert config.formats == (SLINEAR, ULAW, ALAW)
    flags = (config.record, config.replay, config.nojitterbuffer, config.nodaemon)
    assert not any((*flags, config.iax2debug, config.dspdebug))


def test_every_flag_and_skew_of_the_iaxmodem_form(tmp_path: Path) -> None:
    text = "peername x\nRecord\nnojitterbuffer yes\niax2debug\nDSPDEBUG\nnodaemon\nskew -30\n"
    config = _load(tmp_path, text)
    assert config.record
    assert config.nojitterbuffer
    assert config.iax2debug
    assert config.dspdebug
    assert config.nodaemon
    assert config.skew_us == -30


def test_replay_switches_record_off(tmp_path: Path) -> None:
    config = _load(tmp_path, "peername x\nrecord\nreplay\n")
    assert config.replay
    assert not config.record


def test_iaxmodem_values_that_the_original_spoils(tmp_path: Path) -> None:
    config = _load(tmp_path, "# a remark\r\npeername x\r\nsecret 100%/@:sure\r\n\r\ncidname\r\n")
    assert config.secret == "100%/@:sure"
    assert config.cidname == ""


@pytest.mark.parametrize(("text", "port"), [("0", 4569), ("-1", 0), ("4571", 4571)])
def test_iaxmodem_port_words(tmp_path: Path, text: str, port: int) -> None:
    assert _load(tmp_path, f"peername x\nport {text}\n").port == port


def test_the_last_of_equal_keywords_counts_in_the_iaxmodem_form(tmp_path: Path) -> None:
    assert _load(tmp_path, "peername x\nport 4570\nport 4571\n").port == 4571


def test_old_files_may_be_latin_1(tmp_path: Path) -> None:
    assert _load(tmp_path, "peername x\ncidname Jörg\n".encode("latin-1")).cidname == "Jörg"


def test_our_form(tmp_path: Path) -> None:
    config = _load(
        tmp_path,
        "\ufeff# ours\n\n[modem]\ndevice=/dev/ttyIAX7\nadapter: pty\nport = any\n"
        "server = pbx.example.org:4999\n"
        "peername = fax 7\nsecret = a;b#c = d %\ncodec = ALAW\nrecord = yes\nnodaemon = no\nrefresh = 60\n",
    )
    assert config.device_path == Path("/dev/ttyIAX7")
    assert (config.adapter, config.port) == ("pty", 0)
    assert (config.server_host, config.server_port) == ("pbx.example.org", 4999)
    assert (config.peername, config.secret) == ("fax 7", "a;b#c = d %")
    assert config.formats[0] is ALAW
    assert set(config.formats) == {ULAW, ALAW, SLINEAR}
    assert config.record
    assert not config.nodaemon


def test_the_least_that_works(tmp_path: Path) -> None:
    config = _load(tmp_path, "[modem]\nrefresh = 0\n")
    assert config.device_path == Path("/dev/ttyIAX0")
    assert config.owner is None
    assert config.mode is None
    assert config.adapter == "auto"


def test_the_secret_is_masked(tmp_path: Path) -> None:
    config = _load(tmp_path, _ini("secret = hunter2"))
    assert "hunter2" not in repr(config)
    assert "hunter2" not in "\n".join(config.describe())
    assert "secret = ***" in config.describe()
    assert config.secret == "hunter2"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("sevrer = a", "sevrer: is no key; did you mean server?"),
        ("username = a", "username: is no key; did you mean peername?"),
        ("zzz = a", "zzz: is no key; the keys are device, owner, mode, port, "),
        ("port = 70000", "port: '70000' is out of place; write a UDP port from 1 to 65535, or any"),
        ("port = 4570 ; mine", "port: '4570 ; mine' is out of place; write "),
        ("port =", "port: has no value; write a value, or delete the line"),
        ("port", "port: has no value; write a value, or delete the line"),
        ("refresh = often", "refresh: 'often' is out of place; write seconds from 1"),
        ("server = [::1", "server: '[::1' is no IPv6 address; write for example [2001:db8::1]:4569"),
        ("server = a b", "server: 'a b' is no host; write"),
        ("server = 10.0.0.300", "server: '10.0.0.300' is no IPv4 address; write four numbers"),
        ("server = pbx:0", "server: '0' is out of place; write HOST:PORT"),
        ("server = pbx:", "server: '' is out of place; write HOST:PORT"),
        ("codec = g729", "codec: 'g729' is no codec we have; write ulaw, alaw or slinear"),
        ("device = ttyIAX0", "device: 'ttyIAX0' is not an absolute path; write for example /dev/ttyIAX0"),
        ("device = /dev/iax/0", "device: '0' is no name for a device; write"),
        ("device = /dev/iax/tty0", "device: /dev/iax/tty0 is in a directory below /dev, "),
        ("device = /tmp/../dev/tty", "device: 'tty' is no name"),
        ("device = /dev/tty IAX", "device: 'tty IAX' is no name for a device; write"),
        ("owner = nobody-here:x", "owner: this machine has no user 'nobody-here'; write an existing"),
        (f"owner = {USER}:no-such", "owner: this machine has no group 'no-such'; write an existing"),
        ("owner = :x", "owner: ':x' is not user:group; write for example"),
        ("mode = rw-rw----", "mode: 'rw-rw----' is not three octal digits; write for example 660"),
        ("mode = 000", "mode: with 000 nobody could open the device; write for example 660"),
        ("adapter = serial", "adapter: 'serial' is no way to make a device; write auto, cuse or pty"),
        ("record = maybe", "record: 'maybe' is neither yes nor no; write yes or no"),
        ("record", "record: has no value; write yes"),
        ("skew = 1e3", "skew: '1e3' is out of place; write microseconds from"),
        ("cidname = a\tb", "cidname: there is a control character in the value; write plain text"),
        (f"cidname = {'x' * 256}", "cidname: the value is longer than 255 bytes; write a shorter one"),
        ("port = 1\nport = 2", "port: is given again in line 4; keep one of the two"),
        ("= nothing", "the line is neither `key = value` nor `[modem]`; write one of them"),
        ("[modem2]", "the section [modem2] is unknown here; write [modem], or [modem NAME] for each"),
        ("[modem", "[modem is no section; write [modem], one"),
        ("[]", "[] is no section; write [modem], one"),
    ],
)
def test_each_mistake_has_its_sentence(tmp_path: Path, line: str, problem: str) -> None:
    problems = _problems(tmp_path, _ini(line))
    assert problems[0].startswith(f"ttyIAX0:3: {problem}"), problems[0]
    assert "; " in problems[0]  # what is wrong; what to write


@pytest.mark.parametrize("form", ["[modem]\npeername = x\n", "peername x\n"], ids=["ini", "iaxmodem"])
@pytest.mark.parametrize(
    "line",
    [
        "hunter2",  # a secret that lost its key
        "Tr0ub4dor&3",
        "Tr0ub4dor&3=",
        "= Tr0ub4dor&3",
        "correct.horse battery",
        "root:$y$j9T$abcdefgh$ijklmnop:20000:0:99999:7:::",  # /etc/shadow is no configuration
    ],
)
def test_a_line_that_may_be_a_secret_is_not_repeated(tmp_path: Path, form: str, line: str) -> None:
    said = "\n".join(_problems(tmp_path, f"{form}{line}\n"))
    assert "; " in said
    for word in ("hunter2", "ub4dor", "horse", "battery", "j9T", "abcdefgh"):
        assert word not in said.lower()


def test_a_misspelt_flag_is_repeated(tmp_path: Path) -> None:
    said = _problems(tmp_path, "peername x\nrecrod\n")
    assert said == ["ttyIAX0:2: recrod: is no key; did you mean record?"]


def test_an_indented_line_is_a_line_of_its_own(tmp_path: Path) -> None:
    config = _load(tmp_path, "  [modem]\n\tpeername = fax\n  secret = x\nrecord = yes\n ; that was all\n")
    assert (config.peername, config.secret, config.record) == ("fax", "x", True)


def test_all_problems_are_told_at_once_in_order(tmp_path: Path) -> None:
    problems = _problems(tmp_path, "[modem]\nport = x\nsevrer = a\n\nmode = 9\n")
    assert [line.split(":")[1] for line in problems] == ["1", "2", "3", "5"]
    assert problems[0].startswith("ttyIAX0:1: peername: is missing; write ")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("peername x\nportt 5\n", "ttyIAX0:2: portt: is no key; did you mean port?"),
        ("peername x\nrecord no\n", "ttyIAX0:2: record: IAXmodem takes `record no` for yes; delete the line"),
        (
            "peername = x\n",
            "ttyIAX0:1: peername: has a `=`, which IAXmodem's form does not; write a first line",
        ),
        ("port=5\npeername x\n", "ttyIAX0:1: port: has a `=`, which"),
        ("refresh 300\n", "ttyIAX0:1: peername: is missing; write the name the server knows"),
        ("", "ttyIAX0:1: peername: is missing; write the name the server knows"),
        ("peername x\ncodec\n", "ttyIAX0:2: codec: has no value; write a value, or delete the line"),
    ],
)
def test_mistakes_in_the_iaxmodem_form(tmp_path: Path, text: str, problem: str) -> None:
    assert _problems(tmp_path, text)[0].startswith(problem)


def test_a_file_name_that_is_no_device_name(tmp_path: Path) -> None:
    assert "device: is missing, and /dev/9.conf is no device name" in _problems(tmp_path, _ini(), "9.conf")[0]
    assert _load(tmp_path, _ini("device = /dev/ttyIAX9"), "9.conf").device_name == "ttyIAX9"


def test_what_is_no_file(tmp_path: Path) -> None:
    assert "is no configuration (binary or over 64 KiB)" in _problems(tmp_path, b"\x7fELF\0\0")[0]
    assert "is no configuration (binary or over 64 KiB)" in _problems(tmp_path, b"a" * 70000)[0]
    with pytest.raises(ConfigError, match=r"cannot be read \(No such file or directory\); check the path"):
        load(tmp_path / "none")
    with pytest.raises(ConfigError, match="is not a file; write the path"):
        load(tmp_path)


def test_find_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has none yet"):
        find("ttyIAX0", tmp_path)
    (tmp_path / "ttyIAX1").write_text(IAXMODEM_SAMPLE)
    with pytest.raises(ConfigError, match="no such configuration; there is ttyIAX1"):
        find("ttyIAX0", tmp_path)
    assert find("ttyIAX1", tmp_path) == tmp_path / "ttyIAX1"
    for name in ("", ".", "..", "../ttyIAX1", "/etc/passwd", "a\0b"):
        with pytest.raises(ConfigError, match="is no file name; write the name alone"):
            find(name, tmp_path)


def test_packagers_leftovers_are_no_modems(tmp_path: Path) -> None:
    for name in ("ttyIAX1", "ttyIAX0", "ttyIAX0.dpkg-old", "ttyIAX0~", ".hidden", "#ttyIAX0#", "a.rpmsave"):
        (tmp_path / name).write_text("")
    (tmp_path / "directory").mkdir()
    assert [path.name for path in modem_files(tmp_path)] == ["ttyIAX0", "ttyIAX1"]
    with pytest.raises(ConfigError, match="cannot list the directory"):
        modem_files(tmp_path / "none")


@pytest.fixture(scope="module")
def one_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "ttyIAX0"


@given(
    st.lists(
        st.one_of(
            st.text(max_size=30),
            st.builds(
                "{} {} {}".format,
                st.sampled_from(["device", "port", "server", "record", "[modem]", "owner", "mode", "secret"]),
                st.sampled_from(["", "=", ":", ";"]),
                st.text(max_size=20),
            ),
        ),
        max_size=8,
    ),
    st.booleans(),
)
def test_whatever_a_file_holds_there_is_a_config_or_sentences(
    one_path: Path, lines: list[str], ini: bool
) -> None:
    text = "\n".join((["[modem]"] if ini else []) + lines)
    one_path.write_bytes(text.encode("utf-8", "replace"))
    try:
        load(one_path)
    except ConfigError as error:
        problems = str(error).split("\n")
    else:
        return
    for problem in problems:
        assert problem.isprintable()
        assert problem.startswith(str(one_path))
