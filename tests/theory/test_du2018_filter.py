"""Theorems of chapter 6: their step sizes and rates against descent on closed forms, and starts that must not pass."""

import dataclasses
import math

import numpy as np
import pytest

from globalmin import Estimate
from globalmin.theory import Verdict, du2018_filter
from tests.helpers import given


def gaussian(phi):
    """γ(φ), L(φ) of N(0, I) and one patch; β = 1/π."""
    return (math.pi - phi - math.sin(phi)) / (2 * math.pi), (math.pi - phi + math.sin(phi)) / (2 * math.pi)


def neuron(distance, step_size, **change):
    gamma, _ = gaussian(math.asin(distance))
    start = du2018_filter.Start(
        patches=1, dimension=3, distance=distance, gamma=Estimate(gamma),
        largest=Estimate(max(gaussian(x)[1] for x in np.linspace(0, math.asin(distance), 50))),
        boundary=Estimate(1 / math.pi), cross=Estimate(0.0), step_size=step_size,
    )  # fmt: skip
    return dataclasses.replace(start, **change)


def descend(w, step_size, steps):
    """Gradient descent on one Gaussian neuron, w* = e₁, by the closed form in NumPy; the squared distances."""
    star, squares = np.eye(3)[0], []
    for _ in range(steps):
        squares.append(np.sum((w - star) ** 2))
        r = np.linalg.norm(w)
        phi = math.acos(np.clip(w @ star / r, -1, 1))
        w = w - step_size * (w / 2 - ((math.pi - phi) * star + math.sin(phi) * w / r) / (2 * math.pi))
    return np.array(squares)


@pytest.mark.parametrize("distance", [0.3, 0.8, 0.95])
def test_one_neuron_keeps_its_rate(distance):
    """At the largest steps of both statements, from the worst side: the ratios that each promises, every step."""
    rng = np.random.default_rng(0)
    gamma, slope = neuron(distance, 1.0).gamma.value, neuron(distance, 1.0).slope
    for share, rate in ((1.0, 1.0), (0.5, 1.5)):
        eta = share * gamma / slope**2 * (1 - 1e-12)
        theorem = du2018_filter.OneNeuron(neuron(distance, eta))
        assert theorem.verdict is Verdict.HOLDS
        promised = {p.quantity: p for p in theorem.promises()}
        assert promised["squared_ratio"].limit == pytest.approx(1 - rate * eta * gamma, rel=1e-12)
        for _ in range(6):
            direction = rng.standard_normal(3)
            squares = descend(np.eye(3)[0] + distance * direction / np.linalg.norm(direction), eta, 60)
            assert np.all(squares[1:] <= promised["squared_ratio"].limit * squares[:-1] * (1 + 1e-9))
            assert all(promised["distance_ratio"].kept(t, math.sqrt(x)) for t, x in enumerate(squares))
    assert du2018_filter.OneNeuronPrinted(neuron(distance, gamma / slope**2)).verdict is Verdict.FAILS
    assert du2018_filter.OneNeuronPrinted(neuron(distance, 0.4 * gamma / slope**2)).verdict is Verdict.HOLDS


def test_what_the_rates_do_not_cover():
    good = neuron(0.8, 0.01)
    assert du2018_filter.OneNeuron(good).verdict is Verdict.HOLDS
    assert du2018_filter.ManyPatches(good).verdict is Verdict.HOLDS
    for change in (
        {"distance": 1.0}, {"step_size": 1.0}, {"step_size": 0.0}, {"sampled": True}, {"gamma": Estimate(-0.1)},
    ):  # fmt: skip
        for kind in (du2018_filter.OneNeuron, du2018_filter.OneNeuronPrinted, du2018_filter.ManyPatches):
            theorem = kind(dataclasses.replace(good, **change))
            assert theorem.verdict is Verdict.FAILS, (kind, change)
            assert theorem.promises() == ()
    many = dataclasses.replace(good, patches=3)
    assert du2018_filter.OneNeuron(many).verdict is Verdict.FAILS
    assert du2018_filter.OneNeuronPrinted(many).verdict is Verdict.FAILS
    # An extreme over some filters only is no proof, and an estimate that can be on either side no verdict.
    for change in ({"complete": False}, {"gamma": Estimate(0.05, 0.06)}):
        assert du2018_filter.ManyPatches(dataclasses.replace(good, **change)).verdict is Verdict.UNDECIDED
    assert du2018_filter.ManyPatches(dataclasses.replace(good, cross=Estimate(0.05))).verdict is Verdict.FAILS
    searched = dataclasses.replace(good, complete=False, cross=Estimate(0.05))
    assert du2018_filter.ManyPatches(searched).verdict is Verdict.FAILS


