"""The Neural ODE's gradients against autodiff, finite differences, the adjoint equation, and each other."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

from globalmin import activations, gram
from globalmin._core import RESULTS
from globalmin.models import NeuralODE
from globalmin.models.neural_ode import SOLVERS, Solver, tableau

D, M, N = 3, 6, 3


def problem(getkey, name="tanh", **options):
    x = jax.random.normal(getkey(), (N, D))
    model = NeuralODE.init(D, M, activations.get(name), key=getkey(), **options)
    return model, x / jnp.linalg.norm(x, axis=1, keepdims=True), jax.random.normal(getkey(), (N,))


@eqx.filter_jit
def stepped(model, x, y):
    return model.step(x, y, ())


@eqx.filter_jit
def evaluated(model, x):
    return model.outputs(x), gram.jacobian(model, x)


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def by_scipy(model, rows, gain=1.0):
    """f, ∂f/∂U, ∂f/∂W and ∂f/∂v of tanh by SciPy: the states forwards, then states, adjoint and integral backwards."""
    u, w, v = (np.asarray(p) for p in (model.inject, model.hidden, model.readout))
    su, sw, sv = 1.0, gain / np.sqrt(M), 1 / np.sqrt(M)
    found = []
    for x in rows:
        start = su * u @ x
        end = scipy.integrate.solve_ivp(
            lambda _, h: sw * w @ np.tanh(h), (0, model.horizon), start, rtol=1e-11, atol=1e-12
        ).y[:, -1]

        def back(_, state):
            h, lam = state[:M], state[M : 2 * M]
            rate = sw * w @ np.tanh(h)
            return np.concatenate([-rate, sw * (1 - np.tanh(h) ** 2) * (w.T @ lam), np.outer(lam, np.tanh(h)).ravel()])

        lam = sv * v * (1 - np.tanh(end) ** 2)
        first = np.concatenate([end, lam, np.zeros(M * M)])
        state = scipy.integrate.solve_ivp(back, (0, model.horizon), first, rtol=1e-11, atol=1e-12).y[:, -1]
        parts = [su * np.outer(state[M : 2 * M], x), sw * state[2 * M :].reshape(M, M), sv * np.tanh(end)]
        found.append((sv * v @ np.tanh(end), np.concatenate([p.ravel() for p in parts])))
    return np.array([f for f, _ in found]), np.array([g for _, g in found])


@pytest.mark.parametrize("solver", SOLVERS)
def test_gradient_and_tangent_kernel_are_those_of_autodiff(getkey, solver):
    model, x, y = problem(getkey, solver=solver, layers=3, sigma_u=1.1, sigma_w=1.3, sigma_v=0.7, horizon=0.8)
    jacobian = np.asarray(evaluated(model, x)[1])
    done = stepped(model, x, y)
    # 12-18 products: a few dozen eps.
    np.testing.assert_allclose(flat(done.gradient), (np.asarray(done.outputs) - y) @ jacobian, rtol=0, atol=1e-14)
    np.testing.assert_allclose(gram.gram(model, x), jacobian @ jacobian.T, rtol=0, atol=1e-14)
    assert int(done.info["function_evaluations"]) == 3 * len(tableau(solver)[1])
    assert done.result == RESULTS.successful


def test_euler_is_the_residual_network_and_its_adjoint_is_the_explicit_one(getkey):
    """h ← h + Δt(σ_w/√m) W φ(h), λ ← λ + Δt φ′(h) ∘ (σ_w/√m) Wᵀλ, layer by layer in NumPy."""
    model, x, _ = problem(getkey, layers=5, horizon=1.5)
    u, w, v = (np.asarray(p) for p in (model.inject, model.hidden, model.readout))
    h, dt, sw = [np.asarray(x) @ u.T], 0.3, 1 / math.sqrt(M)
    for _ in range(5):
        h.append(h[-1] + dt * sw * np.tanh(h[-1]) @ w.T)
    lam = [v * (1 - np.tanh(h[-1]) ** 2) / math.sqrt(M)]
    for state in reversed(h[:-1]):
        lam.insert(0, lam[0] + dt * (1 - np.tanh(state) ** 2) * (sw * lam[0] @ w))
    found = model.trajectory(x)
    np.testing.assert_allclose(found.states, h, rtol=0, atol=1e-14)
    np.testing.assert_allclose(found.adjoints, lam, rtol=0, atol=1e-14)
    blocks = model.tangent_blocks(x)
    by_w = sw * dt * sum(lam[k + 1][:, :, None] * np.tanh(h[k])[:, None, :] for k in range(5))
    np.testing.assert_allclose(
        np.einsum("nkp,nkq->npq", blocks["hidden"].left, blocks["hidden"].right), by_w, rtol=0, atol=1e-14
    )


ORDERS: tuple[tuple[Solver, int, int], ...] = (("euler", 1, 40), ("heun", 2, 16), ("rk4", 4, 4))


def test_orders_of_convergence_to_the_adjoint_equation(getkey):
    """Errors of outputs and gradients against SciPy; Proposition 2: O(1/L) for the residual network."""
    model, x, _ = problem(getkey)
    outputs, jacobian = by_scipy(model, np.asarray(x))
    errors = []
    for solver, order, layers in ORDERS:
        errors = []
        for count in (layers, 2 * layers):
            found = evaluated(model.discretised(solver, count), x)
            errors.append(tuple(np.abs(a - b).max() for a, b in zip(found, (outputs, jacobian), strict=True)))
        for coarse, fine in zip(*errors, strict=True):
            assert math.log2(coarse / fine) == pytest.approx(order, abs=0.3)
    assert errors[-1][1] < 1e-5


@pytest.mark.parametrize("adjoint", ["checkpoint", "direct", "backsolve"])
def test_diffrax_adjoints(getkey, adjoint):
    """Equal steps: checkpoint and direct are the explicit adjoint; adaptive: all are near the adjoint equation."""
    model, x, y = problem(getkey, solver="rk4", layers=4)
    explicit, other = stepped(model, x, y), stepped(dataclasses.replace(model, adjoint=adjoint), x, y)
    np.testing.assert_allclose(other.outputs, explicit.outputs, rtol=0, atol=1e-14)
    gap = np.abs(flat(other.gradient) - flat(explicit.gradient)).max()
    assert gap < 1e-14 if adjoint != "backsolve" else 1e-9 < gap < 1e-3
    assert int(other.info["function_evaluations"]) == 16
    adaptive = stepped(dataclasses.replace(model, solver="tsit5", tolerance=1e-6, adjoint=adjoint, max_steps=64), x, y)
    outputs, jacobian = by_scipy(model, np.asarray(x))
    # The tolerance is per step and relative to the states; some ten steps.
    np.testing.assert_allclose(flat(adaptive.gradient), (outputs - y) @ jacobian, rtol=0, atol=1e-4)
    assert adaptive.result == RESULTS.successful


def test_finite_differences(getkey):
    model, x, y = problem(getkey, solver="heun", layers=3)
    gradient = flat(stepped(model, x, y).gradient)
    leaves, tree = jax.tree.flatten(model)
    parts = [jax.random.normal(getkey(), leaf.shape) for leaf in leaves]

    def loss(t):
        moved = jax.tree.unflatten(tree, [leaf + t * part for leaf, part in zip(leaves, parts, strict=True)])
        return float(jnp.sum((moved.outputs(x) - y) ** 2)) / 2

    # Central differences: t² = 1e-10 relative, and eps/t = 2e-11.
    want = (loss(1e-5) - loss(-1e-5)) / 2e-5
    assert gradient @ flat(parts) == pytest.approx(want, rel=1e-7)


def test_initialisation(getkey):
    model = NeuralODE.init(5, 400, activations.get("tanh"), key=getkey())
    assert model.sigma_u == pytest.approx(math.sqrt(5))
    for part, size in ((model.inject, 2000), (model.hidden, 160000), (model.readout, 400)):
        # Mean and variance of N(0, 1): five deviations.
        assert abs(float(jnp.mean(part))) < 5 / math.sqrt(size)
        assert abs(float(jnp.var(part)) - 1) < 5 * math.sqrt(2 / size)


def test_exploding_states_and_unfinished_solves_have_a_result(getkey):
    model, x, y = problem(getkey, "quadratic", sigma_w=60.0, layers=12)
    assert stepped(model, x, y).result == RESULTS.states_overflowed
    stuck = dataclasses.replace(model, solver="tsit5", tolerance=1e-6, adjoint="checkpoint", max_steps=8)
    assert stepped(stuck, x, y).result == RESULTS.solver_failed
    for result in (RESULTS.states_overflowed, RESULTS.solver_failed):
        assert "lower sigma_w times the horizon" in RESULTS[result]
        assert "\n" not in RESULTS[result]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 0.0}, "horizon: a positive time T expected, 0.0 came"),
        ({"horizon": -1.0}, "horizon: a positive time"),
        ({"sigma_w": 0.0}, "sigma_w: a positive number"),
        ({"layers": 0}, "layers: an integer of at least 1"),
        ({"solver": "midpoint"}, "solver: one of euler"),
        ({"tolerance": 2.0, "solver": "tsit5"}, r"tolerance: a number in \(0, 1\)"),
        ({"tolerance": 1e-6}, "solver: euler has no error estimate"),
        ({"tolerance": 1e-6, "solver": "tsit5", "adjoint": "explicit"}, "it needs equal steps"),
        ({"adjoint": "forward"}, "adjoint: one of explicit"),
    ],
)
def test_bad_options(getkey, options, message):
    with pytest.raises(ValueError, match=message):
        NeuralODE.init(D, M, activations.get("tanh"), key=getkey(), **options)


def test_bad_width_and_inputs(getkey):
    with pytest.raises(ValueError, match="width: an integer of at least 1 expected, 0 came"):
        NeuralODE.init(D, 0, activations.get("tanh"), key=getkey())
    model, x, _ = problem(getkey)
    with pytest.raises(ValueError, match="inputs of dimension 3 expected"):
        model.outputs(x[:, :2])
    with pytest.raises(ValueError, match="float64 expected, as the parameters"):
        model.outputs(x.astype(jnp.float32))
