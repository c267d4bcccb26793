"""The pty fallback, on the machine's own kernel."""

import errno
import os
import select
import termios
import tty
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio

from cusemodem.cuse.errors import DeviceError
from cusemodem.cuse.port import Closed, DtrDropped, DtrRaised, Opened, Port, PortEvent
from cusemodem.cuse.pty import PtyDevice, open_pty


class Modem:
    """Takes everything at once, says OK to each line."""

    def __init__(self) -> None:
        self.port = Port()
        self.heard = b""
        self.events: list[PortEvent] = []
        self.takes = True

    def on_activity(self) -> None:
        self.events += self.port.events()
        if not self.takes:
            return
        data = self.port.take_output(4096)
        self.heard += data
        for _ in range(data.count(b"\r")):
            self.port.put_input(b"\r\nOK\r\n")


@asynccontextmanager
async def modem_on_pty(link: Path) -> AsyncIterator[tuple[Modem, PtyDevice]]:
    modem = Modem()
    async with open_pty(str(link), modem.port, modem.on_activity) as device:
        yield modem, device


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110 (what is waited for happens in the kernel)
            await trio.sleep(0.005)


def open_raw(link: Path, *, clocal: bool = True) -> int:
    host = os.open(link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(host, termios.TCSANOW)
    settings = termios.tcgetattr(host)
    settings[2] = settings[2] | termios.CLOCAL if clocal else settings[2] & ~termios.CLOCAL
    termios.tcsetattr(host, termios.TCSANOW, settings)
    return host


async def read(host: int) -> bytes:
    with trio.fail_after(5):
        await trio.lowlevel.wait_readable(host)
    return os.read(host, 4096)


async def test_a_command_is_answered_and_the_line_events_follow_the_file(tmp_path: Path) -> None:
    async with modem_on_pty(tmp_path / "ttyIAX0") as (modem, device):
        assert device.kind == "pty"
        assert device.path == str(tmp_path / "ttyIAX0")
        host = open_raw(tmp_path / "ttyIAX0")
        os.write(host, b"ATZ\r")
        assert await read(host) == b"\r\nOK\r\n"
        assert modem.heard == b"ATZ\r"
        assert modem.events[:2] == [Opened(), DtrRaised()]
        assert modem.port.open_count == 1
        assert modem.port.dtr
        os.close(host)
        await until(lambda: not modem.port.dtr)
        assert modem.port.open_count == 0
        assert [e for e in modem.events if e in (Closed(), DtrDropped())] == [Closed(), DtrDropped()]
    assert not await trio.Path(tmp_path / "ttyIAX0").is_symlink()


async def test_what_was_written_by_a_short_lived_program_arrives_before_dtr_drops(tmp_path: Path) -> None:
    async with modem_on_pty(tmp_path / "m") as (modem, _):
        for round_number in range(1, 4):
            host = os.open(tmp_path / "m", os.O_RDWR | os.O_NOCTTY)
            os.write(host, b"ATZ\n")
            os.close(host)
            await until(lambda: modem.events.count(DtrDropped()) == round_number)  # noqa: B023
        assert modem.heard == b"ATZ\r\n" * 3


async def test_flow_characters_pass_both_ways_in_spite_of_ixon(tmp_path: Path) -> None:
    async with modem_on_pty(tmp_path / "m") as (modem, device):
        host = open_raw(tmp_path / "m")
        settings = termios.tcgetattr(host)
        settings[0] |= termios.IXON | termios.IXOFF
        settings[6][termios.VSTART], settings[6][termios.VSTOP] = b"\x11", b"\x13"
        termios.tcsetattr(host, termios.TCSANOW, settings)
        os.write(host, b"\x11\x13out")
        await until(lambda: modem.heard == b"\x11\x13out")
        modem.port.put_input(b"\x13in\x11")
        device.flush()
        assert await read(host) == b"\x13in\x11"
        os.close(host)


async def test_b0_drops_dtr_and_a_speed_raises_it(tmp_path: Path) -> None:
    async with modem_on_pty(tmp_path / "m") as (modem, _):
        host = open_raw(tmp_path / "m")
        await until(lambda: modem.port.dtr)
        settings = termios.tcgetattr(host)
        settings[4] = settings[5] = termios.B0
        termios.tcsetattr(host, termios.TCSANOW, settings)
        await until(lambda: not modem.port.dtr)
        settings[4] = settings[5] = termios.B19200
        termios.tcsetattr(host, termios.TCSANOW, settings)
        await until(lambda: modem.port.dtr)
        os.close(host)


async def test_without_hupcl_dtr_stays(tmp_path: Path) -> None:
    async with modem_on_pty(tmp_path / "m") as (modem, _):
        host = open_raw(tmp_path / "m")
        settings = termios.tcgetattr(host)
        settings[2] &= ~termios.HUPCL
        termios.tcsetattr(host, termios.TCSANOW, settings)
        os.close(host)
        await until(lambda: Closed() in modem.events)
        assert modem.port.dtr


async def test_a_lost_carrier_hangs_up_unless_clocal(tmp_path: Path) -> None:
    async with modem_on_pty(tmp_path / "m") as (modem, device):
        host = open_raw(tmp_path / "m", clocal=True)
        await until(lambda: modem.port.open_count == 1)
        modem.port.set_lines(dcd=True)
        modem.port.set_lines(dcd=False)
        device.flush()
        modem.port.put_input(b"still here")
        device.flush()
        assert await read(host) == b"still here"
        os.close(host)
        await until(lambda: modem.port.open_count == 0)

        host = open_raw(tmp_path / "m", clocal=False)
        await until(lambda: modem.port.open_count == 1)
        modem.port.set_lines(dcd=True)
        modem.port.set_lines(dcd=False)
        device.flush()
        assert os.read(host, 10) == b""
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            os.write(host, b"x")
        poller = select.poll()
        poller.register(host, select.POLLIN)
        assert poller.poll(0)[0][1] & select.POLLHUP
        assert modem.port.open_count == 0
        assert not modem.port.dtr
        assert modem.events[-2:] == [Closed(), DtrDropped()], "told at once, without an activity of the host"
        os.close(host)

        host = open_raw(tmp_path / "m")
        os.write(host, b"AT\r")
        assert await read(host) == b"\r\nOK\r\n"
        os.close(host)


async def test_a_hang_up_keeps_owner_and_mode(tmp_path: Path) -> None:
    """The pty behind the link is another one then; nobody sees it before it is given away."""
    link = tmp_path / "m"
    modem = Modem()
    given: list[tuple[bool, bool]] = []
    root: list[bool] = []

    @contextmanager
    def privileged() -> Iterator[None]:
        root.append(True)
        yield
        root.pop()

    def give(slave: Path) -> None:
        given.append((bool(root), link.is_symlink() and link.readlink() == slave))
        slave.chmod(0o624)

    async with open_pty(str(link), modem.port, modem.on_activity, give, privileged) as device:
        host = open_raw(link, clocal=False)
        await until(lambda: modem.port.open_count == 1)
        first = link.readlink()
        modem.port.set_lines(dcd=True)
        modem.port.set_lines(dcd=False)
        device.flush()
        assert link.readlink() != first
        assert link.stat().st_mode & 0o777 == 0o624
        os.close(host)
    assert given == [(True, False)] * 2


async def test_a_hang_up_that_cannot_make_a_new_pty_ends_this_device_alone(tmp_path: Path) -> None:
    """flush() is called between other lines' business, and never raises."""
    link = tmp_path / "m"

    async def hung_up() -> None:
        async with modem_on_pty(link) as (modem, device):
            host = open_raw(link, clocal=False)
            await until(lambda: modem.port.open_count == 1)
            link.unlink()
            link.write_text("somebody else's")
            modem.port.set_lines(dcd=True)
            modem.port.set_lines(dcd=False)
            device.flush()
            device.flush()
            assert os.read(host, 10) == b""
            os.close(host)
            with trio.fail_after(5):
                await trio.sleep_forever()

    with pytest.raises(DeviceError, match="m exists and is not a link: remove it"):
        await hung_up()


async def test_a_modem_that_is_behind_blocks_the_writer_and_loses_nothing(tmp_path: Path) -> None:
    async with modem_on_pty(tmp_path / "m") as (modem, _):
        modem.takes = False
        host = open_raw(tmp_path / "m")
        page = bytes(range(256)) * 512
        sent = 0
        with trio.move_on_after(0.2):
            while sent < len(page):
                await trio.lowlevel.wait_writable(host)
                sent += os.write(host, page[sent : sent + 4096])
        assert 4096 <= sent < len(page)
        assert len(modem.port.to_modem) == 4096
        modem.takes = True
        with trio.fail_after(5):
            while sent < len(page):
                await trio.lowlevel.wait_writable(host)
                sent += os.write(host, page[sent : sent + 4096])
        await until(lambda: len(modem.heard) >= len(page))
        assert modem.heard == page
        os.close(host)


async def test_a_slow_reader_gets_every_byte(tmp_path: Path) -> None:
    async with modem_on_pty(tmp_path / "m") as (modem, device):
        host = open_raw(tmp_path / "m")
        await until(lambda: modem.port.open_count == 1)
        rest = page = bytes(range(256)) * 512
        got = b""
        with trio.fail_after(5):
            while len(got) < len(page):
                rest = rest[modem.port.put_input(rest) :]
                device.flush()
                got += await read(host)
                await trio.lowlevel.checkpoint()
        assert got == page
        os.close(host)


async def test_flushes_of_the_host_reach_the_port(tmp_path: Path) -> None:
    async with modem_on_pty(tmp_path / "m") as (modem, _):
        modem.takes = False
        host = open_raw(tmp_path / "m")
        os.write(host, b"to be dropped")
        await until(lambda: len(modem.port.to_modem) > 0)
        termios.tcflush(host, termios.TCOFLUSH)
        await until(lambda: len(modem.port.to_modem) == 0)
        os.write(host, b"kept")
        modem.takes = True
        await until(lambda: modem.heard == b"kept")
        os.close(host)


async def test_the_link_replaces_a_stale_one_but_no_file(tmp_path: Path) -> None:
    (tmp_path / "stale").symlink_to("/dev/pts/999999")
    async with modem_on_pty(tmp_path / "stale"):
        assert (tmp_path / "stale").is_char_device()
    (tmp_path / "file").write_text("precious")
    with pytest.raises(DeviceError, match="file exists and is not a link: remove it, or choose another"):
        async with modem_on_pty(tmp_path / "file"):
            pass
    assert (tmp_path / "file").read_text() == "precious"
    with pytest.raises(DeviceError, match=r"No such file or directory.*choose a device path"):
        async with modem_on_pty(tmp_path / "nowhere" / "m"):
            pass


async def test_failures_leave_no_descriptor(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (of this process, and nothing waits)
    for _ in range(3):
        with pytest.raises(DeviceError):
            async with modem_on_pty(tmp_path / "nowhere" / "m"):
                pass
        async with modem_on_pty(tmp_path / "m"):
            pass
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


async def test_errors_of_the_block_come_out_bare(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with modem_on_pty(tmp_path / "m"):
            raise KeyError("mine")
