"""A whole configuration directory: cusemodem.conf with [defaults] and [service], every modem's file, and what
they may not have in common.

    DIR/cusemodem.conf     [defaults], [service], and sections [modem NAME]
    DIR/NAME, DIR/modems/NAME    one modem each, in our form or IAXmodem's (or several, as [modem NAME])
"""

from __future__ import annotations

import grp
import os
import pwd
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from cusemodem.config import (
    DEFAULT_DIRECTORY,
    MAIN_FILE,
    ConfigError,
    Loaded,
    ModemConfig,
    entry_problem,
    find,
    is_there,
    load_file,
    modem_files,
    read_entry,
    read_text,
)
from cusemodem.config_forms import Entry, Problem, Section, ini_sections
from cusemodem.config_keys import INI_KEYS, Fields
from cusemodem.log_files import Ids
from cusemodem.paths import state_directory

NOT_FOR_DEFAULTS = ("device", "peername")
"""What two modems must not share."""


@dataclass(frozen=True, kw_only=True)
class ServiceConfig:
    """The keys of [service]."""

    workers: int = 0
    """Processes that share the lines; 0: as many as the lines need."""
    log: str = "auto"
    """journal, stderr, a directory, or auto: the journal under systemd, /var/log/cusemodem otherwise."""
    log_format: str = "text"
    """text or json."""
    log_limit_bytes: int = 1 << 30
    """A log file beyond this is renamed to NAME.old."""
    state: Path | None = None
    """Recordings and history; None: where `paths.state_directory` says."""
    record_limit_bytes: int = 1 << 30
    record_days: int = 30
    history_days: int = 365
    control: Path = Path("/run/cusemodem-service/control")
    control_group: str = ""
    pid_file: Path = Path("/run/cusemodem.pid")
    user: str = ""
    """Whom the modems' processes belong to when root starts the service; "": nothing changes."""
    group: str = ""

    @property
    def ids(self) -> Ids | None:
        """User and group to become, if that is wanted and this is root."""
        if not self.user or os.geteuid() != 0:
            return None
        account = pwd.getpwnam(self.user)
        return Ids(account.pw_uid, grp.getgrnam(self.group).gr_gid if self.group else account.pw_gid)

    def changed_keys(self, other: ServiceConfig) -> list[str]:
        """The keys in which another configuration differs."""
        names = (
            field.name for field in fields(self) if getattr(self, field.name) != getattr(other, field.name)
        )
        return sorted(name.removesuffix("_bytes") for name in names)

    @property
    def state_directory(self) -> Path:
        """Where recordings and history are kept."""
        return self.state or state_directory()


@dataclass(frozen=True)
class Configuration:
    """Everything a directory says."""

    service: ServiceConfig
    modems: list[Loaded]

    @property
    def served(self) -> list[ModemConfig]:
        """The modems of the service: those without `nodaemon`."""
        return [modem.config for modem in self.modems if not modem.config.nodaemon]


def load_directory(directory: Path = DEFAULT_DIRECTORY) -> Configuration:
    """Read everything. Raises ConfigError with every problem of every file, and those between files."""
    problems: list[Problem] = []
    main = _load_main(directory, problems)
    modems = list(main.modems)
    for path in modem_files(directory):
        try:
            modems += load_file(path, main.defaults)
        except ConfigError as error:
            problems += error.problems
    problems += clashes(modems)
    if problems:
        raise ConfigError(problems)
    return Configuration(main.service, modems)


def load_named(name: str, directory: Path = DEFAULT_DIRECTORY) -> ModemConfig:
    """The configuration of the modem `name`: its file, or a section [modem NAME] anywhere.

    Raises ConfigError.
    """
    problems: list[Problem] = []
    main = _load_main(directory, problems)
    if problems:
        raise ConfigError(problems)
    try:
        found = load_file(find(name, directory), main.defaults)
    except ConfigError as error:
        if any(problem.line or is_there(problem.path) for problem in error.problems):
            raise
        in_sections = [m for m in _all_good(directory, main) if m.config.name == name]
        if not in_sections:
            raise
        return in_sections[0].config
    named = [modem for modem in found if modem.config.name == name] or found
    if len(named) != 1:
        names = ", ".join(modem.config.name for modem in found)
        raise ConfigError([Problem(found[0].path, 0, "", f"describes {names}; write one of these names")])
    return named[0].config


