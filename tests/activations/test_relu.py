"""The arc-cosine kernels of the rectifiers against rational arithmetic, where θ nears 0 and π."""

import math
from fractions import Fraction

import jax.numpy as jnp
import pytest

from globalmin.activations import Covariance, LeakyRelu, Relu

PI = Fraction("3.14159265358979323846264338327950288419716939937510582097494459")
ANGLES = [0.0, 1e-12, 1e-9, 1e-5, 0.3, 1.0, math.pi / 2, 2.5, math.pi - 1e-5, math.pi - 1e-9, math.pi]


def sine_and_cosine(t):
    """Taylor sums of a rational number up to π: 60 terms leave 1e-50."""
    term, sums = Fraction(1), [Fraction(0), Fraction(0)]
    for k in range(60):
        sums[k % 2] += term * (-1) ** (k // 2)
        term *= t / (k + 1)
    return sums[1], sums[0]


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("slope", [0.0, 0.25])
def test_duals_to_a_few_eps_at_every_angle(angle, slope):
    t, a = Fraction(angle), Fraction(slope)
    sine, cosine = sine_and_cosine(t)
    one, other = sine + (PI - t) * cosine, sine - t * cosine
    dual = ((1 + a * a) * one - 2 * a * other) / (2 * PI)
    slopes = ((1 + a * a) * (PI - t) + 2 * a * t) / (2 * PI)
    phi = LeakyRelu(slope) if slope else Relu()
    cov = Covariance(jnp.ones(()), jnp.ones(()), jnp.asarray(angle))
    # 2 eps of the largest value, 1/2.
    assert abs(Fraction(float(phi.dual(cov))) - dual) <= 2.3e-16
    assert abs(Fraction(float(phi.dual_derivative(cov))) - slopes) <= 2.3e-16
    assert phi.dual_error(1.0) <= 2e-15


def test_it_scales():
    cov = Covariance(jnp.asarray(0.7), jnp.asarray(1.9), jnp.asarray(0.8))
    bigger = Covariance(9 * cov.p, cov.q, cov.angle)
    assert float(Relu().dual(bigger)) == pytest.approx(3 * float(Relu().dual(cov)), rel=4e-16)
    assert float(Relu().dual_derivative(bigger)) == float(Relu().dual_derivative(cov))


def test_opposite_inputs_share_nothing():
    cov = Covariance(jnp.ones(()), jnp.ones(()), jnp.asarray(math.pi))
    assert float(Relu().dual(cov)) == 0.0
    assert float(Relu().dual_derivative(cov)) == 0.0


@pytest.mark.parametrize("slope", [-0.1, 1.0, math.nan, math.inf])
def test_impossible_slopes_are_refused(slope):
    with pytest.raises(ValueError, match=r"slope: a number in \[0, 1\) expected"):
        LeakyRelu(slope)
