"""`cusemodem exchange` with its options: what a real client meets."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from iax import ALAW, Call, CallAnswered, CallEnded, Encryption, Endpoint, PeerConfig
from iax.frames import Address
from iax.socket import Socket
from tests.iax.keys import PRIVATE_KEY, PUBLIC_KEY

COMMAND = [
    *(sys.executable, "-c", "import sys; from cusemodem.cli import main; sys.exit(main())", "exchange"),
    *("--listen", "127.0.0.1:0", "--peer", "a:sa:100"),
]


@contextmanager
def exchange(*options: str) -> Iterator[Address]:
    with subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            host, _, port = process.stdout.readline().split()[-1].rpartition(":")
            yield host, int(port)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0


async def echo(peer: PeerConfig) -> tuple[Call, bool, list[bytes]]:
    """Call echo for half a second; the call, whether it was answered, and all that came."""
    came: list[bytes] = []
    answered = False
    with await Socket.open("127.0.0.1", 0) as socket:
        endpoint = Endpoint(random.Random())
        receive = endpoint.receive
        endpoint.receive = lambda d, a, n: (came.append(d), receive(d, a, n))[1]  # type: ignore[method-assign]
        call = endpoint.call(peer, "echo", trio.current_time())
        ended = False
        for _ in range(60):
            now = trio.current_time()
            socket.drain(endpoint, now)
            endpoint.handle_timer(now)
            events = endpoint.events()
            answered |= any(isinstance(event, CallAnswered) for event in events)
            ended |= any(isinstance(event, CallEnded) for event in events)
            if ended:
                break
            call.send_audio(call.format.silence(160), now)
            socket.flush(endpoint)
            await trio.sleep(0.01)
        call.hangup(trio.current_time())
        socket.flush(endpoint)
    return call, answered, came


async def test_codecs_encryption_and_no_tokens() -> None:
    with exchange("--codecs", "alaw", "--encryption", "required", "--no-call-token") as address:
        call, answered, came = await echo(PeerConfig(address, "a", "sa", encryption=Encryption.ALLOWED))
        assert answered
        assert call.encrypted
        assert call.format is ALAW
        assert not any(datagram[10:12] == bytes((6, 40)) for datagram in came), "a token was demanded"
        _, answered, _ = await echo(PeerConfig(address, "a", "sa"))
        assert not answered, "encryption is required"


async def test_rsa_and_trunk_frames(tmp_path: Path) -> None:
    key = tmp_path / "a.pub"
    key.write_bytes(PUBLIC_KEY)
    with exchange("--rsa-key", f"a={key}", "--trunk") as address:
        _, answered, came = await echo(PeerConfig(address, "a", private_key=PRIVATE_KEY))
        assert answered
        assert any(datagram[:4] == b"\0\0\1\1" for datagram in came), "no trunk frame came"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--codecs", "gsm"), "'gsm' is none of ulaw, alaw, slinear"),
        (("--clock-ppm", "2000"), "'2000' is not a difference from -1000 to 1000 ppm"),
        (("--rsa-key", "a"), "'a' is not NAME=FILE"),
        (("--rsa-key", "b={public}"), "no --peer has that name"),
        (("--rsa-key", "a={private}"), "private: this is no public key in PEM"),
        (("--rsa-key", "a=/dev/null"), "this is no public key in PEM"),
        (("--rsa-key", "a=/nowhere"), "/nowhere: No such file or directory"),
    ],
)
def test_wrong_options_are_told(options: tuple[str, ...], says: str, tmp_path: Path) -> None:
    files = {"public": tmp_path / "public", "private": tmp_path / "private"}
    files["public"].write_bytes(PUBLIC_KEY)
    files["private"].write_bytes(PRIVATE_KEY)
    filled = [option.format(**files) for option in options]
    done = subprocess.run([*COMMAND, *filled], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
