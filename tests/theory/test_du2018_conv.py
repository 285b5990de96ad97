"""Theorems of chapter 5 against thousands of exact runs: what HOLDS is kept, and what must not pass does not."""

import dataclasses
import math

import numpy as np
import pytest

from globalmin.theory import Verdict, du2018_conv
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
