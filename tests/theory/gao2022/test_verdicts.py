"""What holds and what must not, for every theorem: spoiled inputs, free numbers, uncertain estimates."""

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from globalmin._core import Estimate
from globalmin.theory.gao2022 import (
    BlockFlow,
    FeatureRadius,
    GradientDescentPrinted,
    GradientFlow,
    GradientFlowPrinted,
    InitialGramChernoff,
    InitialGramEntrywise,
    InitialGramPrinted,
    InitialNorms,
    Start,
    TwoRateDescent,
    ZeroReadout,
)

from .problems import FAILS, GOOD, HOLDS, QUANTITIES, UNDECIDED, ZERO, promise, row, start

MAKE = {
    "flow": lambda s: GradientFlow(s),
    "block": lambda s: BlockFlow(s),
    "two-rate": lambda s: TwoRateDescent(s),
    "zero": lambda s: ZeroReadout(dataclasses.replace(s, norm_u=Estimate(0.0), norm_v=Estimate(0.0))),
    "printed flow": lambda s: GradientFlowPrinted(s, width_constant=1.0),
    "printed descent": lambda s: GradientDescentPrinted(s, 1e-6, width_constant=1.0, step_constant=1.0),
}


@pytest.mark.parametrize("name", ["flow", "block", "two-rate", "zero"])
def test_good_numbers_hold(name):
    certificate = MAKE[name](start())
    assert certificate.verdict is HOLDS, [(h.name, h.lhs, h.rhs) for h in certificate.hypotheses()]
    told = certificate.evaluate().to_dict()
    assert told["verdict"] == "HOLDS"
    assert {p["quantity"] for p in told["promises"]} <= QUANTITIES


SPOILED = [
    ("flow", {"rho_0": 1e4}, "64c²"),
    ("flow", {"rho_0": 1e4}, "24/("),
    ("flow", {"norm_u": 1.9985e6}, "‖u(0)‖"),
    ("flow", {"norm_v": 1.9993e6}, "‖v(0)‖"),
    ("flow", {"gamma": 0.3}, "γ ≤"),
    ("flow", {"activation": "tanh"}, "ReLU"),
    ("flow", {"norm_deviation": 1e-3}, "‖x_i‖"),
    ("flow", {"lambda_0": 0.0}, "λ > 0"),
    ("flow", {"features_0": 0.0}, "λ > 0"),
    ("block", {"rho_0": 1e5}, "2ℓ"),
    ("block", {"operator_norm": 1.0}, "γ("),
    ("block", {"features_0": 0.0}, "λ_min(G(0)) > 0"),
    ("block", {"slope": 6.0}, "γ("),
    ("two-rate", {"gamma": 0.6, "operator_norm": 0.6}, "γ ≤"),
    ("two-rate", {"features_0": -1.0}, "λ > 0"),
    ("two-rate", {"activation": "softplus"}, "ReLU"),
    ("zero", {"rho_0": 1e4}, "256"),
    ("zero", {"lambda_0": -1e-9}, "λ > 0"),
    ("zero", {"norm_w": 4e6}, "γ ≤"),
    ("printed flow", {}, "some m"),
    ("printed flow", {"width": 100}, "m ≥ 2048"),
    ("printed flow", {"width": 100}, "K (n²"),
    ("printed flow", {"gamma": 0.6, "operator_norm": 0.6}, "γ ≤"),
    ("printed descent", {"width": 100}, "K (n²"),
    ("printed descent", {"activation": "elu"}, "ReLU"),
]


@pytest.mark.parametrize(("name", "changes", "part"), SPOILED)
def test_inputs_that_must_not_pass(name, changes, part):
    certificate = MAKE[name](start(**changes))
    assert certificate.verdict is FAILS
    assert row(certificate, part).verdict is FAILS
    assert row(MAKE[name](start()), part).verdict is HOLDS or (name, part) == ("printed flow", "some m")


@pytest.mark.parametrize(
    ("certificate", "part"),
    [
        (lambda s: TwoRateDescent(s, step_size=1.0), "α ≤"),
        (lambda s: TwoRateDescent(s, step_size=0.0), "α > 0"),
        (lambda s: TwoRateDescent(s, tau=1.0), "τ ≤"),
        (lambda s: TwoRateDescent(s, tau=-1.0), "τ ≥"),
        (lambda s: ZeroReadout(dataclasses.replace(s, **ZERO), 1.0), "α ≤"),
        (lambda s: ZeroReadout(dataclasses.replace(s, **ZERO), 0.0), "α > 0"),
        (lambda s: ZeroReadout(dataclasses.replace(s, **(ZERO | {"norm_u": 1e-3}))), "u(0)"),
        (lambda s: ZeroReadout(dataclasses.replace(s, **(ZERO | {"norm_v": 1e-3}))), "v(0)"),
    ],
)
def test_choices_that_must_not_pass(certificate, part):
    found = certificate(start())
    assert found.verdict is FAILS
    assert row(found, part).verdict is FAILS


