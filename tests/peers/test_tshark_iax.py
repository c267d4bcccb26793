"""tshark's IAX2 dissector reads what we send: nothing malformed, and it names each frame as we meant it."""

from __future__ import annotations

import hashlib
import random
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from iax import (
    Account,
    CallAnswered,
    CallEnded,
    Encryption,
    Endpoint,
    PeerConfig,
    Registered,
    RegistrationReleased,
)
from iax.exchange import Exchange
from iax.frames import Address
from tests.iax.network import Network, Packet, Phone

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed"),
]

SERVER = ("192.0.2.1", 4569)


def write_pcap(path: Path, packets: list[Packet]) -> None:
    """Write the datagrams as a capture of raw IPv4 (link type 101)."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
        for packet in packets:
            data = _ip(packet.source, packet.destination, packet.datagram)
            seconds, microseconds = divmod(round(packet.time * 1e6), 1_000_000)
            file.write(struct.pack("<IIII", seconds, microseconds, len(data), len(data)) + data)


def _ip(source: Address, destination: Address, payload: bytes) -> bytes:
    def packed(host: str) -> bytes:
        return bytes(int(part) for part in host.split("."))

    udp = struct.pack("!HHHH", source[1], destination[1], 8 + len(payload), 0) + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0xB8, 20 + len(udp), 0, 0, 64, 17, 0)
    return header + packed(source[0]) + packed(destination[0]) + udp


def conversation() -> list[Packet]:
    """Register, call echo, talk over a wrap of the mini frames' stamps, press a key, hang up, withdraw."""
    network = Network()
    network.add(SERVER, Exchange([Account("101", "secret101")], random.Random(1)))
    phone = Phone(network, ("192.0.2.2", 4570), Endpoint(random.Random(2)))
    peer = PeerConfig(SERVER, "101", "secret101")
    registration = phone.endpoint.register(peer, network.now)
    phone.wait(Registered)
    phone.endpoint.call(peer, "nowhere", network.now)
    phone.wait(CallEnded)
    call = phone.endpoint.call(peer, "echo", network.now, calling_number="5550101", calling_name="Žofie")
    phone.wait(CallAnswered)
    network.ticks.append(lambda: call.send_audio(b"\x55" * 160, network.now))
    network.run(70)
    call.send_dtmf("#", network.now)
    call.send_text("hello", network.now)
    network.run(1)
    network.ticks.clear()
    call.hangup(network.now)
    network.run(1)
    registration.release(network.now)
    phone.wait(RegistrationReleased)
    return network.sent


def talk(**options: Any) -> list[Packet]:  # noqa: ANN401
    """Three calls at once over a wrap of the mini frames' stamps, with OPTIONS of the peer on both sides."""
    encryption, trunk = options.get("encryption", Encryption.OFF), options.get("trunk", False)
    account = Account("101", "secret101", encryption=encryption, trunk=trunk, key_rotation=False)
    network = Network()
    network.add(SERVER, Exchange([account], random.Random(1)))
    phone = Phone(network, ("192.0.2.2", 4570), Endpoint(random.Random(2)))
    peer = PeerConfig(SERVER, "101", "secret101", key_rotation=False, **options)
    calls = [phone.endpoint.call(peer, "echo", network.now) for _ in range(3)]
    phone.wait(CallAnswered, count=3)

    def tick() -> None:
        for call in calls:
            call.send_audio(b"\x55" * 160, network.now)

    network.ticks.append(tick)
    network.run(70)
    network.ticks.clear()
    for call in calls:
        call.send_dtmf("#", network.now)
        call.hangup(network.now)
    network.run(1)
    return network.sent


