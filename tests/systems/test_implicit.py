"""The implicit network's system: its solves against dense algebra, its constants against sampled Jacobians, its runs."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import activations, systems, train
from globalmin._core import UnsolvedError
from globalmin.theory import Verdict
from globalmin.train.descent import start
from globalmin.train.flow import integrate

from ..helpers import given

FUNCTIONS = {
    "relu": (lambda h: np.maximum(h, 0), lambda h: (h > 0).astype(float)),
    "tanh": (np.tanh, lambda h: 1 - np.tanh(h) ** 2),
    "softplus": (lambda h: np.logaddexp(0, h), lambda h: 1 / (1 + np.exp(-h))),
}


def problem(getkey, n=4, d=3):
    x = jax.random.normal(getkey(), (n, d))
    return x / jnp.linalg.norm(x, axis=1, keepdims=True), jax.random.normal(getkey(), (n,))


def weights_of(model):
    return model.hidden, model.inject, model.readout, model.skip


def moved_to(model, weights):
    return eqx.tree_at(weights_of, model, tuple(jnp.asarray(w) for w in weights))


def dense(model, rows, phi, slope):
    """Z, Φ, R and the Jacobian in (A, W, u, v) by NumPy alone: iteration, dense inverses, the outer products."""
    a, w, u, v = (np.asarray(part) for part in weights_of(model))
    m = len(u)
    g = model.gamma / np.sqrt(m)
    features = phi(rows @ w.T) / np.sqrt(m)
    z = np.zeros_like(features)
    for _ in range(300):
        z = phi(g * z @ a.T + features)
    adjoints, jacobian = [], []
    for zi, fi, xi in zip(z, features, rows, strict=True):
        d = np.diag(slope(g * a @ zi + fi))
        r = d @ np.linalg.solve(np.eye(m) - g * a.T @ d, u)
        into_w = slope(w @ xi) * (r + v) / np.sqrt(m)
        adjoints.append(r)
        jacobian.append(np.concatenate([g * np.outer(r, zi).ravel(), np.outer(into_w, xi).ravel(), zi, fi]))
    return z, features, np.array(adjoints), np.array(jacobian)


def stacked(model, jacobian):
    """The rows of a Jacobian cut into the shapes of the weights."""
    sizes = np.cumsum([w.size for w in weights_of(model)])[:-1]
    return [part.reshape(w.shape) for part, w in zip(np.split(jacobian, sizes), weights_of(model), strict=True)]


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_iterate_against_dense_algebra(getkey, name):
    x, y = problem(getkey)
    system = systems.ImplicitSystem(activations.get(name), gamma=0.3)
    model = system.init(3, 12, key=getkey())
    assert model.gamma == pytest.approx(0.3, rel=1e-15)
    iterate = system.iterate(model, x, y)
    z, features, r, jacobian = dense(model, np.asarray(x), *FUNCTIONS[name])
    # Solved to 1e-12 of ‖Φ‖ and √n‖u‖ < 10; resolvents of norm at most 1/(1 − 0.8).
    np.testing.assert_allclose(iterate.solved[0], z, rtol=0, atol=1e-10)
    np.testing.assert_allclose(iterate.solved[1], r, rtol=0, atol=1e-10)
    np.testing.assert_allclose(iterate.gram, jacobian @ jacobian.T, rtol=0, atol=1e-9)
    outputs = z @ np.asarray(model.readout) + features @ np.asarray(model.skip)
    np.testing.assert_allclose(iterate.outputs, outputs, rtol=0, atol=1e-9)
    m = np.asarray(model.hidden) * model.gamma / np.sqrt(12)
    assert abs(iterate.operator_norm.value - np.linalg.norm(m, 2)) <= iterate.operator_norm.error + 1e-14
    assert abs(iterate.one_sided.value - np.linalg.eigvalsh((m + m.T) / 2)[-1]) <= iterate.one_sided.error + 1e-14
    found = iterate.block_lambda_min("skip")
    assert abs(found.value - np.linalg.eigvalsh(features @ features.T)[0]) <= found.error + 1e-14
    lowest = np.linalg.eigvalsh(jacobian @ jacobian.T)[0]
    assert abs(iterate.lambda_min.value - lowest) <= iterate.lambda_min.error + 1e-12


def test_watch_measures_the_movement_of_each_weight(getkey):
    x, y = problem(getkey)
    system = systems.ImplicitSystem()
    model = system.init(3, 12, key=getkey())
    moved = moved_to(model, [w + 0.1 * jax.random.normal(getkey(), w.shape) for w in weights_of(model)])
    found = system.watch(system.iterate(moved, x, y), system.iterate(model, x, y))
    a, w, u, v = (np.asarray(part) for part in weights_of(moved))
    a0, w0, *_ = (np.asarray(part) for part in weights_of(model))
    z, features, *_ = dense(moved, np.asarray(x), *FUNCTIONS["relu"])
    z0, features0, *_ = dense(model, np.asarray(x), *FUNCTIONS["relu"])
    g = model.gamma / np.sqrt(12)
    signs, signs0 = (g * z @ a.T + features >= 0), (g * z0 @ a0.T + features0 >= 0)
    want = {
        "operator_norm": g * np.linalg.norm(a, 2),
        "one_sided_norm": g * np.linalg.eigvalsh((a + a.T) / 2)[-1],
        "hidden_norm": np.linalg.norm(w, 2),
        "readout_norm": np.linalg.norm(u),
        "skip_norm": np.linalg.norm(v),
        "distance_hidden": np.linalg.norm(w - w0),
        "distance_implicit": np.linalg.norm(a - a0),
        "lambda_min_features": np.linalg.eigvalsh(features @ features.T)[0],
        "pattern_change": (signs != signs0).mean(),
        # 48 distances: the 0.1% quantile lies between the two smallest, 0.047 of the way.
        "kink_distance": np.dot(np.sort(np.abs(np.asarray(x) @ w.T), axis=None)[:2], [0.953, 0.047])
        / np.median(np.abs(np.asarray(x) @ w0.T)),
    }
    for name, value in want.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-10, atol=1e-12, err_msg=name)
    assert found["equilibrium_residual"] < 1e-11


@pytest.mark.parametrize("name", ["tanh", "softplus"])
def test_lambda_bounds_differences_of_jacobians_on_the_ball(getkey, name):
    """Λ(R) of the whole and Λ_* of the features, against Jacobians by dense algebra at random points of the ball."""
    x, y = problem(getkey)
    system = systems.ImplicitSystem(activations.get(name), gamma=0.2)
    model = system.init(3, 12, key=getkey())
    blocks, curvature, missing = system.curvature(system.iterate(model, x, y))
    assert curvature is not None
    assert missing == ""
    features = blocks[1].lipschitz
    assert features is not None
    worst = worst_features = 0.0
    for radius in (1e-4, 0.1, 1.0):
        bound = curvature.lipschitz(radius)
        assert np.isfinite(bound)
        for _ in range(6):
            found = []
            for _ in range(2):
                parts = [np.asarray(jax.random.normal(getkey(), w.shape)) for w in weights_of(model)]
                size = np.sqrt(sum((p**2).sum() for p in parts))
                parts = [radius * p / size for p in parts]
                moved = moved_to(model, [np.asarray(w) + p for w, p in zip(weights_of(model), parts, strict=True)])
                _, phi, _, jacobian = dense(moved, np.asarray(x), *FUNCTIONS[name])
                found.append((parts, jacobian, phi))
            (p, j, f), (p2, j2, f2) = found
            distance = np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(p, p2, strict=True)))
            # Differences of Jacobians of order 1 are good to 1e-15: 1e-11 of the smallest distance.
            assert np.linalg.norm(j - j2, 2) <= bound * distance * (1 + 1e-6)
            assert np.linalg.norm(f - f2, 2) <= features(radius) * distance * (1 + 1e-6)
            worst = max(worst, np.linalg.norm(j - j2, 2) / (bound * distance))
            worst_features = max(worst_features, np.linalg.norm(f - f2, 2) / (features(radius) * distance))
    # Random directions see a small part of the worst one; a constant this far off would be useless.
    assert worst > 1e-3
    assert worst_features > 1e-2


def test_features_constant_asks_for_an_equilibrium_on_the_ball(getkey):
    """Beyond the ball on which (γ/√m)‖A‖ stays below 1 (μ for slopes in [0, 1]) there is no constant."""
    x, y = problem(getkey)
    system = systems.ImplicitSystem(gamma=0.2)
    model = system.init(3, 12, key=getkey())
    iterate = system.iterate(model, x, y)
    (block,), curvature, missing = system.curvature(iterate)
    assert curvature is None
    assert "slides along its kinks" in missing
    m = np.asarray(model.hidden) * model.scale
    room = (1 - np.linalg.eigvalsh((m + m.T) / 2)[-1]) / model.scale
    phi = np.maximum(np.asarray(x) @ np.asarray(model.inject).T, 0) / np.sqrt(12)
    values, vectors = np.linalg.eigh(phi @ phi.T)
    relative = np.linalg.norm((vectors / np.sqrt(values)) @ vectors.T @ np.asarray(x), 2)
    inside = (np.linalg.norm(np.asarray(x), 2) + np.sqrt(values[0]) * relative) / (2 * np.sqrt(12))
    lipschitz = block.lipschitz
    assert lipschitz is not None
    # Upper ends: the rounding of λ_min over λ_min.
    np.testing.assert_allclose(lipschitz(0.99 * room), inside, rtol=1e-8)
    assert lipschitz(1.01 * room) == np.inf


def test_flow_certificate_holds_for_relu_and_descent_is_silent(getkey):
    """Near labels: gradient flow is certified through the features; descent on ReLU has no certificate."""
    x, _ = problem(getkey)
    system = systems.ImplicitSystem()
    model = system.init(3, 400, key=getkey())
    y = model.outputs(x) + 0.02 * jax.random.normal(getkey(), (4,))
    descent, flow = system.kantorovich(system.iterate(model, x, y), 1e-3, width=400)
    assert flow.outcome is Verdict.HOLDS, flow.reason
    assert descent.outcome is Verdict.FAILS
    assert "slides along its kinks" in descent.sentence()


def test_descent_certificate_obeyed_for_tanh(getkey):
    x, _ = problem(getkey)
    system = systems.ImplicitSystem(activations.get("tanh"))
    model = system.init(3, 200, key=getkey())
    y = model.outputs(x) + 0.01 * jax.random.normal(getkey(), (4,))
    certificate, _ = system.kantorovich(system.iterate(model, x, y), None, width=200)
    assert certificate.outcome is Verdict.HOLDS, certificate.reason
    eta, rate = given(certificate.step_size), given(certificate.rate)
    first = [np.asarray(w) for w in weights_of(model)]
    weights, residual = first, None
    for _ in range(10):
        moved = moved_to(model, weights)
        z, features, _, jacobian = dense(moved, np.asarray(x), *FUNCTIONS["tanh"])
        new = z @ weights[2] + features @ weights[3] - np.asarray(y)
        if residual is not None:
            assert np.linalg.norm(new) <= rate * np.linalg.norm(residual) + 1e-12
        residual = new
        steps = stacked(model, jacobian.T @ residual)
        weights = [w - eta * step for w, step in zip(weights, steps, strict=True)]
    travelled = np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(weights, first, strict=True)))
    assert 0 < travelled <= given(certificate.radius)


def test_flow_is_the_limit_of_descent_at_small_steps(getkey):
    """Diffrax with the equilibrium inside, against descent over the same time: Euler's error halves with its step."""
    x, y = problem(getkey)
    system = systems.ImplicitSystem(activations.get("tanh"))
    model = system.init(3, 10, key=getkey())
    time = 2 / system.iterate(model, x, y).lambda_max.value

    def reached(epochs, advance=None):
        state, records = train.descend(start(model, x), x, y, time / epochs, epochs, advance)
        assert records.message == ""
        assert state.epoch == epochs
        return np.concatenate([np.ravel(w) for w in weights_of(state.model)])

    flow = reached(2, integrate)
    coarse, fine = (np.linalg.norm(reached(count) - flow) for count in (64, 128))
    # First order: the ratio is 2 + O(η), one step a thirty-second of 1/λ_max; the flow itself is good to 1e-7.
    assert coarse > 1e-5
    assert 1.9 < coarse / fine < 2.1


