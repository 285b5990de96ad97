"""The gradient trust report against hand-written passes and dense inverses."""

import json
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

from globalmin import activations
from globalmin._core import UnsolvedError
from globalmin.models import Equilibrium, Implicit, NeuralODE, TwoLayer
from globalmin.train import gradients

N, D, M = 4, 3, 12
TOLERANCES = (1e-1, 1e-3, 1e-6, 1e-9)


def problem(getkey, kind="equilibrium", name="tanh"):
    phi = activations.get(name)
    x = jax.random.normal(getkey(), (N, D))
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    if kind == "implicit":
        model = Implicit.init(D, M, phi, key=getkey(), gamma0=0.5)
    else:
        model, x = Equilibrium.init(D, M, phi, key=getkey()), x * np.sqrt(D)
    return model, x, jax.random.normal(getkey(), (N,))


def passes(model, x, count):
    """z_0 = 0, …, z_count of a tanh network."""
    w, u = np.asarray(model.hidden), np.asarray(model.inject)
    zs = [np.zeros((N, M))]
    for _ in range(count):
        zs.append(np.tanh(zs[-1] @ w.T + np.asarray(x) @ u.T))
    return zs


def backpropagated(model, x, y, zs):
    """∂L/∂(W, U, a) by backpropagation through these passes, z_0 held fixed."""
    w, a = np.asarray(model.hidden), np.asarray(model.readout)
    rho = zs[-1] @ a - np.asarray(y)
    by_w, by_u, back = 0.0, 0.0, rho[:, None] * a
    for before, after in zip(zs[-2::-1], zs[:0:-1], strict=True):
        inner = back * (1 - after**2)
        by_w, by_u, back = by_w + inner.T @ before, by_u + inner.T @ np.asarray(x), inner @ w
    return np.concatenate([np.ravel(by_w), np.ravel(by_u), rho @ zs[-1]])


def implicit(model, x, y):
    """The exact gradient by dense inverses at the equilibrium."""
    w, a, z = np.asarray(model.hidden), np.asarray(model.readout), passes(model, x, 300)[-1]
    rho = z @ a - np.asarray(y)
    slopes = 1 - z**2
    rows = [np.linalg.solve(np.eye(M) - s[:, None] * w.T, s * a) for s in slopes]
    weighted = rho[:, None] * np.array(rows)
    return np.concatenate([(weighted.T @ z).ravel(), (weighted.T @ np.asarray(x)).ravel(), rho @ z])


def rows_of(report, method, shrink=1.0):
    return [row for row in report.rows if row["method"] == method and row["shrink"] == shrink]


def test_errors_are_those_of_hand_written_gradients(getkey):
    model, x, y = problem(getkey)
    report = gradients.trust(model, x, y, tolerances=TOLERANCES, shrinks=(1.0,))
    truth = implicit(model, x, y)
    size = np.linalg.norm(truth)
    (reference,) = report.references
    np.testing.assert_allclose(reference["gradient_norm"], size, rtol=1e-9)
    for row in rows_of(report, "unrolled"):
        zs = passes(model, x, row["forward"])
        want = np.linalg.norm(backpropagated(model, x, y, zs) - truth) / size
        np.testing.assert_allclose(row["error"], want, rtol=1e-6, atol=1e-10)
    for row in rows_of(report, "phantom"):
        # The solved z and one pass more, which alone carries the gradient.
        last = passes(model, x, row["forward"] + 1)[-2:]
        want = np.linalg.norm(backpropagated(model, x, y, last) - truth) / size
        np.testing.assert_allclose(row["error"], want, rtol=1e-6)


@pytest.mark.parametrize(("kind", "name"), [("equilibrium", "tanh"), ("implicit", "relu")])
def test_report_says_which_tolerance_is_needed(getkey, kind, name):
    model, x, y = problem(getkey, kind, name)
    report = gradients.trust(model, x, y, tolerances=TOLERANCES)
    # Differences are off by t² = 1e-8 for tanh; a ReLU network's cross kinks at t = 1e-6.
    for reference in report.references:
        assert reference["difference_error"] < 1e-5
        assert reference["difference_noise"] < 1e-5
    for shrink in gradients.SHRINKS:
        errors = [row["error"] for row in rows_of(report, "implicit", shrink)]
        assert np.all(np.diff(errors) < 0)
        assert errors[-1] < 1e-5
        # The one-step gradient keeps its bias however well the equilibrium is solved.
        biased = rows_of(report, "phantom", shrink)[-1]
        assert biased["error"] > report.threshold
        # Eight directions: right to √(1/16) = 25%, here 3 of those.
        assert 0.25 < biased["difference_error"] / biased["error"] < 1.75
        assert biased["backward"] == 1
    assert report.needed("phantom") is None
    start, end = (report.needed(shrink=s) for s in gradients.SHRINKS)
    assert start is not None
    assert end is not None
    assert end < start  # the error of an output does not shrink with the residual
    assert report.needed() == end
    for shrink, needed in zip(gradients.SHRINKS, (start, end), strict=True):
        for row in rows_of(report, "implicit", shrink):
            if row["tolerance"] <= needed:
                assert row["error"] <= report.threshold
        looser = [r["error"] for r in rows_of(report, "implicit", shrink) if r["tolerance"] > needed]
        assert not looser or looser[-1] > report.threshold
    told = json.loads(json.dumps(report.to_dict()))
    assert told["needed"] == {"implicit": end, "unrolled": report.needed("unrolled"), "phantom": None}
    assert told["needed_at"] == {"1": start, "0.001": end}


