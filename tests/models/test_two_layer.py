"""The two-layer network against its formulas by hand and the check values of a fixed small network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import activations, gram, train
from globalmin.models import TwoLayer

X = np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [2 / 3, -1 / 3, 2 / 3]])
Y = np.array([0.5, -1.0, 2.0])


def small_network():
    w = jnp.array([[1.0, -1.0, 0.5], [0.5, 2.0, -1.0], [-1.0, 0.25, 2.0], [0.75, -0.5, -1.5]])
    return TwoLayer(w, jnp.array([1.0, -1.0, 1.0, -1.0]), activations.get("relu"))


def test_check_values_of_a_fixed_network():
    """Worked out by hand and with rational arithmetic: outputs, loss, Gram matrix, gradient."""
    network = small_network()
    step = network.step(jnp.asarray(X), jnp.asarray(Y), ())
    np.testing.assert_allclose(step.outputs, [-0.125, -0.975, 0.9583333333333333], rtol=1e-13)
    residual = np.asarray(step.outputs) - Y
    assert residual @ residual / 2 == pytest.approx(0.738159722222222, rel=1e-12)
    h = np.array([[0.75, 0.3, 1 / 6], [0.3, 0.5, 0.0], [1 / 6, 0.0, 0.5]])
    np.testing.assert_allclose(gram.gram(network, jnp.asarray(X)), h, rtol=0, atol=1e-15)
    gradient = np.asarray(step.gradient.hidden)
    np.testing.assert_allclose(gradient[0], [-0.659722222222, 0.173611111111, -0.347222222222], atol=1e-12)
    np.testing.assert_allclose(gradient[1], [0.305, -0.01, 0.0], atol=1e-12)
    np.testing.assert_allclose(gradient[2], [-0.347222222222, 0.173611111111, -0.347222222222], atol=1e-12)
    np.testing.assert_allclose(gradient[3], gradient[1], atol=1e-15)


def test_fifty_steps_of_the_fixed_network():
    x, y = jnp.asarray(X), jnp.asarray(Y)
    state = train.descent.start(small_network(), x)
    one, _ = train.descend(state, x, y, 0.1, 1)
    np.testing.assert_allclose(one.model.outputs(x), [-0.061513888889, -0.9575, 1.020833333333], atol=1e-12)
    end, records = train.descend(state, x, y, 0.1, 50)
    residual = np.asarray(end.model.outputs(x)) - Y
    assert residual @ residual == pytest.approx(0.006894204324, abs=1e-12)
    moved = np.linalg.norm(np.asarray(end.model.hidden - small_network().hidden), axis=1)
    assert moved.max() == pytest.approx(1.070836172869, abs=1e-11)
    assert len(records.epochs) == 50
    flipped = (np.asarray(end.model.preactivations(x)) >= 0) != (np.asarray(small_network().preactivations(x)) >= 0)
    assert flipped.sum() == 1
    assert np.linalg.eigvalsh(gram.gram(end.model, x))[0] == pytest.approx(0.200709593869, abs=1e-11)


def test_one_step_identity_with_flipped_neurons(getkey):
    """u(k+1) − u(k) = −η(H − H^⊥)(u − y) + I₂, exactly, with neurons near their kinks split off."""
    n, d, m, eta = 5, 4, 30, 0.5
    x = jax.random.normal(getkey(), (n, d))
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    y = jax.random.normal(getkey(), (n,))
    network = TwoLayer.init(d, m, activations.get("relu"), key=getkey())
    state, _ = train.descend(train.descent.start(network, x), x, y, eta, 1)
    w0, w1, a = np.asarray(network.hidden), np.asarray(state.model.hidden), np.asarray(network.readout)
    radius = np.linalg.norm(w1 - w0, axis=1).max()
    h0, h1 = np.asarray(x) @ w0.T, np.asarray(x) @ w1.T
    near = np.abs(h0) <= radius  # the neurons of S_i^⊥
    p = (h0 >= 0).astype(float)
    inner = np.asarray(x @ x.T)
    h = inner * (p @ p.T) / m
    h_perp = inner * ((p * near) @ p.T) / m
    relu = lambda v: np.maximum(v, 0)  # noqa: E731
    second = (near * a * (relu(h1) - relu(h0))).sum(1) / np.sqrt(m)
    u0, u1 = relu(h0) @ a / np.sqrt(m), relu(h1) @ a / np.sqrt(m)
    assert near.any()
    np.testing.assert_allclose(u1 - u0, -eta * (h - h_perp) @ (u0 - np.asarray(y)) + second, atol=1e-13)


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu"])
def test_gradient_by_central_differences(getkey, name):
    network = TwoLayer.init(3, 20, activations.get(name), key=getkey(), train_readout=True)
    x, y = jax.random.normal(getkey(), (4, 3)), jax.random.normal(getkey(), (4,))
    gradient = network.step(x, y, ()).gradient
    direction = jax.random.normal(getkey(), network.hidden.shape)

    def loss(t):
        moved = TwoLayer(network.hidden + t * direction, network.readout, network.activation)
        r = moved.outputs(x) - y
        return float(r @ r) / 2

    t = 1e-5  # central differences: error t² L''' + eps/t, about 1e-10
    assert (loss(t) - loss(-t)) / (2 * t) == pytest.approx(float(jnp.sum(gradient.hidden * direction)), rel=1e-7)
    np.testing.assert_allclose(
        gradient.readout, jax.grad(lambda a: _loss(network, a, x, y))(network.readout), rtol=1e-12
    )


def _loss(network, readout, x, y):
    r = TwoLayer(network.hidden, readout, network.activation).outputs(x) - y
    return r @ r / 2


def test_initialisation_is_the_papers(getkey):
    """w ~ N(0, I): the sample covariance within 5 standard errors; a = ±1 and fixed."""
    network = TwoLayer.init(3, 40_000, activations.get("relu"), key=getkey())
    covariance = np.cov(np.asarray(network.hidden).T)
    assert np.abs(covariance - np.eye(3)).max() < 5 * np.sqrt(2 / 40_000)
    assert set(np.unique(network.readout)) == {-1.0, 1.0}
    assert abs(float(network.readout.mean())) < 5 / np.sqrt(40_000)
    assert network.trainable().hidden is True
    assert network.trainable().readout is False


@pytest.mark.parametrize(("dimension", "width"), [(0, 5), (3, 0), (3, -1)])
def test_sizes_below_one_are_refused(getkey, dimension, width):
    with pytest.raises(ValueError, match="at least 1 expected"):
        TwoLayer.init(dimension, width, activations.get("relu"), key=getkey())
