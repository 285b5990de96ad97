"""The theorems about gated networks: measured constants against single matrices, step sizes, attacks by descent."""

import dataclasses
import math

import numpy as np
import pytest

from globalmin._core import Estimate
from globalmin.theory import Verdict, noy2021
from globalmin.theory.curvature import gated as bounds
from globalmin.theory.noy2021.start import steps_to

from ..gated_reference import Network, build
from ..helpers import given


def spectra_of(net):
    return noy2021.measure(np.array(net.h[:-1]), np.array([net.f[k + 1] for k in range(1, net.depth + 1)]))


def start_of(net, y, gates="chain", **changes):
    s = spectra_of(net)
    n, d = net.x.shape
    zeta = [
        np.linalg.norm(net.z(i, k, low), 2)
        for i in range(n)
        for low in range(1, net.depth)
        for k in range(low, net.depth)
    ]
    numbers = {
        "n": n, "width": net.m, "depth": net.depth, "inputs": d, "outputs": len(net.b), "gates": gates,
        "alpha_x": s.alpha_x, "beta_x": s.beta_x, "alpha_y": s.alpha_y, "beta_y": s.beta_y,
        "off_diagonal": s.off_diagonal, "zeta": max([1.0, *zeta]),
        "loss_0": float(((net.outputs - y) ** 2).sum()) / 2,
    }  # fmt: skip
    return noy2021.Start(**(numbers | changes))


def network(seed, n, d, dy, m, depth, inputs=False):
    parts = build(seed, n, d, dy, m, depth, inputs)
    return parts[1], Network(parts[0], *parts[2:])


def row(certificate, part):
    """The hypothesis whose name contains `part`."""
    (found,) = [h for h in certificate.hypotheses() if part in h.name]
    return found


def test_check_values_of_the_constants():
    _, net = network(0, 5, 4, 2, 16, 3)
    s = spectra_of(net)
    assert s.alpha_x == pytest.approx(0.509087040, abs=1e-9)
    assert s.beta_x == pytest.approx(4.013776259, abs=1e-9)
    assert s.alpha_y == pytest.approx(0.122432101, abs=1e-9)
    assert s.beta_y == pytest.approx(31.62389756, abs=1e-8)
    assert s.off_diagonal == pytest.approx(24.03969672, abs=1e-8)
    assert s.ratio(5) == pytest.approx(3856.93, abs=5e-3)
    low, high = noy2021.feature_maps(net.c, net.w, np.array(net.d[0]) > 0, np.array(net.d[1:]) > 0)
    assert low == pytest.approx(0.0237388001, abs=1e-10)
    assert high == pytest.approx(14.11865651, abs=1e-8)
    assert 2 * 5 * s.off_diagonal / (low * s.alpha_y) == pytest.approx(82713.2, abs=0.1)
    values = [np.linalg.eigvalsh(net.g[k][i].T @ net.g[k][i]) for k in range(3) for i in range(5)]
    assert low == pytest.approx(min(v[0] for v in values), rel=1e-10)


def test_dominance_by_its_sums():
    _, net = network(1, 4, 3, 2, 12, 2)
    worst = 0.0
    for i in range(4):
        own = sum(
            np.linalg.eigvalsh(net.f[k + 1][i] @ net.f[k + 1][i].T)[0] * net.h[k - 1][i] @ net.h[k - 1][i]
            for k in (1, 2)
        )
        others = sum(
            abs(net.h[k - 1][i] @ net.h[k - 1][j]) * np.linalg.norm(net.f[k + 1][i] @ net.f[k + 1][j].T, 2)
            for k in (1, 2) for j in range(4) if j != i
        )  # fmt: skip
        worst = max(worst, 2 * others / own)
    assert spectra_of(net).dominance == pytest.approx(worst, rel=1e-12)


def test_edges():
    for ratio, values in {
        0.2: [(0.306, 2.094), (0.182, 2.808), (0.119, 3.456), (0.080, 4.074), (0.056, 4.674)],
        0.4: [(0.135, 2.665), (0.055, 3.905), (0.026, 5.077), (0.013, 6.221), (0.006, 7.348)],
    }.items():
        for factors, want in enumerate(values, start=1):
            assert noy2021.edges(factors, ratio) == pytest.approx(want, abs=6e-4)
    assert noy2021.edges(2, 1.5)[0] == 0
    draw = np.random.default_rng(0)  # one Gaussian factor with half of its 2000 rows: the law of Marchenko and Pastur
    g = draw.standard_normal((1000, 200)) * np.sqrt(2 / 200)
    found = np.linalg.eigvalsh(g.T @ g)[[0, -1]] * 200 / 2000
    np.testing.assert_allclose(found, noy2021.edges(1, 0.2), atol=0.13)  # Tracy-Widom: −0.03 ± 0.027, four times
    with pytest.raises(ValueError, match="factors ≥ 1"):
        noy2021.edges(0, 0.2)


