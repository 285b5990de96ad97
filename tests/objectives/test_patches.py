"""Moments of the regions: closed forms against sampling and planar quadrature, quadrature against SciPy's."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from numpy.testing import assert_allclose

from globalmin.objectives import IsotropicPatches, PlanarPatches, SamplePatches, image_patches, row_patches

W, STAR = jnp.array([1.0, 0.5, -0.3]), jnp.array([0.8, -0.2, 1.0])
NAMES = ("aa", "ab", "ac", "bb", "bc", "cc")


def at(angle):
    return jnp.array([math.cos(angle), math.sin(angle)])


def in_regions(z, w, w_star):
    """A, B, C of each input by the definition, in NumPy."""
    z, on, star = np.asarray(z), np.asarray(z @ w >= 0), np.asarray(z @ w_star >= 0)
    masks = (on & star, on & ~star, ~on & star)
    return {name: np.mean(z * mask[..., None], axis=1) for name, mask in zip("abc", masks, strict=True)}


@pytest.mark.parametrize(
    "patches",
    [
        IsotropicPatches(1, 3), IsotropicPatches(4, 3), IsotropicPatches(2, 3, "sphere"),
        PlanarPatches(1, 0.5), PlanarPatches(3, 1.0, 0.9), PlanarPatches(2, math.inf, 2.5),
    ],
    ids=["neuron", "gaussian", "sphere", "planar", "close", "far"],
)  # fmt: skip
def test_moments_are_those_of_the_draws(patches, getkey):
    """Every entry of the six matrices within 4.5 standard errors of 20,000 draws; and the mean output within 4."""
    w, star = (W, STAR) if patches.dimension == 3 else (0.7 * at(0.9), 2.0 * at(-0.2))
    z = patches.draw(20_000, key=getkey())
    parts, found = in_regions(z, w, star), patches.moments(w, star)
    for name in NAMES:
        products = parts[name[0]][:, :, None] * parts[name[1]][:, None, :]
        error = 4.5 * products.std(0) / math.sqrt(len(z)) + 1e-12
        assert np.all(np.abs(products.mean(0) - getattr(found, name)) < error), name
    outputs = np.mean(np.maximum(np.asarray(z @ w), 0), axis=1)
    assert abs(outputs.mean() - float(patches.mean_output(w))) < 4 * outputs.std() / math.sqrt(len(z))


def test_published_eigenvalues_of_gaussian_patches():
    found, opposite = IsotropicPatches(1, 3).moments(W, STAR), IsotropicPatches(1, 3).moments(W, -STAR)
    assert_allclose(np.linalg.eigvalsh(found.aa), [0.13955452, 0.29294940, 0.44634429], atol=6e-9)
    assert_allclose(np.linalg.eigvalsh(opposite.aa), [0.05365571, 0.20705060, 0.36044548], atol=6e-9)
    assert_allclose(found.bb, opposite.aa, atol=1e-15)
    for angle, square in ((0.0, 0.5), (math.pi, 0.0)):
        m = IsotropicPatches(1, 2).moments(at(angle), at(0.0))
        assert_allclose(m.aa, square * np.eye(2), atol=1e-15)
        assert_allclose(m.bb, (0.5 - square) * np.eye(2), atol=1e-15)
    line = IsotropicPatches(3, 1).moments(jnp.ones(1), 2 * jnp.ones(1))
    assert_allclose(line.bb, 0, atol=1e-15)
    # E A² with A = (1/3)Σ z⁺: (1/3)(1/2) + (2/3)/(2π).
    assert_allclose(line.aa, 1 / 6 + 1 / (3 * math.pi), atol=1e-15)


def test_planar_quadrature_is_that_of_scipy():
    """The published table, and the moments of one patch by SciPy's adaptive rule (1e-12) at angles on either side."""
    published = {
        0.2: (0.019221, 0.480779, 0.018540, 0.479249), 1.0: (0.193248, 0.306752, 0.088370, 0.274624),
        math.inf: (0.25, 0.25, 0.097751, 0.235583),
    }  # fmt: skip
    for spread, row in published.items():
        patches = PlanarPatches(1, spread)
        ends = [np.linalg.eigvalsh(patches.moments(at(phi), at(0.0)).aa) for phi in (0.0, math.pi / 3)]
        assert_allclose(np.ravel(ends), row, atol=6e-7)
    spread, mass = 0.3, 2 * math.erf(math.pi / 2 / (0.3 * math.sqrt(2)))

    def density(t):
        return scipy.stats.norm.pdf(math.remainder(t, math.pi), scale=spread) / mass

    patches = PlanarPatches(1, spread)
    for phi in (0.4, -0.9):
        m = patches.moments(at(phi), at(0.0))
        arcs = {"aa": (max(phi, 0) - math.pi / 2, min(phi, 0) + math.pi / 2)}
        arcs["bb"] = (math.pi / 2, math.pi / 2 + phi) if phi > 0 else (phi - math.pi / 2, -math.pi / 2)
        for name, (low, high) in arcs.items():
            want = np.array(
                [
                    [
                        scipy.integrate.quad(lambda t, i=i, j=j: density(t) * at(t)[i] * at(t)[j], low, high)[0]
                        for i in range(2)
                    ]
                    for j in range(2)
                ]
            )
            assert_allclose(getattr(m, name), want, atol=1e-10)


