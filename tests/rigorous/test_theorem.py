"""The theorem's decision at its very limit: scalar problems whose h is known exactly."""

import math

import numpy as np
import pytest

from globalmin.rigorous import Interval, Numbers, RigorousBlock, prove

from ..helpers import given


def numbers(rho, *, sigma2=1.0, top=1.0, slope=1.0, width=0.0):
    def constant(radius):
        return radius * 0 + slope

    spread = Interval(sigma2 - width, sigma2 + width)
    quantities = {"rho_0": Interval(rho, rho), "lambda_min_all": spread, "lambda_max": Interval(top, top)}
    return Numbers(quantities, (RigorousBlock("all", constant),), constant, {})


@pytest.mark.parametrize("gap", [1e-15, 1e-13, 1e-9, 1e-3])
def test_the_limit_of_the_flow(gap):
    # Λ = σ₀² = 1: h = ρ.
    yes, no = prove(numbers(0.5 * (1 - gap)), "flow", None), prove(numbers(0.5 * (1 + gap)), "flow", None)
    assert yes.verdict == "HOLDS"
    assert no.verdict != "HOLDS"
    h = 0.5 * (1 - gap)
    star = math.sqrt(1 - 2 * h)
    assert yes.radius == pytest.approx(2 * h / (1 + star), rel=1e-13)
    assert yes.radius >= 2 * h / (1 + star) * (1 - 1e-15)
    assert yes.sigma_star == pytest.approx(star, rel=1e-6)
    assert yes.rate == pytest.approx(math.exp(-(star**2)), rel=1e-12)


def test_exactly_one_half_is_not_enough():
    assert prove(numbers(0.5), "flow", None).verdict != "HOLDS"


@pytest.mark.parametrize("gap", [1e-12, 1e-6])
def test_the_limit_of_descent_is_where_c_or_sigma_end(gap):
    # Λ = σ₀ = ‖J‖ = 1. With c(p) = 1 − η((1 + p)² + ρ)/2, G(R) = ∫c(1 − p) up to R is linear in ρ, and G(R) = ρ at a ρ whose
    # largest value over R is the limit. c charged at R alone had 0.396 where this is 0.425.
    eta = 0.1
    r = np.linspace(0, 1, 2_000_001)
    e = r - r**2 / 2
    moments = e - eta / 2 * (r + r**2 / 2 - r**3 / 3 - r**4 / 4)  # ∫(1 − η(1 + p)²/2)(1 − p)
    limit = float((moments / (1 + eta * e / 2)).max())
    assert limit > 0.42

    def holds(rho):
        return prove(numbers(rho), "descent", eta).verdict == "HOLDS"

    # The grid's maximum is off by the square of its step, 1e-13.
    assert holds(limit * (1 - gap) - 1e-12)
    assert not holds(limit * (1 + gap) + 1e-12)
    found = prove(numbers(limit * (1 - 1e-3)), "descent", eta)
    assert found.verdict == "HOLDS"
    assert found.rate is not None
    assert found.conditions["c"].lower > 0
    assert given(found.radius) <= given(found.ball)


def test_undecided_where_only_the_best_ends_pass():
    assert prove(numbers(0.5, width=1e-3), "flow", None).verdict == "UNDECIDED"
    assert prove(numbers(0.6, width=1e-3), "flow", None).verdict == "FAILS"
    assert "better" not in prove(numbers(0.6), "flow", None).reason


def test_a_step_size_too_large_and_a_matrix_not_positive():
    assert "too large" in prove(numbers(0.01), "descent", 2.1).reason
    assert prove(numbers(0.01, sigma2=0.0), "flow", None).verdict == "FAILS"
    with pytest.raises(ValueError, match="positive number"):
        prove(numbers(0.01), "descent", -1.0)


def test_without_a_bound_descent_is_silent_and_without_slope_everything_holds():
    flat = prove(numbers(123.0, slope=0.0), "descent", 1.0)
    assert flat.verdict == "HOLDS"
    assert flat.radius == pytest.approx(246.0)
    n = numbers(0.1)
    silent = Numbers(n.quantities, n.blocks, None, {}, "relu has no sup|φ″|")
    assert prove(silent, "descent", 0.1).verdict == "FAILS"
    assert prove(silent, "flow", None).verdict == "HOLDS"


def test_agrees_with_the_floating_point_certificate():
    """Flow: the same closed form. Descent: floating point charges c where the path is, so it holds where one c does."""
    from globalmin import Estimate
    from globalmin.theory import certify
    from globalmin.theory.kantorovich import Block, Curvature

    g = np.random.default_rng(0)
    compared = 0
    for _ in range(40):
        rho, sigma2, top, slope = (
            10.0 ** g.uniform(-4, 0),
            10.0 ** g.uniform(-2, 0),
            1.0 + g.random(),
            10.0 ** g.uniform(-2, 1),
        )
        eta = g.uniform(0.01, 1.5)
        blocks = [Block("all", Estimate(math.sqrt(sigma2)), lambda r, s=slope: s)]
        curvature = Curvature(Estimate(math.sqrt(top)), lambda r, s=slope: s, "")
        flow = certify(Estimate(rho), blocks, None, flow=True)
        ours = prove(numbers(rho, sigma2=sigma2, top=top, slope=slope), "flow", None)
        assert ours.verdict == flow.outcome.value
        if flow.radius is not None:
            assert given(ours.radius) == pytest.approx(flow.radius, rel=1e-9)
        # The table has 32 intervals per ρ/σ up to 4ρ/σ, where R_* lies if c ≥ 1/2. It loses at most one of them at the end,
        # and of c₁ ≤ 1 what it falls in one: ρ/32 each. So it holds at a residual that is smaller by 1/16 of itself.
        ours = prove(numbers(rho, sigma2=sigma2, top=top, slope=slope), "descent", eta)
        if ours.verdict == "HOLDS" and ours.conditions["c"].lower >= 0.5:
            compared += 1
            assert certify(Estimate(rho * 16 / 17), blocks, curvature, step_size=eta).outcome.value == "HOLDS"
    assert compared >= 5
