"""Training step of the implicit ReLU network against torchdeq and a plain PyTorch loop, and its memory at full size.

As `test_equilibrium.py`: n = m = d = 1,000, float32, γ = 0.1 (operator norm 0.2), tolerance 1e-6, CPU seconds of one
thread, both sides alternated in one run, medians over the rounds after the first two chunks of steps.
"""

import contextlib
import sys

import numpy as np
import pytest
from measure import SLACK, TORCHDEQ, against, peer, share_of_gemm
from peers.environment import Worker

SIZE = 1000
CHUNK = 5


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    generator = np.random.default_rng(0)

    def gaussian(*shape):
        return generator.standard_normal(shape, np.float32)

    x = gaussian(SIZE, SIZE)
    path = tmp_path_factory.mktemp("implicit") / "problem.npz"
    np.savez(
        path,
        x=x / np.linalg.norm(x, axis=1, keepdims=True),
        y=np.sign(gaussian(SIZE)),
        hidden=gaussian(SIZE, SIZE),
        inject=gaussian(SIZE, SIZE),
        readout=np.sign(gaussian(SIZE)),
        skip=np.sign(gaussian(SIZE)),
        gamma=0.1,
        # λ_max is about 0.33 n for nearly orthogonal inputs.
        rate=np.float32(0.5 / (0.33 * SIZE)),
        chunk=CHUNK,
        tolerance=1e-6,
    )
    return path


@pytest.fixture(scope="module")
def torch(problem):
    with peer(TORCHDEQ, "equilibrium_torch.py", problem) as worker:
        yield worker


def products(answer):
    """Every product of a step is SIZE³: XWᵀ, two gradients, and one per iteration."""
    return 3 + (sum(answer["forward"]) + sum(answer["backward"])) / CHUNK


def test_step_runs_at_the_gemm_rate(benchmark, problem):
    with contextlib.closing(Worker(sys.executable, "equilibrium_ours.py", problem)) as ours:
        share, answers = share_of_gemm(benchmark, ours, "step", products)
    benchmark.extra_info["iterations"] = answers[-1]["forward"][-1], answers[-1]["backward"][-1]
    assert share >= 0.85 * SLACK


@pytest.mark.parametrize(("name", "goal"), [("torchdeq", 2.0), ("torchdeq-warm", 1.6), ("loop", 1.6)])
def test_step_against(benchmark, problem, torch, name, goal):
    with contextlib.closing(Worker(sys.executable, "equilibrium_ours.py", problem)) as ours:
        assert against(benchmark, ours, torch, "step", name) >= goal * SLACK


def test_full_size_fits_in_four_gibibytes(benchmark, tmp_path):
    path = tmp_path / "size.npz"
    np.savez(path, n=1000, dimension=784, width=4000)
    with contextlib.closing(Worker(sys.executable, "implicit_scale.py", path)) as worker:
        losses = [worker.ask("step")["loss"] for _ in range(2)]
        answer = benchmark.pedantic(worker.ask, ("step",), rounds=2)
    benchmark.extra_info |= answer
    assert answer["peak"] <= 4 * 2**30
    assert answer["contraction"] < 1
    assert answer["loss"] < losses[1] < losses[0]
