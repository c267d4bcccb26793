"""The bench of the port measures what it says, here on the pty that needs no guest."""

from pathlib import Path

import pytest

from bench import port


@pytest.fixture
def figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    monkeypatch.setitem(port.PATHS, "pty", str(tmp_path / "port"))
    server = port.Server("pty")
    try:
        # Twice: a round must not depend on how the one before left the port.
        first, second = (port._measure(server, 20) for _ in range(2))
    finally:
        server.end()
    assert first.keys() == second.keys()
    return second


def test_each_figure_is_measured(figures: dict[str, float]) -> None:
    assert all(value > 0 for value in figures.values())
    for name in ("1 byte there and back", "AT to OK", "poll wake-up"):
        assert figures[f"{name}, median"] <= figures[f"{name}, 99 of 100"]
    for size in port.SIZES:
        for way in ("write", "read"):
            assert f"{way}, {size} bytes at a time" in figures
