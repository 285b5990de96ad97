from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from globalmin import activations
from globalmin._core import RESULTS
from globalmin.models import Equilibrium

N, D, M = 5, 4, 12
NAMES = ["relu", "tanh", "softplus"]
# Every activation and every method once: the two do not meet in the code.
PAIRS = list(zip(NAMES, ["iteration", "anderson", "splitting"], strict=True))


def problem(getkey, name="tanh", *, n=N, d=D, m=M, sigma_w2=0.1, dtype=jnp.float64, **settings):
    model = Equilibrium.init(d, m, activations.get(name), key=getkey(), sigma_w2=sigma_w2, dtype=dtype, **settings)
    x = jax.random.normal(getkey(), (n, d), dtype)
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True) * float(np.sqrt(d))
    return model, x, jax.random.normal(getkey(), (n,), dtype)


def with_norm(model, norm):
    return eqx.tree_at(lambda m: m.hidden, model, model.hidden * (norm / model.operator_norm().value))


def unrolled(model, x, count=400):
    """Z by Algorithm "repeat", one sample and one layer at a time."""
    w, u = np.asarray(model.hidden), np.asarray(model.inject)
    rows = []
    for xi in np.asarray(x):
        z = np.zeros(len(w))
        for _ in range(count):
            z = np.asarray(model.activation(jnp.asarray(w @ z + u @ xi)))
        rows.append(z)
    return np.array(rows)


def dense_jacobian(model, x):
    """∂f_i/∂(W, U, a) from the linearised system dz = D(W dz + dW z + dU x), solved for every unit direction."""
    w, u, a = (np.asarray(p) for p in (model.hidden, model.inject, model.readout))
    m = len(a)
    rows = []
    for xi, z in zip(np.asarray(x), unrolled(model, x), strict=True):
        slopes = np.asarray(model.activation.derivative(jnp.asarray(w @ z + u @ xi)))
        # Column (p, q) of the right side: dW = e_p e_qᵀ gives D e_p z_q, dU likewise with x_q.
        right = np.concatenate([np.kron(np.diag(slopes), v[None, :]) for v in (z, xi)], axis=1)
        dz = np.linalg.solve(np.eye(m) - slopes[:, None] * w, right)
        rows.append(np.concatenate([a @ dz, z]))
    return np.array(rows)


def flat(tree):
    return np.concatenate([np.asarray(leaf).reshape(-1) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array))])


def block_jacobian(model, x, state=None):
    blocks = model.tangent_blocks(x, state)
    return np.concatenate(
        [
            np.einsum("np,nq->npq", blocks[k].left, blocks[k].right).reshape(len(x), -1)
            for k in ("hidden", "inject", "readout")
        ],
        axis=1,
    )


@eqx.filter_jit
def step(model, x, y, state):
    return model.step(x, y, state)


def descend(model, x, y, count, rate):
    state, steps = model.initial_state(x), []
    for _ in range(count):
        steps.append(step(model, x, y, state))
        state = steps[-1].state
        model = eqx.apply_updates(model, jax.tree.map(lambda g: -rate * g, steps[-1].gradient))
    return model, state, steps


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_equilibrium_matches_unrolled_iteration(getkey, name, method):
    model, x, _ = problem(getkey, name, method=method)
    solved = model.equilibrium(x)
    # Relative residual 1e-12, amplified by at most 1/(1 − ‖W‖) < 30 here.
    np.testing.assert_allclose(solved.value, unrolled(model, x), rtol=0, atol=3e-11)
    assert solved.result == RESULTS.successful
    assert float(solved.residual) < 1e-12
    np.testing.assert_allclose(
        jax.vmap(model)(x), unrolled(model, x) @ np.asarray(model.readout), rtol=0, atol=1e-12
    )  # 16 eps times the same amplification
    np.testing.assert_allclose(model.outputs(x), jax.vmap(model)(x), rtol=0, atol=3e-11)


def test_equilibrium_matches_a_root_finder(getkey):
    model, x, _ = problem(getkey, "softplus", n=1)
    w, c = np.asarray(model.hidden), np.asarray(model.inject @ x[0])
    root = scipy.optimize.root(lambda z: np.logaddexp(0, w @ z + c) - z, np.zeros(M), tol=1e-13).x
    np.testing.assert_allclose(
        model.equilibrium(x).value[0], root, rtol=0, atol=1e-10
    )  # the root finder's own accuracy


