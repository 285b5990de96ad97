"""Residual kernels against quadrature, wide networks and the specification's numbers."""

import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import activations
from globalmin.kernels import ResNetKernel

from .deep_reference import X3, residual

C10 = [
    (2, 0.018336189741, (0.015769428965, 0.016180197058, 0.013072907790), 0.001340512361),
    (3, 0.010452895359, (0.009248382232, 0.009441343483, 0.007979614344), 0.000631424032),
    (8, 0.001973439096, (0.001794059455, 0.001822835326, 0.001604447603), 0.000094286885),
]
COSINE = activations.Activation(jnp.cos, name="cos", lipschitz=1.0, curvature=1.0, third=1.0)


@pytest.mark.parametrize(("depth", "diagonal", "off", "smallest"), C10)
def test_last_layer_of_three_vectors(depth, diagonal, off, smallest):
    """Check values of K^(H), 12 decimals."""
    gram = np.asarray(ResNetKernel(activations.get("softplus"), depth, 0.5)(jnp.asarray(X3))["k_h"])
    np.testing.assert_allclose(np.diag(gram), diagonal, atol=6e-13)
    np.testing.assert_allclose(gram[[0, 0, 1], [1, 2, 2]], off, atol=6e-13)
    np.testing.assert_allclose(np.linalg.eigvalsh(gram)[0], smallest, atol=6e-13)


def test_means_pair_with_the_other_input():
    """Check values at unequal norms and φ = cos, where the printed pairing is 32 standard errors off."""
    x = jnp.asarray(X3 * np.array([[1.0], [2.0], [0.3]]))
    gram = np.asarray(ResNetKernel(COSINE, 3, 0.9)(x)["k_h"])
    np.testing.assert_allclose(np.diag(gram), [0.056368900844, 0.039072906933, 0.088472300213], atol=6e-13)
    off = [0.006844677911, 0.046636597331, 0.005757275680]
    np.testing.assert_allclose(gram[[0, 0, 1], [1, 2, 2]], off, atol=6e-13)


def test_smallest_eigenvalue_falls_like_one_over_depth_squared():
    """Check values of λ_min H² for X3, c_res = 0.5: it rises to a limit, where the plain network's falls like 0.318^H."""
    for depth, want in ((2, 5.36), (4, 5.83), (16, 6.13), (64, 6.19)):
        gram = ResNetKernel(activations.get("softplus"), depth, 0.5)(jnp.asarray(X3))["k_h"]
        assert np.linalg.eigvalsh(np.asarray(gram))[0] * depth**2 == pytest.approx(1e-3 * want, abs=6e-6)


@pytest.mark.parametrize(
    ("name", "depth", "c_res"), [("softplus", 2, 0.5), ("softplus", 5, 0.9), ("sin", 4, 0.7), ("relu", 3, 0.5)]
)
def test_all_layers_match_quadrature(name, depth, c_res):
    x = np.random.default_rng(0).standard_normal((5, 4)) / 2
    grams = ResNetKernel(activations.get(name), depth, c_res)(jnp.asarray(x))
    stream, last, tangent, _ = residual(name, x @ x.T, depth, c_res)
    # 80 nodes are round-off here; ReLU's reference has arccos at 1 on its diagonal.
    tolerance = 1e-7 if name == "relu" else 1e-12
    np.testing.assert_allclose(grams["nngp"], stream, rtol=0, atol=tolerance)
    np.testing.assert_allclose(grams["k_h"], last, rtol=0, atol=tolerance)
    np.testing.assert_allclose(grams["ntk"], stream + tangent, rtol=0, atol=tolerance)


def test_wide_networks_converge_to_the_kernel():
    """Tangent kernels of 300 networks of width 300, depth 4, unequal norms, by layers: the recursion of Θ is ours."""
    rng, width, networks, depth, c_res = np.random.default_rng(3), 300, 300, 4, 0.9
    x = X3 * np.array([[1.0], [0.5], [1.5]])
    c_sigma = 1.0854865029883
    kappa = c_res / depth / np.sqrt(width)
    samples = {"nngp": [], "k_h": [], "ntk": []}
    for _ in range(networks):
        w = rng.standard_normal((3, width))
        z = [x @ w]
        states, weights = [np.sqrt(c_sigma / width) * np.logaddexp(0, z[0])], []
        for _ in range(2, depth + 1):
            weights.append(rng.standard_normal((width, width)))
            z.append(states[-1] @ weights[-1])
            states.append(states[-1] + kappa * np.logaddexp(0, z[-1]))
        back = np.broadcast_to(rng.standard_normal(width), states[-1].shape)
        total = nngp = states[-1] @ states[-1].T
        for h in range(depth - 1, 0, -1):
            delta = kappa * back / (1 + np.exp(-z[h]))
            share = (delta @ delta.T) * (states[h - 1] @ states[h - 1].T)
            if h == depth - 1:
                samples["k_h"].append(share)
            total = total + share
            back = back + delta @ weights[h - 1].T
        delta = np.sqrt(c_sigma / width) * back / (1 + np.exp(-z[0]))
        samples["nngp"].append(nngp)
        samples["ntk"].append(total + (delta @ delta.T) * (x @ x.T))
    grams = ResNetKernel(activations.get("softplus"), depth, c_res)(jnp.asarray(x))
    upper = np.triu_indices(3)
    for name, found in samples.items():
        mean, error = np.mean(found, 0), np.std(found, 0) / np.sqrt(networks)
        # As for the plain network: eighteen numbers, |z| ≤ 4.
        assert np.max(np.abs((mean - np.asarray(grams[name])) / error)[upper]) < 4, name


def test_bounds_cover_perturbed_rows():
    rng, step = np.random.default_rng(2), 1e-7
    x = rng.standard_normal((20, 5))
    for name in ("softplus", "relu"):
        kernel = ResNetKernel(activations.get(name), 5, 0.5)
        grams = kernel(jnp.asarray(x))
        moved = kernel(jnp.asarray(x * (1 + step * rng.choice([-1, 1], (20, 1)))))
        bounds = kernel.entry_bounds(jnp.asarray((x**2).sum(1) * (1 + step) ** 2), 2 * step, 1e-15)
        for gram_name, gram in grams.items():
            change = float(jnp.max(jnp.abs(moved[gram_name] - gram)))
            assert change <= bounds[gram_name] * (1 + 1e-3)
            assert bounds[gram_name] <= 1e3 * change


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "depth: an integer of at least 2 expected, 0 came"),
        ({"depth": 1}, "depth: an integer of at least 2 expected, 1 came; layer 1 has no skip"),
        ({"depth": 2, "c_res": 0.0}, "c_res: a number in"),
        ({"depth": 2, "c_res": 1.5}, "c_res: a number in"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        ResNetKernel(activations.get("erf"), **options)
