"""Gated networks against matrices of one sample at a time, autodiff, and the stated check values."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import gram, train
from globalmin.models import GATES, ChainGates, Gated, LowRankGates, Patterns, factored, update_terms

from ..gated_reference import Network, build, model_of


@pytest.fixture(scope="module")
def case():
    """Two outputs, three layers: the check values' network."""
    parts = build(0, 5, 4, 2, 16, 3)
    return parts, Network(parts[0], *parts[2:]), model_of(parts)


def test_check_values(case):
    (x, y, *_), _, model = case
    x, y = jnp.asarray(x), jnp.asarray(y.ravel())
    state = model.initial_state(x)
    f = np.asarray(model.outputs(x, state)).reshape(5, 2).T
    # Printed to eight digits.
    np.testing.assert_allclose(f[0], [1.8154918, 0.60355838, -2.00538278, -2.45116275, -0.12731214], atol=1e-8)
    np.testing.assert_allclose(f[1], [0.85622351, -0.20554583, -2.68696783, -5.5708082, 1.0116129], atol=1e-8)
    np.testing.assert_allclose(model.rectified().outputs(x)[:2], [0.43913304, -0.76643872], atol=1e-8)
    assert state.unpack().sum((1, 2)).tolist() == [34, 41, 41]
    step = model.step(x, y, state)
    assert float(((step.outputs - y) ** 2).sum()) / 2 == pytest.approx(23.7102531618804, rel=1e-13)
    norms = [np.linalg.norm(g) for g in step.gradient.layers]
    np.testing.assert_allclose(norms, [59.554858664, 45.608227739, 29.570361145], atol=1e-8)
    k = gram.gram(model, x, state)
    np.testing.assert_allclose(k[0, :4], [31.50254718, 7.01444926, 16.42105828, 3.84088918], atol=1e-8)
    values = np.linalg.eigvalsh(k)
    np.testing.assert_allclose(values[[0, -1]], [5.26487623247, 158.614056654], rtol=1e-11)
    # Descent, by the common trainer with two outputs per sample.
    state, records = train.descend(train.descent.start(model, x), x, y, 1 / (1.2 * values[-1]), 101)
    want = [23.71025316, 4.066452675, 0.5218633489, 0.003362927201, 4.763890189e-05]
    np.testing.assert_allclose(records.values["loss"][[0, 1, 10, 50, 100]], want, rtol=1e-9)


def test_maps_of_the_subnetworks(case):
    (x, y, *_), net, model = case
    rows = jnp.asarray(x)
    np.testing.assert_allclose(model.features(rows), net.h, atol=1e-13)
    want = [[net.f[k + 1][i] for i in range(5)] for k in (1, 2, 3)]
    np.testing.assert_allclose(model.adjoints(rows), want, atol=1e-13)
    for k in (1, 2, 3):  # W^i = F_{k+1} G_k for every k
        for i in range(5):
            np.testing.assert_allclose(net.f[k + 1][i] @ net.g[k][i], net.b @ net.g[3][i], atol=1e-12)
    np.testing.assert_allclose(gram.gram(model, rows), net.jacobian @ net.jacobian.T, atol=1e-12)
    gradient = (net.jacobian.T @ (net.outputs - y).ravel()).reshape(3, 16, 16)
    step = model.step(rows, jnp.asarray(y.ravel()), None)
    np.testing.assert_allclose(step.gradient.layers, gradient, atol=1e-12)
    assert step.gradient.first is None
    assert step.gradient.gates.matrices is None
    assert model.output_scale(rows) >= np.abs(net.outputs).max()


