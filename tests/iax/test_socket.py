"""The adapter and the exchange's runner on real loopback sockets."""

from __future__ import annotations

import errno
import random
import socket

import pytest
import trio
import trio.testing

from iax import Account, CallAnswered, CallEnded, CallState, Endpoint, Event, PeerConfig, Registered
from iax.exchange_server import serve
from iax.frames import Address
from iax.impairment import Impairments
from iax.socket import DSCP_EF, MAX_BATCH, Socket, SocketError, address_of, resolve, resolve_all


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


async def test_who_waits_for_a_socket_is_told_that_it_was_closed() -> None:
    sockets = [await Socket.open("127.0.0.1", 0) for _ in range(2)]
    told: list[str] = []

    async def wait(socket: Socket, name: str) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await socket.wait_readable()
        told.append(name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, sockets[0], "before")
        await trio.testing.wait_all_tasks_blocked()
        for socket in sockets:
            socket.close()
            socket.close()
        nursery.start_soon(wait, sockets[1], "afterwards")
    assert sorted(told) == ["afterwards", "before"]


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
    for nonsense in ("x" * 64, "a..b"):
        with pytest.raises(SocketError, match="this can be no name; check"):
            await resolve(nonsense, 4569)
        with pytest.raises(SocketError, match="this can be no name; check"):
            await Socket.open(nonsense)
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


async def has_ipv6() -> bool:
    try:
        (await Socket.open("::1")).close()
    except SocketError:
        return False
    return True


async def test_one_socket_for_both_families() -> None:
    with await Socket.open() as both, await Socket.open("127.0.0.1") as old:
        port = both.address[1]
        others = [old, *([await Socket.open("::1")] if await has_ipv6() else [])]
        sink = Sink()
        sink.to_send = [(b"out", other.address) for other in others]
        assert both.flush(sink) == len(others)
        for other in others:
            with trio.fail_after(5):
                await other.wait_readable()
            heard = Sink()
            assert other.drain(heard, 0.0) == 1
            assert heard.received[0][1] == (other.address[0], port), "not from the mapped form"
            heard.to_send = [(b"back", (other.address[0], port))]
            other.flush(heard)
            assert both.local_address(other.address) == (other.address[0], port)
        while len(sink.received) < len(others):
            with trio.fail_after(5):
                await both.wait_readable()
            both.drain(sink, 0.0)
        assert {addr for _, addr, _ in sink.received} == {other.address for other in others}
        assert both._socket.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == DSCP_EF << 2
        with pytest.raises(SocketError, match="on all addresses is taken by another program"):
            await Socket.open(port=port)
        for other in others:
            other.close()


async def test_without_ipv6_all_addresses_are_those_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def no_ipv6(family: int, *rest: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, *rest)

    monkeypatch.setattr(socket, "socket", no_ipv6)
    with await Socket.open() as sock:
        assert sock.address[0] == "0.0.0.0"
        sink = Sink()
        sink.to_send = [(b"x", ("2001:db8::1", 4569)), (b"y", ("127.0.0.1", sock.address[1]))]
        assert sock.flush(sink) == 1
        assert sock.local_address(("2001:db8::1", 4569)) is None
    with pytest.raises(SocketError, match="no IPv6; write an IPv4 address"):
        await Socket.open("::1")


def test_how_the_kernel_writes_addresses() -> None:
    assert address_of(("::ffff:192.0.2.1", 4569, 0, 0)) == ("192.0.2.1", 4569)
    assert address_of(("fe80::1", 4569, 0, 3)) == ("fe80::1%3", 4569)
    assert address_of(("2001:db8::1", 4569, 0, 0)) == ("2001:db8::1", 4569)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_call_through_the_exchange_in_each_family(host: str) -> None:
    if host == "::1" and not await has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    async with trio.open_nursery() as nursery:
        address = await nursery.start(
            lambda task_status: serve(host, 0, [Account("101", "secret101")], task_status=task_status)
        )
        assert (await resolve_all(host, address[1])) == (address,)
        with await Socket.open() as sock, trio.fail_after(10):
            endpoint = Endpoint(random.Random(1), port=sock.address[1], local_address=sock.local_address)
            peer = PeerConfig(address, "101", "secret101")
            registration = endpoint.register(peer, trio.current_time())
            call = endpoint.call(peer, "echo", trio.current_time())
            while call.state is not CallState.UP or not registration.refresh_s:
                now = trio.current_time()
                sock.drain(endpoint, now)
                endpoint.handle_timer(now)
                sock.flush(endpoint)
                await trio.sleep(0.005)
        assert registration.apparent == (host, sock.address[1])
        assert registration.nat_s == 0
        nursery.cancel_scope.cancel()


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
