"""The keys about the PBX: from the file to what the IAX2 endpoint is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from cusemodem.config import ConfigError, ModemConfig, load
from cusemodem.pbx import peer_config, server_names
from iax import ALAW, ULAW, Address, Encryption, PeerConfig, Presentation
from tests.iax.keys import PRIVATE_KEY, PUBLIC_KEY

HERE: Address = ("192.0.2.1", 4569)
THERE: Address = ("2001:db8::2", 4570)


def config(tmp_path: Path, *lines: str) -> ModemConfig:
    path = tmp_path / "ttyIAX0"
    path.write_text("\n".join(("[modem]", "peername = fax", "secret = s", *lines, "")))
    return load(path)


def peer(tmp_path: Path, *lines: str) -> PeerConfig:
    return peer_config(config(tmp_path, *lines), (HERE, THERE))


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("pbx.example.org", ("pbx.example.org", 4569)),
        ("pbx:4570", ("pbx", 4570)),
        ("192.0.2.1", ("192.0.2.1", 4569)),
        ("2001:db8::1", ("2001:db8::1", 4569)),
        ("[2001:DB8::1]", ("2001:db8::1", 4569)),
        ("[2001:db8::1]:4570", ("2001:db8::1", 4570)),
        ("[fe80::1%eth0]:4570", ("fe80::1%eth0", 4570)),
    ],
)
def test_servers(tmp_path: Path, text: str, server: Address) -> None:
    found = config(tmp_path, f"server = {text}")
    assert (found.server_host, found.server_port) == server


def test_an_iaxmodem_file_may_have_an_ipv6_server(tmp_path: Path) -> None:
    path = tmp_path / "ttyIAX0"
    path.write_text("peername fax\nserver [2001:db8::1]:4570\n")
    assert load(path).server_host == "2001:db8::1"


def test_backup_servers(tmp_path: Path) -> None:
    found = config(tmp_path, "server = a", "backup_servers = b:4570, [2001:db8::1] c")
    assert found.backup_servers == (("b", 4570), ("2001:db8::1", 4569), ("c", 4569))
    assert "backup_servers = b:4570 2001:db8::1:4569 c:4569" in list(found.describe())
    assert server_names(found)._servers == (("a", 4569), *found.backup_servers)
    assert peer(tmp_path).alternatives == (THERE,)


def test_by_default_nothing_is_encrypted_trunked_or_challenged(tmp_path: Path) -> None:
    found = peer(tmp_path)
    assert found == PeerConfig(HERE, "fax", "s", 300, alternatives=(THERE,), reliable_voice=True)


def test_lost_audio_is_sent_again_unless_it_goes_in_trunk_frames(tmp_path: Path) -> None:
    assert peer(tmp_path).reliable_voice
    assert not peer(tmp_path, "reliable_voice = no").reliable_voice
    assert not peer(tmp_path, "trunk = yes").reliable_voice


def test_codecs_are_those_and_no_others(tmp_path: Path) -> None:
    assert config(tmp_path, "codecs = alaw, ulaw alaw").formats == (ALAW, ULAW)


@pytest.mark.parametrize(
    ("word", "means"),
    [("no", Encryption.OFF), ("yes", Encryption.ALLOWED), ("Require", Encryption.REQUIRED)],
)
def test_encryption(tmp_path: Path, word: str, means: Encryption) -> None:
    assert peer(tmp_path, f"encryption = {word}").encryption is means


def test_keys_of_rsa(tmp_path: Path) -> None:
    (tmp_path / "ours.pem").write_bytes(PRIVATE_KEY)
    (tmp_path / "theirs.pem").write_bytes(PUBLIC_KEY)
    lines = (f"outkey = {tmp_path}/ours.pem", f"inkeys = {tmp_path}/theirs.pem")
    found = peer(tmp_path, *lines)
    assert found.private_key == PRIVATE_KEY
    assert found.server_key == PUBLIC_KEY
    assert found.challenge_calls, "a key to check the PBX by is there to be used"
    said = "\n".join(config(tmp_path, *lines).describe())
    assert "private_key = a key" in said
    assert "BEGIN" not in said


def test_switches(tmp_path: Path) -> None:
    found = peer(
        tmp_path,
        *("trunk = yes", "challenge_calls = yes", "allow_plaintext = yes", "transfer = yes"),
        *("demand_call_token = yes", "cidpresentation = restricted"),
        *("keep_alive = 15", "accept_from = 192.0.2.9, [2001:db8::9]"),
    )
    assert found.trunk
    assert found.follow_transfers
    assert found.challenge_calls
    assert found.demand_call_token
    assert found.presentation is Presentation.RESTRICTED
    assert peer(tmp_path, "cidpresentation = allowed").presentation is None
    assert found.allow_plaintext
    assert found.keep_alive_s == 15
    assert found.accept_from == ("192.0.2.9", "2001:db8::9")
    assert peer(tmp_path, "keep_alive = no").keep_alive_s == 0
    assert peer(tmp_path, "keep_alive = auto").keep_alive_s is None


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["codec = alaw", "codecs = ulaw"], "codecs: is given beside codec; keep one of the two"),
        (["codecs = gsm"], "codecs: 'gsm' is no codec we have; write some of ulaw, alaw, slinear"),
        (["secret =", "encryption = yes"], "encryption: needs a secret"),
        (["secret =", "challenge_calls = yes"], "challenge_calls: has nothing to check the PBX by; write"),
        (["encryption = require", "allow_plaintext = yes"], "allow_plaintext: gives away what encryption ="),
        (["outkey = ours.pem"], "outkey: 'ours.pem' is not an absolute path; write one, of a PEM file"),
        (["outkey = /nowhere/x"], "outkey: /nowhere/x cannot be read (No such file or directory); write"),
        (["outkey = {empty}"], "this is no private key in PEM without a passphrase; write the path of"),
        (
            ["outkey = {public}"],
            "this is no private key in PEM without a passphrase; write the path of",
        ),
        (["inkeys = {empty}"], "this is no public key in PEM; write the path of a PEM file with the PBX's"),
        (["encryption = maybe"], "encryption: 'maybe' is out of place; write no, yes or require"),
        (["cidpresentation = no"], "cidpresentation: 'no' is out of place; write allowed or restricted"),
        (["keep_alive = 1"], "keep_alive: '1' is out of place; write auto, no, or seconds from 5 to 3600"),
        (["accept_from = pbx"], "accept_from: 'pbx' is no address; write IPv4 or IPv6 addresses"),
        (["backup_servers = a b c d e f g h i"], "backup_servers: 9 servers are too many; write up to 8"),
        (["private_key = x"], "private_key: is no key; did you mean outkey?"),
    ],
)
def test_mistakes(tmp_path: Path, lines: list[str], says: str) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "public").write_bytes(PUBLIC_KEY)
    path = tmp_path / "ttyIAX0"
    filled = [line.format(empty=tmp_path / "empty", public=tmp_path / "public") for line in lines]
    secret = [] if any(line.startswith("secret") for line in lines) else ["secret = s"]
    path.write_text("\n".join(("[modem]", "peername = fax", *secret, *filled, "")))
    with pytest.raises(ConfigError) as raised:
        load(path)
    assert len(str(raised.value).splitlines()) == 1
    assert says in str(raised.value)
