"""Convolutional kernels against loops over pixels, networks of one pixel, finite networks and the specification."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import activations
from globalmin.kernels import ConvKernel, ConvResNetKernel, DenseKernel, ResNetKernel

from .deep_reference import lifted, plain, pooled, residual

# Two images of three pixels and two channels, channels last.
X2 = np.array([[[0.5, 0.5, 0], [0, 0.5, 0.5]], [[0.1, -0.7, 0.5], [0.5, 0, 0]]]).transpose(0, 2, 1).reshape(2, 6)


@pytest.mark.parametrize(
    ("depth", "entries", "smallest"),
    [
        (2, (0.131299076092, 0.077065764146, 0.131076798976), 0.054122093250),
        (3, (0.079725022004, 0.053225877562, 0.079605935990), 0.026439568131),
    ],
)
def test_last_layer_of_two_images(depth, entries, smallest):
    """Check values of K^(H), 12 decimals."""
    kernel = ConvResNetKernel(activations.get("softplus"), depth, 0.5, image_shape=(3, 2))
    gram = np.asarray(kernel(jnp.asarray(X2))["k_h"])
    np.testing.assert_allclose(gram[[0, 0, 1], [0, 1, 1]], entries, atol=6e-13)
    np.testing.assert_allclose(np.linalg.eigvalsh(gram)[0], smallest, atol=6e-13)


def test_the_reference_has_the_specified_pixel_kernels():
    """S^(2) and P^(2) of the two images, which no kernel returns."""
    pixels, patch = lifted(X2, (3, 2), 3)
    first = patch(pixels)
    np.testing.assert_allclose(first[:3, 3:], [[-0.3, -0.1, 0.25], [0.3, -0.3, -0.1], [0.25, 0.3, -0.35]], atol=1e-15)
    stream = residual("softplus", first, 3, 0.5, patch)[3][1]
    want = [
        [0.853334639388, 0.945009739824, 0.996991114279],
        [1.057369827391, 0.936646601986, 0.943878800128],
        [0.998144023083, 1.057304817796, 0.839329103392],
    ]
    np.testing.assert_allclose(stream[:3, 3:], want, atol=6e-13)
    np.testing.assert_allclose(patch(stream)[0, [3, 5]], [1.789981241374, 0.996991114279], atol=6e-13)


CASES = [((4, 3, 2), 3, "flatten"), ((4, 3, 2), 3, "pool"), ((5, 1), 5, "pool"), ((4, 2), 3, "flatten")]


@pytest.mark.parametrize(("shape", "size", "readout"), CASES[:3])
def test_residual_matches_loops_over_pixels(shape, size, readout):
    x = np.random.default_rng(0).standard_normal((3, math.prod(shape))) / 3
    x[2, : x.shape[1] // 2] = 0.0  # patches of zeros
    kernel = ConvResNetKernel(activations.get("sin"), 3, 0.8, size, image_shape=shape, readout=readout)
    grams, (pixels, patch) = kernel(jnp.asarray(x)), lifted(x, shape, size)
    parts = residual("sin", patch(pixels), 3, 0.8, patch)[:3]
    scale = 1 if readout == "flatten" else math.prod(shape[:-1]) ** -2.0
    stream, last, tangent = (scale * pooled(k, 3, readout) for k in parts)
    # Closed forms against 80 nodes: round-off times 12 pixels.
    for name, want in (("nngp", stream), ("k_h", last), ("ntk", stream + tangent)):
        np.testing.assert_allclose(grams[name], want, rtol=0, atol=1e-12 * (1 + np.max(np.abs(want))))


@pytest.mark.parametrize(
    ("name", "shape", "size", "readout"),
    [("relu", *CASES[1]), ("sin", *CASES[3])],
)
def test_plain_matches_loops_over_pixels(name, shape, size, readout):
    x = np.random.default_rng(1).standard_normal((3, math.prod(shape)))
    s, b = 1.3, 0.2
    kernel = ConvKernel(activations.get(name), 3, size, image_shape=shape, readout=readout, weight_std=s, bias_std=b)
    grams, (pixels, patch) = kernel(jnp.asarray(x)), lifted(x, shape, size)
    count = size ** (len(shape) - 1)

    def mean(k):
        return patch(k) / count

    dual, last, tangent = plain(name, s * s * mean(pixels) / shape[-1] + b * b, 3, s * s, b * b, mean)
    p = math.prod(shape[:-1])
    scale = s * s / (p if readout == "flatten" else p * p)
    nngp = scale * pooled(dual, 3, readout) + b * b
    # ReLU's reference loses half of the digits where a pixel meets itself.
    tolerance = 1e-7 if name == "relu" else 1e-12
    np.testing.assert_allclose(grams["nngp"], nngp, rtol=0, atol=tolerance)
    np.testing.assert_allclose(grams["k_h"], scale * pooled(last, 3, readout), rtol=0, atol=tolerance)
    np.testing.assert_allclose(grams["ntk"], nngp + scale * pooled(tangent, 3, readout), rtol=0, atol=tolerance)


def test_images_of_one_pixel_are_vectors():
    x = jnp.asarray(np.random.default_rng(2).standard_normal((6, 5)))
    phi = activations.get("erf")
    pairs = [
        (ConvResNetKernel(phi, 4, 0.5, 1, image_shape=(1, 1, 5), readout="pool"), ResNetKernel(phi, 4), 1.0),
        (
            ConvKernel(phi, 3, 1, image_shape=(1, 5), readout="pool", weight_std=1.2, bias_std=0.3),
            DenseKernel(phi, 3, weight_std=1.2, input_std=1.2, bias_std=0.3),
            5**-0.5,
        ),
    ]
    for images, vectors, scale in pairs:
        want = vectors(scale * x)
        for name, gram in images(x).items():
            np.testing.assert_allclose(gram, want[name], rtol=1e-13)


def test_finite_networks_converge_to_the_kernel():
    """Tangent kernels of 300 pooled networks of width 200 with two convolutions on a line of 4 pixels."""
    rng, width, networks, s, b = np.random.default_rng(4), 200, 300, 1.2, 0.3
    x = rng.standard_normal((3, 4, 2))
    samples = {"nngp": [], "ntk": []}

    def patches(z):
        padded = np.pad(z, ((0, 0), (1, 1), (0, 0)))
        return np.concatenate([padded[:, o : o + z.shape[1]] for o in range(3)], -1)

    def fold(z, channels):
        """The transpose of `patches`."""
        padded = np.zeros((len(z), z.shape[1] + 2, channels))
        for o in range(3):
            padded[:, o : o + z.shape[1]] += z[..., o * channels : (o + 1) * channels]
        return padded[:, 1:-1]

    for _ in range(networks):
        inputs, slopes, weights = [x], [], []
        for _ in range(2):
            patch = patches(inputs[-1])
            w = rng.standard_normal((patch.shape[-1], width))
            z = s * patch @ w / np.sqrt(patch.shape[-1]) + b * rng.standard_normal(width)
            inputs.append(np.logaddexp(0, z))
            slopes.append(1 / (1 + np.exp(-z)))
            weights.append(w)
        mean = inputs[-1].mean(1)
        nngp = s * s * mean @ mean.T / width + b * b
        back = np.broadcast_to(s * rng.standard_normal(width) / np.sqrt(width) / 4, inputs[-1].shape)
        total = nngp
        for h in (1, 0):
            delta = back * slopes[h]
            patch = patches(inputs[h])
            fan = patch.shape[-1]
            gradient = np.einsum("ilm,ilk->imk", delta, s / np.sqrt(fan) * patch).reshape(3, -1)
            biases = b * delta.sum(1)
            total = total + gradient @ gradient.T + biases @ biases.T
            back = fold(s / np.sqrt(fan) * delta @ weights[h].T, inputs[h].shape[-1])
        samples["nngp"].append(nngp)
        samples["ntk"].append(total)
    kernel = ConvKernel(activations.get("softplus"), 2, image_shape=(4, 2), readout="pool", weight_std=s, bias_std=b)
    grams = kernel(jnp.asarray(x.reshape(3, -1)))
    upper = np.triu_indices(3)
    for name, found in samples.items():
        mean, error = np.mean(found, 0), np.std(found, 0) / np.sqrt(networks)
        # Twelve numbers: |z| ≤ 4 fails once in 1300 seeds.
        assert np.max(np.abs((mean - np.asarray(grams[name])) / error)[upper]) < 4, name


def test_near_duplicate_images_are_told_apart():
    """ReLU: a shift of 1e-9 in one pixel moves the tangent kernel by about 1e-10, which arccos would lose."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal(18)
    y = x + 1e-9 * (np.arange(18) == 4)
    kernel = ConvKernel(activations.get("relu"), 3, image_shape=(3, 3, 2))
    gram = np.asarray(kernel(jnp.asarray(np.stack([x, y])))["ntk"])
    far = np.asarray(kernel(jnp.asarray(np.stack([x, x + 1e-3 * (np.arange(18) == 4)])))["ntk"])

    def gap(k):
        return k[0, 0] + k[1, 1] - 2 * k[0, 1]

    # The gap of a kernel with a kink in the angle is linear in the shift: 1e6 times smaller, up to curvature and eps.
    assert gap(gram) * 1e6 == pytest.approx(gap(far), rel=0.02)