def test_gamma_out_of_range_and_foreign_kernels_are_one_line():
    for gamma in (0.0, 0.5, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"gamma: a number in \(0, 1/2\)") as raised:
            systems.build("implicit-relu", gamma=gamma)
        assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match=r"φ\(0\) = 0 expected .* softplus came, .* there is no limit") as raised:
        systems.ImplicitSystem(activations.get("softplus")).kernel()
    assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match=r"relu, or one with finite .* leaky-relu came"):
        systems.ImplicitSystem(activations.get("leaky-relu")).kernel()


def test_the_limit_of_a_smooth_activation(getkey):
    """λ₀ with its error bar, from the dual by 60-point Gauss-Hermite quadrature of tanh along two directions."""
    x, _ = problem(getkey)
    rows = np.asarray(x)
    limit = systems.ImplicitSystem(activations.get("tanh")).limit(x)
    assert limit is not None
    t, w = np.polynomial.hermite_e.hermegauss(60)
    w = w / w.sum()
    want = np.empty((4, 4))
    for i in range(4):
        for j in range(4):
            c = min(rows[i] @ rows[j], 1.0)
            v = c * t[:, None] + np.sqrt(max(1 - c * c, 0)) * t[None, :]
            want[i, j] = w @ (np.tanh(t)[:, None] * np.tanh(v)) @ w
    # Gauss-Hermite of tanh at 60 nodes is good to 1e-6 (poles at ±iπ/2).
    assert limit.lambda_min.value == pytest.approx(np.linalg.eigvalsh(want)[0], abs=1e-5)


