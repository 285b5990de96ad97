"""Batching, angles and error bounds, which every kernel shares."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from globalmin import activations
from globalmin._core import linalg
from globalmin.activations import Covariance
from globalmin.kernels import (
    AbstractKernel,
    EquilibriumKernel,
    ImplicitKernel,
    SmoothImplicitKernel,
    TwoLayerKernel,
    UnrolledEquilibriumKernel,
)

EPS = np.finfo(float).eps
KERNELS = {
    "two-layer relu": TwoLayerKernel(activations.get("relu")),
    "two-layer erf, bias": TwoLayerKernel(activations.get("erf"), 1.3, 0.4),
    "equilibrium relu": EquilibriumKernel(0.08),
    "equilibrium leaky relu": EquilibriumKernel(0.3, activations.get("leaky-relu")),
    "equilibrium erf": EquilibriumKernel(0.08, activations.get("erf")),
    "implicit relu": ImplicitKernel(0.1),
    "implicit erf": SmoothImplicitKernel(0.1, activations.get("erf")),
    "unrolled relu": UnrolledEquilibriumKernel(EquilibriumKernel(0.08), 3),
    "unrolled erf": UnrolledEquilibriumKernel(EquilibriumKernel(0.08, activations.get("erf")), 3),
}


class Angle(AbstractKernel):
    """Not a kernel at all: shows the geometry that kernels are handed."""

    def entries(self, cov):
        return {"angle": cov.angle, "p": jnp.broadcast_to(cov.p, cov.angle.shape)}

    def entry_bounds(self, variances, variance_error, angle_error):
        return {"angle": angle_error, "p": variance_error * float(jnp.max(variances))}


def long_angles(x, y):
    """Angles in 64-bit mantissas by the tangent of half the angle, all pairs at once."""
    x, y = np.asarray(x, np.longdouble), np.asarray(y, np.longdouble)
    x = x / np.sqrt((x * x).sum(1, keepdims=True))
    y = y / np.sqrt((y * y).sum(1, keepdims=True))
    apart, along = x[:, None] - y[None], x[:, None] + y[None]
    return 2 * np.arctan2(np.sqrt((apart**2).sum(-1)), np.sqrt((along**2).sum(-1)))


def rows(seed, n, d):
    return jnp.asarray(np.random.default_rng(seed).standard_normal((n, d)))


@pytest.mark.parametrize("d", [1, 2, 17, 300])
def test_angles_keep_their_digits(d):
    rng = np.random.default_rng(d)
    x = rng.standard_normal((200, d))
    x[50] = x[3] * (1 + 1e-9)  # parallel up to rounding
    x[60] = -x[4]
    for row, distance in zip(range(100, 112), 10.0 ** -np.arange(1, 13), strict=True):
        x[row] = x[row - 100] + distance * rng.standard_normal(d)
        x[row + 12] = -x[row - 100] + distance * rng.standard_normal(d)
    grams, bound = Angle()(jnp.asarray(x)), Angle().entry_error(jnp.asarray(x))
    error = np.abs(np.asarray(grams["angle"]) - long_angles(x, x)).astype(float)
    assert error.max() <= bound["angle"]
    # And far better than proven where there are many features: rounding errors are not all of one sign.
    assert error.max() <= 40 * EPS
    assert np.asarray(grams["angle"])[60, 4] == pytest.approx(np.pi, abs=4 * EPS)
    np.testing.assert_array_equal(np.diag(grams["angle"]), 0.0)


def test_tiles_cover_every_pair():
    """The last tiles overlap their neighbours; 128 = one tile, 129 and 255 = the largest and smallest overlaps."""
    for n in (1, 128, 129, 255):
        x = rows(n, n, 3)
        want = long_angles(x, x).astype(float)
        got = Angle()(x)
        np.testing.assert_allclose(got["angle"], want, rtol=0, atol=30 * EPS)
        np.testing.assert_array_equal(got["angle"], np.asarray(got["angle"]).T)


def test_matrices_are_symmetric_whatever_the_rounding():
    """Entries that depend on the order of the two rows still make a symmetric matrix: the upper triangle is used."""

    class Lopsided(Angle):
        def entries(self, cov):
            return {"angle": cov.angle + 1e-6 * (cov.p - cov.q)}

    x = rows(7, 140, 2)
    gram, size = np.asarray(Lopsided()(x)["angle"]), np.sum(np.asarray(x) ** 2, 1)
    np.testing.assert_array_equal(gram, gram.T)
    upper = np.triu(long_angles(x, x).astype(float) + 1e-6 * (size[:, None] - size))
    np.testing.assert_allclose(np.triu(gram), upper, rtol=0, atol=30 * EPS)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (1, 200), (200, 1), (130, 257)])
def test_rectangles_cover_every_pair(n, k):
    x, y = rows(n, n, 5), rows(k + 1000, k, 5)
    got = Angle()(x, y)
    np.testing.assert_allclose(got["angle"], long_angles(x, y).astype(float), rtol=0, atol=30 * EPS)
    # p belongs to the rows and q to the columns; d eps for a sum of d squares.
    np.testing.assert_allclose(got["p"], np.tile(np.sum(np.asarray(x) ** 2, 1)[:, None], (1, k)), rtol=5 * EPS)


@pytest.mark.parametrize("name", KERNELS)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([0.2, 1.0, 1.7]))
def test_symmetric_semidefinite_equivariant(name, seed, scale):
    kernel, n = KERNELS[name], 12
    rng = np.random.default_rng(seed)
    x = scale * rng.standard_normal((n, 3))
    x[4], x[5], x[6] = x[0] + 1e-9 * rng.standard_normal(3), x[1], -x[2]  # near-duplicate, duplicate, antipode
    order = rng.permutation(n)
    grams, bounds = kernel(jnp.asarray(x)), kernel.entry_error(jnp.asarray(x))
    permuted = kernel(jnp.asarray(x[order]))
    block = kernel(jnp.asarray(x[:5]), jnp.asarray(x[3:]))
    assert set(grams) == set(bounds)
    for gram_name, gram in grams.items():
        gram, bound = np.asarray(gram), bounds[gram_name]
        assert np.isfinite(gram).all()
        np.testing.assert_array_equal(gram, gram.T)
        estimate = linalg.lambda_min(gram, entry_error=bound)
        assert estimate.upper >= 0
        # Both sides of each equality are within the bound of the same number.
        np.testing.assert_allclose(permuted[gram_name], gram[np.ix_(order, order)], rtol=0, atol=2 * bound)
        np.testing.assert_allclose(block[gram_name], gram[:5, 3:], rtol=0, atol=2 * bound)
        # Duplicates give a singular matrix and no error.
        assert estimate.lower <= 0


@pytest.mark.parametrize("name", KERNELS)
def test_one_sample(name):
    x = jnp.asarray([[0.6, -0.8, 1.0]])
    for gram in KERNELS[name](x).values():
        assert gram.shape == (1, 1)
        assert float(gram[0, 0]) > 0


@pytest.mark.parametrize(
    "name", ["two-layer relu", "equilibrium relu", "implicit relu", "unrolled relu", "equilibrium leaky relu"]
)
def test_homogeneous_kernels_scale(name):
    kernel, x = KERNELS[name], rows(1, 6, 4)
    factors = jnp.asarray([1.0, 2.0, 3.0, 0.1, 7.0, 1e-3])
    grams, scaled = kernel(x), kernel(factors[:, None] * x)
    for gram_name, gram in grams.items():
        power = jnp.ones((6, 6)) if gram_name == "gamma" else jnp.outer(factors, factors)
        # 60 eps of entries below 10: rows scaled by 3 are rounded, and so are their angles.
        np.testing.assert_allclose(scaled[gram_name] / power, gram, rtol=0, atol=600 * EPS)


@pytest.mark.parametrize("name", KERNELS)
def test_wide_batches_match_single_pairs(name):
    """Tiles, overlaps and mirrors change nothing: an entry depends on its two rows alone."""
    kernel, x = KERNELS[name], rows(3, 140, 6) / 2
    grams, bounds = kernel(x), kernel.entry_error(x)
    for i, j in [(0, 139), (139, 11), (127, 128), (64, 64)]:
        pair = kernel(x[i : i + 1], x[j : j + 1])
        for gram_name, gram in grams.items():
            np.testing.assert_allclose(gram[i, j], pair[gram_name][0, 0], rtol=0, atol=2 * bounds[gram_name])


def test_kernels_can_be_traced():
    x = rows(0, 5, 3)
    for kernel in (KERNELS["equilibrium relu"], KERNELS["equilibrium erf"]):
        inside = jax.jit(lambda x, kernel=kernel: kernel(x))(x)
        for name, gram in kernel(x).items():
            np.testing.assert_allclose(inside[name], gram, rtol=0, atol=4 * EPS)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((0, 3)), None, "a matrix with one sample per row"),
        (np.ones((2, 3), np.float32), None, "x: float64 expected"),
        (np.array([[1.0, np.nan], [1.0, 0.0]]), None, "rows 0"),
        (np.array([[1.0, 2.0], [0.0, 0.0]]), None, "zero rows came: 1"),
        (np.ones((2, 3)), np.ones((2, 4)), "y: rows of dimension 3 expected"),
        (np.ones((2, 3)), np.array([[np.inf, 1.0, 1.0]]), "y: finite numbers"),
    ],
)
def test_bad_input_is_named(x, y, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users have it: the message is ours
    with pytest.raises(ValueError, match=message):
        KERNELS["equilibrium relu"](jnp.asarray(x), None if y is None else jnp.asarray(y))


def test_covariance_reaches_the_kernel_as_variances_and_angle():
    seen = []

    class Spy(Angle):
        def entries(self, cov: Covariance):
            seen.append((cov.p.shape, cov.q.shape, cov.angle.shape))
            return super().entries(cov)

    Spy()(rows(0, 3, 2), rows(1, 4, 2))
    assert set(seen) == {((3, 1), (1, 4), (3, 4))}
