"""Kernels of the two-layer network against quadrature, finite networks and the specification's numbers."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erf, expit
from scipy.stats import norm

from globalmin import activations
from globalmin._core import linalg
from globalmin.kernels import TwoLayerKernel, h_infinity

X3 = np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [2 / 3, -1 / 3, 2 / 3]])
# φ and φ′ written down once more, for the references.
FUNCTIONS = {
    "erf": (erf, lambda z: 2 / np.sqrt(np.pi) * np.exp(-z * z)),
    "sin": (np.sin, np.cos),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "softplus": (lambda z: np.logaddexp(0, z), expit),
}


def test_h_infinity_of_three_vectors():
    """Check values of three unit vectors in R³, 13 digits."""
    gram = np.asarray(h_infinity(jnp.asarray(X3)))
    np.testing.assert_allclose(
        gram[[0, 0, 1], [1, 2, 2]], [0.2114498294097, 0.2440931757329, 0.0361712058003], atol=6e-14
    )
    np.testing.assert_allclose(np.diag(gram), 0.5, rtol=4e-16)
    want = [0.1944149948257, 0.4642077248735, 0.8413772803008]
    np.testing.assert_allclose(np.linalg.eigvalsh(gram), want, atol=6e-14)


def orthant(rho):
    """P(u ≥ 0, v ≥ 0) at correlation ρ by quadrature: shares no formula with the kernel."""
    slope = rho / np.sqrt(1 - rho * rho)
    return quad(lambda u: norm.pdf(u) * norm.cdf(slope * u), 0, np.inf, epsabs=1e-14)[0]


def rectified(rho):
    """E[max(u, 0) max(v, 0)] at unit variances: the inner integral is ρu Φ(su) + √(1 − ρ²) pdf(su)."""
    root = np.sqrt(1 - rho * rho)

    def inner(u):
        return u * norm.pdf(u) * (rho * u * norm.cdf(rho * u / root) + root * norm.pdf(rho * u / root))

    return quad(inner, 0, np.inf, epsabs=1e-14)[0]


def test_relu_matches_quadrature():
    x = np.random.default_rng(0).standard_normal((6, 3))
    grams = TwoLayerKernel(activations.get("relu"))(jnp.asarray(x))
    for i, j in np.argwhere(~np.eye(6, dtype=bool)):
        size = np.linalg.norm(x[i]) * np.linalg.norm(x[j])
        h, nngp = x[i] @ x[j] * orthant(x[i] @ x[j] / size), size * rectified(x[i] @ x[j] / size)
        # 1e-12: quad reports 1e-14 per unit vectors, and the norms are below 4.
        np.testing.assert_allclose(grams["h_infinity"][i, j], h, atol=1e-12)
        np.testing.assert_allclose(grams["nngp"][i, j], nngp, atol=1e-12)
        np.testing.assert_allclose(grams["ntk"][i, j], h + nngp, atol=2e-12)


def gauss_hermite(f, p, q, c, nodes=120):
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    w = w / w.sum()
    u = np.sqrt(p) * z[:, None]
    v = c / np.sqrt(p) * z[:, None] + np.sqrt(max(q - c * c / p, 0)) * z[None, :]
    return np.sum(w[:, None] * w[None, :] * f(u) * f(v))


@pytest.mark.parametrize(
    ("name", "weight_std", "bias_std"),
    [("erf", 1.0, 0.0), ("sin", 0.7, 0.5), ("tanh", 1.0, 0.0), ("softplus", 0.7, 0.5)],
)
def test_smooth_activations_match_quadrature(name, weight_std, bias_std):
    x = X3 * np.array([[1.0], [0.8], [1.1]])
    grams = TwoLayerKernel(activations.get(name), weight_std, bias_std)(jnp.asarray(x))
    phi, slope = FUNCTIONS[name]
    covariance = weight_std**2 * x @ x.T + bias_std**2
    for i in range(3):
        for j in range(3):
            args = covariance[i, i], covariance[j, j], covariance[i, j]
            nngp, h = gauss_hermite(phi, *args), covariance[i, j] * gauss_hermite(slope, *args)
            # 2e-9: 120 nodes leave 1e-9 for tanh′ at variance 1.2 (60 leave 1e-6), round-off for the others.
            np.testing.assert_allclose(grams["nngp"][i, j], nngp, rtol=0, atol=2e-9)
            np.testing.assert_allclose(grams["h_infinity"][i, j], h, rtol=0, atol=2e-9)
            np.testing.assert_allclose(grams["ntk"][i, j], nngp + h, rtol=0, atol=4e-9)


def test_wide_networks_converge_to_the_kernel():
    """Tangent kernels of 400 networks of width 250, bias included, unequal norms: their mean has no bias."""
    rng, s, b, width, networks = np.random.default_rng(5), 1.2, 0.6, 250, 400
    x = X3 * np.array([[1.0], [0.5], [1.5]])
    names = "nngp", "h_infinity"
    samples = {name: [] for name in names}
    for _ in range(networks):
        h = s * x @ rng.standard_normal((3, width)) + b * rng.standard_normal(width)
        phi, on = np.maximum(h, 0), (h >= 0) * 1.0
        samples["nngp"].append(phi @ phi.T / width)
        # ∂f/∂w and ∂f/∂β side by side: m^{-1/2} a φ′ (s x, b), a = ±1.
        samples["h_infinity"].append((on @ on.T / width) * (s * s * x @ x.T + b * b))
    grams = TwoLayerKernel(activations.get("relu"), s, b)(jnp.asarray(x))
    for name in names:
        mean, error = np.mean(samples[name], 0), np.std(samples[name], 0) / np.sqrt(networks)
        # Six entries twice: |z| ≤ 4 fails once in 1300 seeds.
        assert np.max(np.abs(mean - np.asarray(grams[name])) / error) < 4


def test_nearly_equal_rows_are_told_apart():
    t = 1e-9
    gram = h_infinity(jnp.asarray([[1.0, 0.0], [np.cos(t), np.sin(t)]]))
    estimate = linalg.lambda_min(
        gram, entry_error=TwoLayerKernel(activations.get("relu")).entry_error(gram)["h_infinity"]
    )
    # ½ − cos t (π − t)/2π = t/2π + O(t²); entries are rounded to 2^-54, so two of them leave 1e-16.
    assert estimate.value == pytest.approx(t / (2 * np.pi), abs=3e-16)
    assert estimate.lower > 0


def test_antipodes_and_duplicates():
    np.testing.assert_allclose(h_infinity(jnp.asarray([[0.6, 0.8], [-0.6, -0.8]])), np.eye(2) / 2, atol=1e-15)
    angles = np.array([0.3, 1.1, 2.4])
    half = np.stack([np.cos(angles), np.sin(angles)], 1)
    # Three antipodal pairs in the plane have linearly dependent directions.
    assert abs(np.linalg.eigvalsh(h_infinity(jnp.asarray(np.concatenate([half, -half]))))[0]) < 1e-15
    assert np.linalg.eigvalsh(h_infinity(jnp.asarray(half[[0, 1, 2, 1]])))[0] == pytest.approx(0, abs=1e-15)


def test_relu_error_bound_is_honest_and_not_lavish():
    """Against 64-bit mantissas, where the arccosine is replaced by the arctangent of differences."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((60, 20))
    x[30:40] = x[:10] + 1e-7 * rng.standard_normal((10, 20))
    x[40:50] = -x[:10] + 1e-5 * rng.standard_normal((10, 20))
    kernel = TwoLayerKernel(activations.get("relu"))
    grams, bounds = kernel(jnp.asarray(x)), kernel.entry_error(jnp.asarray(x))
    long = x.astype(np.longdouble)
    size = np.sqrt((long**2).sum(1))
    unit = long / size[:, None]
    theta = 2 * np.arctan2(
        np.sqrt(((unit[:, None] - unit) ** 2).sum(-1)), np.sqrt(((unit[:, None] + unit) ** 2).sum(-1))
    )
    pi, size = np.longdouble("3.14159265358979323846264338327950288"), size[:, None] * size
    h = size * np.cos(theta) * (pi - theta) / (2 * pi)
    nngp = size * (np.sin(theta) + (pi - theta) * np.cos(theta)) / (2 * pi)
    for name, want in {"h_infinity": h, "nngp": nngp, "ntk": h + nngp}.items():
        error = float(np.max(np.abs(np.asarray(grams[name]) - want)))
        assert error <= bounds[name] <= 2000 * np.finfo(float).eps * float(size.max())
        assert error <= 8 * np.finfo(float).eps * float(size.max())


