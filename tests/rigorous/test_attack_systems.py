"""A slice of benchmarks/attack_systems.py: layered networks and local constants against 300 bits, and what must not pass."""

import flint
import numpy as np
import pytest
from flint import arb

from .reference import systems_harness as harness


@pytest.mark.parametrize("name", harness.SYSTEMS[:6])  # the equilibria compile for each shape
def test_random_problems(name, tmp_path):
    with flint.ctx.workprec(300):
        verdicts = []
        for k in range(4 if name in ("neural-ode", "local") else 3):
            problem = harness.problem(
                name, np.random.default_rng((1 if name == "local" else 3, harness.SYSTEMS.index(name), k))
            )
            verdict, failure = harness.attack(problem, tmp_path if k % 3 == 0 else None)
            assert not failure, (k, failure)
            verdicts.append(verdict)
    assert "HOLDS" in verdicts


FIXED = {
    "gated": {"depth": 3, "gates": "chain"},
    "neural-ode": {"activation": "tanh", "layers": 2, "sigma_w": 0.5, "sigma_v": 1.0, "horizon": 1.0},
    "dense": {"activation": "softplus", "depth": 2},
    "resnet": {"activation": "erf", "depth": 2, "c_res": 0.5},
    "conv-resnet": {"activation": "tanh", "depth": 2, "image_shape": (3, 1), "filter_size": 3, "c_res": 0.5},
    "local": {"activation": "tanh"},
    "equilibrium": {"activation": "tanh"},
    "implicit-relu": {"activation": "tanh"},
}


@pytest.mark.parametrize("name", harness.SYSTEMS)
def test_around_one_half(name):
    """The same network with its residual on either side of the limits: 10^-6 outside that of all grids is never certified."""
    with flint.ctx.workprec(300):
        problem = next(
            p
            for p in (harness.problem(name, np.random.default_rng((7, k)), **FIXED[name]) for k in range(20))
            if p.truth.certifies(arb(1e-12), p.eta)
        )
        outputs = np.array([float(v) for v in problem.truth.outputs])
        inside, outside = (float(v) for v in problem.truth.limits(problem.eta))
        assert inside > 0.6 * outside  # 64 intervals, and 8 places from where on half the path may be charged
        direction = (problem.y - outputs) / np.linalg.norm(problem.y - outputs)
        for size, verdict in (
            (outside * (1 + 1e-6), "FAILS"),
            (inside * (0.9 if name == "local" else 1 - 1e-3), "HOLDS"),
        ):
            problem.y = outputs + size * direction
            assert harness.attack(problem) == (verdict, ""), size
