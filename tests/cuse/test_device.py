"""The trio adapter, with a pair of sockets in the place of /dev/cuse."""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from cusemodem.cuse import device as device_module
from cusemodem.cuse import node as node_module
from cusemodem.cuse import state as state_module
from cusemodem.cuse.device import CuseDevice, forget_cuse, open_cuse
from cusemodem.cuse.errors import DeviceError
from cusemodem.cuse.node import node_name
from cusemodem.cuse.port import Port
from cusemodem.cuse.record import Record
from cusemodem.cuse.store import Descriptors, StoreError, forget
from cusemodem.cuse.terminal import Terminal
from tests.cuse.host import raw
from tests.cuse.test_messages import request

GREETING = request(4096, struct.pack("<IIII", 7, 38, 0, 1), unique=1)


class Kernel:
    """The other end of the channel, and the modem's program above the device."""

    def __init__(self, directory: Path) -> None:
        # Sequenced packets keep the borders of messages, as /dev/cuse does.
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        self.descriptor = theirs.detach()
        self.node = directory / "ttyIAX0"
        self.port = Port()
        self.activities = 0
        self.device: CuseDevice | None = None
        self._unique = 10

    def on_activity(self) -> None:
        self.activities += 1
        self.port.events()
        data = self.port.take_output(4096)
        for _ in range(data.count(b"\r")):
            self.port.put_input(b"OK\r\n")

    def send(self, opcode: int, body: bytes) -> int:
        self._unique += 2
        self.ours.send(request(opcode, body, unique=self._unique))
        return self._unique

    async def receive(self) -> tuple[int, int, bytes]:
        """unique, errno, body of the next message."""
        with trio.fail_after(5):
            await trio.lowlevel.wait_readable(self.ours)
        message = self.ours.recv(1 << 17)
        length, error, unique = struct.unpack_from("<IiQ", message)
        assert length == len(message)
        return unique, -error, message[16:]

    async def open(self) -> int:
        unique = self.send(14, struct.pack("<II", os.O_RDWR, 0))
        answered, error, body = await self.receive()
        assert (answered, error) == (unique, 0)
        return int(struct.unpack_from("<Q", body)[0])

    def read(self, file: int) -> int:
        return self.send(15, struct.pack("<QQIIQII", file, 0, 100, 0, 0, os.O_RDWR, 0))

    def write(self, file: int, data: bytes) -> int:
        return self.send(16, struct.pack("<QQIIQII", file, 0, len(data), 0, 0, os.O_RDWR, 0) + data)


@asynccontextmanager
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kernel]:
    kernel = Kernel(tmp_path)
    monkeypatch.setattr(node_module, "DEVICE_DIRECTORY", tmp_path)
    monkeypatch.setattr(node_module, "_open_channel", lambda _path: kernel.descriptor)
    # The kernel shows the node as soon as the reply to its greeting is written.
    monkeypatch.setattr(node_module, "_require_node", lambda _path: None)
    kernel.ours.send(GREETING)
    with kernel.ours:
        async with open_cuse("ttyIAX0", kernel.port, kernel.on_activity) as device:
            kernel.device = device
            yield kernel


async def test_greeting_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(tmp_path, monkeypatch) as kernel:
        unique, error, body = await kernel.receive()
        assert (unique, error) == (1, 0)
        assert struct.unpack_from("<IIIIIIII", body) == (7, 31, 0, 1, 65536, 65536, 240, 0)
        assert body.endswith(b"DEVNAME=ttyIAX0\0")
        assert kernel.device is not None
        assert (kernel.device.kind, kernel.device.path) == ("cuse", str(tmp_path / "ttyIAX0"))
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(kernel.descriptor)


async def test_a_command_is_answered_within_the_batch_that_brought_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, monkeypatch) as kernel:
        await kernel.receive()
        file = await kernel.open()
        before = kernel.activities
        reading, writing = kernel.read(file), kernel.write(file, b"ATZ\r")
        assert await kernel.receive() == (writing, 0, struct.pack("<II", 4, 0))
        assert await kernel.receive() == (reading, 0, b"OK\n")
        # One for the batch of both, one for the bytes that it found waiting.
        assert kernel.activities - before <= 2


