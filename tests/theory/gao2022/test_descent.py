"""Theorem 3.2 on gradient descent, printed, with two rates and for zero read-outs: by hand and on networks."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from globalmin.theory.gao2022 import (
    GradientDescentPrinted,
    TwoRateDescent,
    ZeroReadout,
)

from .problems import FAILS, HOLDS, UNDECIDED, ZERO, Network, attack, promise, row, settle, start


@pytest.mark.parametrize(("seed", "n", "m"), [(0, 1, 40), (1, 2, 60), (2, 4, 80)])
def test_two_rate_descent_on_networks(seed, n, m):
    """A-GD holds for the paper's read-outs, at any width, with its own largest ratio and step."""
    first = Network.draw(seed, n, 5, m)
    y = np.random.default_rng(seed + 50).normal(size=n)
    certificate = settle(TwoRateDescent(first.start(y)))
    assert 0 < certificate.tau < 1 / 72
    last = attack(certificate, first, y, certificate.step_size, certificate.tau, 200)
    assert np.linalg.norm(last.f - y) < np.linalg.norm(first.f - y)
    assert TwoRateDescent(first.start(y), 1.01 * certificate.tau).verdict is FAILS
    assert TwoRateDescent(first.start(y), 1.0).verdict is FAILS


@pytest.mark.parametrize("seed", range(2))
def test_zero_readouts_on_networks(seed):
    """From u = v = 0, with labels as small as the width asks for, plain descent keeps every promise."""
    first = Network.draw(seed, 2, 5, 80, readout=0.0)
    s = first.start(first.f)
    b2 = s.level / (36 * s.norm_x.value**2 + 32)
    size = 0.99 * math.sqrt(80 * s.level**2 * b2 / (512 * s.c**2))
    y = size * np.array([0.8, -0.6])
    certificate = settle(ZeroReadout(first.start(y)))
    last = attack(certificate, first, y, certificate.step_size, 1.0, 200)
    assert np.linalg.norm(last.f - y) < 0.9 * size
    assert ZeroReadout(first.start(1.02 * y)).verdict is FAILS
    # The closed form is a case of the general theorem: same b, τ = 1 allowed.
    general = TwoRateDescent(first.start(y))
    assert general.largest_tau >= 1
    assert general.b <= certificate.b


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 60),
    lam=st.floats(1e-4, 0.5),
    x=st.floats(1.0, 8.0),
    rho=st.floats(1e-3, 1e3),
    c=st.floats(1.0, 2.5),
    spare=st.floats(1.001, 1e6),
)
def test_the_closed_form_implies_the_general_theorem(n, lam, x, rho, c, spare):
    b2 = lam / (36 * x**2 + 16 * n)
    width = math.ceil(spare * 256 * c**2 * n * rho**2 / (lam**2 * b2)) + 1
    s = start(
        n=n, lambda_0=lam, features_0=lam, norm_x=x, rho_0=rho, width=width, operator_norm=0.1 * c, norm_w=0.0, **ZERO
    )
    assert ZeroReadout(s).verdict is HOLDS
    assert TwoRateDescent(s).b ** 2 <= b2 * (1 + 1e-9)
    assert TwoRateDescent(s).largest_tau >= 1 - 1e-9


