"""The keys that say how a modem deals with its PBX: servers, codecs, proofs, encryption, whom it listens to.

Readers as in `config_keys`: text to fields, or ValueError with what is wrong; what to write.
"""

from __future__ import annotations

import configparser
import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

IAX2_PORT = 4569
CODECS = ("ulaw", "alaw", "slinear")
MAX_SERVERS = 8

Fields = dict[str, Any]
Server = tuple[str, int]


def server_of(text: str) -> Server:
    """HOST, HOST:PORT, [IPV6], [IPV6]:PORT or IPV6 as host and port."""
    bracketed = re.fullmatch(r"\[([^]]*)\](?::(.*))?", text)
    if bracketed:
        return _ipv6(bracketed[1]), _port(bracketed[2])
    if text.count(":") > 1:
        return _ipv6(text), IAX2_PORT
    host, colon, port = text.partition(":")
    if not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?", host):
        raise ValueError(
            f"{text!r} is no host; write a name or an address, and :PORT if it is not {IAX2_PORT}"
        )
    if re.fullmatch(r"[0-9.]+", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise ValueError(f"{host!r} is no IPv4 address; write four numbers from 0 to 255") from None
    return host, _port(port if colon else None)


def _ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise ValueError(
            f"{text!r} is no IPv6 address; write for example [2001:db8::1]:{IAX2_PORT}"
        ) from None


def _port(text: str | None) -> int:
    if text is None:
        return IAX2_PORT
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise ValueError(f"{text!r} is out of place; write HOST:PORT with a port from 1 to 65535")
    return int(text)


def read_server(text: str) -> Fields:
    """The PBX."""
    host, port = server_of(text)
    return {"server_host": host, "server_port": port}


def _read_backup_servers(text: str) -> Fields:
    servers = tuple(server_of(word) for word in _words(text))
    if len(servers) > MAX_SERVERS:
        raise ValueError(f"{len(servers)} servers are too many; write up to {MAX_SERVERS}")
    return {"backup_servers": servers}


def read_codec(text: str) -> Fields:
    """The codec preferred; the others stay possible."""
    preferred = text.lower()
    if preferred not in CODECS:
        raise ValueError(f"{text!r} is no codec we have; write ulaw, alaw or slinear")
    return {"codecs": (preferred, *(codec for codec in CODECS if codec != preferred))}


def _read_codecs(text: str) -> Fields:
    codecs = tuple(dict.fromkeys(word.lower() for word in _words(text)))
    if wrong := [codec for codec in codecs if codec not in CODECS]:
        raise ValueError(f"{wrong[0]!r} is no codec we have; write some of ulaw, alaw, slinear")
    return {"codecs": codecs}


def _read_encryption(text: str) -> Fields:
    words = {"no": "no", "off": "no", "yes": "yes", "aes128": "yes", "require": "require"}
    if text.lower() not in words:
        raise ValueError(f"{text!r} is out of place; write no, yes or require")
    return {"encryption": words[text.lower()]}


def _private(pem: bytes) -> None:
    from iax.auth import check_private_key  # noqa: PLC0415 - only files with keys need IAX2 for their check

    check_private_key(pem)


def _public(pem: bytes) -> None:
    from iax.auth import check_public_key  # noqa: PLC0415 - see above

    check_public_key(pem)


def _key_reader(field: str, check: Callable[[bytes], None], kind: str) -> Callable[[str], Fields]:
    def read(text: str) -> Fields:
        path = Path(text)
        if not path.is_absolute():
            raise ValueError(f"{text!r} is not an absolute path; write one, of a PEM file")
        try:
            pem = path.read_bytes()
        except OSError as error:
            said = f"{path} cannot be read ({error.strerror})"
            raise ValueError(f"{said}; write the path of a PEM file") from None
        try:
            check(pem)
        except ValueError as error:
            raise ValueError(f"{path}: {error}; write the path of a PEM file with {kind}") from None
        return {field: pem}

    return read


def _read_keep_alive(text: str) -> Fields:
    if text == "auto":
        return {"keep_alive_s": None}
    if text == "no":
        return {"keep_alive_s": 0}
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 5 <= int(text) <= 3600:
        raise ValueError(f"{text!r} is out of place; write auto, no, or seconds from 5 to 3600")
    return {"keep_alive_s": int(text)}


def _read_accept_from(text: str) -> Fields:
    hosts = []
    for word in _words(text):
        try:
            hosts.append(str(ipaddress.ip_address(word.strip("[]"))))
        except ValueError:
            raise ValueError(f"{word!r} is no address; write IPv4 or IPv6 addresses without ports") from None
    return {"accept_from": tuple(dict.fromkeys(hosts))}


def _flag(field: str) -> Callable[[str], Fields]:
    def read(text: str) -> Fields:
        states = configparser.RawConfigParser.BOOLEAN_STATES
        if text.lower() not in states:
            raise ValueError(f"{text!r} is neither yes nor no; write yes or no")
        return {field: states[text.lower()]}

    return read


def _words(text: str) -> list[str]:
    words = text.replace(",", " ").split()
    if not words:
        raise ValueError("has no value; write a value, or delete the line")
    return words


def _read_presentation(text: str) -> Fields:
    words = {"allowed": False, "restricted": True}
    if text.lower() not in words:
        raise ValueError(f"{text!r} is out of place; write allowed or restricted")
    return {"number_withheld": words[text.lower()]}


TELEPHONE_KEYS: dict[str, Callable[[str], Fields]] = {
    "backup_servers": _read_backup_servers,
    "codecs": _read_codecs,
    "encryption": _read_encryption,
    "outkey": _key_reader("private_key", _private, "our private RSA key"),
    "inkeys": _key_reader("server_key", _public, "the PBX's public RSA key"),
    "challenge_calls": _flag("challenge_calls"),
    "demand_call_token": _flag("demand_call_token"),
    "cidpresentation": _read_presentation,
    "allow_plaintext": _flag("allow_plaintext"),
    "trunk": _flag("trunk"),
    "transfer": _flag("transfer"),
    "reliable_voice": _flag("reliable_voice"),
    "keep_alive": _read_keep_alive,
    "accept_from": _read_accept_from,
}
"""Only in our form: IAXmodem has none of them."""


def disagreements(fields: Fields, keys: set[str]) -> list[tuple[str, str]]:
    """(key, what is wrong; what to write) for each key that does not go with the others."""
    found = []
    if "codec" in keys and "codecs" in keys:
        found.append(("codecs", "is given beside codec; keep one of the two"))
    if fields.get("encryption", "no") != "no" and not fields.get("secret"):
        found.append(("encryption", "needs a secret, of which its key is made; write secret too"))
    if fields.get("encryption") == "require" and fields.get("allow_plaintext"):
        found.append(("allow_plaintext", "gives away what encryption = require hides; delete one of the two"))
    if fields.get("challenge_calls") and not (fields.get("secret") or fields.get("server_key")):
        found.append(("challenge_calls", "has nothing to check the PBX by; write secret or inkeys too"))
    if fields.get("encryption") == "require" and fields.get("private_key") and not fields.get("secret"):
        found.append(("outkey", "is of no use with encryption = require; write secret"))
    return found