@pytest.mark.parametrize("kind", ["gated", "relu", "no last gate"])
@pytest.mark.parametrize("depth", [1, 3])
def test_gradient_and_kernel_against_autodiff(getkey, kind, depth):
    x = jax.random.normal(getkey(), (4, 3))
    model = Gated.init(3, 10, depth, key=getkey())
    if kind == "relu":
        model = model.rectified()
    elif kind == "no last gate":
        model = Gated(model.first, model.layers, model.readout, gates=model.gates, final=False)

    def dense(layers):
        """The forward pass written out, patterns as constants."""
        h = jnp.maximum(x @ model.first.T, 0)
        for w, mask in zip(layers, model.masks(x), strict=True):
            h = jnp.where(mask, h @ w.T, 0)
        return (h @ model.readout.T).ravel()

    np.testing.assert_allclose(model.outputs(x), dense(model.layers), atol=1e-13)
    y = jax.random.normal(getkey(), (4,))
    want = jax.grad(lambda layers: jnp.sum((dense(layers) - y) ** 2) / 2)(model.layers)
    state = model.initial_state(x)
    np.testing.assert_allclose(model.step(x, y, state).gradient.layers, want, atol=1e-12)
    np.testing.assert_allclose(gram.gram(model, x), gram.jacobian(model, x) @ gram.jacobian(model, x).T, atol=1e-11)
    jacobian = jax.jacobian(dense)(model.layers).reshape(4, -1)
    np.testing.assert_allclose(gram.gram(model, x, state), jacobian @ jacobian.T, atol=1e-11)


def test_freezing_a_relu_network_changes_nothing_and_then_its_gates_stay(getkey):
    x, new = jax.random.normal(getkey(), (4, 3)), jax.random.normal(getkey(), (4, 3))
    for final in (True, False):
        model = Gated.init(3, 12, 3, key=getkey()).rectified(final=final)
        frozen = model.freeze()
        for rows in (x, new):
            np.testing.assert_array_equal(frozen.outputs(rows), model.outputs(rows))
            np.testing.assert_array_equal(gram.gram(frozen, rows), gram.gram(model, rows))
        moved = eqx.tree_at(lambda m: m.layers, frozen, 2 * frozen.layers)
        np.testing.assert_array_equal(moved.masks(new), frozen.masks(new))
        # Multilinear: every layer doubled is 2³ times the output.
        np.testing.assert_allclose(moved.outputs(x), 8 * frozen.outputs(x), rtol=1e-13)


@pytest.mark.parametrize("gates", GATES)
def test_patterns_are_kept_and_computed_anew_for_new_data(getkey, gates):
    model = Gated.init(5, 21, 4, key=getkey(), gates=gates)  # 21: not a multiple of 8
    x = jax.random.normal(getkey(), (7, 5))
    kept = model.patterns(x)
    assert kept.bits.shape == (4, 7, 3)
    np.testing.assert_array_equal(kept.unpack(), model.masks(x))
    np.testing.assert_array_equal(model.outputs(x, kept), model.outputs(x))
    np.testing.assert_array_equal(model.masks(x[3:4]), model.masks(x)[:, 3:4])
    # Patterns and not weights decide: other weights, the same patterns.
    moved = eqx.tree_at(lambda m: m.layers, model, -model.layers)
    np.testing.assert_array_equal(moved.masks(x), model.masks(x))


def test_patterns_of_chain_gates_and_of_their_factors(getkey, case):
    (x, *_), net, model = case
    np.testing.assert_array_equal(model.masks(jnp.asarray(x)), np.array(net.d[1:]) > 0)
    masks = jax.random.bernoulli(getkey(), 0.5, (2, 3, 13))
    np.testing.assert_array_equal(Patterns.pack(masks).unpack(), masks)
    # Full rank: factors of Ψ itself have its patterns.
    gates = model.gates
    assert isinstance(gates, ChainGates)
    identity = jnp.broadcast_to(jnp.eye(16), gates.matrices.shape)
    same = LowRankGates(gates.matrices, identity)
    h = jnp.maximum(jnp.asarray(x) @ model.first.T, 0)
    np.testing.assert_array_equal(same.masks(jnp.asarray(x), h), gates.masks(jnp.asarray(x), h))