@pytest.mark.parametrize("name", ["erf", "sin", "leaky-relu"])
def test_error_bounds_hold_under_perturbation(name):
    """The bound covers what rows perturbed by an angle and by a factor do, measured on perturbations of 1e-6."""
    kernel, step = TwoLayerKernel(activations.get(name)), 1e-6
    theta = np.linspace(0.1, 3.0, 30)
    for size in (0.3, 1.0, 2.0):

        def grams(shift, factor, size=size):
            y = size * factor * np.stack([np.cos(theta + shift), np.sin(theta + shift)], 1)
            return kernel(jnp.asarray([[size * factor, 0.0]]), jnp.asarray(y))

        base = grams(0.0, 1.0)
        for shift, factor in ((step, 0.0), (0.0, step), (step, step)):
            bounds = kernel.entry_bounds(jnp.asarray([size**2]), 2 * factor, shift)
            moved = grams(shift, 1 + factor)
            for gram_name, bound in bounds.items():
                change = float(jnp.max(jnp.abs(moved[gram_name] - base[gram_name])))
                # 1e-3: the bound is of first order in the step, and rounding of 1e-15 stands beside 1e-6.
                assert change <= bound * (1 + 1e-3)
                assert bound <= 20 * change


def test_polynomials_have_bounds_too():
    """sup|φ′| is infinite; the bound comes from the degree. Rounding at 128 random pairs stays below it."""
    kernel = TwoLayerKernel(activations.get("hermite-3"))
    x = np.random.default_rng(3).standard_normal((40, 2))
    grams, bounds = kernel(jnp.asarray(x)), kernel.entry_error(jnp.asarray(x))
    c = x @ x.T
    p = np.diag(c)
    # h_3(z) = (z³ − 3z)/√6: E[h_3(u)h_3(v)] by Wick's theorem for any variances.
    cubes = 9 * np.outer(p, p) * c + 6 * c**3
    nngp = (cubes - 9 * p[:, None] * c - 9 * p[None, :] * c + 9 * c) / 6
    error = np.max(np.abs(np.asarray(grams["nngp"]) - nngp))
    assert error <= bounds["nngp"] < 1e-8
    assert np.isfinite(bounds["h_infinity"])


def test_unknown_bounds_are_infinite():
    kernel = TwoLayerKernel(activations.Activation(lambda z: jnp.tanh(z) + 0.1 * z, name="mine"))
    assert kernel.entry_error(jnp.asarray(X3))["h_infinity"] == np.inf


@pytest.mark.parametrize(
    ("weight_std", "bias_std", "message"),
    [(0.0, 0.0, "weight_std: a positive"), (float("nan"), 0.0, "weight_std"), (1.0, -1.0, "bias_std: a number")],
)
def test_bad_options(weight_std, bias_std, message):
    with pytest.raises(ValueError, match=message):
        TwoLayerKernel(activations.get("relu"), weight_std, bias_std)
