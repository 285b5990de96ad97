"""What every benchmark measures with: CPU seconds of this process, the machine's GEMM rate, and peers in alternated rounds."""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from peers.environment import PeerUnavailableError, Worker, python_of

SLACK = 0.7  # asserted is so much of each goal, since a shared machine's clock is no measure
WARM_UP, ROUNDS = 2, 6
TORCHDEQ = ("torch", ("torch==2.13.0", "torchdeq==0.1.0"))
TORCHDIFFEQ = ("torchdiffeq", ("torch==2.13.0", "torchdiffeq==0.2.5"))


def once(work: Callable) -> float:
    """CPU seconds of one call, all threads together."""
    start = time.process_time()
    jax.block_until_ready(work())
    return time.process_time() - start


def cpu_seconds(work: Callable, repeats: int = 5) -> float:
    """Median CPU seconds of a call, after one that is not counted."""
    jax.block_until_ready(work())
    return statistics.median(once(work) for _ in range(repeats))


def gemm_rate(size: int, dtype=jnp.float64) -> float:
    """FLOPs per CPU second of a product of square matrices."""
    a = jnp.asarray(np.random.default_rng(0).standard_normal((size, size)), dtype)
    product = jax.jit(jnp.matmul)
    return 2 * size**3 / cpu_seconds(lambda: product(a, a), 9)


def contraction(model, x) -> Callable:
    """J Jᵀ as generic tools form it: `jax.jacrev` of the whole batch, multiplied out."""
    moved, fixed = eqx.partition(model, model.trainable())

    @jax.jit
    def run(moved, x):
        tree = jax.jacrev(lambda m: eqx.combine(m, fixed).outputs(x))(moved)
        return sum(r @ r.T for r in (leaf.reshape(len(x), -1) for leaf in jax.tree.leaves(tree)))

    return lambda: run(moved, x)


@contextlib.contextmanager
def peer(environment: tuple[str, tuple[str, ...]], script: str, problem) -> Iterator[Worker]:
    """A worker in a peer's environment; the benchmark is skipped, with the installer's line, where it cannot be built."""
    try:
        interpreter = python_of(*environment)
    except PeerUnavailableError as error:
        pytest.skip(str(error))
    with contextlib.closing(Worker(interpreter, script, problem)) as worker:
        yield worker


def against(benchmark, ours: Worker, theirs: Worker, request: str, other: str) -> float:
    """The peer's CPU seconds over ours, median of alternated rounds; both start alike, so their losses must agree."""
    ratios, seconds, a, b = [], [], {}, {}
    for round_ in range(WARM_UP + ROUNDS):
        a = ours.ask(request)
        last = round_ == WARM_UP + ROUNDS - 1
        b = benchmark.pedantic(theirs.ask, (other,), rounds=1) if last else theirs.ask(other)
        np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-3)
        if round_ >= WARM_UP:
            ratios.append(b["seconds"] / a["seconds"])
            seconds.append((a["seconds"], b["seconds"]))
    benchmark.extra_info |= {
        "ratio": statistics.median(ratios),
        "seconds": [statistics.median(s) for s in zip(*seconds, strict=True)],
    }
    if "forward" in a:  # a solved layer counts its iterations
        benchmark.extra_info["iterations"] = [a["forward"][-1], a["backward"][-1], b["forward"][-1], b["backward"][-1]]
    return statistics.median(ratios)


def share_of_gemm(
    benchmark, worker: Worker, request: str, products: Callable[[dict], float]
) -> tuple[float, list[dict]]:
    """Seconds of so many products of the worker's own timing over those of a request: median of rounds; and its answers."""
    for _ in range(WARM_UP):
        worker.ask(request)
    shares, answers = [], []

    def round_():
        product = statistics.median(worker.ask("gemm")["seconds"] for _ in range(5))  # next to what it is compared with
        answer = worker.ask(request)
        shares.append(products(answer) * product / answer["seconds"])
        answers.append(answer)

    benchmark.pedantic(round_, rounds=ROUNDS, iterations=1)
    benchmark.extra_info["efficiency"] = statistics.median(shares)
    return statistics.median(shares), answers
