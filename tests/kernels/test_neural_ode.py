"""The limits of the Neural ODE against a spectral solution of the adjoint form, closed forms, and sampled networks."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special

from globalmin import activations
from globalmin.activations import Covariance
from globalmin.kernels import NeuralODEKernel, UntiedODEKernel

X4 = np.array([[1, 0, 0], [0.6, 0.8, 0], [0, 0.6, 0.8], [-0.5, 0.5, math.sqrt(0.5)]])

# Specification, section 8.4: C(T,T), first row (entries 11, 12, 14) of K^v, K^W, K^U, λ_min of K^∞ and of K^v.
CHECK = {
    "tanh": (
        1.40246788, [0.45604627, 0.25205419, -0.20769182], [0.18143646, 0.08037227, -0.06444253],
        [0.60297482, 0.27114651, -0.21805212], 0.14826161, 0.02194866,
    ),
    "erf": (
        1.47148977, [0.53642412, 0.28858107, -0.23705775], [0.25950764, 0.10455227, -0.08299722],
        [0.77543463, 0.31655053, -0.25205118], 0.24989088, 0.03423624,
    ),
    "softplus": (
        2.04580909, [1.40331609, 1.24064226, 0.85185624], [0.35856670, 0.29597032, 0.16563886],
        [0.42232195, 0.23491443, -0.15865432], 0.08692813, 0.03295412,
    ),
}  # fmt: skip

FUNCTIONS = {
    "tanh": (np.tanh, lambda h: 1 - np.tanh(h) ** 2),
    "softplus": (lambda h: np.logaddexp(0, h), lambda h: 1 / (1 + np.exp(-h))),
}


@functools.cache
def kernel(name, **options):
    return NeuralODEKernel(activations.get(name), **options)


@functools.cache
def integration(count):
    """Chebyshev-Lobatto points of [0, 1] and the matrix of ∫_0^t."""
    t = (1 - np.cos(np.pi * np.arange(count) / (count - 1))) / 2
    values = np.polynomial.legendre.legvander(2 * t - 1, count - 1)
    integrals = np.stack(
        [
            np.polynomial.legendre.legval(2 * t - 1, np.polynomial.legendre.legint(e, lbnd=-1)) / 2
            for e in np.eye(count)
        ],
        axis=1,
    )
    return integrals @ np.linalg.inv(values)


def spectral(name, p, q, c, gain=1.0, count=11):
    """C by Picard's iteration on a spectral grid, then the adjoint A backwards from T, and K^W = σ_w² ∬ A V."""
    phi, slope = FUNCTIONS[name]
    # Trapezoidal: the poles of tanh, at a distance of 0.9 in these units, leave exp(−2π 0.9/0.2) = 5e-13.
    z = np.linspace(-8, 8, 81)
    w = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
    f = integration(count)
    last = f[-1]
    back = last[None] - f

    def dual(g, left, right, cov):
        rho = np.clip(cov / np.sqrt(np.outer(left, right)), -1, 1)[..., None, None]
        u = np.sqrt(left)[:, None, None, None] * z[:, None]
        v = np.sqrt(right)[None, :, None, None] * (rho * z[:, None] + np.sqrt(1 - rho**2) * z)
        return np.einsum("a,b,ijab,ijab->ij", w, w, np.broadcast_to(g(u), v.shape), g(v))

    def solve(start, of):
        cov = np.full((count, count), start)
        for _ in range(14):  # falls like gain^k/(k!)²
            left, right = (np.diag(cov), np.diag(cov)) if of is None else of
            cov = start + gain * f @ dual(phi, left, right, cov) @ f.T
        return cov

    one, two = (np.diag(solve(v, None)) for v in (p, q))
    cov = solve(c, (one, two))
    v, d = dual(phi, one, two, cov), dual(slope, one, two, cov)
    a = np.full((count, count), d[-1, -1])
    for _ in range(14):
        a = d[-1, -1] + gain * back @ (d * a) @ back.T
    return {"sigma_star": v[-1, -1], "k_w": gain * last @ (a * v) @ last, "k_u": c * a[0, 0]}, one[-1]


