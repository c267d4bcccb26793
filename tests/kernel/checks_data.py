"""Bytes both ways: blocking, VMIN and VTIME, back pressure, drain, flush, poll."""

import contextlib
import errno
import os
import select
import subprocess
import termios
import time

from tests.kernel.host import (
    PATH,
    Modem,
    alarm,
    check,
    child,
    configure,
    ended,
    expect_errno,
    get_int,
    opened,
    read_exactly,
    run,
    until,
    until_asleep,
)

# Reading and writing


@check
def command_is_answered(modem: Modem) -> None:
    with opened() as file:
        assert os.write(file, b"ATZ\r") == 4
        assert read_exactly(file, 6) == b"\r\nOK\r\n"
    assert modem.heard() == b"ATZ\r"


@check
def cat_and_echo_work_with_first_settings(modem: Modem) -> None:
    run("stty", "-F", PATH, "sane", "9600", "clocal", "hupcl")
    cat = subprocess.Popen(["cat", PATH], stdout=subprocess.PIPE)
    until(lambda: modem.status()["open_count"] == 1)
    run("bash", "-c", f"echo ATI > {PATH}")
    assert cat.stdout is not None
    got = b""
    while b"OK" not in got:
        got += os.read(cat.stdout.fileno(), 100)
    time.sleep(0.2)
    status = modem.status()
    assert bytes.fromhex(status["heard"]) == b"ATI\r\n", "nothing must be echoed to the modem"
    cat.kill()
    cat.wait(2)
    cat.stdout.close()
    until(lambda: modem.status()["open_count"] == 0)


@check
def nonblocking_read_and_fcntl(modem: Modem) -> None:
    with opened(os.O_RDWR | os.O_NONBLOCK) as file:
        expect_errno(errno.EAGAIN, os.read, file, 10)
        os.set_blocking(file, True)
        modem.send(b"x")
        assert os.read(file, 10) == b"x"
        os.set_blocking(file, False)
        expect_errno(errno.EAGAIN, os.read, file, 10)


@check
def vmin_127_vtime_1_as_faxgetty_sets_it(modem: Modem) -> None:
    with opened(vmin=127, vtime=1) as file:
        modem.send(b"OK\r\n")
        start = time.monotonic()
        assert os.read(file, 1024) == b"OK\r\n"
        assert 0.09 < time.monotonic() - start < 3, "with data already waiting"
        with alarm(0.5) as took:
            expect_errno(errno.EINTR, os.read, file, 1024)
        assert took[0] > 0.4, "no first byte, no clock"
        configure(file, vmin=127, vtime=100)
        modem.send(bytes(127))
        start = time.monotonic()
        assert os.read(file, 1024) == bytes(127)
        assert time.monotonic() - start < 5, "all that VMIN wants is there"


@check
def vmin_0_vtime_2(modem: Modem) -> None:
    with opened(vmin=0, vtime=2) as file:
        start = time.monotonic()
        assert os.read(file, 10) == b""
        assert 0.19 < time.monotonic() - start < 3
        configure(file, vmin=0, vtime=100)
        modem.send(b"x")
        start = time.monotonic()
        assert os.read(file, 10) == b"x"
        assert time.monotonic() - start < 5


@check
def flow_characters_pass_with_ixon(modem: Modem) -> None:
    with opened() as file:
        settings = termios.tcgetattr(file)
        settings[0] |= termios.IXON | termios.IXOFF
        termios.tcsetattr(file, termios.TCSANOW, settings)
        modem.tell("set", answering=False)
        everything = bytes(range(256))
        os.write(file, everything)
        assert modem.heard() == everything
        modem.send(everything)
        assert read_exactly(file, 256) == everything


@check
def a_megabyte_each_way_is_whole(modem: Modem) -> None:
    page = os.urandom(1 << 20)
    modem.tell("set", answering=False)
    with opened() as file:
        sent = 0
        while sent < len(page):
            sent += os.write(file, page[sent : sent + 100_000])
        assert modem.heard() == page
        modem.tell("send", data=page.hex())
        assert read_exactly(file, len(page)) == page
        assert modem.status()["unsent"] == 0


@check
def large_reads_give_what_there_is(modem: Modem) -> None:
    with opened() as file:
        modem.send(bytes(65536))
        got = os.read(file, 200_000)
        assert got == bytes(65536)
        modem.send(b"x")
        assert os.read(file, 200_000) == b"x"