def check_file(path: Path, directory: Path = DEFAULT_DIRECTORY) -> None:
    """Read one file as the service would: cusemodem.conf with its sections, a modem's with the defaults of
    `directory`. Raises ConfigError with what is wrong in it."""
    problems: list[Problem] = []
    if path.name == MAIN_FILE:
        read_text(path)
        _load_main(path.parent, problems)
    else:
        load_file(path, _load_main(directory, []).defaults)
    if problems:
        raise ConfigError(problems)


def load_settings(directory: Path = DEFAULT_DIRECTORY) -> ServiceConfig:
    """The keys of [service] alone, for programs beside the service. Raises ConfigError."""
    problems: list[Problem] = []
    main = _load_main(directory, problems)
    ours = [problem for problem in problems if problem.path == directory / MAIN_FILE]
    if ours:
        raise ConfigError(ours)
    return main.service


@dataclass
class _Main:
    service: ServiceConfig
    defaults: Sequence[Entry] = ()
    modems: Sequence[Loaded] = ()


def _load_main(directory: Path, problems: list[Problem]) -> _Main:
    path = directory / MAIN_FILE
    main = _Main(ServiceConfig())
    if not is_there(path):
        return main
    try:
        text = read_text(path)
    except ConfigError as error:
        problems += error.problems
        return main
    n_before = len(problems)
    modem_sections = []
    for section in ini_sections(path, text, problems):
        if section.title == "defaults":
            main.defaults = _defaults(path, section, problems)
        elif section.title == "service":
            main.service = _service(path, section, problems)
        elif section.title.startswith("modem ") and section.title[6:].strip():
            modem_sections.append(section)
        else:
            said = "write [defaults], [service] or [modem NAME]"
            said = f"the section [{section.title}] is unknown here; {said}"
            problems.append(Problem(path, section.line, "", said))
    if modem_sections and len(problems) == n_before:
        try:
            main.modems = load_file(path, main.defaults, skip=("defaults", "service"))
        except ConfigError as error:
            problems += error.problems
    return main


def _defaults(path: Path, section: Section, problems: list[Problem]) -> list[Entry]:
    good = []
    for entry in section.entries:
        try:
            read_entry(entry, INI_KEYS)
        except ValueError as error:
            problems.append(entry_problem(path, entry, error))
            continue
        if entry.key in NOT_FOR_DEFAULTS:
            said = "belongs to one modem; write it in the modem's own file"
            problems.append(Problem(path, entry.line, entry.key, said))
        else:
            good.append(entry)
    return good


def _service(path: Path, section: Section, problems: list[Problem]) -> ServiceConfig:
    fields: Fields = {}
    for entry in section.entries:
        try:
            fields |= read_entry(entry, SERVICE_KEYS)
        except ValueError as error:
            problems.append(entry_problem(path, entry, error))
    return ServiceConfig(**fields)


def _all_good(directory: Path, main: _Main) -> list[Loaded]:
    modems = list(main.modems)
    for path in modem_files(directory):
        try:
            modems += load_file(path, main.defaults)
        except ConfigError:
            continue  # another modem's mistakes are not this one's
    return modems


