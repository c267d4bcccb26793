"""One modem's configuration: the checked values, and the files they come from.

Two forms are read, told apart by the first line that says anything: ours is INI with a section `[modem]`,
or several `[modem NAME]`; an IAXmodem file (`keyword value`, `;` comments) works as it is.
Every problem of a file is collected and reads `FILE:LINE: key: what is wrong; what to write`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cusemodem.call_causes import USUAL_CAUSES
from cusemodem.config_forms import (
    HIDDEN,
    Entry,
    Problem,
    Section,
    iaxmodem_entries,
    ini_sections,
    is_ini,
    significant_lines,
)
from cusemodem.config_keys import (
    CODECS,
    FLAGS,
    IAX2_PORT,
    IAXMODEM_KEYS,
    INI_KEYS,
    MAY_BE_EMPTY,
    OTHER_NAMES,
    Fields,
    Owner,
    read_device,
)
from cusemodem.config_telephone import Server, disagreements

if TYPE_CHECKING:
    from iax import Format

__all__ = ["ConfigError", "ModemConfig", "Owner", "Problem", "find", "load", "modem_files"]

DEFAULT_DIRECTORY = Path("/etc/cusemodem")
MAIN_FILE = "cusemodem.conf"
MODEMS_DIRECTORY = "modems"
MAX_FILE_BYTES = 1 << 16
LEFTOVERS = (
    *(".dpkg-old", ".dpkg-new", ".dpkg-dist", ".ucf-old", ".ucf-dist", ".rpmsave", ".rpmnew", ".rpmorig"),
    *(".bak", ".orig", ".old", ".swp", ".md", "~"),
)
"""What packagers and editors leave beside a file."""


class ConfigError(Exception):
    """A configuration that cannot be used; `problems` has one entry, and `str` one line, for each reason."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, kw_only=True, repr=False)
class ModemConfig:
    """What one modem is told by its file, checked. `secret` never shows in `repr` or `describe`."""

    name: str
    """The file's name: the modem's name in messages, logs and recordings."""
    device_path: Path
    """The node that fax programs open, `/dev/ttyIAX0`."""
    adapter: str = "auto"
    """How the node is made: "cuse", "pty", or "auto" (CUSE if the kernel has it)."""
    owner: Owner | None = None
    mode: int | None = None
    """Permissions of the node, 0o660; None leaves them to udev."""
    major: int | None = None
    """Major number that the nodes share; None: a free one for local use; 0: whatever the kernel gives."""
    keep: bool = True
    """The node outlives the process that serves it, with the files that programs have open."""
    busy_when_closed: bool = False
    """Calls are refused as busy while no program has the port open."""
    port: int = IAX2_PORT
    """Local UDP port; 0: any free one."""
    server_host: str = "127.0.0.1"
    server_port: int = IAX2_PORT
    refresh_s: int = 300
    """Registration refresh asked for; 0: do not register."""
    peername: str = ""
    secret: str = ""
    cidname: str = "IAXmodem"
    cidnumber: str = ""
    codecs: tuple[str, ...] = CODECS
    """Names of the voice formats, the preferred one first."""
    record: bool = False
    replay: bool = False
    nojitterbuffer: bool = False
    iax2debug: bool = False
    dspdebug: bool = False
    nodaemon: bool = False
    skew_us: int = 0
    """First correction of the 20 ms tick, microseconds."""
    backup_servers: tuple[Server, ...] = ()
    """Asked in this order while the server does not answer."""
    encryption: str = "no"
    """AES-128 for the calls: "no", "yes" (if the PBX does it too) or "require"."""
    private_key: bytes = b""
    """PEM: we prove ourselves by RSA where the PBX asks for it."""
    server_key: bytes = b""
    """PEM: the PBX proves itself by RSA when it calls."""
    challenge_calls: bool = False
    number_withheld: bool = False
    """The called party is not shown `cidnumber`."""
    demand_call_token: bool = False
    """The PBX's calls must return a call token, so that nobody can make one in its name blindly."""
    allow_plaintext: bool = False
    trunk: bool = False
    reliable_voice: bool = True
    """Audio that the network loses is sent again."""
    transfer: bool = False
    """Go on directly with the far end when the PBX wants to take itself out of a call."""
    keep_alive_s: int | None = None
    """POKE interval; 0: never; None: where a NAT is noticed."""
    accept_from: tuple[str, ...] = ()
    """Hosts that may call besides the servers."""
    causes: tuple[tuple[int, str], ...] = tuple(USUAL_CAUSES.items())
    """The V.250 result of a failed call, by its cause."""
    busy_after_call_s: float = 5.0
    """No call is taken for so long after one, while the program gets ready."""
    ring_types: tuple[tuple[str, str], ...] = ()
    """(called number, what stands behind RING)."""
    international_prefix: str = ""
    """What is dialled for a leading `+`."""
    identity: str = "cusemodem"
    """The name that ATI gives: ours or IAXmodem's."""

    @property
    def device_name(self) -> str:
        """Last part of the device path, `ttyIAX0`."""
        return self.device_path.name

    @property
    def formats(self) -> tuple[Format, ...]:
        """The codecs as IAX2 has them, the preferred one first."""
        from iax import Format  # noqa: PLC0415 - checking a file needs no IAX2

        return tuple(Format[codec.upper()] for codec in self.codecs)

    def without_effect(self) -> list[str]:
        """A sentence for each key that is set but changes nothing: the user should know."""
        return ["skew has no effect: the modem follows the far end's clock by itself"] if self.skew_us else []

    def describe(self) -> Iterator[str]:
        """One `field = value` a line, the secret masked: for the log."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "secret":
                value = "***" if value else ""
            elif field.name in ("private_key", "server_key"):
                value = "a key" if value else ""
            elif field.name in ("codecs", "accept_from"):
                value = " ".join(value)
            elif field.name in ("causes", "ring_types"):
                value = ", ".join(f"{number}:{said}" for number, said in value)
            elif field.name == "backup_servers":
                value = " ".join(f"{host}:{port}" for host, port in value)
            elif field.name == "mode" and value is not None:
                value = f"{value:04o}"
            yield f"{field.name} = {'' if value is None else value}"

    def __repr__(self) -> str:
        return f"ModemConfig({', '.join(self.describe())})"


class Loaded(NamedTuple):
    """A modem's configuration and where it stands."""

    config: ModemConfig
    path: Path
    lines: dict[str, int]
    """The line of each key, and with "" of the section."""


