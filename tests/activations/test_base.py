"""Every activation by name: values, derivatives, proven bounds, and how it rides inside a model."""

import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import activations
from globalmin.activations import AbstractActivation, Covariance, Gelu, LeakyRelu, Relu

from .reference import FUNCTIONS

NAMES = list(FUNCTIONS)
LINE, INSIDE, FAR, JUMP = (
    np.linspace(-6, 6, 301),
    np.linspace(-3, 3, 60) + 0.01,
    np.array([1e6]),
    np.array([-1e-12, 1e-12]),
)
# Step 1e-4, the one-sided limits at 0 and those at infinity; beyond 12 every derivative here is monotone.
GRID = np.concatenate([np.arange(-120_000, 120_001) * 1e-4, [-1e-9, 1e-9, -40.0, 40.0]])


@functools.partial(jax.jit, static_argnums=0)
def _evaluated(phi, z):
    second = phi.second_derivative
    return jnp.stack([phi(z), phi.derivative(z), second(z), jax.jvp(second, (z,), (jnp.ones_like(z),))[1]])


@functools.cache
def evaluated(name, points):
    """φ, φ′, φ″, φ‴ at one of the sets of points above, from one program for each activation."""
    sets = {"line": LINE, "inside": INSIDE, "far": FAR, "jump": JUMP, "grid": GRID, "mirrored": -GRID}
    ends = np.cumsum([len(z) for z in sets.values()])
    found = np.split(_all(name), ends[:-1], axis=1)
    return dict(zip(sets, found, strict=True))[points]


@functools.cache
def _all(name):
    return np.asarray(_evaluated(activations.get(name), np.concatenate([LINE, INSIDE, FAR, JUMP, GRID, -GRID])))


