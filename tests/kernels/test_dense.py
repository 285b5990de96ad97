"""Deep fully connected kernels against quadrature, wide networks, the two-layer kernel and the specification's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import activations
from globalmin._core import linalg
from globalmin.kernels import DenseKernel, TwoLayerKernel, h_infinity

from .deep_reference import X3, plain

EPS = np.finfo(float).eps


@pytest.mark.parametrize(
    ("name", "depth", "diagonal", "off", "smallest"),
    [
        ("softplus", 1, 0.3184589837, (0.1795991256, 0.2016533440, 0.0370069610), 0.0661379942),
        ("softplus", 2, 0.3184589837, (0.2738800368, 0.2810141684, 0.2270474394), 0.0232817292),
        ("softplus", 3, 0.3184589837, (0.3042289255, 0.3065108652, 0.2892008619), 0.0075565854),
        ("erf", 1, 1.2257000038, (0.5980803616, 0.6798960326, 0.1222951452), 0.3786475607),
        ("erf", 2, 1.2257000038, (0.5559869866, 0.6355895733, 0.1118017865), 0.4346867468),
        ("erf", 3, 1.2257000038, (0.5155539398, 0.5923044896, 0.1021974890), 0.4892831814),
    ],
)
def test_last_layer_of_three_vectors(name, depth, diagonal, off, smallest):
    """Check values of K^(H), 10 digits."""
    gram = np.asarray(DenseKernel(activations.get(name), depth)(jnp.asarray(X3))["k_h"])
    np.testing.assert_allclose(np.diag(gram), diagonal, atol=6e-11)
    np.testing.assert_allclose(gram[[0, 0, 1], [1, 2, 2]], off, atol=6e-11)
    np.testing.assert_allclose(np.linalg.eigvalsh(gram)[0], smallest, atol=6e-11)


def test_hidden_kernels_are_those_of_shallower_networks():
    for depth, want in (
        (1, (0.8764622978, 0.8965226231, 0.7418695394)),
        (2, (0.9610281452, 0.9673063479, 0.9194040222)),
    ):
        gram = np.asarray(DenseKernel(activations.get("softplus"), depth)(jnp.asarray(X3))["nngp"])
        np.testing.assert_allclose(gram[[0, 0, 1], [1, 2, 2]], want, atol=6e-11)
        np.testing.assert_allclose(np.diag(gram), 1, atol=1e-14)


def test_smallest_eigenvalue_falls_geometrically_with_softplus():
    """λ₀ ~ χ^H, χ = 0.3184589837: 2.4e-3 at H = 4, 2.5e-6 at H = 10."""
    found = {}
    for depth in (4, 9, 10):
        gram = DenseKernel(activations.get("softplus"), depth)(jnp.asarray(X3))["k_h"]
        found[depth] = np.linalg.eigvalsh(np.asarray(gram))[0]
    assert found[4] == pytest.approx(2.4e-3, abs=5e-5)
    assert found[10] == pytest.approx(2.5e-6, abs=5e-8)
    assert found[10] / found[9] == pytest.approx(0.3184589837, rel=2e-3)


@pytest.mark.parametrize(
    ("name", "depth", "weight_std", "input_std", "bias_std"),
    [("softplus", 3, 0.8, 1.1, 0.3), ("erf", 4, 1.3, 0.7, 0.0), ("sin", 2, 1.2, 1.0, 0.5), ("relu", 5, 1.4, 1.0, 0.4)],
)
def test_all_layers_match_quadrature(name, depth, weight_std, input_std, bias_std):
    x = np.random.default_rng(0).standard_normal((6, 4)) / 2
    kernel = DenseKernel(activations.get(name), depth, weight_std=weight_std, input_std=input_std, bias_std=bias_std)
    grams, s2, b2 = kernel(jnp.asarray(x)), weight_std**2, bias_std**2
    dual, last, tangent = plain(name, input_std**2 * x @ x.T + b2, depth, s2, b2)
    # 80 nodes: round-off for these variances; ReLU's reference loses digits on the diagonal, where arccos is at 1.
    tolerance = 2e-8 if name == "relu" else 2e-13
    np.testing.assert_allclose(grams["nngp"], s2 * dual + b2, rtol=0, atol=tolerance)
    np.testing.assert_allclose(grams["k_h"], s2 * last, rtol=0, atol=tolerance)
    np.testing.assert_allclose(grams["ntk"], s2 * (dual + tangent) + b2, rtol=0, atol=4 * tolerance)


@pytest.mark.parametrize("name", ["relu", "leaky-relu-0.3", "erf", "tanh"])
def test_one_hidden_layer_is_the_two_layer_network(name):
    x = jnp.asarray(np.random.default_rng(1).standard_normal((7, 3)))
    deep = DenseKernel(activations.get(name), 1, weight_std=1.0, input_std=0.8)(x)
    shallow = TwoLayerKernel(activations.get(name), 0.8)(x)
    # 40 eps of entries below 6: two ways to the same sums.
    np.testing.assert_allclose(deep["nngp"], shallow["nngp"], rtol=0, atol=240 * EPS)
    np.testing.assert_allclose(deep["k_h"], shallow["h_infinity"], rtol=0, atol=240 * EPS)
    np.testing.assert_allclose(deep["ntk"], shallow["ntk"], rtol=0, atol=480 * EPS)


def test_one_hidden_relu_layer_is_twice_h_infinity():
    gram = DenseKernel(activations.get("relu"), 1)(jnp.asarray(X3))["k_h"]
    np.testing.assert_allclose(gram, 2 * h_infinity(jnp.asarray(X3)), rtol=4 * EPS)


def long_relu(x, depth, s2):
    """NTK of ReLU with 64-bit mantissas, angles by the tangent of half the angle, g(θ) by its series below 0.5."""
    x = np.asarray(x, np.longdouble)
    size = np.sqrt((x * x).sum(1))
    unit = x / size[:, None]
    apart = ((unit[:, None] - unit[None]) ** 2).sum(-1)
    along = ((unit[:, None] + unit[None]) ** 2).sum(-1)
    pi = np.arccos(np.longdouble(-1))
    theta = 2 * np.arctan2(np.sqrt(apart), np.sqrt(along))
    scale = size[:, None] * size
    tangent = scale * np.cos(theta)
    for _ in range(depth):
        square, term = theta * theta, theta**3 / 3
        series = np.zeros_like(theta)
        for k in range(1, 30):
            series = series + term
            term = term * -square * (2 * k + 2) / (2 * k) / ((2 * k + 2) * (2 * k + 3))
        arc = np.where(theta < 0.5, series, np.sin(theta) - theta * np.cos(theta))
        slope = s2 / 2 * (pi - theta) / pi
        half = np.sin(theta / 2) ** 2 - arc / (2 * pi)  # sin² of half the next angle
        scale = scale * s2 / 2
        theta = 2 * np.arcsin(np.sqrt(np.maximum(half, 0)))
        tangent = slope * tangent + scale * np.cos(theta)
    return tangent


@pytest.mark.parametrize("depth", [1, 3, 10])
def test_relu_keeps_its_digits(depth):
    """Largest relative error of the NTK, near-duplicates and antipodes included: the goal is 5e-15 at depth 10."""
    rng = np.random.default_rng(depth)
    x = rng.standard_normal((150, 20))
    for row, distance in enumerate(10.0 ** -np.arange(1, 15)):
        x[50 + row] = x[row] + distance * rng.standard_normal(20)
        x[70 + row] = -x[row] + distance * rng.standard_normal(20)
    x[100] = 3 * x[99]
    kernel = DenseKernel(activations.get("relu"), depth)
    grams, want = kernel(jnp.asarray(x)), long_relu(x, depth, 2.0)
    entry_scale = np.abs(want) if depth > 1 else np.sqrt(np.outer(np.diag(want), np.diag(want)))
    error = np.max(np.abs(np.asarray(grams["ntk"]) - want) / entry_scale)
    assert error <= 5e-15
    assert np.max(np.abs(np.asarray(grams["ntk"]) - want)) <= kernel.entry_error(jnp.asarray(x))["ntk"]


def test_wide_networks_converge_to_the_kernel():
    """Tangent kernels of 300 softplus networks of width 300, depth 3, biases trained: their bias is of order 1/m."""
    rng, width, networks, depth, s, b = np.random.default_rng(5), 300, 300, 3, 1.1, 0.4
    x = X3 * np.array([[1.0], [0.5], [1.5]])
    samples = {"nngp": [], "k_h": [], "ntk": []}
    for _ in range(networks):
        states, slopes, weights = [x], [], []
        for h in range(depth):
            fan = 1 if h == 0 else width
            w = rng.standard_normal((states[-1].shape[1], width))
            z = s * states[-1] @ w / np.sqrt(fan) + b * rng.standard_normal(width)
            states.append(np.logaddexp(0, z))
            slopes.append(1 / (1 + np.exp(-z)))
            weights.append(w)
        a = rng.standard_normal(width)
        nngp = s * s * states[-1] @ states[-1].T / width + b * b
        total, back = nngp, s * slopes[-1] * a / np.sqrt(width)
        for h in range(depth - 1, -1, -1):
            fan = 1 if h == 0 else width
            share = (back @ back.T) * (s * s * states[h] @ states[h].T / fan + b * b)
            total = total + share
            if h == depth - 1:
                samples["k_h"].append(share)
            if h:
                back = slopes[h - 1] * (back @ weights[h].T) * s / np.sqrt(fan)
        samples["nngp"].append(nngp)
        samples["ntk"].append(total)
    grams = DenseKernel(activations.get("softplus"), depth, weight_std=s, input_std=s, bias_std=b)(jnp.asarray(x))
    upper = np.triu_indices(3)
    for name, found in samples.items():
        mean, error = np.mean(found, 0), np.std(found, 0) / np.sqrt(networks)
        # Six entries of three kernels: |z| ≤ 4 fails once in 900 seeds; the bias, 0.3% at this width, is a third of one.
        assert np.max(np.abs((mean - np.asarray(grams[name])) / error)[upper]) < 4, name


def test_bounds_are_honest_and_not_lavish():
    """Against the same recursion on perturbed rows, and the bound's own size."""
    rng = np.random.default_rng(2)
    x, step = rng.standard_normal((20, 5)) / 2, 1e-7
    for name in ("softplus", "erf", "leaky-relu", "hermite-2"):
        kernel = DenseKernel(activations.get(name), 3, weight_std=0.9)
        grams = kernel(jnp.asarray(x))
        moved = kernel(jnp.asarray(x * (1 + step * rng.choice([-1, 1], (20, 1)))))
        bounds = kernel.entry_bounds(jnp.asarray((x**2).sum(1) * (1 + step) ** 2), 2 * step, 1e-15)
        for gram_name, gram in grams.items():
            change = float(jnp.max(jnp.abs(moved[gram_name] - gram)))
            assert change <= bounds[gram_name] * (1 + 1e-3)
            if name != "hermite-2":
                assert bounds[gram_name] <= 1e3 * change
            assert kernel.entry_error(jnp.asarray(x))[gram_name] < 1e-6 * float(jnp.max(gram))


