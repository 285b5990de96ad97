"""Dual maps where a variance is 0, the angle 0 or π, the variance huge or tiny; and their gradients."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import activations
from globalmin.activations import Covariance, Sin

from .reference import FUNCTIONS, both, line

NAMES = list(FUNCTIONS)


def covariance(p, q, angle):
    return Covariance(*(jnp.asarray(x, float) for x in (p, q, angle)))


@functools.partial(jax.jit, static_argnums=0)
def gradients(phi, p, q, angle):
    """Of both duals in the three numbers, for one-dimensional arrays of pairs: (2, 3, pairs)."""

    def of(p, q, angle):
        cov = Covariance(p, q, angle)
        return jnp.stack([phi.dual(cov), phi.dual_derivative(cov)])

    return jnp.stack(jax.vmap(jax.jacrev(of, (0, 1, 2)), out_axes=-1)(p, q, angle), axis=1)


@pytest.mark.parametrize("name", NAMES)
def test_corners_of_the_covariance(name):
    phi, (value, slope, kinks) = activations.get(name), FUNCTIONS[name]
    corners = np.array([0.0, 1e-300, 1e-12, 1.0])
    cube = corners[:, None, None], corners[None, :, None], np.array([0.0, 1e-9, math.pi / 2, math.pi])
    assert all(np.all(np.isfinite(dual)) for dual in both(phi, *cube))
    # One constant: the expectation factors, with φ′(0) as the slope of the constant.
    pairs = list(itertools.product((0.0, 1.3), (0.0, 1.3), (0.0, math.pi / 2, 2.0, math.pi)))
    pairs = [pair for pair in pairs if 0.0 in pair[:2]]
    for f, duals in zip((value, slope), both(phi, *np.array(pairs).T), strict=True):
        want = [line(f, p, kinks) * line(f, q, kinks) for p, q, _ in pairs]
        np.testing.assert_allclose(duals, want, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_match_differences(name):
    phi = activations.get(name)
    at = np.array([0.9, 1.3, 1.1])
    # At angle 0 and variance 0 a derivative need not exist, but NaN would poison a sum.
    corners = [(1.0, 1.0, 0.0), (1.0, 1.0, math.pi), (0.0, 1.0, 1.0)]
    found = np.asarray(gradients(phi, *np.array([at, *corners]).T))
    ends = [both(phi, *(at[:, None] + sign * 1e-5 * np.eye(3))) for sign in (-1, 1)]
    for i in (0, 1):
        # Differences: h² times a third derivative (≤ 1e3 for z⁴), 1e-14 / 1e-5 of rounding.
        want = (ends[1][i] - ends[0][i]) / 2e-5
        np.testing.assert_allclose(found[i, :, 0], want, rtol=1e-7, atol=1e-8)
    assert np.all(np.isfinite(found))


@pytest.mark.parametrize("name", NAMES)
def test_price_theorem(name):
    # ∂E[φ(u)φ(v)]/∂c = E[φ′(u)φ′(v)]: ties the two maps of one activation together at c = √(pq) cos θ.
    phi = activations.get(name)
    p, q, angle = 0.7, 1.6, np.linspace(0.1, 3.0, 7)
    # In fours, the shape of the test above.
    pairs = [np.broadcast_to(part, 8) for part in (p, q, np.append(angle, 3.0))]
    by_angle = np.concatenate(
        [gradients(phi, *(part[half] for part in pairs))[0, 2] for half in np.split(np.arange(8), 2)]
    )
    want = both(phi, p, q, angle)[1]
    np.testing.assert_allclose(by_angle[:7] / (-np.sqrt(p * q) * np.sin(angle)), want, rtol=1e-12, atol=1e-13)


def test_sine_keeps_digits_and_does_not_overflow():
    small = covariance(1e-10, 1e-10, 1.0)
    # sinh c e^{-p} = c (1 + O(1e-10)).
    assert float(Sin().dual(small)) == pytest.approx(1e-10 * math.cos(1.0) * math.exp(-1e-10), rel=1e-14)
    large = covariance(1e6, 1e6, 0.0)
    assert float(Sin().dual(large)) == pytest.approx(0.5, rel=1e-14)
    assert float(Sin().dual_derivative(large)) == pytest.approx(0.5, rel=1e-14)


def test_erf_keeps_digits_at_large_variance():
    # At θ = 0 and p = 1e8, 1 − E erf² = (2/π) atan(√(1 + 4p)/2p), 6e-5; arcsin of a number 1e-8 from 1 keeps 8 digits.
    got = 1 - float(activations.get("erf").dual(covariance(1e8, 1e8, 0.0)))
    assert got == pytest.approx(2 / math.pi * math.atan(math.sqrt(1 + 4e8) / 2e8), rel=1e-11)
