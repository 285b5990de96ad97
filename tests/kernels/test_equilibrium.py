"""Kernels of the equilibrium model against extended precision, quadrature, finite networks and published numbers."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from globalmin import activations
from globalmin._core import linalg
from globalmin.activations import Covariance
from globalmin.kernels import EquilibriumKernel, UnrolledEquilibriumKernel

EPS = np.finfo(float).eps
PI = np.longdouble("3.14159265358979323846264338327950288")
X4 = np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.6, 0.8], [-0.5, 0.5, np.sqrt(0.5)]])
UPPER = np.triu_indices(4, 1)


def on_sphere(x):
    return jnp.asarray(x * np.sqrt(x.shape[1]))


def test_four_vectors():
    """Check values of four unit vectors scaled to norm √3, σ_w² = 0.08, eight digits."""
    grams = {name: np.asarray(gram) for name, gram in EquilibriumKernel(0.08)(on_sphere(X4)).items()}
    k = [0.74151156, 0.36053211, 0.13712109, 0.65456631, 0.41519871, 0.95828499]
    np.testing.assert_allclose(grams["k"][UPPER], k, atol=5.1e-9)
    np.testing.assert_allclose(np.diag(grams["k"]), 1.08695652, atol=5.1e-9)
    spectrum = [0.08774058, 0.29030593, 1.21355609, 2.75622348]
    np.testing.assert_allclose(np.linalg.eigvalsh(grams["k"]), spectrum, atol=5.1e-9)
    gamma = grams["gamma"]
    np.testing.assert_allclose(gamma[0], [0.54347826, 0.37494941, 0.26500290, 0.18081222], atol=5.1e-9)
    assert gamma[2, 3] == pytest.approx(0.44677079, abs=5.1e-9)
    ntk = grams["ntk"]
    np.testing.assert_allclose([ntk[0, 0], ntk[0, 1], ntk[2, 3]], [1.67769376, 1.01954089, 1.38641873], atol=5.1e-9)
    assert np.linalg.eigvalsh(ntk)[0] == pytest.approx(0.23438410, abs=5.1e-9)
    np.testing.assert_array_equal(grams["nngp"], grams["k"])


@pytest.mark.parametrize(
    ("rho", "k", "gamma"),
    [
        (-1, 0.0074879332, 0.0649864147),
        (-0.5, 0.1371210863, 0.1808122196),
        (0, 0.3605321061, 0.2650029009),
        (0.5, 0.6686467507, 0.3540082509),
        (0.9, 0.9893915782, 0.4600594497),
        (0.99, 1.0764403176, 0.5170018122),
    ],
)
def test_scalar_table(rho, k, gamma):
    x = np.array([[1.0, 0.0], [rho, np.sqrt(1 - rho * rho)]])
    grams = EquilibriumKernel(0.08)(on_sphere(x))
    assert float(grams["k"][0, 1]) == pytest.approx(k, abs=5.1e-11)
    assert float(grams["gamma"][0, 1]) == pytest.approx(gamma, abs=5.1e-11)


def long_equilibrium(theta_0, s):
    """θ = θ₀ − δ in 64-bit mantissas, by bisection on δ of 2 sin(θ₀ − δ/2) sin(δ/2) = κ (sin θ − θ cos θ)."""
    kappa = np.longdouble(s) / (PI * (1 - np.longdouble(s)))
    low, high = np.zeros_like(theta_0), theta_0.copy()
    for _ in range(140):
        delta = (low + high) / 2
        theta = theta_0 - delta
        # Below 1e-3 the difference sin θ − θ cos θ is 0 to more digits than are left: its series.
        arc = np.where(theta < 1e-3, theta**3 / 3 * (1 - theta**2 / 10), np.sin(theta) - theta * np.cos(theta))
        more = 2 * np.sin(theta_0 - delta / 2) * np.sin(delta / 2) < kappa * arc
        low, high = np.where(more, delta, low), np.where(more, high, delta)
    return theta_0 - low


@pytest.mark.parametrize("s", [0.01, 0.08, 0.125, 0.14, 0.5, 0.75, 0.9, 0.999])
def test_relu_keeps_all_digits(s):
    """5e-15 relative at every angle, nearly parallel pairs included."""
    angles = np.concatenate([10.0 ** np.arange(-14, 0), np.linspace(0.15, np.pi, 60)])
    cov = Covariance(jnp.full((1, 1), 2.0), jnp.full((1, 1), 2.0), jnp.asarray(angles)[None])
    grams = {name: np.asarray(gram[0]) for name, gram in EquilibriumKernel(s).entries(cov).items()}
    theta = long_equilibrium(angles.astype(np.longdouble), s)
    s = np.longdouble(s)
    k = (np.sin(theta) + (PI - theta) * np.cos(theta)) / PI / (1 - s)
    gamma = (1 - theta / PI) / 2 / (1 - s * (1 - theta / PI))
    want = {"k": k, "gamma": gamma, "ntk": k * (1 + gamma)}
    for name, reference in want.items():
        error = np.abs(grams[name] - reference) / reference
        assert np.max(error) < 5e-15, (name, angles[np.argmax(error)])


def test_antipodes_keep_their_digits():
    """1 + cos θ = σ_w² (1 + Q), Q = (sin ψ − ψ cos ψ)/π at ψ = π − θ: a sum of positive terms, iterated."""
    s, psi, dual = np.longdouble(1e-6), np.longdouble(0), np.longdouble(0)
    for _ in range(30):
        dual = psi**3 / 3 * (1 - psi**2 / 10 + psi**4 / 280) / PI
        psi = 2 * np.arcsin(np.sqrt(s * (1 + dual) / 2))
    grams = EquilibriumKernel(1e-6)(jnp.asarray([[1.0, 1.0], [-1.0, -1.0]]))
    assert abs(float(grams["k"][0, 1]) / float(dual / (1 - s)) - 1) < 5e-15
    assert float(grams["gamma"][0, 1]) == pytest.approx(float(psi / (2 * PI)), rel=1e-5)


def test_relu_error_bound_is_honest():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 8))
    x[20:30] = x[:10] + 1e-7 * rng.standard_normal((10, 8))
    x[30:] = -x[:10] + 1e-6 * rng.standard_normal((10, 8))
    long = x.astype(np.longdouble)
    size = np.sqrt((long**2).sum(1))
    unit = long / size[:, None]
    apart, along = unit[:, None] - unit, unit[:, None] + unit
    theta_0 = 2 * np.arctan2(np.sqrt((apart**2).sum(-1)), np.sqrt((along**2).sum(-1)))
    for sigma_w2 in (0.001, 0.08, 0.7):
        kernel, s = EquilibriumKernel(sigma_w2), np.longdouble(sigma_w2)
        grams, bounds = kernel(jnp.asarray(x)), kernel.entry_error(jnp.asarray(x))
        theta = long_equilibrium(theta_0, sigma_w2)
        k = size[:, None] * size / 8 * (np.sin(theta) + (PI - theta) * np.cos(theta)) / PI / (1 - s)
        gamma = (1 - theta / PI) / 2 / (1 - s * (1 - theta / PI))
        for name, want in {"k": k, "gamma": gamma, "ntk": k * (1 + gamma)}.items():
            error = float(np.max(np.abs(np.asarray(grams[name]) - want)))
            assert error <= bounds[name] <= 1e-11


def test_nearly_equal_inputs_have_a_positive_eigenvalue():
    x = np.array([[1.0, 0.0], [1.0, 1e-6], [0.0, 1.0]])
    kernel, rows = EquilibriumKernel(0.08), on_sphere(x / np.linalg.norm(x, axis=1, keepdims=True))
    grams, bounds = kernel(rows), kernel.entry_error(rows)
    # 1 − cos of 1e-6 is 5e-13 for K, which is smooth there; Γ and H see the angle itself, 1e-6/2π times ½.
    assert linalg.lambda_min(grams["ntk"], entry_error=bounds["ntk"]).lower > 5e-8
    assert linalg.lambda_min(grams["k"], entry_error=bounds["k"]).lower > 1e-13


def test_depth_recursion():
    """K^(l) by the recursion of covariances in two dimensions, no angle in it but the arc-cosine kernel's."""
    s, rows = 0.3, on_sphere(X4)
    inputs = 2 * np.asarray(rows) @ np.asarray(rows).T / 3
    limit = EquilibriumKernel(s)
    want, covariance = None, inputs
    for depth in range(1, 5):
        root = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
        cosine = np.clip(covariance / root, -1, 1)
        want = root / 2 / np.pi * (np.sqrt(1 - cosine**2) + (np.pi - np.arccos(cosine)) * cosine)
        kernel = limit.unrolled(depth)
        got = kernel(rows)["k"]
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)
        difference = np.max(np.abs(np.asarray(got) - np.asarray(limit(rows)["k"])))
        assert difference <= kernel.truncation_error(rows)
        covariance = 2 * s * want + inputs