def test_many_patches_count_their_steps():
    """The number of steps that the rate implies is enough for the factor, and one less is not."""
    theorem = du2018_filter.ManyPatches(neuron(0.8, 0.02))
    steps = int(given(theorem.steps(1e-3)))
    assert 0.8 * theorem.factor ** (steps / 2) <= 1e-3 < 0.8 * theorem.factor ** ((steps - 1) / 2)
    assert theorem.steps(0.9) == 0
    printed = du2018_filter.ManyPatchesPrinted(neuron(0.8, 0.01), Estimate(0.3))
    assert printed.verdict is Verdict.HOLDS
    # Patches at ±80° or both at 0°: γ(0) = 0 below γ(20°) = 0.12, which the printed statement takes for the least.
    start = neuron(math.sin(math.radians(20)), 0.01, gamma=Estimate(0.0))
    assert du2018_filter.ManyPatches(start).verdict is Verdict.FAILS
    assert du2018_filter.ManyPatchesPrinted(start, Estimate(0.12)).verdict is Verdict.HOLDS


def stochastic(**change):
    defaults = dict(
        start=neuron(0.3, 1e-5, sampled=True), angle_1=0.9, norm=1.0, gradient_bound=math.sin(0.9), accuracy=0.3,
        delta=0.1, steps=300_000,
    )  # fmt: skip
    return du2018_filter.StochasticDescent(**{**defaults, **change})