@pytest.mark.parametrize("name", CHECK)
def test_check_values(name):
    tau2, k_v, k_w, k_u, lowest, lowest_v = CHECK[name]
    found, x = kernel(name), jnp.asarray(X4)
    grams, errors = found(x), found.entry_error(x)
    for key, row in (("nngp", k_v), ("k_w", k_w), ("k_u", k_u)):
        # The values have eight digits.
        np.testing.assert_allclose(np.asarray(grams[key])[0, [0, 1, 3]], row, rtol=0, atol=errors[key] + 5e-9)
    np.testing.assert_array_equal(grams["nngp"], grams["sigma_star"])  # σ_v = 1
    assert max(errors.values()) < 3e-7
    assert float(found.final_variance(1.0)) == pytest.approx(tau2, abs=2e-7)
    assert np.linalg.eigvalsh(grams["ntk"])[0] == pytest.approx(lowest, abs=4 * errors["ntk"] + 5e-9)
    assert np.linalg.eigvalsh(grams["nngp"])[0] == pytest.approx(lowest_v, abs=4 * errors["nngp"] + 5e-9)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_against_the_adjoint_form_for_unequal_norms(name):
    """The double integral of A V by a spectral method in NumPy, for rows of norm 1, 1.3 and 0.7 and σ_w ≠ 1."""
    x = X4 * np.array([[1.0], [1.3], [0.7], [1.0]])
    grams = kernel(name, sigma_w=0.8)(jnp.asarray(x))
    for i, j in ((0, 1), (1, 2), (2, 2)):
        want, _ = spectral(name, x[i] @ x[i], x[j] @ x[j], x[i] @ x[j], gain=0.64)
        for key, value in want.items():
            # The kernel's steps: 6e-8.
            assert float(grams[key][i, j]) == pytest.approx(value, abs=2e-7), (key, i, j)


def test_second_order_in_the_time_step_and_fourth_extrapolated():
    found, angle = kernel("tanh"), jnp.asarray([0.0, math.acos(0.6), math.acos(-0.5)])
    march = jax.jit(lambda steps: found.march(Covariance(jnp.ones(()), jnp.ones(()), angle), steps, 16))
    at = {g: np.concatenate([march(g)[name] for name in ("nngp", "k_w", "k_u")]) for g in (2, 4, 8, 16)}
    exact = np.concatenate(CHECK["tanh"][1:4])
    coarse, fine = (np.abs(at[g] - exact).max() for g in (8, 16))
    assert math.log2(coarse / fine) == pytest.approx(2.0, abs=0.05)
    coarse, fine = (np.abs((4 * at[2 * g] - at[g]) / 3 - exact).max() for g in (2, 4))  # finer ones: eight digits
    assert math.log2(coarse / fine) == pytest.approx(4.0, abs=0.4)


def test_a_line_has_closed_forms():
    """φ = id: C = c I_0(2σ_w√(st)), V′ = 1, Θ^U the same, Θ^W = c σ_w √(st) I_1(2σ_w√(st))."""
    gain = 1.4
    grams = kernel("identity", sigma_w=0.7, horizon=2.0)(jnp.asarray(X4))
    rho = X4 @ X4.T
    i_0, i_1 = (scipy.special.iv(k, 2 * gain) for k in (0, 1))
    errors = kernel("identity", sigma_w=0.7, horizon=2.0).entry_error(jnp.asarray(X4))
    for key, value in (("nngp", i_0), ("k_u", i_0), ("k_w", gain * i_1)):
        np.testing.assert_allclose(grams[key], rho * value, rtol=0, atol=errors[key])
    assert max(errors.values()) < 1e-4  # of 20


def test_the_limit_of_the_residual_network_by_its_own_recursion():
    """L = 3 layers of a line by hand: h_3 = (1 + w)³ h_0 with independent products: coefficients of the binomial."""
    layers = 3
    grams = kernel("identity", layers=layers)(jnp.asarray(X4))
    # C = c Σ_k binom(L,k)² (1/L)^{2k}: words of W of length k, of norm one each, uncorrelated for different k.
    want = sum(math.comb(layers, k) ** 2 / layers ** (2 * k) for k in range(layers + 1))
    np.testing.assert_allclose(grams["nngp"], X4 @ X4.T * want, rtol=0, atol=1e-14)


