"""Condition 1 and Theorem 1, printed and repaired: by hand, on networks, and against random radii."""

import dataclasses
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from globalmin.theory.ling2023 import (
    ConditionOnePrinted,
    GradientDescent,
    SmallReadout,
    Theorem1Printed,
    TwoRateDescent,
)

from .problems import FAILS, HOLDS, Network, attack, row, settle, start


def test_plain_descent_with_a_small_residual():
    """With r₀ and a(0) small B-TR allows τ = 1: plain descent of a ReLU network, certified."""
    first = Network.draw(5, 2, 4, 80, 0.02, readout=0.02)
    y = first.f + np.array([1e-3, -1e-3])
    certificate = settle(TwoRateDescent(first.start(y), tau=1.0))
    attack(certificate, first, y, certificate.step_size, 1.0, 150)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 6),
    d=st.integers(2, 12),
    m=st.sampled_from([20, 50, 120]),
    share=st.floats(0.0, 1.0),
)
def test_condition_nine_fails_for_every_network(seed, n, d, m, share):
    """B5: at no seed, width or δ. Unlucky draws with ‖W‖ ≥ 0.9 or ‖a‖ < 1/2 are not the paper's."""
    net = Network.draw(seed, n, d, m, 0.08)
    if np.linalg.norm(net.w, 2) >= 0.9 or np.linalg.norm(net.a) < 0.5:
        return
    s = net.start(np.random.default_rng(seed).normal(size=n), 0.08)
    # The two inequalities of the argument.
    room = 1 - s.norm_w.value
    delta = share * room * 0.999 + 1e-6 * room
    pw, pu, pa = s.norm_w.value + delta, s.norm_u.value + delta, s.norm_a.value + delta
    c_w, c_u, c_a = pu * pa / (1 - pw) ** 2, pa / (1 - pw), pu / (1 - pw)
    assert s.lambda_0.value <= np.sum(net.z**2) / n * (1 + 1e-9) <= c_a**2 * s.norm_x.value**2 / n * (1 + 1e-8)
    assert 4 * (c_w**2 + c_u**2) * s.norm_x.value**2 > s.lambda_0.value
    for certificate in (ConditionOnePrinted(s), ConditionOnePrinted(s, delta), Theorem1Printed(s, 1e-6)):
        nine = row(certificate, "(9)")
        assert nine.verdict is FAILS or s.lambda_0.value <= 1e-12
        assert "cannot hold" in nine.note
        assert certificate.verdict is FAILS
    assert row(ConditionOnePrinted(s, delta), "(9)").rhs == pytest.approx(
        4 * (c_w**2 + c_u**2) * s.norm_x.value**2, rel=1e-12
    )


def test_the_misses_of_condition_nine_are_those_measured():
    """B5's witness: right over left side 7e3 at n = 1, whatever the width; an order of magnitude is compared."""
    misses = []
    for m in (300, 600):
        s = Network.draw(3, 1, 10, m, 0.08).start(np.ones(1), 0.08)
        nine = row(ConditionOnePrinted(s), "(9)")
        misses.append(nine.rhs / nine.lhs)
        assert "whatever δ" in nine.note
    assert all(1e3 < miss < 1e5 for miss in misses)


