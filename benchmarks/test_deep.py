"""The tangent kernel of deep networks, layer by layer, against Jacobian contraction, the machine's GEMM rate and the depth.

CPU seconds of the process, medians, both sides in one run. A fully connected network of two hidden layers of 1,024 (f64), and a
convolutional one on 8 × 8 images. The contraction is `jax.jacrev` over the batch, multiplied out, as generic tools do. The
share of the GEMM rate counts every product whole; softplus and its derivative, 2nm per layer, are no products.
"""

import statistics
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from measure import contraction, cpu_seconds, gemm_rate

from globalmin import activations, gram
from globalmin.models import ConvResNet, Dense, ResNet

D = 64


def inputs(n: int):
    x = jax.random.normal(jax.random.key(0), (n, D))
    return x / jnp.linalg.norm(x, axis=1, keepdims=True)


structured = eqx.filter_jit(lambda model, x: gram.gram(model, x))


def test_dense_over_contraction(benchmark):
    x, model = inputs(100), Dense.init(D, 1024, activations.get("softplus"), depth=2, key=jax.random.key(1))
    fast = cpu_seconds(lambda: structured(model, x), 9)
    slow = contraction(model, x)
    np.testing.assert_allclose(structured(model, x), slow(), rtol=1e-9)
    ratio = cpu_seconds(slow, 1) / fast
    benchmark.extra_info |= {"over_contraction": ratio}
    benchmark.pedantic(lambda: jax.block_until_ready(structured(model, x)), rounds=5, warmup_rounds=1)
    assert ratio >= 70


@pytest.mark.parametrize("name", ["softplus", "relu"])
def test_dense_share_of_the_gemm_rate(benchmark, name):
    n, m = 500, 1024
    x, model = inputs(n), Dense.init(D, m, activations.get(name), depth=2, key=jax.random.key(1))
    share = gemm_rate(m)
    fast = cpu_seconds(lambda: structured(model, x), 9)
    # Forward and backward through W^(2), layer 1's product, and the Grams of five factors of m and one of d columns.
    flops = 2 * 2 * n * m * m + 2 * n * D * m + 2 * n * n * (4 * m + D)
    benchmark.extra_info |= {"gemm_share": flops / (fast * share)}
    benchmark.pedantic(lambda: jax.block_until_ready(structured(model, x)), rounds=5, warmup_rounds=1)
    assert flops / (fast * share) >= 0.6  # 0.7 of 0.85


def test_convolutional_over_contraction(benchmark):
    """64 pixels: the terms of a layer are added up before they are multiplied, a slice of the weights at a time."""
    x = inputs(60)
    model = ConvResNet.init((8, 8, 1), 64, activations.get("softplus"), depth=3, c_res=0.5, key=jax.random.key(1))
    fast = cpu_seconds(lambda: structured(model, x), 5)
    slow = contraction(model, x)
    np.testing.assert_allclose(structured(model, x), slow(), rtol=1e-9)
    ratio = cpu_seconds(slow, 1) / fast
    benchmark.extra_info |= {"over_contraction": ratio}
    benchmark.pedantic(lambda: jax.block_until_ready(structured(model, x)), rounds=3, warmup_rounds=1)
    assert ratio >= 6


def test_compile_time_does_not_grow_with_the_depth(benchmark):
    """First calls of step and tangent kernel at depth 64 over those at depth 4, each in a cleared cache."""
    x, y = inputs(8), jnp.zeros(8)

    def first_call(depth):
        model = ResNet.init(D, 16, activations.get("softplus"), depth=depth, c_res=0.5, key=jax.random.key(1))
        jax.clear_caches()
        start = time.process_time()
        jax.block_until_ready(eqx.filter_jit(lambda m, x, y: m.step(x, y, ()).outputs)(model, x, y))
        jax.block_until_ready(gram.gram(model, x))
        return time.process_time() - start

    first_call(4)
    times = {depth: statistics.median(first_call(depth) for _ in range(3)) for depth in (4, 64)}
    benchmark.extra_info |= {"compile_64_over_4": times[64] / times[4]}
    benchmark.pedantic(lambda: None, rounds=1)
    assert times[64] <= 1.5 * times[4]