async def test_flush_answers_a_blocked_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(tmp_path, monkeypatch) as kernel:
        await kernel.receive()
        file = await kernel.open()
        assert kernel.device is not None
        reading = kernel.read(file)
        await trio.testing.wait_all_tasks_blocked()
        kernel.port.put_input(b"RING\r\n")
        kernel.device.flush()
        # Initial settings are canonical, so the answer is the first line.
        assert await kernel.receive() == (reading, 0, b"RING\n")


async def test_who_is_woken_is_answered_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program woken in poll asks what there is: within the flush that woke it, if it is that quick."""
    monkeypatch.setattr(device_module, "LINGER_S", 0.0)
    async with served(tmp_path, monkeypatch) as kernel:
        await kernel.receive()
        file = await kernel.open()
        device = kernel.device
        assert device is not None
        kernel.send(39, struct.pack("<QIIQII", file, 2, 0x5402, 1, 36, 0) + raw().pack())
        await kernel.receive()

        def poll() -> int:
            return kernel.send(40, struct.pack("<QQII", file, 99, 1, 1))

        def ring() -> list[int]:
            """Uniques of what the device says at once to bytes of the modem; 0: a wake-up."""
            kernel.port.put_input(b"RING")
            device.flush()
            said = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    said.append(struct.unpack_from("<Q", kernel.ours.recv(1000), 8)[0])
            return said

        asked = poll()
        assert (await kernel.receive())[0] == asked
        asked = poll()
        assert ring() == [0, asked]
        # Nobody asks, so nobody is waited for any more, but for a look now and then.
        assert ring() == [0]
        for _ in range(device_module.PROBE_INTERVAL - 3):
            asked = poll()
            assert (await kernel.receive())[0] == asked
            asked = poll()
            assert ring() == [0]
            assert (await kernel.receive())[0] == asked
        asked = poll()
        assert (await kernel.receive())[0] == asked
        asked = poll()
        assert ring() == [0, asked]
        assert ring() == [0]


async def test_timers_run_without_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(tmp_path, monkeypatch) as kernel:
        await kernel.receive()
        file = await kernel.open()
        assert kernel.device is not None
        kernel.send(39, struct.pack("<QIIQII", file, 2, 0x5402, 1, 36, 0) + raw(vmin=127, vtime=1).pack())
        await kernel.receive()
        reading = kernel.read(file)
        await trio.testing.wait_all_tasks_blocked()
        start = trio.current_time()
        kernel.port.put_input(b"OK")
        kernel.device.flush()
        assert await kernel.receive() == (reading, 0, b"OK")
        assert 0.09 < trio.current_time() - start < 3


async def test_a_large_write_goes_through_a_small_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, monkeypatch) as kernel:
        await kernel.receive()
        file = await kernel.open()
        writing = kernel.write(file, bytes(60_000))
        assert await kernel.receive() == (writing, 0, struct.pack("<II", 60_000, 0))
        assert kernel.port.statistics().bytes_to_modem == 60_000


async def test_flush_inside_an_activity_does_not_recurse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, monkeypatch) as kernel:
        await kernel.receive()
        assert kernel.device is not None
        depth = most = 0
        plain = kernel.on_activity

        def nosy() -> None:
            nonlocal depth, most
            depth += 1
            most = max(most, depth)
            plain()
            assert kernel.device is not None
            kernel.device.flush()
            depth -= 1

        kernel.device._on_activity = nosy
        file = await kernel.open()
        writing = kernel.write(file, b"AT\r" + bytes(9000))
        assert (await kernel.receive())[0] == writing
        assert most == 1


@pytest.mark.parametrize(
    ("name", "node"),
    [
        ("/dev/ttyIAX0", "ttyIAX0"),
        ("ttyIAX1", "ttyIAX1"),
        ("/dev/iax/tty0", "iax/tty0"),
        ("a.b-c+d_e", "a.b-c+d_e"),
    ],
)
def test_names(name: str, node: str) -> None:
    assert node_name(name) == node


@pytest.mark.parametrize(
    "name",
    ["", "/dev/", "a b", "../x", "/tmp/x", ".hidden", "a//b", "a/../b", "x" * 65, "é", "a\n", "a!b", "-x"],
)
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(DeviceError, match=r"cannot be a device name: write /dev/ and up to 64 letters"):
        node_name(name)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            errno.ENOENT,
            r"this kernel offers no /dev/cuse: load its module with 'modprobe cuse', or use a pty",
        ),
        (errno.ENODEV, r"this kernel offers no /dev/cuse: load its module"),
        (errno.EACCES, r"no permission to open /dev/cuse: run as root, or give /dev/cuse to a group"),
        (errno.EMFILE, r"cannot open /dev/cuse: Too many open files"),
    ],
)
async def test_a_channel_that_cannot_be_opened(
    error: int, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(node_module, "DEVICE_DIRECTORY", tmp_path)
    monkeypatch.setattr(node_module.os, "open", refuse)
    with pytest.raises(DeviceError, match=sentence) as caught:
        async with open_cuse("ttyIAX0", Port(), lambda: None):
            pass
    assert str(caught.value).startswith(f"{tmp_path}/ttyIAX0: ")
    assert "\n" not in str(caught.value)


async def test_a_name_that_exists_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_module, "DEVICE_DIRECTORY", tmp_path)
    (tmp_path / "ttyIAX0").touch()
    (tmp_path / "ttyIAX1").symlink_to("nowhere")
    for name in ("ttyIAX0", "ttyIAX1"):
        with pytest.raises(
            DeviceError, match=f"{name} exists already: stop the program that made it, or choose"
        ):
            async with open_cuse(name, Port(), lambda: None):
                pass


@pytest.mark.parametrize(
    ("greeting", "sentence"),
    [
        (b"hello", r"gave no greeting \(a request of 5 bytes"),
        (request(15, bytes(40)), r"did not begin with its greeting"),
        (request(4096, struct.pack("<IIII", 7, 20, 0, 1)), r"speaks CUSE 7\.20; 7\.21 or later is needed"),
        (request(4096, struct.pack("<IIII", 8, 1, 0, 1)), r"speaks CUSE 8\.1"),
    ],
)
async def test_greetings_that_are_refused(
    greeting: bytes, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(tmp_path)
    monkeypatch.setattr(node_module, "DEVICE_DIRECTORY", tmp_path)
    monkeypatch.setattr(node_module, "_open_channel", lambda _path: kernel.descriptor)
    kernel.ours.send(greeting)
    with pytest.raises(DeviceError, match=sentence):
        async with open_cuse("ttyIAX0", kernel.port, kernel.on_activity):
            pass
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(kernel.descriptor)
    kernel.ours.close()


async def test_a_file_in_the_place_of_dev_cuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cuse").write_text("not a device")
    monkeypatch.setattr(node_module, "DEVICE_DIRECTORY", tmp_path)
    monkeypatch.setattr(node_module, "CUSE_PATH", tmp_path / "cuse")
    with pytest.raises(DeviceError, match=r"gave no greeting .*is it the kernel's own\?"):
        async with open_cuse("ttyIAX0", Port(), lambda: None):
            pass


async def test_a_program_that_is_busy_with_the_port_is_served_without_a_look_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests that wait together are served in few rounds, in order, and all of them."""
    async with served(tmp_path, monkeypatch) as kernel:
        await kernel.receive()
        file = await kernel.open()
        assert kernel.device is not None
        rounds: list[int] = []
        serve = kernel.device._serve_batch

        def counted(**keywords: bool) -> None:
            rounds.append(1)
            serve(**keywords)

        monkeypatch.setattr(kernel.device, "_serve_batch", counted)
        for _ in range(3):
            writes = [kernel.write(file, b"AT") for _ in range(64)]
            for unique in writes:
                assert await kernel.receive() == (unique, 0, struct.pack("<II", 2, 0))
        assert len(rounds) < 3 * 64 / 2
        assert kernel.port.statistics().bytes_to_modem == 3 * 64 * 2


