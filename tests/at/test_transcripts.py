"""HylaFAX, mgetty and efax, sending and receiving, with every fallback: transcripts in `transcripts/`."""

from __future__ import annotations

import pytest

from cusemodem.at.modulations import MODULATIONS
from tests.at.dialogue import DIRECTORY, FRAMES, Dialogue, steps

NAMES = {path.stem: path.read_text() for path in DIRECTORY.glob("*.txt")}
PARTS = {word.split()[1] for text in NAMES.values() for word in text.splitlines() if word.startswith("use ")}
WHOLE = sorted(set(NAMES) - PARTS)
"""Transcripts that no other uses: each a whole call, or several."""


@pytest.mark.parametrize("fax_class", ["1", "1.0"])
@pytest.mark.parametrize("name", WHOLE)
def test_transcript(name: str, fax_class: str) -> None:
    """Class 1 and 1.0 are the same."""
    dialogue = Dialogue()
    dialogue.play(name, fax_class=fax_class)
    assert dialogue.n_steps > 10
    assert dialogue.line.engine.settings.fax_class in (fax_class, "0")


@pytest.mark.parametrize("program", ["hylafax", "mgetty", "efax"])
@pytest.mark.parametrize(
    ("what", "signs"),
    [
        ("sends pages", {">data 6000 35", ">> EOP", ">> DCN"}),
        ("receives pages", {"<data 6000", "<< EOP", "<< DCN"}),
        ("sends and is refused the training", {"<< FTT", "<< CFR"}),
        ("receives and refuses the training", {">> FTT", ">> CFR"}),
        ("sends and is refused a page", {"<< RTN"}),
        ("receives and refuses a page", {">> RTN"}),
        ("sends more than one page", {">> MPS", "<< MCF"}),
        ("receives more than one page", {"<< MPS", ">> MCF"}),
        ("is dismissed", {"<< DCN", "! hangs up"}),
        ("gives a wait up", {">raw 18"}),
    ],
)
def test_every_program_meets_every_turn_of_a_call(program: str, what: str, signs: set[str]) -> None:
    """The suite is worth something only if it goes everywhere."""
    seen: set[str] = set()
    for name in WHOLE:
        if name.startswith(program):
            seen |= {step.replace("<data 5000", "<data 6000") for _, step in steps(name)}
    assert signs <= seen, what


def test_every_rate_and_every_frame_is_spoken_of() -> None:
    """Long training is for the check and after CTC, short for pages; both ways."""
    seen = {step.removeprefix("> ") for name in WHOLE for _, step in steps(name)}
    for code in MODULATIONS:
        assert f"AT+FTM={code}" in seen, code
        assert f"AT+FRM={code}" in seen, code
    spoken = {step.split()[-1] for step in seen if step.split()[0] in (">>", "<<")}
    assert spoken >= set(FRAMES) - {"PIN"}


@pytest.mark.parametrize(
    ("direction", "question", "answer"),
    [("sends", ">>", "<<"), ("receives", "<<", ">>")],
)
def test_error_correction_goes_every_way_that_hylafax_knows(
    direction: str, question: str, answer: str
) -> None:
    seen: list[str] = []
    for name in WHOLE:
        if name.startswith(f"hylafax-{direction}-by-ecm"):
            seen += [step for _, step in steps(name)]
    asked = {f"{question} {frame}" for frame in ("PPS-NULL", "PPS-MPS", "PPS-EOP", "CTC", "EOR-MPS", "RR")}
    answered = {f"{answer} {frame}" for frame in ("MCF", "PPR", "CTR", "ERR", "RNR")}
    assert asked | answered <= set(seen)
    assert seen.count(f"{answer} PPR") >= 8


def test_a_wrong_word_or_time_is_noticed() -> None:
    dialogue = Dialogue()
    for step in ("> ATE0", "< OK"):
        dialogue._step(step)
    dialogue._step("> ATI3")
    with pytest.raises(AssertionError):
        dialogue._step("< IAXmodem + OK")
    late = Dialogue()
    for step in ("> ATE0+FCLASS=1;D5;", "! answers", "< OK", "> AT+FTS=20"):
        late._step(step)
    with pytest.raises(AssertionError, match="after"):
        late._step("< OK in 0.3")