def test_step_sizes_by_their_terms():
    a, b, n, depth, loss = 2.0, 3.0, 5, 4, 7.0
    spread = math.exp(0.1) / math.sqrt(0.2)
    terms = [
        a**2 / (12 * b**2 * 1.5 * depth), 1 / 12, a**2 / (4 * b**4 * depth), 1 / (b**2 * depth),
        1 / (4 * math.sqrt(2) * math.sqrt(depth) * spread * b * math.sqrt(loss)),
        a**2 / (1024 * n * math.exp(0.4) / 0.2**2 * b**2 * loss),
    ]  # fmt: skip
    assert noy2021.printed_step_size(a, b, 1.5, n, depth, loss) == pytest.approx(min(terms))
    assert noy2021.corrected_step_size(a, b, 2.0, n, depth, 1e-12) == pytest.approx(a**2 / (19 * b**4 * depth))
    assert noy2021.corrected_step_size(a, b, 2.0, 1, depth, 1e9) == pytest.approx(a**2 / (72 * depth * 36 * 1e9))


@pytest.mark.parametrize("seed", range(5))
def test_one_step_of_lemma_3(seed):
    """One or two samples, for which (17) can hold: the repaired step size decreases the loss as it says."""
    y, net = network(seed, 1 if seed < 3 else 2, 4, 1, 40, 1 + seed % 3, inputs=True)
    if seed >= 3:
        net.x[1] = -net.x[0] + 0.1 * net.x[1]
        net = Network(
            net.x / np.linalg.norm(net.x, axis=1, keepdims=True),
            net.c,
            build(seed, 2, 4, 1, 40, 1 + seed % 3, True)[3],
            net.w,
            net.b,
        )
    start = start_of(net, y)
    step = noy2021.OneStep(start, 1.0).largest_step_size
    found = noy2021.OneStep(start, step * (1 - 1e-9))
    assert noy2021.OneStep(start, step * 1.01).verdict is Verdict.FAILS
    if seed < 3:
        assert found.verdict is Verdict.HOLDS
    if found.verdict is Verdict.HOLDS:
        after = net.descended(y, found.step_size)
        loss = ((after.outputs - y) ** 2).sum() / 2
        (promise,) = found.promises()
        assert not promise.conclusion  # it is about one step
        assert loss <= promise.at(1)
        assert loss < start.loss_0.value
        assert found.iterations(1e-6) == steps_to(1e-6, start.loss_0.value, 1 - promise.factor)


@pytest.mark.parametrize("seed", range(4))
def test_descent_where_it_holds(seed):
    """Few samples, gates of the input, labels moved near the outputs: it holds, and plain descent keeps its word."""
    n, depth = 1 + seed % 2, 1 + seed // 2
    parts = list(build(seed, n, 6, 1, 60, depth, True))
    if n == 2:
        parts[0][1] = -parts[0][0]  # the patterns of antipodal inputs have nothing in common
    net = Network(parts[0], *parts[2:])
    y = net.outputs + 1e-3 * np.ones((n, 1))
    found = noy2021.Descent(start_of(net, y, "inputs"))
    assert found.verdict is Verdict.HOLDS, [h for h in found.hypotheses() if h.verdict is not Verdict.HOLDS]
    me = found.settled()
    eta, tau = given(me.step_size), given(me.tau)
    promises = {p.quantity: p for p in found.promises()}
    here, k = net, 0
    for k in range(1, 40):
        here = here.descended(y, eta)
        assert promises["loss"].kept(k, ((here.outputs - y) ** 2).sum() / 2)
        assert promises["tau"].kept(k, max(float(np.linalg.norm(a - b, 2)) for a, b in zip(here.w, net.w, strict=True)))
        assert promises["lambda_min"].kept(k, np.linalg.eigvalsh(here.jacobian @ here.jacobian.T)[0])
    ball = me.on_the_ball(tau)
    draw = np.random.default_rng(seed)
    for _ in range(10):  # the constants of the ball cover its points
        d = draw.standard_normal(net.w.shape)
        other = start_of(net.at(net.w + [tau * v / np.linalg.norm(v, 2) for v in d]), y)
        assert other.alpha_x.value >= ball.alpha_x.value
        assert other.beta_x.value <= ball.beta_x.value
        assert other.alpha_y.value >= ball.alpha_y.value
        assert other.beta_y.value <= ball.beta_y.value
        assert other.off_diagonal.value <= ball.off_diagonal.value
        assert other.zeta.value <= ball.zeta.value
    assert noy2021.Descent(found.start, step_size=1.01 * eta).verdict is Verdict.FAILS
    assert noy2021.Descent(found.start, tau=tau / 1.01).verdict is Verdict.FAILS
    far = start_of(net, net.outputs + 10.0)
    assert noy2021.Descent(far).verdict is Verdict.FAILS


