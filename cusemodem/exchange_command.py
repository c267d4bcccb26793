"""`cusemodem exchange`: the loopback IAX2 exchange as a program."""

from __future__ import annotations

import argparse
import random
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cusemodem.arguments import Commands, add_command

if TYPE_CHECKING:
    from iax import Account, Format

DESCRIPTION = """\
Modems (and softphones) register with it by name and secret and call each other by number. It also answers
these extensions itself: echo, milliwatt, busy, congestion, noanswer, delay5. A bad network can be had too.

  cusemodem exchange --listen 127.0.0.1:4569 --peer fax0:secret0:100 --peer fax1:secret1:101 --loss 0.01

prints `listening on HOST:PORT` and runs until SIGTERM or SIGINT. For trials and tests: keep it off the
Internet."""


class Address(NamedTuple):
    """Where to listen; port 0: any free one."""

    host: str
    port: int


def add(commands: Commands) -> None:
    """The sub-command `exchange`."""
    parser = add_command(
        commands, "exchange", run, "a small IAX2 exchange for trials without a PBX", DESCRIPTION
    )
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        type=_address,
        required=True,
        help="UDP address, for example 127.0.0.1:4569; port 0: any free one",
    )
    parser.add_argument(
        "--peer",
        metavar="NAME:SECRET[:NUMBER]",
        dest="accounts",
        type=_account,
        action="append",
        default=[],
        help="who may register, and the number to dial for it (default: its name); may be given many times",
    )
    parser.add_argument(
        "--codecs",
        metavar="LIST",
        type=_formats,
        default=None,
        help="voice formats allowed, the preferred one first: ulaw,alaw,slinear (default: all three)",
    )
    parser.add_argument(
        "--encryption",
        choices=("off", "allowed", "required"),
        default="off",
        help="AES-128 for the calls of all peers (default: off)",
    )
    parser.add_argument("--trunk", action="store_true", help="send the peers trunk frames")
    parser.add_argument(
        "--rsa-key",
        metavar="NAME=FILE",
        dest="rsa_keys",
        type=_rsa_key,
        action="append",
        default=[],
        help="PEM file with the public key of a peer, which may then prove itself by RSA too",
    )
    parser.add_argument(
        "--no-call-token",
        action="store_true",
        help="take peers that know no call tokens, such as iaxmodem 1.2",
    )
    bad_network = parser.add_argument_group("a bad network, for every datagram the exchange sends")
    for name, what in (("loss", "lost"), ("duplicate", "doubled"), ("reorder", "late by 30 ms")):
        bad_network.add_argument(
            f"--{name}",
            metavar="P",
            type=_probability,
            default=0.0,
            help=f"share of datagrams that are {what}, 0 to 1",
        )
    bad_network.add_argument(
        "--jitter-ms",
        metavar="N",
        type=_milliseconds,
        default=0.0,
        help="each datagram is late by up to this much",
    )
    bad_network.add_argument(
        "--clock-ppm",
        metavar="PPM",
        type=_ppm,
        default=0.0,
        help="the far end's clock seems this much faster, or slower if negative (-1000 to 1000)",
    )
    bad_network.add_argument(
        "--seed", metavar="N", type=int, default=0, help="the same seed, the same accidents"
    )


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    import trio  # noqa: PLC0415 - --help needs none of it

    from iax import ALL_FORMATS, Encryption  # noqa: PLC0415
    from iax.exchange import Exchange  # noqa: PLC0415
    from iax.exchange_server import serve  # noqa: PLC0415
    from iax.impairment import Impairments  # noqa: PLC0415
    from iax.socket import SocketError  # noqa: PLC0415

    keys: dict[str, bytes] = dict(options.rsa_keys)
    if unknown := keys.keys() - {account.name for account in options.accounts}:
        print(f"cusemodem exchange: --rsa-key {min(unknown)}: no --peer has that name", file=sys.stderr)
        return 2
    accounts = [
        replace(
            account,
            encryption=Encryption(options.encryption),
            trunk=options.trunk,
            public_key=keys.get(account.name, b""),
        )
        for account in options.accounts
    ]
    try:
        Exchange(accounts, random.Random())
    except ValueError as error:  # two peers with one number
        print(f"cusemodem exchange: {error}; give each peer its own", file=sys.stderr)
        return 2
    worst = Impairments(
        options.loss,
        options.duplicate,
        options.reorder,
        options.jitter_ms,
        clock_ppm=options.clock_ppm,
        seed=options.seed,
    )
    perfect = Impairments(seed=options.seed)
    status = 0
    try:
        server = partial(
            serve,
            options.listen.host,
            options.listen.port,
            accounts,
            None if worst == perfect else worst,
            demand_call_token=not options.no_call_token,
            formats=options.codecs or ALL_FORMATS,
        )
        trio.run(_serve, server)
    except* SocketError as group:
        for failure in leaves(group):
            print(f"cusemodem exchange: {failure}", file=sys.stderr)
        status = 1
    return status


async def _serve(server: Callable[..., Awaitable[None]]) -> None:
    import trio  # noqa: PLC0415

    def say(line: str) -> None:
        print(line, flush=True)

    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            host, port = await nursery.start(partial(server, on_notice=say))
            say(f"listening on {host}:{port}")
            await anext(signals)
            nursery.cancel_scope.cancel()


def leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """The exceptions in a group and its groups."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]  # IPv6
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, for example 127.0.0.1:4569")
    return Address(host, int(port))


def _account(text: str) -> Account:
    from iax import Account  # noqa: PLC0415 - --help needs no IAX2

    try:
        return Account.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _formats(text: str) -> tuple[Format, ...]:
    from iax import Format  # noqa: PLC0415 - --help needs no IAX2

    known = {"ulaw": Format.ULAW, "alaw": Format.ALAW, "slinear": Format.SLINEAR}
    names = text.split(",")
    if wrong := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is none of {', '.join(known)}")
    return tuple(dict.fromkeys(known[name] for name in names))


def _rsa_key(text: str) -> tuple[str, bytes]:
    name, _, file = text.partition("=")
    if not name or not file:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FILE")
    from iax.auth import check_public_key  # noqa: PLC0415 - --help needs no IAX2

    try:
        pem = Path(file).read_bytes()
        check_public_key(pem)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{file}: {error}") from None
    return name, pem


def _ppm(text: str) -> float:
    value = _number(text)
    if not -1000.0 <= value <= 1000.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a difference from -1000 to 1000 ppm")
    return value


def _probability(text: str) -> float:
    value = _number(text)
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to 1")
    return value


def _milliseconds(text: str) -> float:
    value = _number(text)
    if not 0.0 <= value <= 10000.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time from 0 to 10000 ms")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