@check
def a_modem_that_is_behind_blocks_writers(modem: Modem) -> None:
    modem.tell("set", holding=True)
    with opened() as file:
        os.set_blocking(file, False)
        taken = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                taken += os.write(file, bytes(1000))
        assert 4096 <= taken < 10_000
        assert not select.select([], [file], [], 0)[1]
        assert get_int(file, termios.TIOCOUTQ) >= 4096
        os.set_blocking(file, True)
        with alarm(0.2):
            expect_errno(errno.EINTR, os.write, file, b"x")
        writer = child(lambda: os.write(file, b"end") != 3)
        until_asleep(writer)
        modem.tell("set", holding=False)
        assert ended(writer) == 0
        assert len(modem.heard()) == taken + 3
        assert select.select([], [file], [], 1)[1]


@check
def tcdrain_waits_for_the_modem(modem: Modem) -> None:
    modem.tell("set", holding=True)
    with opened() as file:
        termios.tcdrain(file)
        os.write(file, b"page")
        drainer = child(lambda: termios.tcdrain(file))
        setter = child(lambda: termios.tcsetattr(file, termios.TCSADRAIN, termios.tcgetattr(file)))
        until_asleep(drainer, setter)
        modem.tell("take", max_bytes=4)
        assert ended(drainer) == 0
        assert ended(setter) == 0


@check
def tcflush_flushes_the_right_side(modem: Modem) -> None:
    modem.tell("set", holding=True)
    with opened() as file:
        os.write(file, b"out")
        modem.send(b"in")
        termios.tcflush(file, termios.TCIFLUSH)
        assert get_int(file, termios.FIONREAD) == 0
        assert get_int(file, termios.TIOCOUTQ) == 3
        modem.send(b"in")
        termios.tcflush(file, termios.TCOFLUSH)
        assert get_int(file, termios.FIONREAD) == 2
        assert get_int(file, termios.TIOCOUTQ) == 0


@check
def tcsendbreak_takes_a_quarter_of_a_second(modem: Modem) -> None:
    with opened() as file:
        start = time.monotonic()
        termios.tcsendbreak(file, 0)
        assert 0.24 < time.monotonic() - start < 3


# poll


@check
def poll_select_epoll_wake_for_input(modem: Modem) -> None:
    with opened(os.O_RDWR | os.O_NONBLOCK) as file:

        def by_poll() -> object:
            poller = select.poll()
            poller.register(file, select.POLLIN)
            return poller.poll(5000)

        def by_select() -> object:
            return select.select([file], [], [], 5)[0]

        def by_epoll(flags: int) -> object:
            epoll = select.epoll()
            epoll.register(file, flags)
            return epoll.poll(5)

        edge = select.EPOLLIN | select.EPOLLET
        waits = (by_poll, by_select, lambda: by_epoll(select.EPOLLIN), lambda: by_epoll(edge))
        sleepers = [child(lambda wait=wait: not wait()) for wait in waits]  # type: ignore[misc]
        until_asleep(*sleepers)
        modem.send(b"RING")
        assert [ended(sleeper) for sleeper in sleepers] == [0] * 4
        assert os.read(file, 10) == b"RING"
        assert select.select([file], [], [], 0.2)[0] == [], "nothing is left, so nothing is ready"


@check
def edge_triggered_epoll_sees_each_arrival(modem: Modem) -> None:
    with opened(os.O_RDWR | os.O_NONBLOCK) as file:
        epoll = select.epoll()
        epoll.register(file, select.EPOLLIN | select.EPOLLET)
        for _ in range(5):
            modem.send(b"x")
            assert epoll.poll(2), "an arrival was missed, though earlier input is still unread"
        assert epoll.poll(0.1) == []
        assert os.read(file, 10) == b"xxxxx"


@check
def poll_sees_room_for_output(modem: Modem) -> None:
    modem.tell("set", holding=True)
    with opened(os.O_RDWR | os.O_NONBLOCK) as file:
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(file, bytes(4096))
        sleeper = child(lambda: not select.select([], [file], [], 5)[1])
        until_asleep(sleeper)
        modem.tell("set", holding=False)
        assert ended(sleeper) == 0


@check
def select_with_timeout_returns_in_time(modem: Modem) -> None:
    with opened() as file:
        start = time.monotonic()
        assert select.select([file], [], [], 0.1) == ([], [], [])
        assert 0.09 < time.monotonic() - start < 3