def test_residual_is_that_of_the_value(getkey):
    model, x, _ = problem(getkey, "relu")
    z = model.equilibrium(x).value
    w, c = np.asarray(model.hidden), np.asarray(x @ model.inject.T)
    residual = np.linalg.norm(np.maximum(np.asarray(z) @ w.T + c, 0) - z) / np.linalg.norm(c)
    # Both are a few roundings above zero: equal up to another rounding.
    np.testing.assert_allclose(model.equilibrium(x).residual, residual, rtol=0, atol=1e-15)
    np.testing.assert_allclose(model.preactivations(x, z), np.asarray(z) @ w.T + c, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_tangent_blocks_match_dense_algebra_and_autodiff(getkey, name, method):
    model, x, _ = problem(getkey, name, method=method)
    blocks = block_jacobian(model, x)
    # Solver against dense algebra; autodiff goes through Optimistix's dense linear solve.
    np.testing.assert_allclose(blocks, dense_jacobian(model, x), rtol=0, atol=1e-10)
    jacobian = jax.jacrev(lambda m: jax.vmap(m)(x))(model)
    autodiff = np.concatenate(
        [np.asarray(p).reshape(N, -1) for p in (jacobian.hidden, jacobian.inject, jacobian.readout)], axis=1
    )
    np.testing.assert_allclose(autodiff, blocks, rtol=0, atol=1e-10)


def test_single_and_batched_paths_differentiate_both_ways(getkey):
    model, x, y = problem(getkey, "tanh")
    arrays, rest = eqx.partition(model, eqx.is_array)
    change = jax.tree.map(lambda p: jax.random.normal(getkey(), p.shape), arrays)

    def single(m):
        return jnp.sum(jax.vmap(m)(x) * y)

    def batched(m):
        return jnp.sum(m.outputs(x) * y)

    want = y @ (block_jacobian(model, x) @ flat(change))
    for f in (single, batched):
        _, push = jax.linearize(lambda p, f=f: f(eqx.combine(p, rest)), arrays)
        np.testing.assert_allclose(push(change), want, rtol=1e-10)
        np.testing.assert_allclose(flat(eqx.filter_grad(f)(model)) @ flat(change), want, rtol=1e-10)


def test_adjoint_matches_dense_solve(getkey):
    model, x, _ = problem(getkey, "relu")
    z = unrolled(model, x)
    w, a = np.asarray(model.hidden), np.asarray(model.readout)
    h = z @ w.T + np.asarray(x @ model.inject.T)
    want = [np.linalg.solve(np.eye(M) - (hi > 0)[:, None] * w.T, (hi > 0) * a) for hi in h]
    solved = model.adjoint(x, jnp.asarray(z))
    np.testing.assert_allclose(solved.value, want, rtol=0, atol=1e-11)  # 1e-12 amplified by 1/(1 − ‖W‖)
    assert float(solved.residual) < 1e-12


@pytest.mark.parametrize("name", ["relu", "softplus"])
def test_step_gradient_matches_finite_differences(getkey, name):
    model, x, y = problem(getkey, name, tolerance=1e-13)
    result = step(model, x, y, model.initial_state(x))
    np.testing.assert_allclose(result.outputs, jax.vmap(model)(x), rtol=0, atol=1e-12)
    change = jax.tree.map(lambda p: jax.random.normal(getkey(), p.shape), eqx.filter(model, eqx.is_array))

    def loss(t):
        moved = eqx.apply_updates(model, jax.tree.map(lambda p: t * p, change))
        return 0.5 * np.sum((unrolled(moved, x) @ np.asarray(moved.readout) - np.asarray(y)) ** 2)

    t = 1e-5  # truncation t² against rounding eps/t: 1e-10 relative each
    slope = (loss(t) - loss(-t)) / (2 * t)
    np.testing.assert_allclose(flat(result.gradient) @ flat(change), slope, rtol=1e-6)


@pytest.mark.parametrize(("name", "method"), [("leaky-relu", "anderson"), ("relu", "splitting")])
def test_step_gradient_is_the_implicit_one(getkey, name, method):
    model, x, y = problem(getkey, name, tolerance=1e-13, method=method)
    result = step(model, x, y, model.initial_state(x))
    want = eqx.filter_grad(lambda m: 0.5 * jnp.sum((jax.vmap(m)(x) - y) ** 2))(model)
    np.testing.assert_allclose(flat(result.gradient), flat(want), rtol=0, atol=1e-10)
    assert result.result == RESULTS.successful
    assert jax.tree.structure(result.gradient) == jax.tree.structure(eqx.filter(model, model.trainable()))


def test_warm_start_saves_iterations_and_changes_nothing(getkey):
    model, x, y = problem(getkey, "relu", n=20, d=20, m=200, sigma_w2=0.04)
    cold = model.initial_state(x)
    nothing = eqx.tree_at(
        lambda s: (s.hidden, s.previous, s.adjoint), cold, tuple(jnp.zeros_like(cold.hidden) for _ in range(3))
    )
    from_zero = step(model, x, y, nothing)
    # The rate is 0.12 / λ_max, with λ_max about m n K(0)(1 + Γ(0)) = 0.46 m n. Without extrapolation it takes 6.
    model, state, steps = descend(model, x, y, 20, 0.12 / (200 * 20 * 0.46))
    last = steps[-1].info
    assert int(last["forward_iterations"]) <= 4 < int(from_zero.info["forward_iterations"])
    assert int(last["backward_iterations"]) < int(from_zero.info["backward_iterations"])
    warm, fresh = step(model, x, y, state), step(model, x, y, model.initial_state(x))
    # Both residuals are at most 1e-6 of ‖UX‖ ~ √(2nm) = 90 and √n ‖a‖; the gradient's sizes are below 30.
    np.testing.assert_allclose(warm.outputs, fresh.outputs, rtol=0, atol=1e-4)
    np.testing.assert_allclose(flat(warm.gradient), flat(fresh.gradient), rtol=0, atol=3e-3)
    np.testing.assert_allclose(block_jacobian(model, x, state), block_jacobian(model, x), rtol=0, atol=1e-10)


def test_descent_in_float32_stays_in_float32_and_is_deterministic(getkey):
    model, x, y = problem(getkey, "relu", n=10, d=10, m=64, dtype=jnp.float32)
    runs = [descend(model, x, y, 30, np.float32(1e-3)) for _ in range(2)]
    (last, state, steps), (again, _, _) = runs
    assert {leaf.dtype for leaf in jax.tree.leaves(eqx.filter((last, state), eqx.is_array))} == {np.dtype("float32")}
    losses = [float(jnp.sum((s.outputs - y) ** 2)) for s in steps]
    assert losses[-1] < 0.2 * losses[0]
    assert all(s.result == RESULTS.successful for s in steps)
    np.testing.assert_array_equal(flat(last), flat(again))
    # Judged in float64, the float32 outputs are off by the tolerance of the step and by single precision.
    wide = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64) if eqx.is_inexact_array(p) else p, last)
    after = step(last, x, y, state)
    np.testing.assert_allclose(after.outputs, wide.outputs(jnp.asarray(x, jnp.float64)), rtol=0, atol=1e-4)