def test_printed_truncation_errors():
    """Actual errors at σ_w² = 0.08 for l = 1, 2, 3; and the bound never exceeds the one derived from Theorem 3 (i)."""
    rows, s = on_sphere(X4), 0.08
    limit = EquilibriumKernel(s)
    for depth, error in [(1, 8.7e-2), (2, 7.0e-3), (3, 5.6e-4)]:
        kernel = limit.unrolled(depth)
        measured = np.max(np.abs(np.asarray(kernel(rows)["k"]) - np.asarray(limit(rows)["k"])))
        assert measured == pytest.approx(error, rel=1e-2)
        bound = kernel.truncation_error(rows)
        assert measured <= bound <= s**depth * ((2 * depth + 1) / (1 - s) + 2 * s / (1 - s) ** 2)


def erf_dual(p, q, c):
    return 2 / np.pi * np.arcsin(2 * c / np.sqrt((1 + 2 * p) * (1 + 2 * q)))


def test_erf_fixed_point():
    """Scalar root finding on the closed-form dual map: no iteration of it, other variables."""
    s, x = 0.1, X4 * np.array([[1.0], [2.0], [0.5], [1.5]])
    kernel = EquilibriumKernel(s, activations.get("erf"))
    grams, bounds = kernel(jnp.asarray(x)), kernel.entry_error(jnp.asarray(x))
    inputs = 2 * x @ x.T / 3
    q = [brentq(lambda v, b=b: v - 2 * s * erf_dual(v, v, v) - b, 0, 20, xtol=1e-15) for b in np.diag(inputs)]
    for i in range(4):
        for j in range(4):
            p, r = q[i], q[j]
            edge = np.sqrt(p * r)
            c = (
                p
                if i == j
                else brentq(
                    lambda c, p=p, r=r, b=inputs[i, j]: c - 2 * s * erf_dual(p, r, c) - b, -edge, edge, xtol=1e-15
                )
            )
            k, slope = erf_dual(p, r, c), 4 / np.pi / np.sqrt((1 + 2 * p) * (1 + 2 * r) - 4 * c * c)
            gamma = slope / (1 - 2 * s * slope)
            for name, want in {"k": k, "gamma": gamma, "ntk": k * (1 + gamma)}.items():
                # brentq's own tolerance of 4 eps in the variances comes on top.
                assert abs(float(grams[name][i, j]) - want) <= bounds[name] + 1e-14
    assert max(bounds.values()) < 1e-11


