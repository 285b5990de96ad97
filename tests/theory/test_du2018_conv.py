"""Theorems of chapter 5 against thousands of exact runs: what HOLDS is kept, and what must not pass does not."""

import dataclasses
import math

import numpy as np
import pytest

from globalmin.theory import Verdict, du2018_conv
from globalmin.theory.du2018_conv import phases
from tests.helpers import given

GOOD = du2018_conv.Start(
    patches=4, teacher_total=1.0, square=1.0, angle=1.0, filter_norm=1.0, total=0.3, alignment=0.4,
    output_gap=0.9, output_norm=0.3, step_size=0.3,
)  # fmt: skip
BAD = dataclasses.replace(GOOD, teacher_total=0.1, angle=2.5, total=-0.05, alignment=-0.3)


def g(phi):
    return (math.pi - phi) * math.cos(phi) + math.sin(phi)


def runs(rng, count, k, cosine, sign, largest, steps):
    """Plain loops of the gradient step in full dimension, independent of the library; yields numbers and series."""
    for _ in range(count):
        s = rng.standard_normal(k) * 10 ** rng.uniform(-0.5, 0.5)
        if sign < 0:
            s = s - s.mean() + rng.uniform(0, 0.15) * np.linalg.norm(s) / k
        total, square = s.sum(), s @ s
        a = rng.standard_normal(k)
        a *= abs(total) / math.sqrt(k) * rng.uniform() ** (1 / k) / np.linalg.norm(a)
        a *= sign * np.sign(a @ s)
        v = np.array([sign * cosine(rng), 0.0])
        v[1] = math.sqrt(1 - v[0] ** 2)
        eta = largest(k, total, square)
        start = du2018_conv.Start(
            k, total, square, math.acos(v[0]), 1.0, a.sum(), a @ s,
            float(np.linalg.norm(a - s)), float(np.linalg.norm(a)), eta,
        )  # fmt: skip
        angles, aligned, lengths, totals, losses, gaps = [], [], [], [], [], []
        for _ in range(steps):
            r = np.hypot(*v)
            phi = math.atan2(abs(v[1]), v[0])
            angles.append(phi)
            aligned.append(a @ s)
            lengths.append(r)
            totals.append(a.sum())
            gap = a - s
            losses.append(
                (gap.sum() ** 2 + (math.pi - 1) * gap @ gap + 2 * (math.pi - g(phi)) * (a @ s)) / (4 * math.pi)
            )
            gaps.append(np.linalg.norm(gap))
            pull = (math.pi - phi) * (a @ s) / (2 * math.pi * r)
            side = np.array([1 - v[0] ** 2 / r**2, -v[0] * v[1] / r**2])
            flat = (gap.sum() + (math.pi - 1) * gap + (math.pi - g(phi)) * s) / (2 * math.pi)
            v, a = v + eta * pull * side, a - eta * flat
        yield start, *(np.array(x) for x in (angles, aligned, lengths, totals, losses, gaps))


def proved(k, total, square):
    return min(2 * math.pi / (k + math.pi - 1), math.sqrt(2) / (square + total**2))


