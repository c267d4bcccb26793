"""tshark's IAX2 dissector reads what we send: nothing malformed, and it names each frame as we meant it."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from iax import Account, CallAnswered, CallEnded, Endpoint, PeerConfig, Registered, RegistrationReleased
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
