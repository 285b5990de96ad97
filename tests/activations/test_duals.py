"""Dual maps against plain quadrature, and as kernels."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad

from globalmin import activations
from globalmin.activations import Covariance, quadrature

from .reference import FUNCTIONS, both, plane

NAMES = list(FUNCTIONS)
CLOSED = [n for n in NAMES if n not in ("tanh", "sigmoid", "softplus", "silu")]
SCALAR = {
    "erf": math.erf,
    "gelu": lambda z: z * math.erfc(-z / math.sqrt(2)) / 2,
    "elu": lambda z: z if z >= 0 else math.expm1(z),
    "softplus": lambda z: math.log1p(math.exp(z)),
}
PAIRS = [(1.0, 1.0, 1.1), (0.3, 1.7, 2.6), (1.2, 0.05, 0.2), (0.8, 0.8, 0.0), (0.5, 1.5, math.pi), (1, 1, math.pi / 2)]


@pytest.mark.parametrize("name", NAMES)
def test_duals_match_plain_quadrature(name):
    phi, (value, slope, kinks) = activations.get(name), FUNCTIONS[name]
    got = both(phi, *np.array(PAIRS).T)
    for f, duals in zip((value, slope), got, strict=True):
        want = [plane(f, p, q, angle, kinks) for p, q, angle in PAIRS]
        # 1e-12: closed form against quadrature; values are at most 200 (z⁴), whose relative rounding is 1e-14.
        np.testing.assert_allclose(duals, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", list(SCALAR))
def test_duals_match_scipy_dblquad(name):
    value, p, q, angle = SCALAR[name], 0.9, 1.4, 0.8

    def integrand(y, x):
        v = math.sqrt(q) * (x * math.cos(angle) + y * math.sin(angle))
        return value(math.sqrt(p) * x) * value(v) * math.exp(-(x * x + y * y) / 2) / (2 * math.pi)

    # dblquad is asked for 1e-7 of an integrand in Python, to stay below a second.
    want, error = dblquad(integrand, -8, 8, -8, 8, epsabs=1e-7, epsrel=1e-7)  # pyright: ignore[reportAssignmentType]
    assert abs(float(both(activations.get(name), p, q, angle)[0]) - want) <= error + 1e-9


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms_match_the_quadrature_engine(name):
    phi = activations.get(name)
    v = jnp.array([0.01, 1.0, 3.0])
    p, q, angle = v[:, None, None], v[None, :, None], jnp.linspace(0, math.pi, 5)
    for f, got in zip((phi.__call__, phi.derivative), both(phi, p, q, angle), strict=True):
        want = quadrature.polar(f, p, q, angle, refine=2)
        # Both claims: of the closed form, and 64 eps of the largest value for the rule.
        allowed = phi.dual_error(v) + 64 * 2.3e-16 * float(jnp.max(jnp.abs(want)))
        np.testing.assert_allclose(got, want, rtol=0, atol=allowed)


@pytest.mark.parametrize("name", NAMES)
def test_error_claims_are_honest(name):
    phi, (value, slope, kinks) = activations.get(name), FUNCTIONS[name]
    variances = np.array([0.5, 2.0])
    claim = phi.dual_error(jnp.asarray(variances))
    scale = max(plane(f, v, v, 0.0, kinks) for f in (value, slope) for v in variances)
    assert claim <= 5e-12 * max(scale, 1)  # and not empty
    # At 1e-8 the plain rule cannot see the sliver between two kinks.
    angles = (0.0, 0.9, math.pi) if kinks else (0.0, 1e-8, 0.9, math.pi)
    pairs = list(itertools.product(variances, variances, angles))
    for f, duals in zip((value, slope), both(phi, *np.array(pairs).T), strict=True):
        want = [plane(f, *pair, kinks) for pair in pairs]
        # 5e-15 of the scale: the reference's own rounding, about 20 eps.
        np.testing.assert_allclose(duals, want, rtol=0, atol=claim + 5e-15 * scale)


rows = st.lists(st.lists(st.floats(-1, 1), min_size=3, max_size=3), min_size=5, max_size=5)


@pytest.mark.parametrize("name", ["relu", "erf", "gelu", "elu", "tanh", "hermite-3"])
@settings(max_examples=25, deadline=None)
@given(rows)
def test_gram_matrices_are_symmetric_and_positive_semidefinite(name, points):
    phi, x = activations.get(name), np.array(points) + 1e-3
    square = np.sum(x * x, axis=1)
    cosine = x @ x.T / np.sqrt(np.outer(square, square))
    angle = np.arccos(np.clip(cosine, -1, 1))
    np.fill_diagonal(angle, 0.0)
    for gram in both(phi, square[:, None], square[None], (angle + angle.T) / 2):
        # Entry errors below 1e-11 (tanh at variance 3), and arccos at θ = 0 off by 2e-8, to which the dual of a φ′ that
        # jumps is Lipschitz; each moves an eigenvalue of a 5 × 5 matrix by at most five times as much.
        slack = 1e-11 + 2e-8 * np.max(np.diag(gram)) * bool(phi.kinks)
        np.testing.assert_allclose(gram, gram.T, rtol=0, atol=1e-14)
        assert np.linalg.eigvalsh(gram)[0] >= -5 * slack


def test_pairs_may_be_broadcast_vmapped_or_jitted():
    for name in ("relu", "tanh", "elu"):
        phi = activations.get(name)
        p, q, angle = jnp.array([0.5, 1.0, 2.0]), jnp.array([1.0, 0.3]), jnp.linspace(0, 3, 6).reshape(3, 2)
        whole = jax.jit(phi.dual)(Covariance(p[:, None], q[None], angle))
        inner = jax.vmap(lambda a, b, t, phi=phi: phi.dual(Covariance(a, b, t)), (None, 0, 0))
        np.testing.assert_allclose(jax.jit(jax.vmap(inner, (0, None, 0)))(p, q, angle), whole, rtol=1e-14, atol=1e-15)