def test_two_phases_are_kept_by_every_run_for_which_they_hold():
    rng = np.random.default_rng(0)
    reached = 0
    for start, phi, aligned, r, total, _loss, gap in runs(rng, 40, 4, lambda g: g.uniform(0.02, 0.99), 1, proved, 400):
        theorem = du2018_conv.TwoPhases(start)
        assert theorem.verdict is Verdict.HOLDS
        assert du2018_conv.GlobalBasin(start).verdict is not Verdict.HOLDS or phi[-1] < phi[0]
        assert np.all(np.diff(phi) <= 1e-12)
        assert np.all(np.abs(total) <= abs(start.teacher_total) * (1 + 1e-12))
        assert np.all(aligned >= start.least_alignment * (1 - 1e-12))
        assert np.all(aligned <= start.bound)
        assert np.all(r**2 <= 2)
        named = {p.name: p for p in theorem.promises()}
        rate = named["sin²φ at the theorem's rate"]
        assert all(rate.kept(t, math.sin(x) ** 2) for t, x in enumerate(phi) if x > 1e-7)
        contract = du2018_conv.OutputContracts(start)
        assert all(gap[t] <= contract.bound(t) * (1 + 1e-12) for t in (1, 5, 30, 100, 399))
        t_a, t_1, t_2 = theorem.turning_steps, theorem.slow_steps, theorem.fast_steps
        assert t_a is not None
        assert t_1 is not None
        assert t_2 is not None
        if t_a < 400:
            assert phi[t_a] <= math.pi / 4
        if t_1 < 400:
            reached += 1
            assert aligned[t_1] >= 0.3206 * start.square * 0.9999
            assert np.all(phi[t_1:][1:] ** 2 <= phi[t_1:][:-1] ** 2)
    assert reached >= 10


def test_the_fast_phase_ends_in_time():
    """The loss at T₁ + T₂ of the explicit corollary, from a loop long enough to get there."""
    rng = np.random.default_rng(1)
    for start, *_, loss, _ in runs(rng, 4, 3, lambda g: g.uniform(0.8, 0.99), 1, proved, 4000):
        theorem = du2018_conv.TwoPhases(start, accuracy=1e-3)
        end = given(theorem.slow_steps) + given(theorem.fast_steps)
        if end < 4000:
            assert loss[int(end)] <= 1e-3 * start.square
        assert loss[-1] < 1e-3 * start.square


def test_starts_and_steps_that_the_theorem_excludes_do_not_pass():
    assert du2018_conv.TwoPhases(GOOD).verdict is Verdict.HOLDS
    for change in (
        {"alignment": -0.1}, {"alignment": 2.1}, {"angle": 1.6}, {"total": -1.01}, {"filter_norm": 0.5},
        {"step_size": 1.03}, {"step_size": 0.8}, {"step_size": 0.0}, {"sampled": True},
    ):  # fmt: skip
        theorem = du2018_conv.TwoPhases(dataclasses.replace(GOOD, **change))
        assert theorem.verdict is Verdict.FAILS, change
        assert theorem.promises() == ()
    printed = du2018_conv.TwoPhasesPrinted(GOOD)
    assert printed.verdict is Verdict.UNDECIDED
    assert du2018_conv.TwoPhasesPrinted(GOOD, 1e3).verdict is Verdict.HOLDS
    assert du2018_conv.TwoPhasesPrinted(GOOD, 1e-3).verdict is Verdict.FAILS
    # As printed the bound on 1ᵀa lacks the factor ‖w*‖: with ‖w*‖ = 2 the same sums are within it or not.
    longer = dataclasses.replace(GOOD, teacher_norm=2.0, total=0.7)
    assert du2018_conv.TwoPhasesPrinted(longer, 1e3).verdict is Verdict.FAILS
    assert du2018_conv.TwoPhases(longer).verdict is Verdict.HOLDS


def test_the_first_factor_of_the_step_size_is_needed():
    """At 2.5 times the largest step some start leaves an invariant: the bound on η is no decoration."""
    rng = np.random.default_rng(2)
    broken = 0
    for start, phi, _aligned, _r, total, *_ in runs(
        rng, 30, 4, lambda g: g.uniform(0.02, 0.99), 1, lambda *x: 2.5 * proved(*x), 60
    ):
        assert du2018_conv.TwoPhases(start).verdict is Verdict.FAILS
        broken += bool(np.any(np.diff(phi) > 1e-9) or np.any(np.abs(total) > 1.0001 * abs(start.teacher_total)))
    assert broken


