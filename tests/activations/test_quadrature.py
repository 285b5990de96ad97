"""The quadrature engine: kinks, batches, and whether its error estimates are honest."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin.activations import quadrature

from .reference import FUNCTIONS, plane


def f64(*values):
    return tuple(jnp.asarray(v, float) for v in values)


def test_hermite_functions_are_orthonormal_under_the_rule():
    # The coefficients of h_j are the unit vector e_j: nodes, weights and recurrence at once, up to k = 255.
    for j in (0, 3, 8):
        h = np.polynomial.hermite_e.herme2poly([0] * j + [1])[::-1] / math.sqrt(math.factorial(j))
        a = quadrature.coefficients(lambda z, h=h: jnp.polyval(jnp.asarray(h), z), jnp.ones(()), 256)
        # 1e-13: the powers of z in h_8 reach 1e3 where h_8 n is of order 1.
        np.testing.assert_allclose(a, np.eye(256)[j], rtol=0, atol=1e-13)


def test_both_rules_give_the_same_coefficients():
    c = jnp.array([0.0, 0.2, 1.0, 4.0])
    line = quadrature.coefficients(jnp.sin, c, 40)
    panels = quadrature.coefficients(jnp.sin, c, 40, (-0.5, 1.0))
    np.testing.assert_allclose(line, panels, rtol=0, atol=2e-14)
    even = quadrature.coefficients(jnp.cos, c, 41)
    np.testing.assert_allclose(quadrature.coefficients(jnp.cos, c, 41, parity=0), even[0::2], rtol=0, atol=4e-16)
    np.testing.assert_allclose(even[1::2], 0, atol=1e-14)
    # E cos(√c z) h_2j(z) = (−c)^j e^{−c/2} / √(2j)!.
    want = [
        (-1.0) ** j * np.asarray(c) ** j * np.exp(-np.asarray(c) / 2) / math.sqrt(math.factorial(2 * j))
        for j in range(5)
    ]
    np.testing.assert_allclose(even[:10:2], want, rtol=0, atol=1e-14)


@pytest.mark.parametrize("variance", [1.0, 3.0, 8.0, 40.0])
def test_series_error_is_honest_and_not_idle(variance):
    # At θ = 0 and p = q all dropped terms are positive: the bound is attained.
    (v, zero) = f64(variance, 0.0)
    got = float(quadrature.series(jnp.tanh, v, v, zero, 64))
    gap = abs(got - plane(np.tanh, variance, variance, 0.0))
    claim = quadrature.series_error(jnp.tanh, v, 64)
    assert gap <= claim + 1e-14
    assert claim <= 1.1 * gap + 1e-14
    for angle in (0.5, 2.0, 3.0):
        got = float(quadrature.series(jnp.tanh, v, v, jnp.asarray(angle), 64))
        assert abs(got - plane(np.tanh, variance, variance, angle)) <= claim + 1e-12


def test_a_kink_that_is_not_named_costs_accuracy_not_honesty():
    (p, q) = f64(1.0, 0.5)
    claim = quadrature.series_error(jax.nn.relu, jnp.array([1.0, 0.5]), 128)
    value, _, kinks = FUNCTIONS["relu"]
    gaps = [
        abs(float(quadrature.series(jax.nn.relu, p, q, jnp.asarray(t), 128)) - plane(value, 1.0, 0.5, t, kinks))
        for t in (0.0, 0.4, 1.5, 3.0, math.pi)
    ]
    assert 1e-6 < claim < 1e-2
    assert max(gaps) <= claim


def test_kinks_away_from_zero():
    kinks = (-1.0, 0.5)
    claim = quadrature.series_error(lambda z: jnp.clip(z, -1.0, 0.5), jnp.array([1.0, 2.0]), 256, kinks)
    assert claim < 1e-3
    for angle in (0.0, 0.7, 2.0):
        (p, q, t) = f64(1.0, 2.0, angle)
        got = float(quadrature.series(lambda z: jnp.clip(z, -1.0, 0.5), p, q, t, 256, kinks))
        assert abs(got - plane(lambda z: np.clip(z, -1.0, 0.5), 1.0, 2.0, angle, kinks)) <= claim
    # Away from parallel the series converges geometrically, kinks or not.
    (p, q, t) = f64(1.0, 2.0, 1.2)
    got = float(quadrature.series(lambda z: jnp.clip(z, -1.0, 0.5), p, q, t, 256, kinks))
    assert got == pytest.approx(plane(lambda z: np.clip(z, -1.0, 0.5), 1.0, 2.0, 1.2, kinks), abs=1e-12)


def test_polar_rule_with_a_kink_at_zero():
    def phi(z):
        return jnp.where(z >= 0, jnp.tanh(2 * z), 0.3 * jnp.sin(z) - 0.1)

    def plain(z):
        return np.where(z >= 0, np.tanh(2 * z), 0.3 * np.sin(z) - 0.1)

    variances = jnp.array([0.5, 2.0])
    claim = quadrature.doubling_error(lambda p, q, t, r: quadrature.polar(phi, p, q, t, refine=r), variances)
    assert claim < 1e-9
    for angle in (0.0, 0.3, 1.5, 2.8, math.pi):
        got = float(quadrature.polar(phi, *f64(0.5, 2.0, angle)))
        # 1e-11: the reference near-misses the kink of the inner integral at θ = 0.3.
        assert abs(got - plane(plain, 0.5, 2.0, angle, (0.0,))) <= claim + 1e-11


def test_many_variances_go_in_batches(monkeypatch):
    p = jnp.linspace(0.1, 2.0, 30).reshape(5, 6)
    q, angle = p[::-1], jnp.linspace(0, 3.1, 30).reshape(5, 6)
    whole = quadrature.series(jnp.tanh, p, q, angle, 64, parity=1)
    monkeypatch.setattr(quadrature, "MOST_VARIANCES", 8)
    monkeypatch.setattr(quadrature, "BATCH", 7)
    np.testing.assert_allclose(quadrature.series(jnp.tanh, p, q, angle, 64, parity=1), whole, rtol=0, atol=1e-15)


def test_float32_is_refused():
    low = jnp.ones((), jnp.float32)
    with pytest.raises(ValueError, match="variance: float64 expected, float32 came"):
        quadrature.series(jnp.tanh, low, low, low, 8)
    with pytest.raises(ValueError, match="p: float64 expected, float32 came"):
        quadrature.polar(jnp.tanh, low, low, low)
