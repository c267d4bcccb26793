"""Companding, slips and losses: exactly the samples that they should be."""

from __future__ import annotations

import numpy as np
import pytest

from dsp import g711
from dsp.line_model import BlockLoss, Codec, Line, Slip, codecs
from tests.dsp.signals import tone

RAMP = np.arange(1, 16001).astype(np.int16)


@pytest.mark.parametrize("law", ["ulaw", "alaw"])
def test_codec_is_g711(law: str) -> None:
    encode, decode = getattr(g711, f"{law}_encode"), getattr(g711, f"{law}_decode")
    assert np.array_equal(Line([Codec(law)]).run(RAMP), decode(encode(RAMP)))


@pytest.mark.parametrize("law", ["ulaw", "alaw"])
def test_a_second_pass_adds_noise_of_its_own(law: str) -> None:
    """G.711 has about 37 dB of signal to quantising distortion; two passes have 3 dB less."""
    signal = tone(1004, -10, 16000).astype(float)
    ratios = []
    for passes in (1, 2):
        heard = Line(codecs([law] * passes)).run(signal.astype(np.int16)).astype(float)[200:-200]
        t = 2 * np.pi * 1004 * np.arange(len(heard)) / 8000
        basis = np.array([np.cos(t), np.sin(t)]).T
        fitted = basis @ np.linalg.lstsq(basis, heard, rcond=None)[0]
        ratios.append(10 * np.log10(np.var(fitted) / np.var(heard - fitted)))
    assert ratios[0] > 36
    assert ratios[0] - ratios[1] == pytest.approx(3.0, abs=1.0)
    direct = Line([Codec(law), Codec(law)]).run(RAMP)
    assert np.array_equal(direct, Line([Codec(law)]).run(RAMP))  # why there is an analogue stretch between


@pytest.mark.parametrize("n", [-160, -8, -1, 0, 1, 8, 160, 1234])
def test_slip(n: int) -> None:
    heard = Line([Slip(1.0, n)]).run(RAMP)
    assert len(heard) == 16000 + n
    expected = np.concatenate([RAMP[: 8000 + max(n, 0) * 0], RAMP[8000 - n :]])
    assert np.array_equal(heard, expected)


def test_slip_with_silence() -> None:
    heard = Line([Slip(1.0, 5, fill="silence")]).run(RAMP)
    assert heard[7999:8006].tolist() == [8000, 0, 0, 0, 0, 0, 8001]


def test_slip_at_the_beginning_has_only_silence_to_repeat() -> None:
    heard = Line([Slip(0.0, 3)]).run(RAMP)
    assert heard[:5].tolist() == [0, 0, 0, 1, 2]


class TestBlockLoss:
    def test_the_mask_says_exactly_what_was_lost(self) -> None:
        for fill in ("silence", "repeat"):
            line = Line([BlockLoss(share=0.3, fill=fill)], seed=4)
            heard = line.run(RAMP)
            assert len(line.lost) == 100
            last = np.zeros(160)
            for k, lost in enumerate(line.lost):
                block = heard[160 * k : 160 * k + 160]
                if not lost:
                    assert np.array_equal(block, RAMP[160 * k : 160 * k + 160])
                    last = block
                else:
                    assert np.array_equal(block, last if fill == "repeat" else np.zeros(160))

    @pytest.mark.parametrize("share", [0.0, 0.003, 0.01, 0.1, 1.0])
    def test_share(self, share: float) -> None:
        line = Line([BlockLoss(share=share)], seed=1)
        line.run(np.ones(160 * 20000, np.int16))
        assert np.mean(line.lost) == pytest.approx(share, abs=3.5 * (share * (1 - share) / 20000) ** 0.5)

    def test_once_a_second_from_two_seconds_on(self) -> None:
        line = Line([BlockLoss(every_s=1.0, from_s=2.0)])
        line.run(np.ones(8000 * 6, np.int16))
        assert np.flatnonzero(line.lost).tolist() == [149, 199, 249, 299]

    def test_named_moments(self) -> None:
        line = Line([BlockLoss(at_s=[0.5, 0.505, 1.0])])
        heard = line.run(np.ones(16000, np.int16))
        assert np.flatnonzero(line.lost).tolist() == [25, 50]
        assert np.flatnonzero(heard == 0).tolist() == [*range(4000, 4160), *range(8000, 8160)]

    def test_a_short_last_packet_counts(self) -> None:
        line = Line([BlockLoss(share=1.0)])
        assert len(line.run(np.ones(161, np.int16))) == 161
        assert line.lost.tolist() == [True, True]

    def test_a_line_without_loss_has_a_mask_of_nothing(self) -> None:
        line = Line([Codec("ulaw")])
        line.run(np.ones(321, np.int16))
        assert line.lost.tolist() == [False] * 3