def test_spurious_runs_stay_where_they_are():
    rng = np.random.default_rng(3)
    held = basins = 0
    step = lambda k, total, square: min(2 * math.pi / (k + math.pi - 1), 4 / square)  # noqa: E731
    for start, phi, aligned, _r, _total, loss, _ in runs(rng, 60, 5, lambda g: g.uniform(0.2, 0.99), -1, step, 300):
        theorem = du2018_conv.Spurious(start)
        if theorem.verdict is Verdict.HOLDS:
            held += 1
            assert np.all(aligned < 0)
            assert np.all(np.diff(phi) >= -1e-12)
            for promise in theorem.promises():
                if promise.quantity == "loss":
                    assert promise.limit == pytest.approx(0.1332645 * start.square, rel=1e-6)
                    assert np.all(loss >= promise.limit)
        basin = du2018_conv.SpuriousBasin(start)
        if basin.verdict is Verdict.HOLDS:
            basins += 1
            assert np.all(aligned < 0)
            assert np.all(np.diff(phi) >= -1e-12)
            assert phi[-1] > phi[0]
    assert held >= 20
    assert basins >= 10


def test_basins_exclude_the_other_side_and_unproved_steps():
    assert du2018_conv.GlobalBasin(GOOD).verdict is Verdict.HOLDS
    assert du2018_conv.Spurious(BAD).verdict is Verdict.HOLDS
    assert du2018_conv.SpuriousBasin(BAD).verdict is Verdict.HOLDS
    assert du2018_conv.GlobalBasin(BAD).verdict is Verdict.FAILS
    assert du2018_conv.SpuriousBasin(GOOD).verdict is Verdict.FAILS
    for change in (
        {"alignment": 0.1}, {"angle": 1.4}, {"total": 0.2}, {"step_size": 1.6}, {"sampled": True}, {"filter_norm": 0.9},
        {"teacher_total": 1.9},
    ):  # fmt: skip
        for kind in (du2018_conv.Spurious, du2018_conv.SpuriousBasin):
            theorem = kind(dataclasses.replace(BAD, **change))
            assert theorem.verdict is Verdict.FAILS, (kind, change)
            assert theorem.promises() == ()
    # ρ above K/π: the spurious point does not attract, whatever the start.
    assert du2018_conv.SpuriousBasin(dataclasses.replace(BAD, teacher_total=2.0)).verdict is Verdict.FAILS
    # Beyond π/2 sin²φ grows while φ falls, so the contraction of Lemma 5.5 is not claimed there.
    assert du2018_conv.AngleContracts(dataclasses.replace(GOOD, angle=1.6)).verdict is Verdict.FAILS
    # Beyond π/2 the trapping set still proves the global minimum where Theorem 5.3 is silent.
    wide = dataclasses.replace(GOOD, teacher_total=1.6, angle=1.65, alignment=0.5, step_size=0.2)
    assert du2018_conv.TwoPhases(wide).verdict is Verdict.FAILS
    assert du2018_conv.GlobalBasin(wide).verdict is Verdict.HOLDS
    assert du2018_conv.SpuriousPrinted(BAD).verdict is Verdict.UNDECIDED
    assert du2018_conv.SpuriousPrinted(BAD, 0.5).verdict is Verdict.HOLDS


def test_random_starts():
    assert du2018_conv.RandomStart(GOOD).verdict is Verdict.HOLDS
    assert du2018_conv.RandomStart(BAD).verdict is Verdict.FAILS  # ‖a⁰‖ = 0.3 outside |S|/√k = 0.05
    nothing = dataclasses.replace(GOOD, teacher_total=0.0, total=0.0, alignment=0.0, output_norm=0.0)
    assert du2018_conv.RandomStart(nothing).verdict is Verdict.FAILS


