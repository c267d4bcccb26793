"""Every bench of this directory: ours beside what it is compared with, in the same run.

    python -m bench                  all of them, one after another (over an hour)
    python -m bench --quick          the same with less data (about ten minutes)
    python -m bench dsp iax          these only; further options are handed on: dsp --only memory
    python -m bench --list           which there are
    python -m bench --json           an object: bench → list of rows

Each of them is also a command of its own, `python -m bench.NAME`. Exit status 1: one of them failed.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent


def benches() -> dict[str, str]:
    """The commands in this directory by name, each with the first line that it says of itself."""
    found = {}
    for path in sorted(_HERE.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        about = ast.get_docstring(ast.parse(text)) or ""
        if f"python -m bench.{path.stem} " in about and "--json" in about:
            found[path.stem] = about.partition("\n")[0]
    return found


def _run(name: str, options: list[str], *, as_json: bool) -> tuple[bool, list[dict[str, Any]]]:
    """One bench in a process of its own; whether it went well, and with ``as_json`` its rows."""
    command = [sys.executable, "-m", f"bench.{name}", *options, *(["--json"] if as_json else [])]
    done = subprocess.run(command, cwd=_HERE.parent, stdout=subprocess.PIPE if as_json else None, check=False)
    if done.returncode != 0:
        print(f"bench: {name} failed, exit status {done.returncode}", file=sys.stderr)
        return False, []
    return True, json.loads(done.stdout) if as_json else []


def main() -> int:
    """Run them."""
    known = benches()
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known) + "; before any option")
    parser.add_argument("--list", action="store_true", help="print the names, and what each one measures")
    parser.add_argument("--json", action="store_true", help="rows as JSON on stdout, nothing else")
    words = sys.argv[1:]
    n_names = next((k for k, word in enumerate(words) if word.startswith("-")), len(words))
    mine = [word for word in words[n_names:] if word in ("--list", "--json", "-h", "--help")]
    handed_on = [word for word in words[n_names:] if word not in mine]
    options = parser.parse_args([*words[:n_names], *mine])
    if unknown := sorted(set(options.names) - set(known)):
        print(f"bench: no bench {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(f"{name:12} {about}" for name, about in known.items()))
        return 0
    rows: dict[str, list[dict[str, Any]]] = {}
    good = True
    for name in options.names or known:
        if not options.json:
            print(f"# {name}: {known[name]}\n", flush=True)
        went_well, rows[name] = _run(name, handed_on, as_json=options.json)
        good = good and went_well
    if options.json:
        print(json.dumps(rows, indent=1))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
