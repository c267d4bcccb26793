"""The manuals, the README and the completion say what the program does: nothing is missing from them."""

from __future__ import annotations

import argparse
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from cusemodem import cli
from cusemodem.config import load
from cusemodem.config_keys import INI_KEYS
from cusemodem.config_service import SERVICE_KEYS
from cusemodem.config_telephone import CODECS
from cusemodem.signal_command import CODES

ROOT = Path(__file__).parent.parent
COMPLETION = ROOT / "docs" / "completion" / "cusemodem.bash"


def _commands() -> dict[str, argparse.ArgumentParser]:
    parser, _ = cli.command_line()
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(commands.choices)


def _options(command: str) -> list[str]:
    parser = _commands()[command]
    return [option for option in parser._option_string_actions if option.startswith("--")]


def _with_values() -> dict[tuple[str, str], argparse.Action]:
    """(command, option) of every option that takes a value."""
    return {
        (command, option): action
        for command, parser in _commands().items()
        for option, action in parser._option_string_actions.items()
        if action.nargs is None
    }


def _words_of(option: str, action: argparse.Action) -> set[str] | None:
    """The words that an option's value is made of, where it is not any number or name."""
    if action.choices is not None:
        return set(action.choices)
    listed = {"--rate": {"300", *(str(rate) for _, rate in CODES)}, "--codecs": set(CODECS)}
    return listed.get(option)


def _manual(section: int) -> str:
    return (ROOT / "docs" / f"cusemodem.{section}").read_text().replace("\\-", "-")


