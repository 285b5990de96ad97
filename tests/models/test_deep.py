"""The deep networks against NumPy loops over layers, worked values of small networks, autodiff and JAX's convolution."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import activations, gram
from globalmin.models import ConvResNet, Dense, ResNet, TwoLayer
from globalmin.models.conv_resnet import extract_patches

SOFTPLUS = activations.get("softplus")
W1, W2 = jnp.array([[1.0, -1.0], [0.5, 2.0]]), jnp.array([[1.0, 0.5], [-1.0, 1.0]])
W3, A = jnp.array([[0.5, -0.5], [1.0, 0.25]]), jnp.array([1.0, -2.0])
ROWS = jnp.array([[0.6, 0.8], [1.0, 0.0]])
IMAGES = np.array([[[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]], [[0.1, -0.7, 0.5], [0.5, 0.0, 0.0]]])  # channels first


def unit_rows(key, n, d):
    x = jax.random.normal(key, (n, d))
    return x / jnp.linalg.norm(x, axis=1, keepdims=True)


NETWORKS = {
    "dense, one layer": lambda key: Dense.init(12, 6, SOFTPLUS, depth=1, key=key),
    "dense": lambda key: Dense.init(12, 6, activations.get("tanh"), depth=3, key=key),
    "resnet": lambda key: ResNet.init(12, 6, SOFTPLUS, depth=4, c_res=0.7, key=key),
    "conv": lambda key: ConvResNet.init((3, 4, 1), 5, SOFTPLUS, depth=3, c_res=0.7, key=key),
    "conv, one dimension": lambda key: ConvResNet.init((6, 2), 5, SOFTPLUS, depth=2, c_res=0.7, key=key),
}


def entries(gram_matrix):
    return [gram_matrix[0, 0], gram_matrix[0, 1], gram_matrix[1, 1]]


def test_worked_values_of_a_dense_network():
    network = Dense(W1, W2[None], A, SOFTPLUS, SOFTPLUS.c_sigma)
    np.testing.assert_allclose(network.outputs(ROWS), [-0.9286664001, 0.3018686999], atol=1e-10)
    want = {
        "layer 1": [0.5740009435, 0.2690370402, 0.4632877985],
        "layer 2": [3.7212235149, 1.5575998386, 1.0957043836],
        "readout": [2.1543197054, 1.6598032187, 1.5038229662],
    }
    found = gram.layer_grams(network, ROWS)
    assert list(found) == list(want)
    for name, values in want.items():
        np.testing.assert_allclose(entries(found[name]), values, atol=1e-10, err_msg=name)
    states = network.passes(ROWS)
    np.testing.assert_allclose(states.inputs[0], [[0.440655547107, 1.502438871198], [0.967494468310, 0.717613330884]])


def test_worked_values_of_a_residual_network():
    network = ResNet(W1, jnp.stack([W2, W3]), A, SOFTPLUS, SOFTPLUS.c_sigma, 0.5)
    np.testing.assert_allclose(network.outputs(ROWS), [-2.9724018984, -0.6986168508], atol=1e-10)
    want = {
        "layer 1": [2.1364254404, 0.9579566270, 1.2775632405],
        "layer 2": [0.0945995484, 0.0382688641, 0.0256853040],
        "layer 3": [0.1006290430, 0.0709865138, 0.0760524454],
        "readout": [3.7566173236, 2.5982757426, 2.4927494720],
    }
    found = gram.layer_grams(network, ROWS)
    for name, values in want.items():
        np.testing.assert_allclose(entries(found[name]), values, atol=1e-10, err_msg=name)


def test_worked_patches():
    x = jnp.asarray(IMAGES.transpose(0, 2, 1))
    phi = extract_patches(x, (3,), 3)
    want = [[0, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0], [0, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0]]
    np.testing.assert_array_equal(phi[0].T, want)
    np.testing.assert_allclose(phi[0] @ phi[0].T, [[0.75, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 0.75]], atol=1e-15)
    want = [[-0.3, -0.1, 0.25], [0.3, -0.3, -0.1], [0.25, 0.3, -0.35]]
    np.testing.assert_allclose(phi[0] @ phi[1].T, want, atol=1e-15)


def test_patches_times_filters_is_a_convolution(getkey):
    """Against `lax.conv_general_dilated`, which is a cross-correlation with zeros beyond the border."""
    x, w = jax.random.normal(getkey(), (2, 5, 4, 3)), jax.random.normal(getkey(), (7, 3 * 9))
    found = extract_patches(x.reshape(2, 20, 3), (5, 4), 3) @ w.T
    numbers = jax.lax.conv_dimension_numbers(x.shape, (7, 3, 3, 3), ("NHWC", "OIHW", "NHWC"))
    want = jax.lax.conv_general_dilated(x, w.reshape(7, 3, 3, 3), (1, 1), "SAME", dimension_numbers=numbers)
    np.testing.assert_allclose(found, want.reshape(2, 20, 7), atol=1e-13)


def by_hand(network, row):
    """f at one row by a NumPy loop over layers, pixels and patches."""
    conv = isinstance(network, ConvResNet)
    x = np.asarray(row).reshape((*network.image_shape[:-1], -1) if conv else -1)
    m, depth = network.width, network.depth

    def phi(x):
        if not conv:
            return x[None]
        sides, r = x.shape[:-1], network.filter_size // 2
        padded = np.pad(x, [(r, r)] * len(sides) + [(0, 0)])
        cut = [padded[tuple(slice(i, i + 2 * r + 1) for i in at)] for at in np.ndindex(*sides)]
        return np.array([np.moveaxis(p, -1, 0).ravel() for p in cut])

    weights = [network.first, *network.hidden]
    for h, w in enumerate(weights, start=1):
        branch = np.asarray(network.activation(jnp.asarray(phi(x) @ np.asarray(w).T)))
        if h == 1 or isinstance(network, Dense):
            x = np.sqrt(network.c_sigma / m) * branch
        else:
            x = x.reshape(branch.shape) + network.c_res / (depth * np.sqrt(m)) * branch
        x = x.reshape(*network.image_shape[:-1], m) if conv else x[0]
    return float((np.asarray(network.readout).ravel() * x.ravel()).sum())


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_gram_and_gradient(getkey, name):
    network, x, y = NETWORKS[name](getkey()), unit_rows(getkey(), 4, 12), jax.random.normal(getkey(), (4,))
    outputs = eqx.filter_jit(lambda network, x: network.outputs(x))
    np.testing.assert_allclose(outputs(network, x), [by_hand(network, row) for row in x], atol=1e-12)
    jacobian = np.asarray(eqx.filter_jit(gram.jacobian)(network, x))
    want = jacobian @ jacobian.T
    np.testing.assert_allclose(gram.gram(network, x), want, rtol=0, atol=1e-12 * want.max())
    # Layer by layer: the columns of the Jacobian are W^(1), the stack, a.
    sizes = [network.first.size, *(w.size for w in network.hidden), network.readout.size]
    parts = np.split(jacobian, np.cumsum(sizes)[:-1], axis=1)
    layers = gram.layer_grams(network, x)
    assert list(layers) == [f"layer {h}" for h in range(1, network.depth + 1)] + ["readout"]
    for found, part in zip(layers.values(), parts, strict=True):
        np.testing.assert_allclose(found, part @ part.T, rtol=0, atol=1e-12 * want.max())
    step = eqx.filter_jit(lambda network, x, y: network.step(x, y, ()))(network, x, y)
    np.testing.assert_allclose(step.outputs, outputs(network, x), atol=1e-13)
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(step.gradient)])
    np.testing.assert_allclose(flat, jacobian.T @ np.asarray(step.outputs - y), atol=1e-12)


def test_gradient_against_finite_differences(getkey):
    network, x, y = NETWORKS["conv"](getkey()), unit_rows(getkey(), 4, 12), jax.random.normal(getkey(), (4,))
    gradient = eqx.filter_jit(lambda network, x, y: network.step(x, y, ()))(network, x, y).gradient
    moved, fixed = eqx.partition(network, network.trainable())
    direction = jax.tree.map(lambda leaf: jax.random.normal(getkey(), leaf.shape), moved)

    outputs = eqx.filter_jit(lambda network, x: network.outputs(x))

    def loss(t):
        there = eqx.combine(jax.tree.map(lambda p, d: p + t * d, moved, direction), fixed)
        return 0.5 * float(jnp.sum((outputs(there, x) - y) ** 2))

    slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
    want = sum(
        float(jnp.vdot(g, d)) for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
    )
    # Central differences: 1e-10 of the third derivative, 1e-16/1e-5 of rounding.
    assert slope == pytest.approx(want, rel=1e-7)


def test_one_layer_is_the_two_layer_network_times_the_root_of_c(getkey):
    network, x = NETWORKS["dense, one layer"](getkey()), unit_rows(getkey(), 4, 12)
    two = TwoLayer(network.first, network.readout, SOFTPLUS, train_readout=True)
    np.testing.assert_allclose(network.outputs(x), np.sqrt(SOFTPLUS.c_sigma) * two.outputs(x), rtol=1e-13)
    np.testing.assert_allclose(gram.gram(network, x), SOFTPLUS.c_sigma * gram.gram(two, x), rtol=1e-13)


def test_initialisation(getkey):
    """Every entry N(0, 1): mean and variance within 5 standard errors, and no two weights alike."""
    network = Dense.init(20, 60, SOFTPLUS, depth=3, key=getkey())
    assert network.hidden.shape == (2, 60, 60)
    for weight in (network.first, network.hidden, network.readout):
        entries = np.ravel(weight)
        assert abs(entries.mean()) < 5 / np.sqrt(entries.size)
        assert abs(entries.var() - 1) < 5 * np.sqrt(2 / entries.size)
    assert not np.allclose(network.hidden[0], network.hidden[1])


def test_compiling_does_not_grow_with_the_depth():
    """The traced step and tangent kernel of 40 layers are as long as those of 4."""
    x = jnp.ones((3, 5))

    def equations(jaxpr):
        count = len(jaxpr.eqns)
        for equation in jaxpr.eqns:
            for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns")):
                inner = getattr(inner, "jaxpr", inner)
                count += equations(inner) if hasattr(inner, "eqns") else 0
        return count

    found = []
    for depth in (4, 40):
        network = ResNet.init(5, 4, SOFTPLUS, depth=depth, c_res=0.5, key=jax.random.key(0))
        step = jax.make_jaxpr(lambda x, network=network: network.step(x, jnp.zeros(3), ()).outputs)(x)
        kernel = jax.make_jaxpr(lambda x, network=network: gram.gram(network, x))(x)
        found.append((equations(step.jaxpr), equations(kernel.jaxpr)))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda k: Dense.init(3, 4, SOFTPLUS, depth=0, key=k), "depth: an integer of at least 1"),
        (lambda k: ResNet.init(3, 4, SOFTPLUS, depth=1, c_res=0.5, key=k), "at least 2 .*; layer 1 has no skip"),
        (lambda k: ResNet.init(3, 4, SOFTPLUS, depth=2, c_res=1.5, key=k), r"c_res: a number in \(0, 1\)"),
        (lambda k: ConvResNet.init((4, 4, 1), 4, SOFTPLUS, depth=2, c_res=0.5, filter_size=2, key=k), "odd number"),
        (lambda k: ConvResNet.init((4, 4, 1), 4, SOFTPLUS, depth=2, c_res=0.5, filter_size=5, key=k), "at most 4"),
        (lambda k: ConvResNet.init((16,), 4, SOFTPLUS, depth=2, c_res=0.5, key=k), "height, width, channels"),
        (lambda k: ConvResNet.init((4, 0, 1), 4, SOFTPLUS, depth=2, c_res=0.5, key=k), "image_shape: an integer"),
        (
            lambda k: ConvResNet.init((4, 4, 1), 4, SOFTPLUS, depth=2, c_res=0.5, key=k).outputs(jnp.ones((2, 15))),
            "rows of 16 entries expected",
        ),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make(jax.random.key(0))
