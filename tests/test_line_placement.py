"""Which worker gets which line, and what happens when a worker has no room."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from cusemodem.config import ModemConfig
from cusemodem.line_placement import LINES_PER_WORKER, NO_ROOM, Placement
from cusemodem.service_status import service_status
from cusemodem.worker_children import Child, Children


class Workers(list[Child]):
    """Forked nowhere; `orders` are what they were told, each with its worker's number."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: list[tuple[int, str, str]] = []

    def fork(self, child: Child) -> None:
        number = len(self)
        child.pid = 100 + number
        self.append(child)
        orders = self.orders

        class Pipe:
            def send(self, order: tuple[str, Any]) -> None:
                orders.append((number, order[0], getattr(order[1], "name", order[1])))

        child.pipe = cast(Any, Pipe())


def _modem(k: int, port: int = 0) -> ModemConfig:
    return ModemConfig(name=f"ttyIAX{k}", device_path=Path(f"/dev/ttyIAX{k}"), port=port)


def _placed(*configs: ModemConfig) -> tuple[Placement, Workers]:
    workers = Workers()
    placement = Placement(cast(Children, workers))
    placement.begin_all(configs, 1)
    return placement, workers


def test_a_line_that_one_worker_refuses_another_takes() -> None:
    placement, workers = _placed(_modem(0))
    placement.apply([_modem(0), _modem(1)])
    assert workers.orders == [(0, "serve", "ttyIAX1")]
    placement.refused(workers[0], "ttyIAX1")
    assert [list(worker.configs) for worker in workers] == [["ttyIAX0"], ["ttyIAX1"]]


def test_what_a_worker_says_of_its_room_counts() -> None:
    placement, workers = _placed(_modem(0))
    workers[0].status = {"room": 0}
    placement.apply([_modem(0), _modem(1)])
    assert [list(worker.configs) for worker in workers] == [["ttyIAX0"], ["ttyIAX1"]]


def test_a_full_worker_is_given_no_more() -> None:
    full = [_modem(k) for k in range(LINES_PER_WORKER)]
    placement, workers = _placed(*full)
    placement.apply([*full, _modem(99)])
    assert [len(worker.configs) for worker in workers] == [LINES_PER_WORKER, 1]


def test_a_line_on_the_port_of_a_full_worker_waits_and_says_why() -> None:
    first, second = _modem(0, 4570), _modem(1, 4570)
    placement, workers = _placed(first)
    placement.apply([first, second])
    placement.refused(workers[0], "ttyIAX1")
    assert len(workers) == 1, "its port is the first one's"
    assert placement.unplaced == {"ttyIAX1": second}
    unplaced = {name: config.device_path for name, config in placement.unplaced.items()}
    line = service_status(workers, state="ready", started=0.0, unplaced=unplaced)["lines"][-1]
    assert (line["name"], line["state"], line["reason"]) == ("ttyIAX1", "failed", NO_ROOM)
    workers.orders.clear()
    workers[0].status = {"room": 0}
    placement.begin_released()
    assert workers.orders == []
    workers[0].status = {"room": 1}
    placement.begin_released()
    assert workers.orders == [(0, "serve", "ttyIAX1")]
    assert placement.unplaced == {}


def test_a_line_that_waits_for_room_may_vanish_or_change() -> None:
    first, second, third = (_modem(k, 4570) for k in range(3))
    placement, workers = _placed(first)
    placement.apply([first, second, third])
    for line in (second, third):
        placement.refused(workers[0], line.name)
    changed = replace(second, cidname="Other")
    changes = placement.apply([first, changed])
    assert str(changes) == "0 new, 1 changed, 1 ended"
    assert placement.unplaced == {"ttyIAX1": changed}