def test_a_wide_ball_says_nothing():
    y, net = network(0, 6, 5, 1, 30, 3)
    start = start_of(net, y)
    found = noy2021.Descent(start)
    assert found.verdict is Verdict.FAILS
    assert found.promises() == ()
    assert found.iterations(1e-6) == math.inf
    assert start.tau == pytest.approx(4 * math.sqrt(3 * start.loss_0.value) * start.beta / (start.alpha**2 * 3))


def test_estimates_decide_at_their_worst_ends():
    _, net = network(0, 1, 4, 1, 40, 1)
    start = start_of(net, net.outputs + 0.01)
    wide = dataclasses.replace(start, alpha_x=Estimate(start.alpha_x.value, start.alpha_x.value))
    assert noy2021.Descent(start).verdict is Verdict.HOLDS
    assert noy2021.Descent(wide).verdict is not Verdict.HOLDS


def test_theorem_1_is_never_a_guarantee():
    """Not even with constants that its reader supplies: chain gates are not those of its proof; and η has no m."""
    y, net = network(0, 3, 20, 1, 60, 2)
    start = start_of(net, y, label_square=0.01)
    assert noy2021.ConvergencePrinted(start, 1e-9, 1.0).verdict is Verdict.FAILS
    free = noy2021.ConvergencePrinted(start, 1e-9, 1.0, width_constant=1e-9, depth_constant=1e-9)
    assert free.verdict is Verdict.FAILS
    assert row(free, "Ψ_k x").verdict is Verdict.FAILS
    assert free.promises() == ()
    # n = 10, d_x = 20, L = 2: η = 2.5e-4 and ηλ_max(K_0) = 2.34 at m = 200.
    y, net = network(0, 10, 20, 1, 200, 2)
    top = float(np.linalg.eigvalsh(net.jacobian @ net.jacobian.T)[-1])
    printed = noy2021.ConvergencePrinted(start_of(net, y), 2.5e-4, top)
    assert printed.printed_step_size == 2.5e-4
    found = row(printed, "λ_max(K) < 2")
    assert given(found.lhs) == pytest.approx(2.34, abs=6e-3)
    assert found.verdict is Verdict.FAILS
    assert printed.iterations(1e-3) == pytest.approx(math.log(1000 * 2 / 0.02))


def test_labels_beyond_the_bound_are_told_in_one_line():
    y, net = network(0, 3, 20, 1, 60, 2)
    start = start_of(net, y, label_square=12.0, label_row=2)
    found = start.labels()
    assert found.verdict is Verdict.FAILS
    assert "label 2 is beyond it; divide the labels by 2, or widen to m = 240" in found.note
    assert "\n" not in found.note
    assert dataclasses.replace(start, label_square=3.0).labels().verdict is Verdict.HOLDS


def test_spectra_printed_and_measured():
    _, net = network(0, 3, 20, 1, 400, 2)
    start = start_of(net, net.outputs, printed_alpha_x=0.0, printed_beta_x=1.0)
    printed = noy2021.SpectraPrinted(start)
    assert printed.verdict is Verdict.FAILS
    left = given(row(printed, "log of the failure").lhs)
    assert left == pytest.approx(math.log(3 * 4 * 20) - 0.2 * 400 / 8 + 6 * 20 + 60)
    assert noy2021.SpectraMeasured(start).verdict is Verdict.HOLDS
    assert noy2021.SpectraMeasured(dataclasses.replace(start, alpha_x=1.0)).verdict is Verdict.FAILS
    # Vacuous below, not vacuous above: 1.1e4 at θ = ½ is 3e4 at θ = 0.2; L = 2, d = 20.
    for width, verdict in ((20_000, Verdict.FAILS), (200_000, Verdict.HOLDS)):
        wide = noy2021.SpectraPrinted(dataclasses.replace(start, width=width, loss_0=0.0))
        assert row(wide, "failure").verdict is verdict