def test_stochastic_descent_repaired():
    held = stochastic().planned()
    assert held is not None
    start, steps = held.start, held.steps
    assert held.verdict is Verdict.HOLDS
    assert start.step_size <= held.largest_step
    assert stochastic(gradient_bound=math.inf).planned() is None
    assert stochastic(start=dataclasses.replace(start, cross=Estimate(0.1))).planned() is None
    assert stochastic(angle_1=0.2).planned() is None
    (promise,) = held.promises()
    assert (promise.quantity, promise.limit, promise.start) == ("distance_ratio", 0.3, steps)
    for change in (
        {"steps": steps // 2}, {"gradient_bound": math.inf}, {"angle_1": 0.2}, {"angle_1": 1.7}, {"delta": 1e-6},
        {"accuracy": 1e-4}, {"start": dataclasses.replace(start, step_size=3 * start.step_size)},
        {"start": dataclasses.replace(start, cross=Estimate(0.1))},
    ):  # fmt: skip
        assert stochastic(**{"start": start, "steps": steps, **change}).verdict is Verdict.FAILS, change
    printed = du2018_filter.StochasticDescentPrinted(start, 0.3, 1.0, 1.0)
    assert printed.verdict is Verdict.UNDECIDED
    for name in ("accuracy", "delta"):
        with pytest.raises(ValueError, match=f"{name}: a number strictly between 0 and 1"):
            stochastic(**{name: 1.0})


def test_stochastic_descent_ends_where_it_is_promised():
    """100 runs of one neuron on the circle with single samples, as long as the theorem asks: at most 2δ of them fail."""
    delta, accuracy, r, phi_1 = 0.1, 0.4, 0.5, 1.0
    gamma = (math.pi - phi_1 - math.sin(phi_1)) / (4 * math.pi)  # on the circle: half the Gaussian's
    start = du2018_filter.Start(
        1, 2, r, Estimate(gamma), Estimate(0.25), Estimate(1 / (2 * math.pi)), Estimate(0.0), 1.0
    )
    theorem = du2018_filter.StochasticDescent(start, phi_1, 1.0, math.sin(phi_1), accuracy, delta, 1).planned()
    assert theorem is not None
    eta = theorem.start.step_size
    rng, w = np.random.default_rng(5), np.tile([1.0, r], (100, 1))
    for _ in range(theorem.steps):
        angle = rng.uniform(0, 2 * math.pi, 100)
        z = np.stack([np.cos(angle), np.sin(angle)], 1)
        on = np.sum(w * z, axis=1)
        w -= eta * ((np.maximum(on, 0) - np.maximum(z[:, 0], 0)) * (on >= 0))[:, None] * z
    failed = np.sum(np.linalg.norm(w - [1.0, 0.0], axis=1) > accuracy)
    assert failed <= 2 * delta * 100


def test_exact_labels_leave_no_noise():
    start = neuron(0.5, 0.1)
    theorem = du2018_filter.RealizableDescent(start, Estimate(1.0))
    assert theorem.verdict is Verdict.HOLDS
    assert theorem.factor == pytest.approx(1 - 0.2 * start.margin + 0.01)
    assert du2018_filter.RealizableDescent(start, Estimate(3.0)).verdict is Verdict.FAILS
    assert du2018_filter.RealizableDescent(start, Estimate(math.inf)).verdict is Verdict.FAILS


def test_exact_labels_in_batches():
    """s = min{R⁴, slope² + R⁴/b}, above which a step gains nothing."""
    start = neuron(0.5, 0.1)
    for batch in (1, 4, 10**6):
        for longest in (0.9, 2.0):
            theorem = du2018_filter.RealizableDescent(start, Estimate(longest), batch)
            square = min(longest**4, start.slope**2 + longest**4 / batch)
            assert theorem.factor == pytest.approx(1 - 0.2 * start.margin + 0.01 * square)
            for share, verdict in ((1 - 1e-9, Verdict.HOLDS), (1 + 1e-9, Verdict.FAILS)):
                at = dataclasses.replace(start, step_size=share * 2 * start.margin / square)
                found = du2018_filter.RealizableDescent(at, Estimate(longest), batch)
                assert found.verdict is verdict
                assert (found.factor < 1) == (verdict is Verdict.HOLDS)


def test_adaptive_steps_as_a_certificate():
    good = neuron(0.8, 0.01)
    theorem = du2018_filter.AdaptiveDescent(good, 0.01)
    assert theorem.verdict is Verdict.HOLDS
    promised = {p.quantity: p for p in theorem.promises()}
    assert promised["ratio_share"].limit == 1
    assert promised["squared_ratio"].limit == pytest.approx(1 - 0.015 * good.margin, rel=1e-12)
    for change in (
        {"distance": 1.0}, {"step_size": 0.011}, {"step_size": 0.0}, {"sampled": True}, {"cross": Estimate(0.05)},
    ):  # fmt: skip
        found = du2018_filter.AdaptiveDescent(dataclasses.replace(good, **change), 0.01)
        assert found.verdict is Verdict.FAILS, change
        assert found.promises() == ()
    searched = du2018_filter.AdaptiveDescent(dataclasses.replace(good, complete=False), 0.01)
    assert searched.verdict is Verdict.UNDECIDED


def test_converges_closeness_and_random_starts():
    make = du2018_filter.Converges
    assert make(1, Estimate(0.1), 1.5, Estimate(0.2), Estimate(0.25)).verdict is Verdict.HOLDS
    assert make(2, Estimate(0.1), 1.5, Estimate(0.2), Estimate(0.25)).verdict is Verdict.FAILS
    assert make(1, Estimate(0.0), 1.5, Estimate(0.2), Estimate(0.25)).verdict is Verdict.FAILS
    assert make(1, Estimate(0.1), 1.5, Estimate(0.3), Estimate(0.25)).verdict is Verdict.FAILS
    assert make(1, Estimate(0.1), 1.5, Estimate(0.25), Estimate(0.25)).verdict is Verdict.FAILS
    assert make(1, Estimate(0.1, 0.2), 1.5, Estimate(0.2), Estimate(0.25)).verdict is Verdict.UNDECIDED
    assert make(1, Estimate(0.1), 1.5, Estimate(0.2), Estimate(0.25, 0.1)).verdict is Verdict.UNDECIDED
    close = du2018_filter.Closeness
    assert close(Estimate(0.3), Estimate(0.1), Estimate(0.03)).verdict is Verdict.HOLDS
    assert close(Estimate(0.3), Estimate(0.1), Estimate(0.034)).verdict is Verdict.FAILS  # 6 L_cross = 0.204
    # The counterexample to Theorem 6.5: γ_avg ≈ ½, but half of the inputs disagree.
    assert close(Estimate(0.5), Estimate(0.5), Estimate(0.0)).verdict is Verdict.FAILS
    assert close(Estimate(0.3), Estimate(0.1), Estimate(0.03), False).verdict is Verdict.UNDECIDED
    alpha = 1 / math.sqrt(8 * math.pi * 5)
    random = du2018_filter.RandomStart(5, alpha, 1.5)
    assert random.verdict is Verdict.HOLDS
    assert random.probability == pytest.approx(0.416, abs=5e-4)
    assert random.printed_probability == pytest.approx(0.25)
    for other in (
        du2018_filter.RandomStart(5, 0.3, 1.5), du2018_filter.RandomStart(5, alpha, 1.2),
        du2018_filter.RandomStart(5, alpha, None), du2018_filter.RandomStart(5, 0.0, 1.5),
    ):  # fmt: skip
        assert other.verdict is Verdict.FAILS


def test_bad_numbers_are_refused():
    for change in ({"patches": 0}, {"dimension": 0}, {"distance": -0.1}, {"distance": math.nan}):
        with pytest.raises(ValueError, match="expected"):
            dataclasses.replace(neuron(0.5, 0.1), **change)


def turns_at(make, limit):
    """HOLDS just below the limit of the step size and FAILS just above."""
    assert make(limit * (1 - 1e-9)).verdict is Verdict.HOLDS
    assert make(limit * (1 + 1e-9)).verdict is Verdict.FAILS


def test_where_each_step_size_turns_and_what_is_promised():
    """γ = 0.4, L = 0.5, β = 0.3, L_cross = 0.02: margin 0.28, slope 1.9; for one neuron 0.4/(0.5 + 1.2)²."""
    base = du2018_filter.Start(3, 4, 0.5, Estimate(0.4), Estimate(0.5), Estimate(0.3), Estimate(0.02), 0.01)
    assert base.margin == pytest.approx(0.28)
    assert base.slope == pytest.approx(1.9)

    def at(kind, eta, *more, **change):
        return kind(dataclasses.replace(base, step_size=eta, **change), *more)

    single = {"patches": 1, "cross": Estimate(0.0)}
    turns_at(lambda eta: at(du2018_filter.OneNeuron, eta, **single), 0.4 / 1.7**2)
    turns_at(lambda eta: at(du2018_filter.OneNeuronPrinted, eta, **single), 0.4 / 1.7**2 / 2)
    turns_at(lambda eta: at(du2018_filter.ManyPatches, eta), 0.28 / 1.9**2 / 2)
    turns_at(lambda eta: at(du2018_filter.ManyPatchesPrinted, eta, Estimate(0.3)), 0.18 / 1.9**2 / 2)
    for cross, verdict in ((0.4 / 6 * (1 - 1e-9), "HOLDS"), (0.4 / 6 * (1 + 1e-9), "FAILS")):
        for kind in (du2018_filter.ManyPatches, du2018_filter.AdaptiveDescent):
            more = (1.0,) if kind is du2018_filter.AdaptiveDescent else ()
            rows = {h.name: h.verdict for h in at(kind, 1e-12, *more, cross=Estimate(cross)).hypotheses()}
            assert rows["γ > 6 L_cross"] == verdict
    promised = {p.quantity: p for p in at(du2018_filter.ManyPatches, 0.03).promises()}
    assert promised["inner_ratio"].limit == pytest.approx(0.28)
    assert promised["gradient_ratio"].limit == pytest.approx(1.9)
    assert promised["angle_within"].limit == 1
    factor = 1 - 1.5 * 0.03 * 0.28
    assert at(du2018_filter.ManyPatches, 0.03).factor == pytest.approx(factor)
    assert promised["squared_ratio"].limit == pytest.approx(factor)
    assert promised["distance_ratio"].factor == pytest.approx(math.sqrt(factor))
    assert promised["distance_ratio"].limit == pytest.approx(0.5)
    printed = {p.quantity: p for p in at(du2018_filter.OneNeuronPrinted, 0.03, **single).promises()}
    assert printed["squared_ratio"].limit == pytest.approx(1 - 0.03 * 0.4 / 2)


def test_where_each_condition_of_stochastic_descent_turns():
    """B = 0.2, ε = 0.3, δ = 0.1, ‖w*‖ = 2, φ₁ = 0.9: every inequality by its formula, written anew."""
    start = du2018_filter.Start(
        2, 3, 0.4, Estimate(0.3), Estimate(0.5), Estimate(0.2), Estimate(0.01), 1e-3, sampled=True
    )
    theorem = du2018_filter.StochasticDescent(start, 0.9, 2.0, 0.2, 0.3, 0.1, 5000)
    gamma, r_0, r_1, eta = 0.24, 0.8, 2 * math.sin(0.9), 1e-3
    room, step = r_1**2 - r_0**2, 4 * eta * 0.2 * r_1 + eta**2 * 0.04
    rows = [(h.lhs, h.rhs) for h in theorem.hypotheses()]
    want = [
        (0.9, math.pi / 2), (gamma, 0.0), (r_0, r_1), (eta, 0.0), (2 * eta * gamma, 1.0),
        (eta, 0.1 * 0.09 * gamma * 4 / 0.04), (eta * gamma * room**2 / step**2, math.log(5000 / 0.1)),
        (5000, math.log(2 * r_0**2 / (0.1 * 0.09 * 4)) / (2 * eta * gamma)),
    ]  # fmt: skip
    np.testing.assert_allclose(np.array(rows, float), want, rtol=1e-12)
    assert theorem.largest_step == pytest.approx(want[5][1])
    # With a start nearer than the noise's floor ηB²/2γ₁ that floor is what the ball's radius exceeds.
    near = dataclasses.replace(theorem, start=dataclasses.replace(start, distance=1e-3, step_size=0.5))
    floor = 0.5 * 0.04 / (2 * gamma)
    exit_margin = 0.5 * gamma * (r_1**2 - floor) ** 2 / (4 * 0.5 * 0.2 * r_1 + 0.25 * 0.04) ** 2
    assert near.hypotheses()[6].lhs == pytest.approx(exit_margin)