def test_lemmas_of_one_step():
    """Each on random states, kept by the step computed from the gradient; and silent where its step size is too large."""
    rng = np.random.default_rng(4)
    counts = dict.fromkeys(("angle", "contracts", "positive", "total", "grows"), 0)
    for start, phi, aligned, _r, total, *_ in runs(
        rng, 300, 3, lambda g: g.uniform(-0.9, 0.99), 1, lambda k, s, n: 10 ** rng.uniform(-1, 1.3), 2
    ):
        sine = np.sin(phi) ** 2
        if du2018_conv.AngleShrinks(start).verdict is Verdict.HOLDS:
            counts["angle"] += 1
            assert phi[1] <= phi[0] + 1e-12
        if du2018_conv.AngleContracts(start).verdict is Verdict.HOLDS:
            counts["contracts"] += 1
            kappa = start.step_size * start.pull
            assert sine[1] <= (1 - kappa * math.cos(phi[0])) * sine[0] * (1 + 1e-12) + 1e-15
        if du2018_conv.AlignmentStaysPositive(start).verdict is Verdict.HOLDS:
            counts["positive"] += 1
            assert aligned[1] > 0
        if du2018_conv.TotalStaysBelow(start).verdict is Verdict.HOLDS:
            counts["total"] += 1
            assert abs(total[1]) <= abs(start.teacher_total) * (1 + 1e-12)
        lemma = du2018_conv.AlignmentGrows(start)
        if lemma.verdict is Verdict.HOLDS:
            counts["grows"] += 1
            assert lemma.least_after - 1e-12 * start.bound <= aligned[1] <= start.bound * (1 + 1e-12)
    assert min(counts.values()) >= 20, counts
    big = dataclasses.replace(GOOD, step_size=40.0)
    for kind in (
        du2018_conv.AngleShrinks, du2018_conv.AngleContracts, du2018_conv.AlignmentStaysPositive, du2018_conv.TotalStaysBelow,
        du2018_conv.AlignmentGrows, du2018_conv.OutputContracts,
    ):  # fmt: skip
        assert kind(big).verdict is Verdict.FAILS


def test_the_sum_of_the_output_weights_arrives_in_time():
    start = dataclasses.replace(GOOD, angle=0.2, step_size=0.3)
    lemma = du2018_conv.TotalConverges(start, accuracy=0.1)
    assert lemma.verdict is Verdict.HOLDS
    gap = abs(start.total - start.teacher_total)
    for _ in range(lemma.steps):  # the worst angle throughout
        gap = (1 - 0.3 * start.scale / (2 * math.pi)) * gap + 0.3 / (2 * math.pi) * start.gap * abs(start.teacher_total)
    assert gap <= 2 * 0.1
    assert du2018_conv.TotalConverges(dataclasses.replace(start, angle=0.5), accuracy=0.1).verdict is Verdict.FAILS
    assert du2018_conv.TotalConverges(dataclasses.replace(start, total=1.0), accuracy=0.1).steps == 0
    near = dataclasses.replace(GOOD, angle=0.01, total=1.0, alignment=1.0, output_gap=0.01)
    assert du2018_conv.LossBound(near, accuracy=1e-3).verdict is Verdict.HOLDS
    assert du2018_conv.LossBound(near, accuracy=1e-5).verdict is Verdict.FAILS


def test_a_teacher_without_length_is_refused():
    for change in ({"square": 0.0}, {"teacher_norm": 0.0}, {"patches": 0}):
        with pytest.raises(ValueError, match="expected"):
            dataclasses.replace(GOOD, **change)