def test_decorrelation():
    assert noy2021.Decorrelation(10, Estimate(0.0398)).verdict is Verdict.HOLDS  # L = 6, orthogonal
    assert noy2021.Decorrelation(10, Estimate(0.066)).verdict is Verdict.FAILS
    _, net = network(0, 3, 20, 1, 60, 2, inputs=True)
    start = start_of(net, net.outputs, "inputs", correlation=0.1)
    found = noy2021.DecorrelationPrinted(start)
    assert found.verdict is Verdict.UNDECIDED  # C″ is not given
    assert found.order == pytest.approx(0.1 * (5 / 6) ** 2 + 60**-0.5)
    assert noy2021.DecorrelationPrinted(dataclasses.replace(start, gates="chain")).verdict is Verdict.FAILS
    assert noy2021.DecorrelationPrinted(dataclasses.replace(start, correlation=0.5)).verdict is Verdict.FAILS


def test_change_of_gradients_and_kernel():
    """R = ψ(p)/min‖∇f‖ covers sampled changes of gradients, and of kernel entries."""
    _, net = network(3, 4, 3, 1, 20, 3)
    psi = bounds.measure(
        np.array(net.h[:-1]),
        np.array([net.f[k] for k in range(2, 5)]),
        bounds.path_norms(net.w, np.array(net.d[1:]) > 0),
    )
    gradients = np.linalg.norm(net.jacobian, axis=1)
    draw, here = np.random.default_rng(0), net.jacobian @ net.jacobian.T
    for p in (1e-3, 0.02):
        change = noy2021.GradientChange(p, psi.drift(p), Estimate(float(gradients.min())))
        kernel = noy2021.KernelChange(p, psi.drift(p), Estimate(float(gradients.min())))
        r = change.ratio
        for _ in range(10):
            d = draw.standard_normal(net.w.shape)
            other = net.at(net.w + p * d / np.linalg.norm(d))
            assert (np.linalg.norm(other.jacobian - net.jacobian, axis=1) <= r * gradients * (1 + 1e-9)).all()
            moved = np.abs(other.jacobian @ other.jacobian.T - here)
            assert (moved <= (2 * r + r * r) * np.outer(gradients, gradients)).all()
        assert (change.verdict is Verdict.HOLDS) == (r <= 1)
        assert (kernel.verdict is Verdict.HOLDS) == (2 * r + r * r <= 0.5)
    assert noy2021.GradientChange(1.0, 5.0, Estimate(4.0)).verdict is Verdict.FAILS
    assert noy2021.GradientChange(1.0, 5.0, Estimate(5.1, 0.2)).verdict is Verdict.UNDECIDED
    printed = noy2021.GradientChangePrinted(start_of(net, net.outputs))
    assert printed.verdict is Verdict.UNDECIDED
    assert printed.order == pytest.approx(2 * 3 * 9 / 20**2.5)


def test_equivalence_asks_for_ranks_and_not_for_counts():
    assert noy2021.EquivalencePrinted(100, 100).verdict is Verdict.HOLDS
    found = noy2021.Equivalence(100, 100, (100, 100, 97))
    assert found.verdict is Verdict.FAILS
    assert "rank 97 at layer 2" in row(found, "rank").note
    assert noy2021.Equivalence(90, 100, (90, 90, 90)).verdict is Verdict.HOLDS
    assert noy2021.EquivalencePrinted(101, 100).verdict is Verdict.FAILS
    assert row(noy2021.Equivalence(101, 100, (100, 100)), "n ≤ m").verdict is Verdict.FAILS


def test_steps():
    assert steps_to(1.0, 0.5, 0.1) == 0
    assert steps_to(0.5, 1.0, 0.5) == 1
    assert steps_to(1e-3, 1.0, 0.0) == math.inf
    assert steps_to(1e-3, 1.0, 1.0) == 1


def test_bad_sizes():
    y, net = network(0, 3, 2, 1, 8, 2)
    with pytest.raises(ValueError, match="depth: an integer of at least 1"):
        start_of(net, y, depth=0)