def test_depth_costs_no_compile_time():
    """The traced program has the same size at any depth."""
    x = jnp.asarray(X3)
    sizes = [
        len(str(jax.make_jaxpr(lambda x, depth=depth: DenseKernel(activations.get("relu"), depth)(x))(x)))
        for depth in (3, 300)
    ]
    assert sizes[1] - sizes[0] < 20
    grams = DenseKernel(activations.get("relu"), 300)(x)
    assert np.isfinite(np.asarray(grams["ntk"])).all()


def test_duplicates_make_it_singular():
    x = jnp.asarray(X3[[0, 1, 2, 1]])
    kernel = DenseKernel(activations.get("erf"), 4)
    estimate = linalg.lambda_min(kernel(x)["k_h"], entry_error=kernel.entry_error(x)["k_h"])
    assert estimate.lower <= 0 <= estimate.upper


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "depth: an integer of at least 1 expected, 0 came"),
        ({"depth": 2, "weight_std": -1.0}, "weight_std: a positive number expected, -1.0 came"),
        ({"depth": 2, "input_std": 0.0}, "input_std: a positive"),
        ({"depth": 2, "bias_std": float("nan")}, "bias_std: a number of at least 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        DenseKernel(activations.get("erf"), **options)


@pytest.mark.parametrize(("name", "bias", "tolerance"), [("relu", 0.0, 2e-6), ("relu", 0.3, 2e-6), ("erf", 0.1, 2e-5)])
def test_float32_on_request(name, bias, tolerance):
    """Depth 10, nearly equal and nearly opposite rows included, against float64.

    2e-6 of each entry: 30 float32 ulp of 6e-8 after ten layers. erf's entries cross 0: 2e-5 of the diagonal.
    """
    rng = np.random.default_rng(7)
    x = rng.standard_normal((12, 16)) / 4
    x = np.concatenate(
        [x, x[:8] + rng.standard_normal((8, 16)) * np.logspace(-3, -10, 8)[:, None], -x[:3] * (1 + 1e-6)]
    )
    kernel = DenseKernel(activations.get(name), 10, weight_std=1.4, bias_std=bias)
    exact = kernel(jnp.asarray(x))
    for inputs in (jnp.asarray(x), jnp.asarray(x, jnp.float32)):
        for key, gram in kernel(inputs, dtype="float32").items():
            assert gram.dtype == jnp.float32
            want = np.asarray(exact[key])
            size = np.abs(want) if name == "relu" else np.sqrt(np.outer(np.diag(want), np.diag(want)))
            assert np.max(np.abs(np.asarray(gram, np.float64) - want) / size) <= tolerance


def test_float32_is_asked_for_and_has_its_limits():
    x = jnp.asarray(np.random.default_rng(8).standard_normal((3, 4)))
    with pytest.raises(ValueError, match="x: float64 expected, float32 came"):
        DenseKernel(activations.get("relu"), 2)(x.astype(jnp.float32))
    with pytest.raises(ValueError, match="float32 came; the dual maps of softplus are series"):
        DenseKernel(activations.get("softplus"), 2)(x, dtype="float32")
    with pytest.raises(ValueError, match="dtype: float64 or float32 expected, float16 came"):
        DenseKernel(activations.get("relu"), 2)(x, dtype="float16")
    with pytest.raises(ValueError, match="dtype: float64 expected of TwoLayerKernel, float32 came"):
        TwoLayerKernel(activations.get("relu"))(x, dtype="float32")
    with pytest.raises(ValueError, match="y: float32 expected, as x; float64 came"):
        DenseKernel(activations.get("relu"), 2)(x.astype(jnp.float32), x, dtype="float32")
