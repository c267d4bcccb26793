"""The adapter and the exchange's runner on real loopback sockets."""

from __future__ import annotations

import random
import socket

import pytest
import trio

from iax import Account, CallAnswered, CallEnded, Endpoint, Event, PeerConfig, Registered
from iax.exchange_server import serve
from iax.frames import Address
from iax.impairment import Impairments
from iax.socket import DSCP_EF, MAX_BATCH, Socket, SocketError, resolve


class Sink:
    """A core that keeps what it gets and has something to send."""

    def __init__(self) -> None:
        self.received: list[tuple[bytes, Address, float]] = []
        self.to_send: list[tuple[bytes, Address]] = []

    def receive(self, datagram: bytes, addr: Address, now: float) -> None:
        self.received.append((datagram, addr, now))

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        datagrams, self.to_send = self.to_send, []
        return datagrams


async def test_datagrams_pass_in_order_and_whole() -> None:
    with await Socket.open("127.0.0.1") as here, await Socket.open("127.0.0.1") as there:
        assert here.drain(Sink(), 0.0) == 0  # nothing there: does not block
        sink = Sink()
        sink.to_send = [(bytes([n]) * (n + 1), there.address) for n in range(200)]
        expected = [datagram for datagram, _ in sink.to_send]
        assert here.flush(sink) == 200
        with trio.fail_after(5):
            await there.wait_readable()
        assert there.drain(sink, 7.0) == 200
        assert [datagram for datagram, _, _ in sink.received] == expected
        assert {(addr, now) for _, addr, now in sink.received} == {(here.address, 7.0)}


async def test_a_flood_is_read_in_batches() -> None:
    with await Socket.open("127.0.0.1") as here, await Socket.open("127.0.0.1") as there:
        sink = Sink()
        sink.to_send = [(b"x", there.address)] * (MAX_BATCH + 10)
        here.flush(sink)
        with trio.fail_after(5):
            await there.wait_readable()
        assert there.drain(sink, 0.0) == MAX_BATCH
        assert there.drain(sink, 0.0) == 10


async def test_a_busy_port_gives_one_clear_sentence() -> None:
    with await Socket.open("127.0.0.1") as first:
        port = first.address[1]
        with pytest.raises(SocketError) as error:
            await Socket.open("127.0.0.1", port)
        assert str(error.value) == (
            f"UDP port {port} on 127.0.0.1 is taken by another program; stop it or choose another port"
        )


async def test_a_foreign_address_and_an_unknown_name_give_clear_sentences() -> None:
    with pytest.raises(SocketError, match=r"192\.0\.2\.55 is no address of this machine"):
        await Socket.open("192.0.2.55")
    with pytest.raises(SocketError, match=r"no-such-host\.invalid.*check"):
        await Socket.open("no-such-host.invalid")
    with pytest.raises(SocketError, match=r"cannot find the server no-such-host\.invalid"):
        await resolve("no-such-host.invalid", 4569)
    assert await resolve("127.0.0.1", 4569) == ("127.0.0.1", 4569)


async def test_marked_as_expedited() -> None:
    with await Socket.open("127.0.0.1") as sock:
        assert sock._socket.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == DSCP_EF << 2
        assert not sock._socket.get_inheritable()


async def test_ipv6() -> None:
    try:
        sock = await Socket.open("::1")
    except SocketError:
        pytest.skip("this machine has no IPv6 loopback")
    with sock:
        sink = Sink()
        sink.to_send = [(b"x", sock.address)]
        assert sock.flush(sink) == 1
        with trio.fail_after(5):
            await sock.wait_readable()
        assert sock.drain(sink, 0.0) == 1
        assert sink.received[0][1] == sock.address


async def test_what_the_kernel_refuses_is_counted() -> None:
    with await Socket.open("127.0.0.1") as sock:
        sink = Sink()
        sink.to_send = [(b"x", ("255.255.255.255", 9)), (bytes(70_000), sock.address), (b"y", sock.address)]
        assert sock.flush(sink) == 1
        assert sock.send_errors == 2


@pytest.mark.parametrize("impairments", [None, Impairments(jitter_ms=5, seed=1)])
async def test_the_exchange_serves_on_a_real_port(impairments: Impairments | None) -> None:
    notices: list[str] = []
    peers = [Account("101", "secret101")]
    async with trio.open_nursery() as nursery:
        address = await nursery.start(
            lambda task_status: serve(
                "127.0.0.1", 0, peers, impairments, on_notice=notices.append, task_status=task_status
            )
        )
        endpoint = Endpoint(random.Random(1))
        events: list[Event] = []
        peer = PeerConfig(address, "101", "secret101")
        with await Socket.open("127.0.0.1") as sock, trio.fail_after(10):

            async def until(kind: type) -> None:
                while not any(isinstance(event, kind) for event in events):
                    now = trio.current_time()
                    sock.drain(endpoint, now)
                    endpoint.handle_timer(now)
                    events.extend(endpoint.events())
                    sock.flush(endpoint)
                    await trio.sleep(0.005)

            endpoint.register(peer, trio.current_time())
            await until(Registered)
            call = endpoint.call(peer, "echo", trio.current_time())
            await until(CallAnswered)
            heard = []
            for n in range(40):
                call.send_audio(bytes([n]) * 160, trio.current_time())
                sock.flush(endpoint)
                await trio.sleep(0.02)
                sock.drain(endpoint, trio.current_time())
                heard.append(call.receive_audio()[0][0])
            numbers = [octet for octet in heard if octet != 0xFF]
            assert len(numbers) > 25  # of 40, less the buffer's depth and what a busy machine may cost
            assert numbers == sorted(set(numbers))
            call.hangup(trio.current_time())
            await until(CallEnded)
        nursery.cancel_scope.cancel()
    assert [notice.split(" from")[0] for notice in notices[:2]] == ["101 registered", "101 calls echo"]


async def test_a_busy_port_stops_the_exchange_with_the_same_sentence() -> None:
    with (
        await Socket.open("127.0.0.1") as first,
        pytest.raises(SocketError, match="taken by another program"),
    ):
        await serve("127.0.0.1", first.address[1], [])
