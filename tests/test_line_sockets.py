"""The UDP sockets of a process: shared by port, and in batches where many lines share one."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from cusemodem.config import ModemConfig, load
from cusemodem.line_sockets import MANY_LINES, LineSocket, LineSockets
from iax import ArrivalQueue, JitterBuffer


def config(k: int, port: int, *, nojitterbuffer: bool = False) -> ModemConfig:
    path = Path(f"/dev/ttyIAX{k}")
    return ModemConfig(name=f"m{k}", device_path=path, port=port, nojitterbuffer=nojitterbuffer)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("nojitterbuffer", [False, True])
async def test_many_lines_on_one_port_move_their_audio_in_batches(nojitterbuffer: bool) -> None:
    opened: list[LineSocket] = []
    sockets = LineSockets(opened.append, MANY_LINES + 8)
    port = free_port()
    shared = [
        await sockets.acquire(config(k, port, nojitterbuffer=nojitterbuffer)) for k in range(MANY_LINES - 1)
    ]
    alone = await sockets.acquire(config(99, 0))
    assert opened == [shared[0], alone]
    assert {id(each) for each in shared} == {id(shared[0])}
    endpoint = shared[0].endpoint
    assert endpoint._media is None, "few lines: the single way costs less"
    shared.append(await sockets.acquire(config(98, port, nojitterbuffer=nojitterbuffer)))
    assert (endpoint._media is None) == nojitterbuffer
    assert (shared[0].socket._received is None) == nojitterbuffer
    assert alone.endpoint._media is None
    for each in (*shared, alone):
        sockets.release(each)
    assert list(sockets) == []


@pytest.mark.parametrize(("line", "playout"), [("nojitterbuffer", ArrivalQueue), ("", JitterBuffer)])
async def test_nojitterbuffer_takes_the_queue(line: str, playout: type, tmp_path: Path) -> None:
    file = tmp_path / "ttyIAX0"
    file.write_text(f"peername x\nport {free_port()}\n{line}\n")  # as IAXmodem has it
    sockets = LineSockets(lambda _: None)
    shared = await sockets.acquire(load(file))
    assert type(shared.endpoint._new_playout()) is playout, "what each call of the line plays from"
    sockets.release(shared)