def exact_start(**changes):
    """A start of numbers that no two formulas share: α_x, β_x = 0.8, 1.7, α_y, β_y = 0.6, 2.3, printed 0.5, 3.1."""
    numbers = {
        "n": 3, "width": 50, "depth": 3, "inputs": 7, "outputs": 2, "gates": "chain", "alpha_x": 0.8, "beta_x": 1.7,
        "alpha_y": 0.6, "beta_y": 2.3, "off_diagonal": 0.11, "zeta": 1.3, "loss_0": 0.9, "printed_alpha_x": 0.5,
        "printed_beta_x": 3.1, "correlation": 0.2, "label_square": 2.5, "norm_deviation": 1e-3,
    }  # fmt: skip
    return noy2021.Start(**(numbers | changes))


def sides(certificate):
    """What is compared, without the names: the rows that all theorems share at the front are left out by the callers."""
    return [(h.lhs, h.relation, h.rhs) for h in certificate.hypotheses()]


def same(found, want):
    assert [r for _, r, _ in found] == [r for _, r, _ in want]
    for (left, _, right), (a, _, b) in zip(found, want, strict=True):
        assert (left, right) == (pytest.approx(a, rel=1e-12, abs=0), pytest.approx(b, rel=1e-12, abs=0))


def printed_terms(a, b, beta_x, n, depth, loss):
    """The six of (18) with θ = 1/5, for α = a and β = b."""
    return [
        a**2 / (12 * b**2 * beta_x * depth), 1 / (3 * depth), a**2 / (4 * b**4 * depth), 1 / (b**2 * depth),
        1 / (4 * math.sqrt(2 * depth) * math.exp(0.1) * math.sqrt(5) * b * math.sqrt(loss)),
        a**2 / (1024 * n * math.exp(0.4) * 25 * b**2 * loss),
    ]  # fmt: skip


def corrected_terms(a, b, zeta, n, depth, loss):
    return [
        a**2 / (19 * b**4 * depth),
        1 / (2 * math.sqrt(3) * depth * b * zeta * math.sqrt(loss)),
        a**2 / (72 * n * depth * b**2 * zeta**2 * loss),
    ]


def test_every_term_of_the_step_sizes_is_the_smallest_somewhere():
    cases = [(1.0, 1.5, 1e4), (10.0, 0.1, 1.0), (1.0, 10.0, 1.0), (10.0, 2.0, 1.0)]
    cases = [(*c, 4, 3, 1e-12) for c in cases] + [(1e4, 2.0, 1.0, 4, 3, 1e4), (1.0, 2.0, 1.0, 4, 3, 1e4)]
    for k, case in enumerate(cases):
        terms = printed_terms(*case)
        assert np.argmin(terms) == k
        assert noy2021.printed_step_size(*case) == pytest.approx(terms[k], rel=1e-13, abs=0)
    for k, case in enumerate(((1.0, 2.0, 3.0, 4, 5, 1e-12), (100.0, 2.0, 3.0, 4, 5, 1.0), (1.0, 2.0, 3.0, 4, 5, 1e9))):
        terms = corrected_terms(*case)
        assert np.argmin(terms) == k
        assert noy2021.corrected_step_size(*case) == pytest.approx(terms[k], rel=1e-13, abs=0)