def test_initialisation_has_the_stated_variances(getkey):
    model = Equilibrium.init(300, 400, activations.get("relu"), key=getkey(), sigma_w2=0.08)
    for weight, variance in ((model.hidden, 0.16 / 400), (model.inject, 2 / 300), (model.readout, 1 / 400)):
        # The sample variance of N Gaussians has standard error √(2/N).
        assert abs(float(jnp.mean(weight**2)) / variance - 1) < 4 * np.sqrt(2 / weight.size)
    # ‖W‖ tends to 2√2 σ_w = 0.8, μ to 2 σ_w = 0.566, with fluctuations of order m^{-2/3} = 2%.
    assert abs(model.operator_norm().value - 0.8) < 0.03
    assert abs(model.one_sided_constant().value - 2 * np.sqrt(0.08)) < 0.03
    assert model.well_posed()


def test_zero_inputs_have_the_zero_equilibrium(getkey):
    model, x, y = problem(getkey, "relu")
    solved = model.equilibrium(jnp.zeros_like(x))
    assert solved.result == RESULTS.successful
    np.testing.assert_array_equal(solved.value, np.zeros((N, M)))
    assert step(model, jnp.zeros_like(x), y, model.initial_state(jnp.zeros_like(x))).result == RESULTS.successful


def test_lost_contraction_is_reported_though_the_solves_converge(getkey):
    model, x, y = problem(getkey, "relu", m=60)
    model = with_norm(model, 1.2)  # spectral radius about 0.6: the iteration still converges
    result = step(model, x, y, model.initial_state(x))
    assert result.result == RESULTS.not_contractive
    assert 1 <= float(result.info["contraction"]) <= model.operator_norm().upper
    assert model.well_posed()  # μ is about 0.85
    split = eqx.tree_at(lambda m: m.hidden, problem(getkey, "relu", m=60, method="splitting")[0], model.hidden)
    split = eqx.tree_at(lambda m: (m.inject, m.readout), split, (model.inject, model.readout))
    other = step(split, x, y, split.initial_state(x))
    assert other.result == RESULTS.successful
    assert float(other.info["contraction"]) <= split.one_sided_constant().upper
    np.testing.assert_allclose(other.outputs, result.outputs, rtol=0, atol=1e-4)