@pytest.mark.parametrize("section", [1, 5, 8])
def test_the_manual_is_good_roff(section: int) -> None:
    page = ROOT / "docs" / f"cusemodem.{section}"
    command = ["groff", "-man", "-ww", "-Tutf8", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert len(done.stdout) > 3000


def _manual_1(command: str) -> str:
    """What the manual says under the heading of a command, without its markup."""
    parts = re.split(r'^\.TP\n\.B[IR]? "?cusemodem ', _manual(1), flags=re.MULTILINE)[1:]
    heading = '" NAME' if command == "run" else command
    of_command = [part for part in parts if re.match(rf"{re.escape(heading)}\b", part)]
    text = "\n".join(of_command).partition("\n.SH")[0]
    return " ".join(re.sub(r"^\.[A-Z]+ |\\f[A-Z]|[\"\\]", "", text, flags=re.MULTILINE).split())


@pytest.mark.parametrize("command", sorted(_commands()))
def test_manual_1_has_every_option_and_choice(command: str) -> None:
    text = _manual_1(command)
    assert text, "a paragraph of its own"
    for option, action in _commands()[command]._option_string_actions.items():
        if option in ("-h", "--help") or (option == "--config" and command != "import"):
            continue  # said once, for all
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", text), option
        for word in _words_of(option, action) or ():
            told = text if command != "rx" else f"{text} {_manual_1('tx')}"
            assert re.search(rf"(?<![\w-]){word}(?![\w-])", told) or word == "300", f"{option} {word}"


def test_manual_1_has_the_rates_of_each_modulation() -> None:
    text = _manual_1("tx")
    for modulation in {modulation for modulation, _ in CODES}:
        (rates,) = re.findall(rf"\b{modulation} with ((?:\d+|,| |or)+)", text)
        assert set(re.findall(r"\d+", rates)) == {str(r) for m, r in CODES if m == modulation}, modulation


def test_manual_5_has_every_key() -> None:
    bold = " ".join(line for line in _manual(5).splitlines() if line.startswith((".B ", ".BR ")))
    for key in (*INI_KEYS, *SERVICE_KEYS):
        assert re.search(rf"\b{key}\b", bold), key


def test_the_readmes_configuration_is_good(tmp_path: Path) -> None:
    blocks = re.findall(r"```ini\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        path = tmp_path / "ttyIAX0"
        path.write_text(block.replace("uucp:dialout", "root:root"))  # not on every machine that tests
        assert load(path).peername == "fax0"


def test_the_readmes_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target


def _complete(*words: str) -> list[str]:
    script = f'''
        compopt() {{ :; }}  # works only within a real completion
        source "{COMPLETION}"
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _cusemodem
        printf '%s\\n' "${{COMPREPLY[@]}}"
    '''
    command = ["bash", "-c", script, "bash", "cusemodem", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("command", sorted(_commands()))
def test_completion_knows_each_commands_options(command: str) -> None:
    assert set(_complete(command, "--")) == set(_options(command))


def test_completion_knows_the_options_without_a_command() -> None:
    parser, _ = cli.command_line()
    known = {option for option in parser._option_string_actions if option != "-h"}
    short_for_long = {"-V"}  # both are offered
    assert set(_complete("-")) == known | short_for_long | set(_options("run"))


@pytest.mark.parametrize(("command", "option"), sorted(_with_values()))
def test_completion_offers_what_an_option_takes(
    command: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    action = _with_values()[command, option]
    if (words := _words_of(option, action)) is None:
        paths = {"DIR": {"directory"}}.get(str(action.metavar), {"directory", "file"})
        words = paths if "path" in getattr(action.type, "__name__", "").lower() else set()
    assert set(_complete(command, option, "")) == words


def test_completion_goes_on_with_a_list() -> None:
    assert set(_complete("exchange", "--codecs", "alaw,")) == {"alaw,alaw", "alaw,slinear", "alaw,ulaw"}
    assert _complete("exchange", "--codecs", "alaw,sl") == ["alaw,slinear"]


def test_completion_offers_commands_and_modems(tmp_path: Path) -> None:
    (tmp_path / "modems").mkdir()
    for name in ("ttyIAX0", "modems/ttyIAX1", "ttyIAX0~", "ttyIAX2.dpkg-old", "cusemodem.conf"):
        (tmp_path / name).touch()
    assert set(_complete("--config", str(tmp_path), "")) == {*_commands(), "ttyIAX0", "ttyIAX1"}
    assert _complete("ttyIAX0", "--config", str(tmp_path), "run", "--p") == ["--pty"]
    assert _complete("config", "h") == ["hylafax"]
    assert set(_complete("--config", str(tmp_path), "config", "hylafax", "")) == {"ttyIAX0", "ttyIAX1"}
    (program,) = (action for action in _commands()["config"]._actions if action.dest == "program")
    assert set(_complete("config", "")) == set(program.choices or ())


@pytest.mark.parametrize("command", sorted(_commands()))
def test_help_teaches_by_an_example(command: str) -> None:
    description = _commands()[command].description or ""
    assert re.search(r"^  .*cusemodem ", description, re.MULTILINE), "a line to type"


def test_pip_puts_manuals_and_completion_in_place() -> None:
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    wanted = {f"share/man/man{section}": [f"docs/cusemodem.{section}"] for section in (1, 5, 8)}
    wanted["share/bash-completion/completions"] = [str(COMPLETION.relative_to(ROOT))]
    assert setup["data-files"] == wanted
    assert all((ROOT / file).exists() for files in wanted.values() for file in files)


GUIDES = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_the_guides_links_lead_somewhere(guide: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", guide.read_text()):
        assert (guide.parent / target).exists(), target


def _anchors(guide: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", guide.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("guide", [ROOT / "README.md", *GUIDES], ids=lambda guide: guide.name)
def test_the_guides_links_lead_to_headings(guide: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!http)([^)#]*)#([^)]+)\)", guide.read_text()):
        assert anchor in _anchors(guide.parent / target if target else guide), f"{target}#{anchor}"


def test_what_troubleshooting_quotes_is_what_the_program_says() -> None:
    said = "".join(path.read_text() for room in ("cusemodem", "iax") for path in (ROOT / room).rglob("*.py"))
    said = re.sub(r'"\s*\n\s*f?"', "", said)
    rows = re.findall(r"^\| `([^`]{12,})`", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
    assert len(rows) >= 18
    for quoted in rows:
        words = re.split(r"/dev/\w+|…|; logging here|SIG[A-Z]+", quoted)
        assert all(word.strip() in said for word in words if len(word.strip()) > 4), quoted