def test_rows_of_one_step_and_of_the_printed_theorems_by_their_formulas():
    start, eta = exact_start(), 1e-3
    alpha2, beta2, printed2 = 0.8 * 0.6, 1.7 * 2.3, 0.5 * 0.6
    tau = 4 * math.sqrt(3 * 0.9 * beta2) / (alpha2 * 3)
    data = [(1e-3, "<=", 1e-10), (2.5, "<=", 50 / 7)]
    one = noy2021.OneStep(start, eta)
    largest = min(corrected_terms(math.sqrt(alpha2), math.sqrt(beta2), 1.3, 3, 3, 0.9))
    same(sides(one), [(0.33, "<=", alpha2 / 2), (eta, ">", 0.0), (eta, "<=", largest)])
    printed = noy2021.OneStepPrinted(start, eta)
    largest = min(printed_terms(math.sqrt(printed2), math.sqrt(3.1 * 2.3), 3.1, 3, 3, 0.9))
    assert largest < printed_terms(math.sqrt(printed2), math.sqrt(3.1 * 2.3), 3.1, 3, 3, 0.9)[0]  # the last one binds
    same(sides(printed), [*data, (0.33, "<=", printed2 / 2), (eta, ">", 0.0), (eta, "<=", largest)])
    tiny = dataclasses.replace(start, loss_0=Estimate(1e-9))  # here β_x does
    same(sides(noy2021.OneStepPrinted(tiny, eta))[-1:], [(eta, "<=", printed2 / (12 * 3.1 * 2.3 * 3.1 * 3))])
    for found, square in ((one, alpha2), (printed, printed2)):
        (promise,) = found.promises()
        assert promise.factor == pytest.approx(1 - eta * square * 3 / 2, rel=1e-14)
        assert promise.limit == 0.9
        assert found.iterations(1e-3) == math.ceil(math.log(900) / -math.log1p(-eta * square * 3 / 2))
        # Promised is what the worst ends of the estimates leave, smaller α and a larger loss, and they move no other way.
        worse = dataclasses.replace(
            start, alpha_x=Estimate(0.8, 0.1), alpha_y=Estimate(0.6, 0.1), printed_alpha_x=Estimate(0.5, 0.1),
            loss_0=Estimate(0.9, 0.1),
        )  # fmt: skip
        (promise,) = dataclasses.replace(found, start=worse).promises()
        assert promise.factor == pytest.approx(1 - eta * (0.7 if found is one else 0.4) * 0.5 * 3 / 2, rel=1e-14)
        assert promise.limit == 1.0
        assert dataclasses.replace(found, step_size=0.0).promises() == ()  # no decrease: nothing is said
    theorem = noy2021.ConvergencePrinted(start, eta, 3.0, width_constant=0.5, depth_constant=2.0)
    step = 7 / (3**4 * 3**3 * 2)
    same(sides(theorem), [
        *data, (3, ">=", 2 * math.log(3)), (50, ">=", 0.5 * 9 * 3 * 2), (0, ">=", 1), (0.33, "<=", alpha2 / 2),
        (3**1.5 * tau, "<", 1.0), (eta, "<=", step), (3 * step, "<", 2.0),
    ])  # fmt: skip
    assert theorem.iterations(1e-2) == pytest.approx(math.log(27 * 3 / 0.07))
    same(sides(noy2021.GradientChangePrinted(start, 2.0)), [*data, (50, ">=", 2.0 * 3 * 7 * 4 * 27)])
    assert noy2021.GradientChangePrinted(start).order == pytest.approx(math.sqrt(3) * 7 * 36 / 50**2.5)
    change = noy2021.KernelChange(0.3, 0.2, Estimate(0.8))
    same(sides(change), [(0.25, "<=", 1.0), (0.5625, "<=", 0.5)])
    # R = 0.22 is good for 0.49, and not where ‖∇f‖ can be smaller.
    assert noy2021.KernelChange(0.3, 0.22, Estimate(1.0)).verdict is Verdict.HOLDS
    assert noy2021.KernelChange(0.3, 0.22, Estimate(1.0, 0.05)).verdict is Verdict.UNDECIDED
    order = 27 * tau**2 + 0.2 * (5 / 6) ** 3 + 50**-0.5
    rows = [
        *data, (0.2, "<=", 1 / 3), (0, ">=", 1), (3**1.5 * tau, "<", 1.0), (0.11 / beta2, "<=", 1.5 * order)
    ]  # fmt: skip
    same(sides(noy2021.DecorrelationPrinted(start, 1.5)), rows)
    same(sides(noy2021.Decorrelation(3, Estimate(0.1))), [(0.3, "<=", 0.5)])


def test_rows_of_the_spectra_by_their_formulas():
    start = exact_start()
    tau = 4 * math.sqrt(3 * 0.9 * 1.7 * 2.3) / (0.8 * 0.6 * 3)
    failure = math.log(3 * 9 * math.sqrt(50)) - 0.2 * 50 / 12 + 6 * math.sqrt(50) + 21
    left = 3 * 3 * tau * math.sqrt(36) * math.exp(0.4) / math.sqrt(0.2)
    printed = noy2021.SpectraPrinted(start, 0.2)
    same(sides(printed)[2:], [(failure, "<=", math.log(0.2)), (left, "<=", 1 / 9)])
    want = {"alpha_x": 50 / 84, "beta_x": 27 * 50 / 28, "alpha_y": 50 / 24, "beta_y": 27 * 50 / 8}
    for promise in printed.promises():
        assert promise.limit == pytest.approx(want[promise.quantity], rel=1e-14)
        assert promise.relation == (">=" if "alpha" in promise.quantity else "<=")
    same(sides(noy2021.SpectraMeasured(start)), [
        (0.8, ">=", 50 / 84), (1.7, "<=", 1350 / 28), (0.6, ">=", 50 / 24), (2.3, "<=", 1350 / 8),
    ])  # fmt: skip


