"""Lemma 1, Theorem 2 and Theorem 4, about the first iterate: by sampling and by hand."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from globalmin._core import Estimate
from globalmin.theory.ling2023 import (
    DepthGap,
    HiddenNorm,
    HiddenNormPrinted,
    InitialGram,
    InitialGramMeasured,
    InitialGramPrinted,
)

from .problems import FAILS, HOLDS, UNDECIDED, Network, row


def test_depth_gap_on_networks():
    for seed in range(5):
        net = Network.draw(seed, 3, 4, 60, 0.08)
        z, first = np.zeros_like(net.z), 0.0
        for depth in range(1, 9):
            z = np.maximum(net.w @ z + net.u @ net.x, 0)
            if depth == 1:
                first = float(np.linalg.norm(z, axis=0).max())
            gap = abs(net.z.T @ net.z - z.T @ z).max() / 60
            certificate = DepthGap(60, depth, float(np.linalg.norm(net.w, 2)), first, 1.0)
            assert gap <= certificate.bound


def test_lemma_1_by_sampling():
    """B2: with 60 draws at m = 60 the printed bound is broken by some, the corrected one at δ = 0.01 by hardly any."""
    corrected = HiddenNorm(60, 0.08, 0.01)
    draw = np.random.default_rng(1)
    norms = [np.linalg.norm(draw.normal(size=(60, 60)) * math.sqrt(0.16 / 60), 2) for _ in range(60)]
    printed = [HiddenNormPrinted(60, 0.08, float(v)).hypotheses()[-1].verdict for v in norms]
    assert 1 <= printed.count(FAILS) <= 30  # about 0.15 of them: 9 ± 3
    # P(Bin(60, 0.01) > 5) < 1e-4.
    assert sum(v > corrected.bound for v in norms) <= 5
    assert corrected.bound == pytest.approx(0.4 * (2 + math.sqrt(2 * math.log(200) / 60)))


def test_lemma_1_verdicts():
    assert HiddenNorm(1000, 0.08, 0.01).verdict is HOLDS
    assert HiddenNorm(4, 0.08, 0.01).verdict is FAILS
    assert HiddenNorm(1000, 0.125, 0.01).verdict is FAILS
    assert "0.79" in row(HiddenNorm(1000, 0.08, 0.01, 0.79), "2 + t").note
    assert HiddenNormPrinted(1000, 0.08, 0.79).verdict is UNDECIDED
    assert HiddenNormPrinted(1000, 0.2).verdict is FAILS
    with pytest.raises(ValueError, match="probability"):
        HiddenNorm(10, 0.08, 1.0)


def gram(**changes):
    numbers: dict[str, Any] = {
        "n": 10,
        "width": 10**12,
        "sigma_w2": 0.08,
        "lambda_star": 0.25,
        "norm_w": 0.8,
        "delta": 0.1,
    }
    return InitialGram(**(numbers | changes))


def test_theorem_2_width():
    """The depth makes w^l ≤ (1 − w)²λ_*/(15n) for the first time; the width is what the two nets cost."""
    certificate = gram()
    depth = int(certificate.depth)
    target = 0.2**2 * 0.25 / 150
    assert 0.8**depth <= target < 0.8 ** (depth - 1)
    cost = math.log(110 * depth / 0.1) + 4 * depth * math.log(1 + 14400 / 0.25)
    assert certificate.needed_width == pytest.approx(cost * 6075 * 1600 + cost * 7200, rel=1e-12)
    # "For n = 10, σ_w² = 0.08 it asks for 4e10", at a λ_* that is not stated.
    assert 1e10 < certificate.needed_width < 1e11
    assert certificate.verdict is HOLDS


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"width": 1000}, "6075"),
        ({"norm_w": 1.0}, "‖W(0)‖"),
        ({"lambda_star": 0.0}, "λ_* > 0"),
        ({"sigma_w2": 0.2}, "σ_w²"),
        ({"norm_deviation": 0.1}, "√d"),
        ({"activation": "tanh"}, "ReLU"),
    ],
)
def test_theorem_2_must_not_pass(changes, part):
    certificate = gram(**changes)
    assert certificate.verdict is FAILS
    assert row(certificate, part).verdict is FAILS


def test_theorem_2_estimates_and_bad_input():
    needed = math.ceil(gram().needed_width)
    assert gram(width=needed).verdict is HOLDS
    assert gram(width=needed - 1).verdict is FAILS
    assert gram(width=needed + 1, lambda_star=Estimate(0.25, 0.01)).verdict is UNDECIDED
    assert gram(norm_w=0.0).depth == 1
    with pytest.raises(ValueError, match="probability"):
        gram(delta=0.0)


def test_theorem_2_printed_is_an_order():
    numbers: dict[str, Any] = {"n": 10, "width": 10**6, "sigma_w2": 0.08, "lambda_star": 0.25, "delta": 0.1}
    assert InitialGramPrinted(**numbers).verdict is UNDECIDED
    assert row(InitialGramPrinted(**numbers, width_constant=1.0), "m ≥ c").rhs == pytest.approx(1600 * math.log(400))
    assert InitialGramPrinted(**numbers, width_constant=1.0).verdict is HOLDS
    assert InitialGramPrinted(**numbers, width_constant=1e3).verdict is FAILS
    singular: dict[str, Any] = numbers | {"lambda_star": 0.0}
    assert InitialGramPrinted(**singular).verdict is FAILS


@pytest.mark.parametrize(
    ("lambda_0", "lambda_star", "verdict"),
    [
        (12.6, 0.25, HOLDS),
        (12.4, 0.25, FAILS),
        (Estimate(12.6, 0.2), 0.25, UNDECIDED),
        (12.6, Estimate(0.25, 0.01), UNDECIDED),
        (0.0, 0.0, FAILS),
    ],
)
def test_the_conclusion_of_theorem_2_is_measured(lambda_0, lambda_star, verdict):
    assert InitialGramMeasured(100, lambda_0, lambda_star).verdict is verdict


def test_theorem_4():
    certificate = DepthGap(width=100, depth=3, norm_w=0.5, first_norm=10.0, tolerance=1.0)
    assert certificate.bound == pytest.approx(2 * 0.125 / 0.25)
    assert certificate.verdict is HOLDS
    assert dataclasses.replace(certificate, tolerance=0.99).verdict is FAILS
    assert dataclasses.replace(certificate, norm_w=1.0).verdict is FAILS
    assert dataclasses.replace(certificate, activation="elu").verdict is FAILS
    assert dataclasses.replace(certificate, first_norm=Estimate(10.0, 0.1)).verdict is UNDECIDED
