"""Implicit networks against dense algebra, autodiff and finite differences, one sample and one layer at a time."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import activations, gram
from globalmin._core import RESULTS
from globalmin.models import Implicit

N, D, M = 5, 4, 14
NAMES = ["relu", "tanh", "softplus"]
PAIRS = list(zip(NAMES, ["iteration", "anderson", "splitting"], strict=True))
WEIGHTS = ("hidden", "inject", "readout", "skip")


def problem(getkey, name="relu", *, n=N, d=D, m=M, gamma0=0.6, dtype=jnp.float64, **settings):
    model = Implicit.init(d, m, activations.get(name), key=getkey(), gamma0=gamma0, dtype=dtype, **settings)
    x = jax.random.normal(getkey(), (n, d), dtype)
    return model, x / jnp.linalg.norm(x, axis=1, keepdims=True), jax.random.normal(getkey(), (n,), dtype)


def arrays(model):
    return [np.asarray(getattr(model, name)) for name in WEIGHTS]


def phi(model, h):
    return np.asarray(model.activation(jnp.asarray(h)))


def slope(model, h):
    return np.asarray(model.activation.derivative(jnp.asarray(h)))


def unrolled(model, x, count=300):
    """Z and Φ by z ← φ(gAz + φ(Wx)/√m) from 0."""
    a, w, _, _ = arrays(model)
    features = phi(model, np.asarray(x) @ w.T) / np.sqrt(len(a))
    z = np.zeros_like(features)
    for _ in range(count):
        z = phi(model, z @ a.T * (model.gamma / np.sqrt(len(a))) + features)
    return z, features


def network(model, x):
    z, features = unrolled(model, x)
    return z @ np.asarray(model.readout) + features @ np.asarray(model.skip)


def dense_jacobian(model, x):
    """∂f_i/∂(A, W, u, v) from dz = D(g A dz + g dA z + E dW x/√m), solved for every unit direction."""
    a, w, u, v = arrays(model)
    m, g = len(u), model.gamma / np.sqrt(len(u))
    rows = []
    for xi, zi, fi in zip(np.asarray(x), *unrolled(model, x), strict=True):
        d, e = slope(model, g * a @ zi + fi), slope(model, w @ xi) / np.sqrt(m)
        by_a, by_w = np.kron(np.diag(g * d), zi[None]), np.kron(np.diag(e), xi[None])
        resolvent = np.linalg.inv(np.eye(m) - g * d[:, None] * a)
        rows.append(np.concatenate([u @ resolvent @ by_a, u @ resolvent @ (d[:, None] * by_w) + v @ by_w, zi, fi]))
    return np.array(rows)


def flat(tree):
    return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array))])


def factors(model, x, state=None):
    return {k: (np.asarray(b.left), np.asarray(b.right)) for k, b in model.tangent_blocks(x, state).items()}


@eqx.filter_jit
def step(model, x, y, state):
    return model.step(x, y, state)


def with_contraction(model, value):
    return eqx.tree_at(lambda m: m.hidden, model, model.hidden * (value / model.operator_norm().value))


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_outputs_and_jacobian_match_dense_algebra_and_autodiff(getkey, name, method):
    model, x, _ = problem(getkey, name, method=method)
    # Relative residual 1e-12 times 1/(1 − 0.6), on quantities of order 10.
    np.testing.assert_allclose(model.equilibrium(x).checked(), unrolled(model, x)[0], rtol=0, atol=1e-11)
    np.testing.assert_allclose(model.outputs(x), network(model, x), rtol=0, atol=1e-10)
    np.testing.assert_allclose(jax.vmap(model)(x), network(model, x), rtol=0, atol=1e-11)
    blocks = np.hstack([np.einsum("np,nq->npq", *pair).reshape(N, -1) for pair in factors(model, x).values()])
    np.testing.assert_allclose(blocks, dense_jacobian(model, x), rtol=0, atol=1e-10)
    np.testing.assert_allclose(gram.jacobian(model, x), blocks, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_gram_matrices_are_those_of_lemma_3_1(getkey, name):
    model, x, _ = problem(getkey, name)
    a, w, u, v = arrays(model)
    m, g = len(u), model.gamma / np.sqrt(len(u))
    z, features = unrolled(model, x)
    d, e = slope(model, g * z @ a.T + features), slope(model, np.asarray(x) @ w.T)
    # (15) and the corrected (16) as printed: products of the dense inverses.
    inverse = [np.linalg.inv(np.eye(m) - g * di[:, None] * a) for di in d]
    s = [e[i] * (d[i] * (inverse[i].T @ u) + v) for i in range(N)]
    big_m = np.array([[u @ inverse[i] @ (d[i] * d[j] * (inverse[j].T @ u)) / m for j in range(N)] for i in range(N)])
    big_q = np.array([[s[i] @ s[j] / m for j in range(N)] for i in range(N)])
    terms = {
        "hidden": model.gamma**2 * big_m * (z @ z.T),
        "inject": big_q * np.asarray(x @ x.T),
        "readout": z @ z.T,
        "skip": features @ features.T,  # (14)
    }
    shares = gram.block_grams(model, x)
    assert set(shares) == set(terms)
    for block, want in terms.items():
        np.testing.assert_allclose(shares[block], want, rtol=0, atol=1e-10)
    left = factors(model, x)
    np.testing.assert_allclose(left["hidden"][0] @ left["hidden"][0].T, model.gamma**2 * big_m, rtol=0, atol=1e-10)
    np.testing.assert_allclose(left["inject"][0] @ left["inject"][0].T, big_q, rtol=0, atol=1e-10)
    j = gram.jacobian(model, x)
    np.testing.assert_allclose(gram.gram(model, x), j @ j.T, rtol=1e-10, atol=1e-10)


def test_the_printed_equation_16_is_asymmetric(getkey):
    """Without the transpose in its first factor Q is not symmetric, and H is off by a percent (m = 50)."""
    model, x, _ = problem(getkey, m=50, gamma0=0.3)
    a, w, u, v = arrays(model)
    m, g = len(u), model.gamma / np.sqrt(len(u))
    z, features = unrolled(model, x)
    d, e = slope(model, g * z @ a.T + features), slope(model, np.asarray(x) @ w.T)
    inverse = [np.linalg.inv(np.eye(m) - g * di[:, None] * a) for di in d]
    first = np.array([e[i] * (d[i] * (inverse[i] @ u) + v) for i in range(N)])
    second = np.array([e[i] * (d[i] * (inverse[i].T @ u) + v) for i in range(N)])
    printed, true = first @ second.T / m, second @ second.T / m
    assert np.abs(printed - printed.T).max() > 1e-3 * np.abs(true).max()
    left, _ = factors(model, x)["inject"]
    np.testing.assert_allclose(left @ left.T, true, rtol=0, atol=1e-10)
    h = np.asarray(gram.gram(model, x))
    assert np.linalg.norm((printed - true) * np.asarray(x @ x.T)) > 1e-3 * np.linalg.norm(h)


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_step_gradient_matches_finite_differences(getkey, name):
    model, x, y = problem(getkey, name, tolerance=1e-13)
    done = step(model, x, y, model.initial_state(x))
    np.testing.assert_allclose(done.outputs, network(model, x), rtol=0, atol=1e-11)
    assert done.result == RESULTS.successful
    gradient = done.gradient
    assert jax.tree.structure(gradient) == jax.tree.structure(eqx.filter(model, model.trainable()))

    def loss(moved):
        return 0.5 * np.sum((network(moved, x) - np.asarray(y)) ** 2)

    t = 1e-5  # truncation t² against rounding eps/t: 1e-10 relative each
    for weight in WEIGHTS:
        change = jax.random.normal(getkey(), getattr(model, weight).shape)
        one, other = (
            eqx.tree_at(lambda k: getattr(k, weight), model, getattr(model, weight) + s * change)  # noqa: B023
            for s in (t, -t)
        )
        want = (loss(one) - loss(other)) / (2 * t)
        # The directional derivative may be small by chance: relative to the sizes of its factors.
        size = float(jnp.linalg.norm(getattr(gradient, weight)) * jnp.linalg.norm(change))
        assert abs(float(jnp.sum(getattr(gradient, weight) * change)) - want) < 1e-6 * size


def test_iteration_converges_at_the_rate_of_lemma_2_2(getkey):
    """‖z^l − z‖ ≤ q^l/(1 − q) ‖φ‖ with q = (γ/√m)‖A‖, at every l and every sample."""
    model, x, _ = problem(getkey, m=60, gamma0=0.7)
    q = model.operator_norm().value
    # γ₀ bounds the norm; W's norm is below A's here, so c is A's and the bound is attained up to its margin.
    assert 0.69 < q <= 0.7
    z, features = unrolled(model, x)
    ratios = []
    for count in range(40):
        distance = np.linalg.norm(unrolled(model, x, count)[0] - z, axis=1)
        bound = q**count / (1 - q) * np.linalg.norm(features, axis=1)
        assert np.all(distance <= bound * (1 + 1e-12))
        ratios.append(distance.max())
    # The lemma's rate is not idle: the measured one is slower than q/4.
    assert (ratios[20] / ratios[5]) ** (1 / 15) > q / 4
    # `passed` is this very iteration, and `read` has the read-outs.
    near, _ = unrolled(model, x, 3)
    want = near @ np.asarray(model.readout) + features @ np.asarray(model.skip)
    passed = jnp.zeros_like(z)
    for _ in range(3):
        passed = model.passed(x, passed)
    np.testing.assert_allclose(model.read(x, passed), want, rtol=0, atol=1e-12)


def test_gamma_follows_its_rule(getkey):
    relu = activations.get("relu")
    key = getkey()
    measured = Implicit.init(3, 40, relu, key=key, gamma0=0.3)
    c = max(np.linalg.norm(np.asarray(w), 2) for w in (measured.hidden, measured.inject)) / np.sqrt(40)
    assert measured.gamma == pytest.approx(0.3 / c, rel=1e-9)
    assert measured.operator_norm().value <= 0.3
    # A wide W (d > m) has the larger norm and decides.
    wide = Implicit.init(400, 20, relu, key=key, gamma0=0.3)
    assert wide.gamma == pytest.approx(0.3 * np.sqrt(20) / np.linalg.norm(np.asarray(wide.inject), 2), rel=1e-9)
    assert wide.operator_norm().value < 0.2
    assert Implicit.init(3, 40, relu, key=key, gamma0=0.2, norm_bound=2.0).gamma == 0.1
    assert Implicit.init(3, 40, relu, key=key, gamma0=0.2, norm_bound=0.5).gamma == 0.2


def test_initialisation_is_assumption_1(getkey):
    model = Implicit.init(200, 300, activations.get("relu"), key=getkey())
    for weight in (model.hidden, model.inject):
        # The sample variance of N Gaussians has standard error √(2/N), the mean 1/√N.
        assert abs(float(jnp.mean(weight**2)) - 1) < 4 * np.sqrt(2 / weight.size)
        assert abs(float(jnp.mean(weight))) < 4 / np.sqrt(weight.size)
    for signs in (model.readout, model.skip):
        assert set(np.asarray(signs)) == {-1.0, 1.0}
    assert not np.array_equal(model.readout, model.skip)
    # ‖A‖/√m tends to 2, the one-sided constant to √2, both with fluctuations of order m^{-2/3} = 2%.
    assert abs(model.operator_norm().value / model.gamma - 2) < 0.08
    assert abs(model.one_sided_constant().value / model.gamma - np.sqrt(2)) < 0.08
    assert model.well_posed()
    assert sum(jax.tree.leaves(model.trainable())) == 4


def test_warm_descent_in_float32(getkey):
    model, x, y = problem(getkey, n=20, d=20, m=200, gamma0=0.3, dtype=jnp.float32)
    cold = step(model, x, y, model.cold_state(x))
    state, losses, done = model.initial_state(x), [], cold
    for _ in range(30):
        done = step(model, x, y, state)
        assert done.result == RESULTS.successful
        state = done.state
        model = eqx.apply_updates(model, jax.tree.map(lambda g: -0.1 * g, done.gradient))
        losses.append(float(jnp.sum((done.outputs - y) ** 2)))
    leaves = jax.tree.leaves(eqx.filter((model, state, done.gradient), eqx.is_array))
    assert {leaf.dtype for leaf in leaves} == {np.dtype("float32")}
    assert losses[-1] < 0.05 * losses[0]
    assert int(done.info["forward_iterations"]) < int(cold.info["forward_iterations"])
    assert int(done.info["backward_iterations"]) < int(cold.info["backward_iterations"])
    # Single precision on outputs of order √m u·z ~ 10 and a tolerance of 1e-6 of the same size.
    np.testing.assert_allclose(step(model, x, y, state).outputs, network(model, x), rtol=0, atol=1e-4)


def test_lost_contraction_is_reported_though_the_solves_converge(getkey):
    model, x, y = problem(getkey, m=60)
    far = with_contraction(model, 1.2)  # spectral radius about 0.6: the iteration still converges
    done = step(far, x, y, far.initial_state(x))
    assert done.result == RESULTS.not_contractive
    assert 1 <= float(done.info["contraction"]) <= far.operator_norm().upper
    assert far.well_posed()  # by the one-sided constant, about 0.85
    lost = with_contraction(model, 50.0)
    assert not lost.well_posed()
    assert step(lost, x, y, lost.cold_state(x)).result == RESULTS.nonfinite
    with pytest.raises(eqx.EquinoxRuntimeError):
        lost.outputs(x)


def test_zero_rows_have_the_zero_equilibrium(getkey):
    model, x, y = problem(getkey)
    done = step(model, x.at[1].set(0.0), y, model.initial_state(x))
    assert done.result == RESULTS.successful
    assert float(done.outputs[1]) == pytest.approx(0, abs=1e-5)  # the warm start belongs to other inputs


def test_output_scale_bounds_the_terms(getkey):
    model, x, _ = problem(getkey, "softplus")
    z, features = unrolled(model, x)
    terms = (np.abs(z * np.asarray(model.readout)) + np.abs(features * np.asarray(model.skip))).sum(1).max()
    assert terms <= model.output_scale(x) <= 10 * terms


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gamma0": 1.0}, r"gamma0: a number in \(0, 1\) expected, 1.0 came"),
        ({"gamma0": 0.0}, r"\(0, 1\)"),
        ({"gamma0": float("nan")}, r"\(0, 1\)"),
        ({"norm_bound": 0.0}, "norm_bound"),
        ({"norm_bound": float("inf")}, "norm_bound"),
        ({"m": 0}, "width"),
        ({"d": 0}, "dimension"),
        ({"method": "broyden"}, "method"),
        ({"name": "hermite-2"}, "Lipschitz"),
    ],
)
def test_bad_settings(getkey, change: dict[str, Any], message):
    with pytest.raises(ValueError, match=message) as raised:
        problem(getkey, **change)
    assert "\n" not in str(raised.value)


def test_bad_inputs(getkey):
    model, x, _ = problem(getkey)
    with pytest.raises(ValueError, match=r"gamma: a number in \(0, 1\) expected"):
        Implicit(
            hidden=model.hidden,
            inject=model.inject,
            readout=model.readout,
            skip=model.skip,
            activation=model.activation,
            gamma=1.5,
        )
    with pytest.raises(ValueError, match="float64 expected"):
        model.equilibrium(jnp.asarray(x, jnp.float32))
    with pytest.raises(ValueError, match="dimension 4 expected"):
        model.equilibrium(x[:, :3])
    with pytest.raises(ValueError, match="state"):
        model.equilibrium(x, model.initial_state(x[:2]))
