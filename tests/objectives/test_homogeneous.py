"""Balance of layers: the spec's networks by hand, random networks of every kind, users' networks, flow and descent."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import train
from globalmin.objectives import HomogeneousNetwork, check_balance
from globalmin.systems import BalancingSystem

X3 = jnp.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [2 / 3, -1 / 3, 2 / 3]])
TARGETS = jnp.array([[1.0, -1.0, 0.5], [0.0, 2.0, 1.0]]).T
W1 = jnp.array([[1, -1, 0.5], [0.5, 2, -1], [-1, 0.25, 2], [0.75, -0.5, 1]])
W2 = jnp.array([[1, -0.5, 0.25, 2], [-1, 1, 0.5, 0.5], [0.5, 0.5, -1, 1]])
W3 = jnp.array([[1, -1, 0.5], [0.25, 1, -2]])
POINT = {"w1": W1, "w2": W2, "w3": W3}
SHAPES = ((4, 3), (3, 4), (2, 3))


def three_layers(slope=0.0, flow=False):
    return HomogeneousNetwork(X3, TARGETS, SHAPES, (1.0, 1.0, 1.0), slope, flow)


def run(objective, point, method: train.AbstractMethod = train.DESCENT, **options):
    prepared = train.prepare_objective(BalancingSystem(objective), point=point, method=method, **options)
    log = train.Log()
    for _ in train.run(prepared, log):
        pass
    return prepared, log, train.trajectory(prepared, log)


def test_check_values_of_one_step():
    objective = three_layers()
    assert float(objective.value(POINT)) == pytest.approx(6.868155562789, abs=1e-12)
    gradient = objective.gradient(POINT)
    squares = [float(jnp.sum(g**2)) for g in gradient.values()]
    np.testing.assert_allclose(squares, [78.117991714007, 78.415581578604, 109.703336445911], rtol=1e-12)
    for name, w in POINT.items():
        assert float(jnp.sum(w * gradient[name])) == pytest.approx(12.954713903356, abs=1e-11)
    moved = {name: w - 0.01 * gradient[name] for name, w in POINT.items()}
    sizes = [float(jnp.sum(w**2)) for w in moved.values()]
    np.testing.assert_allclose(-np.diff(sizes), [4.062470241014, 2.996871224513], rtol=0, atol=2e-12)
    np.testing.assert_allclose(
        objective.invariants(moved)[0],
        [-0.002041596185, 3.748745828967, 3.750243623973, -3.434477615741],
        rtol=0, atol=2e-12,
    )  # fmt: skip
    assert float(objective.value(moved)) == pytest.approx(4.574305950385, abs=1e-11)


def test_drift_halves_with_the_step_size_and_is_the_sum_of_the_steps():
    want = {0.02: (-6.32e-3, -25.9e-3), 0.01: (-3.55e-3, -11.9e-3), 0.005: (-1.85e-3, -5.76e-3)}
    for eta, drift in want.items():
        prepared, log, (looks, steps) = run(three_layers(), POINT, step_size=eta, epochs=round(1 / eta) + 1, looks=3)
        at = [steps[f"difference_{h}"][-1] - steps[f"difference_{h}"][0] for h in (1, 2)]
        np.testing.assert_allclose(at, drift, atol=6e-5)  # the spec prints three digits
        assert steps["identity_share"].max() <= 1
        assert looks["node_identity"].max() <= 1
        assert train.conclude(prepared, log)["sentence"] == "held throughout"


def test_matrix_invariants_of_a_linear_network_under_flow():
    """Fourth-order Runge-Kutta with step 5e-4 to t = 2, written here; the invariants are the objective's."""
    objective = three_layers(slope=1.0)
    start = {name: w / 2 for name, w in POINT.items()}
    field = jax.tree_util.Partial(lambda p: jax.tree.map(jnp.negative, objective.gradient(p)))

    @jax.jit
    def integrate(p):
        def step(_, p):
            h = 5e-4
            k1 = field(p)
            k2 = field(jax.tree.map(lambda a, b: a + h / 2 * b, p, k1))
            k3 = field(jax.tree.map(lambda a, b: a + h / 2 * b, p, k2))
            k4 = field(jax.tree.map(lambda a, b: a + h * b, p, k3))
            return jax.tree.map(lambda a, b, c, d, e: a + h / 6 * (b + 2 * c + 2 * d + e), p, k1, k2, k3, k4)

        return jax.lax.fori_loop(0, 4000, step, p)

    end = integrate(start)
    for before, after in zip(objective.invariants(start), objective.invariants(end), strict=True):
        assert before.ndim == 2
        np.testing.assert_allclose(after, before, rtol=0, atol=1e-12)
    assert float(objective.value(end)) < 0.5 * float(objective.value(start))


def test_shared_filters_by_hand():
    """The spec's C18: two filters of width 2 over three inputs, output weights on the four activations."""
    objective = HomogeneousNetwork(jnp.array([[[1.0, -1.0, 2.0]]]), jnp.array([[1.0]]), ((2, 1, 2), (1, 4)), (1.0, 1.0))
    point = {"w1": jnp.array([[[1.0, 0.5]], [[-1.0, 2.0]]]), "w2": jnp.array([[1.0, -1.0, 0.5, 0.25]])}
    assert float(objective.outputs(point)[0, 0]) == 1.75
    gradient = objective.gradient(point)
    np.testing.assert_allclose(gradient["w1"].ravel(), [0.75, -0.75, -0.1875, 0.375], atol=1e-15)
    np.testing.assert_allclose(gradient["w2"].ravel(), [0.375, 0, 0, 3.75], atol=1e-15)
    assert [float(jnp.sum(point[w] * gradient[w])) for w in point] == [1.3125, 1.3125]