def test_symmetric_semidefinite_equivariant_and_bounded():
    rng = np.random.default_rng(6)
    x = rng.standard_normal((13, 12)) / 3
    order = rng.permutation(13)
    for kernel in (
        ConvResNetKernel(activations.get("sin"), 3, image_shape=(6, 2)),
        ConvKernel(activations.get("relu"), 2, image_shape=(3, 4, 1), readout="pool", bias_std=0.1),
    ):
        grams, bounds = kernel(jnp.asarray(x)), kernel.entry_error(jnp.asarray(x))
        permuted, block = kernel(jnp.asarray(x[order])), kernel(jnp.asarray(x[:3]), jnp.asarray(x[3:]))
        for name, gram in grams.items():
            gram = np.asarray(gram)
            np.testing.assert_array_equal(gram, gram.T)
            assert np.linalg.eigvalsh(gram)[0] >= -13 * bounds[name]
            np.testing.assert_allclose(permuted[name], gram[np.ix_(order, order)], rtol=0, atol=2 * bounds[name])
            np.testing.assert_allclose(block[name], gram[:3, 3:], rtol=0, atol=2 * bounds[name])
            assert bounds[name] < 1e-9 * np.max(gram)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_shape": (4, 3, 1), "filter_size": 2}, "filter_size: an odd number expected, 2 came"),
        ({"image_shape": (4, 3, 1), "filter_size": 5}, "filter_size: at most 3 expected"),
        ({"image_shape": (12,)}, "image_shape: "),
        ({"image_shape": (0, 3, 1)}, "image_shape: an integer of at least 1"),
        ({"image_shape": (4, 3, 1), "readout": "mean"}, "readout: flatten or pool expected, 'mean' came"),
    ],
)
def test_bad_options(options, message):
    for kind in (ConvKernel, ConvResNetKernel):
        with pytest.raises((ValueError, TypeError), match=message):
            kind(activations.get("erf"), 2, **options)


def test_rows_that_are_no_images():
    with pytest.raises(ValueError, match="rows of 12 entries expected, flat images of shape"):
        ConvKernel(activations.get("erf"), 2, image_shape=(4, 3, 1))(jnp.ones((2, 10)))