def test_constants_of_the_ball_and_its_promises_by_their_formulas():
    start, tau, eta = exact_start(loss_0=1e-6), 0.01, 1e-4
    grown = 1.013**3
    q = grown - 1
    alpha2 = (math.sqrt(0.8) - q * math.sqrt(1.7)) ** 2 * (math.sqrt(0.6) - q * math.sqrt(2.3)) ** 2
    beta2, off = 1.7 * 2.3 * grown**4, 0.11 + 1.7 * 2.3 * (grown**4 - 1)
    needed = 4 * math.sqrt(3e-6 * beta2) / (alpha2 * 3)
    largest = min(corrected_terms(math.sqrt(alpha2), math.sqrt(beta2), 1.3 * grown, 3, 3, 1e-6))
    found = noy2021.Descent(start, eta, tau)
    assert found.on_the_ball(tau).zeta.value == pytest.approx(1.3 * grown, rel=1e-14)
    same(sides(found), [
        (tau, ">=", needed), (3 * off, "<=", alpha2 / 2), (eta, ">", 0.0), (eta, "<=", largest),
    ])  # fmt: skip
    loss, lowest, far = found.promises()
    assert loss.factor == pytest.approx(1 - eta * alpha2 * 3 / 2, rel=1e-14)
    assert lowest.limit == pytest.approx(alpha2 * 3 / 2, rel=1e-12)
    assert far.limit == tau
    assert found.iterations(1e-8) == math.ceil(math.log(100) / -math.log1p(-eta * alpha2 * 3 / 2))
    # The ball that is found closes, and is hardly larger than it must be: each round grows by a thousandth.
    chosen = noy2021.Descent(start).settled()
    at = chosen.on_the_ball(given(chosen.tau)).tau
    assert at <= given(chosen.tau) <= 1.0011 * at


def test_numbers_of_the_start_by_their_formulas():
    start = exact_start(label_square=18.0)
    assert start.printed_alpha == pytest.approx(math.sqrt(0.3))
    assert start.printed_beta == pytest.approx(math.sqrt(3.1 * 2.3))
    assert "by 1.59, or widen to m = 126" in start.labels().note
    assert start.analysed_gates().verdict is Verdict.FAILS
    assert exact_start(gates="low-rank").analysed_gates().verdict is Verdict.FAILS
    assert exact_start(gates="inputs").analysed_gates().verdict is Verdict.HOLDS
    assert steps_to(1e-3, 1.0, 0.4) == math.ceil(math.log(1000) / -math.log(0.6))
    assert steps_to(0.5, 0.5, 0.0) == 0  # there already
    # One output: pairs of features and adjoints that point apart count by their size, and the layers' extremes as one.
    h, f = (
        np.array([[[1.0, 0.0], [-3.0, 4.0]], [[2.0, 0.0], [0.5, 0.0]]]),
        np.array([[[[1.0, 0.0]], [[-2.0, 1.0]]]] * 2),
    )
    found = noy2021.measure(h, f)
    assert (found.alpha_x, found.beta_x, found.alpha_y, found.beta_y) == (0.25, 25.0, 1.0, 5.0)
    assert found.off_diagonal == 6.0  # |−3| |−2| of the first layer; the second has 1 · 2
    assert found.gamma == pytest.approx(6 / 125)
    assert found.ratio(2) == pytest.approx(4 * 6 / 0.25)
    assert found.dominance == pytest.approx(2 * 8 / 5)  # of the first sample: 1 + 4 against the other's 125 + 1.25


def test_printed_maps_are_those_of_every_layer_and_sample():
    _, net = network(4, 3, 3, 1, 14, 3)
    values = [np.linalg.eigvalsh(net.g[k][i].T @ net.g[k][i]) for k in range(3) for i in range(3)]
    low, high = noy2021.feature_maps(net.c, net.w, np.array(net.d[0]) > 0, np.array(net.d[1:]) > 0)
    assert low == pytest.approx(min(v[0] for v in values), rel=1e-9)
    assert high == pytest.approx(max(v[-1] for v in values), rel=1e-12)
