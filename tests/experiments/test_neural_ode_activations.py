"""What the activation study says of made-up measurements: its claims, its table and its advice, activation by activation."""

from types import SimpleNamespace

import numpy as np
import pytest

from globalmin import train
from globalmin.experiments import neural_ode_activations as study
from globalmin.experiments.neural_ode_case import Case, gradient_errors

SIZE = {
    "activations": ["softplus"], "per_class": 35, "width": 300, "epochs": 600, "horizons": [1, 8],
    "certified": {"per_class": 4, "width": 400, "epochs": 1500},
}  # fmt: skip
PROMISE = "loss at rate 1 − ηλ₀/16"


def series(*values):
    return SimpleNamespace(values=np.array(values))


def trusted(backsolve, discretised=1e-4):
    rows = tuple(
        {
            "shrink": shrink, "tolerance": tolerance, "method": method, "error": scale * error * tolerance / 1e-3,
            "converged": True,
        }
        for method, error in (("discretised", discretised), ("backsolve", backsolve))
        for tolerance in (1e-5, 1e-3)
        for shrink, scale in ((1.0, 1.0), (1e-3, 50.0))
    )  # fmt: skip
    return train.Trust(rows, (), 1e-2, ("discretised", "backsolve"))


def case(
    name: str,
    last: float,
    lambda_min: float | None = 0.01,
    backsolve: float = 4e-4,
    flow: int | None = 40,
    descent: int | None = 90,
    kept: bool | None = True,
) -> Case:
    promises = [] if kept is None else [{"name": PROMISE, "kept": kept}]
    run = SimpleNamespace(
        trajectory={
            "epoch": series(0, 600), "loss": series(10.0, last), "test_loss": series(11.0, 2.0),
            "gradient_gap": series(0.06, 0.7), "lambda_min": series(0.1, 0.1),
        },
        certificate={"verification": {"promises": promises}},
    )  # fmt: skip
    certified = SimpleNamespace(
        certificate={"verification": {"flow_certified_epoch": flow, "certified_epoch": descent}}
    )
    return Case(name, lambda_min, 1e-4, trusted(backsolve), run, certified)


CASES = [
    case("tanh", 0.05),
    case("sin", 0.02, lambda_min=0.02),
    case("relu", 0.01, backsolve=0.02, descent=None),
    case("quadratic", 0.001, lambda_min=0.05, flow=None, descent=None),
    case("linear", 0.4, lambda_min=1e-5),
]
HORIZONS = {"growth": np.array([[1.5, 170.0], [1.5, 1.6]]), "trust": trusted(0.3)}


def test_advice_names_smooth_activations_in_order_and_neither_kinks_nor_polynomials():
    first, adjoint, kinks, polynomials, horizon = study._advice(CASES, HORIZONS, SIZE)
    assert "sin, tanh. sin is the lowest with 0.02; sin has the largest λ_min(K^∞) = 0.02" in first
    assert "from epoch 90" in first
    assert "0.04% off at tolerance 0.001" in adjoint
    assert "relu has a jump" in kinks
    assert "2% off" in kinks
    assert "70% away" in kinks
    assert "quadratic, linear" in polynomials
    assert "1.6-fold, and 170-fold at σ_w = 1" in horizon
    assert "30% off" in horizon
    overflowed = study._advice(CASES, HORIZONS | {"trust": None}, SIZE)[-1]
    assert overflowed.endswith("overflow before a gradient is found.")


def outcome(cases, word, growth=1.6, size=SIZE):
    horizons = {"growth": np.array([[1.5, 170.0], [1.5, growth]]), "trust": None}
    return next(claim.passed for claim in study._claims(cases, horizons, size) if word in claim.text)


def test_claims_pass_and_fail():
    assert all(claim.passed for claim in study._claims(CASES, HORIZONS, SIZE))
    assert not outcome([case("tanh", 0.1, lambda_min=5e-5)], "Corollary 1")
    assert not outcome([case("tanh", 0.1, lambda_min=None)], "Corollary 1")
    assert not outcome([case("linear", 0.1, lambda_min=1e-3)], "singular on 70 samples")
    with pytest.raises(StopIteration):  # rank 64 is no less than 20 samples: nothing to claim
        outcome([case("linear", 0.1)], "singular on", size=SIZE | {"per_class": 10})
    assert not outcome([case("tanh", 0.1, kept=False)], "Theorem 3")
    assert not outcome([case("tanh", 0.1, kept=None)], "Theorem 3")
    assert not outcome([case("tanh", 0.1, descent=None)], "certified")
    assert not outcome([case("relu", 0.1, flow=None, descent=None)], "certified")
    assert not outcome([case("tanh", 0.1, backsolve=0.1), case("relu", 0.1, backsolve=0.02)], "kinks cost")
    assert not outcome(CASES, "σ_w = 1/T", growth=3.5)


def test_table_and_errors_by_tolerance():
    rows = {row[0]: row[1:] for row in study._table(CASES, SIZE)["rows"]}
    # 50 times the error once the loss is small: 4e-4 · 50 = 2% at 1e-3, 0.02% at 1e-5.
    assert rows["tanh"] == ["1, 0.77, 2", "0.01 ± 0.0001", "0.04%", "10⁻⁵", "0.01%", "10 → 0.05", "2", "40 / 90"]
    assert rows["relu"][0] == "1, –, –"
    assert rows["relu"][-1] == "40 / never"
    assert rows["linear"][1].endswith("not shown > 0")
    assert rows["quadratic"][-1] == "never / never"
    tolerances, errors = gradient_errors(trusted(0.5), "backsolve")
    np.testing.assert_allclose(tolerances, [1e-3, 1e-5])
    np.testing.assert_allclose(errors, [0.5, 0.005])
    assert all(len(row) + 1 == len(study._table(CASES, SIZE)["columns"]) for row in rows.values())
    assert "not tried" not in str(rows)
    assert study._table([case("tanh", 1.0, backsolve=9.0)], SIZE)["rows"][0][4] == "tighter than tried"
    assert study._table([case("tanh", 1.0, lambda_min=None)], SIZE)["rows"][0][2] == "no limit"


@pytest.mark.slow
def test_gradient_errors_fall_with_the_tolerance():
    """Two Diffrax programs: minutes of compilation for seven activations, and some ten seconds for one."""
    config = study._config("tanh", SIZE | {"per_class": 2, "width": 6}, seed=0)
    trust = study._trust(config, {"tolerances": [1e-2, 1e-7]})
    for method in ("discretised", "backsolve"):
        tolerances, errors = gradient_errors(trust, method)
        assert list(tolerances) == [1e-2, 1e-7]
        # A tolerance is per step and relative to the states: some ten of them.
        assert errors[1] < 1e-6
        assert errors[1] < errors[0] < 0.1