def test_an_equilibrium_that_cannot_be_solved_is_said_in_one_line(getkey):
    x, y = problem(getkey)
    system = systems.ImplicitSystem()
    model = system.init(3, 30, key=getkey())
    big = eqx.tree_at(lambda m: m.hidden, model, jnp.eye(30) * 1.5 / model.scale)
    with pytest.raises(UnsolvedError, match=r"operator norm 1.5") as raised:
        _ = system.iterate(big, x, y).outputs
    assert "\n" not in str(raised.value)


def test_a_run_that_loses_its_equilibrium_stops_with_epoch_and_norm(getkey):
    """Labels far out drive (γ/√m)‖A‖ beyond 1: the run ends there, with what was recorded, and says so."""
    x, y = problem(getkey)
    system = systems.ImplicitSystem(gamma=0.45)
    prepared = train.prepare(system, x, 3e3 * y, width=8, epochs=50, key=getkey(), looks=50)
    log = train.Log()
    looks = list(train.run(prepared, log))
    message = looks[-1].message
    assert looks[-1].epoch < 50
    said = re.fullmatch(r"stopped at epoch (\d+): .*\(operator norm ([\d.e+]+)\)", message)
    assert said is not None
    assert int(said[1]) == looks[-1].epoch
    assert float(said[2]) > 1
    assert log.message == message
    assert all(look.message == "" for look in looks[:-1])


