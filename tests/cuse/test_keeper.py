"""The keeper and the stores, with pipes in the place of a channel and a record."""

import contextlib
import logging
import os
import selectors
import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from cusemodem.cuse import keeper as keeper_module
from cusemodem.cuse import systemd_store
from cusemodem.cuse.errors import DeviceError
from cusemodem.cuse.keeper import Keeper, listen, receive_message, send_message
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


async def test_a_device_that_shall_not_be_kept_any_more(path: Path, tmp_path: Path) -> None:
    store = KeeperStore(path)
    assert not await store.forget("ttyIAX0")
    assert not path.exists(), "no keeper is started to be told so"  # noqa: ASYNC240
    reading, writing = os.pipe()
    async with store.serve("ttyIAX0") as place:
        mine = pair(tmp_path, "first")
        await place.keep(Descriptors(writing, mine.record))
        mine.close()
        os.close(writing)
    assert await store.forget("ttyIAX0")
    with trio.fail_after(30):
        await trio.lowlevel.wait_readable(reading)
    assert os.read(reading, 1) == b""
    os.close(reading)
    assert not await store.forget("ttyIAX0")


class InProcess:
    """A keeper in this process, with a client."""

    def __init__(self, path: Path, limit_s: float = 0.0) -> None:
        listener = listen(path)
        assert listener is not None
        self._listener = listener
        self._path = path
        self.told: list[str] = []
        self.systemd_listens = True
        self._selector = selectors.DefaultSelector()
        self.keeper = Keeper(
            listener, self._selector, limit_s, on_keep=self._on_keep, on_let_go=self._on_let_go
        )

    def _on_keep(self, name: str, channel: int, record: int) -> None:
        os.fstat(channel), os.fstat(record)
        self._tell(f"keep {name}")

    def _on_let_go(self, name: str, channel: int, record: int) -> None:
        os.fstat(channel), os.fstat(record)
        self._tell(f"let go {name}")

    def _tell(self, text: str) -> None:
        self.told.append(text)
        if not self.systemd_listens:
            raise ConnectionRefusedError(111, "Connection refused")

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.connect(str(self._path))
        client.settimeout(10)
        return client

    def turn(self) -> None:
        """Serve what waits."""
        while ready := self._selector.select(0):
            for key, events in ready:
                key.data(events)

    def ask(
        self, client: socket.socket, message: dict[str, object], descriptors: list[int] | None = None
    ) -> tuple[dict[str, object], list[int]]:
        send_message(client, message, descriptors or [])
        self.turn()
        return receive_message(client)

    def close(self) -> None:
        self.turn()
        self.keeper.close_descriptors()
        self._selector.close()
        self._listener.close()


def open_descriptors() -> dict[str, str]:
    """Of this process: what each number is."""
    found = {}
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[link.name] = str(link.readlink())
    return {number: what for number, what in found.items() if not what.endswith(f"/{os.getpid()}/fd")}


def test_a_systemd_that_does_not_listen(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The keeper has what it says that it has, closes each descriptor once, and goes on."""
    mine = pair(tmp_path, "first")
    keeper = InProcess(tmp_path / "keeper")
    before = open_descriptors()
    keeper.systemd_listens = False
    with caplog.at_level(logging.WARNING), keeper.connect() as client:
        assert keeper.ask(client, {"serve": "ttyIAX0"}) == ({"kept": False}, [])
        answer = keeper.ask(client, {"keep": "ttyIAX0"}, [mine.channel, mine.record])
        assert answer == ({"kept": True}, [])
    assert "/dev/ttyIAX0 may not outlive a restart of the service: no word to systemd" in caplog.text
    keeper.turn()
    # A number that was closed, and is kept in mind all the same, is another file's by now.
    others = [os.open("/dev/null", os.O_RDONLY) for _ in range(8)]
    with keeper.connect() as client:
        answer, kept = keeper.ask(client, {"serve": "ttyIAX0"})
        assert answer == {"kept": True}
        assert texts(Descriptors(*kept)) == ["first channel", "first record"]
        Descriptors(*kept).close()
    keeper.turn()
    keeper.keeper.expire()
    assert keeper.told == ["keep ttyIAX0", "let go ttyIAX0"]
    assert keeper.keeper.next_timer() is None
    for other in others:
        os.close(other)
    assert open_descriptors() == before
    keeper.close()
    mine.close()


def test_a_full_keeper_keeps_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "MAX_KEPT", 1)
    mine = pair(tmp_path, "first")
    keeper = InProcess(tmp_path / "keeper")
    with keeper.connect() as first, keeper.connect() as second:
        keeper.ask(first, {"serve": "ttyIAX0"})
        keeper.ask(first, {"keep": "ttyIAX0"}, [mine.channel, mine.record])
        keeper.ask(second, {"serve": "ttyIAX1"})
        before = open_descriptors()
        with pytest.raises(OSError, match="closed"):
            keeper.ask(second, {"keep": "ttyIAX1"}, [mine.channel, mine.record])
        assert len(open_descriptors()) == len(before) - 1, "its connection, and no descriptor more"
        assert keeper.told == ["keep ttyIAX0"]
        assert keeper.ask(first, {"release": "ttyIAX0"}) == ({"kept": False}, [])
    keeper.close()
    mine.close()


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
    store = SystemdStore("ttyIAX0")
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


def pass_descriptors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, names: list[str]) -> None:
    """As systemd does: a channel and a record for each name."""
    base = 700
    monkeypatch.setattr(systemd_store, "_LISTEN_FDS_START", base)
    null = os.open("/dev/null", os.O_RDWR)
    file = os.open(tmp_path / "record", os.O_RDWR | os.O_CREAT)
    for k in range(len(names)):
        os.dup2(null, base + 2 * k)
        os.dup2(file, base + 2 * k + 1)
    os.close(null)
    os.close(file)
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", str(2 * len(names)))
    monkeypatch.setenv("LISTEN_FDNAMES", ":".join(f"port-{name}:port-{name}" for name in names))


async def test_a_device_of_another_name_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`device` was changed while the unit was restarted: nobody would serve the old node."""
    before = open_descriptors()
    systemd = Systemd(tmp_path, monkeypatch)
    with systemd.socket:
        pass_descriptors(monkeypatch, tmp_path, ["ttyIAX0", "ttyOLD"])
        store = SystemdStore("ttyIAX0")
        assert systemd.receive() == ("FDSTOREREMOVE=1\nFDNAME=port-ttyOLD", [])
        for number in (702, 703):
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(number)
        # And it may be that the device shall not be kept any more.
        assert await store.forget("ttyIAX0")
        assert systemd.receive() == ("FDSTOREREMOVE=1\nFDNAME=port-ttyIAX0", [])
        assert not await store.forget("ttyIAX0")
    assert open_descriptors() == before


async def test_a_systemd_that_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    mine = pair(tmp_path, "first")
    before = open_descriptors()
    async with SystemdStore("ttyIAX0").serve("ttyIAX0") as place:
        with pytest.raises(StoreError, match="ttyIAX0 will not outlive this process: systemd did not take"):
            await place.keep(mine)
        assert open_descriptors() == before
        await place.release()
    assert "/dev/ttyIAX0: systemd was not told to let it go (No such file or directory)" in caplog.text
    mine.close()


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
