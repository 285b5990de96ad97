"""A slice of benchmarks/attack_files.py: changed certificate files are refused, or true at 300 bits."""

import flint
import numpy as np
import pytest

from .reference import files_harness as harness


@pytest.mark.parametrize(("name", "k"), [("neural-ode", 10), ("equilibrium", 10), ("local", 12)])
def test_changed_files(name, k, tmp_path):
    with flint.ctx.workprec(300):
        g = np.random.default_rng((0, harness.SYSTEMS.index(name), k))
        counts, wrong = harness.attack(harness.problem(name, g), g, 8, tmp_path)
    assert not wrong
    assert sum(v for k, v in counts.items() if "refused" in k) >= 2
