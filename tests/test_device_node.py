"""The device as configured: which kind, and what the log says of it."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from cusemodem import device_node
from cusemodem.config import ModemConfig, load
from cusemodem.cuse import node as node_module
from cusemodem.cuse.port import Port
from cusemodem.device_node import open_device
from tests.cuse.test_device import GREETING, Kernel, OnePlace, left_by_another_version


@pytest.mark.parametrize(("adapter", "level"), [("auto", "WARNING"), ("pty", "INFO")])
async def test_a_pty_says_in_one_sentence_what_it_cannot_do(
    adapter: str,
    level: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(device_node, "CUSE_PATH", tmp_path / "cuse")
    file = tmp_path / "ttyIAX0"
    file.write_text(f"device {tmp_path / 'port'}\nport 4569\npeername x\n")
    config = replace(load(file), adapter=adapter)
    with caplog.at_level(logging.INFO, logger="cusemodem.device"):
        async with open_device(config, Port(), lambda: None) as device:
            assert device.kind == "pty"
    (said,) = [record for record in caplog.records if "is a pty" in record.message]
    assert said.levelname == level
    for limit in ("DTR", "DCD", "RI", "reopen"):
        assert limit in said.message


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """One that makes a device in a directory of the test's."""
    kernel = Kernel(tmp_path)
    monkeypatch.setattr(node_module, "DEVICE_DIRECTORY", tmp_path)
    monkeypatch.setattr(node_module, "_require_node", lambda _path: None)

    def channel(_path: Path) -> int:
        kernel.ours.send(GREETING)
        return kernel.descriptor

    monkeypatch.setattr(node_module, "_open_channel", channel)
    return kernel


def config(kernel: Kernel, *, adapter: str, keep: bool) -> ModemConfig:
    return ModemConfig(name="ttyIAX0", device_path=kernel.node, adapter=adapter, keep=keep)


@pytest.mark.parametrize(("adapter", "keep"), [("cuse", False), ("pty", True), ("pty", False)])
async def test_a_device_that_was_kept_and_shall_not_be_any_more(
    adapter: str, keep: bool, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its node goes, and the new one takes its place, instead of being refused while the old one hangs."""
    theirs, kept = left_by_another_version(monkeypatch)
    kernel.node.touch()
    store = OnePlace(kernel.node, kept)
    with theirs, kernel.ours:
        async with open_device(
            config(kernel, adapter=adapter, keep=keep), kernel.port, kernel.on_activity, store
        ) as device:
            assert theirs.recv(100) == b""
            assert (device.kind, store.released) == (adapter, 1)
            if adapter == "cuse":
                assert (await kernel.receive())[0] == 1
                assert await kernel.open() == 1
            else:
                assert kernel.node.is_char_device()
        if adapter == "cuse":
            assert kernel.ours.recv(100) == b"", "it ends with us"


async def test_a_store_that_takes_nothing_makes_a_device_that_ends_with_us(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = OnePlace(kernel.node)
    store.refuses = True
    second = Kernel(tmp_path)
    channels = [kernel, second]

    def channel(_path: Path) -> int:
        made = channels.pop(0)
        made.ours.send(GREETING)
        return made.descriptor

    monkeypatch.setattr(node_module, "_open_channel", channel)
    with kernel.ours, second.ours, trio.fail_after(5):
        async with open_device(
            config(kernel, adapter="cuse", keep=True), second.port, second.on_activity, store
        ):
            assert (await second.receive())[0] == 1
            assert await second.open() == 1
        assert second.ours.recv(100) == b""
    assert "the store is full" in caplog.text