def test_constants_of_the_proof():
    """½(g(π/4) − 1)/(π − 1) and (3/4)·0.3206/(2·2)·√½ as the source's corollary prints them, and the numbers of a start."""
    assert abs(phases.QUARTER_ALIGNMENT - 0.3206) < 5e-5
    assert abs(phases.FAST_RATE - 0.0425) < 5e-5
    start = du2018_conv.Start(3, -0.8, 0.5, 1.1, 1.3, -0.3, 0.45, 0.6, 0.5, 0.1, teacher_norm=2.0)
    g = (math.pi - 1.1) * math.cos(1.1) + math.sin(1.1)
    assert start.ratio == pytest.approx(0.64 / 0.5)
    assert start.g == pytest.approx(g, rel=1e-14)
    assert start.gap == pytest.approx(math.pi - g, rel=1e-14)
    assert start.edge == pytest.approx(0.64 + (g - 1) * 0.5)
    assert start.side == pytest.approx(0.24)
    assert dataclasses.replace(start, total=0.3).side == pytest.approx(-0.24)
    assert start.pull == pytest.approx((math.pi - 1.1) * 0.45 / (2 * math.pi * 1.69))
    assert start.least_alignment == pytest.approx((g - 1) * 0.5 / (math.pi - 1))
    assert dataclasses.replace(start, alignment=0.01).least_alignment == 0.01


@pytest.mark.parametrize("teacher", [(4, 1.0, 1.0), (60, 6.0, 0.7), (60, 0.05, 2.0), (9, 0.0, 1.0), (2, 1.4, 1.0)])
@pytest.mark.parametrize("accuracy", [1e-6, 1e-2, 0.5])
def test_how_long_the_phases_are(teacher, accuracy):
    """T₁ and T₂ by their formulas, the quadratic for q solved in closed form; and T₂ against the bounds run step by step."""
    k, total, square = teacher
    bound, scale = square + total**2, k + math.pi - 1
    eta = 0.5 * min(2 * math.pi / scale, math.sqrt(2) / bound)
    gap = 3.0 * math.sqrt(square)
    start = du2018_conv.Start(k, total, square, 1.2, 1.0, 0.0, 0.02, gap, 0.5, eta)
    theorem = du2018_conv.TwoPhases(start, accuracy)
    beta = min(0.02, ((math.pi - 1.2) * math.cos(1.2) + math.sin(1.2) - 1) / (math.pi - 1) * square)
    turning = math.ceil(8 * math.log(2) / (eta * beta * math.cos(1.2)))
    assert theorem.turning_steps == turning
    assert theorem.slow_steps == turning + math.ceil(2 * math.pi * math.log(2) / (eta * (math.pi - 1)))
    a, b = 4 * total**2 / scale**2 + 4 * square / (math.pi - 1), 2 * bound
    q = (math.sqrt(b * b + 16 * math.pi * accuracy * square * a) - b) / (2 * a)
    fast = 3 / 4 * 0.320566 / 4 * math.sqrt(0.5) * eta * square
    settle = max(math.log(3 * (math.pi - 1) / q), math.log(2 * scale / q) if total else 0.0)
    want = max(math.log(math.pi**3 / 32 / q), 0.0) / fast + max(settle, 0.0) * 2 * math.pi / (eta * (math.pi - 1))
    steps = given(theorem.fast_steps)
    assert abs(steps - want) <= 2 + 2e-5 * want  # two ceilings, and the constant's six digits
    # Worst cases of everything: sin²φ at its rate from ½, u and a at their starting bounds, aᵀs = M.
    u_gap, a_gap, sine = 2 * abs(total), gap, 0.5
    for _ in range(int(steps)):
        angle_gap = min(math.pi**3 / 16 * sine, math.pi)
        u_gap = (1 - eta * scale / (2 * math.pi)) * u_gap + eta / (2 * math.pi) * angle_gap * abs(total)
        a_gap = (1 - eta * (math.pi - 1) / (2 * math.pi)) * a_gap + eta / (2 * math.pi) * angle_gap * math.sqrt(square)
        sine *= 1 - phases.FAST_RATE * eta * square
    loss = u_gap**2 + (math.pi - 1) * a_gap**2 + 2 * math.pi**3 / 16 * sine * bound
    assert loss / (4 * math.pi) <= accuracy * square


