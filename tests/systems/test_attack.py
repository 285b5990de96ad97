"""A slice of benchmarks/attack_descent.py, and networks whose labels are out of reach: a HOLDS there would be wrong."""

import dataclasses
import importlib
import math
import sys
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import systems
from globalmin.models import TwoLayer
from globalmin.theory import Kantorovich, Verdict

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")


@pytest.fixture(scope="module")
def harness():
    sys.path.insert(0, BENCHMARKS)
    yield importlib.import_module("attack_descent")
    sys.path.remove(BENCHMARKS)


def attack(harness, row, count, **drawn):
    certified = 0
    for k in range(count):
        outcome = harness.attack(harness.draw(row, np.random.default_rng((7, k)), **drawn), flows=False)
        assert not outcome.violations, (row.system, k, outcome.violations)
        certified += len(outcome.margins)
    return certified


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # networks of one dead neuron, inputs of 1e-6
def test_descent_keeps_what_random_certificates_promise(harness):
    """One combination of shape and activation, compiled once, for one system of each kind; `slow` has the others."""
    rows = {row.system: row for row in harness.ROWS}
    for name in ("two-layer", "equilibrium", "resnet"):
        assert attack(harness, rows[name], 8, combination=2) > 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_system_at_length(harness):
    for row in harness.ROWS:
        assert attack(harness, row, 60) > 10


def test_a_certificate_that_promises_too_much_is_found_out(harness):
    """The comparison itself: the same run against a certificate with each promise made 1% too good."""
    record = harness.reference.Record(
        rho=0.9 ** np.arange(30.0),
        length=0.1 * 0.9 ** np.arange(30.0),
        distance=1 - 0.9 ** np.arange(30.0),
        sigma=np.full(30, 1.0),
        top=np.full(30, 1.0),
        floor=np.full(30, 1e-16),
        left=np.zeros(30),
        size=np.ones(30),
    )
    path, far = float(record.length[:-1].sum()), float(record.distance[-1])

    def verdict(rate=0.9, path=path, radius=far, sigma=1.0):
        step, c = 0.1, (1 - rate) / (0.1 * sigma**2)
        fields: dict[str, Any] = {f.name: None for f in dataclasses.fields(Kantorovich)} | {
            "flow": False, "c": c, "step_size": step, "sigma_star": sigma, "path": path, "radius": radius,
            "lipschitz": 0.0, "outcome": Verdict.HOLDS,
        }  # fmt: skip
        return harness.compare(Kantorovich(**fields), record, step)[0]

    assert verdict() == ""
    assert "loss" in verdict(rate=0.891)
    assert "path" in verdict(path=0.99 * path)
    assert "radius" in verdict(radius=0.99 * far)
    assert "sigma" in verdict(sigma=1.01)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "erf"])
@pytest.mark.parametrize("weight", [0.0, 0.3, -0.8])
def test_one_neuron_with_labels_out_of_reach(name, weight):
    """f = φ(w) takes no value above 1: with a label just above it there is no zero loss, and just below it Λρ/σ² is large."""
    system = systems.build("two-layer", activation=name)
    model = TwoLayer(jnp.array([[weight]]), jnp.ones(1), system.activation)
    for label in (1.0, 1.0 + 1e-12, 1.01, 1.5, 1e6):
        iterate = system.iterate(model, jnp.ones((1, 1)), jnp.array([label]))
        assert all(c.verdict is Verdict.FAILS for c in system.kantorovich(iterate, None, width=1))


def test_the_sine_just_below_and_above_its_top():
    """f = sin w from w near its top π/2, where σ = cos w and Λ = 1: every label above 1 must fail, near values certify."""
    system = systems.build("two-layer", activation="sin")
    for gap in (0.5, 0.1, 1e-2, 1e-3):
        model = TwoLayer(jnp.array([[math.pi / 2 - gap]]), jnp.ones(1), system.activation)
        for beyond, expected in (
            (1e-13, Verdict.FAILS),
            (0.1 * gap**2, Verdict.FAILS),
            (-0.51 * gap**2, Verdict.HOLDS),
        ):
            iterate = system.iterate(model, jnp.ones((1, 1)), jnp.array([1 + beyond]))
            _, flow = system.kantorovich(iterate, None, width=1)
            assert flow.verdict is expected, (gap, beyond)


def test_two_samples_that_one_linear_neuron_cannot_tell_apart():
    """Rows x and 2x through f = w x: labels (1, 2 + 1e-9) have no solution, and J has rank 1."""
    system = systems.build("two-layer", activation="identity")
    model = TwoLayer(jnp.ones((1, 1)), jnp.ones(1), system.activation)
    iterate = system.iterate(model, jnp.array([[1.0], [2.0]]), jnp.array([1.0, 2.0 + 1e-9]))
    assert all(c.verdict is not Verdict.HOLDS for c in system.kantorovich(iterate, None, width=1))
