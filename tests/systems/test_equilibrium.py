"""The DEQ system: constants of its certificate against sampled Jacobians, its solves against dense algebra."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import activations, systems
from globalmin._core import UnsolvedError
from globalmin.theory import Verdict

from ..helpers import given


def problem(getkey, n=4, d=3):
    x = jax.random.normal(getkey(), (n, d))
    return jnp.sqrt(d) * x / jnp.linalg.norm(x, axis=1, keepdims=True), jax.random.normal(getkey(), (n,))


def dense(model, rows, phi, slope):
    """Z, R and the Jacobian of a DEQ by NumPy alone: fixed-point iteration, dense inverses, the outer products."""
    w, u, a = (np.asarray(v) for v in (model.hidden, model.inject, model.readout))
    z = np.zeros((len(rows), len(a)))
    for _ in range(2000):
        z = phi(z @ w.T + rows @ u.T)
    jacobian = []
    adjoints = []
    for zi, xi in zip(z, rows, strict=True):
        d = np.diag(slope(w @ zi + u @ xi))
        r = d @ np.linalg.solve(np.eye(len(a)) - w.T @ d, a)
        adjoints.append(r)
        jacobian.append(np.concatenate([np.outer(r, zi).ravel(), np.outer(r, xi).ravel(), zi]))
    return z, np.array(adjoints), np.array(jacobian)


FUNCTIONS = {
    "tanh": (np.tanh, lambda h: 1 - np.tanh(h) ** 2),
    "softplus": (lambda h: np.logaddexp(0, h), lambda h: 1 / (1 + np.exp(-h))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_iterate_against_dense_algebra(getkey, name):
    x, y = problem(getkey)
    system = systems.EquilibriumSystem(activations.get(name))
    model = system.init(3, 12, key=getkey())
    iterate = system.iterate(model, x, y)
    z, r, jacobian = dense(model, np.asarray(x), *FUNCTIONS[name])
    # Solved to 1e-12 of ‖UX‖, resolvents of norm about 5.
    np.testing.assert_allclose(iterate.solved[0], z, rtol=0, atol=1e-10)
    np.testing.assert_allclose(iterate.solved[1], r, rtol=0, atol=1e-10)
    np.testing.assert_allclose(iterate.gram, jacobian @ jacobian.T, rtol=0, atol=1e-9)
    np.testing.assert_allclose(iterate.outputs, z @ np.asarray(model.readout), rtol=0, atol=1e-10)
    assert (
        abs(iterate.lambda_min.value - np.linalg.eigvalsh(jacobian @ jacobian.T)[0]) <= iterate.lambda_min.error + 1e-12
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_lambda_bounds_differences_of_jacobians_on_the_ball(getkey, name):
    """Λ(R) of the whole and Λ_*(R) of the features, against Jacobians by dense algebra at random points of the ball."""
    x, y = problem(getkey)
    system = systems.EquilibriumSystem(activations.get(name))
    model = system.init(3, 12, key=getkey())
    blocks, curvature, _ = system.curvature(system.iterate(model, x, y))
    assert curvature is not None
    worst = 0.0
    for radius in (1e-4, 0.02, 0.1):
        bound = curvature.lipschitz(radius)
        features = blocks[1].lipschitz
        assert features is not None
        if not np.isfinite(bound):
            continue
        for _ in range(6):
            found = []
            for _ in range(2):
                parts = [jax.random.normal(getkey(), p.shape) for p in (model.hidden, model.inject, model.readout)]
                size = np.sqrt(sum(float(jnp.sum(p**2)) for p in parts))
                parts = [radius * p / size for p in parts]
                moved = eqx.tree_at(
                    lambda m: (m.hidden, m.inject, m.readout),
                    model,
                    tuple(a + b for a, b in zip((model.hidden, model.inject, model.readout), parts, strict=True)),
                )
                z, _, jacobian = dense(moved, np.asarray(x), *FUNCTIONS[name])
                found.append((parts, jacobian, z))
            (p, j, z), (p2, j2, z2) = found
            distance = np.sqrt(sum(float(jnp.sum((a - b) ** 2)) for a, b in zip(p, p2, strict=True)))
            assert np.linalg.norm(j - j2, 2) <= bound * distance * (1 + 1e-6)
            for away in (z, z2):  # the features' drift is from the centre, and in the norm of their own Gram
                least = np.linalg.svd(away, compute_uv=False)[-1]
                assert least >= blocks[1].sigma.lower - features(radius) * radius * (1 + 1e-6)
            worst = max(worst, np.linalg.norm(j - j2, 2) / (bound * distance))
    assert worst > 1e-3


def test_flow_certificate_holds_for_relu_and_descent_is_silent(getkey):
    """Near labels: gradient flow is certified through the read-out block; descent on ReLU has no certificate."""
    x, _ = problem(getkey)
    system = systems.EquilibriumSystem()
    model = system.init(3, 400, key=getkey())
    y = model.outputs(x) + 0.02 * jax.random.normal(getkey(), (4,))
    descent, flow = system.kantorovich(system.iterate(model, x, y), 1e-4, width=400)
    assert flow.outcome is Verdict.HOLDS, flow.reason
    assert descent.outcome is Verdict.FAILS
    assert "slides along its kinks" in descent.sentence()


def test_descent_certificate_obeyed_for_tanh(getkey):
    x, _ = problem(getkey)
    system = systems.EquilibriumSystem(activations.get("tanh"))
    model = system.init(3, 200, key=getkey())
    y = model.outputs(x) + 0.005 * jax.random.normal(getkey(), (4,))
    certificate, _ = system.kantorovich(system.iterate(model, x, y), None, width=200)
    assert certificate.outcome is Verdict.HOLDS, certificate.reason
    rows = np.asarray(x)
    weights = [np.asarray(v) for v in (model.hidden, model.inject, model.readout)]
    start = [w.copy() for w in weights]
    residual = None
    for _ in range(25):
        moved = eqx.tree_at(lambda m: (m.hidden, m.inject, m.readout), model, tuple(map(jnp.asarray, weights)))
        z, _, jacobian = dense(moved, rows, *FUNCTIONS["tanh"])
        new = z @ weights[2] - np.asarray(y)
        if residual is not None:
            assert np.linalg.norm(new) <= given(certificate.rate) * np.linalg.norm(residual) + 1e-12
        residual = new
        gradient = jacobian.T @ residual
        cuts = np.cumsum([w.size for w in weights])[:-1]
        parts = zip(weights, np.split(gradient, cuts), strict=True)
        weights = [w - given(certificate.step_size) * g.reshape(w.shape) for w, g in parts]
    travelled = np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(weights, start, strict=True)))
    assert travelled <= given(certificate.radius)


def test_an_equilibrium_that_cannot_be_solved_is_said_in_one_line(getkey):
    x, y = problem(getkey)
    system = systems.EquilibriumSystem()
    model = system.init(3, 30, key=getkey())
    big = eqx.tree_at(lambda m: m.hidden, model, jnp.eye(30) * 1.5)
    with pytest.raises(UnsolvedError, match=r"operator norm 1.5") as raised:
        _ = system.iterate(big, x, y).outputs
    assert "\n" not in str(raised.value)


def test_hardly_contractive_certifies_nothing(getkey):
    """μ near 1: the ball that the residual asks for leaves the region with a resolvent bound; silent, and nothing is NaN."""
    x, y = problem(getkey)
    system = systems.EquilibriumSystem(activations.get("tanh"))
    model = system.init(3, 30, key=getkey())
    big = eqx.tree_at(lambda m: m.hidden, model, jnp.eye(30) * 0.9)
    for certificate in system.kantorovich(system.iterate(big, x, y), 1e-4, width=30):
        assert certificate.outcome is not Verdict.HOLDS
        assert "nan" not in certificate.sentence()
