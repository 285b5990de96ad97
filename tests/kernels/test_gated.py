"""The gated network's limit kernel: stated values, sampling of Gaussian layers, near-parallel rows, wide networks."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import gram
from globalmin.activations import Covariance
from globalmin.kernels import GatedKernel, c_infinity
from globalmin.models import Gated


def test_check_values():
    chain = {1: 0.19198, 2: 0.12754, 3: 0.09014, 4: 0.06656, 6: 0.03980, 10: 0.01793, 20: 0.00470, 100: 8.93e-5}
    for depth, value in chain.items():  # as printed: half a unit of the last digit
        assert c_infinity(depth) == pytest.approx(value, abs=6e-6 if depth < 100 else 6e-8)
    assert c_infinity(3, gates="inputs") == pytest.approx(1 / math.pi / 8, rel=1e-14)
    assert c_infinity(7, 0.0) == 1


def test_c_infinity_in_extended_precision():
    """The recursion in extended precision, from the parallel to the antiparallel."""
    for angle in (1e-9, 1e-4, 0.3, 1.5, 3.0, math.pi):
        t, product = np.longdouble(angle), np.longdouble(1)
        first = np.longdouble(1)
        for k in range(4):
            # sin t − t cos t without cancellation below 0.1: its series.
            small = sum(
                (-1) ** k * (2 * k) * t ** (2 * k + 1) / np.longdouble(math.factorial(2 * k + 1)) for k in range(1, 9)
            )
            g = -small if t < 0.1 else np.sin(t) - t * np.cos(t)
            g = abs(g)
            tau = 2 * np.sin(t / 2) ** 2 - g / np.longdouble(np.pi)
            first = 1 - tau if k == 0 else first
            t = 2 * np.arcsin(np.sqrt(tau / 2))
            product *= 1 - t / np.longdouble(np.pi)
        # A few eps for each of four layers.
        assert c_infinity(4, angle) == pytest.approx(float(first * product), rel=2e-14)
    lost = 1 - c_infinity(1, 1e-6)
    assert lost == pytest.approx(1e-6 / math.pi, rel=1e-5)  # κ_0 has a slope at 0: nearly parallel rows stay apart


def test_wide_networks_tend_to_it():
    """Means over 60 networks against the limit: four deviations, and for the tangent kernel a bias of order 1/m."""
    d, m, depth, x = 3, 200, 2, jnp.asarray([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.6, 0.0, 0.8]])
    kernel = GatedKernel(depth)(x)

    @jax.jit
    def sample(key):
        model = Gated.init(d, m, depth, key=key)
        h = model.features(x)[0]
        return {"ntk": gram.gram(model, x) / m**2, "features": h @ h.T / m}

    found = [sample(jax.random.key(seed)) for seed in range(60)]
    for name, slack in (("ntk", 0.03), ("features", 0.0)):
        values = np.array([f[name] for f in found])
        mean, error = values.mean(0), values.std(0) / math.sqrt(60)
        assert (np.abs(mean - kernel[name]) < 4 * error + slack * np.asarray(kernel[name])).all()
    np.testing.assert_allclose(kernel["nngp"], kernel["ntk"], rtol=1e-14)  # L = 2: 2c_L both


def test_gates_of_the_input_and_norms(getkey):
    x = jax.random.normal(getkey(), (5, 4))
    found = GatedKernel(3, "inputs")(x)["ntk"]
    unit = np.asarray(x / jnp.linalg.norm(x, axis=1, keepdims=True))
    angles = np.arccos(np.clip(unit @ unit.T, -1, 1))
    np.fill_diagonal(angles, 0)
    kappa = (np.sin(angles) + (np.pi - angles) * np.cos(angles)) / np.pi
    norms = np.linalg.norm(np.asarray(x), axis=1)
    want = 3 / 4 * np.outer(norms, norms) * kappa * (1 - angles / np.pi) ** 3
    np.testing.assert_allclose(found, want, rtol=1e-12)


@pytest.mark.parametrize("gates", ["chain", "inputs"])
def test_entry_bounds_cover_a_perturbed_angle(gates):
    kernel = GatedKernel(5, gates)
    angle = jnp.linspace(0.0, math.pi - 1e-6, 200).reshape(1, -1)
    variances, moved = jnp.asarray([2.0]), 1e-7

    def entries(angle, variance):
        return kernel.entries(Covariance(jnp.full_like(angle, variance), jnp.full_like(angle, variance), angle))

    bounds = kernel.entry_bounds(variances, 1e-7, moved)
    here, there = entries(angle, 2.0), entries(angle + moved, 2.0 * (1 + 1e-7))
    for name, bound in bounds.items():
        change = float(jnp.max(jnp.abs(here[name] - there[name])))
        assert change <= bound
        assert bound < 10 * change  # a bound worth having


def test_bad_input():
    with pytest.raises(ValueError, match="depth: an integer of at least 1"):
        GatedKernel(0)
    with pytest.raises(ValueError, match="gates: chain or inputs expected for the limit kernel, 'relu' came"):
        GatedKernel(2, "relu")
