"""The read-out's drift for slopes between 0 and 1, attacked: ‖K^{-1/2}(F(θ + d) − F(θ))‖ ≤ Λ_*(R)R/σ₀ for every d of norm R.

The networks are written out once more in JAX; d is drawn at random and then driven uphill by the gradient of that very norm.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin._core import Estimate
from globalmin.theory.curvature import HalfSlopes, readout_lipschitz, relative_norm

PHI = {"tanh": jnp.tanh, "relu": jax.nn.relu, "softplus": jax.nn.softplus}
LAYERS, STEP = 3, 0.4


def equilibrium(phi, x, parts):
    """Z of z = φ(Wz + Ux): damped, so that μ < 1 is all it needs."""
    w, u = parts
    z = jnp.zeros((len(x), len(w)))
    return jax.lax.fori_loop(0, 150, lambda _, z: 0.6 * z + 0.4 * phi(z @ w.T + x @ u.T), z)


def ode(phi, x, parts):
    """Φ_L of h + Δt W φ(h) from h = Ux."""
    w, u = parts
    h = x @ u.T
    for _ in range(LAYERS):
        h = h + STEP * phi(h) @ w.T
    return phi(h)


def features(phi, x, parts):
    """Φ of the implicit network, W trained: √m times it."""
    return phi(x @ parts[1].T)


NETWORKS = {"equilibrium": equilibrium, "ode": ode, "features": features}


def norm(a):
    return float(np.linalg.norm(np.asarray(a), 2))


def lipschitz(name, phi, x, parts):
    """The bound, by the library, from dense algebra here."""
    w, _ = parts
    f = np.asarray(NETWORKS[name](phi, x, parts))
    gram = f @ f.T
    least = Estimate(float(np.linalg.eigvalsh(gram)[0]))
    rows = np.asarray(x)
    if name == "equilibrium":
        both = np.hstack([f, rows])
        mu = float(np.linalg.eigvalsh((w + w.T) / 2)[-1])
        return lambda radius: readout_lipschitz(
            radius, w_norm=norm(w), mu=mu, slope=1.0, slope01=True, features_norm=norm(both),
            sigma=math.sqrt(least.value), relative=relative_norm(gram, least, both),
        )  # fmt: skip
    if name == "features":
        return lambda radius: (norm(rows) + math.sqrt(least.value) * relative_norm(gram, least, rows)) / 2
    h, states = x @ parts[1].T, []
    for _ in range(LAYERS):
        states.append(np.asarray(phi(h)))
        h = h + STEP * phi(h) @ w.T
    ahead = np.eye(len(w)) + STEP / 2 * np.asarray(w)
    half = HalfSlopes(
        step=STEP, w_scale=1.0, v_scale=1.0, sigma=math.sqrt(least.value), common=norm(ahead),
        driven=tuple(norm(np.linalg.matrix_power(ahead, j) @ w) for j in range(LAYERS)), data_norm=norm(rows),
        features_norm=tuple(map(norm, states)), data_relative=relative_norm(gram, least, rows),
        features_relative=tuple(relative_norm(gram, least, s) for s in states),
    )  # fmt: skip
    return half.lipschitz


@functools.partial(jax.jit, static_argnames=("name", "activation"))
def climb(name, activation, x, parts, start, radius):
    """Largest ‖K^{-1/2}ΔF‖ met while d goes uphill on the sphere of the radius, and the smallest σ_min(F)."""
    network, phi = NETWORKS[name], PHI[activation]
    f = network(phi, x, parts)
    root = jnp.linalg.cholesky(f @ f.T)

    def on_sphere(d):
        size = jnp.sqrt(sum(jnp.sum(a**2) for a in d))
        return [radius * a / size for a in d]

    def moved(d):
        return network(phi, x, [a + b for a, b in zip(parts, d, strict=True)])

    def change(d):
        return jnp.linalg.norm(jax.scipy.linalg.solve_triangular(root, moved(d) - f, lower=True), 2)

    def body(d, share):
        value, slope = jax.value_and_grad(change)(d)
        size = jnp.sqrt(sum(jnp.sum(a**2) for a in slope)) + 1e-300
        least = jnp.linalg.svd(moved(d), compute_uv=False)[-1]
        return on_sphere([a + share * radius * b / size for a, b in zip(d, slope, strict=True)]), (value, least)

    _, (values, least) = jax.lax.scan(body, on_sphere(start), jnp.geomspace(3.0, 0.01, 25))
    return values.max(), least.min()


def drawn(g, n, d, m, size):
    x = g.standard_normal((n, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return jnp.asarray(x), [
        jnp.asarray(size * g.standard_normal((m, m)) / math.sqrt(m)),
        jnp.asarray(g.standard_normal((m, d))),
    ]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("activation", PHI)
def test_no_direction_moves_the_features_further(name, activation):
    nearest = 0.0
    for seed in range(3):
        g = np.random.default_rng(seed)
        x, parts = drawn(g, 3, 3, 5, 0.4 if name == "equilibrium" else 1.0)
        sigma = np.linalg.svd(np.asarray(NETWORKS[name](PHI[activation], x, parts)), compute_uv=False)[-1]
        if sigma < 1e-3:  # dead rectifiers
            continue
        bound = lipschitz(name, PHI[activation], x, parts)
        for radius in (1e-3, 0.3):
            allowed = bound(radius) * radius
            for _ in range(2):
                start = [jnp.asarray(g.standard_normal(p.shape)) for p in parts]
                change, least = climb(name, activation, x, parts, start, radius)
                assert change <= allowed / sigma * (1 + 1e-9) + 1e-9
                assert least >= sigma - allowed - 1e-9
                nearest = max(nearest, float(change) * sigma / allowed)
    assert nearest > 0.1, "not a bound worth having"


@pytest.mark.parametrize("name", NETWORKS)
def test_one_open_neuron_attains_it(name):
    """m = n = 1, slope 1, W > 0: every inequality is an equality, so that no constant could be smaller."""
    x, parts = jnp.ones((1, 1)), [jnp.full((1, 1), 0.5), jnp.full((1, 1), 2.0)]
    radius = 1e-6
    allowed = lipschitz(name, jax.nn.relu, x, parts)(radius) * radius
    f = float(NETWORKS[name](jax.nn.relu, x, parts)[0, 0])
    start = [jnp.ones((1, 1)), jnp.ones((1, 1))]
    change, _ = climb(name, "relu", x, parts, start, radius)
    assert change * f == pytest.approx(
        allowed, rel=1e-4
    )  # the ascent's last steps turn d by 1e-2, which costs 1e-4 / 2


def test_on_a_wide_ball_the_change_of_w_counts_twice():
    """m = n = 1, slope 1, and states so large that all of d goes into W: (W + ΔW)(φ + δφ) has a term ΔW δφ."""
    x, parts, radius = jnp.ones((1, 1)), [jnp.full((1, 1), 0.5), jnp.full((1, 1), 50.0)], 0.5
    allowed = lipschitz("ode", jax.nn.relu, x, parts)(radius) * radius
    h = 50 * (1 + STEP * 0.5) ** LAYERS
    moved = 50 * (1 + STEP * (0.5 + radius)) ** LAYERS - h
    assert moved <= allowed <= 1.001 * moved  # dU adds (1/50)²/2, and more where it grows


def test_the_sector_lemma():
    """z = D(Wz + s), 0 ≤ D ≤ I: ‖B^{1/2}z − ½B^{-1/2}s‖ ≤ ½‖B^{-1/2}s‖ with B = I − (W + Wᵀ)/2, at corners D too."""
    g, nearest = np.random.default_rng(0), 0.0
    for _ in range(300):
        m = int(g.integers(1, 7))
        w = g.standard_normal((m, m))
        w += (0.9 * g.random() - np.linalg.eigvalsh((w + w.T) / 2)[-1]) * np.eye(m)
        values, vectors = np.linalg.eigh(np.eye(m) - (w + w.T) / 2)
        root, inverse = (vectors * values**0.5) @ vectors.T, (vectors * values**-0.5) @ vectors.T
        slopes = np.where(g.random(m) < 0.5, g.integers(0, 2, m), g.random(m)).astype(float)
        s = g.standard_normal(m)
        z = np.linalg.solve(np.eye(m) - slopes[:, None] * w, slopes * s)
        left, right = np.linalg.norm(root @ z - inverse @ s / 2), np.linalg.norm(inverse @ s) / 2
        assert left <= right * (1 + 1e-9)
        nearest = max(nearest, left / right)
    assert nearest > 0.999


def test_nothing_is_said_where_nothing_is_proven():
    numbers = {"w_norm": 2.0, "mu": 0.5, "slope": 1.0, "features_norm": 3.0, "sigma": 0.1, "relative": 1.0}
    assert math.isfinite(readout_lipschitz(0.4, slope01=True, **numbers))
    assert math.isinf(readout_lipschitz(0.5, slope01=True, **numbers))
    assert math.isinf(readout_lipschitz(0.0, slope01=False, **numbers))  # ‖W‖ ≥ 1 and slopes of either sign
    singular = np.ones((2, 2))
    assert math.isinf(relative_norm(singular, Estimate(0.0, 1e-16), np.ones((2, 3))))


def test_an_error_of_the_gram_counts():
    gram, rows = np.diag([1.0, 4.0]), np.eye(2)
    assert relative_norm(gram, Estimate(1.0), rows) == pytest.approx(1.0, rel=1e-12)
    assert relative_norm(gram, Estimate(1.0, 0.19), rows) == pytest.approx(1 / 0.9, rel=1e-12)