def test_untied_limit_against_an_adaptive_solver():
    """dC/dt = V, dA/dt = −V′A, K^W = ∫ A V for tanh by SciPy with the trapezoidal rule in two dimensions."""
    z = np.linspace(-8, 8, 81)
    w = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()

    def duals(p, c):
        rho = c / p
        u, v = np.sqrt(p) * z[:, None], np.sqrt(p) * (rho * z[:, None] + np.sqrt(1 - rho**2) * z)
        both = np.outer(w, w)
        return np.sum(both * np.tanh(u) * np.tanh(v)), np.sum(both / np.cosh(u) ** 2 / np.cosh(v) ** 2)

    def rates(_, state):
        p, c, log_a, _ = state
        v, slope = duals(p, c)
        return [np.sum(w * np.tanh(np.sqrt(p) * z) ** 2), v, slope, v * np.exp(-log_a)]

    end = scipy.integrate.solve_ivp(rates, (0, 1), [1.0, 0.6, 0.0, 0.0], rtol=1e-11, atol=1e-12).y[:, -1]
    v, slope = duals(end[0], end[1])
    gain = slope * np.exp(end[2])  # A(0) = V′(T) exp ∫ V′
    grams = UntiedODEKernel(activations.get("tanh"))(jnp.asarray(X4))
    assert float(grams["nngp"][0, 1]) == pytest.approx(v, abs=1e-8)  # 32 steps of fourth order
    assert float(grams["k_w"][0, 1]) == pytest.approx(gain * end[3], abs=1e-8)
    assert float(grams["k_u"][0, 1]) == pytest.approx(0.6 * gain, abs=1e-8)
    # Specification, section 4.2: the first row of the sum, six digits.
    np.testing.assert_allclose(np.asarray(grams["ntk"])[0], [1.29368, 0.61576, 0, -0.49915], rtol=0, atol=6e-6)


def network(rng, x, m, layers, phi, slope, readouts):
    """The three shares of the tangent kernel of one residual network with tied weights, by NumPy in float32."""
    hidden = rng.standard_normal((m, m), np.float32) / np.float32(np.sqrt(m))
    v = rng.standard_normal((readouts, m))
    h = [x @ rng.standard_normal((x.shape[1], m))]
    for _ in range(layers):
        h.append(h[-1] + (phi(h[-1]).astype(np.float32) @ hidden.T).astype(float) / layers)
    features = [phi(s) for s in h]
    shares = []
    for one in v:
        lam = [slope(h[-1]) * one]
        for s in reversed(h[:-1]):
            b = (lam[0].astype(np.float32) @ hidden).astype(float)
            lam.insert(0, lam[0] + slope(s) * b / layers)
        k_w = sum(
            (lam[i + 1] @ lam[j + 1].T) * (features[i] @ features[j].T) for i in range(layers) for j in range(layers)
        )
        k_u = (x @ x.T) * (lam[0] @ lam[0].T)
        shares.append((features[-1] @ features[-1].T / m, k_w / (m * layers) ** 2, k_u / m))
    return np.mean(shares, axis=0)


@pytest.mark.parametrize("name", ["softplus"])
def test_wide_networks_with_tied_weights_converge_to_the_kernel(name):
    """Networks of width 2,000 with 4 layers against the exact limit of 4 layers; centred readouts, eight per network."""
    rng, networks, layers = np.random.default_rng(0), 14, 4
    phi, slope = FUNCTIONS[name]
    samples = np.array([network(rng, X4, 2000, layers, phi, slope, 8) for _ in range(networks)])
    grams = kernel(name, layers=layers)(jnp.asarray(X4))
    want = np.stack([np.asarray(grams[k]) for k in ("nngp", "k_w", "k_u")])
    mean, error = samples.mean(0), samples.std(0, ddof=1) / np.sqrt(networks)
    free = error > 1e-12
    # Student's t of 13 degrees of freedom: 5 is passed by 2.4e-4 of the samples, of which there are 30.
    assert np.max(np.abs(mean - want)[free] / error[free]) < 5
    assert np.max(error) < 0.05
    # Independent weights in each layer, which share K^v's limit only to first order, are rejected.
    untied = np.asarray(UntiedODEKernel(activations.get(name))(jnp.asarray(X4))["k_w"])
    assert np.abs(mean[1] - untied)[0, 0] / error[1, 0, 0] > 5


def test_a_table_in_the_angle_agrees_with_every_pair_on_its_own():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((14, 4))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x[1], x[3] = x[0], -x[2]  # equal and opposite
    found, rows = kernel("tanh", time_steps=4), jnp.asarray(x)
    table = found.tabulated(rows)
    assert table is not None
    grams = found(rows)
    few = found(rows[:4])  # ten pairs: no table
    for name, gram in grams.items():
        gram = np.asarray(gram)
        np.testing.assert_array_equal(gram, gram.T)
        np.testing.assert_allclose(gram[:4, :4], few[name], rtol=0, atol=table.error[name] + 1e-12)
    assert found.tabulated(jnp.asarray(x * np.linspace(1, 2, 14)[:, None])) is None