@pytest.mark.parametrize("slope", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_every_kind_is_balanced_along_descent(getkey, slope, kind):
    y = jax.random.normal(getkey(), (6, 2))
    if kind == "dense":
        objective = HomogeneousNetwork(
            jax.random.normal(getkey(), (6, 5)), y, ((4, 5), (3, 4), (2, 3)), (0.5,) * 3, slope
        )
    else:
        objective = HomogeneousNetwork(
            jax.random.normal(getkey(), (6, 1, 5, 4)), y, ((3, 1, 2, 2), (2, 3, 2, 2), (2, 12)), (0.5,) * 3, slope
        )
    prepared, log, (_, steps) = run(objective, objective.init(key=getkey()), step_size=0.05, epochs=40, looks=4)
    assert steps["loss"][-1] < steps["loss"][0]
    assert steps["spread_share"].max() <= 1
    assert steps["identity_share"].max() <= 1
    assert steps["relative_drift"].max() > 1e-6  # it does drift
    assert train.conclude(prepared, log)["sentence"] == "held throughout"
    assert {t.verdict for t in prepared.theorems} == {"HOLDS"}


def test_flow_keeps_what_descent_moves():
    prepared, log, (looks, steps) = run(
        three_layers(flow=True), POINT, train.Flow(), step_size=0.05, epochs=10, looks=2
    )
    assert steps["relative_drift"].max() < 1e-8
    assert looks["relative_node_drift"].max() < 1e-8
    assert "identity_share" not in steps
    assert train.conclude(prepared, log)["sentence"] == "held throughout"


def test_a_users_network_is_checked(getkey):
    x, y = jax.random.normal(getkey(), (7, 5)), jax.random.normal(getkey(), (7, 3))

    def weights(m):
        return [layer.weight for layer in m.layers]

    net = eqx.nn.MLP(5, 3, 6, 2, use_bias=False, use_final_bias=False, key=getkey())
    found = check_balance(net, weights, x, y)
    assert found.balanced
    assert found.sentence.startswith("balanced")
    assert max(n for n in found.nodes if n is not None) <= found.rounding
    assert len(found.nodes) == 2
    # ⟨W_h, ∇_h⟩ is the mean of ⟨ℓ′(f), f⟩ for any loss.
    f = jax.vmap(net)(x)
    assert found.products[0] == pytest.approx(float(jnp.mean(jnp.sum((f - y) * f, axis=1))), rel=1e-12)
    other = check_balance(net, weights, x, y, lambda u, t: jnp.sum(jnp.logaddexp(0.0, -u * t)))
    assert other.balanced

    class Convolutional(eqx.Module):
        filters: eqx.nn.Conv1d
        pooled: eqx.nn.AvgPool1d
        last: eqx.nn.Linear

        def __call__(self, x):
            z = self.pooled(jax.nn.leaky_relu(self.filters(x[None])))
            return self.last(z.ravel())

    conv = Convolutional(
        eqx.nn.Conv1d(1, 2, 2, use_bias=False, key=getkey()),
        eqx.nn.AvgPool1d(2, 2),
        eqx.nn.Linear(4, 3, use_bias=False, key=getkey()),
    )
    assert check_balance(conv, lambda m: [m.filters.weight, m.last.weight], x, y).balanced


def test_networks_that_are_not_homogeneous_are_told_apart(getkey):
    x, y = jax.random.normal(getkey(), (7, 5)), jax.random.normal(getkey(), (7, 3))

    def weights(m):
        return [layer.weight for layer in m.layers]

    biased = eqx.nn.MLP(5, 3, 6, 2, key=getkey())
    smooth = eqx.nn.MLP(5, 3, 6, 2, activation=jnp.tanh, use_bias=False, use_final_bias=False, key=getkey())
    for network in (biased, smooth):
        found = check_balance(network, weights, x, y)
        assert not found.balanced
        assert found.spread > 1e6 * found.rounding
        assert "not homogeneous in layer" in found.sentence
    with pytest.raises(ValueError, match="at least one layer"):
        check_balance(biased, lambda m: [], x, y)
    for arguments, message in [
        ((lambda m: m.layers[0].weight, x, y), "where: a list of the layers"),
        ((weights, x, y[:5]), "y: one target per sample expected, 7 samples and 5 targets came"),
        ((weights, x * jnp.nan, y), "x: finite numbers expected"),
    ]:
        with pytest.raises(ValueError, match=message):
            check_balance(biased, *arguments)
    with pytest.raises(ValueError, match="float64 expected"):
        check_balance(biased, lambda m: [w.astype(jnp.float32) for w in weights(m)], x, y)


def test_bad_layers_are_one_line():
    x, y = jnp.ones((4, 5)), jnp.ones((4, 2))
    for arguments, message in [
        ((x, y, ((3, 4), (2, 3)), (1.0, 1.0)), "layer 1: a shape that takes"),
        ((x, y, ((3, 5), (1, 3)), (1.0, 1.0)), "y: 1 targets"),
        ((x, y, ((3, 5), (2, 3)), (1.0,)), "scales: one standard deviation per layer"),
        ((x, y, ((3, 5), (2, 3)), (1.0, -1.0)), "scales: positive"),
        ((x, y, ((3, 5), (2, 3)), (1.0, 1.0), 2.0), "slope"),
        ((x[:, None], y, ((3, 1, 7), (2, 3)), (1.0, 1.0)), "layer 1: a filter within"),
        ((x * jnp.nan, y, ((3, 5), (2, 3)), (1.0, 1.0)), "x: finite numbers"),
    ]:
        with pytest.raises(ValueError, match=message) as raised:
            HomogeneousNetwork(*arguments)
        assert "\n" not in str(raised.value)
