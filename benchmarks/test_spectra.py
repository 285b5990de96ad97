"""Dense spectra: all eigenvalues of a kernel matrix by `_core.linalg` (LAPACK through SciPy) against `jnp.linalg.eigvalsh`.

n = 1,000, float64, CPU seconds, medians of alternated calls.
"""

import statistics

import jax
import jax.numpy as jnp
import numpy as np
from measure import once

from globalmin._core import linalg
from globalmin.kernels import h_infinity


def test_eigenvalues(benchmark):
    x = jax.random.normal(jax.random.key(0), (1000, 64))
    matrix = h_infinity(x / jnp.linalg.norm(x, axis=1, keepdims=True))
    theirs = jax.jit(jnp.linalg.eigvalsh)
    np.testing.assert_allclose(linalg.eigenvalues(matrix)[0], theirs(matrix), atol=1e-11)
    pairs = [(once(lambda: linalg.eigenvalues(matrix)), once(lambda: theirs(matrix))) for _ in range(5)]
    benchmark.extra_info["jnp_over_ours"] = statistics.median(b / a for a, b in pairs)
    benchmark.pedantic(lambda: linalg.eigenvalues(matrix), rounds=3)
    assert benchmark.extra_info["jnp_over_ours"] > 1
