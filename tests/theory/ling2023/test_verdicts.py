"""What holds and what must not, for every theorem: spoiled inputs, free numbers, uncertain estimates."""

import dataclasses

import pytest

from globalmin._core import Estimate
from globalmin.theory.ling2023 import (
    ConditionOnePrinted,
    GradientDescent,
    GradientFlow,
    SmallReadout,
    Theorem1Printed,
    TwoRateDescent,
)

from .problems import FAILS, HOLDS, UNDECIDED, row, start

MAKE = {
    "condition": lambda s: ConditionOnePrinted(s),
    "printed": lambda s: Theorem1Printed(s, 1e-9),
    "repaired": lambda s: GradientDescent(s),
    "flow": lambda s: GradientFlow(s),
    "two-rate": lambda s: TwoRateDescent(s),
    "small": lambda s: SmallReadout(s),
}


@pytest.mark.parametrize("name", MAKE)
def test_good_numbers_hold(name):
    s = start(norm_a=0.0) if name == "small" else start(norm_a=1e-3, norm_x=0.5, norm_u=1.0)
    certificate = MAKE[name](s)
    assert certificate.verdict is HOLDS, [(h.name, h.lhs, h.rhs) for h in certificate.hypotheses()]
    assert certificate.evaluate().to_dict()["verdict"] == "HOLDS"


SPOILED = [
    ("condition", {"norm_a": 9.0}, "(9)"),
    ("condition", {"rho_0": 1e3}, "(7)"),
    ("condition", {"lambda_0": 1e-3, "rho_0": 1.0}, "(8)"),
    ("condition", {"norm_w": 1.0}, "‖W(0)‖ + δ"),
    ("condition", {"activation": "tanh"}, "ReLU"),
    ("condition", {"lambda_0": 0.0}, "λ₀ > 0"),
    ("printed", {"norm_a": 9.0}, "(9)"),
    ("printed", {"sigma_w2": 0.125}, "σ_w²"),
    ("printed", {"norm_deviation": 1e-2}, "√d"),
    ("printed", {"activation": "erf"}, "ReLU"),
    ("repaired", {"norm_a": 9.0}, "(9′)"),
    ("repaired", {"rho_0": 1e4}, "c_a/δ_a"),
    ("repaired", {"norm_w": 1.1}, "‖W(0)‖"),
    ("repaired", {"lambda_0": -1.0}, "λ₀ > 0"),
    ("repaired", {"activation": "gelu"}, "ReLU"),
    ("flow", {"rho_0": 10.0}, "2L_Z"),
    ("flow", {"one_sided": 1.0}, "λ_max"),
    ("flow", {"lambda_0": 0.0}, "σ_min(Z(0)) > 0"),
    ("flow", {"slope01": False, "activation": "gelu"}, "φ′"),
    ("two-rate", {"one_sided": 1.2}, "λ_max"),
    ("two-rate", {"lambda_0": 0.0}, "σ_b > 0"),
    ("two-rate", {"slope01": False}, "φ′"),
    ("small", {"norm_a": 1e-3}, "a(0)"),
    ("small", {"rho_0": 10.0, "norm_a": 0.0}, "(3.5)"),
    ("small", {"norm_w": 1.0, "norm_a": 0.0}, "‖W(0)‖ < 1"),
    ("small", {"activation": "tanh", "norm_a": 0.0}, "ReLU"),
    ("small", {"n": 1, "norm_u": 1e-3, "norm_a": 0.0}, "8n"),
]


@pytest.mark.parametrize(("name", "changes", "part"), SPOILED)
def test_inputs_that_must_not_pass(name, changes, part):
    certificate = MAKE[name](start(**({"norm_x": 0.5, "norm_u": 1.0} | changes)))
    assert certificate.verdict is FAILS
    assert row(certificate, part).verdict is FAILS


@pytest.mark.parametrize(
    ("certificate", "part"),
    [
        (lambda s: GradientDescent(s, 1.0), "η ≤"),
        (lambda s: GradientDescent(s, 0.0), "η > 0"),
        (lambda s: Theorem1Printed(s, 1.0), "(10)"),
        (lambda s: SmallReadout(dataclasses.replace(s, norm_a=0.0), 1.0), "η ≤"),
        (lambda s: TwoRateDescent(s, step_size=1.0), "η ≤"),
        (lambda s: TwoRateDescent(s, tau=1e9), "τ ≤"),
        (lambda s: TwoRateDescent(s, tau=-1.0), "τ ≥"),
        (lambda s: TwoRateDescent(s, radius=0.5, radius_a=1e-12), "R_a"),
        (lambda s: GradientFlow(s, radius=1e-12), "R_* ≤ R"),
    ],
)
def test_choices_that_must_not_pass(certificate, part):
    found = certificate(start(norm_x=0.5, norm_u=1.0))
    assert found.verdict is FAILS
    assert row(found, part).verdict is FAILS


@pytest.mark.parametrize("name", ["repaired", "flow", "two-rate"])
def test_uncertain_numbers_leave_it_undecided(name):
    s = start(norm_x=0.5, norm_u=1.0, lambda_0=Estimate(100.0, 101.0))
    assert MAKE[name](s).verdict is UNDECIDED
    assert MAKE[name](start(norm_x=0.5, norm_u=1.0, lambda_0=Estimate(100.0, 1.0))).verdict is HOLDS
    certificate = MAKE[name](start(norm_x=0.5, norm_u=1.0, norm_w=Estimate(0.5, 0.6), one_sided=Estimate(0.4, 0.7)))
    assert certificate.verdict is UNDECIDED


def test_the_promises_are_those_of_the_worst_ends():
    s = start(norm_x=0.5, norm_u=1.0, lambda_0=Estimate(100.0, 1.0), rho_0=Estimate(1e-6, 1e-7))
    loss, kept = (
        next(p for p in GradientDescent(s, 1e-9).promises() if p.quantity == q) for q in ("loss", "lambda_min_features")
    )
    assert loss.limit == pytest.approx(1.1e-6**2 / 2)
    assert kept.limit == pytest.approx(49.5)
    assert loss.factor == 1 - 1e-9 * 99 / 2
    assert GradientFlow(start(rho_0=10.0)).promises() == ()
    assert TwoRateDescent(start(one_sided=2.0)).promises() == ()
    assert Theorem1Printed(start(), 1.0).promises()[-1].quantity == "lambda_min_features"  # η too large for a rate


@pytest.mark.parametrize("changes", [{"n": 0}, {"width": 0}])
def test_bad_input(changes):
    with pytest.raises(ValueError, match="at least 1"):
        start(**changes)
