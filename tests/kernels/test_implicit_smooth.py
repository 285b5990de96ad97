"""The implicit network's limit for a smooth φ: against finite networks, and a case that is solved by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import activations
from globalmin.kernels import SmoothImplicitKernel

FUNCTIONS = {
    "tanh": (np.tanh, lambda h: 1 - np.tanh(h) ** 2),
    "silu": (lambda h: h / (1 + np.exp(-h)), lambda h: (1 + np.exp(-h) * (1 + h)) / (1 + np.exp(-h)) ** 2),
}
ROWS = np.array([[1.0, 0.0], [1.2, 1.6], [-0.5, 0.5]])


def finite(draw, name, gamma, width):
    """ΦΦᵀ, ZZᵀ + ΦΦᵀ and H of one network by iteration, and no code of the library."""
    phi, slope = FUNCTIONS[name]
    a, w = draw.standard_normal((width, width)) * gamma / np.sqrt(width), draw.standard_normal((width, 2))
    u, v = draw.choice([-1.0, 1.0], (2, width))
    features = phi(ROWS @ w.T) / np.sqrt(width)
    z = np.zeros_like(features)
    for _ in range(40):  # 0.4 · 2 to the power 40 is 1e-4 of a difference that is small already
        z = phi(z @ a.T + features)
    d = slope(z @ a.T + features)
    r = d * u
    for _ in range(40):
        r = d * (u + r @ a)
    e = slope(ROWS @ w.T) * (r + v)
    g, states = features @ features.T, z @ z.T
    ntk = gamma**2 / width * (r @ r.T) * states + states + e @ e.T / width * (ROWS @ ROWS.T) + g
    return {"g_infinity": g, "nngp": states + g, "ntk": ntk}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_finite_networks_tend_to_it(name):
    gamma, width, count = 0.4, 600, 24
    kernel = SmoothImplicitKernel(gamma, activations.get(name))
    want = kernel(jnp.asarray(ROWS))
    draw = np.random.default_rng(5)
    found = [finite(draw, name, gamma, width) for _ in range(count)]
    for matrix in want:
        samples = np.array([f[matrix] for f in found])
        error = samples.std(axis=0, ddof=1) / np.sqrt(count)
        # z-scores of six correlated entries, three matrices; the bias of order 1/m is below a tenth of the deviation.
        assert (np.abs(samples.mean(axis=0) - np.asarray(want[matrix])) < 4 * error).all(), matrix
        # And sharp enough to see a factor: a share of 5% would be found.
        assert (4 * error < 0.1 * np.abs(np.asarray(want[matrix])).max()).all()


def test_the_identity_by_hand():
    """φ(z) = z: z = (1 − gA)^{-1}ϕ; S = G/(1 − γ²), κ = 1, and every kernel a multiple of XXᵀ."""
    gamma = 0.3
    grams = SmoothImplicitKernel(gamma, activations.get("identity"))(jnp.asarray(ROWS))
    gain, inner = 1 / (1 - gamma**2), ROWS @ ROWS.T
    np.testing.assert_allclose(grams["g_infinity"], inner, rtol=0, atol=1e-14)
    np.testing.assert_allclose(grams["nngp"], (1 + gain) * inner, rtol=0, atol=1e-13)
    np.testing.assert_allclose(grams["ntk"], (gain**2 + 1 + gain + 1) * inner, rtol=0, atol=1e-13)


def test_entry_errors_cover_what_rotating_does():
    """The same angles from rows in another basis: two roundings of one number."""
    kernel = SmoothImplicitKernel(0.1, activations.get("erf"))
    draw = np.random.default_rng(0)
    x = draw.standard_normal((12, 5))
    turn, _ = np.linalg.qr(draw.standard_normal((5, 5)))
    one, other, error = kernel(jnp.asarray(x)), kernel(jnp.asarray(x @ turn)), kernel.entry_error(jnp.asarray(x))
    for name in one:
        assert np.abs(np.asarray(one[name]) - np.asarray(other[name])).max() <= 2 * error[name]
        assert error[name] < 1e-10


@pytest.mark.parametrize(
    ("name", "gamma", "match"),
    [
        ("softplus", 0.1, r"φ\(0\) = 0"),
        ("leaky-relu", 0.1, "finite"),
        ("quadratic", 0.1, "finite"),
        ("tanh", 1.0, "gamma"),
        ("tanh", 0.0, "gamma"),
    ],
)
def test_what_has_no_limit_is_refused(name, gamma, match):
    with pytest.raises(ValueError, match=match) as raised:
        SmoothImplicitKernel(gamma, activations.get(name))
    assert "\n" not in str(raised.value)
