"""Which numbers a device asks for."""

from pathlib import Path

import pytest

from cusemodem.cuse import numbers
from cusemodem.cuse.numbers import majors_to_try, minors_to_try


@pytest.fixture(autouse=True)
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(numbers, "_DEVICES", tmp_path)
    return tmp_path


def add(devices: Path, number: str, driver: str = "cuse") -> None:
    (devices / number).symlink_to(f"../../devices/virtual/{driver}/something")


def test_majors_of_other_drivers_are_left_alone(devices: Path) -> None:
    assert majors_to_try() == [240, 241, 242]
    add(devices, "1:3", "mem")
    add(devices, "240:0", "nvme")
    add(devices, "242:7")
    assert majors_to_try() == [242, 241, 243]
    add(devices, "242:8", "nvme")
    assert majors_to_try() == [241, 243, 244]


def test_no_major_is_left(devices: Path) -> None:
    for major in range(240, 255):
        add(devices, f"{major}:0", "other")
    assert majors_to_try() == []


def test_minors(devices: Path) -> None:
    assert minors_to_try("ttyIAX7", 240) == [7, 0, 1, 2]
    add(devices, "240:7")
    add(devices, "240:0")
    add(devices, "241:1")
    assert minors_to_try("ttyIAX7", 240) == [1, 2, 3, 4]
    assert minors_to_try("modem", 240) == [1, 2, 3, 4]
    assert minors_to_try("iax/tty12345678", 241) == [345678, 0, 2, 3]


def test_without_sysfs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "_DEVICES", Path("/nonexistent"))
    assert majors_to_try() == [240, 241, 242]
    assert minors_to_try("ttyIAX0", 240) == [0, 1, 2, 3]
