"""Factorisation of a large sparse matrix: memory linear in the non-zeros, time linear too."""

import subprocess
import sys

SCRIPT = """
import resource, sys, time
import jax
jax.config.update("jax_enable_x64", True)
import numpy as np, scipy.sparse
from globalmin import train
from globalmin.objectives import Factorization, OperatorMatrix

d, per_row, r = int(sys.argv[1]), 10, 10
draw = np.random.default_rng(0)
rows = np.repeat(np.arange(d), per_row)
m = scipy.sparse.csr_array((draw.normal(size=d * per_row), (rows, draw.integers(d, size=d * per_row))), shape=(d, d))
objective = Factorization(OperatorMatrix(m), r, 1e-2)
point = objective.init(key=jax.random.key(0))
step = 0.1 / float(objective.sigma[0])
train.gradient_descent(objective, point, step_size=step, epochs=1)
start = time.process_time()
found = train.gradient_descent(objective, point, step_size=step, epochs=30)
seconds = (time.process_time() - start) / 30
assert found.steps["loss"][-1] < found.steps["loss"][0]
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, seconds)
"""


def measured(d: int) -> tuple[float, float]:
    """Peak bytes and CPU seconds of a step, in a process of its own."""
    found = subprocess.run([sys.executable, "-c", SCRIPT, str(d)], capture_output=True, text=True, check=True)
    peak, seconds = found.stdout.split()
    return float(peak), float(seconds)


def test_memory_is_linear_in_the_non_zeros(benchmark):
    """d = 100,000 and r = 10 with a million non-zeros against a fifth of it: a dense M would take 80 GB."""
    base, small, large = measured(100), measured(20_000), measured(100_000)
    growth = (large[0] - base[0]) / max(small[0] - base[0], 1.0)
    benchmark.extra_info["megabytes_beyond_the_process"] = (large[0] - base[0]) / 2**20
    benchmark.extra_info["growth_for_five_times_the_size"] = growth
    benchmark.extra_info["step_time_growth"] = large[1] / small[1]
    benchmark.pedantic(lambda: None, rounds=1)
    # Five times the size: five times the memory, and room for the allocator; quadratic would be 25.
    assert growth < 10
