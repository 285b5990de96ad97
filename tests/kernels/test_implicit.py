"""Kernels of the implicit ReLU network against nested quadrature, finite networks and published numbers."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtr, owens_t

from globalmin import activations
from globalmin._core import linalg
from globalmin._core.geometric import _even_squares
from globalmin.kernels import ImplicitKernel, TwoLayerKernel, geometric_lower_bound
from globalmin.kernels.implicit import _clenshaw, _solve

X4 = np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.6, 0.8], [-0.5, 0.5, np.sqrt(0.5)]])
UPPER = np.triu_indices(4, 1)
HALF_UNIT = 5.1e-9  # of eight printed decimals


def limits(gamma, x):
    angle = np.arccos(np.clip(x @ x.T, -1, 1))
    return {name: np.asarray(f) for name, f in ImplicitKernel(gamma).limits(jnp.asarray(angle)).items()}


def test_four_vectors():
    """Check values of four unit vectors, γ = 0.1."""
    grams, pieces = ImplicitKernel(0.1)(jnp.asarray(X4)), limits(0.1, X4)
    g = [0.33877378, 0.15915494, 0.05449889, 0.29786882, 0.18495138, 0.44027975]
    np.testing.assert_allclose(np.asarray(grams["g_infinity"])[UPPER], g, rtol=0, atol=HALF_UNIT)
    spectrum = [0.04023463, 0.13511241, 0.56944092, 1.25521204]
    np.testing.assert_allclose(np.linalg.eigvalsh(grams["g_infinity"]), spectrum, rtol=0, atol=HALF_UNIT)
    s = pieces["s"]
    assert s[0, 0] == pytest.approx(0.5037401544, abs=5.1e-11)
    np.testing.assert_allclose(s[0, 1:], [0.34597352, 0.17201841, 0.07230995], rtol=0, atol=HALF_UNIT)
    assert s[2, 3] == pytest.approx(0.44512932, abs=HALF_UNIT)
    m = pieces["m"]
    np.testing.assert_allclose(m[0, :2], [0.74422067, 0.62146204], rtol=0, atol=HALF_UNIT)
    assert m[0, 0] / (1 + 0.01 * m[0, 0]) == pytest.approx(0.7387229433, abs=5.1e-11)  # P(h > 0)
    np.testing.assert_allclose(pieces["q"][0, :3], [0.99236012, 0.69574621, 0.49027499], rtol=0, atol=HALF_UNIT)
    ntk = np.asarray(grams["ntk"])
    want = [1.99984921, 1.10434513, 0.33214482, -0.03445476]
    np.testing.assert_allclose(ntk[0], want, rtol=0, atol=HALF_UNIT)
    assert ntk[2, 3] == pytest.approx(1.60220606, abs=HALF_UNIT)
    assert np.linalg.eigvalsh(ntk)[0] == pytest.approx(0.31474527, abs=HALF_UNIT)
    np.testing.assert_allclose(grams["nngp"], s + np.asarray(grams["g_infinity"]), rtol=0, atol=1e-13)


def test_four_vectors_at_larger_gamma():
    """Check values at γ = 0.4."""
    ntk, pieces = np.asarray(ImplicitKernel(0.4)(jnp.asarray(X4))["ntk"]), limits(0.4, X4)
    assert pieces["s"][0, 0] == pytest.approx(0.5649620347, abs=5.1e-11)
    m = pieces["m"][0, 0]
    assert m / (1 + 0.16 * m) == pytest.approx(0.7035174682, abs=5.1e-11)
    np.testing.assert_allclose(ntk[0, :2], [2.14766374, 1.20145659], rtol=0, atol=HALF_UNIT)
    assert np.linalg.eigvalsh(ntk)[0] == pytest.approx(0.34695515, abs=HALF_UNIT)


def pdf(x):
    return np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def bivariate_cdf(a, b, r):
    """P(g ≤ a, g' ≤ b) of correlation r by Owen's T; a, b ≥ 0."""
    if a == 0 and b == 0:
        return 0.25 + np.arcsin(r) / (2 * np.pi)
    q = np.sqrt(1 - r * r)
    t_a = owens_t(a, (b - r * a) / (a * q)) if a else np.arctan(np.inf) / (2 * np.pi) * np.sign(b)
    t_b = owens_t(b, (a - r * b) / (b * q)) if b else np.arctan(np.inf) / (2 * np.pi) * np.sign(a)
    return (ndtr(a) + ndtr(b)) / 2 - t_a - t_b


def truncated_product(a, b, tau, r):
    """E[(a + τ g)₊ (b + τ g')₊] for standard normal (g, g') of correlation r."""
    a, b, q = a / tau, b / tau, np.sqrt(1 - r * r)
    corner = np.exp(-(a * a + b * b - 2 * r * a * b) / (2 * q * q)) / (2 * np.pi * q)
    both = (a * b + r) * bivariate_cdf(a, b, r)
    edges = a * pdf(b) * ndtr((a - r * b) / q) + b * pdf(a) * ndtr((b - r * a) / q)
    return tau**2 * (both + edges + q * q * corner)


def test_reference_for_a_pair_of_gaussians():
    """Published value; with one argument negative only the elementary part is shared, so integrate it plainly."""
    value = quad(lambda x: max(0.3 + 0.7 * x, 0) * inner(-0.1 + 0.28 * x, 0.7 * np.sqrt(0.84)) * pdf(x), -3 / 7, 10)[0]
    assert value == pytest.approx(0.16898640, abs=HALF_UNIT)
    plain = quad(lambda x: (0.3 + 0.7 * x) * inner(0.2 + 0.28 * x, 0.7 * np.sqrt(0.84)) * pdf(x), -3 / 7, 10)[0]
    assert truncated_product(0.3, 0.2, 0.7, 0.4) == pytest.approx(plain, abs=1e-10)


def inner(mean, deviation):
    """E[(mean + deviation g)₊]."""
    return mean * ndtr(mean / deviation) + deviation * pdf(mean / deviation)


def expectation(f, rho):
    """E[f(φ(ξ), φ(ξ'))] for symmetric f by quadrants: a Gauss rule in the plane, on half-lines, and one value."""
    q, opposite = np.sqrt(1 - rho * rho), (np.pi - np.arccos(rho)) / (2 * np.pi)
    line = 2 * quad(lambda x: f(x, 0.0) * pdf(x) * ndtr(-rho * x / q), 0, 9, epsabs=1e-13, epsrel=1e-13, limit=200)[0]

    def across(y):
        def along(x):
            return f(x, y) * np.exp(-(x * x + y * y - 2 * rho * x * y) / (2 * q * q)) / (2 * np.pi * q)

        return quad(along, 0, 9, epsabs=1e-11, epsrel=1e-10, limit=200)[0]

    plane = quad(across, 0, 9, epsabs=1e-10, epsrel=1e-10, limit=200)[0]
    return opposite * f(0.0, 0.0), line, plane


@pytest.mark.parametrize(("gamma", "rho"), [(0.4, 0.6), (0.8, -0.7)])
def test_nested_quadrature(gamma, rho):
    """S, M and Q satisfy their equations, every expectation by quadrature: no Price's theorem, no equation in θ."""
    pieces = {name: float(f) for name, f in ImplicitKernel(gamma).limits(jnp.asarray(np.arccos(rho))).items()}
    s = float(ImplicitKernel(gamma).limits(jnp.asarray(0.0))["s"])
    tau, r = gamma * np.sqrt(s), pieces["s"] / s
    # The variance: inner quadrature over g is elementary.
    square = quad(
        lambda x: ((x * x + tau * tau) * ndtr(x / tau) + x * tau * pdf(x / tau)) * pdf(x), 0, 12, epsabs=1e-13
    )[0]
    assert s == pytest.approx(tau**2 / 4 + square, abs=1e-12)
    # Nested tolerances of 1e-10 over 9 units of y.
    assert pieces["s"] == pytest.approx(sum(expectation(lambda a, b: truncated_product(a, b, tau, r), rho)), abs=1e-9)
    none, one, two = expectation(lambda a, b: bivariate_cdf(a / tau, b / tau, r), rho)
    gain = 1 / (1 - gamma**2 * (none + one + two))
    assert pieces["m"] == pytest.approx((none + one + two) * gain, abs=3e-9)
    kappa = (np.pi - np.arccos(rho)) / (2 * np.pi)
    assert pieces["q"] == pytest.approx(gain * two + kappa, abs=3e-9)


@pytest.mark.parametrize("gamma", [0.003, 0.01, 0.03, 0.1, 0.25, 0.4, 0.9])
def test_table_error_is_honest(gamma):
    """Against a table of 300 nodes for larger γ; where ξ = −ξ', P(h, h', ξ, ξ' > 0) = 0, so that Q = 0 exactly."""
    kernel = ImplicitKernel(gamma)
    angle = np.linspace(0, np.pi, 4001)
    pieces = kernel.limits(jnp.asarray(angle))
    assert abs(float(pieces["q"][-1])) <= kernel.table_error
    if gamma >= 0.03:
        assert kernel.table_error < 1.5e-12
        fine = _clenshaw(_solve(gamma, 300), jnp.asarray(2 / np.pi * angle - 1))
        fine = [*fine[:2], fine[2] + (np.pi - angle) / (2 * np.pi)]
        for got, want in zip((pieces["s"], pieces["m"], pieces["q"]), fine, strict=True):
            assert float(jnp.max(jnp.abs(got - want))) <= kernel.table_error


def test_values_at_equal_rows():
    """θ = 0 in closed form: P(h > 0) = 1/2 + arctan(1/τ)/2π, and Q = (1 + γ²M) (P(h > 0) − 1/4) + 1/2."""
    for gamma in (0.1, 0.6):
        kernel = ImplicitKernel(gamma)
        s, m, q = (float(f) for f in kernel.limits(jnp.asarray(0.0)).values())
        active = 0.5 + np.arctan(1 / (gamma * np.sqrt(s))) / (2 * np.pi)
        assert m == pytest.approx(active / (1 - gamma**2 * active), abs=kernel.table_error)
        assert q == pytest.approx((1 + gamma**2 * m) * (active - 0.25) + 0.5, abs=2 * kernel.table_error)
        x = jnp.asarray([[3.0, 4.0]])  # n = 1, and a norm of 5
        ntk = float(ImplicitKernel(gamma)(x)["ntk"][0, 0])
        assert ntk == pytest.approx(25 * (s * (1 + gamma**2 * m) + q + 0.5), abs=kernel.entry_error(x)["ntk"])


def test_small_gamma_is_a_network_without_feedback():
    """γ → 0: z = ϕ, so S = G^∞ and Q = 2κ: twice the kernels of a two-layer network, up to O(γ)."""
    x = jnp.asarray(X4 * np.array([[1.0], [2.0], [0.5], [1.5]]))
    two_layer = TwoLayerKernel(activations.get("relu"))(x)
    for gamma in (0.03, 1e-3):
        grams = ImplicitKernel(gamma)(x)
        np.testing.assert_allclose(grams["nngp"], 2 * two_layer["nngp"], rtol=0, atol=gamma)
        np.testing.assert_allclose(grams["ntk"], 2 * two_layer["ntk"], rtol=0, atol=2 * gamma)


@pytest.mark.parametrize(("gamma", "seed"), [(0.1, 0), (0.4, 1)])
def test_wide_networks_converge_to_the_kernel(gamma, seed):
    """The tangent kernel and its pieces of ten networks of width 900, u, v = ±1; unequal norms, an antipode."""
    rng, m, networks = np.random.default_rng(seed), 900, 10
    x = np.concatenate([X4, -X4[:1]]) * np.array([[1.0], [1.3], [0.7], [1.0], [1.0]])
    samples = {"g_infinity": [], "nngp": [], "ntk": []}
    for _ in range(networks):
        a = gamma / np.sqrt(m) * rng.standard_normal((m, m))
        u, v = rng.choice([-1.0, 1.0], (2, m, 1))
        pre = rng.standard_normal((m, 3)) @ x.T
        phi = np.maximum(pre, 0) / np.sqrt(m)
        z = np.zeros((m, 5))
        for _ in range(30):  # contracts by γ √0.75 in mean square: 1e-13 is left at γ = 0.4
            z = np.maximum(a @ z + phi, 0)
        on, r = a @ z + phi > 0, np.zeros((m, 5))
        for _ in range(30):
            r = on * (u + a.T @ r)
        inner_weights = (pre > 0) * (r + v)
        g, kernel_u = phi.T @ phi, z.T @ z
        ntk = gamma**2 / m * (r.T @ r) * kernel_u + inner_weights.T @ inner_weights / m * (x @ x.T) + kernel_u + g
        for name, value in {"g_infinity": g, "nngp": g + kernel_u, "ntk": ntk}.items():
            samples[name].append(value)
    grams = ImplicitKernel(gamma)(jnp.asarray(x))
    for name, values in samples.items():
        mean, error = np.mean(values, 0), np.std(values, 0, ddof=1) / np.sqrt(networks)
        free = error > 0  # rows x and −x share no feature: G^∞ is 0 there in every network
        # Student's t of nine degrees of freedom: 5.5 is passed by 4e-4 of the samples, of which there are 15 a name.
        assert np.max(np.abs(mean - np.asarray(grams[name]))[free] / error[free]) < 5.5
        assert np.max(np.abs(mean - np.asarray(grams[name]))[~free], initial=0.0) < 1e-15
        assert np.max(error) < 0.05 * np.max(np.diag(grams[name]))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 9]), st.sampled_from([0.1, 0.9]))  # a shape costs a compilation
def test_kernels_are_positive_and_know_no_order(seed, n, gamma):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 4)) * np.exp(rng.standard_normal((n, 1)))
    x[n // 2 :] = x[: n - n // 2] * rng.choice([-2.0, 1.0, 1 + 1e-9], (n - n // 2, 1))  # parallel, antiparallel, equal
    kernel, order = ImplicitKernel(gamma), rng.permutation(n)
    rows = jnp.asarray(x)
    grams, bounds, mixed = kernel(rows), kernel.entry_error(rows), kernel(jnp.asarray(x[order]))
    for name, gram in grams.items():
        gram = np.asarray(gram)
        np.testing.assert_array_equal(gram, gram.T)
        np.testing.assert_allclose(np.asarray(mixed[name]), gram[np.ix_(order, order)], rtol=0, atol=2 * bounds[name])
        assert linalg.lambda_min(gram, entry_error=bounds[name]).upper >= 0
    # nngp − g_infinity = S, ntk ⪰ nngp: γ²M ∘ S and Q ∘ XXᵀ are products of Gram matrices.
    more = np.asarray(grams["ntk"] - grams["nngp"])
    assert linalg.lambda_min(more, entry_error=bounds["ntk"] + bounds["nngp"]).upper >= 0


def test_nearly_equal_and_opposite_rows():
    """G^∞ is smooth at θ = 0, ‖G_11 − G_12‖ ~ θ²/4: its digits last, those of the tables end at `table_error`."""
    x = np.array([[1.0, 0.0], [1.0, 1e-6], [-1.0, 0.0], [0.0, 1.0]])
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    kernel, rows = ImplicitKernel(0.1), jnp.asarray(x)
    grams, bounds = kernel(rows), kernel.entry_error(rows)
    g = linalg.lambda_min(grams["g_infinity"], entry_error=bounds["g_infinity"])
    assert g.lower > 0
    gap = float(grams["g_infinity"][0, 0] - grams["g_infinity"][0, 1])
    assert gap == pytest.approx(1e-12 / 4, abs=2 * bounds["g_infinity"])
    # κ = (π − θ)/2π in Q sees the angle itself: 1e-6/2π in the gap of two rows, half of it in the eigenvalue.
    assert linalg.lambda_min(grams["ntk"], entry_error=bounds["ntk"]).lower > 1e-7
    assert abs(float(grams["g_infinity"][0, 2])) < 1e-15


@pytest.mark.parametrize("gamma", [0.0, 1.0, -0.1, 2.0, float("nan"), float("inf")])
def test_bad_gamma(gamma):
    with pytest.raises(ValueError, match=r"gamma: a number in \(0, 1\) expected, .* came"):
        ImplicitKernel(gamma)


def test_squares_of_hermite_coefficients():
    a = np.asarray(activations.get("relu").hermite_coefficients(1.0, 42))
    np.testing.assert_allclose(_even_squares(np.arange(1, 21)), a[2::2] ** 2, rtol=1e-13)
    # Beyond k = 2000 a lower bound, 1/(8 half) apart from the truth: Wallis.
    below, at = _even_squares(np.array([1001.0])), _even_squares(np.array([1000.0]))
    ratio = float(below[0] / at[0])
    truth = (2001 / 2002) * (1999 / 2001) ** 2
    assert truth * (1 - 1 / 4000) < ratio < truth


def smallest_line_angle(x):
    cosine = np.abs(x @ x.T)
    np.fill_diagonal(cosine, 0)
    return float(np.arccos(min(np.max(cosine), 1.0)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.sampled_from([2, 3, 10, 100]), st.floats(0, 3))
@example(0, 2, 2, 0.0)
@example(1, 2, 100, 3.0)
def test_geometric_bound_is_below_lambda_0(seed, n, d, spread):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    x[-1] = x[0] + 10**-spread * rng.standard_normal(d)  # a pair at a distance of 1 to 1e-3
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    angle = 2 * np.arctan2(*(np.linalg.norm(x[:, None] + sign * x, axis=2) for sign in (-1, 1)))
    g_infinity = (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
    exact = linalg.lambda_min(g_infinity, entry_error=8 * np.finfo(float).eps)
    bound = geometric_lower_bound(n, smallest_line_angle(x))
    assert 0 <= bound.value <= exact.upper
    if bound.k is not None:
        assert bound.k == 1 or bound.k % 2 == 0
        assert bound.value > 0


def test_geometric_bound_by_hand():
    """Four vectors: δ = 0.86568542, 3 δᵏ < 1 from k = 8 on; every even k tried in the open."""
    delta = 0.3 + np.sqrt(0.32)
    bound = geometric_lower_bound(4, math.acos(delta))
    a = np.asarray(activations.get("relu").hermite_coefficients(1.0, 40))
    terms = {k: float(a[k] ** 2 * (1 - 3 * delta**k)) for k in range(2, 40, 2)}
    best = max(terms, key=lambda k: terms[k])
    assert bound.k == best
    assert bound.value == pytest.approx(terms[best], rel=1e-12)
    assert bound.k_0 == min(k for k, value in terms.items() if value > 0)
    # Orthogonal rows: G^∞ = (1/2 − 1/2π) I + 1/2π, and the linear term gives 1/4.
    assert geometric_lower_bound(50, np.pi / 2).value == pytest.approx(0.25, abs=1e-13)
    assert geometric_lower_bound(1, 0.0).value == 0.25 < 0.5


def test_geometric_bound_of_close_pairs():
    """At angle ε, k ~ 2 log(n)/ε² and the bound ~ k^{-5/2}; parallel rows have none."""
    small, smaller = geometric_lower_bound(100, 1e-4), geometric_lower_bound(100, 1e-5)
    assert smaller.value / small.value == pytest.approx(1e-5, rel=1e-3)
    assert small.k_0 == pytest.approx(2 * np.log(99) / 1e-8, rel=1e-6)
    for angle in (0.0, 1e-9):
        bound = geometric_lower_bound(100, angle)
        assert (bound.value, bound.k, bound.k_0) == (0.0, None, None)


@pytest.mark.parametrize(("count", "angle", "message"), [(0, 1.0, "count: an integer"), (3, 2.0, "angle: one between")])
def test_bad_geometry(count, angle, message):
    with pytest.raises(ValueError, match=message):
        geometric_lower_bound(count, angle)
