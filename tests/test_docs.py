"""The manuals, the README and the completion say what the program does: nothing is missing from them."""

from __future__ import annotations

import argparse
import re
import subprocess
from pathlib import Path

import pytest

from cusemodem import cli
from cusemodem.config import load
from cusemodem.config_keys import INI_KEYS
from cusemodem.config_service import SERVICE_KEYS

ROOT = Path(__file__).parent.parent
COMPLETION = ROOT / "docs" / "completion" / "cusemodem.bash"


def _commands() -> dict[str, argparse.ArgumentParser]:
    parser, _ = cli.command_line()
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(commands.choices)


def _options(command: str) -> list[str]:
    parser = _commands()[command]
    return [option for option in parser._option_string_actions if option.startswith("--")]


def _manual(section: int) -> str:
    return (ROOT / "docs" / f"cusemodem.{section}").read_text().replace("\\-", "-")


@pytest.mark.parametrize("section", [1, 5, 8])
def test_the_manual_is_good_roff(section: int) -> None:
    page = ROOT / "docs" / f"cusemodem.{section}"
    command = ["groff", "-man", "-ww", "-Tutf8", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert len(done.stdout) > 3000


def test_manual_1_has_every_command_and_option() -> None:
    manual = _manual(1)
    for command in _commands():
        assert f"cusemodem {command}" in manual
        for option in _options(command):
            assert option in manual or option == "--help", f"{command} {option}"


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


def test_completion_offers_commands_and_modems(tmp_path: Path) -> None:
    for name in ("ttyIAX0", "ttyIAX1", "ttyIAX0~"):
        (tmp_path / name).touch()
    assert set(_complete("--config", str(tmp_path), "")) == {*_commands(), "ttyIAX0", "ttyIAX1"}
    assert _complete("ttyIAX0", "--config", str(tmp_path), "run", "--p") == ["--pty"]
    assert _complete("config", "h") == ["hylafax"]
    assert set(_complete("--config", str(tmp_path), "config", "hylafax", "")) == {"ttyIAX0", "ttyIAX1"}
    assert _complete("tx", "--modulation", "v2") == ["v21", "v27ter", "v29"]


GUIDES = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_the_guides_links_lead_somewhere(guide: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", guide.read_text()):
        assert (guide.parent / target).exists(), target


def test_what_troubleshooting_quotes_is_what_the_program_says() -> None:
    said = "".join(path.read_text() for room in ("cusemodem", "iax") for path in (ROOT / room).rglob("*.py"))
    said = re.sub(r'"\s*\n\s*f?"', "", said)
    rows = re.findall(r"^\| `([^`]{12,})`", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
    assert len(rows) >= 18
    for quoted in rows:
        words = re.split(r"/dev/\w+|…|; logging here|SIG[A-Z]+", quoted)
        assert all(word.strip() in said for word in words if len(word.strip()) > 4), quoted
