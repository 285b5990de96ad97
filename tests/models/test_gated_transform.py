"""Gated to ReLU: equality on full rank, the documented failures, and the curves of training across it."""

import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import train
from globalmin.models import transform

from ..gated_reference import build, model_of


def relu_outputs(model, x, final):
    """The ReLU network by NumPy."""
    a = np.maximum(x @ np.asarray(model.first).T, 0)
    before = []
    for k, w in enumerate(np.asarray(model.layers)):
        before.append(a @ w.T)
        a = np.maximum(before[-1], 0) if final or k < len(model.layers) - 1 else before[-1]
    return a @ np.asarray(model.readout).T, before


def test_check_values():
    parts = build(5, 20, 50, 1, 100, 3)
    model, x = model_of(parts), jnp.asarray(parts[0])
    found = transform(model, x, margin=0.0)
    # The stated third one, 9.332749126786, has a wrong digit: pseudo-inverses by NumPy give this one.
    np.testing.assert_allclose(found.norms, [5.415691272054, 8.407854204914, 9.332749127786], rtol=1e-11)
    outputs = np.asarray(found.model.outputs(x))
    np.testing.assert_allclose(outputs[:3], [1.30036616, 0.57806649, 0.20511747], atol=1e-8)
    np.testing.assert_allclose(outputs, model.outputs(x), rtol=0, atol=1e-10)
    assert found.exact
    assert found.ranks == (20, 20, 20)
    # With a last ReLU, as printed, the outputs are others.
    last, _ = relu_outputs(found.model, parts[0], True)
    assert np.abs(last[:, 0] - np.asarray(model.outputs(x))).max() == pytest.approx(2.09, abs=5e-3)


@pytest.mark.parametrize("margin", [0.0, 0.1])
@pytest.mark.parametrize("outputs", [1, 2])
def test_the_outputs_are_the_same_wherever_the_rank_is_full(margin, outputs):
    parts = build(1, 15, 6, outputs, 40, 3)
    model, x = model_of(parts), jnp.asarray(parts[0])
    found = transform(model, x, margin=margin)
    want = np.asarray(model.outputs(x))
    f, before = relu_outputs(found.model, parts[0], False)
    np.testing.assert_allclose(f.ravel(), want, rtol=0, atol=1e-10 * np.abs(want).max())
    # Pre-activations are the gated features where their gates are open.
    features, masks = np.asarray(model.features(x)), np.asarray(model.masks(x))
    for k in range(3):
        opened = masks[k] if k < 2 else slice(None)
        np.testing.assert_allclose(before[k][opened], features[k + 1][opened], atol=1e-10)
    if margin:
        assert found.kink_share == 0
        np.testing.assert_array_equal(before[0] > 0, features[1] > 0)
    else:
        assert found.kink_share == pytest.approx(1 - masks[:2].mean())
    # Of minimum norm: the pseudo-inverse's.
    want = np.linalg.pinv(features[0]) @ before[0]
    np.testing.assert_allclose(found.model.layers[0].T, want, atol=1e-10)


def test_where_it_cannot_hold():
    parts = build(2, 60, 50, 1, 40, 2)
    model, x = model_of(parts), jnp.asarray(parts[0])
    with pytest.raises(
        ValueError, match=r"n = 60 samples, m = 40: .* rank 40 of 60 found at layer 1, outputs off by"
    ) as e:
        transform(model, x)
    assert "\n" not in str(e.value)
    found = transform(model, x, approximate=True)
    assert not found.exact
    f, _ = relu_outputs(found.model, parts[0], False)
    want = np.asarray(model.outputs(x))
    assert found.output_error == pytest.approx(np.abs(f.ravel() - want).max() / np.abs(want).max(), rel=1e-9)
    assert found.output_error > 0.05
    # n = m suffices as little: half of the rows of A_0 vanish on a sample, the rank falls from layer to layer.
    parts = build(2, 40, 50, 1, 40, 3)
    with pytest.raises(ValueError, match=r"rank \d+ of 40"):
        transform(model_of(parts), jnp.asarray(parts[0]))
    # Equal inputs are consistent: n > rank and yet the same outputs.
    parts = list(build(3, 10, 50, 1, 40, 2))
    parts[0] = np.concatenate([parts[0], parts[0][:5]])
    found = transform(model_of(parts), jnp.asarray(parts[0]))
    assert found.exact
    assert found.ranks == (10, 10)
    with pytest.raises(ValueError, match="margin: a number of at least 0 expected"):
        transform(model, x, margin=-1.0)


def test_training_goes_on_where_it_was():
    """Gated steps, the transform, then steps of the ReLU network: the loss does not jump."""
    parts = build(4, 12, 20, 1, 60, 2)
    model, x, y = model_of(parts), jnp.asarray(parts[0]), jnp.asarray(parts[1][:, 0])
    eta = 0.3 / 60**2 * 20
    state, before = train.descend(train.descent.start(model, x), x, y, eta, 15)
    gated, here = train.descend(state, x, y, eta, 1)
    found = transform(state.model, x, state.solver)
    after, there = train.descend(train.descent.start(found.model, x), x, y, eta, 15)
    assert here.values["loss"][0] == pytest.approx(there.values["loss"][0], rel=1e-10)
    assert here.values["loss"][0] < before.values["loss"][0]
    assert there.values["loss"][-1] < there.values["loss"][0]
    # And back: freezing it at once gives the same outputs on every input.
    new = jnp.asarray(np.random.default_rng(0).standard_normal((12, 20)))
    np.testing.assert_array_equal(after.model.freeze().outputs(new), after.model.outputs(new))
    assert gated.epoch == 16