def test_two_rate_descent_by_hand():
    s = start(rho_0=0.01, width=10**8, norm_w=1e4, norm_u=1e4, norm_v=0.0)
    certificate = settle(TwoRateDescent(s))
    # ‖u‖ ≤ 10⁴ + 16·2·2·0.01/0.04 = 10⁴ + 16.
    assert certificate.b == pytest.approx(1.0016)
    fed_back = 0.01 * 16 * 4 * 4
    bounds = (
        0.04 / (4 * 1.0016**2 * (9 * 2.25 + 4 * fed_back)),
        0.04 * s.radius / (12 * 1.0016 * 1.5 * 0.01),
        0.04 * 2 * 1e4 / (8 * 1.0016 * math.sqrt(fed_back) * 0.01),
    )
    assert certificate.tau == pytest.approx(min(bounds))
    assert certificate.step_size == pytest.approx(1 / (20 * 4 * 4))
    assert promise(certificate, "loss").factor == pytest.approx((1 - 0.01 / 320) ** 2)
    hidden = next(p for p in certificate.promises() if "12τb" in p.name)
    assert hidden.limit == pytest.approx(certificate.tau * 12 * 1.0016 * 1.5 * 0.01 / 0.04)
    implicit = promise(certificate, "distance_implicit")
    assert implicit.limit == pytest.approx(certificate.tau * 8 * 1.0016 * math.sqrt(fed_back) * 0.01 / 0.04)
    # Each of the three bounds is the smallest somewhere.
    large = dataclasses.replace(s, rho_0=1e6, norm_u=0.0)
    assert TwoRateDescent(large).largest_tau == pytest.approx(
        min(
            0.04 / (4 * TwoRateDescent(large).b ** 2 * (9 * 2.25 + 4 * fed_back)),
            0.04 * large.radius / (12 * TwoRateDescent(large).b * 1.5 * 1e6),
            0.04 * 2 * 1e4 / (8 * TwoRateDescent(large).b * math.sqrt(fed_back) * 1e6),
        )
    )


def test_zero_readout_by_hand():
    certificate = settle(ZeroReadout(start(**ZERO)))
    assert certificate.b**2 == pytest.approx(0.04 / (36 * 2.25 + 64))
    assert row(certificate, "256").rhs == pytest.approx(256 * 4 * 4 * 4 / (0.0016 * certificate.b**2))
    assert certificate.verdict is HOLDS
    assert certificate.step_size == pytest.approx(1 / 320)


def test_printed_descent_by_hand():
    certificate = GradientDescentPrinted(start(), 1e-6, width_constant=1.0, step_constant=1.0)
    assert row(certificate, "m ≥").rhs == pytest.approx(16 / 0.04 * math.log(40))
    assert row(certificate, "α ≤").rhs == pytest.approx(0.04 / 16)
    assert row(certificate, "C₀").rhs == 16.0
    assert certificate.verdict is FAILS
    assert {h.name for h in certificate.hypotheses() if h.verdict is not HOLDS} == {"λ₀/2 ≥ C₀c²n"}
    assert row(GradientDescentPrinted(start(), 1e-6), "α ≤").verdict is UNDECIDED
    assert promise(certificate, "loss").factor == 1 - 1e-6 * 0.02
    assert promise(GradientDescentPrinted(start(), 1e9), "lambda_min").limit == pytest.approx(0.02)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 100), lam=st.floats(1e-6, 0.5), c=st.floats(0.1, 5.0), constant=st.floats(0.2501, 1e3))
def test_a6_no_step_size_closes_the_printed_descent(n, lam, c, constant):
    s = start(n=n, lambda_0=lam, features_0=lam, operator_norm=0.1 * c, norm_w=0.0)
    for step in (1e-12, 1e-3):
        printed = GradientDescentPrinted(s, step, proof_constant=constant)
        assert row(printed, "C₀").verdict is FAILS


def test_the_radii_of_zero_readouts_by_hand():
    """τ = 1: 12b‖X‖‖r₀‖/λ and 8bγ‖Z‖‖r₀‖/λ with ‖Z‖ = 4c√n, in b of the closed form; and no ratio serves where λ = 0."""
    s = start(**ZERO)
    found = ZeroReadout(s)
    b = math.sqrt(0.04 / (36 * 1.5**2 + 16 * 4))
    assert found.b == pytest.approx(b)
    assert promise(found, "loss").limit == pytest.approx(2.0)
    assert promise(found, "loss").factor == pytest.approx((1 - s.largest_step_size * 0.01) ** 2)
    assert promise(found, "readout_norm").limit == promise(found, "skip_norm").limit == pytest.approx(b * 1e6)
    assert promise(found, "distance_implicit").limit == pytest.approx(8 * b * 0.1 * (4 * 2 * 2) * 2 / 0.04)
    radii = [p.limit for p in found.promises() if p.quantity == "distance_hidden"]
    assert radii == pytest.approx([s.radius, 12 * b * 1.5 * 2 / 0.04])
    assert TwoRateDescent(start(lambda_0=0.0, features_0=0.0)).largest_tau == 0.0