def test_leaky_relu_is_the_general_iteration():
    """The closed form against the iterated arc-cosine duals, at angles where those lose no digits."""
    s, slope = 0.3, 0.2
    grams = EquilibriumKernel(s, activations.LeakyRelu(slope))(on_sphere(X4))
    inputs = 2 * X4 @ X4.T
    covariance, a, bend = inputs, 1 + slope**2, (1 - slope) ** 2
    k, theta = inputs, inputs
    for _ in range(80):
        root = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
        theta = np.arccos(np.clip(covariance / root, -1, 1))
        k = root / 2 * (a * np.cos(theta) + bend * (np.sin(theta) - theta * np.cos(theta)) / np.pi)
        covariance = 2 * s * k + inputs
    np.testing.assert_allclose(grams["k"], k, rtol=0, atol=1e-13)
    derivative = (a - bend * theta / np.pi) / 2
    gamma = derivative / (1 - 2 * s * derivative)
    off = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(np.asarray(grams["gamma"])[off], gamma[off], rtol=0, atol=1e-13)


def test_a_line_has_the_kernel_of_a_linear_network():
    """φ(z) = z: z = (I − W)⁻¹Ux, so that K = 2XXᵀ/d /(1 − 2σ_w²)."""
    rows = on_sphere(X4)
    grams = EquilibriumKernel(0.2, activations.get("identity"))(rows)
    np.testing.assert_allclose(grams["k"], 2 * X4 @ X4.T / 0.6, rtol=0, atol=1e-14)
    np.testing.assert_allclose(grams["gamma"], 1 / 0.6, rtol=1e-14)


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_wide_networks_converge_to_the_kernel(name):
    """Z, R and the tangent kernel of 60 networks of width 250, by dense solves; unequal norms."""
    rng, s, m, networks = np.random.default_rng(3), 0.08, 250, 60
    x = X4[:3] * np.array([[1.0], [1.4], [0.7]]) * np.sqrt(3)
    phi, slope = {
        "relu": (lambda h: np.maximum(h, 0), lambda h: (h > 0) * 1.0),
        "tanh": (np.tanh, lambda h: 1 - np.tanh(h) ** 2),
    }[name]
    samples = {"k": [], "gamma": [], "ntk": []}
    for _ in range(networks):
        w = rng.standard_normal((m, m)) * np.sqrt(2 * s / m)
        ux = rng.standard_normal((m, 3)) * np.sqrt(2 / 3) @ x.T
        a, z = rng.standard_normal(m) / np.sqrt(m), np.zeros((m, 3))
        for _ in range(24):  # contraction below 0.6 in mean square: 1e-7 is left, sampling leaves 1e-2
            z = phi(w @ z + ux)
        on = slope(w @ z + ux)
        r = np.stack([on[:, i] * np.linalg.solve(np.eye(m) - w.T * on[:, i], a) for i in range(3)], 1)
        k, gamma = z.T @ z / m, r.T @ r
        for key, value in {"k": k, "gamma": gamma, "ntk": k * (1 + gamma)}.items():
            samples[key].append(value)
    grams = EquilibriumKernel(s, activations.get(name))(jnp.asarray(x))
    for key, values in samples.items():
        mean, error = np.mean(values, 0), np.std(values, 0) / np.sqrt(networks)
        # Eighteen numbers, |z| ≤ 4.5; finite width biases the mean by O(1/m), half a standard error here.
        assert np.max(np.abs(mean - np.asarray(grams[key])) / error) < 4.5
        # And the mean is precise enough to tell the kernel from one without the feedback.
        assert np.max(error / np.abs(np.diag(grams[key])).max()) < 0.03