def test_threshold_is_the_loss_of_descent(getkey):
    """A gradient off by ε in the worst direction costs the share ε² of the guaranteed decrease, on a quadratic."""
    # L = ½β‖θ‖² attains the descent lemma with equality, g̃ = ∇L + e: L(θ − g̃/β) = ‖e‖²/(2β).
    theta, beta = jax.random.normal(getkey(), (7,)), 3.0
    error = jax.random.normal(getkey(), (7,))
    error = error / jnp.linalg.norm(error) * gradients.THRESHOLD * jnp.linalg.norm(beta * theta)
    after = 0.5 * beta * jnp.sum((theta - (beta * theta + error) / beta) ** 2)
    share = after / (0.5 * beta * jnp.sum(theta**2))
    np.testing.assert_allclose(share, gradients.THRESHOLD**2, rtol=1e-10)


def test_a_solve_that_misses_its_tolerance_is_never_recommended(getkey):
    model, x, y = problem(getkey)
    short = eqx.tree_at(lambda m: m.hidden, model, model.hidden * 0.2)
    report = gradients.trust(short, x, y, tolerances=(1e-2, 1e-4), shrinks=(1.0,), threshold=0.5, directions=1)
    assert report.needed() == 1e-2
    rows = tuple(row | {"converged": row["tolerance"] > 1e-3} for row in report.rows)
    assert gradients.Trust(rows, report.references, 0.5).needed() is None


def test_bad_input(getkey):
    model, x, y = problem(getkey)
    flat = TwoLayer.init(D, M, activations.get("tanh"), key=getkey())
    with pytest.raises(ValueError, match="no inner solve"):
        gradients.trust(flat, x, y)
    bad: list[tuple[dict[str, Any], str]] = [
        ({"tolerances": ()}, "tolerances"),
        ({"tolerances": (1e-17,)}, "tolerances"),
        ({"shrinks": (0.0,)}, "shrinks"),
        ({"threshold": 1.0}, "threshold"),
        ({"directions": 0}, "directions"),
    ]
    for wrong, message in bad:
        with pytest.raises(ValueError, match=message):
            gradients.trust(model, x, y, **wrong)
    with pytest.raises(ValueError, match="float64"):
        gradients.trust(model, x.astype(jnp.float32), y)
    with pytest.raises(ValueError, match="one label per sample"):
        gradients.trust(model, x, y[:2])
    far = eqx.tree_at(lambda m: m.hidden, model, model.hidden * 50)
    with pytest.raises(UnsolvedError, match=r"last iteration above the tolerance.*\(‖M‖ = "):
        gradients.trust(far, x, y)
    report = gradients.Trust((), (), 0.1)
    with pytest.raises(ValueError, match="implicit, unrolled, phantom"):
        report.needed("dense")


def test_neural_ode_report(getkey):
    """Errors against a reference by SciPy, by tolerance; the adjoint equation is judged beside the discretised network."""
    x = jax.random.normal(getkey(), (3, 2))
    x, y = x / jnp.linalg.norm(x, axis=1, keepdims=True), jax.random.normal(getkey(), (3,))
    model = NeuralODE.init(2, 4, activations.get("tanh"), key=getkey())
    report = gradients.trust(model, x, y, tolerances=(1e-2, 1e-5, 1e-8), shrinks=(1.0,), directions=2)
    w, u, v = (np.asarray(p) for p in (model.hidden, model.inject, model.readout))

    def back(_, state):
        h, lam = state[:4], state[4:8]
        slope = 1 - np.tanh(h) ** 2
        return np.concatenate([-w @ np.tanh(h) / 2, slope * (w.T @ lam) / 2, np.outer(lam, np.tanh(h)).ravel() / 2])

    total = []
    for row, label in zip(np.asarray(x), np.asarray(y), strict=True):
        ode = scipy.integrate.solve_ivp(lambda _, h: w @ np.tanh(h) / 2, (0, 1), u @ row, rtol=1e-11, atol=1e-13)
        end = ode.y[:, -1]
        rho = v @ np.tanh(end) / 2 - label
        first = np.concatenate([end, rho / 2 * v * (1 - np.tanh(end) ** 2), np.zeros(16)])
        state = scipy.integrate.solve_ivp(back, (0, 1), first, rtol=1e-11, atol=1e-13).y[:, -1]
        total.append(np.concatenate([np.outer(state[4:8], row).ravel(), state[8:], rho * np.tanh(end) / 2]))
    (reference,) = report.references
    np.testing.assert_allclose(reference["gradient_norm"], np.linalg.norm(np.sum(total, axis=0)), rtol=1e-8)
    assert reference["difference_error"] < 1e-6
    for method in gradients.ODE_METHODS:
        errors = [row["error"] for row in rows_of(report, method)]
        assert errors[-1] < 1e-5 > 1e-3 * errors[0]
        assert all(row["converged"] for row in rows_of(report, method))
        assert report.needed(method) is not None
    assert set(report.to_dict()["needed"]) == {"discretised", "backsolve"}
