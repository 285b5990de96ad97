"""Widths taken from the hypotheses: the largest that has a value, and the orders that have none."""

import pytest

from globalmin import Estimate
from globalmin.theory import Hypothesis, Verdict, du2019, widths_asked
from globalmin.theory.certificate import Evaluated


def evaluated(*hypotheses):
    return Evaluated("T", "a source", "", "any", "w ~ N(0, I)", (), Verdict.FAILS, hypotheses, ())


def test_the_largest_given_width_counts_and_open_constants_are_named():
    (row,) = widths_asked(
        [
            evaluated(
                Hypothesis.at_least("m ≥ 8n²", 10, 800.0),
                Hypothesis.at_least("(2.3) m > n³", 10, 1000.0, strict=True),
                Hypothesis.at_least("m ≥ c n⁶", 10, None),
                Hypothesis.at_least("λ₀ > 0", 0.1, 0.0),
                Hypothesis.at_most("‖u‖ ≤ 2√m", 1e9, 2.0),
            ),
            evaluated(Hypothesis.at_least("λ₀ > 0", 0.1, 0.0)),
        ]
    )
    assert row["width"] == 1000.0
    assert row["orders"] == ["c n⁶"]
    assert row["assumed"] == "w ~ N(0, I)"


def test_only_an_order_has_no_width():
    (row,) = widths_asked([evaluated(Hypothesis.at_least("m ≥ K n²", 10, None))])
    assert row["width"] is None


def test_the_two_layer_theorem_asks_for_the_width_of_its_formula():
    start = du2019.Start(
        n=4, width=100, lambda_0=Estimate(0.2), delta=0.1, label_bound=1.0, label_max=1.0, norm_deviation=0.0,
        residual_0=Estimate(2.0), activation="relu",
    )  # fmt: skip
    (row,) = widths_asked([du2019.GradientFlow(start).evaluate()])
    # (512/π) n⁵ ‖y − u(0)‖²/(δ′²λ₀⁴) with δ′ = δ/3, the larger of its two hypotheses.
    assert row["width"] == pytest.approx(512 / 3.141592653589793 * 4**5 * 4 / ((0.1 / 3) ** 2 * 0.2**4), rel=1e-12)
