"""Gated networks: a training step against the ReLU network's and the GEMM rate, and the structured kernel against contraction.

The step: n = 500, m = 2,000, L = 4, float32, CPU seconds of the process, all three alternated in one run, medians of ratios.
Its products are 3L − 1 of n × m × m, and C x. Kernel: n = 200, m = 1,024, one trained layer, float64. Inference: what fewer
operations are worth in time, and what factored gates cost in agreement; printed, and asserted where it is certain.
"""

import statistics
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from measure import ROUNDS, SLACK, cpu_seconds, once

from globalmin import gram
from globalmin.models import ChainGates, Gated, factored


def unit_rows(n, d, dtype):
    x = jax.random.normal(jax.random.key(0), (n, d), dtype)
    return x / jnp.linalg.norm(x, axis=1, keepdims=True)


def test_step(benchmark):
    n, m, depth, d = 500, 2000, 4, 784
    model = Gated.init(d, m, depth, key=jax.random.key(1), dtype=jnp.float32)
    relu, x = model.rectified(), unit_rows(n, d, jnp.float32)
    y, state = jnp.ones(n, jnp.float32), model.initial_state(x)

    @eqx.filter_jit
    def step(model, state, layers):
        found = eqx.tree_at(lambda m: m.layers, model, layers).step(x, y, state)
        return layers - jnp.float32(1e-9) * found.gradient.layers, found.outputs

    forward = jax.jit(lambda h, w: h @ w.T)
    backward = jax.jit(lambda a, h: a.T @ h)
    h, w = jnp.ones((n, m), jnp.float32), model.layers
    works = {
        "gated": lambda: step(model, state, w),
        "relu": lambda: step(relu, (), w),
        # The 2L − 1 products with weights and the L with transposes, and C x.
        "products": lambda: (
            [forward(h, w[0]) for _ in range(2 * depth - 1)]
            + [backward(h, h) for _ in range(depth)]
            + [forward(x, model.first)]
        ),
    }
    for work in works.values():
        jax.block_until_ready(work())
    rounds = []

    def round_():
        rounds.append({name: once(work) for name, work in works.items()})

    benchmark.pedantic(round_, rounds=ROUNDS, iterations=1, warmup_rounds=1)
    over_relu = statistics.median(r["relu"] / r["gated"] for r in rounds)
    share = statistics.median(r["products"] / r["gated"] for r in rounds)
    benchmark.extra_info |= {"relu_over_gated": over_relu, "gemm_share": share}
    assert share >= 0.85 * SLACK
    assert over_relu >= SLACK


def test_kernel(benchmark):
    n, m, depth = 200, 1024, 1  # its Jacobian is 1.7 GB, of each further layer as much again
    model, x = Gated.init(784, m, depth, key=jax.random.key(1)), unit_rows(n, 784, jnp.float64)
    state = model.initial_state(x)
    structured = eqx.filter_jit(lambda model, x, state: gram.gram(model, x, state))

    @eqx.filter_jit
    def contraction(model, x, state):
        def outputs(layers):
            return eqx.tree_at(lambda m: m.layers, model, layers).outputs(x, state)

        rows = jax.jacrev(outputs)(model.layers).reshape(n, -1)
        return rows @ rows.T

    def fast():
        return structured(model, x, state)

    np.testing.assert_allclose(fast(), contraction(model, x, state), rtol=1e-9)
    quick = cpu_seconds(fast, 9)
    ratio = once(lambda: contraction(model, x, state)) / quick
    benchmark.extra_info |= {"over_contraction": ratio}
    benchmark.pedantic(lambda: jax.block_until_ready(fast()), rounds=5, warmup_rounds=1)
    assert ratio >= 100 * SLACK


def test_lookup_of_open_gates(benchmark):
    """The source's lookup table: only what is open. A dense product with a mask does all operations, a gather moves rows."""
    n, m = 1, 2048
    rng = np.random.default_rng(0)
    w = np.ascontiguousarray(rng.standard_normal((m, m)), np.float32)
    h = rng.standard_normal((m, n)).astype(np.float32)
    rows, columns = (np.flatnonzero(rng.integers(0, 2, m)) for _ in range(2))
    packed = np.ascontiguousarray(w[np.ix_(rows, columns)])

    def median(work):
        work()
        times = []
        for _ in range(30):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    dense = median(lambda: w @ h)
    gathered = median(lambda: w[rows][:, columns] @ h[columns])
    in_place = median(lambda: packed @ h[columns])
    benchmark.extra_info |= {
        "flops_share": len(rows) * len(columns) / m**2,
        "dense_over_gathered": dense / gathered,
        "dense_over_packed_for_one_sample": dense / in_place,
    }
    benchmark.pedantic(lambda: w @ h, rounds=5)
    assert gathered > dense, "a gather copies what it saves"


def test_factored_gates(benchmark):
    """Rank √m/2 approximations of the gates of a network: agreement, operations and times; then gates drawn of low rank."""
    n, m, depth, d = 200, 512, 3, 100
    x = unit_rows(n, d, jnp.float64)
    model = Gated.init(d, m, depth, key=jax.random.key(1))
    rank = round(m**0.5 / 2)
    exact = np.asarray(model.masks(x))
    assert isinstance(model.gates, ChainGates)
    reference = np.asarray(model.outputs(x))
    for kind in ("svd", "nmf"):
        other = eqx.tree_at(lambda m: m.gates, model, factored(model.gates, rank, kind))
        agreement = [float((np.asarray(a) == b).mean()) for a, b in zip(other.masks(x), exact, strict=True)]
        error = float(np.linalg.norm(np.asarray(other.outputs(x)) - reference) / np.linalg.norm(reference))
        benchmark.extra_info |= {f"{kind}: gates that agree, by layer": agreement, f"{kind}: output error": error}
        assert error > 0.5, "were it small, the source's claim would stand"
    drawn = Gated.init(d, m, depth, key=jax.random.key(2), gates="low-rank", rank=rank)
    run = eqx.filter_jit(lambda model, x: model.outputs(x))
    relu = model.rectified()
    for one in (model, drawn, relu):
        jax.block_until_ready(run(one, x))
    rounds = [
        {k: once(lambda o=o: run(o, x)) for k, o in (("chain", model), ("low-rank", drawn), ("relu", relu))}
        for _ in range(15)
    ]
    benchmark.extra_info |= {
        "low_rank_over_relu_time": statistics.median(r["low-rank"] / r["relu"] for r in rounds),
        "chain_over_relu_time": statistics.median(r["chain"] / r["relu"] for r in rounds),
        "operations_per_layer": {"relu": m * m, "chain": 2 * m * m, "low-rank": m * m + 2 * rank * m},
    }
    benchmark.pedantic(lambda: jax.block_until_ready(run(drawn, x)), rounds=5)
