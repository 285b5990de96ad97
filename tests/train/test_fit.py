"""Preparing a run: what a reference network takes off, and what a centred run is."""

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