@pytest.mark.parametrize("gamma", [0.0, 1.0, -0.1, 2.0, math.nan])
def test_gamma_outside_its_interval_is_refused(gamma):
    with pytest.raises(ValueError, match="gamma"):
        start(gamma=gamma)
    with pytest.raises(ValueError, match="gamma"):
        InitialNorms(10, 100, gamma, 0.1)


def test_other_bad_input():
    for changes in ({"n": 0}, {"width": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            start(**changes)
    for cls in (InitialGramPrinted, InitialGramEntrywise, InitialGramChernoff):
        with pytest.raises(ValueError, match="probability"):
            cls(4, 100, 0.1, 1.0)


ESTIMATED = [f.name for f in dataclasses.fields(Start) if isinstance(getattr(start(), f.name), Estimate)]


HELPS = {"lambda_0", "features_0"}


@settings(max_examples=120, deadline=None)
@given(
    data=st.data(),
    name=st.sampled_from(sorted(MAKE)),
    field=st.sampled_from(ESTIMATED),
    factor=st.floats(1.0, 30.0),
)
def test_a_worse_number_never_helps(data, name, field, factor):
    """Slacks of hypotheses shrink, limits of promises loosen, when one estimate moves to its worse side."""
    scale = data.draw(st.fixed_dictionaries({f: st.floats(-1.5, 1.5) for f in ESTIMATED}))
    numbers = {f: GOOD[f] * 10 ** scale[f] for f in ESTIMATED}
    worse = numbers | {field: numbers[field] / factor if field in HELPS else numbers[field] * factor}
    here, there = MAKE[name](start(**numbers)), MAKE[name](start(**worse))
    fixed = {} if name != "two-rate" else {"tau": 1e-6, "step_size": 1e-9}
    here, there = dataclasses.replace(here, **fixed), dataclasses.replace(there, **fixed)
    if name == "zero":
        here, there = dataclasses.replace(here, step_size=1e-9), dataclasses.replace(there, step_size=1e-9)
    for a, b in zip(here.inequalities(), there.inequalities(), strict=True):
        if a.slack is not None and b.slack is not None:
            # The sides are sums and products of a few numbers.
            assert b.slack <= a.slack + 1e-9 * abs(a.slack), a.name
    if here.verdict is FAILS:
        assert there.verdict is FAILS


@pytest.mark.parametrize("name", ["flow", "block", "two-rate", "zero"])
def test_uncertain_numbers_leave_it_undecided(name):
    assert MAKE[name](start(lambda_0=Estimate(0.04, 0.001), features_0=Estimate(0.04, 0.001))).verdict is HOLDS
    assert MAKE[name](start(features_0=Estimate(0.04, 0.05))).verdict is UNDECIDED
    key = {"flow": "norm_u", "block": "rho_0", "two-rate": "operator_norm", "zero": "rho_0"}[name]
    value = {"flow": 1e6, "block": 1.3e4, "two-rate": 0.25, "zero": 1e3}[name]
    nearly = start(**{key: Estimate(value, value)})
    assert MAKE[name](nearly).verdict is UNDECIDED


def test_the_promises_are_those_of_the_worst_ends():
    s = start(lambda_0=Estimate(0.04, 0.01), features_0=Estimate(0.04, 0.001), rho_0=Estimate(2.0, 1.0))
    assert promise(GradientFlow(s), "lambda_min_features").limit == pytest.approx(0.015)
    assert promise(GradientFlow(s), "loss").limit == pytest.approx(4.5)
    assert promise(GradientFlow(s), "loss").factor == pytest.approx(math.exp(-0.03))
    ell = 1.5e-6
    assert promise(BlockFlow(s), "lambda_min").limit == pytest.approx(0.039 - 2 * ell * 3)
    fixed = TwoRateDescent(s, 1e-6, 1e-3)
    assert promise(fixed, "loss").factor == pytest.approx((1 - 1e-3 * 0.03 / 4) ** 2)
    for cls in (GradientFlow, GradientFlowPrinted, BlockFlow, TwoRateDescent, ZeroReadout):
        assert cls(start(lambda_0=0.0, features_0=0.0)).promises() == ()
    uncertain = FeatureRadius(100, Estimate(0.04, 0.01), Estimate(0.04, 0.0), Estimate(1.0, 1.0))
    assert promise(uncertain, "distance_hidden").limit == pytest.approx(0.1589186225 * math.sqrt(3.0) / 2, rel=1e-9)
    assert FeatureRadius(100, 0.0, 0.04, 1.0).promises() == ()