def test_close_patches_by_the_complex_normal_law():
    """Given the base, E[Z1_arc] = e^{ib − σ₂²/2}[Φ(h − iσ₂) − Φ(l − iσ₂)]: with SciPy's complex erf, integrated by SciPy."""
    patches, phi, k = PlanarPatches(5, 1.0, 0.1), 0.3, 5
    mass = 2 * math.erf(math.pi / 2 / math.sqrt(2))

    def first(base, low, high):
        def phi_(x):
            return scipy.special.erfc(-x / math.sqrt(2)) / 2

        s = 0.1
        total = 0
        for turn in (-1, 0, 1):
            left, right = ((e - base + 2 * math.pi * turn) / s for e in (low, high))
            total += np.exp(1j * base - s * s / 2) * (phi_(right - 1j * s) - phi_(left - 1j * s))
        return total

    def cross(one, two):
        def entry(base, i, j):
            x, y = first(base, *one), first(base, *two)
            z = ((x.real, x.imag)[i]) * ((y.real, y.imag)[j])
            return scipy.stats.norm.pdf(math.remainder(base, math.pi)) / mass * z

        marks = [e for arc in (one, two) for e in arc]
        return np.array(
            [
                [
                    scipy.integrate.quad(entry, -math.pi / 2, 3 * math.pi / 2, (i, j), points=marks, limit=400)[0]
                    for j in range(2)
                ]
                for i in range(2)
            ]
        )

    arcs = {"a": (phi - math.pi / 2, math.pi / 2), "b": (math.pi / 2, math.pi / 2 + phi)}
    found = patches.moments(at(phi), at(0.0))
    assert_allclose(found.ab, (k - 1) / k * cross(arcs["a"], arcs["b"]), atol=1e-9)


def test_samples_are_their_own_distribution(getkey):
    """Against a loop over inputs, patches and regions; two directions in the plane are all there are."""
    z = jax.random.normal(getkey(), (7, 3, 3))
    patches = SamplePatches(z)
    parts, found = in_regions(z, W, STAR), patches.moments(W, STAR)
    for name in NAMES:
        want = np.einsum("ni,nj->ij", parts[name[0]], parts[name[1]]) / 7
        assert_allclose(getattr(found, name), want, atol=1e-15)
    assert patches.bound == pytest.approx(np.linalg.norm(z, axis=-1).max(), rel=1e-14)
    assert not patches.complete
    drawn = patches.draw(5, key=getkey())
    assert all(any(np.array_equal(row, original) for original in z) for row in drawn)
    assert SamplePatches(z[..., :2]).complete
    for some in (patches, SamplePatches(z[..., :2]), IsotropicPatches(2, 3)):
        star = STAR[: some.dimension]
        directions = some.directions(star)
        assert_allclose(directions @ star, 0, atol=1e-13)
        assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-13)


def test_images_are_cut_into_tiles():
    images = np.arange(2 * 4 * 6, dtype=float).reshape(2, 4, 6)
    z = image_patches(images, 2)
    assert z.shape == (2, 6, 4)
    assert_allclose(z[1, 4], images[1, 2:4, 2:4].ravel())
    assert image_patches(images, 2, 1).shape == (2, 15, 4)
    assert_allclose(row_patches(images.reshape(2, 24), 8)[0, 1], np.arange(8, 16))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: image_patches(np.zeros((1, 8, 8)), 3), "patches that tile the image's height 8 expected, size 3"),
        (lambda: image_patches(np.zeros((1, 8, 9)), 4), "width 9"),
        (lambda: image_patches(np.zeros((1, 4, 4)), 5), "height 4"),
        (lambda: row_patches(np.zeros((1, 10)), 3), "divisor of the 10 columns"),
        (lambda: IsotropicPatches(0, 3), "patches"),
        (lambda: IsotropicPatches(1, 3, "cube"), "gaussian or sphere"),  # pyright: ignore[reportArgumentType]
        (lambda: PlanarPatches(1, 0.01), "spread: a standard deviation of at least 0.05"),
        (lambda: PlanarPatches(2, 1.0, 4.0), "closeness"),
        (lambda: SamplePatches(jnp.zeros((2, 3, 3))), "every patch is zero"),
        (lambda: SamplePatches(jnp.full((2, 3, 3), jnp.nan)), "NaN or infinity"),
    ],
)
def test_bad_input_is_one_line(make, message):
    with pytest.raises(Exception, match=message) as raised:
        make()
    if isinstance(raised.value, ValueError):
        assert "\n" not in str(raised.value)
