"""The keys of a modem's configuration: what values each takes and which field of ModemConfig it fills.

A reader gets the text of a value and gives fields, or raises ValueError with the second half of the message
that `check` prints: what is wrong; what to write.
"""

from __future__ import annotations

import configparser
import grp
import os
import pwd
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cusemodem.config_calls import CALL_KEYS
from cusemodem.config_port import PORT_KEYS
from cusemodem.config_telephone import (
    CODECS,
    IAX2_PORT,
    TELEPHONE_KEYS,
    Fields,
    read_codec,
    read_server,
)

__all__ = ["CODECS", "FLAGS", "IAX2_PORT", "IAXMODEM_KEYS", "INI_KEYS", "Fields", "Owner", "read_device"]

MAX_TEXT_BYTES = 255
"""What one information element of IAX2 holds (RFC 5456 §8.6)."""


class Owner(NamedTuple):
    """Whom the device node shall belong to."""

    user: str
    group: str
    uid: int
    gid: int

    def __str__(self) -> str:
        return f"{self.user}:{self.group}"


def read_device(text: str) -> Fields:
    """The path of the node, directly in /dev or, for a pty, anywhere outside it."""
    path = Path(text)
    if not path.is_absolute():
        raise ValueError(f"{text!r} is not an absolute path; write for example /dev/ttyIAX0")
    if text.endswith("/") or path == Path("/dev"):
        raise ValueError(f"{text} is a directory; write for example /dev/ttyIAX0")
    if ".." in path.parts or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,30}", path.name):
        raise ValueError(
            f"{path.name!r} is no name for a device; "
            "write a letter and then up to 30 letters, digits, `_`, `-` or `.`, for example /dev/ttyIAX0"
        )
    if path.parent.parts[:2] == ("/", "dev") and len(path.parent.parts) > 2:
        raise ValueError(
            f"{text} is in a directory below /dev, where lock files of fax programs do not work; "
            f"write /dev/{path.name}"
        )
    return {"device_path": path}


def _read_adapter(text: str) -> Fields:
    if text not in ("auto", "cuse", "pty"):
        raise ValueError(f"{text!r} is no way to make a device; write auto, cuse or pty")
    return {"adapter": text}


def _read_owner(text: str) -> Fields:
    user, _, group = text.partition(":")
    if not user or (":" in text and not group):
        raise ValueError(f"{text!r} is not user:group; write for example uucp:dialout")
    try:
        account = pwd.getpwnam(user)
    except (KeyError, ValueError):
        raise ValueError(f"this machine has no user {user!r}; write an existing user:group") from None
    try:
        group_entry = grp.getgrnam(group) if group else grp.getgrgid(account.pw_gid)
    except (KeyError, ValueError):
        raise ValueError(f"this machine has no group {group!r}; write an existing user:group") from None
    return {"owner": Owner(user, group_entry.gr_name, account.pw_uid, group_entry.gr_gid)}


def _read_mode(text: str) -> Fields:
    if not re.fullmatch(r"[0-7]?[0-7]{3}", text):
        raise ValueError(f"{text!r} is not three octal digits; write for example 660")
    mode = int(text, 8) & 0o666  # set-uid, sticky and execute mean nothing on a device
    if not mode:
        raise ValueError(f"with {text} nobody could open the device; write for example 660")
    return {"mode": mode}


def _read_port(text: str) -> Fields:
    if text == "any":
        return {"port": 0}
    return {"port": _integer(text, 0, 65535, "a UDP port from 1 to 65535, or any")}


def _read_iaxmodem_port(text: str) -> Fields:
    """IAXmodem takes 0 for the standard port and a negative number for any free one."""
    port = _integer(text, -65535, 65535, "a UDP port from 1 to 65535")
    return {"port": IAX2_PORT if port == 0 else max(port, 0)}


def _read_refresh(text: str) -> Fields:
    return {"refresh_s": _integer(text, 0, 65535, "seconds from 1 to 65535, or 0 for no registration")}


def _read_skew(text: str) -> Fields:
    return {"skew_us": _integer(text, -10000, 10000, "microseconds from -10000 to 10000")}


def _text_reader(field: str) -> Callable[[str], Fields]:
    def read(text: str) -> Fields:
        if not text.isprintable():
            raise ValueError("there is a control character in the value; write plain text")
        if len(text.encode()) > MAX_TEXT_BYTES:
            raise ValueError(f"the value is longer than {MAX_TEXT_BYTES} bytes; write a shorter one")
        return {field: text}

    return read


def _read_secret_file(text: str) -> Fields:
    """A file with the secret alone; a plain name is one of systemd's credentials (LoadCredential=)."""
    path = Path(text)
    if not path.is_absolute():
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise ValueError(
                f"{text!r} is no absolute path, and systemd gave no credentials; "
                f"write a path, or LoadCredential={text}:PATH in the unit"
            )
        if "/" in text:
            raise ValueError(f"{text!r} is no credential's name; write the name alone, or an absolute path")
        path = Path(directory) / text
    try:
        secret = path.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "not text"
        raise ValueError(f"{path} cannot be read ({said}); write a file with the secret in it") from None
    if "\n" in secret:
        raise ValueError(f"{path} has more than one line; leave only the secret in it")
    return _text_reader("secret")(secret)


def _flag_reader(field: str) -> Callable[[str], Fields]:
    def read(text: str) -> Fields:
        states = configparser.RawConfigParser.BOOLEAN_STATES
        if text.lower() not in states:
            raise ValueError(f"{text!r} is neither yes nor no; write yes or no")
        return {field: states[text.lower()]}

    return read


def _integer(text: str, low: int, high: int, wanted: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise ValueError(f"{text!r} is out of place; write {wanted}")
    return int(text)


FLAGS = ("record", "replay", "nojitterbuffer", "iax2debug", "dspdebug", "nodaemon")
IAXMODEM_KEYS: dict[str, Callable[[str], Fields]] = {
    "device": read_device,
    "owner": _read_owner,
    "mode": _read_mode,
    "port": _read_iaxmodem_port,
    "refresh": _read_refresh,
    "server": read_server,
    **{key: _text_reader(key) for key in ("peername", "secret", "cidname", "cidnumber")},
    "codec": read_codec,
    **{key: _flag_reader(key) for key in FLAGS},
    "skew": _read_skew,
}
INI_KEYS = (
    IAXMODEM_KEYS
    | TELEPHONE_KEYS
    | CALL_KEYS
    | PORT_KEYS
    | {
        "port": _read_port,
        "adapter": _read_adapter,
        "secret_file": _read_secret_file,
    }
)
MAY_BE_EMPTY = ("secret", "cidname", "cidnumber", "international_prefix")
OTHER_NAMES = {
    "user": "peername",
    "username": "peername",
    "password": "secret",
    "host": "server",
    "private_key": "outkey",
    "server_key": "inkeys",
    "backup": "backup_servers",
    "servers": "backup_servers",
    "forceencryption": "encryption",
    "allow": "codecs",
    "permit": "accept_from",
}
"""What users of other programs write."""