def test_splitting_solves_what_iteration_cannot(getkey):
    model, x, y = problem(getkey, "tanh", method="splitting", max_steps=300)
    skew = model.hidden - model.hidden.T
    model = with_norm(eqx.tree_at(lambda m: m.hidden, model, skew), 5.0)  # μ = 0
    assert model.well_posed()
    result = step(model, x, y, model.initial_state(x))
    assert result.result == RESULTS.successful
    np.testing.assert_allclose(result.outputs, jax.vmap(model)(x), rtol=0, atol=1e-5)
    # The equilibrium satisfies its own equation, and its derivative the dense one.
    z = model.equilibrium(x).checked()
    residual = model.activation(z @ model.hidden.T + x @ model.inject.T) - z
    # 1e-12 of ‖XUᵀ‖ = 11, times ‖W‖ = 5 (see `equilibrium`).
    assert float(jnp.max(jnp.abs(residual))) < 6e-11
    gradient = eqx.filter_grad(lambda m: jnp.sum(jax.vmap(m)(x)))(model)
    blocks = model.tangent_blocks(x)
    np.testing.assert_allclose(gradient.hidden, blocks["hidden"].left.T @ blocks["hidden"].right, rtol=0, atol=1e-10)
    plain = Equilibrium(model.hidden, model.inject, model.readout, model.activation, max_steps=300)
    failed = plain.equilibrium(x)
    assert failed.result == RESULTS.not_converged
    assert int(failed.iterations) == 300
    with pytest.raises(eqx.EquinoxRuntimeError, match="last iteration above the tolerance"):
        plain.outputs(x)


def test_divergence_is_a_result_and_never_an_output(getkey):
    model, x, y = problem(getkey, "relu", m=40)
    model = with_norm(model, 50.0)
    assert not model.well_posed()
    result = step(model, x, y, model.initial_state(x))
    assert result.result == RESULTS.nonfinite
    assert model.equilibrium(x).result == RESULTS.nonfinite
    for use in (model.outputs, model.tangent_blocks):
        with pytest.raises(eqx.EquinoxRuntimeError):
            use(x)


def test_nan_weights_and_inputs_are_results(getkey):
    model, x, y = problem(getkey, "relu")
    state = model.initial_state(x)
    broken = eqx.tree_at(lambda m: m.hidden, model, model.hidden.at[0, 0].set(jnp.nan))
    assert step(broken, x, y, state).result == RESULTS.nonfinite
    assert not broken.well_posed()
    assert step(model, x.at[0, 0].set(jnp.inf), y, state).result == RESULTS.nonfinite


def test_too_few_steps_are_reported(getkey):
    model, x, y = problem(getkey, "relu", max_steps=2)
    result = step(model, x, y, model.initial_state(x))
    assert result.result == RESULTS.not_converged
    assert int(result.info["forward_iterations"]) == 2


def test_output_scale_bounds_the_terms(getkey):
    model, x, _ = problem(getkey, "softplus")
    terms = np.abs(unrolled(model, x) * np.asarray(model.readout)).sum(1).max()
    assert terms <= model.output_scale(x) <= 10 * terms


def test_only_the_weights_are_trained(getkey):
    trained = problem(getkey, "leaky-relu")[0].trainable()
    assert sum(jax.tree.leaves(trained)) == 3
    assert (trained.hidden, trained.inject, trained.readout) == (True, True, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma_w2": 0.125}, r"\(0, 1/8\)"),
        ({"sigma_w2": 0.0}, r"\(0, 1/8\)"),
        ({"sigma_w2": float("nan")}, r"\(0, 1/8\)"),
        ({"m": 0}, "width"),
        ({"d": 0}, "dimension"),
        ({"method": "broyden"}, "method"),
        ({"name": "gelu", "method": "splitting"}, r"slopes in \[0, 1\]"),
        ({"name": "hermite-2"}, "Lipschitz"),
    ],
)
def test_bad_settings(getkey, change: dict[str, Any], message):
    with pytest.raises(ValueError, match=message):
        problem(getkey, **change)


def test_bad_inputs(getkey):
    model, x, _ = problem(getkey)
    with pytest.raises(ValueError, match="float64 expected"):
        model.equilibrium(jnp.asarray(x, jnp.float32))
    with pytest.raises(ValueError, match="dimension 4 expected"):
        model.equilibrium(x[:, :3])
    with pytest.raises(ValueError, match="state"):
        model.equilibrium(x, model.initial_state(x[:2]))
    with pytest.raises(ValueError, match="rounding error"):
        problem(getkey, dtype=jnp.float32, tolerance=1e-9)[0].initial_state(jnp.asarray(x, jnp.float32))
