"""Dialogues go when they are over, whatever came late."""

from __future__ import annotations

import random

import pytest

from iax import Endpoint
from iax.dialogue import LINGER_S
from iax.elements import Element
from iax.frames import Command
from tests.iax.rawpeer import SERVER, RawPeer


@pytest.mark.parametrize("late_s", [0.0, LINGER_S - 1, LINGER_S + 1, LINGER_S + 5])
def test_a_hangup_acknowledged_late_frees_the_call(late_s: float) -> None:
    peer = RawPeer()
    call = peer.up()
    call.hangup(peer.now)
    peer.wait(late_s)
    peer.got()
    peer.send(Command.ACK)
    assert call.link.all_acknowledged
    peer.wait(LINGER_S + 1)
    assert peer.endpoint.statistics().dialogues == 0


def test_a_first_frame_with_another_number_takes_up_no_room() -> None:
    peer = RawPeer(Endpoint(random.Random(1), accept_from=[SERVER], max_incoming=3))
    new = [(Element.VERSION, 2), (Element.CAPABILITY, 4), (Element.FORMAT, 4)]
    for _ in range(5):
        peer.send(Command.NEW, *new, destination=0, o_seq=1)
        assert peer.events() == []
    assert peer.endpoint.statistics().dialogues == 0
    peer.send(Command.NEW, *new, destination=0, o_seq=0)
    assert len(peer.events()) == 1
