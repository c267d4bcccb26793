"""The server's end: devices that cannot be made, servers that die."""

import errno
import os
import select
import subprocess
import sys
from pathlib import Path

from tests.kernel.host import NAME, PATH, USER, Modem, check, child, ended, expect_errno, run, until_asleep


@check
def a_second_device_of_that_name_is_refused(modem: Modem) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernel.modem_server", NAME], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"DeviceError: {PATH} exists already: stop the program" in done.stderr


def trouble(body: str) -> str:
    """What a program says that tries to serve a device; ``body`` stands inside an async function."""
    program = f"""
import os, trio
from cusemodem.cuse.device import open_cuse
from cusemodem.cuse.errors import DeviceError
from cusemodem.cuse.port import Port

def serve(name, **options):
    return open_cuse(name, Port(), lambda: None, **options)

async def main():
    {body}

try:
    trio.run(main)
except DeviceError as error:
    print(error)
"""
    return run(sys.executable, "-c", program)


@check
def devices_that_cannot_be_made(modem: Modem) -> None:
    assert trouble('async with serve("/dev/null"): pass').startswith("/dev/null exists already: stop the")
    lost = """async with serve("ttyA"):
        open("/sys/class/cuse/ttyA/abort", "w").write("1")
        await trio.sleep(5)"""
    assert trouble(lost) == "/dev/ttyA: the kernel has taken the device away; start the modem again\n"
    Path("/dev/cuse").chmod(0o600)
    user = f"""os.setuid({USER})
    async with serve("ttyA"): pass"""
    assert trouble(user).startswith("/dev/ttyA: no permission to open /dev/cuse: run as root, or give")
    Path("/dev/cuse").chmod(0o666)
    assert trouble(user.replace("pass", "print(os.stat('/dev/ttyA').st_uid)")) == "0\n", "no privilege needed"
    Path("/dev/cuse").chmod(0o600)


def numbers(*devices: str, **environment: str) -> list[tuple[int, int]]:
    """The numbers of the devices that one program serves; each is the arguments of ``serve``."""
    served = ", ".join(f"serve({device})" for device in devices)
    names = [device.split('"')[1] for device in devices]
    body = f"async with {served}: [print(os.stat('/dev/' + name).st_rdev) for name in {names}]"
    found = [int(line) for line in trouble(body).splitlines()]
    return [(os.major(number), os.minor(number)) for number in found]


@check
def modems_share_a_major_number(modem: Modem) -> None:
    # The modem of the checks is ttyIAX0 = 240:0.
    assert os.major(Path(PATH).stat().st_rdev) == 240
    assert numbers('"ttyA7"', '"ttyB7"', '"ttyC"', '"ttyD12"') == [(240, 7), (240, 1), (240, 2), (240, 12)]
    assert numbers('"ttyA0", major=241', '"ttyB0", major=241') == [(241, 0), (241, 1)]


@check
def a_dynamic_major_when_the_wanted_one_is_taken_or_not_wanted(modem: Modem) -> None:
    # Major 1 (memory) has every minor.
    (one, two) = numbers('"ttyA0", major=1', '"ttyB0", major=0')
    assert one[0] not in (1, 240)
    assert two[0] not in (0, 240, one[0])


@check
def a_directory_in_the_name(modem: Modem) -> None:
    other = Modem("iax/tty0")
    assert Path("/dev/iax/tty0").is_char_device()
    other.end()


@check
def a_killed_server_leaves_no_one_stuck(modem: Modem) -> None:
    other = Modem("ttyIAX9")
    file = os.open("/dev/ttyIAX9", os.O_RDWR)
    reader = child(lambda: expect_errno(errno.ECONNABORTED, os.read, file, 10))
    poller = child(lambda: not select.select([file], [], [], 5)[0])
    until_asleep(reader, poller)
    other.process.kill()
    other.process.wait(2)
    assert ended(reader) == 0
    assert ended(poller) == 0
    assert not Path("/dev/ttyIAX9").exists()
    os.close(file)
    again = Modem("ttyIAX9")
    assert Path("/dev/ttyIAX9").is_char_device()
    again.end()
    assert not Path("/dev/ttyIAX9").exists()
