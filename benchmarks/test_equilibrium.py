"""Training step of the deep equilibrium model against torchdeq and a plain PyTorch loop, at n = m = d = 1,000.

float32, ‖W‖ = 0.57 (σ_w² = 0.04), tolerance 1e-6, step size 0.5/λ_max of the limit kernel, CPU seconds of one thread,
both sides alternated in one run, medians over the rounds after the first two chunks of steps ("warm").
`peers/environment.py` builds the peers' environment on first use.
"""

import contextlib
import statistics
import sys

import numpy as np
import pytest
from measure import SLACK, TORCHDEQ, against, peer, share_of_gemm
from peers.environment import Worker

SIZE = 1000
TOLERANCE = 1e-6
CHUNK = 5


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    generator = np.random.default_rng(0)

    def gaussian(*shape):
        return generator.standard_normal(shape, np.float32)

    x = gaussian(SIZE, SIZE)
    x *= np.sqrt(SIZE) / np.linalg.norm(x, axis=1, keepdims=True)
    path = tmp_path_factory.mktemp("equilibrium") / "problem.npz"
    np.savez(
        path,
        x=x.astype(np.float32),
        y=gaussian(SIZE),
        hidden=gaussian(SIZE, SIZE) * np.float32(np.sqrt(0.08 / SIZE)),
        inject=gaussian(SIZE, SIZE) * np.float32(np.sqrt(2 / SIZE)),
        readout=gaussian(SIZE) / np.float32(np.sqrt(SIZE)),
        # λ_max is about m n K(0)(1 + Γ(0)) = 0.46 m n for nearly orthogonal inputs.
        rate=np.float32(0.5 / (0.46 * SIZE**2)),
        chunk=CHUNK,
        tolerance=TOLERANCE,
    )
    return path


@pytest.fixture(scope="module")
def torch(problem):
    with peer(TORCHDEQ, "equilibrium_torch.py", problem) as worker:
        yield worker


def products(answer):
    """Every product of a step is SIZE³: XUᵀ, two gradients, and one per iteration."""
    return 3 + (sum(answer["forward"]) + sum(answer["backward"])) / CHUNK


def test_step_runs_at_the_gemm_rate(benchmark, problem):
    with contextlib.closing(Worker(sys.executable, "equilibrium_ours.py", problem)) as ours:
        share, answers = share_of_gemm(benchmark, ours, "step", products)
    forward, backward = ([n for a in answers for n in a[way]] for way in ("forward", "backward"))
    benchmark.extra_info |= {
        "forward_iterations": statistics.mean(forward),
        "backward_iterations": statistics.mean(backward),
    }
    assert max(forward) <= 4
    assert max(backward) <= 9
    assert share >= 0.85 * SLACK


@pytest.mark.parametrize(
    ("name", "goal"), [("torchdeq", 2.0), ("torchdeq-warm", 1.6), ("loop", 1.6), ("loop-warm", 1.0)]
)
def test_step_against(benchmark, problem, torch, name, goal):
    # A worker of its own: both sides start from the same weights, so their losses can be compared step by step.
    with contextlib.closing(Worker(sys.executable, "equilibrium_ours.py", problem)) as ours:
        ratio = against(benchmark, ours, torch, "step", name)
        memory = [worker.ask("memory")["bytes"] for worker in (ours, torch)]
    benchmark.extra_info["memory"] = memory
    assert ratio >= goal * SLACK
    if name == "torchdeq":  # the first to run in that process, so the peak is its own
        assert memory[0] <= 0.6 * memory[1]