@pytest.mark.parametrize(("looks", "method"), [(300, "descent"), (2, "descent"), (40, "flow")])
def test_a_norm_that_creeps_over_1_stops_the_run_there(looks, method):
    """By a thousandth an epoch: every solve still converges, and nothing but the norm says that the theory has ended."""
    key = jax.random.key(0)
    x = jax.random.normal(key, (4, 3))
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    system = systems.ImplicitSystem(gamma=0.45)
    model = system.init(3, 12, key=key)
    model = eqx.tree_at(lambda m: m.hidden, model, model.hidden * 0.98 / model.operator_norm().value)
    prepared = train.prepare(
        system, x, 30 * jnp.ones(4), width=12, epochs=300, model=model, looks=looks, step_size=2e-4, method=method
    )
    log = train.Log()
    last = list(train.run(prepared, log))[-1]
    said = re.fullmatch(r"stopped at epoch (\d+): the hidden weight left .*\(operator norm ([\d.]+)\)", last.message)
    assert said is not None, last.message
    assert int(said[1]) == last.epoch < 300
    # Descent asks at every epoch, whatever the looks, by a probe that is a step behind; flow at its looks.
    assert 1 <= float(said[2]) < (1.01 if method == "descent" else 1.1)
    assert log.looks[-1]["operator_norm"] == pytest.approx(float(said[2]), rel=1e-5)
    epochs = [look["epoch"] for look in log.looks]
    assert epochs == sorted(set(epochs))
    assert all(look["operator_norm"] < 1 for look in log.looks[:-1])
