"""The file in which a modem keeps what &W, &Y and &Z store: STATE/profiles/NAME.json."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from cusemodem.at.profiles import ProfileError, Profiles, read_profiles

MAX_BYTES = 1 << 16

_log = logging.getLogger("cusemodem.profiles")


def load_profiles(state: Path, name: str) -> Profiles:
    """The profiles of the modem `name`, which store themselves there from now on.

    A file that is missing means factory settings; one that cannot be used too, with a sentence in the log,
    and &W writes a good one over it.
    """
    path = state / "profiles" / f"{name}.json"
    profiles = Profiles()
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ProfileError(f"is longer than {MAX_BYTES} bytes")
        profiles = read_profiles(data.decode("utf-8"))
    except FileNotFoundError:
        pass
    except OSError as error:
        profiles.trouble = f"the stored profiles {path} cannot be read ({error.strerror})"
    except UnicodeDecodeError:
        profiles.trouble = f"the stored profiles {path} are not text"
    except ProfileError as error:
        profiles.trouble = f"the file of stored profiles, {path}, {error}"
    if profiles.trouble:
        _log.error(
            "%s; factory settings instead, AT&W stores new ones", profiles.trouble, extra={"line": name}
        )
    profiles.store = lambda text: _store(path, text, name)
    return profiles


def _store(path: Path, text: str, name: str) -> bool:
    """Write beside the old file and put it in its place: a reader finds one of the two, whole."""
    beside = path.with_suffix(".new")
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o640)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8"))
        beside.replace(path)
    except OSError as error:
        _log.error("AT&W: %s cannot be written (%s)", path, error.strerror, extra={"line": name})
        return False
    return True
