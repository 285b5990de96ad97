"""The two-layer system: its Kantorovich constants against sampled Jacobians, its silence where nothing is proven."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import activations, gram, systems
from globalmin.models import TwoLayer
from globalmin.theory import Verdict

from ..helpers import given


def problem(getkey, n=5, d=4):
    x = jax.random.normal(getkey(), (n, d))
    return x / jnp.linalg.norm(x, axis=1, keepdims=True), jax.random.normal(getkey(), (n,))


@pytest.mark.parametrize("name", ["tanh", "softplus", "gelu", "sin", "erf"])
@pytest.mark.parametrize("both", [False, True])
def test_lambda_bounds_every_difference_of_jacobians(getkey, name, both):
    """‖J(θ) − J(θ′)‖ ≤ Λ(R)‖θ − θ′‖ for pairs in the ball, small steps along the steepest directions among them."""
    x, y = problem(getkey)
    system = systems.TwoLayerSystem(activations.get(name))
    m = 12
    model = TwoLayer.init(4, m, system.activation, key=getkey(), train_readout=both)
    _, curvature, _ = system.curvature(system.iterate(model, x, y))
    assert curvature is not None
    worst = 0.0
    for radius in (1e-3, 0.3, 3.0):
        bound = curvature.lipschitz(radius)
        for _ in range(8):
            points = []
            for _ in range(2):
                step = [jax.random.normal(getkey(), p.shape) for p in (model.hidden, model.readout)]
                step = [step[0], step[1] * float(both)]
                size = np.sqrt(sum(float(jnp.sum(s**2)) for s in step))
                points.append([radius * s / size for s in step])
            moved = [TwoLayer(model.hidden + p[0], model.readout + p[1], model.activation, both) for p in points]
            change = np.asarray(gram.jacobian(moved[0], x) - gram.jacobian(moved[1], x))
            distance = np.sqrt(sum(float(jnp.sum((a - b) ** 2)) for a, b in zip(*points, strict=True)))
            ratio = np.linalg.norm(change, 2) / distance
            assert ratio <= bound * (1 + 1e-9)
            worst = max(worst, ratio / bound)
    assert worst > 0.02  # the bound is of the right size: sampled directions reach a share of it


def test_relu_is_silent_in_words(getkey):
    x, y = problem(getkey)
    system = systems.TwoLayerSystem()
    model = system.init(4, 20, key=getkey())
    descent, flow = system.kantorovich(system.iterate(model, x, y), 0.1, width=20)
    assert descent.outcome is flow.outcome is Verdict.FAILS
    assert "relu has no finite sup|φ″|" in descent.sentence()


def test_a_wide_network_with_near_labels_is_certified_and_converges(getkey):
    """Labels near the outputs: certified at once; plain NumPy descent obeys rate and ball."""
    x, _ = problem(getkey)
    system = systems.TwoLayerSystem(activations.get("tanh"))
    model = system.init(4, 4000, key=getkey())
    y = model.outputs(x) + 0.05 * jax.random.normal(getkey(), (5,))
    certificate, _ = system.kantorovich(system.iterate(model, x, y), None, width=4000)
    assert certificate.outcome is Verdict.HOLDS, certificate.reason
    w, a, rows = np.asarray(model.hidden), np.asarray(model.readout), np.asarray(x)
    residual = np.tanh(rows @ w.T) @ a / np.sqrt(4000) - np.asarray(y)
    start = w
    for _ in range(100):
        slopes = (1 - np.tanh(rows @ w.T) ** 2) * a / np.sqrt(4000)
        w = w - given(certificate.step_size) * ((residual[:, None] * slopes).T @ rows)
        new = np.tanh(rows @ w.T) @ a / np.sqrt(4000) - np.asarray(y)
        assert np.linalg.norm(new) <= given(certificate.rate) * np.linalg.norm(residual) + 1e-13
        residual = new
    assert np.linalg.norm(w - start) <= given(certificate.radius)


def test_duplicate_rows_never_certify(getkey):
    """Two equal rows with different labels have no solution at all: σ₀ is 0 within its error, nothing may hold."""
    x, y = problem(getkey)
    x = x.at[1].set(x[0])
    system = systems.TwoLayerSystem(activations.get("tanh"))
    model = system.init(4, 500, key=getkey())
    for certificate in system.kantorovich(system.iterate(model, x, y), 1e-3, width=500):
        assert certificate.outcome is not Verdict.HOLDS
        assert "positive definite" in certificate.reason


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("two-leyer", {}, "did you mean two-layer"),
        ("neural-ode", {}, "planned"),
        ("two-layer", {"sigma_w2": 0.1}, "no option sigma_w2"),
        ("two-layer", {"activation": "rleu"}, "relu"),
        ("equilibrium", {"sigma_w2": 2.0}, r"\(0, 1\) expected"),
    ],
)
def test_unknown_things_are_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        systems.build(name, **options)
