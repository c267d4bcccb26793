"""A configuration directory as a whole: defaults, sections, clashes, secrets."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from cusemodem import cli
from cusemodem.config import ConfigError, load
from cusemodem.config_service import Configuration, ServiceConfig, load_directory, load_named


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "modems").mkdir()
    return tmp_path


def _problems(etc: Path) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load_directory(etc)
    return [line.removeprefix(f"{etc}/") for line in str(raised.value).splitlines()]


def _modem(etc: Path, name: str, *lines: str) -> None:
    (etc / "modems" / name).write_text("\n".join(("[modem]", f"peername = {name}", *lines, "")))


def test_an_empty_directory_is_a_service_without_modems(etc: Path) -> None:
    assert load_directory(etc) == Configuration(ServiceConfig(), [])


def test_defaults_hold_where_a_modem_says_nothing(etc: Path) -> None:
    (etc / "cusemodem.conf").write_text("[defaults]\nserver = pbx\nport = 4570\nsecret = s\ncodec = alaw\n")
    _modem(etc, "ttyIAX0")
    _modem(etc, "ttyIAX1", "server = other", "secret = own")
    (etc / "ttyIAX2").write_text("peername old\n")  # IAXmodem's form means what it always meant
    one, two, old = sorted(load_directory(etc).served, key=lambda config: config.name)
    assert (one.server_host, one.port, one.secret, one.codecs[0]) == ("pbx", 4570, "s", "alaw")
    assert (two.server_host, two.port, two.secret) == ("other", 4570, "own")
    assert (old.server_host, old.port, old.secret, old.codecs[0]) == ("127.0.0.1", 4569, "", "ulaw")


def test_several_modems_in_one_file(etc: Path) -> None:
    (etc / "cusemodem.conf").write_text("[modem a0]\npeername = a\n[defaults]\nport = any\n")
    (etc / "modems" / "all").write_text(
        "[modem b0]\npeername = b\n[modem b1]\npeername = c\nnodaemon = yes\n"
    )
    configuration = load_directory(etc)
    assert [modem.config.name for modem in configuration.modems] == ["a0", "b0", "b1"]
    assert [config.name for config in configuration.served] == ["a0", "b0"]
    assert load_named("b1", etc).device_path == Path("/dev/b1")
    assert load_named("a0", etc).port == 0
    with pytest.raises(ConfigError, match="describes b0, b1; write one of these names"):
        load_named("all", etc)
    with pytest.raises(ConfigError, match="there is no such configuration; there is all"):
        load_named("b2", etc)


def test_every_service_key(etc: Path) -> None:
    (etc / "cusemodem.conf").write_text(
        "[service]\nworkers = 3\nlog = /var/log/fax\nlog_format = json\nlog_limit = 5\nstate = /srv/fax\n"
        "record_limit = 7\nrecord_days = 2\nhistory_days = 9\ncontrol = /run/x/y\ncontrol_group = root\n"
        "pid_file = /run/z.pid\nuser = nobody\ngroup = root\n"
    )
    service = load_directory(etc).service
    assert service == ServiceConfig(
        workers=3,
        log="/var/log/fax",
        log_format="json",
        log_limit_bytes=5 << 20,
        state=Path("/srv/fax"),
        record_limit_bytes=7 << 20,
        record_days=2,
        history_days=9,
        control=Path("/run/x/y"),
        control_group="root",
        pid_file=Path("/run/z.pid"),
        user="nobody",
        group="root",
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("[service]\nworkers = many", "cusemodem.conf:2: workers: 'many' is out of place; write auto, or"),
        (
            "[service]\nlog = somewhere",
            "cusemodem.conf:2: log: 'somewhere' is no place for logs; write auto,",
        ),
        ("[service]\nlog_format = xml", "cusemodem.conf:2: log_format: 'xml' is no form of log lines; write"),
        ("[service]\nstate = here", "cusemodem.conf:2: state: 'here' is not an absolute path; write one"),
        ("[service]\ncontrol_group = no-such", "cusemodem.conf:2: control_group: this machine has no group"),
        ("[service]\nuser = no-such", "cusemodem.conf:2: user: this machine has no user 'no-such'; write an"),
        ("[service]\ngroup = no-such", "cusemodem.conf:2: group: this machine has no group 'no-such'; write"),
        ("[service]\nworker = 3", "cusemodem.conf:2: worker: is no key; did you mean workers?"),
        ("[defaults]\ndevice = /dev/x", "cusemodem.conf:2: device: belongs to one modem; write it in"),
        ("[defaults]\nport = x", "cusemodem.conf:2: port: 'x' is out of place; write a UDP port"),
        ("[modem]\npeername = x", "cusemodem.conf:1: the section [modem] is unknown here; write [defaults],"),
        (
            "[servcie]\n",
            "cusemodem.conf:1: the section [servcie] is unknown here; write [defaults], [service]",
        ),
        ("[service]\nlog = auto\n[service]", "cusemodem.conf:3: [service] was begun in line 1 already; put"),
        ("port = 5", "cusemodem.conf:1: is no section; write"),
    ],
)
def test_mistakes_in_the_main_file(etc: Path, line: str, problem: str) -> None:
    (etc / "cusemodem.conf").write_text(line + "\n")
    assert _problems(etc)[0].startswith(problem)


def test_what_two_modems_may_not_share(etc: Path) -> None:
    _modem(etc, "ttyIAX0", "port = 4570")
    _modem(etc, "ttyIAX1", "port = 4570", "device = /dev/ttyIAX0")
    _modem(etc, "ttyIAX2", "port = 4570", "codec = slinear")
    (etc / "modems" / "ttyIAX3").write_text("[modem]\npeername = ttyIAX0\nport = 4571\n")
    _modem(etc, "ttyIAX4", "port = 4571", "nodaemon = yes")
    (etc / "ttyIAX0").write_text("peername x\n")
    at = f"{etc}/modems/ttyIAX"
    other = "write another port"
    problems = [problem for problem in _problems(etc) if " device: " not in problem]
    assert problems == [
        f"modems/ttyIAX0:1: a modem ttyIAX0 is in {etc}/ttyIAX0:1 already; write another name",
        f"modems/ttyIAX2:3: port: 4570 is also the port of {at}1:1, whose codec differs; {other}",
        f"modems/ttyIAX4:3: port: 4571 is also the port of {at}3:1, and a modem with nodaemon needs one of "
        f"its own; {other}",
    ]
    (etc / "ttyIAX0").unlink()
    assert _problems(etc)[0].startswith(f"modems/ttyIAX1:4: device: /dev/ttyIAX0 is also the device of {at}0")
    assert any("'ttyIAX0' is also the name of" in problem for problem in _problems(etc))


def test_modems_of_one_service_may_share_a_port(etc: Path) -> None:
    for k in range(8):
        _modem(etc, f"ttyIAX{k}", "port = 4570")
    assert {config.port for config in load_directory(etc).served} == {4570}


def test_secrets_from_files_and_credentials(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (etc / "hidden").mkdir()
    (etc / "hidden" / "fax0.secret").write_text("from a file\n")
    _modem(etc, "ttyIAX0", f"secret_file = {etc}/hidden/fax0.secret")
    assert load_named("ttyIAX0", etc).secret == "from a file"
    _modem(etc, "ttyIAX0", "secret_file = fax0.secret")
    assert _problems(etc)[0].startswith(
        "modems/ttyIAX0:3: secret_file: 'fax0.secret' is no absolute path, and "
    )
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(etc / "hidden"))
    assert load_named("ttyIAX0", etc).secret == "from a file"
    _modem(etc, "ttyIAX0", "secret_file = ../fax0.secret")
    assert "is no credential's name" in _problems(etc)[0]
    _modem(etc, "ttyIAX0", "secret_file = none")
    assert "cannot be read (No such file or directory)" in _problems(etc)[0]
    _modem(etc, "ttyIAX0", "secret_file = fax0.secret", "secret = a")
    assert _problems(etc)[0].startswith("modems/ttyIAX0:3: secret_file: is given beside secret; keep one")


def test_check_of_a_directory(etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (etc / "cusemodem.conf").write_text("[defaults]\nport = 4570\n")
    _modem(etc, "ttyIAX0")
    _modem(etc, "ttyIAX1", "device = /dev/ttyIAX0")
    _modem(etc, "ttyIAX1.rpmsave", "nonsense")
    assert cli.main(["check", "--config", str(etc)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == ["ok", "ok"]
    assert out[2].startswith(f"{etc}/modems/ttyIAX1:3: device: /dev/ttyIAX0 is also the device of ")
    _modem(etc, "ttyIAX1")
    assert cli.main(["check", "--config", str(etc)]) == 0
    assert capsys.readouterr().out == "ok\nok\nok\n"


# --- two hundred broken files -------------------------------------------------------------------------------

GOOD = {
    "device": "/dev/ttyIAX0",
    "owner": "root:root",
    "mode": "660",
    "port": "4570",
    "refresh": "300",
    "server": "pbx.example.org",
    "peername": "fax0",
    "secret": "s",
    "cidname": "Example",
    "codec": "ulaw",
    "record": "no",
    "adapter": "pty",
    "backup_servers": "pbx2.example.org, [2001:db8::1]:4570",
    "encryption": "no",
    "trunk": "no",
    "reliable_voice": "yes",
    "keep_alive": "auto",
    "accept_from": "192.0.2.1 2001:db8::7",
    "causes": "1:NO DIALTONE, 34:NO CARRIER",
    "busy_after_call": "2.5",
    "distinctive_ring": "5550101:1, 5550102:b",
    "identity": "iaxmodem",
}
BAD_VALUES = {
    "device": ["ttyIAX0", "/dev/", "/dev/a b", "/dev/x/y", "/dev/../x", "/dev/9", "/dev/" + "x" * 40],
    "owner": ["nobody-here", "root:nobody-here", ":", "root:", ":root", "0:0:0"],
    "mode": ["9", "rw", "0o660", "000", "66", "66000", "-660"],
    "port": ["x", "-1", "65536", "1e3", "4570 ;", "0x11", "4 570"],
    "refresh": ["x", "-1", "65536", "5m", "3.5"],
    "server": [
        *("a b", "pbx:", "pbx:0", "pbx:99999", "1.2.3", "1.2.3.400", "http://pbx", "-pbx"),
        *("[::g]", "::1:2:3:4:5:6:7:8:9", "[::1]x", "[::1]:0"),
    ],
    "cidname": ["a\tb", "x" * 300, "\x1b[2J"],
    "codec": ["mp3", "ulaw,alaw", "g711"],
    "record": ["maybe", "2", "y e s"],
    "backup_servers": ["a:b", "1.2.3.400", ",", "pbx, [::g]"],
    "encryption": ["perhaps", "aes", "1"],
    "trunk": ["perhaps"],
    "reliable_voice": ["always"],
    "keep_alive": ["-1", "4", "1h"],
    "accept_from": ["pbx", "1.2.3", "1.2.3.4:4569"],
    "adapter": ["serial", "CUSE ", "tty0"],
    "causes": ["17", "17:LATER", "0:BUSY", "128:BUSY", "BUSY"],
    "busy_after_call": ["-1", "601", "5s", "1e3", "1.25"],
    "distinctive_ring": ["5550101", "5550101:12", "555 0101:1", ":1"],
    "identity": ["IAXmodem", "us"],
}


def _broken(rng: random.Random) -> tuple[str, int, str]:
    """A file with one mistake: its text, the line and the key."""
    keys = rng.sample(list(GOOD), len(GOOD))
    lines = [f"{key} = {GOOD[key]}" for key in keys]
    kind = rng.choice(["value", "value", "value", "unknown", "twice", "empty", "syntax", "section"])
    k = rng.randrange(len(lines))
    key = keys[k]
    if kind == "value":
        key = rng.choice(list(BAD_VALUES))
        k = keys.index(key)
        lines[k] = f"{key} = {rng.choice(BAD_VALUES[key])}"
    elif kind == "unknown":
        key = rng.choice(["prot", "sever", "pasword", "x1", "dev ice", key + "x"])
        lines.insert(k, f"{key} = 1")
        key = key.replace("dev ice", "***")  # what cannot be a key is not repeated
    elif kind == "twice":
        lines.append(lines[k])
    elif kind == "empty":
        key = rng.choice(["port", "server", "device", "codec"])
        k = keys.index(key)
        lines[k] = f"{key} ="
    elif kind == "syntax":
        key = ""
        lines.insert(k, "= nothing")
    else:
        key = ""
        lines.insert(k, "[modme]")
    return "\n".join(["[modem]", *lines, ""]), k + 2, key


def test_two_hundred_broken_files_each_with_file_line_key_and_remedy(tmp_path: Path) -> None:
    rng = random.Random(7)
    texts = set()
    while len(texts) < 200:
        text, line, key = _broken(rng)
        texts.add(text)
        path = tmp_path / "ttyIAX0"
        path.write_text(text)
        with pytest.raises(ConfigError) as raised:
            load(path)
        said = str(raised.value).splitlines()
        assert any(s.startswith(f"{path}:{line}: {f'{key}: ' if key else ''}") for s in said), (text, said)
        for sentence in said:
            assert sentence.isprintable()
            assert "; " in sentence  # what is wrong; what to write