@pytest.mark.parametrize("name", NAMES)
def test_values_and_derivative_match_hand_written_ones(name):
    phi, (value, slope, _) = activations.get(name), FUNCTIONS[name]
    found = evaluated(name, "line")
    # Relative 1e-13: two special-function libraries; absolute for what is near 0.
    np.testing.assert_allclose(found[0], value(LINE), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(found[1], slope(LINE), rtol=1e-13, atol=1e-14)
    assert phi.phi0 == pytest.approx(float(value(np.zeros(()))), abs=1e-16)


@pytest.mark.parametrize("name", NAMES)
def test_second_derivative_matches_differences(name):
    slope, z = FUNCTIONS[name][1], INSIDE  # no kink within a step
    want = (slope(z + 1e-5) - slope(z - 1e-5)) / 2e-5
    # Central differences: h²/6 times the fourth derivative (≤ 100), and 1e-15/1e-5 of rounding.
    np.testing.assert_allclose(evaluated(name, "inside")[2], want, rtol=0, atol=5e-8)


@pytest.mark.parametrize("name", NAMES)
def test_bounds_hold_and_are_attained(name):
    phi, (values, *derivatives) = activations.get(name), evaluated(name, "grid")
    for derivative, bound in zip(derivatives, (phi.lipschitz, phi.curvature, phi.third), strict=True):
        if bound is None:
            continue
        largest = float(np.max(np.abs(derivative)))
        assert largest <= bound * (1 + 1e-14) + 1e-15  # a few ulps of the evaluation
        # The grid misses a maximum by at most h²/2 times two derivatives more (≤ 10): 5e-8.
        assert largest >= bound - 1e-7
    slope = derivatives[0]
    assert phi.slope01 == bool(np.all((slope >= 0) & (slope <= 1)))
    assert phi.odd == bool(np.max(np.abs(values + evaluated(name, "mirrored")[0])) < 1e-9 * np.max(np.abs(values)))


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_bound_is_missing_for_a_reason(name):
    phi = activations.get(name)
    if phi.lipschitz is None:
        assert abs(float(evaluated(name, "far")[1, 0])) > 1e5
    jump, jump_of_second = np.diff(evaluated(name, "jump")[1:3])[:, 0]
    if phi.kinks:
        assert (phi.curvature is None) == (abs(jump) > 0.5)
        assert phi.third is None
        assert abs(jump) > 0.5 or abs(jump_of_second) > 0.5
    elif phi.polynomial_degree is None:
        assert None not in (phi.lipschitz, phi.curvature, phi.third)


@pytest.mark.parametrize("name", NAMES)
def test_autodiff_agrees_with_derivative_at_zero_and_elsewhere(name):
    phi = activations.get(name)
    three = jax.jit(lambda z: (jax.grad(phi)(z), jax.jacfwd(phi)(z), phi.derivative(z)))
    for z in (0.0, -0.0, 0.7, -1.3):
        backward, forward, derivative = three(np.asarray(z))
        np.testing.assert_allclose(backward, derivative, rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(forward, derivative, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", ["relu", "leaky-relu", "elu"])
def test_the_slope_at_the_kink_is_one(name):
    phi = activations.get(name)
    assert float(phi.derivative(jnp.zeros(()))) == 1.0
    assert float(jax.grad(phi)(jnp.zeros(()))) == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_float32_stays_float32(name):
    phi = activations.get(name)
    z = jnp.linspace(-2, 2, 7, dtype=jnp.float32)
    functions = (phi, phi.derivative, phi.second_derivative, jax.jit(phi), jax.vmap(jax.grad(phi)))
    for found in jax.jit(lambda z: [f(z) for f in functions])(z):
        assert found.dtype == jnp.float32
        assert found.shape == z.shape
    assert jnp.all(jnp.isfinite(phi(jnp.array([-1e4, 1e4], jnp.float32))))


@pytest.mark.parametrize("name", NAMES)
def test_it_rides_inside_a_model_without_arrays(name):
    phi = activations.get(name)
    assert jax.tree.leaves(phi) == []
    assert phi == activations.get(name)
    assert hash(phi) == hash(activations.get(name))
    applied = jax.jit(lambda activation, z: activation(z), static_argnums=0)
    np.testing.assert_array_equal(applied(phi, jnp.ones(3)), jax.jit(phi)(jnp.ones(3)))


def test_activations_differ_by_value():
    assert LeakyRelu(0.1) == LeakyRelu(0.1)
    assert LeakyRelu(0.1) != LeakyRelu(0.2)
    assert Relu() != LeakyRelu(0.0)


def test_the_base_class_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        AbstractActivation()  # pyright: ignore[reportAbstractUsage, reportCallIssue]


@pytest.mark.parametrize(
    ("name", "c_sigma"),
    [
        # The specification's table, 13 digits.
        ("softplus", 1.0854865029883),
        ("erf", 2.1525788606076),
        ("sin", 2 / (1 - math.exp(-2))),
        ("relu", 2.0),
        ("identity", 1.0),
        ("hermite-3", 1.0),
    ],
)
def test_c_sigma(name, c_sigma):
    assert activations.get(name).c_sigma == pytest.approx(c_sigma, abs=2e-13)


def test_published_hermite_coefficients():
    relu = [0.39894228, 0.5, 0.28209479, 0, -0.08143375, 0, 0.04460310, 0, -0.02980170]
    np.testing.assert_allclose(Relu().hermite_coefficients(1.0, 9), relu, atol=5e-9)  # 8 digits are printed
    assert float(activations.get("softplus").hermite_coefficients(1.0, 1)[0]) == pytest.approx(
        0.8060591833474, abs=1e-13
    )


@pytest.mark.parametrize("name", NAMES)
def test_hermite_coefficients_match_a_plain_rule(name):
    value = FUNCTIONS[name][0]
    variance = np.array([0.3, 1.0, 2.5])
    got = activations.get(name).hermite_coefficients(jnp.asarray(variance), 12)
    assert got.shape == (12, 3)
    z, w = np.polynomial.legendre.leggauss(400)
    z, w = 6.5 * z + 6.5, 6.5 * w  # half a line at a time: the kinks are at 0
    for k in range(12):
        h = np.polynomial.hermite_e.HermiteE.basis(k)
        for i, c in enumerate(variance):
            want = sum(
                np.sum(w * np.exp(-z * z / 2) * value(math.sqrt(c) * s * z) * h(s * z)) for s in (-1, 1)
            ) / math.sqrt(2 * math.pi * math.factorial(k))
            # Sums of terms up to 1e3 (z⁴ h_11).
            assert float(got[k, i]) == pytest.approx(want, rel=1e-13, abs=1e-12)


def test_covariance_of_a_matrix():
    cov = Covariance.of(4.0, 9.0, jnp.array([6.0, 0.0, -6.0, 3.0]))
    np.testing.assert_allclose(cov.angle, [0, math.pi / 2, math.pi, math.pi / 3], atol=1e-15)
    np.testing.assert_allclose(cov.c, [6, 0, -6, 3], atol=1e-14)
    np.testing.assert_allclose(cov.determinant, [0, 36, 0, 27], atol=1e-13)
    assert float(Covariance.of(0.0, 1.0, 0.0).angle) == pytest.approx(math.pi / 2)


def test_activation_inside_a_module_leaves_nothing_to_train():
    class Layer(eqx.Module):
        weight: jax.Array
        activation: AbstractActivation

    leaves = jax.tree.leaves(eqx.filter(Layer(jnp.ones(2), Gelu()), eqx.is_inexact_array))
    assert len(leaves) == 1
