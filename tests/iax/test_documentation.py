"""The echo phone of docs/iax.md runs, and is as short as it claims."""

from __future__ import annotations

import dataclasses
import inspect
import random
import re
import sys
from pathlib import Path
from typing import get_args

import trio

import iax
from iax import Account, Call, CallAnswered, Endpoint, Event, PeerConfig
from iax.exchange_server import serve
from iax.socket import Socket

DOCUMENT = Path(__file__).parents[2] / "docs" / "iax.md"


def phone() -> str:
    return re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[0]


def test_it_is_short() -> None:
    body = phone().split("async def main")[1].split("trio.run")[0]
    assert len(body.strip().splitlines()) <= 32


def test_every_public_name_is_in_it() -> None:
    names = set(inspect.signature(Endpoint).parameters) | set(inspect.signature(Endpoint.call).parameters)
    names |= {name for kind in (Endpoint, Call) for name in vars(kind) if not name.startswith("_")}
    names |= {field.name for field in dataclasses.fields(PeerConfig)}
    names |= {kind.__name__ for kind in get_args(Event) if kind.__name__ in iax.__all__}
    inner = {"self", "tell", "start_outgoing", "start_incoming"}
    words = set(re.findall(r"\w+", DOCUMENT.read_text()))
    assert sorted(names - inner - words) == []


async def test_the_echo_phone_echoes(tmp_path: Path) -> None:
    script = tmp_path / "phone.py"
    script.write_text(phone())
    accounts = [Account("fax0", "secret0", "100"), Account("fax1", "secret1", "101")]
    async with trio.open_nursery() as nursery:
        host, port = await nursery.start(serve, "127.0.0.1", 0, accounts)
        command = [sys.executable, str(script), host, str(port), "fax0", "secret0"]
        environment = {"PYTHONPATH": str(DOCUMENT.parents[1])}
        process = await trio.lowlevel.open_process(command, stdout=-1, env=environment)
        assert process.stdout is not None
        with trio.fail_after(30):
            said = b""
            while b"registered for 60 s" not in said:
                said += await process.stdout.receive_some()
            with await Socket.open("127.0.0.1", 0) as socket:
                endpoint = Endpoint(random.Random())
                call = endpoint.call(PeerConfig((host, port), "fax1", "secret1"), "100", trio.current_time())
                answered = False
                heard = 0
                while heard < 20:
                    now = trio.current_time()
                    socket.drain(endpoint, now)
                    endpoint.handle_timer(now)
                    answered |= any(isinstance(event, CallAnswered) for event in endpoint.events())
                    if answered:
                        call.send_audio(b"\x2a" * 160, now)
                        heard += call.receive_audio()[0] == b"\x2a" * 160
                    socket.flush(endpoint)
                    await trio.sleep(0.02)
                call.hangup(trio.current_time())
                socket.flush(endpoint)
            while b"call ended" not in said:
                said += await process.stdout.receive_some()
        assert b"call from 101" in said
        process.terminate()
        await process.wait()
        nursery.cancel_scope.cancel()