def load(path: Path, defaults: Sequence[Entry] = ()) -> ModemConfig:
    """The configuration in the file `path` of one modem, whose name is the modem's. Raises ConfigError."""
    found = load_file(path, defaults)
    if len(found) != 1:
        text = "describes several modems; write each one's name, `cusemodem NAME`"
        raise ConfigError([Problem(path, 0, "", text)])
    return found[0].config


def load_file(path: Path, defaults: Sequence[Entry] = (), skip: Sequence[str] = ()) -> list[Loaded]:
    """Every modem that the file `path` describes: [modem], named like the file, or sections [modem NAME].

    `defaults` are given to what a section in our form leaves out; sections in `skip` are others' business.
    Raises ConfigError.
    """
    text = read_text(path)
    problems: list[Problem] = []
    first = next(significant_lines(text), (1, ""))[0]
    if not is_ini(text):
        entries = list(iaxmodem_entries(path, text, FLAGS, problems))
        found = [
            _modem(
                path, path.name, Section(first, "modem", entries), (), keys=IAXMODEM_KEYS, problems=problems
            )
        ]
    else:
        found = []
        for section in ini_sections(path, text, problems):
            if section.title in skip:
                continue
            name = _modem_name(path, section.title)
            if name is None:
                said = "write [modem], or [modem NAME] for each of several in one file"
                said = f"the section [{section.title}] is unknown here; {said}"
                problems.append(Problem(path, section.line, "", said))
            else:
                found.append(_modem(path, name, section, defaults, keys=INI_KEYS, problems=problems))
        if not found and not problems:
            problems.append(Problem(path, first, "", "has no section [modem]; write one"))
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: problem.line))
    return [modem for modem in found if modem is not None]


def _modem_name(path: Path, title: str) -> str | None:
    """The modem that a section describes: the file's name for [modem], NAME for [modem NAME], or None."""
    word, _, name = title.partition(" ")
    if word != "modem":
        return None
    return name.strip() or path.name


