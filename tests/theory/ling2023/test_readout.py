"""The theorems on the read-out's block: gradient flow, two rates, small read-outs; on networks and by grids."""

import math

import numpy as np
import pytest

from globalmin.theory.ling2023 import (
    ConditionOnePrinted,
    GradientDescent,
    GradientFlow,
    SmallReadout,
    TwoRateDescent,
)

from .problems import FAILS, HOLDS, Network, attack, row, settle, start


@pytest.mark.parametrize(("seed", "n", "m"), [(0, 1, 40), (1, 2, 60), (2, 3, 80)])
def test_two_rate_descent_on_networks(seed, n, m):
    """B-TR holds for the paper's read-out and labels of order one; its rate is kept and the ball never left."""
    first = Network.draw(seed, n, 4, m, 0.02)
    y = np.random.default_rng(seed + 100).normal(size=n)
    certificate = settle(TwoRateDescent(first.start(y)))
    assert 0 < certificate.tau < 1
    last = attack(certificate, first, y, certificate.step_size, certificate.tau, 150)
    assert np.linalg.norm(last.f - y) < 1e-2 * np.linalg.norm(first.f - y)
    # A hundred times that ratio is not certified.
    assert TwoRateDescent(first.start(y), 100 * certificate.tau).verdict is FAILS


@pytest.mark.parametrize("seed", range(2))
def test_gradient_flow_on_networks(seed):
    """B-GF against descent with steps so small that it follows the flow.

    It stays behind the flow by a factor 1 + O(ηλ_max): 1 − ηλ ≤ exp(−ηλ) at equal λ, and λ is twice σ_∞² at least.
    """
    first = Network.draw(seed, 2, 4, 80, 0.02)
    y = first.f + 0.02 * np.random.default_rng(seed).normal(size=2)
    certificate = GradientFlow(first.start(y))
    eta = 0.01 / np.linalg.norm(first.z, 2) ** 2
    attack(certificate, first, y, eta, 1.0, 120, unit=float(eta))


@pytest.mark.parametrize("seed", range(2))
def test_small_readout_and_repaired_descent_on_networks(seed):
    """With a(0) = 0 and tiny labels both hold, and plain descent keeps the conclusions of Theorem 1."""
    first = Network.draw(seed, 2, 4, 60, 0.02, readout=0.0)
    y = 1e-4 * np.array([1.0, -2.0])
    for cls in (SmallReadout, GradientDescent):
        certificate = settle(cls(first.start(y)))
        attack(certificate, first, y, certificate.step_size, 1.0, 60)


def test_gradient_flow_by_hand():
    # R = 0.1 and μ = 0.4: T = 2, Y = 15·1.2 = 18, L_Z = 36; with ‖r₀‖ = 0.5, σ_∞² = 100 − 36 = 64.
    certificate = GradientFlow(start(rho_0=0.5), radius=0.1)
    assert row(certificate, "2L_Z").lhs == pytest.approx(36)
    assert row(certificate, "R_* ≤ R").lhs == pytest.approx((10 - 8) / 36)
    assert certificate.verdict is HOLDS
    promised = {p.quantity: p for p in certificate.promises()}
    assert promised["loss"].limit == 0.125
    assert promised["loss"].factor == pytest.approx(math.exp(-128))
    assert promised["sigma_min_features"].limit == pytest.approx(8)
    assert promised["distance"].limit == pytest.approx(2 / 36)
    assert promised["one_sided_norm"].limit == pytest.approx(0.4 + 2 / 36)


def test_the_best_delta_beats_a_grid():
    def missed(certificate):
        return max(h.rhs / h.lhs for h in certificate.hypotheses() if h.name.startswith("("))

    s = start(rho_0=1.0, norm_a=0.9)
    best = missed(ConditionOnePrinted(s))
    grid = [missed(ConditionOnePrinted(s, float(delta))) for delta in np.geomspace(1e-6, 0.499, 200)]
    assert best <= min(grid) * (1 + 1e-4)


@pytest.mark.parametrize("rho", [0.05, 0.3, 0.9, 1.1, 3.0])
def test_gradient_flow_holds_exactly_where_some_radius_serves(rho):
    """Against all radii of a grid; ‖r₀‖ is a multiple of the largest that the grid allows."""

    def t(radius):
        return 1 / (1 - 0.4 - radius)

    grid = np.linspace(1e-4, 0.5999, 20000)
    gain = 10 * grid - t(grid) * 15 * (1 + t(grid) * grid) * grid**2 / 2
    s = start(rho_0=float(rho * gain.max()))
    certificate = GradientFlow(s)
    assert certificate.verdict is (HOLDS if rho < 1 else FAILS)
    serves = []
    for radius in grid[::200]:
        slope = t(radius) * 15 * (1 + t(radius) * radius)
        square = 100 - 2 * slope * s.rho_0.value
        if square > 0 and (10 - math.sqrt(square)) / slope <= radius:
            serves.append(radius)
    assert bool(serves) == (rho < 1)
    if serves:
        assert certificate.settled().radius <= min(serves)
        assert f"{gain.max():.3g}"[:3] in row(certificate, "2L_Z").note


def test_the_largest_ratio_beats_a_grid():
    s = start(rho_0=0.7, norm_a=1.0)
    best = settle(TwoRateDescent(s)).tau
    found = []
    for radius in np.geomspace(1e-9, 0.24, 4000):
        t = 1 / (1 - 0.4 - radius)
        y, sigma = 15 * (1 + t * radius), 10 - t * radius * 15
        if sigma <= 0:
            continue
        alpha = 1.0 + 2 * y * 0.7 / sigma**2
        found.append(min(sigma**2 / (2 * alpha**2 * t**2 * y**2), radius * sigma**2 / (2 * t * alpha * y * 0.7)))
    assert max(found) * (1 - 1e-9) <= best <= max(found) * 1.01
    # A smaller ratio is certified at a smaller radius, hence at a better rate.
    lower = settle(TwoRateDescent(s, tau=best / 10))
    assert lower.verdict is HOLDS
    assert lower.radius < settle(TwoRateDescent(s)).radius
