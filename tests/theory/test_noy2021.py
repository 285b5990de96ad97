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


def test_steps():
    assert steps_to(1.0, 0.5, 0.1) == 0
    assert steps_to(0.5, 1.0, 0.5) == 1
    assert steps_to(1e-3, 1.0, 0.0) == math.inf
    assert steps_to(1e-3, 1.0, 1.0) == 1


def test_bad_sizes():
    y, net = network(0, 3, 2, 1, 8, 2)
    with pytest.raises(ValueError, match="depth: an integer of at least 1"):
        start_of(net, y, depth=0)
