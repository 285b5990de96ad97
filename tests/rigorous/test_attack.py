"""A slice of benchmarks/attack_certificates.py: never a yes where 300 bits say no, and near h = 1/2 both verdicts occur."""

import flint
import numpy as np

from .reference import harness


def test_random_problems(tmp_path):
    verdicts = []
    with flint.ctx.workprec(harness.BITS):
        for k in range(120):
            problem = harness.problem(np.random.default_rng((11, k)))
            verdict, failure = harness.attack(problem, tmp_path if k % 10 == 0 else None)
            assert not failure, (k, failure)
            verdicts.append(verdict)
    assert {"HOLDS", "FAILS", "UNDECIDED"} == set(verdicts)
    assert verdicts.count("HOLDS") > 30


def test_around_one_half():
    """The same network with its residual scaled across the limit, from 10^-13 to 10^-1 on either side."""
    g = np.random.default_rng(3)
    with flint.ctx.workprec(harness.BITS):
        for eta, name in ((None, "tanh"), (0.05, "tanh"), (None, "elu"), (0.05, "elu")):
            x = g.standard_normal((4, 5))
            w, a = g.standard_normal((8, 5)), g.choice([-1.0, 1.0], 8)
            truth = harness.two_layer_truth(w, a, x, name)
            outputs = np.array([float(v) for v in truth.outputs])
            limit = harness._at_the_limit(truth, eta, float(truth.lambda_min / (2 * truth.bend)))
            direction = g.standard_normal(4)
            direction /= np.linalg.norm(direction)
            for power in range(-13, 0, 1 if name == "elu" else 3):
                for sign in (-1, 1):
                    y = outputs + limit * (1 + sign * 10.0**power) * direction
                    problem = harness.Problem(name, w, a, x, y, eta, truth)
                    verdict, failure = harness.attack(problem)
                    assert not failure
                    # The enclosures are good to 1e-11 here. Local constants may help further than the limit; elu has none.
                    if power >= -9 and (sign < 0 or name == "elu"):
                        assert (verdict == "HOLDS") == (sign < 0), (eta, power, sign, verdict)
