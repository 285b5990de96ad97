"""g against its definition as an integral over the plane, and its gap to π where subtraction keeps nothing."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

from globalmin._core.relu_arc import arc, arc_gap, arc_inverse

ANGLES = np.array([0.0, 1e-9, 1e-5, 0.03, 0.0999, 0.1001, 0.7, math.pi / 2, 2.5, math.pi])


def test_arc_is_the_integral_over_the_half_planes_intersection():
    """E[σ(w₁z)σ(w₂z)] = (1/π)∫ cos ψ cos(ψ − φ) over the arc where both are positive; quad reports 1e-14."""
    for phi in ANGLES:
        low, high = phi - math.pi / 2, math.pi / 2
        want = 2 * scipy.integrate.quad(lambda t, phi=phi: math.cos(t) * math.cos(t - phi), low, high, epsabs=1e-14)[0]
        assert abs(float(arc(jnp.asarray(phi))) - want) < 1e-13


def test_gap_keeps_its_digits():
    """π − g = ∫₀^φ (π − t) sin t dt, an integral without cancellation: relative error 1e-12."""
    for phi in ANGLES[1:]:
        want = scipy.integrate.quad(lambda t: (math.pi - t) * math.sin(t), 0, phi, epsrel=1e-13, epsabs=0)[0]
        assert abs(float(arc_gap(jnp.asarray(phi))) / want - 1) < 1e-12


def test_inverse():
    for value in (0.0, 1e-6, 0.796356, 1.0, 2.5, math.pi):
        assert abs(float(arc(jnp.asarray(arc_inverse(value)))) - value) < 1e-14
    assert arc_inverse(1.0) == pytest.approx(math.pi / 2, abs=1e-15)
    for value in (-0.1, 3.2, math.nan):
        with pytest.raises(ValueError, match=r"in \[0, π\]"):
            arc_inverse(value)
