"""The Neural ODE's system: its certificate on runs, its monitors by NumPy, its refusals, and what stays silent."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import activations, systems, train
from globalmin._core import RESULTS, UnsolvedError
from globalmin.theory import Verdict

from ..helpers import given


def problem(getkey, n=4, d=3):
    x = jax.random.normal(getkey(), (n, d))
    return x / jnp.linalg.norm(x, axis=1, keepdims=True), jax.random.normal(getkey(), (n,))


def weights_of(model):
    return model.inject, model.hidden, model.readout


def by_hand(model, x):
    """Outputs, Jacobian, states and adjoints of the tanh residual network in NumPy."""
    u, w, v = (np.asarray(part) for part in weights_of(model))
    m, count = len(v), model.layers
    s, dt = 1 / math.sqrt(m), model.horizon / count
    h = [np.asarray(x) @ u.T]
    for _ in range(count):
        h.append(h[-1] + dt * s * np.tanh(h[-1]) @ w.T)
    lam = [s * v * (1 - np.tanh(h[-1]) ** 2)]
    for state in reversed(h[:-1]):
        lam.insert(0, lam[0] + dt * (1 - np.tanh(state) ** 2) * (s * lam[0] @ w))
    by_w = sum(s * dt * lam[k + 1][:, :, None] * np.tanh(h[k])[:, None, :] for k in range(count))
    blocks = [lam[0][:, :, None] * np.asarray(x)[:, None, :], by_w, s * np.tanh(h[-1])]
    return s * np.tanh(h[-1]) @ v, np.hstack([b.reshape(len(x), -1) for b in blocks]), h, lam


def test_certificate_of_descent_is_obeyed(getkey):
    x, _ = problem(getkey)
    system = systems.NeuralODESystem(activations.get("tanh"), layers=4)
    model = system.init(3, 40, key=getkey())
    y = model.outputs(x) + 2e-4 * jax.random.normal(getkey(), (4,))
    iterate = system.iterate(model, x, y)
    outputs, jacobian, states, adjoints = by_hand(model, x)
    np.testing.assert_allclose(iterate.outputs, outputs, rtol=0, atol=1e-13)
    np.testing.assert_allclose(iterate.gram, jacobian @ jacobian.T, rtol=0, atol=1e-13)
    certificate, flow = system.kantorovich(iterate, None, width=40)
    assert certificate.outcome is Verdict.HOLDS, certificate.reason
    assert flow.outcome is Verdict.HOLDS
    weights, theta = [np.asarray(w) for w in weights_of(model)], None
    start, residual = [w.copy() for w in weights], None
    for _ in range(25):
        moved = eqx.tree_at(weights_of, model, tuple(map(jnp.asarray, weights)))
        outputs, theta, _, _ = by_hand(moved, x)
        new = outputs - np.asarray(y)
        if residual is not None:
            assert np.linalg.norm(new) <= given(certificate.rate) * np.linalg.norm(residual) + 1e-12
        residual = new
        cuts = np.cumsum([w.size for w in weights])[:-1]
        parts = zip(weights, np.split(theta.T @ residual, cuts), strict=True)
        weights = [w - given(certificate.step_size) * g.reshape(w.shape) for w, g in parts]
    travelled = math.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(weights, start, strict=True)))
    assert travelled <= given(certificate.radius)
    found = system.watch(iterate, iterate)
    assert found["state_norm"] == pytest.approx(max(np.linalg.norm(h, axis=1).max() for h in states), rel=1e-12)
    assert found["adjoint_entry"] == pytest.approx(max(abs(a).max() for a in adjoints), rel=1e-12)
    assert found["lambda_min_features"] == pytest.approx(
        np.linalg.eigvalsh(np.tanh(states[-1]) @ np.tanh(states[-1]).T / 40)[0], abs=1e-12
    )
    assert found["operator_norm"] == pytest.approx(
        np.linalg.norm(np.asarray(model.hidden), 2) / math.sqrt(40), rel=1e-9
    )
    assert found["distance_hidden"] == 0


def test_a_run_with_theorems_and_monitors(getkey):
    x, y = problem(getkey)
    system = systems.NeuralODESystem(activations.get("tanh"), layers=4)
    prepared = train.prepare(system, x, y, width=40, epochs=300, key=getkey(), looks=3)
    verdicts = {t.theorem: t.verdict for t in prepared.theorems}
    assert verdicts["Growth"] is verdicts["Sensitivity"] is verdicts["GradientGap"] is Verdict.HOLDS
    assert verdicts["PositiveLimit"] is Verdict.HOLDS
    assert verdicts["Theorem3Printed"] is verdicts["Lemma16Printed"] is not Verdict.HOLDS
    log = train.Log()
    looks = list(train.run(prepared, log))
    assert looks[-1].message == ""
    verification = train.conclude(prepared, log)
    assert verification["sentence"] == "held throughout"
    assert verification["certified_epoch"] is not None
    gaps = [look.quantities["gradient_gap"] for look in looks]
    assert all(0 < gap < 0.3 for gap in gaps)  # of order T/L
    limit = prepared.limit
    assert limit is not None
    assert limit.name == "ntk"


def test_relu_has_a_certificate_for_flow_alone(getkey):
    x, _ = problem(getkey)
    system = systems.NeuralODESystem(activations.get("relu"), layers=3)
    model = system.init(3, 60, key=getkey())
    y = model.outputs(x) + 1e-4 * jax.random.normal(getkey(), (4,))
    descent, flow = system.kantorovich(system.iterate(model, x, y), 1e-4, width=60)
    assert flow.outcome is Verdict.HOLDS, flow.reason
    assert descent.outcome is Verdict.FAILS
    assert "no finite sup|φ″|" in descent.sentence()


@pytest.mark.parametrize(
    "options", [{"solver": "rk4"}, {"solver": "tsit5", "tolerance": 1e-3}, {"adjoint": "backsolve"}]
)
def test_no_certificate_but_for_the_residual_network(getkey, options):
    x, y = problem(getkey)
    system = systems.NeuralODESystem(activations.get("tanh"), layers=3, **options)
    iterate = system.iterate(system.init(3, 8, key=getkey()), x, y)
    blocks, curvature, missing = system.curvature(iterate)
    assert (blocks, curvature) == ([], None)
    assert "train with solver euler" in missing
    assert iterate.solve_error > 0 if "tolerance" in options else iterate.solve_error == 0


def test_an_activation_without_a_lipschitz_constant_trains_in_silence(getkey):
    """φ = z²: the theorems are silent, no bound is NaN, and descent goes on."""
    x, y = problem(getkey)
    system = systems.NeuralODESystem(activations.get("quadratic"), layers=2, sigma_w=0.1)
    prepared = train.prepare(system, x, y, width=12, epochs=3, key=getkey(), looks=1)
    silent = {
        "GlobalConvergence",
        "GradientDescent",
        "BlockFlow",
        "GradientGap",
        "Growth",
        "Sensitivity",
        "PositiveLimit",
    }
    for theorem in prepared.theorems:
        if theorem.theorem in silent:
            assert theorem.verdict is Verdict.FAILS, theorem.theorem
    log = train.Log()
    assert [look.message for look in train.run(prepared, log)][-1] == ""
    assert all("nan" not in c.sentence() for c in prepared.kantorovich)


def test_exploding_dynamics_are_said_in_one_line(getkey):
    x, y = problem(getkey)
    system = systems.NeuralODESystem(activations.get("quadratic"), sigma_w=100.0, layers=12)
    with pytest.raises(UnsolvedError, match="lower sigma_w times the horizon") as raised:
        train.prepare(system, x, y, width=12, epochs=3, key=getkey())
    assert "\n" not in str(raised.value)
    assert system.limit(x) is None
    assert str(raised.value) == RESULTS[RESULTS.states_overflowed]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 0.0}, "horizon: a positive time T expected, 0.0 came"),
        ({"layers": 0}, "layers: an integer of at least 1"),
        ({"solver": "adams"}, "solver: one of euler"),
        ({"tolerance": 1e-3}, "euler has no error estimate"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        systems.build("neural-ode", **options)


def test_kernels_of_the_system():
    system = systems.build("neural-ode", activation="erf", sigma_w=0.5, horizon=2.0)
    x = jnp.asarray([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0]])
    tied, deep, untied = system.kernel(time_steps=4), system.kernel(depth=3), system.kernel(tied=False, time_steps=4)
    values = [float(kernel(x)["ntk"][0, 1]) for kernel in (tied, deep, untied)]
    assert len(set(values)) == 3
    with pytest.raises(ValueError, match="depth: none expected"):
        system.kernel(tied=False, depth=3)