def test_kernel_without_the_contraction_of_the_theorem():
    """σ_w² between 1/8, where the theorem ends, and 1, where the kernel of ReLU ends."""
    gram = EquilibriumKernel(0.95)(on_sphere(X4))["k"]
    np.testing.assert_allclose(np.diag(gram), 20.0, rtol=1e-14)
    assert np.linalg.eigvalsh(gram)[0] > 0


@pytest.mark.parametrize(
    ("sigma_w2", "name", "message"),
    [
        (0.0, "relu", "sigma_w2: a positive variance expected"),
        (-1.0, "relu", "sigma_w2: a positive variance expected"),
        (float("nan"), "relu", "sigma_w2: a positive variance expected"),
        (1.0, "relu", r"sigma_w2: a number in \(0, 1\) expected"),
        (0.5, "tanh", r"sigma_w2: a number in \(0, 0.5\) expected"),
        (0.1, "quadratic", "activation: one with a finite sup"),
    ],
)
def test_bad_options(sigma_w2, name, message):
    with pytest.raises(ValueError, match=message):
        EquilibriumKernel(sigma_w2, activations.get(name))


def test_bad_depth():
    with pytest.raises(ValueError, match="depth: an integer of at least 1"):
        UnrolledEquilibriumKernel(EquilibriumKernel(0.08), 0)


def test_smooth_truncation_error_is_a_bound():
    rows, limit = on_sphere(X4), EquilibriumKernel(0.2, activations.get("erf"))
    for depth in (1, 6):
        kernel = limit.unrolled(depth)
        measured = np.max(np.abs(np.asarray(kernel(rows)["k"]) - np.asarray(limit(rows)["k"])))
        assert measured <= kernel.truncation_error(rows)
