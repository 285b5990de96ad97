"""Theorem 3.1 on gradient flow, printed, repaired and on the block Φ: by hand and on networks in NumPy."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from globalmin.theory.gao2022 import (
    BlockFlow,
    GradientFlow,
    GradientFlowPrinted,
)

from .problems import FAILS, HOLDS, Network, attack, promise, row, start


@pytest.mark.parametrize(("seed", "m"), [(0, 60), (1, 100), (2, 160)])
def test_block_flow_on_networks(seed, m):
    """A-GF2 against descent with steps so small that it follows the flow.

    It stays behind the flow by a factor 1 + O(αλ_max): 1 − αλ ≤ exp(−αλ) at equal λ, and λ_min(H) is well above σ_∞².
    """
    first = Network.draw(seed, 3, 4, m)
    draw = np.random.default_rng(seed)
    y = first.f + draw.normal(size=3)
    s = first.start(y)
    # Nine tenths of the largest residual that (2.4) allows.
    y = first.f + (y - first.f) * 0.9 * s.features_0.value * s.root / (2 * s.norm_x.value * s.rho_0.value)
    certificate = BlockFlow(first.start(y))
    alpha = 0.02 / np.linalg.norm(np.hstack([first.z, first.phi]), 2) ** 2
    last = attack(certificate, first, y, alpha, 1.0, 150, unit=float(alpha))
    assert np.linalg.norm(last.f - y) < 0.5 * np.linalg.norm(first.f - y)
    beyond = first.f + (y - first.f) * 1.2
    assert row(BlockFlow(first.start(beyond)), "2ℓ").verdict is FAILS


@pytest.mark.parametrize("seed", range(2))
def test_repaired_gradient_flow_on_networks(seed):
    """A-GF1 needs a residual that is small for so narrow a network."""
    first = Network.draw(seed, 2, 6, 120)
    s = first.start(first.f)
    lam = s.level
    rho = 0.9 * math.sqrt(120 / max(64 * 2 * s.c**2 / lam**2, 5702 * s.norm_x.value**4 / lam**3))
    y = first.f + rho * np.array([0.6, -0.8])
    alpha = 0.05 * s.largest_step_size
    attack(GradientFlow(first.start(y)), first, y, alpha, 1.0, 100, unit=alpha)
    assert GradientFlow(first.start(first.f + (y - first.f) * 1.2)).verdict is FAILS


@settings(max_examples=200, deadline=None)
@given(
    n=st.integers(1, 1000),
    lam=st.floats(1e-9, 0.5),
    x=st.floats(1.0, 100.0),
    rho=st.floats(1e-6, 1e6),
    c=st.floats(0.1, 10.0),
    exponent=st.floats(0, 30),
)
def test_a4_the_two_printed_conditions_exclude_each_other(n, lam, x, rho, c, exponent):
    width = int(10**exponent)
    s = start(n=n, lambda_0=lam, features_0=lam, norm_x=x, rho_0=rho, width=width, operator_norm=0.1 * c, norm_w=0.0)
    printed = GradientFlowPrinted(s, width_constant=1e-30)
    assert printed.least_width >= 64 * printed.most_width > 0
    # The exact numbers of the proof.
    assert printed.most_width == pytest.approx(64 * s.c**2 * n * rho**2 / lam**2, rel=1e-12)
    assert printed.least_width == pytest.approx(2048 * s.c**2 * n * x**2 * rho**2 / lam**3, rel=1e-12)
    assert not printed.least_width <= width <= printed.most_width
    assert printed.verdict is FAILS
    assert "never starts" in row(printed, "some m").note


def test_a4_the_first_iterate_breaks_the_printed_bound_where_the_width_is_met():
    s = start(rho_0=0.01)
    printed = GradientFlowPrinted(s, width_constant=1.0)
    assert row(printed, "m ≥ 2048").verdict is HOLDS
    claim = promise(printed, "readout_norm")
    assert not claim.kept(0, s.norm_u.value)
    assert promise(GradientFlow(s), "readout_norm").kept(0, s.norm_u.value)
    assert GradientFlow(s).verdict is HOLDS


def test_repaired_gradient_flow_by_hand():
    certificate = GradientFlow(start())
    assert start().c == 2.0
    assert row(certificate, "64c²").rhs == pytest.approx(64 * 4 * 4 * 4 / 0.0016)
    assert row(certificate, "24/(").rhs == pytest.approx(5702 * 1.5**4 * 4 / 0.04**3, rel=1e-4)
    assert row(certificate, "γ ≤").rhs == 0.125
    assert certificate.verdict is HOLDS
    assert promise(certificate, "loss").limit == 2.0
    assert promise(certificate, "loss").factor == pytest.approx(math.exp(-0.04))
    assert promise(certificate, "lambda_min_features").limit == pytest.approx(0.02)
    assert promise(certificate, "operator_norm").limit == pytest.approx(0.4)
    assert promise(certificate, "hidden_norm").limit == pytest.approx(4e6)
    assert promise(certificate, "readout_norm").limit == promise(certificate, "skip_norm").limit == 2e6
    moved = [p for p in certificate.promises() if p.name.startswith(("‖W − W(0)‖_F ≤ 12", "‖A − A"))]
    assert [p.limit for p in moved] == pytest.approx([12 * 1.5 * 2 / 0.04, 8 * 2 * 2 / 0.04])
    assert not any(p.conclusion for p in moved)


def test_an_unlucky_gram_matrix_lowers_the_level():
    s = start(features_0=0.015)
    assert s.level == pytest.approx(0.02)
    assert promise(GradientFlow(s), "lambda_min_features").limit == pytest.approx(0.01)
    assert start(lambda_0=3.0, features_0=3.0).level == 0.5


def test_block_flow_by_hand():
    # ℓ = 2/√10⁴ = 0.02, ‖r₀‖ = 4: σ_∞² = 0.25 − 0.16 = 0.09, R_* = (0.5 − 0.3)/0.02 = 10, gR_* = 0.1·10/100.
    s = start(width=10**4, features_0=0.25, rho_0=4.0, norm_x=2.0)
    certificate = BlockFlow(s)
    assert certificate.path == pytest.approx(10)
    assert certificate.verdict is HOLDS
    assert row(certificate, "γ(").lhs == pytest.approx(0.21)
    assert promise(certificate, "loss").factor == pytest.approx(math.exp(-0.18))
    assert promise(certificate, "lambda_min_features").limit == pytest.approx(0.09)
    assert promise(certificate, "operator_norm").limit == pytest.approx(0.21)
    assert promise(certificate, "one_sided_norm").limit == pytest.approx(0.16)
    assert promise(certificate, "distance").limit == pytest.approx(10)
    # (2.4) is met for ‖r₀‖ < 0.25/(2·0.02), and at this residual for √m > 2·2·4/0.25.
    note = row(certificate, "2ℓ").note
    assert "6.25" in note
    assert "4096" in note
    assert BlockFlow(dataclasses.replace(s, rho_0=6.25)).verdict is FAILS
    assert BlockFlow(dataclasses.replace(s, rho_0=6.24)).verdict is HOLDS
    assert BlockFlow(dataclasses.replace(s, width=4097)).verdict is HOLDS
    assert BlockFlow(dataclasses.replace(s, width=4095)).verdict is FAILS
    # Twice the slope is twice ℓ.
    assert BlockFlow(dataclasses.replace(s, slope=2.0)).verdict is FAILS


def test_the_constants_of_the_start_by_hand():
    # √(3/4) − √(1/2) = 0.158918622597…, times √(10¹² · 0.04)/1.5.
    assert start().radius == pytest.approx(0.158918622597 * 2e5 / 1.5, rel=1e-11)
    assert promise(GradientFlow(start()), "distance_hidden").limit == pytest.approx(start().radius)
    assert start(operator_norm=0.05, norm_w=1e5).c == 1.0
    assert start(operator_norm=0.05, norm_w=3e6).c == 3.0


def test_the_printed_bounds_on_the_read_outs_by_hand():
    """(ii) 16c√n‖r₀‖/λ = 16 · 2 · 2 · 2/0.04 = 3200 and (iii) half of it, far below ‖u(0)‖ = 10⁶: A4."""
    found = GradientFlowPrinted(start())
    assert promise(found, "readout_norm").limit == pytest.approx(3200)
    assert promise(found, "skip_norm").limit == pytest.approx(1600)
    assert promise(found, "loss").factor == pytest.approx(math.exp(-0.04))