def test_the_printed_orders_of_the_step_size():
    """Each of the four orders under the minimum is the smallest in turn: the hypothesis turns exactly there."""
    starts = {
        "alignment": dict(alignment=1e-3, teacher_norm=2.0),
        "arc": dict(angle=math.pi / 2 - 1e-3, square=0.05, alignment=0.9, teacher_total=0.1, total=0.0),
        "cosine": dict(angle=1.2, square=1.9, alignment=1.9, teacher_total=0.1, total=0.0),
        "patches": dict(angle=0.3, square=0.05, alignment=0.05, teacher_total=0.01, total=0.0, patches=400),
    }
    for name, change in starts.items():
        s = dataclasses.replace(GOOD, **change)
        g, cosine = s.g, math.cos(s.angle)
        length = s.square / s.teacher_norm**2
        orders = {
            "alignment": s.alignment / s.teacher_norm * cosine / s.bound, "arc": (g - 1) * length * cosine / s.bound,
            "cosine": cosine / s.bound, "patches": 1 / s.patches,
        }  # fmt: skip
        assert min(orders, key=orders.__getitem__) == name, orders
        for share, verdict in ((1 - 1e-9, Verdict.HOLDS), (1 + 1e-9, Verdict.FAILS)):
            at = dataclasses.replace(s, step_size=share * orders[name])
            rows = du2018_conv.TwoPhasesPrinted(at, 1.0).hypotheses()
            assert rows[-1].verdict is verdict, (name, share)


def test_what_the_theorems_promise():
    """The limits of every promise, by name, for a start that holds."""
    theorem = du2018_conv.TwoPhases(GOOD, 1e-3)
    beta, n = GOOD.least_alignment, GOOD.square
    limits = {p.name: (p.limit, p.factor, p.start) for p in theorem.promises()}
    t_1 = given(theorem.slow_steps)
    assert limits["aᵀs ≥ β⁰"][0] == beta > 0
    assert limits["aᵀs ≤ ‖s‖² + (1ᵀs)²"][0] == n + GOOD.teacher_total**2
    assert limits["‖v‖² ≤ 2"][0] == 2
    assert limits["λ ≥ β⁰/8"][0] == beta / 8
    rate = 1 - GOOD.step_size * beta * math.cos(GOOD.angle) / 8
    assert limits["sin²φ at the theorem's rate"][:2] == pytest.approx((math.sin(GOOD.angle) ** 2, rate), rel=1e-14)
    assert limits["aᵀs ≥ 0.3206‖s‖² after T₁"] == (pytest.approx(0.3206 * n, abs=5e-5 * n), 1.0, t_1)
    assert limits["ℓ ≤ ε‖s‖² after T₁ + T₂"] == (1e-3 * n, 1.0, t_1 + given(theorem.fast_steps))


