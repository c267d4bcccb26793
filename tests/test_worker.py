"""The lines of one process: a fault of one, and what becomes of its device when its configuration changes."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import trio

import cusemodem.worker
import iax
from cusemodem.config import ModemConfig
from cusemodem.pbx import peer_config
from cusemodem.served_line import Hooks, LineState, Served
from cusemodem.worker import INTERNAL_FAULT, Worker

CONFIG = ModemConfig(name="ttyIAX0", device_path=Path("/dev/ttyIAX0"))


@pytest.mark.parametrize(
    ("changes", "is_kept"),
    [
        ({"cidname": "FAX"}, True),
        ({"keep": False}, False),
        ({"adapter": "pty"}, False),
        ({"device_path": Path("/dev/ttyIAX1")}, False),
    ],
)
def test_a_changed_line_keeps_its_device_where_the_new_one_takes_it(
    changes: dict[str, object], is_kept: bool
) -> None:
    """One that is left to nobody would hang its programs, and be in its own way."""
    worker = Worker([CONFIG])
    served = worker.served[CONFIG.name] = Served(CONFIG)
    fresh = replace(CONFIG, **changes)  # type: ignore[arg-type]
    worker.replace(fresh)
    assert (served.replacement, served.keep) == (fresh, is_kept)
    assert served.retiring.is_set()


def test_a_fault_of_ours_ends_one_line_alone_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = [True]
    failures: list[tuple[str, LineState, str]] = []
    hooks = Hooks(on_failure=lambda line, _: failures.append((line.config.name, line.state, line.reason)))

    def sometimes(config: ModemConfig, addresses: tuple[iax.Address, ...]) -> iax.PeerConfig:
        if config.name == "ttyIAX1" and broken[0]:
            raise ZeroDivisionError("a fault of ours")
        return peer_config(config, addresses)

    monkeypatch.setattr(cusemodem.worker, "peer_config", sometimes)
    monkeypatch.setattr(cusemodem.worker, "FIRST_RETRY_S", 0.05)
    worker = Worker(
        [
            ModemConfig(
                name=name, device_path=tmp_path / name, adapter="pty", port=0, refresh_s=0, peername=name
            )
            for name in ("ttyIAX0", "ttyIAX1")
        ],
        hooks,
    )

    async def live() -> None:
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(worker.run)
                await worker.started.wait()
                good, bad = worker.served["ttyIAX0"], worker.served["ttyIAX1"]
                assert failures[0] == ("ttyIAX1", LineState.FAILED, INTERNAL_FAULT)
                assert good.state is LineState.READY
                broken[0] = False
                while bad.state is not LineState.READY:  # noqa: ASYNC110 - it has no bell
                    await trio.sleep(0.01)
                assert (good.state, good.n_restarts) == (LineState.READY, 0)
                assert bad.n_restarts >= 1
                worker.stop()

    with caplog.at_level(logging.ERROR):
        trio.run(live)
    (fault, *_) = [record for record in caplog.records if record.message == "internal fault"]
    assert fault.exc_info is not None
    assert fault.exc_info[0] is ZeroDivisionError, "with its traceback"
    assert vars(fault)["line"] == "ttyIAX1"