class OnePlace:
    """A store with one place, and what a predecessor left there; systemd closes its copies a little later."""

    def __init__(self, node: Path, kept: Descriptors | None = None) -> None:
        self._node = node
        self.kept = kept
        self.released = 0
        self.refuses = False

    @asynccontextmanager
    async def serve(self, name: str) -> AsyncIterator["OnePlace"]:
        yield self

    async def forget(self, name: str) -> bool:
        return await forget(self)

    async def keep(self, descriptors: Descriptors) -> None:
        if self.refuses:
            raise StoreError("the store is full")

    async def release(self) -> None:
        self.released += 1
        trio.lowlevel.spawn_system_task(self._vanish)

    async def _vanish(self) -> None:
        await trio.sleep(0.05)
        self._node.unlink(missing_ok=True)


def left_by_another_version(monkeypatch: pytest.MonkeyPatch) -> tuple[socket.socket, Descriptors]:
    """The kernel's end of a live channel, and what its predecessor left."""
    kernel, channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    descriptor = Record.create()
    record = Record(descriptor)
    with monkeypatch.context() as patch:
        patch.setattr(state_module, "VERSION", 99)
        record.save(Terminal(Port()).state("ttyIAX0"))
    record.close()
    return kernel, Descriptors(channel.detach(), descriptor)