def clashes(modems: Sequence[Loaded]) -> list[Problem]:
    """What modems have in common that they must not, told at the later one."""
    problems = []
    names: dict[str, Loaded] = {}
    devices: dict[Path, Loaded] = {}
    accounts: dict[tuple[str, int, str], Loaded] = {}
    ports: dict[int, Loaded] = {}
    for modem in modems:
        config = modem.config

        def problem(key: str, text: str, modem: Loaded = modem) -> Problem:
            return Problem(modem.path, modem.lines.get(key, modem.lines[""]), key, text)

        if (other := names.setdefault(config.name, modem)) is not modem:
            said = f"a modem {config.name} is in {_where(other)} already; write another name"
            problems.append(problem("", said))
            continue
        if (other := devices.setdefault(config.device_path, modem)) is not modem:
            said = f"{config.device_path} is also the device of {_where(other)}; write another one"
            problems.append(problem("device", said))
        account = (config.server_host, config.server_port, config.peername)
        if config.refresh_s and (other := accounts.setdefault(account, modem)) is not modem:
            said = (
                f"{config.peername!r} is also the name of {_where(other)} at {config.server_host}, which can "
                "only call the last that registers; write a name of its own"
            )
            problems.append(problem("peername", said))
        if config.port and (other := ports.setdefault(config.port, modem)) is not modem:
            reason = _not_sharing(config, other.config)
            if reason:
                said = f"{config.port} is also the port of {_where(other)}, {reason}; write another port"
                problems.append(problem("port", said))
    return problems


def _not_sharing(one: ModemConfig, other: ModemConfig) -> str:
    """Why two modems cannot use one UDP port, or "" if they can, in one service."""
    if one.nodaemon or other.nodaemon:
        return "and a modem with nodaemon needs one of its own"
    if one.codecs != other.codecs:
        return "whose codec differs"
    if one.nojitterbuffer != other.nojitterbuffer:
        return "whose nojitterbuffer differs"
    return ""


def _where(modem: Loaded) -> str:
    return f"{modem.path}:{modem.lines['']}"


# --- the keys of [service] ----------------------------------------------------------------------------------


def _number(field: str, low: int, high: int, unit: str, factor: int = 1) -> Callable[[str], Fields]:
    def read(text: str) -> Fields:
        if not re.fullmatch(r"[0-9]{1,7}", text) or not low <= int(text) <= high:
            raise ValueError(f"{text!r} is out of place; write {unit} from {low} to {high}")
        return {field: int(text) * factor}

    return read


def _absolute(field: str) -> Callable[[str], Fields]:
    def read(text: str) -> Fields:
        if not Path(text).is_absolute():
            raise ValueError(f"{text!r} is not an absolute path; write one that begins with /")
        return {field: Path(text)}

    return read


def _read_workers(text: str) -> Fields:
    return {"workers": 0} if text == "auto" else _number("workers", 1, 64, "auto, or processes")(text)


def _read_log(text: str) -> Fields:
    if text not in ("auto", "journal", "stderr") and not Path(text).is_absolute():
        raise ValueError(f"{text!r} is no place for logs; write auto, journal, stderr or a directory's path")
    return {"log": text}


def _read_log_format(text: str) -> Fields:
    if text not in ("text", "json"):
        raise ValueError(f"{text!r} is no form of log lines; write text or json")
    return {"log_format": text}


def _group(field: str) -> Callable[[str], Fields]:
    def read(text: str) -> Fields:
        try:
            grp.getgrnam(text)
        except (KeyError, ValueError):
            raise ValueError(f"this machine has no group {text!r}; write an existing group") from None
        return {field: text}

    return read


def _read_user(text: str) -> Fields:
    try:
        pwd.getpwnam(text)
    except (KeyError, ValueError):
        raise ValueError(f"this machine has no user {text!r}; write an existing user") from None
    return {"user": text}


SERVICE_KEYS: dict[str, Callable[[str], Fields]] = {
    "workers": _read_workers,
    "log": _read_log,
    "log_format": _read_log_format,
    "log_limit": _number("log_limit_bytes", 1, 1_000_000, "megabytes", 1 << 20),
    "state": _absolute("state"),
    "record_limit": _number("record_limit_bytes", 1, 1_000_000, "megabytes for each line", 1 << 20),
    "record_days": _number("record_days", 1, 36500, "days"),
    "history_days": _number("history_days", 1, 36500, "days"),
    "control": _absolute("control"),
    "control_group": _group("control_group"),
    "pid_file": _absolute("pid_file"),
    "user": _read_user,
    "group": _group("group"),
}