def test_condition_one_by_hand():
    s = start(norm_w=0.25, norm_u=1.75, norm_a=0.75, norm_x=2.0, rho_0=0.5)
    c = ConditionOnePrinted(s, 0.25)  # ρ̄ = (1/2, 2, 1): c_w = 8, c_u = 2, c_a = 4
    assert row(c, "(7)").rhs == pytest.approx(16 * 8 * 2 * 0.5)
    assert row(c, "(8)").lhs == pytest.approx(1000)
    assert row(c, "(8)").rhs == pytest.approx(4 * (2 + math.sqrt(2)) * 68 * 4 * 0.5)
    assert row(c, "(9)").rhs == pytest.approx(4 * 68 * 4)
    ten = row(Theorem1Printed(s, 1e-3, 0.25), "(10)")
    assert ten.rhs == pytest.approx(min(2 / 100, 2 * 68 / (84**2 * 4)))
    b = GradientDescent(s, 1e-3, 0.25, 0.25, 0.25)
    assert row(b, "c_w/δ_w").rhs == pytest.approx(16 * 8 * 2 * 0.5)
    assert row(b, "c_u/δ_u").rhs == pytest.approx(16 * 2 * 2 * 0.5)
    assert row(b, "c_a/δ_a").rhs == pytest.approx(16 * 4 * 2 * 0.5)
    assert row(b, "(8′)").rhs == pytest.approx(row(c, "(8)").rhs)
    assert row(b, "(9′)").rhs == pytest.approx(8 * 68 * 4)
    assert row(b, "η ≤").rhs == pytest.approx(min(2 / 100, 100 / (4 * (84 * 4) ** 2)))
    assert [p.limit for p in b.promises()[:2]] == [1.0, 0.5]


def test_a_small_readout_is_not_told_that_it_cannot_hold():
    assert row(ConditionOnePrinted(start(norm_a=1e-3)), "(9)").note == ""
    assert row(GradientDescent(start(norm_a=1e-3)), "(9′)").note == ""
    assert "cannot hold" in row(GradientDescent(start(norm_a=1.0)), "(9′)").note


@settings(max_examples=10, deadline=None)
@given(
    w=st.floats(0.0, 0.95),
    u=st.floats(0.1, 50.0),
    a=st.floats(0.0, 1.5),
    lam=st.floats(1e-3, 1e6),
    rho=st.floats(1e-6, 10.0),
    seed=st.integers(0, 1000),
)
def test_the_best_radii_beat_random_ones(w, u, a, lam, rho, seed):
    def worst(certificate):
        rows = [h for h in certificate.hypotheses() if h.name.startswith("(")]
        return max(math.log(h.rhs / h.lhs) for h in rows)

    s = start(norm_w=w, norm_u=u, norm_a=a, lambda_0=lam, rho_0=rho)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        best = worst(GradientDescent(s))
    draw = np.random.default_rng(seed)
    radii = (1 - w) * draw.uniform(size=20), u * 10 ** draw.uniform(-3, 1, 20), 10 ** draw.uniform(-4, 1, 20)
    for dw, du, da in zip(*radii, strict=True):
        assert best <= worst(GradientDescent(s, 1e-9, float(dw), float(du), float(da))) + 1e-3


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 20),
    w=st.floats(0.0, 0.95),
    u=st.floats(0.1, 50.0),
    x=st.floats(0.5, 20.0),
    fill=st.floats(1e-3, 1.0),
    spare=st.floats(1.001, 10.0),
)
def test_the_closed_form_implies_the_repaired_theorem(n, w, u, x, fill, spare):
    """(3.5) with λ₀ ≤ c_a²‖X‖_F²/n, as every network has it, gives (7′)-(9′) at its radii."""
    k = (1 - w) / 2
    lam = fill * (1.1 * u * x / k) ** 2 / n
    rho = math.sqrt(lam**3 * k**6 / (128 * x**4 * (1.1 * u) ** 2 * ((1.1 * u) ** 2 + k**2))) / spare
    s = start(n=n, norm_w=w, norm_u=u, norm_a=0.0, norm_x=x, lambda_0=lam, rho_0=rho)
    small = settle(SmallReadout(s))
    if n == 1 and row(small, "8n").verdict is not HOLDS:
        return
    assert small.verdict is HOLDS
    beyond = dataclasses.replace(s, rho_0=rho * spare * 1.001)
    assert row(SmallReadout(beyond), "(3.5)").verdict is FAILS
    # The largest radius of (9′), a hair inside it.
    a = math.sqrt(lam / 8) * k**2 / (x * math.sqrt((1.1 * u) ** 2 + k**2)) * (1 - 1e-9)
    full = GradientDescent(s, small.step_size * (1 - 1e-6), k, 0.1 * u, a)
    assert full.verdict is HOLDS, [(h.name, h.lhs, h.rhs) for h in full.hypotheses()]
