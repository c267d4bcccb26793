"""The keeper and the stores, with pipes in the place of a channel and a record."""

import contextlib
import os
import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from cusemodem.cuse import systemd_store
from cusemodem.cuse.errors import DeviceError
from cusemodem.cuse.keeper import receive_message, send_message
from cusemodem.cuse.store import Descriptors, KeeperStore, StoreError
from cusemodem.cuse.systemd_store import SystemdStore, take_passed


def pair(tmp_path: Path, text: str) -> Descriptors:
    """Two files that can be told apart when they come back."""
    descriptors = []
    for kind in ("channel", "record"):
        file = tmp_path / f"{text}-{kind}"
        file.write_text(f"{text} {kind}")
        descriptors.append(os.open(file, os.O_RDONLY))
    return Descriptors(*descriptors)


def texts(descriptors: Descriptors) -> list[str]:
    return [os.pread(descriptor, 100, 0).decode() for descriptor in (descriptors.channel, descriptors.record)]


def keeper_of(path: Path) -> int:
    """The keeper's process."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(str(path))
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("3i", credentials)[0])


async def until_gone(path: Path) -> None:
    with trio.fail_after(60):
        while await trio.Path(path).exists():  # noqa: ASYNC110
            await trio.sleep(0.02)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "run" / "keeper"
    yield path
    with contextlib.suppress(OSError):
        os.kill(keeper_of(path), signal.SIGTERM)


async def test_what_one_leaves_the_next_gets(path: Path, tmp_path: Path) -> None:
    store = KeeperStore(path)
    mine = pair(tmp_path, "first")
    async with store.serve("ttyIAX0") as place:
        assert place.kept is None
        await place.keep(mine)
        mine.close()
    async with store.serve("ttyIAX0") as place, store.serve("iax/tty1") as other:
        assert other.kept is None
        kept = place.kept
        assert kept is not None
        assert texts(kept) == ["first channel", "first record"]
        kept.close()
        # A new pair takes the place of the old.
        second = pair(tmp_path, "second")
        await place.keep(second)
        second.close()
    async with store.serve("ttyIAX0") as place:
        kept = place.kept
        assert kept is not None
        assert texts(kept) == ["second channel", "second record"]
        kept.close()
        await place.release()
    async with store.serve("ttyIAX0") as place:
        assert place.kept is None


async def test_only_one_serves_a_device(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cusemodem.cuse.store.PREDECESSOR_TIMEOUT_S", 0.2)
    store = KeeperStore(path)
    async with store.serve("ttyIAX0"):
        refused = pytest.raises(DeviceError, match=rf"/dev/ttyIAX0: process {os.getpid()} serves it already")
        with refused as caught:
            async with store.serve("ttyIAX0"):
                pass
        assert not isinstance(caught.value, StoreError)


async def test_a_predecessor_that_ends_is_waited_for(path: Path) -> None:
    store = KeeperStore(path)

    async def predecessor(task_status: trio.TaskStatus[None]) -> None:
        async with store.serve("ttyIAX0"):
            task_status.started()
            await trio.sleep(0.3)

    async with trio.open_nursery() as nursery:
        await nursery.start(predecessor)
        async with store.serve("ttyIAX0") as place:
            assert place.kept is None


async def test_many_devices_start_one_keeper(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = KeeperStore(path)
    n_started = 0
    run_process = trio.run_process

    async def counted(*arguments: object, **keywords: object) -> object:
        nonlocal n_started
        n_started += 1
        return await run_process(*arguments, **keywords)  # type: ignore[arg-type,call-overload]

    monkeypatch.setattr(trio, "run_process", counted)
    begun, done = [], trio.Event()

    async def device(name: str) -> None:
        async with store.serve(name):
            begun.append(name)
            if len(begun) == 300:
                done.set()
            await done.wait()

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for k in range(300):
                nursery.start_soon(device, f"ttyIAX{k}")
    assert n_started == 1


async def test_what_nobody_comes_for_is_let_go(path: Path, tmp_path: Path) -> None:
    store = KeeperStore(path, limit_s=0.3)
    reading, writing = os.pipe()
    async with store.serve("ttyIAX0") as place:
        mine = pair(tmp_path, "first")
        await place.keep(Descriptors(writing, mine.record))
        mine.close()
        os.close(writing)
    # The keeper's copy was the last one.
    with trio.fail_after(30):
        await trio.lowlevel.wait_readable(reading)
    assert os.read(reading, 1) == b""
    os.close(reading)


async def test_a_killed_keeper_is_replaced(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("cusemodem.cuse.store.GUARD_INTERVAL_S", 0.1)
    store = KeeperStore(path)
    mine = pair(tmp_path, "first")
    async with store.serve("ttyIAX0") as place:
        await place.keep(mine)
        os.kill(keeper_of(path), signal.SIGKILL)
        with trio.fail_after(60):
            while "another one has it now" not in caplog.text:  # noqa: ASYNC110
                await trio.sleep(0.02)
    async with store.serve("ttyIAX0") as place:
        assert place.kept is not None
        assert texts(place.kept) == ["first channel", "first record"]
        place.kept.close()
        os.kill(keeper_of(path), signal.SIGKILL)
        await trio.sleep(0.05)
        await place.release()
    mine.close()


async def test_it_ends_when_told_to(path: Path) -> None:
    async with KeeperStore(path).serve("ttyIAX0"):
        os.kill(keeper_of(path), signal.SIGHUP)
        os.kill(keeper_of(path), signal.SIGINT)
        os.kill(keeper_of(path), signal.SIGTERM)
        await until_gone(path)


async def test_nonsense_does_not_disturb_it(path: Path) -> None:
    store = KeeperStore(path)
    async with store.serve("ttyIAX0"):
        for message in (b"", b"x", b"[]", b"{}", b'{"serve": 1}', b'{"keep": "ttyIAX0"}', b"x" * 5000):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                connection.connect(str(path))
                connection.settimeout(20)
                connection.send(message)
                if message:
                    assert connection.recv(100) == b"", message
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(str(path))
            connection.settimeout(20)
            send_message(connection, {"serve": "ttyIAX0"}, [])
            answer, descriptors = receive_message(connection)
            assert (list(answer), descriptors) == (["refused"], [])


async def test_no_place_for_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="/dev/ttyIAX0 will not outlive this process: no keeper at"):
        async with KeeperStore(tmp_path / "file" / "keeper").serve("ttyIAX0"):
            pass


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))

    def receive(self) -> tuple[str, list[int]]:
        data, descriptors, _, _ = socket.recv_fds(self.socket, 1000, 10)
        return data.decode(), descriptors


async def test_systemd_stores_both_in_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemd = Systemd(tmp_path, monkeypatch)
    store = SystemdStore()
    mine = pair(tmp_path, "first")
    with systemd.socket:
        async with store.serve("ttyIAX0") as place:
            assert place.kept is None
            await place.keep(mine)
            text, descriptors = systemd.receive()
            assert text == "FDSTORE=1\nFDNAME=port-ttyIAX0"
            assert texts(Descriptors(*descriptors)) == ["first channel", "first record"]
        mine.close()
        async with store.serve("ttyIAX0") as place:
            # This process opens its device again: systemd gives nothing back before the next start.
            assert place.kept is not None
            assert texts(place.kept) == ["first channel", "first record"]
            place.kept.close()
            await place.release()
            assert systemd.receive() == ("FDSTOREREMOVE=1\nFDNAME=port-ttyIAX0", [])
        async with store.serve("ttyIAX0") as place:
            assert place.kept is None
        for descriptor in descriptors:
            os.close(descriptor)


def test_what_systemd_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemd = Systemd(tmp_path, monkeypatch)
    base = 700
    null = os.open("/dev/null", os.O_RDWR)
    file = os.open(tmp_path / "record", os.O_RDWR | os.O_CREAT)
    for number, descriptor in enumerate([file, null, null, null]):
        os.dup2(descriptor, base + number)
    os.close(null)
    os.close(file)
    monkeypatch.setattr(systemd_store, "_LISTEN_FDS_START", base)
    names = "port-ttyIAX0:port-ttyIAX0:port-half:stored"
    for key, value in {"LISTEN_PID": os.getpid(), "LISTEN_FDS": 4, "LISTEN_FDNAMES": names}.items():
        monkeypatch.setenv(key, str(value))
    with systemd.socket:
        # The channel is the character device of the two.
        assert take_passed() == {"ttyIAX0": Descriptors(base + 1, base)}
        assert systemd.receive() == ("FDSTOREREMOVE=1\nFDNAME=port-half", [])
    assert "LISTEN_FDS" not in os.environ
    assert not os.get_inheritable(base)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(base + 2)
    os.fstat(base + 3)
    for number in (0, 1, 3):
        os.close(base + number)


def test_without_systemd_nothing_is_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "3")
    assert take_passed() == {}
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not systemd_store.has_store()
    monkeypatch.setenv("NOTIFY_SOCKET", "@x")
    assert systemd_store.has_store()
    monkeypatch.setenv("FDSTORE", "0")
    assert not systemd_store.has_store()