def test_hermite_series_of_the_final_kernel():
    """Σ* = Σ a_k(τ²)² ρ_T^k with the variance that the states reach, not 1 (erratum C4)."""
    found = kernel("tanh")
    a = np.asarray(found.hermite(80))
    assert np.sum(a**2) == pytest.approx(CHECK["tanh"][1][0], abs=2e-7)
    unit = np.asarray(activations.get("tanh").hermite_coefficients(1.0, 80))
    assert np.sum(unit**2) == pytest.approx(0.394, abs=5e-4)
    assert np.sum(a[1::2] != 0) == 40
    assert np.all(np.abs(a[::2]) < 1e-15)


def test_which_polynomials_give_singular_kernels():
    """On the circle polynomials of degree k in x span 2k + 1 dimensions.

    A line: K^v, K^W and K^U all have rank d. z² through one layer: degree 4, rank 9. z² through the ODE: no finite degree,
    since the h_T are already polynomials of every degree: "only if" in Theorem 11 is about the read-out alone.
    """
    t = np.linspace(0, 2.9, 11)
    x = jnp.asarray(np.stack([np.cos(t), np.sin(t)], 1))
    assert np.linalg.matrix_rank(kernel("identity")(x)["ntk"], tol=1e-9) == 2
    assert np.linalg.matrix_rank(kernel("quadratic", sigma_w=0.5, layers=1)(x)["nngp"], tol=1e-9) == 9
    few, through_ode = x[::2], kernel("quadratic", sigma_w=0.3)  # six rows: more than the 5 dimensions of degree 2
    assert np.linalg.eigvalsh(through_ode(few)["nngp"])[0] > 6 * through_ode.entry_error(few)["nngp"] > 0


def test_opposite_rows_are_singular_for_odd_activations():
    opposite = jnp.asarray(np.concatenate([X4[:3], -X4[:1]]))
    odd = np.linalg.eigvalsh(kernel("tanh")(opposite)["ntk"])
    assert abs(odd[0]) < 1e-14  # f(−x) = −f(x)
    assert np.linalg.eigvalsh(kernel("softplus")(opposite)["ntk"])[0] > 1e-2


def test_only_the_product_of_sigma_w_and_the_horizon_matters():
    x = jnp.asarray(X4)
    one, other = kernel("erf", sigma_w=0.5, horizon=2.0)(x), kernel("erf")(x)
    for name, gram in one.items():
        np.testing.assert_allclose(gram, other[name], rtol=0, atol=1e-14)


def test_scales_of_inputs_readout_and_time():
    """σ_v² multiplies every share but Σ*, σ_u/√d the inputs; without ties only σ_w²T matters."""
    x, few = jnp.asarray(X4[:2]), {"time_steps": 2}
    plain, scaled = kernel("erf", **few)(x), kernel("erf", sigma_v=1.5, **few)(x)
    for name, gram in plain.items():
        np.testing.assert_allclose(scaled[name], gram * (1 if name == "sigma_star" else 2.25), rtol=1e-14, atol=1e-15)
    shrunk = kernel("erf", sigma_u=0.5, **few)(x)
    for name, gram in kernel("erf", **few)(0.5 / math.sqrt(3) * x).items():
        np.testing.assert_allclose(shrunk[name], gram, rtol=1e-13)
    one, other = (
        UntiedODEKernel(activations.get("erf"), sigma_w=w, horizon=t, **few)(x) for w, t in ((1.0, 1.0), (0.5, 4.0))
    )
    for name, gram in one.items():
        np.testing.assert_allclose(other[name], gram, rtol=1e-13)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 0.0}, "horizon: a positive number expected, 0.0 came"),
        ({"sigma_w": -1.0}, "sigma_w: a positive"),
        ({"sigma_u": 0.0}, "sigma_u: a positive"),
        ({"time_steps": 0}, "time_steps: an integer of at least 1"),
        ({"layers": 0}, "layers: an integer of at least 1"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        NeuralODEKernel(activations.get("tanh"), **options)


def test_an_exploding_variance_is_said_in_one_line():
    with pytest.raises(ValueError, match="lower sigma_w times the horizon") as raised:
        kernel("quadratic", sigma_w=3.0)(jnp.asarray(X4))
    assert "\n" not in str(raised.value)
