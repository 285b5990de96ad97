"""Chunks, resuming, stopping: a descent does the same whatever the way it is cut, and stops where it must."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import RESULTS, activations, train
from globalmin.models import Equilibrium, TwoLayer
from globalmin.train import flow
from globalmin.train.descent import CHUNK


def problem(getkey, n=6, d=4):
    x = jax.random.normal(getkey(), (n, d))
    x = jnp.sqrt(d) * x / jnp.linalg.norm(x, axis=1, keepdims=True)
    return x, jax.random.normal(getkey(), (n,))


@pytest.mark.parametrize("kind", ["two-layer", "equilibrium"])
def test_bits_do_not_depend_on_the_chunks(getkey, kind):
    x, y = problem(getkey)
    if kind == "two-layer":
        network, eta = TwoLayer.init(4, 50, activations.get("relu"), key=getkey()), 0.05
    else:
        network, eta = Equilibrium.init(4, 30, activations.get("tanh"), key=getkey()), 0.001
    whole, records = train.descend(train.descent.start(network, x), x, y, eta, 40)
    state, pieces = train.descent.start(network, x), []
    for epochs in (1, 7, 32):
        state, piece = train.descend(state, x, y, eta, epochs)
        pieces.append(piece)
    leaves = [jax.tree.leaves(eqx.filter(s, eqx.is_array)) for s in (whole, state)]
    for a, b in zip(*leaves, strict=True):
        np.testing.assert_array_equal(a, b)
    joined = train.scalars(pieces)
    np.testing.assert_array_equal(joined["loss"], records.values["loss"])
    np.testing.assert_array_equal(joined["epoch"], np.arange(40))


def test_descent_against_numpy(getkey):
    x, y = problem(getkey)
    network = TwoLayer.init(4, 30, activations.get("tanh"), key=getkey())
    state, records = train.descend(train.descent.start(network, x), x, y, 0.05, 25)
    w, a, rows = np.asarray(network.hidden), np.asarray(network.readout), np.asarray(x)
    for k in range(25):
        u = np.tanh(rows @ w.T) @ a / np.sqrt(30)
        r = u - np.asarray(y)
        assert records.values["loss"][k] == pytest.approx(r @ r / 2, rel=1e-11)
        w = w - 0.05 * ((r[:, None] * (1 - np.tanh(rows @ w.T) ** 2) * a / np.sqrt(30)).T @ rows)
    np.testing.assert_allclose(state.model.hidden, w, rtol=0, atol=1e-11)


def test_flow_is_the_limit_of_small_steps(getkey):
    """Descent with steps η/k approaches the flow at first order: halving the step halves the distance."""
    x, y = problem(getkey)
    network = TwoLayer.init(4, 30, activations.get("tanh"), key=getkey())
    exact, _ = train.descend(train.descent.start(network, x), x, y, 0.1, 5, flow.integrate)
    errors = []
    for parts in (16, 32, 64):
        near, _ = train.descend(train.descent.start(network, x), x, y, 0.1 / parts, 5 * parts)
        errors.append(float(jnp.linalg.norm(near.model.hidden - exact.model.hidden)))
    ratios = np.array(errors[:-1]) / np.array(errors[1:])
    assert np.all(np.abs(ratios - 2) < 0.1), ratios


def test_divergence_stops_with_the_epoch_and_keeps_the_last_good_state(getkey):
    x, y = problem(getkey)
    network = TwoLayer.init(4, 30, activations.get("softplus"), key=getkey())
    state, records = train.descend(train.descent.start(network, x), x, y, 100.0, 500)
    assert records.result == RESULTS.loss_diverged
    assert f"epoch {state.epoch}" in records.message
    assert state.epoch < 500
    assert bool(jnp.isfinite(state.model.hidden).all())
    assert np.isfinite(records.values["loss"]).all()


def test_nan_in_the_weights_stops_at_once(getkey):
    x, y = problem(getkey)
    network = TwoLayer.init(4, 30, activations.get("relu"), key=getkey())
    network = eqx.tree_at(lambda m: m.hidden, network, network.hidden.at[0, 0].set(jnp.nan))
    state, records = train.descend(train.descent.start(network, x), x, y, 0.1, 10)
    assert records.result == RESULTS.loss_nonfinite
    assert state.epoch == 0


def test_loss_of_contraction_stops_the_run(getkey):
    """‖W‖ pushed beyond 1: the step is not taken, and the message says what happened."""
    x, y = problem(getkey)
    network = Equilibrium.init(4, 30, activations.get("relu"), key=getkey())
    network = eqx.tree_at(lambda m: m.hidden, network, 3.0 * network.hidden)
    state, records = train.descend(train.descent.start(network, x), x, y, 1e-4, 10)
    assert records.result != RESULTS.successful
    assert state.epoch == 0
    assert records.message


def test_float32_training_stays_float32(getkey):
    x, y = problem(getkey)
    network = TwoLayer.init(4, 30, activations.get("relu"), key=getkey(), dtype=jnp.float32)
    x, y = x.astype(jnp.float32), y.astype(jnp.float32)
    state, records = train.descend(train.descent.start(network, x), x, y, 0.1, 10)
    assert state.model.hidden.dtype == jnp.float32
    assert records.values["loss"][-1] < records.values["loss"][0]


def test_a_chunk_is_bounded(getkey):
    x, y = problem(getkey, n=2, d=2)
    network = TwoLayer.init(2, 4, activations.get("relu"), key=getkey())
    state, _ = train.descend(train.descent.start(network, x), x, y, 0.01, CHUNK + 10)
    assert state.epoch == CHUNK