def _modem(
    path: Path,
    name: str,
    section: Section,
    defaults: Sequence[Entry],
    *,
    keys: dict[str, Callable[[str], Fields]],
    problems: list[Problem],
) -> Loaded | None:
    fields: Fields = {"name": name, "device_path": Path("/dev") / name}
    lines: dict[str, int] = {"": section.line}
    n_before = len(problems)
    for entry in defaults:
        with suppress(ValueError):  # told where they stand
            fields |= read_entry(entry, keys)
            lines[entry.key] = section.line
    for entry in section.entries:
        if entry.key in ("secret", "secret_file"):
            fields.pop("secret", None)  # the modem's own counts, whichever way the default has it
        if entry.key == "secret_file" and "secret" in {other.key for other in section.entries}:
            said = "is given beside secret; keep one of the two"
            problems.append(Problem(path, entry.line, entry.key, said))
        lines[entry.key] = entry.line
        try:
            fields |= read_entry(entry, keys)
        except ValueError as error:
            problems.append(entry_problem(path, entry, error))
    seen = {*lines, *(problem.key for problem in problems[n_before:])}
    if not section.title.startswith("modem "):
        seen |= {problem.key for problem in problems}
    if "device" not in seen:
        try:
            read_device(f"/dev/{name}")
        except ValueError:
            missing = f"is missing, and /dev/{name} is no device name; write for example /dev/ttyIAX0"
            problems.append(Problem(path, section.line, "device", missing))
    if "peername" not in seen and fields.get("refresh_s", 300):
        missing = (
            "is missing; write the name the server knows this modem by, or refresh 0 for no registration"
        )
        problems.append(Problem(path, section.line, "peername", missing))
    for key, said in disagreements(fields, seen):
        problems.append(Problem(path, lines.get(key, section.line), key, said))
    if len(problems) > n_before:
        return None
    if fields.get("replay"):
        fields["record"] = False  # as IAXmodem has it
    return Loaded(ModemConfig(**fields), path, lines)


def find(name: str, directory: Path = DEFAULT_DIRECTORY) -> Path:
    """The file of the modem `name` in `directory`. Raises ConfigError, with the names there are."""
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        text = f"{name!r} is no file name; write the name alone, and --config DIR for its directory"
        raise ConfigError([Problem(directory, 0, "", text)])
    for path in (directory / name, directory / MODEMS_DIRECTORY / name):
        if is_there(path) and path.name != MODEMS_DIRECTORY:
            return path
    others = ", ".join(other.name for other in modem_files(directory)) if directory.is_dir() else ""
    there = f"there is {others}" if others else f"write one (see cusemodem(5)); {directory} has none yet"
    raise ConfigError([Problem(directory / name, 0, "", f"there is no such configuration; {there}")])


def modem_files(directory: Path = DEFAULT_DIRECTORY) -> list[Path]:
    """The modems' files in `directory` and its `modems`; hidden files and packagers' leftovers are skipped,
    and so is cusemodem.conf."""
    more = directory / MODEMS_DIRECTORY
    try:
        paths = sorted(directory.iterdir()) + (sorted(more.iterdir()) if more.is_dir() else [])
        return [path for path in paths if path != directory / MAIN_FILE and _is_modem_file(path)]
    except OSError as error:
        denied = isinstance(error, PermissionError)
        remedy = "run as a user who may" if denied else "write --config DIR for another one"
        text = f"cannot list the directory ({error.strerror}); {remedy}"
        raise ConfigError([Problem(directory, 0, "", text)]) from error


def is_there(path: Path) -> bool:
    """Whether there is such a file, or we may not know: then reading it tells."""
    try:
        return path.exists()
    except PermissionError:
        return True


def _is_modem_file(path: Path) -> bool:
    name = path.name
    return path.is_file() and not name.startswith((".", "#")) and not name.endswith(LEFTOVERS)


def read_text(path: Path) -> str:
    try:
        if not path.is_file() and path.exists():
            raise ConfigError([Problem(path, 0, "", "is not a file; write the path of a modem's file")])
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        remedy = "run as a user who may read it" if isinstance(error, PermissionError) else "check the path"
        raise ConfigError([Problem(path, 0, "", f"cannot be read ({error.strerror}); {remedy}")]) from error
    if len(raw) > MAX_FILE_BYTES or b"\0" in raw:
        raise ConfigError(
            [Problem(path, 0, "", "is no configuration (binary or over 64 KiB); check the path")]
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # names in files of IAXmodem's time
    return text.replace("\r\n", "\n").replace("\r", "\n")


class UnknownKeyError(ValueError):
    """A key that resembles none."""


def entry_problem(path: Path, entry: Entry, error: ValueError) -> Problem:
    """What `read_entry` said of an entry. A word that stands alone and resembles no key is not repeated."""
    alone = isinstance(error, UnknownKeyError) and entry.value is None
    return Problem(path, entry.line, HIDDEN if alone else entry.key, str(error))


def read_entry(entry: Entry, keys: dict[str, Callable[[str], Fields]]) -> Fields:
    """The fields that an entry fills. Raises ValueError with what is wrong; what to write."""
    if entry.key not in keys:
        near = OTHER_NAMES.get(entry.key) or next(iter(difflib.get_close_matches(entry.key, keys, 1)), "")
        if near:
            raise ValueError(f"is no key; did you mean {near}?")
        raise UnknownKeyError(f"is no key; the keys are {', '.join(keys)}")
    if not entry.value and entry.key not in MAY_BE_EMPTY:
        example = "yes" if entry.key in FLAGS else "a value, or delete the line"
        raise ValueError(f"has no value; write {example}")
    return keys[entry.key](entry.value or "")
