"""Speed and memory of the infinite-width kernels, as ratios inside one run.

What is compared: the DEQ's limit kernel of n = 2,000 inputs in float64 (four matrices) against one elementwise `exp`
over the same n² pairs, the cheapest transcendental there is. Memory: the growth of the process's peak over the four
n × n results that are returned.
"""

import pathlib

import jax
import jax.numpy as jnp
import pytest
from measure import cpu_seconds

from globalmin.kernels import EquilibriumKernel, h_infinity

N = 2000
MATRIX = 8 * N * N  # bytes


def inputs(d: int):
    x = jax.random.normal(jax.random.key(0), (N, d))
    return x * jnp.sqrt(d) / jnp.linalg.norm(x, axis=1, keepdims=True)


def peak_after(work) -> int:
    """Bytes by which the resident set grew at its peak during `work`; Linux forgets the old peak on being told "5"."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    jax.block_until_ready(work())
    return resident("VmHWM") - before


def resident(field: str) -> int:
    line = next(line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return 1024 * int(line.split()[1])


# 784 features are MNIST's; there the products of rows are no longer hidden behind the elementwise work.
@pytest.mark.parametrize("d", [64, 784])
def test_equilibrium_kernel(benchmark, d):
    x, kernel = inputs(d), EquilibriumKernel(0.08)
    jax.block_until_ready(kernel(x[:200]))  # compiler's and runtime's own memory
    added = peak_after(lambda: kernel(x))
    pairs = jnp.ones((N, N))
    exp = cpu_seconds(lambda: jnp.exp(pairs))
    product = cpu_seconds(lambda: x @ x.T)
    ours = cpu_seconds(lambda: kernel(x))
    benchmark.extra_info.update(
        cpu_seconds=ours, over_exp=ours / exp, over_product=ours / product, added_matrices=added / MATRIX
    )
    benchmark(lambda: jax.block_until_ready(kernel(x)))
    # Four results, and less than two matrices on top: nothing of size n² times iterations.
    assert added < 6 * MATRIX


def test_h_infinity(benchmark):
    x = inputs(64)
    benchmark.extra_info.update(cpu_seconds=cpu_seconds(lambda: h_infinity(x)))
    benchmark(lambda: jax.block_until_ready(h_infinity(x)))


def test_nearly_parallel_rows(benchmark):
    """Every tile has a close pair, so that every tile sums up differences of rows."""
    x = jnp.abs(inputs(784))
    x = x.at[1::2].set(x[::2] + 1e-7)
    x = x.at[:, 0].add(300.0)
    kernel = EquilibriumKernel(0.08)
    far = cpu_seconds(lambda: kernel(inputs(784)))
    benchmark.extra_info.update(over_distant_rows=cpu_seconds(lambda: kernel(x)) / far)
    benchmark(lambda: jax.block_until_ready(kernel(x)))