async def test_a_state_of_another_version_ends_the_old_device_and_makes_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its node is there until the store has closed its copies: that is waited for."""
    theirs, kept = left_by_another_version(monkeypatch)
    kernel = Kernel(tmp_path)
    monkeypatch.setattr(node_module, "DEVICE_DIRECTORY", tmp_path)
    monkeypatch.setattr(node_module, "_open_channel", lambda _path: kernel.descriptor)
    monkeypatch.setattr(node_module, "_require_node", lambda _path: None)
    kernel.node.touch()
    store = OnePlace(kernel.node, kept)
    kernel.ours.send(GREETING)
    with theirs, kernel.ours:
        async with open_cuse("ttyIAX0", kernel.port, kernel.on_activity, store=store) as device:
            assert theirs.recv(100) == b"", "the old channel is closed"
            assert store.released == 1
            assert (device.resumed, device.can_be_kept) == (False, True)
            assert (await kernel.receive())[0] == 1
            assert await kernel.open() == 1
    assert "a state of version 99; 1 is what we read" in caplog.text
    assert store.released == 1, "it is left to a successor"


async def test_a_node_that_does_not_go_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, kept = left_by_another_version(monkeypatch)
    monkeypatch.setattr(node_module, "DEVICE_DIRECTORY", tmp_path)
    monkeypatch.setattr(node_module, "GONE_TIMEOUT_S", 0.1)
    node = tmp_path / "ttyIAX0"
    node.touch()
    store = OnePlace(tmp_path / "another", kept)
    with theirs, pytest.raises(DeviceError, match="ttyIAX0 exists already"):
        async with open_cuse("ttyIAX0", Port(), lambda: None, store=store):
            pass


async def test_a_store_that_takes_nothing_leaves_no_device_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the node stays, and cannot be made without the store."""
    kernel = Kernel(tmp_path)
    monkeypatch.setattr(node_module, "DEVICE_DIRECTORY", tmp_path)
    monkeypatch.setattr(node_module, "_open_channel", lambda _path: kernel.descriptor)
    monkeypatch.setattr(node_module, "_require_node", lambda _path: None)
    store = OnePlace(kernel.node)
    store.refuses = True
    kernel.ours.send(GREETING)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - of this process, and nothing waits
    with kernel.ours:
        with pytest.raises(StoreError, match="the store is full"):
            async with open_cuse("ttyIAX0", kernel.port, kernel.on_activity, store=store):
                pass
        assert (await kernel.receive())[0] == 1
        assert kernel.ours.recv(100) == b"", "the channel is closed"
        assert len(os.listdir("/proc/self/fd")) == before - 1  # noqa: PTH208


async def test_a_device_that_shall_not_be_kept_any_more_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, kept = left_by_another_version(monkeypatch)
    monkeypatch.setattr(node_module, "DEVICE_DIRECTORY", tmp_path)
    node = tmp_path / "ttyIAX0"
    node.touch()
    store = OnePlace(node, kept)
    with theirs:
        await forget_cuse("ttyIAX0", store)
        assert theirs.recv(100) == b""
    assert not node.exists()
    store.kept = None
    node.touch()
    with trio.fail_after(0.5):
        await forget_cuse("ttyIAX0", store)
    assert node.exists(), "somebody else's"
