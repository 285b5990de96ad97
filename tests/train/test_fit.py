"""Preparing a run: what a reference network takes off, and what a centred run is."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import systems, train


def problem(getkey, name):
    x = jax.random.normal(getkey(), (5, 4))
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    return systems.build(name, activation="tanh"), x, jax.random.normal(getkey(), (5,))


@pytest.mark.parametrize("name", ["two-layer", "equilibrium"])
def test_a_centred_run_descends_on_f_minus_its_first_outputs(getkey, name):
    """By hand: the gradient of ½‖f − f₀ − y‖² with f₀ held fixed; test losses are centred too."""
    system, x, y = problem(getkey, name)
    held_out, truth = x[:2] * jnp.array([[1.0], [-1.0]]), jnp.ones(2)
    key = getkey()
    model = system.init(4, 30, key=key)
    prepared = train.prepare(
        system, x, y, width=30, epochs=3, key=key, reference=model, test=(held_out, truth), step_size=0.05
    )
    np.testing.assert_allclose(prepared.start.residual, -y, atol=1e-12)
    first, first_held_out = model.outputs(x), model.outputs(held_out)
    log = train.Log()
    last = list(train.run(prepared, log))[-1]
    by_hand = model
    for _ in range(3):
        gradient = by_hand.step(x, y + first, by_hand.initial_state(x)).gradient
        by_hand = jax.tree.map(lambda a, g: a if g is None else a - 0.05 * g, by_hand, gradient)
    centred = by_hand.outputs(x) - first
    # The inner solves of the equilibrium network stop at 1e-9, warm or cold.
    assert last.quantities["loss"] == pytest.approx(float(jnp.sum((centred - y) ** 2)) / 2, rel=1e-6)
    missed = by_hand.outputs(held_out) - first_held_out - truth
    assert last.quantities["test_loss"] == pytest.approx(5 / 2 * float(jnp.sum(missed**2)) / 2, rel=1e-6)


def test_labels_of_zero_are_fitted_from_the_start(getkey):
    """The centred network starts at a global minimum for y = 0, and every certificate of convergence holds."""
    system, x, _ = problem(getkey, "two-layer")
    model = system.init(4, 30, key=getkey())
    prepared = train.prepare(system, x, jnp.zeros(5), width=30, epochs=1, model=model, reference=model)
    assert prepared.start.loss < 1e-25
    assert all(found.outcome.value == "HOLDS" for found in prepared.kantorovich)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_a_certified_flow_keeps_its_promises_epoch_by_epoch(scale):
    """An epoch lasts 0.1/scale² here: a promise per unit of time, taken per epoch, would be broken by a flow that keeps it.

    The flow of c·f on c·y in time t/c² is that of f; at c = 100 exp(−σ_*²) is 0 in floating point, and no envelope is.
    """
    system = systems.build("two-layer", activation="softplus")
    g = np.random.default_rng(0)
    x = g.standard_normal((4, 6))
    x = jnp.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))
    model = system.init(6, 400, key=jax.random.key(0))
    model = dataclasses.replace(model, readout=scale * model.readout)  # pyright: ignore[reportAttributeAccessIssue]
    outputs = system.iterate(model, x, jnp.zeros(4)).outputs
    y = jnp.asarray(outputs + 0.05 * scale * g.standard_normal(4))
    prepared = train.prepare(
        system, x, y, width=400, epochs=30, model=model, method="flow", step_size=0.1 / scale**2, looks=5
    )
    log = train.Log()
    for _ in train.run(prepared, log):
        pass
    assert log.certified is not None
    assert log.certified.epoch == 0
    found = train.conclude(prepared, log)
    kept = {q["name"]: q for q in found["promises"]}
    assert kept["certified loss"]["kept"]
    assert kept["certified loss"]["compared"] > 5
    expected = math.exp(-0.2 * (log.certified.sigma_star / scale) ** 2)
    assert kept["certified loss"]["factor"] == pytest.approx(expected, rel=1e-12)
