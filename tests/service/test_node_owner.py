"""Owner and mode of a node, with a plain file in its place."""

import grp
import logging
import os
from pathlib import Path

import pytest
import trio
import trio.testing

from cusemodem import node_owner
from cusemodem.config import ModemConfig
from cusemodem.config_keys import Owner
from cusemodem.node_owner import set_owner_and_mode, set_owner_and_mode_of_pty

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
NOBODY = Owner("nobody", "nogroup", 65534, 65534)


@pytest.fixture
def udev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(node_owner, "UDEV", tmp_path)
    return tmp_path


@pytest.fixture
def node(tmp_path: Path) -> Path:
    node = tmp_path / "node"
    node.touch(mode=0o600)
    return node


def config(**fields: object) -> ModemConfig:
    return ModemConfig(name="ttyIAX0", device_path=Path("/dev/ttyIAX0"), **fields)  # type: ignore[arg-type]


def of(node: Path) -> tuple[int, int, int]:
    status = node.stat()
    return status.st_uid, status.st_gid, status.st_mode & 0o777


@as_root
async def test_without_udev_it_is_as_serial_ports_are(udev: Path, node: Path) -> None:
    await set_owner_and_mode(config(), node)
    assert of(node) == (0, grp.getgrnam("dialout").gr_gid, 0o660)


@as_root
async def test_without_udev_as_configured(udev: Path, node: Path) -> None:
    await set_owner_and_mode(config(owner=NOBODY, mode=0o640), node)
    assert of(node) == (65534, 65534, 0o640)


async def test_udev_has_the_word_where_nothing_is_configured(udev: Path, node: Path) -> None:
    (udev / "control").touch()
    before = of(node)
    await set_owner_and_mode(config(), node)
    assert of(node) == before


@as_root
async def test_what_is_configured_comes_after_udev(
    udev: Path, node: Path, autojump_clock: trio.testing.MockClock
) -> None:
    (udev / "control").touch()
    (udev / "data").mkdir()

    async def rules() -> None:
        await trio.sleep(1)
        node.chmod(0o666)  # noqa: ASYNC240 - a plain file
        (udev / "data" / "c0:0").touch()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(rules)
        await set_owner_and_mode(config(mode=0o640), node)
    assert of(node)[2] == 0o640
    assert 1 <= trio.current_time() < node_owner.UDEV_TIMEOUT_S


async def test_without_the_right_to_it_the_remedy_is_told(
    udev: Path, node: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(node_owner.os, "chown", refuse)
    with caplog.at_level(logging.WARNING):
        await set_owner_and_mode(config(owner=NOBODY), node)
    assert "only root may: have udev do it" in caplog.text
    assert 'OWNER="nobody", GROUP="nogroup", MODE="0660"' in caplog.text


@as_root
def test_a_pty_is_as_serial_ports_are_too(node: Path) -> None:
    set_owner_and_mode_of_pty(config(), node)
    assert of(node) == (0, grp.getgrnam("dialout").gr_gid, 0o660)
    set_owner_and_mode_of_pty(config(owner=NOBODY, mode=0o640), node)
    assert of(node) == (65534, 65534, 0o640)


def test_a_pty_of_who_may_give_nothing_away(
    node: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(node_owner.os, "chown", refuse)
    with caplog.at_level(logging.WARNING):
        set_owner_and_mode_of_pty(config(), node)
        assert of(node)[2] == 0o600, "the mode of a group that could not be set is nobody's"
        set_owner_and_mode_of_pty(config(mode=0o606), node)
        assert of(node)[2] == 0o606
        assert caplog.text == ""
        set_owner_and_mode_of_pty(config(owner=NOBODY), node)
    assert "cannot set owner and mode" in caplog.text
    assert "leave out `owner`, or start as root" in caplog.text