def deciphered(packets: list[Packet], secret: str) -> tuple[list[Packet], int]:
    """The frames of encrypted calls in clear, and how many those were; none of our code is used."""
    keys: dict[tuple[Address, int], bytes] = {}
    plain: list[Packet] = []
    n_deciphered = 0
    for packet in packets:
        data = packet.datagram
        full = bool(data[0] & 0x80)
        source = int.from_bytes(data[:2], "big") & 0x7FFF
        key = keys.get((packet.source, source))
        if full and data[10:12] == b"\x06\x08" and key is None:  # AUTHREQ, in clear
            challenge = data[12:].partition(b"\x0f")[2]
            key = hashlib.md5(challenge[1 : 1 + challenge[0]] + secret.encode()).digest()
            keys[packet.source, source] = key
            keys[packet.destination, int.from_bytes(data[2:4], "big") & 0x7FFF] = key
        elif key is not None:
            n_clear = 4 if full else 2
            decryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).decryptor()
            body = decryptor.update(data[n_clear:]) + decryptor.finalize()
            data = data[:n_clear] + body[16 + (body[15] & 0x0F) :]
            n_deciphered += 1
        plain.append(Packet(packet.time, packet.source, packet.destination, data))
    return plain, n_deciphered


def dissect(capture: Path, packets: list[Packet]) -> list[list[str]]:
    """A row a packet: malformed, expert's message, kind of packet, frame type."""
    write_pcap(capture, packets)
    fields = ["_ws.malformed", "_ws.expert.message", "iax2.packet_type", "iax2.type"]
    out = subprocess.run(
        ["tshark", "-r", capture, "-T", "fields", *(part for field in fields for part in ("-e", field))],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rows = [line.split("\t") for line in out.splitlines()]
    assert len(rows) == len(packets)
    return rows


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({"trunk": True}, {"1": 100, "3": 3000}),
        ({"reliable_voice": True}, {"0": 10_000, "1": 10_000}),
        ({"encryption": Encryption.REQUIRED}, {"0": 20_000, "1": 100}),
    ],
    ids=["trunk frames", "voice in full frames", "encrypted"],
)
def test_nothing_is_malformed_in_calls_that_are_trunked_reliable_or_encrypted(
    tmp_path: Path, options: dict[str, Any], kinds: dict[str, int]
) -> None:
    """tshark cannot decipher, so what was enciphered is shown to it in clear."""
    packets = talk(**options)
    if "encryption" in options:
        packets, n_deciphered = deciphered(packets, "secret101")
        assert n_deciphered > 0.99 * len(packets)
    rows = dissect(tmp_path / "iax.pcap", packets)
    assert [row for row in rows if row[0] or "alformed" in row[1]] == []
    for kind, least in kinds.items():
        assert sum(row[2] == kind for row in rows) >= least
    assert {row[2] for row in rows} <= {"0", "1", "3"}


def test_nothing_is_malformed(tmp_path: Path) -> None:
    packets = conversation()
    capture = tmp_path / "iax.pcap"
    write_pcap(capture, packets)
    fields = ["_ws.malformed", "_ws.expert.message", "iax2.packet_type", "iax2.type", "iax2.iax.subclass"]
    out = subprocess.run(
        ["tshark", "-r", capture, "-T", "fields", *(part for field in fields for part in ("-e", field))],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rows = [line.split("\t") for line in out.splitlines()]
    assert len(rows) == len(packets)
    assert [row for row in rows if row[0] or "alformed" in row[1]] == []
    assert all(row[2] for row in rows), "some were not recognised as IAX2"
    subclasses = {int(row[4]) for row in rows if row[4]}
    # NEW PING PONG ACK HANGUP REJECT ACCEPT AUTHREQ AUTHREP REGREQ REGAUTH REGACK REGREL CALLTOKEN
    assert subclasses >= {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 15, 17, 40}
    spoiled = [*packets, Packet(packets[-1].time, SERVER, packets[0].source, packets[0].datagram[:-5])]
    write_pcap(capture, spoiled)
    out = subprocess.run(
        ["tshark", "-r", capture, "-Y", "_ws.malformed"], check=True, capture_output=True, text=True
    ).stdout
    assert len(out.splitlines()) == 1, "the judge does not notice a frame that is cut short"
    types = {int(row[3]) for row in rows if row[3]}
    assert types >= {1, 2, 4, 6, 7}
    text = subprocess.run(
        ["tshark", "-r", capture, "-V", "-Y", "iax2.iax.subclass == 1"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "Number/extension being called: echo" in text
    assert "Protocol version: 0x0002" in text
    assert "Žofie" in text
