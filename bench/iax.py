"""IAX2 voice and signalling: how much of a core they take, one datagram at a time and in batches.

    python -m bench.iax            a table (about a minute)
    python -m bench.iax --quick    fewer ticks
    python -m bench.iax --json     a list of rows: name, ours, peer, unit

Media rows go over real UDP sockets on loopback; only what the endpoint's own process does for its socket is
timed (system calls included, the far end's share is not), in processor time. "peer" there is the same library
one datagram at a time. The last row's peer is Debian's iaxmodem, its whole process, in a call of the same
kind; ours has reliable voice, the modem's default, acknowledgements included. It needs root and the package
that `make bench` fetches, and is left out where either is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trio

from bench.rows import Row, table
from iax import Account, Call, CallAnswered, Endpoint, IncomingCall, PeerConfig, Registered
from iax.exchange import Exchange
from iax.frames import Address
from iax.media_table import MediaTable
from iax.socket import Socket

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = REPOSITORY / ".cache" / "guest-packages"
N_CALLS = 100
PACKETS_A_SECOND = 100
"""Of one call: fifty each way."""
CALL_S = 10.0


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").split("\n\n", 1)[1])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--iaxmodem", type=Path, help=argparse.SUPPRESS)  # the inner half, as root
    options = parser.parse_args()
    if options.iaxmodem:
        trio.run(_iaxmodem_call, options.iaxmodem)
        return 0
    n_ticks = 100 if options.quick else 500
    rows, ours = trio.run(_media_rows, n_ticks)
    set_ups = _set_ups(100 if options.quick else 400)
    rows.append(Row("set-ups, call token and MD5", set_ups, None, "calls/s a core", more_is_better=True))
    theirs, why = _iaxmodem_share()
    rows.append(Row("processor time of a call's IAX2; all of iaxmodem", 100 * ours, theirs, "% of a core"))
    if options.json:
        print(json.dumps([row.as_json() for row in rows], indent=1))
        return 0
    print(table(f"IAX2, {N_CALLS} calls", rows, "peer: one datagram at a time; in the last row iaxmodem"))
    if why:
        print(f"iaxmodem was not measured: {why}")
    for row in rows:
        if row.ours and row.peer:
            ratio = row.ours / row.peer if row.more_is_better else row.peer / row.ours
            print(f"{row.name}: {ratio:.1f} times better than the peer")
    return 0


# ------------------------------------------------------------- media


@dataclass
class _World:
    """Two endpoints that are in N_CALLS calls with each other; ours is the one that is measured."""

    ours: Endpoint
    socket: Socket
    far: Endpoint
    far_socket: Socket
    calls: list[Call]
    far_calls: list[Call]
    now: float = 1000.0

    def settle(self) -> None:
        for socket, endpoint in ((self.socket, self.ours), (self.far_socket, self.far)):
            socket.drain(endpoint, self.now)
            endpoint.handle_timer(self.now)
            for event in endpoint.events():
                if isinstance(event, IncomingCall):
                    event.call.answer(self.now)
                    self.far_calls.append(event.call)
            socket.flush(endpoint)


@contextmanager
def _world(
    here: Socket, there: Socket, *, batches: bool, trunk: bool, reliable: bool = False
) -> Iterator[_World]:
    if batches:
        here.use_batches()
    there.use_batches()
    ours = Endpoint(random.Random(1), port=here.address[1], media=MediaTable(N_CALLS) if batches else None)
    far = Endpoint(
        random.Random(2), accept_from_anyone=True, max_incoming=2 * N_CALLS, media=MediaTable(N_CALLS)
    )
    far.add_peer(PeerConfig(here.address, "x", trunk=trunk))
    world = _World(ours, here, far, there, [], [])
    world.calls += [
        ours.call(PeerConfig(there.address, "x", trunk=trunk, reliable_voice=reliable), str(n), world.now)
        for n in range(N_CALLS)
    ]
    for _ in range(20):
        world.now += 0.02
        world.settle()
    assert len(world.far_calls) == N_CALLS
    order = {call.called_number: call for call in world.far_calls}
    world.far_calls = [order[call.called_number] for call in world.calls]
    yield world


def _run(world: _World, n_ticks: int) -> tuple[float, float, float]:
    """Packets a second of processor time, in and out; and the share of a core that one call takes."""
    rows = np.full((N_CALLS, 320), 0x55, np.uint8)
    spent_in = spent_out = 0.0
    for tick in range(n_ticks + 20):
        world.now += 0.02
        now = world.now
        world.far.send_voice(world.far_calls, rows, now)
        world.far_socket.flush(world.far)
        start = time.process_time()
        world.socket.drain(world.ours, now)
        if world.socket._received is None:
            for call in world.calls:
                call.receive_audio()
        else:
            _, fates = world.ours.receive_voice(world.calls)
            assert tick < 20 or not fates.any()
        middle = time.process_time()
        if world.socket._received is None:
            payload = rows[0, :160].tobytes()
            for call in world.calls:
                call.send_audio(payload, now)
        else:
            world.ours.send_voice(world.calls, rows, now)
        world.socket.flush(world.ours)
        end = time.process_time()
        if tick >= 20:
            spent_in += middle - start
            spent_out += end - middle
        world.far_socket.drain(world.far, now)
        world.far.receive_voice(world.far_calls)
        world.far.handle_timer(now)
        world.ours.handle_timer(now)
    received = sum(call.statistics().media.frames_received for call in world.calls)
    assert received > 0.98 * N_CALLS * n_ticks, "the machine was too busy: datagrams were lost"
    n_packets = N_CALLS * n_ticks
    return n_packets / spent_in, n_packets / spent_out, (spent_in + spent_out) / (n_packets * 0.02)


async def _media_rows(n_ticks: int) -> tuple[list[Row], float]:
    """The rows, and the share of a core that a call takes with reliable voice."""
    found: dict[tuple[bool, bool], tuple[float, float, float]] = {}
    with (
        await Socket.open("127.0.0.1") as here,
        await Socket.open("127.0.0.1") as there,
        _world(here, there, batches=True, trunk=False, reliable=True) as world,
    ):
        _, _, share = _run(world, n_ticks)
    for trunk in (False, True):
        for batches in (False, True):
            with (
                await Socket.open("127.0.0.1") as here,
                await Socket.open("127.0.0.1") as there,
                _world(here, there, batches=batches, trunk=trunk) as world,
            ):
                found[trunk, batches] = _run(world, n_ticks)
    rows = []
    for trunk, words in ((False, ""), (True, ", in trunk frames")):
        for way, name in enumerate(("voice in", "voice out")):
            for batches in (False, True):
                rows.append(
                    Row(
                        f"{name}{words}{', in batches' if batches else ', singly'}",
                        found[trunk, batches][way],
                        found[trunk, False][way] if batches else None,
                        "packets/s a core",
                        more_is_better=True,
                    )
                )
    return rows, share


# ------------------------------------------------------------- signalling


def _set_ups(n: int) -> float:
    """Calls a second of processor time of the calling side: NEW, call token, challenge, answer, hang-up."""
    server: Address = ("192.0.2.1", 4569)
    client: Address = ("192.0.2.2", 4570)
    rng = random.Random(1)
    exchange = Exchange([Account("a", "secret")], rng)
    endpoint = Endpoint(rng, accept_from=[server])
    peer = PeerConfig(server, "a", "secret")
    now, spent, answered = 1000.0, 0.0, 0
    for _ in range(n):
        start = time.process_time()
        call = endpoint.call(peer, "echo", now)
        out = endpoint.datagrams_to_send()
        spent += time.process_time() - start
        hung_up = False
        for _ in range(12):
            now += 0.002
            for datagram, _address in out:
                exchange.receive(datagram, client, now)
            exchange.handle_timer(now)
            back = exchange.datagrams_to_send()
            start = time.process_time()
            for datagram, _address in back:
                endpoint.receive(datagram, server, now)
            endpoint.handle_timer(now)
            if not hung_up and any(isinstance(event, CallAnswered) for event in endpoint.events()):
                answered += 1
                hung_up = True
                call.hangup(now)
            out = endpoint.datagrams_to_send()
            spent += time.process_time() - start
        now += 0.2
    assert answered == n
    return n / spent


# ------------------------------------------------------------- iaxmodem


def _iaxmodem_share() -> tuple[float | None, str]:
    """Per cent of a core that iaxmodem takes in a call; or None, and why."""
    if os.geteuid() != 0:
        return None, "it runs only as root; run this with sudo"
    if not list(PACKAGES.glob("iaxmodem_*.deb")):
        return None, "its package is not here; `make bench` fetches it"
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        command = ["unshare", "--mount", sys.executable, "-m", "bench.iax", "--iaxmodem", directory]
        done = subprocess.run(
            command, cwd=REPOSITORY, check=False, capture_output=True, text=True, timeout=120
        )
        if done.returncode:
            return None, f"it could not be started ({done.stderr.strip().splitlines()[-1:]})"
        return float(done.stdout), ""


async def _iaxmodem_call(directory: Path) -> None:
    """Print the per cent of a core that iaxmodem takes in a call with us, as it hears silence."""
    from bench.first_light import _private_etc, _unpack_iaxmodem  # noqa: PLC0415 - loads the whole bed
    from tests.system.efax import open_modem  # noqa: PLC0415
    from tests.system.modem import Account as ModemAccount  # noqa: PLC0415
    from tests.system.modem import Modem  # noqa: PLC0415

    _unpack_iaxmodem(directory)
    _private_etc(directory)
    exchange = "import sys; from cusemodem.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", exchange, "exchange", "--listen", "127.0.0.1:0", "--no-call-token"]
    command += ["--peer", "fax:secret:100", "--peer", "us:secret:101"]
    listen = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220 - nothing else runs
    try:
        assert listen.stdout is not None
        port = int(listen.stdout.readline().rpartition(":")[2])
        account = ModemAccount("127.0.0.1", port, "fax", "secret")
        with Modem("iaxmodem", directory / "ttyIAX0", account, 4570, directory, adapter="pty") as modem:
            while "registered" not in listen.stdout.readline():
                pass
            with open_modem(modem.device) as tty, await Socket.open("127.0.0.1") as socket:
                os.set_blocking(tty, False)
                endpoint = Endpoint(random.SystemRandom())
                peer = PeerConfig(("127.0.0.1", port), "us", "secret")
                endpoint.register(peer, trio.current_time())
                call: Call | None = None
                answered_at = before = 0.0
                with trio.fail_after(60):
                    while not answered_at or trio.current_time() < answered_at + CALL_S:
                        now = trio.current_time()
                        socket.drain(endpoint, now)
                        endpoint.handle_timer(now)
                        for event in endpoint.events():
                            if isinstance(event, Registered):
                                call = endpoint.call(peer, "100", now)
                            elif isinstance(event, CallAnswered):
                                answered_at, before = now, modem.cpu_s()
                        if call is not None:
                            call.send_audio(call.format.silence(160), now)
                        socket.flush(endpoint)
                        try:
                            if b"RING" in os.read(tty, 1000):
                                os.write(tty, b"ATA\r")
                        except BlockingIOError:
                            pass
                        await trio.sleep(0.02)
                    print(100 * (modem.cpu_s() - before) / CALL_S)
    finally:
        listen.terminate()


if __name__ == "__main__":
    sys.exit(main())
