"""The Neural ODE's limits where their Gram matrices do not look: two sets of rows, bounds of errors, tables, growth."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from globalmin import activations
from globalmin.kernels import AbstractKernel, NeuralODEKernel, UntiedODEKernel

ROWS = np.array([[1.0, 0, 0], [0.78, 1.04, 0], [0, 0.42, 0.56], [-0.5, 0.5, math.sqrt(0.5)]])  # norms 1, 1.3, 0.7, 1
EPS = np.finfo(float).eps


def line(**options):
    return NeuralODEKernel(activations.get("identity"), **options)


@pytest.mark.parametrize("kind", [NeuralODEKernel, UntiedODEKernel])
def test_two_sets_of_rows_are_a_block_of_one(kind):
    """Rows of different norms, below the diagonal: each side of a pair has its own variances."""
    found, x = kind(activations.get("erf"), sigma_w=0.9, time_steps=2), jnp.asarray(ROWS)
    whole, below = found(x), found(x[1:], x[:1])
    for name, gram in whole.items():
        np.testing.assert_allclose(below[name], gram[1:, :1], rtol=0, atol=1e-13)


def test_a_line_without_ties_has_closed_forms():
    """φ = id: C = c e^{σ_w²T}, Θ^U the same, Θ^W = c σ_w²T e^{σ_w²T}."""
    found = UntiedODEKernel(activations.get("identity"), sigma_w=0.7, horizon=2.0)
    x, rate = jnp.asarray(ROWS), 0.98
    errors, grams = found.entry_error(x), found(x)
    for name, factor in (("sigma_star", 1.0), ("nngp", 1.0), ("k_u", 1.0), ("k_w", rate), ("ntk", 2 + rate)):
        want = ROWS @ ROWS.T * factor * math.exp(rate)
        np.testing.assert_allclose(grams[name], want, rtol=0, atol=errors[name])
        assert errors[name] < 1e-5
    # Classical Runge and Kutta: (σ_w²dt)⁵/5! a step.
    assert float(found.final_variance(1.69)) == pytest.approx(1.69 * math.exp(rate), rel=32 * (rate / 32) ** 5)


def test_variances_of_a_line():
    """Exact for layers, C_LL = p Σ_k binom(L,k)² (σ_wT/L)^{2k}; extrapolated to p I_0(2σ_wT) for the ODE."""
    want = sum(math.comb(12, k) ** 2 * (1.4 / 12) ** (2 * k) for k in range(13))
    found = line(sigma_w=0.7, horizon=2.0, layers=12).final_variance(jnp.asarray([1.0, 1.69]))
    # Sums of 144 terms.
    np.testing.assert_allclose(found, want * np.array([1.0, 1.69]), rtol=144 * EPS)
    want = scipy.special.iv(0, 2.8)
    assert abs(float(line(sigma_w=0.7, horizon=2.0).final_variance(1.0)) - want) < 1e-4 * want  # 0.6% by 16 steps alone
    # A row with itself: the march of pairs is the one of variances, cell by cell.
    plain = line(sigma_w=0.7, horizon=2.0, richardson=False, time_steps=4)
    assert float(plain(jnp.ones((1, 1)))["sigma_star"][0, 0]) == pytest.approx(
        float(plain.final_variance(1.0)), rel=1e-14
    )


class Seen(NeuralODEKernel):
    """Remembers what its error is measured on."""

    def refinement(self, p, q, angle):
        SEEN.append((np.asarray(p), np.asarray(q)))
        return super().refinement(p, q, angle)


SEEN: list[tuple[np.ndarray, np.ndarray]] = []


def test_bounds_of_entries_are_twice_what_moves_them(monkeypatch):
    """A line, whose entries are all (pq)^½ cos θ times a number: derivatives and errors in closed form, 17 angles."""
    found, variances = line(sigma_w=0.7, horizon=2.0), jnp.asarray([1.0, 1.69, 0.49])
    monkeypatch.setattr(type(found.activation), "dual_error", lambda self, variance: 0.0)
    i_0, i_1 = scipy.special.iv(0, 2.8), 1.4 * scipy.special.iv(1, 2.8)
    factors = {"sigma_star": i_0, "nngp": i_0, "k_w": i_1, "k_u": i_0, "ntk": 2 * i_0 + i_1}
    p, q = jnp.meshgrid(jnp.asarray([0.49, 1.0, 1.69]), jnp.asarray([0.49, 1.0, 1.69]), indexing="ij")
    p, q, angle = p[..., None], q[..., None], jnp.linspace(0.02, math.pi - 0.02, 17)
    entries, cosine = found.refinement(p, q, angle)[0], math.cos(0.02)
    of_angle, of_variance = found.entry_bounds(variances, 0.0, 1e-2), found.entry_bounds(variances, 1e-2, 0.0)
    of_nothing = found.entry_bounds(variances, 0.0, 0.0)
    for name, factor in factors.items():
        size = 1.69 * factor
        # A slope is a difference quotient over 1e-5.
        assert of_angle[name] - of_nothing[name] == pytest.approx(2e-2 * size, rel=1e-4)  # sin θ = 1
        assert of_variance[name] - of_nothing[name] == pytest.approx(2e-2 * size * cosine, rel=1e-4)
        # Twice the change by doubling is 15/8 of the error, both of fourth order, and 64 eps.
        error = float(jnp.max(jnp.abs(entries[name] - jnp.sqrt(p * q) * jnp.cos(angle) * factor)))
        assert of_nothing[name] == pytest.approx(15 / 8 * error, rel=0.1, abs=0)
    monkeypatch.setattr(type(found.activation), "dual_error", lambda self, variance: 1e-2 * float(jnp.max(variance)))
    for name, bound in found.entry_bounds(variances, 0.0, 0.0).items():
        size = 1.69 * factors[name] * cosine
        # The error of the dual maps at the largest variance of h_T, and what an entry makes of it.
        assert bound - of_nothing[name] == pytest.approx(1e-2 * 1.69 * i_0 * (1 + size), rel=1e-4)


def test_bounds_look_at_small_middle_and_large_variances(monkeypatch):
    found = Seen(activations.get("identity"), layers=2)
    monkeypatch.setattr(type(found.activation), "dual_error", lambda self, variance: 0.0)
    SEEN.clear()
    bounds = found.entry_bounds(jnp.asarray([3.0, 1.0, 9.0, 2.0, 2.5]), 0.0, 0.0)
    p, q = SEEN[0]
    assert {*p.ravel().tolist()} == {*q.ravel().tolist()} == {1.0, 2.5, 9.0}
    assert {(a, b) for a, b in zip(p.ravel().tolist(), q.ravel().tolist(), strict=True)} == {
        (a, b) for a in (1.0, 2.5, 9.0) for b in (1.0, 2.5, 9.0)
    }
    # Exact layers do not change by doubling: what is left is rounding, 64 eps of the largest entry.
    size = 9 * math.cos(0.02) * (1 + 4 / 4 + 1 / 16)
    assert bounds["nngp"] == pytest.approx(64 * EPS * size, rel=1e-12, abs=0)


def test_growth_is_looked_at_for_the_largest_row_of_both_sets():
    """The variance explodes between |x|² = 1.5 and |x|² = 4; the sums of the |x_j| are 2 in both sets."""
    found = NeuralODEKernel(activations.get("quadratic"), sigma_w=0.5, time_steps=4)
    finite = [math.isfinite(float(found.final_variance(v))) for v in (1.0, 4.0)]
    assert finite == [True, False]
    small, large = jnp.asarray([[0.5, 0.5, 0.5, 0.5]]), jnp.asarray([[2.0, 0.0, 0.0, 0.0]])
    found.check_growth(small)
    # What lies beyond the horizon does not matter: twice as far it explodes.
    assert math.isfinite(float(found.final_variance(1.5)))
    assert not math.isfinite(float(NeuralODEKernel(found.activation, sigma_w=1.0, time_steps=4).final_variance(1.5)))
    for x, y in ((jnp.concatenate([small, large]), None), (small, large), (large, small)):
        with pytest.raises(ValueError, match="the variance of the states explodes"):
            found(x, y)
    NeuralODEKernel(activations.get("identity"), time_steps=2)(small, large)


def test_an_activation_is_refined_at_the_variance_that_the_states_reach():
    found = NeuralODEKernel(activations.get("tanh"), sigma_w=3.0, time_steps=2)
    start = jnp.asarray(1.0)
    reached = found.final_variance(start)
    assert float(reached) > 4
    assert found.refined(start).activation == found.activation.refined(reached)
    assert found.refined(start).activation != found.activation.refined(start)


def test_tables_know_what_they_leave_out():
    draw = np.random.default_rng(0).standard_normal((12, 3))
    x = jnp.asarray(draw / np.linalg.norm(draw, axis=1, keepdims=True))
    found = NeuralODEKernel(activations.get("erf"), time_steps=2)
    table = found.tabulated(x)
    assert table is not None
    plain, whole = AbstractKernel.entry_error(found, x), found.entry_error(x)
    own = table.entry_bounds(jnp.ones(12), 0.0, 0.0)
    bare = found.entry_bounds(jnp.ones(12), 0.0, 0.0)
    for name, a in table.coefficients.items():
        # Seven of eight coefficients are kept for what they are; each of the last eight may stand for one left out.
        assert table.error[name] == pytest.approx(8 * np.abs(np.asarray(a)[-8:]).max(), rel=1e-12, abs=0)
        assert whole[name] - plain[name] == pytest.approx(table.error[name], rel=1e-2, abs=0)
        assert own[name] - bare[name] == pytest.approx(table.error[name], rel=1e-2, abs=0)
    # Norms 5% apart are no one norm; a step of the angle's (|x| = 60) is not resolved, be it in some matrices alone.
    assert found.tabulated(x * jnp.linspace(1, 1.05, 12)[:, None]) is None
    assert NeuralODEKernel(activations.get("erf"), sigma_w=1e-6, time_steps=2).tabulated(60 * x) is None
