"""Training step of the deep equilibrium model against torchdeq and a plain PyTorch loop, at n = m = d = 1,000.

float32, ‖W‖ = 0.57 (σ_w² = 0.04), tolerance 1e-6, step size 0.5/λ_max of the limit kernel, CPU seconds of one thread,
both sides alternated in one run, medians over the rounds after the first two chunks of steps ("warm").
`peers/environment.py` builds the peers' environment on first use.
"""

import statistics
import sys

import numpy as np
import pytest
from peers.environment import PeerUnavailableError, Worker, python_of

SIZE = 1000
TOLERANCE = 1e-6
CHUNK = 5
WARM_UP, ROUNDS = 2, 6
# Goals: 2 and 1.6 times, 0.85 of the GEMM rate. Asserted is 0.7 of each, since a shared machine's clock is no measure.
SLACK = 0.7


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
def ours(problem):
    worker = Worker(sys.executable, "equilibrium_ours.py", problem)
    yield worker
    worker.close()


@pytest.fixture(scope="module")
def torch(problem):
    try:
        interpreter = python_of("torch", ("torch==2.13.0", "torchdeq==0.1.0"))
    except PeerUnavailableError as error:
        pytest.skip(str(error))
    worker = Worker(interpreter, "equilibrium_torch.py", problem)
    yield worker
    worker.close()


def gemm_seconds(worker):
    return statistics.median(worker.ask("gemm")["seconds"] for _ in range(5))


def test_step_runs_at_the_gemm_rate(benchmark, ours):
    for _ in range(WARM_UP):
        ours.ask("step")
    efficiencies, forward, backward = [], [], []

    def round_():
        product = gemm_seconds(ours)  # next to the step it is compared with
        answer = ours.ask("step")
        # Every product of a step is SIZE³: XUᵀ, two gradients, and one per iteration.
        products = 3 + (sum(answer["forward"]) + sum(answer["backward"])) / CHUNK
        efficiencies.append(products * product / answer["seconds"])
        forward.extend(answer["forward"])
        backward.extend(answer["backward"])

    benchmark.pedantic(round_, rounds=ROUNDS, iterations=1)
    benchmark.extra_info |= {
        "efficiency": statistics.median(efficiencies),
        "forward_iterations": statistics.mean(forward),
        "backward_iterations": statistics.mean(backward),
    }
    assert max(forward) <= 4
    assert max(backward) <= 9
    assert statistics.median(efficiencies) >= 0.85 * SLACK


@pytest.mark.parametrize(
    ("peer", "goal"), [("torchdeq", 2.0), ("torchdeq-warm", 1.6), ("loop", 1.6), ("loop-warm", 1.0)]
)
def test_step_against(benchmark, problem, torch, peer, goal):
    # A worker of its own: both sides start from the same weights, so their losses can be compared step by step.
    mine = Worker(sys.executable, "equilibrium_ours.py", problem)
    ratios, seconds = [], []
    try:
        for round_ in range(WARM_UP + ROUNDS):
            a = mine.ask("step")
            b = torch.ask(peer) if round_ < WARM_UP + ROUNDS - 1 else benchmark.pedantic(torch.ask, (peer,), rounds=1)
            np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-3)
            if round_ >= WARM_UP:
                ratios.append(b["seconds"] / a["seconds"])
                seconds.append((a["seconds"], b["seconds"]))
        benchmark.extra_info |= {
            "ratio": statistics.median(ratios),
            "seconds": [statistics.median(s) for s in zip(*seconds, strict=True)],
            "iterations": [a["forward"][-1], a["backward"][-1], b["forward"][-1], b["backward"][-1]],
            "memory": [mine.ask("memory")["bytes"], torch.ask("memory")["bytes"]],
        }
    finally:
        mine.close()
    assert statistics.median(ratios) >= goal * SLACK
    if peer == "torchdeq":  # the first to run in that process, so the peak is its own
        mine_bytes, torch_bytes = benchmark.extra_info["memory"]
        assert mine_bytes <= 0.6 * torch_bytes