def test_initial_weights_have_their_laws():
    model = Gated.init(5, 400, 2, key=jax.random.key(0), outputs=3)
    assert isinstance(model.gates, ChainGates)
    for array, variance in (
        (model.first, 2 / 5), (model.layers, 2 / 400), (model.readout, 2 / 3), (model.gates.matrices, 2 / 400),
    ):  # fmt: skip
        # The variance of a variance is 2σ⁴/N, of a mean σ²/N: five deviations.
        assert abs(float(jnp.mean(array**2)) - variance) < 5 * variance * (2 / array.size) ** 0.5
        assert abs(float(jnp.mean(array))) < 5 * (variance / array.size) ** 0.5


def test_lemma_1_to_round_off(case):
    """The three terms add up to the change of the outputs, and of W^i in any direction; each by its own formula."""
    (x, y, *_), net, model = case
    rows, labels, eta = jnp.asarray(x), jnp.asarray(y.ravel()), 0.005
    after = net.descended(y, eta)
    found = update_terms(model, rows, labels, eta)
    np.testing.assert_allclose(found.total, after.outputs - net.outputs, atol=1e-13)
    v = np.random.default_rng(1).standard_normal(x.shape)
    found = update_terms(model, rows, labels, eta, model.patterns(rows), jnp.asarray(v))
    r, own, others = net.outputs - y, np.zeros((5, 2)), np.zeros((5, 2))
    for i in range(5):
        change = net.b @ (after.g[3][i] - net.g[3][i]) @ v[i]
        np.testing.assert_allclose(found.total[i], change, atol=1e-13)
        for k in (1, 2, 3):
            for j in range(5):
                share = -eta * net.f[k + 1][i] @ net.f[k + 1][j].T @ r[j] * (net.h[k - 1][j] @ net.g[k - 1][i] @ v[i])
                (own if i == j else others)[i] += share
    np.testing.assert_allclose(found.own, own, atol=1e-13)
    np.testing.assert_allclose(found.others, others, atol=1e-13)
    assert np.abs(found.higher).max() > 1e-3


def test_bad_input_is_one_line(getkey):
    for changes, message in (
        ({"depth": 0}, "depth: an integer of at least 1"),
        ({"outputs": 0}, "outputs: an integer"),
        ({"gates": "chains"}, "gates: one of chain, inputs, low-rank expected, 'chains' came"),
    ):
        with pytest.raises(ValueError, match=message):
            Gated.init(3, 4, **({"depth": 2} | changes), key=getkey())  # pyright: ignore[reportArgumentType]
    model = Gated.init(2, 6, 3, key=getkey())
    assert isinstance(model.gates, ChainGates)
    dead = eqx.tree_at(lambda m: m.gates.matrices, model, model.gates.matrices.at[1].set(-1.0))
    x = jnp.asarray([[1.0, 0.0], [0.6, 0.8]])
    with pytest.raises(ValueError, match=r"layer 2 of 3 has none for samples 0 and 1, where f stays 0") as raised:
        dead.initial_state(x)
    assert "\n" not in str(raised.value)


def test_factors_of_gates_that_exist(getkey):
    """Full rank gives the patterns back; the source's rank does not; a non-negative factor alone opens every gate."""
    model = Gated.init(6, 40, 2, key=getkey())
    assert isinstance(model.gates, ChainGates)
    x = jax.random.normal(getkey(), (20, 6))
    h, exact = jnp.maximum(x @ model.first.T, 0), np.asarray(model.masks(x))
    np.testing.assert_array_equal(factored(model.gates, 40, "svd").masks(x, h), exact)
    for method in ("svd", "nmf"):
        found = factored(model.gates, 3, method)
        assert found.left.shape == (2, 40, 3)
        agreement = (np.asarray(found.masks(x, h)) == exact).mean()
        assert 0.5 < agreement < 0.9
    signed = factored(model.gates, 4, "nmf")
    positive = LowRankGates(jnp.abs(signed.left), signed.right)
    assert np.asarray(positive.masks(x, h)).all()
    for rank, method, message in ((1, "svd", "rank: an integer from 2 to m = 40"), (3, "pca", "method: nmf or svd")):
        with pytest.raises(ValueError, match=message):
            factored(model.gates, rank, method)
