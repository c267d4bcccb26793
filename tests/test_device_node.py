"""The device as configured: which kind, and what the log says of it."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from cusemodem import device_node
from cusemodem.config import load
from cusemodem.cuse.port import Port
from cusemodem.device_node import open_device


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
