"""The two-layer system: its Kantorovich constants against sampled Jacobians, its silence where nothing is proven."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import Estimate, activations, gram, systems
from globalmin.models import TwoLayer
from globalmin.theory import Verdict, certify
from globalmin.theory.kantorovich import Comparison

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
        ("saddle", {}, "globalmin objective saddle"),
        ("two-layer", {"sigma_w2": 0.1}, "no option sigma_w2"),
        ("two-layer", {"activation": "rleu"}, "relu"),
        ("equilibrium", {"sigma_w2": 2.0}, r"\(0, 1\) expected"),
    ],
)
def test_unknown_things_are_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        systems.build(name, **options)


def test_local_constants_certify_correlated_rows_first_and_descent_obeys(getkey):
    """Rows near one direction: only the local block holds at first, and plain descent keeps what it promises."""
    x = jax.random.normal(getkey(), (6, 8)) + 3.0
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    system = systems.TwoLayerSystem(activations.get("softplus"))
    model = system.init(8, 400, key=getkey())
    f0 = model.outputs(x)
    eta = 0.3 / system.iterate(model, x, f0).lambda_max.value

    def certified():
        for scale in np.geomspace(1, 1e-6, 40):
            y = f0 + scale * jnp.sin(jnp.arange(6.0))
            descent, _ = system.kantorovich(system.iterate(model, x, y), eta, width=400)
            if descent.outcome is Verdict.HOLDS:
                return y, descent
        raise AssertionError("no scale certifies")

    y, descent = certified()
    assert "local" in (descent.block or "")
    rate, longest, sigma_star = given(descent.rate), given(descent.path), given(descent.sigma_star)
    path, residual = 0.0, float(jnp.linalg.norm(f0 - y))
    for _ in range(200):
        gradient = model.step(x, y, ()).gradient
        path += eta * float(jnp.linalg.norm(gradient.hidden))
        model = jax.tree.map(lambda a, g: a if g is None else a - eta * g, model, gradient)
        before, residual = residual, float(jnp.linalg.norm(model.outputs(x) - y))
        assert residual <= rate * before + 1e-14
        assert path <= longest
        assert system.iterate(model, x, y).lambda_min.value >= sigma_star**2 * (1 - 1e-9)


def test_along_path_blocks_are_left_out_about_another_point(getkey):
    """They bound a path from the iterate, not the ball about θ_c."""
    x, y = problem(getkey)
    system = systems.TwoLayerSystem(activations.get("tanh"))
    model = system.init(4, 200, key=getkey())
    blocks, curvature, _ = system.curvature(system.iterate(model, x, y))
    assert [block.along_path for block in blocks] == [False, True]
    comparison = Comparison(Estimate(1e-3), Estimate(0.0))
    rho = Estimate(1e-3)
    both = certify(rho, blocks, curvature, flow=True, comparison=comparison)
    one = certify(rho, blocks[:1], curvature, flow=True, comparison=comparison)
    assert both.to_fields() == one.to_fields()
    none = certify(rho, blocks[1:], curvature, flow=True, comparison=comparison)
    assert none.outcome is Verdict.FAILS
