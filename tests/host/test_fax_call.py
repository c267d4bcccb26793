"""Whole calls between the two test programs, over modems that pass bytes: what T.30 asks when things fail."""

from __future__ import annotations

import numpy as np
import pytest

from tests.host.byte_modem import Faults, run_call
from tests.host.class1 import EFAX, HYLAFAX, MGETTY, Habits
from tests.host.pages import random_page, text_page
from tests.host.t4 import Page
from tests.host.t30 import CFR, CODES, DCS, DIS, EOP, MCF, MODULATIONS, MPS
from tests.host.t30_receiver import FaxReceiver
from tests.host.t30_sender import FaxSender

PAGES = [text_page("first", 200), random_page(2, 80)]


def _assert_pages_arrived(sender: FaxSender, receiver: FaxReceiver, pages: list[Page]) -> None:
    assert not sender.failed, sender.transcript()
    assert not receiver.failed, receiver.transcript()
    assert sender.n_pages_confirmed == len(pages)
    assert len(receiver.pages) == len(pages)
    for got, sent in zip(receiver.pages, pages, strict=True):
        np.testing.assert_array_equal(got, sent)


@pytest.mark.parametrize("sender_habits", [HYLAFAX, EFAX, MGETTY], ids=lambda habits: habits.name)
@pytest.mark.parametrize("receiver_habits", [HYLAFAX, EFAX, MGETTY], ids=lambda habits: habits.name)
def test_pages_arrive_pixel_for_pixel(sender_habits: Habits, receiver_habits: Habits) -> None:
    sender = FaxSender(PAGES, "5551234", habits=sender_habits)
    receiver = FaxReceiver(habits=receiver_habits)
    seconds = run_call(sender, receiver)
    _assert_pages_arrived(sender, receiver, PAGES)
    assert sender.rate == receiver.rate == "V.17 14400"
    assert sender.remote_id == receiver.own_id
    assert receiver.remote_id == sender.own_id
    assert 20 < seconds < 90


@pytest.mark.parametrize(
    ("codes", "rate"),
    [((121,), "V.17 12000"), ((72,), "V.29 7200"), ((48,), "V.27ter 4800"), ((24,), "V.27ter 2400")],
)
def test_either_side_may_limit_the_rates(codes: tuple[int, ...], rate: str) -> None:
    for options in ({"codes": codes}, {}):
        # a receiver's DIS names families: 24 is in all of them, 72 cannot be offered without 96
        sender = FaxSender(PAGES[1:], "1", codes=codes)
        receiver = FaxReceiver(**options)  # type: ignore[arg-type]
        run_call(sender, receiver)
        _assert_pages_arrived(sender, receiver, PAGES[1:])
        assert sender.rate == rate


def test_rates_fall_back_until_training_succeeds() -> None:
    sender, receiver = FaxSender(PAGES, "1"), FaxReceiver()
    run_call(sender, receiver, Faults(no_training={145, 121, 97, 73, 96, 72}))
    _assert_pages_arrived(sender, receiver, PAGES)
    assert sender.rates_tried[0] == "V.17 14400"
    assert sender.rate == "V.27ter 4800"
    assert receiver.n_trainings_failed >= 6


def test_ftt_drops_one_rate_at_a_time() -> None:
    sender, receiver = (
        FaxSender(PAGES[1:], "1"),
        FaxReceiver(refuse_training=[MODULATIONS[code].name for code in CODES[:-1]]),
    )
    run_call(sender, receiver)
    _assert_pages_arrived(sender, receiver, PAGES[1:])
    assert sender.rates_tried == [MODULATIONS[code].name for code in CODES]


def test_no_rate_at_all_is_a_failure_that_says_so() -> None:
    sender, receiver = FaxSender(PAGES[1:], "1"), FaxReceiver()
    run_call(sender, receiver, Faults(no_training=set(CODES)))
    assert "train" in sender.failed
    assert receiver.failed
    assert not receiver.pages


@pytest.mark.parametrize("fcf", [DIS, DCS, CFR, MPS, EOP, MCF])
@pytest.mark.parametrize("lost", [True, False], ids=["lost", "damaged"])
def test_one_frame_lost_or_damaged_is_repeated(fcf: int, lost: bool) -> None:
    sender, receiver = FaxSender(PAGES, "1"), FaxReceiver()
    run_call(sender, receiver, Faults(lost_frames={fcf: 1}) if lost else Faults(bad_fcs_frames={fcf: 1}))
    _assert_pages_arrived(sender, receiver, PAGES)


def test_a_damaged_page_is_refused_and_sent_again_slower() -> None:
    sender, receiver = FaxSender(PAGES, "1"), FaxReceiver()
    run_call(sender, receiver, Faults(damaged_pages=1))
    _assert_pages_arrived(sender, receiver, PAGES)
    assert len(receiver.page_results) == len(PAGES) + 1
    assert sender.rates_tried == ["V.17 14400", "V.17 12000"]


@pytest.mark.parametrize("at_s", [10.0, 16.0, 22.0])
def test_hang_up_in_mid_call_ends_both_programs_with_a_reason(at_s: float) -> None:
    sender, receiver = FaxSender([text_page("cut", 1144)], "1"), FaxReceiver()
    seconds = run_call(sender, receiver, Faults(hang_up_at_s=at_s))
    assert sender.failed
    assert receiver.failed
    assert seconds < at_s + 60


def test_a_receiver_that_never_confirms_gets_three_tries() -> None:
    sender, receiver = FaxSender(PAGES[1:], "1"), FaxReceiver()
    run_call(sender, receiver, Faults(lost_frames={MCF: 99}))
    assert sender.failed == "no answer to EOP, 3 times"
    assert sender.transcript().count("ff 13 2f") == 3