def test_every_row_by_its_formula():
    """k = 3, S = −0.8, N = 0.5, φ = 1.1, ‖v‖ = 1.3, u = −0.3, P = 0.45, ‖a − s‖ = 0.6, ‖a‖ = 0.5, η = 0.1, ‖w*‖ = 2."""
    start = du2018_conv.Start(3, -0.8, 0.5, 1.1, 1.3, -0.3, 0.45, 0.6, 0.5, 0.1, teacher_norm=2.0)
    arc, scale, bound, ratio = g(1.1), 2 + math.pi, 1.14, 1.28
    gap, side, edge = math.pi - arc, 0.24, 0.64 + (arc - 1) * 0.5
    pull, rate = (math.pi - 1.1) * 0.45 / (2 * math.pi * 1.69), 0.1 * (math.pi - 1) / (2 * math.pi)
    population, unit, small = (1, ">=", 1), (0.3, "<=", 1e-10), (0.3, "<=", 0.8)
    positive, output, turn = (0.1, ">", 0), (0.1, "<=", 2 * math.pi / scale), (0.1, "<=", math.sqrt(2) / bound)
    aligned, opposed, below = (0.45, ">", 0), (0.45, "<", 0), (0.45, "<=", bound)
    separating = (scale - math.pi * ratio) / (scale - ratio)
    steps = [population, unit, small, below, positive, output, turn]
    theorems = [
        (du2018_conv.TwoPhases(start), [
            population, unit, aligned, below, small, (1.1, "<", math.pi / 2), positive, output, turn,
        ]),
        (du2018_conv.RandomStart(start), [(0.5, "<=", 0.8 / math.sqrt(3)), aligned, (math.cos(1.1), ">", 0)]),
        (du2018_conv.Spurious(start), [
            population, unit, opposed, (0.45, "<=", 0.5), small, (arc, "<=", 1 - 2 * ratio), positive, output,
            (0.1, "<=", 8.0),
        ]),
        (du2018_conv.SpuriousPrinted(start, 0.3), [population, (ratio, "<", 0.3), (0.1, "<", scale / (2 * math.pi))]),
        (du2018_conv.GlobalBasin(start), [*steps, aligned, (arc, ">", separating), (side, "<=", edge)]),
        (du2018_conv.SpuriousBasin(start), [
            *steps, (ratio, "<", scale / math.pi), opposed, (arc, "<", separating), (side, ">=", edge),
        ]),
        (du2018_conv.AngleShrinks(start), [population, positive, aligned, (0.1 * pull, "<=", 2.0)]),
        (du2018_conv.AngleContracts(start), [
            population, positive, aligned, (1.1, "<=", math.pi / 2), (0.1 * pull * math.cos(1.1), "<=", 1.0),
        ]),
        (du2018_conv.AlignmentStaysPositive(start), [
            population, positive, aligned, (side, "<=", 0.64), (1.1, "<", math.pi / 2),
            (0.1, "<", 2 * math.pi / (math.pi - 1)),
        ]),
        (du2018_conv.TotalStaysBelow(start), [population, positive, small, output]),
        (du2018_conv.AlignmentGrows(start), [population, positive, small, below, output]),
        (du2018_conv.TotalConverges(start, 0.4), [population, (gap, "<=", 0.4 * math.sqrt(0.5) / 0.8), positive, output]),
        (du2018_conv.OutputContracts(start), [population, positive, output]),
        (du2018_conv.LossBound(start, 0.4), [
            (0.25 + (math.pi - 1) * 0.36 + 2 * gap * 0.45, "<=", 4 * math.pi * 0.4 * 0.5),
        ]),
    ]  # fmt: skip
    for theorem, want in theorems:
        rows = theorem.hypotheses()
        assert [h.relation for h in rows] == [relation for _, relation, _ in want], theorem
        found = np.array([(h.lhs, h.rhs) for h in rows], float)
        np.testing.assert_allclose(found, [(left, right) for left, _, right in want], rtol=1e-12, err_msg=repr(theorem))
    # aᵀs falls to its target, or rises towards it by a share.
    target = (arc - 1) * 0.5 / (math.pi - 1)
    assert du2018_conv.AlignmentGrows(start).least_after == pytest.approx(target)
    lower = dataclasses.replace(start, alignment=0.1)
    assert du2018_conv.AlignmentGrows(lower).least_after == pytest.approx(0.1 + rate * (target - 0.1))
    away = math.log(0.5 / (0.4 * math.sqrt(0.5)))
    assert du2018_conv.TotalConverges(start, 0.4).steps == math.ceil(2 * math.pi / (0.1 * scale) * away)
    floor = gap * math.sqrt(0.5) / (math.pi - 1)
    assert du2018_conv.OutputContracts(start).bound(3) == pytest.approx((1 - rate) ** 3 * 0.6 + floor)
    back = dataclasses.replace(start, step_size=-0.1)  # ascent: nothing of it is true
    for theorem, _ in theorems:
        if any(h.name == "η > 0" for h in theorem.hypotheses()):
            assert dataclasses.replace(theorem, start=back).verdict is Verdict.FAILS
