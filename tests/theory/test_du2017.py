"""The theorems about escaping saddles: where they hold, where they must not, and their claims against exact counts."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import train
from globalmin.objectives import LogOctopus, Octopus, gradient_lipschitz, hessian_lipschitz
from globalmin.systems import SaddleSystem
from globalmin.systems.saddle import growth
from globalmin.theory import Verdict, du2017

E = math.e


def start(*, L=E, gamma=1.0, d: int = 5, farthest=0.5, nearest=0.5, tau=E):
    return du2017.Start(
        d, L, gamma, tau, farthest, nearest, gradient_lipschitz(L, gamma), hessian_lipschitz(L, gamma, tau)
    )


def test_slow_escape_holds_up_to_half_over_L_and_not_beyond():
    assert du2017.SlowEscape(start(), 1 / (2 * E)).verdict == Verdict.HOLDS
    assert du2017.SlowEscape(start(), 1 / (2 * E) * (1 + 1e-12)).verdict == Verdict.FAILS
    for bad in (start(L=0.5), start(farthest=1.1), start(nearest=0.0), start(tau=2.0)):
        assert du2017.SlowEscape(bad, 0.01).verdict == Verdict.FAILS
    for uphill in (0.0, -0.01):
        for theorem in (du2017.SlowEscape, du2017.SlowEscapePrinted, du2017.ExponentialTime, du2017.AlmostSureEscape):
            assert theorem(start(), uphill).verdict == Verdict.FAILS
        assert du2017.PolynomialTime(start(), uphill, 0.1).verdict == Verdict.FAILS
        assert len(du2017.SlowEscape(start(), uphill).promises()) == 5


def test_how_long_slow_escape_is_promised():
    """((L + γ)/γ)^(d−1) by hand: 3⁴ for d = 5, L = 2, γ = 1 and 1.5⁴ for γ = 4; 1/(2ηγ) times that in the sharper form."""
    assert start(L=2.0).bound == 81
    assert start(L=2.0, gamma=2.0, d=4).bound == 8
    assert start(L=2.0, gamma=4.0).bound == 1.5**4
    eta, octopus = 0.1, Octopus(5, L=2.0, gamma=2.0)
    names = [p.name for p in du2017.SlowEscape(start(L=2.0, gamma=2.0), eta).promises()]
    assert names[:2] == ["|x_d| ≤ 2τ up to epoch 16", "|x_d| ≤ 2τ before epoch 40"]
    assert octopus.escape_bound == 16
    epochs = np.array([15.0, 16.0, 17.0, 39.0, 40.0])
    ones = np.ones(5)
    found = octopus.early(epochs, eta, 3 * ones, 5 * ones, 0.1 * ones, -2 * ones)
    np.testing.assert_array_equal(found["last_early"], [3, 3, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(found["last_early_sharp"], [3, 3, 3, 3, np.nan])
    np.testing.assert_array_equal(found["minimum_distance_early"], [5, 5, np.nan, np.nan, np.nan])
    # ε-second-order stationary: ‖∇f‖ ≤ ε and λ_min ≥ −√(ρε); the least such ε is the larger of ‖∇f‖ and λ_min²/ρ.
    level = 4 / hessian_lipschitz(2.0, 2.0, E)
    np.testing.assert_allclose(found["second_order_early"][:2], max(0.1, level), rtol=1e-15)


def test_the_experiments_step_is_not_the_theorems():
    """E7.12: 1/(4L) > 1/ℓ; the verdict is undecided only within the error of ℓ."""
    for theorem in (du2017.ExponentialTime, du2017.AlmostSureEscape):
        assert theorem(start(), 1 / (4 * E)).verdict == Verdict.FAILS
        assert theorem(start(), 1 / 34.66306020190003).verdict == Verdict.UNDECIDED
        assert theorem(start(), 1 / 34.68).verdict == Verdict.HOLDS


def test_perturbed_descents_theorem_is_never_shown():
    assert du2017.PolynomialTime(start(nearest=0.0), 0.01, 0.1).verdict == Verdict.UNDECIDED
    assert du2017.PolynomialTime(start(), 0.1, 0.1).verdict == Verdict.FAILS


def test_the_printed_slope_is_false():
    """E7.2: the steepest slope of the buffer over Lτ, at |x_{i+1}| = τ; −7.3202 for L = γ, −15.1683/e for L = e."""
    assert du2017.SlowEscapePrinted(start(), 0.01).verdict == Verdict.FAILS
    assert du2017.SlowEscapePrinted(start(L=1.0), 0.1).steepest == pytest.approx(7.3202, abs=1e-4)
    assert du2017.SlowEscapePrinted(start(), 0.1).steepest == pytest.approx(15.1683, abs=1e-3)
    assert du2017.STEEPEST * E > 15.1683
    slope = min(float(-Octopus(2, L=1.0).gradient(jnp.array([E * (1 + k / 400), E]))[0]) for k in range(401))
    steepest = max(float(-Octopus(2, L=1.0).gradient(jnp.array([E * (1 + k / 400), E]))[0]) for k in range(401))
    assert steepest / E == pytest.approx(7.3202, abs=1e-3)
    assert slope >= 2 * E * (1 - 1e-12)


@pytest.mark.parametrize("L", [1.0, 2.0, E])
@pytest.mark.parametrize("share", [0.25, 0.49])
def test_escape_times_against_their_bounds(L, share):
    """T_d ≥ ((L+γ)/γ)^(d−1)/(2ηγ), and T_{k+1}/T_k → κ."""
    eta, d = share / L, 7
    objective = LogOctopus(Octopus(d, L=L))
    point, _ = objective.advance(objective.at(jnp.linspace(-1, 0.9, d)), eta, 10**12)
    hit = point["hit"].tolist()
    assert hit[-1] >= (L + 1) ** (d - 1) / (2 * eta)
    assert hit[-1] / hit[-2] == pytest.approx(growth(eta, L, 1.0), rel=0.02)
    assert growth(eta, L, 1.0) >= L + 1


def test_kappa_of_the_spec():
    wanted = {1.0: 2.7095, 1.5: 3.4094, 2.0: 4.1063, E: 5.1052, 3.0: 5.4966}
    for L, kappa in wanted.items():
        assert growth(1 / (4 * L), L, 1.0) == pytest.approx(kappa, abs=5e-5)
    assert growth(1 / (2 * E), E, 1.0) == math.inf


@pytest.mark.parametrize("log", [False, True])
def test_a_run_is_laid_over_the_theorems(log):
    octopus = Octopus(4, L=1.0)
    objective = LogOctopus(octopus) if log else octopus
    x = jnp.array([0.5, -0.4, 0.3, 0.6])
    prepared = train.prepare_objective(
        SaddleSystem(objective), point=objective.at(x) if isinstance(objective, LogOctopus) else x,
        epochs=2000, step_size=0.06, looks=30,
    )  # fmt: skip
    records = train.Log()
    for _ in train.run(prepared, records):
        pass
    said = train.conclude(prepared, records)
    assert said["sentence"] == "held throughout"
    assert [t.verdict for t in prepared.theorems][:3] == ["HOLDS", "HOLDS", "HOLDS"]
    names = {c["quantity"]: c for c in said["promises"]}
    for name in ("last_early", "last_early_sharp", "minimum_distance_early", "second_order_early"):
        assert names[name]["compared"] > 0
    exact = LogOctopus(octopus)
    point, taken = exact.advance(exact.at(x), 0.06, 10**6)
    assert said["results"]["T_k, first epoch with |x_k| ≥ 2τ"] == point["hit"].tolist()
    assert said["results"]["T_k^τ, steps in the buffer"] == point["buffered"].tolist()
    assert said["results"]["epochs"] == taken


def test_perturbed_runs_are_not_held_against_descents_promises(getkey):
    octopus = Octopus(3, L=1.0, accuracy=0.1, underflow_stops=False)
    method = train.PerturbedDescent(E / 100, E / 100, 1, getkey())
    prepared = train.prepare_objective(SaddleSystem(octopus), key=getkey(), epochs=500, method=method, looks=2)
    records = train.Log()
    looks = list(train.run(prepared, records))
    said = train.conclude(prepared, records)
    assert looks[-1].epoch < 500
    assert {c["quantity"] for c in said["promises"]} == {"in_domain"}
    assert said["results"]["perturbations inside a buffer"] == 0
    assert sum(said["results"]["perturbations at each saddle"]) >= 1
