"""Theorems on Neural ODEs: their bounds on random parameters, their verdicts on inputs that must not pass, their runs."""

import dataclasses
import inspect
import math
from typing import Any

import numpy as np
import pytest
import scipy.integrate

from globalmin._core import Estimate
from globalmin.theory import AbstractCertificate, Verdict, erratum, gao2025

FUNCTIONS = {
    "tanh": (np.tanh, lambda h: 1 - np.tanh(h) ** 2, (1.0, 4 / (3 * math.sqrt(3)), 2.0), 0.0),
    "softplus": (
        lambda h: np.logaddexp(0, h), lambda h: 1 / (1 + np.exp(-h)), (1.0, 0.25, math.sqrt(3) / 18), math.log(2),
    ),
}  # fmt: skip


class ODE:
    """States and adjoints of one network by SciPy, its norms and its gradients per sample."""

    def __init__(self, parts, x, name="tanh", horizon=1.0, layers=10):
        self.u, self.w, self.v = parts
        self.x, self.name, self.horizon, self.layers = x, name, horizon, layers
        self.m = m = len(self.v)
        phi, slope, _, _ = FUNCTIONS[name]
        sw = sv = 1 / math.sqrt(m)
        times = np.linspace(0, horizon, 21)
        states, adjoints, gradients = [], [], []
        for row in x:
            forward = scipy.integrate.solve_ivp(
                lambda _, h: sw * self.w @ phi(h), (0, horizon), self.u @ row, rtol=1e-10, atol=1e-12, dense_output=True
            )
            end = forward.sol(horizon)

            def back(t, state, forward=forward):
                h, lam = forward.sol(t), state[:m]
                return np.concatenate([-slope(h) * (sw * self.w.T @ lam), -np.outer(lam, phi(h)).ravel()])

            first = np.concatenate([sv * self.v * slope(end), np.zeros(m * m)])
            backward = scipy.integrate.solve_ivp(back, (horizon, 0), first, rtol=1e-10, atol=1e-12, dense_output=True)
            states.append(forward.sol(times).T)
            adjoints.append(backward.sol(times)[:m].T)
            last = backward.sol(0.0)
            gradients.append(np.concatenate([np.outer(last[:m], row).ravel(), sw * last[m:], sv * phi(end)]))
        self.states, self.adjoints, self.gradients = np.array(states), np.array(adjoints), np.array(gradients)

    @classmethod
    def draw(cls, seed, m=6, n=3, d=3, size=1.0, **more):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(n, d))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        return cls([size * rng.normal(size=s) for s in ((m, d), (m, m), (m,))], x, **more)

    def residual_network(self):
        """Gradients per sample of the L-layer network, row by row."""
        phi, slope, _, _ = FUNCTIONS[self.name]
        s, dt = 1 / math.sqrt(self.m), self.horizon / self.layers
        found = []
        for row in self.x:
            h = [self.u @ row]
            for _ in range(self.layers):
                h.append(h[-1] + dt * s * self.w @ phi(h[-1]))
            lam = s * self.v * slope(h[-1])
            by_w = np.zeros_like(self.w)
            for state in reversed(h[:-1]):
                by_w += s * dt * np.outer(lam, phi(state))
                lam = lam + dt * slope(state) * (s * self.w.T @ lam)
            found.append(np.concatenate([np.outer(lam, row).ravel(), by_w.ravel(), s * phi(h[-1])]))
        return np.array(found)

    def start(self, **changes):
        _, _, (slope, bend, third), phi0 = FUNCTIONS[self.name]
        kernel = self.gradients @ self.gradients.T
        values = np.linalg.eigvalsh(kernel)
        numbers: dict[str, Any] = {
            "n": len(self.x), "width": self.m, "layers": self.layers, "lambda_0": values[0], "limit_0": values[0],
            "readout_0": values[0] / 5, "lambda_max": values[-1], "rho_0": 0.1, "norm_u": np.linalg.norm(self.u, 2),
            "norm_w": np.linalg.norm(self.w, 2), "norm_v": np.linalg.norm(self.v), "norm_x": np.linalg.norm(self.x, 2),
            "norm_x_f": np.linalg.norm(self.x), "v_max": abs(self.v).max(),
            "w_column": np.linalg.norm(self.w, axis=0).max(), "x_max": 1.0, "u_scale": 1.0, "sigma_w": 1.0,
            "sigma_v": 1.0, "horizon": self.horizon, "slope": slope, "bend": bend, "third": third, "phi0": phi0,
            "activation": self.name,
        }  # fmt: skip
        estimated = {"lambda_0", "limit_0", "readout_0", "lambda_max", "rho_0"}
        numbers = {k: v if k in estimated or isinstance(v, str | int) else float(v) for k, v in numbers.items()}
        return gao2025.Start(**(numbers | changes))


def largest(rows):
    return float(np.linalg.norm(rows, axis=-1).max())


CASES = [(seed, name, size) for seed in range(4) for name in FUNCTIONS for size in (0.3, 1.0, 2.0)]


@pytest.mark.parametrize(("seed", "name", "size"), CASES)
def test_groenwall_bounds_are_never_violated(seed, name, size):
    """Lemmas 17 and 18 and Proposition 2 on random parameters, and between two networks at several distances."""
    one = ODE.draw(seed, name=name, size=size, horizon=[0.5, 1.0, 2.0][seed % 3])
    start = one.start()
    assert gao2025.Growth(start, largest(one.states), largest(one.adjoints)).verdict is Verdict.HOLDS
    network = one.residual_network()
    gap = largest(network - one.gradients)
    kernel_gap = float(np.abs(network @ network.T - one.gradients @ one.gradients.T).max())
    found = gao2025.GradientGap(start, gap, kernel_gap)
    assert found.verdict is Verdict.HOLDS
    rng = np.random.default_rng(seed)
    for far in (1e-3, 0.5):
        moves = [far * rng.normal(size=p.shape) for p in (one.u, one.w, one.v)]
        two = ODE(
            [p + d for p, d in zip((one.u, one.w, one.v), moves, strict=True)], one.x, name=name, horizon=one.horizon
        )
        du, dw, dv = (float(np.linalg.norm(d)) for d in moves)
        state, adjoint = largest(two.states - one.states), largest(two.adjoints - one.adjoints)
        found = gao2025.Sensitivity(start, two.start(), du, dw, dv, state, adjoint)
        assert found.verdict is Verdict.HOLDS


def test_larger_differences_than_the_bounds_fail():
    """The certificates compare: a state, a distance or a gap beyond the bound is seen."""
    one = ODE.draw(0)
    start = one.start()
    assert gao2025.Growth(start, 1.01 * start.states(1.0), 0.0).verdict is Verdict.FAILS
    assert gao2025.Growth(start, 0.0, 1.01 * start.adjoints(0.0)).verdict is Verdict.FAILS
    gap, kernel = gao2025.GradientGap(start, 0.0, 0.0).constants
    assert gao2025.GradientGap(start, 1.01 * gap, 0.0).verdict is Verdict.FAILS
    assert gao2025.GradientGap(start, 0.0, 1.01 * kernel).verdict is Verdict.FAILS
    same = gao2025.Sensitivity(start, start, 0.0, 0.0, 0.0, 1e-12, 0.0)
    assert same.verdict is Verdict.FAILS


def test_c6_softplus_exceeds_the_printed_growth():
    """Small U, so that what φ(0) feeds in dominates."""
    parts = [np.full((4, 1), 1e-3), np.ones((4, 4)), np.ones(4)]
    one = ODE(parts, np.ones((1, 1)), name="softplus")
    printed = np.linalg.norm(parts[0], 2) * math.exp(np.linalg.norm(parts[1], 2) / 2)
    assert largest(one.states) > 10 * printed
    start = one.start()
    found = gao2025.GrowthPrinted(start, largest(one.states), largest(one.adjoints))
    assert found.verdict is Verdict.FAILS
    assert gao2025.Growth(start, largest(one.states), largest(one.adjoints)).verdict is Verdict.HOLDS


def test_c7_the_printed_constant_grows_with_the_width_and_the_corrected_one_does_not():
    for width in (20, 80):
        start = ODE.draw(0, m=width).start()
        du = 1.0  # in units of its own
        corrected = gao2025.Sensitivity(start, start, du, 0.0, 0.0, 0.0, 0.0).bounds[0] / start.grown(1.0)
        assert corrected == pytest.approx(1.0)
        assert start.norm_u.value * start.norm_w.value > width


def test_entrywise_norms_give_the_square_root_of_the_width():
    """C8: with the same entries, ‖λ − λ̄‖ per unit of dU falls like m^{-1/2}: entries of v count, not its length."""
    small = ODE.draw(1, m=50, n=1, horizon=0.01).start()
    large = dataclasses.replace(small, width=200, norm_v=2 * small.norm_v.value, norm_w=2 * small.norm_w.value)

    def slope(s):
        return gao2025.Sensitivity(s, s, 1.0, 0.0, 0.0, 0.0, 0.0).bounds[1]

    assert slope(large) < 0.55 * slope(small)


GENERAL: dict[str, Any] = {
    "layers": 7, "width": 9, "n": 3, "horizon": 1.4, "u_scale": 0.7, "sigma_w": 1.3, "sigma_v": 0.8, "slope": 1.1, "bend": 0.6,
    "third": 0.9, "phi0": 0.4, "norm_u": 2.1, "norm_w": 1.7, "norm_v": 3.1, "norm_x": 1.3, "norm_x_f": 1.9, "v_max": 1.6,
    "w_column": 1.2, "x_max": 1.05,
}  # fmt: skip
"""A network of which no number is 1 and no two are equal."""


def general(**changes):
    return ODE.draw(0).start(**(GENERAL | changes))


def integrated(rate, first, time):
    """y(time) of y′ = rate(t, y), y(0) = first, by SciPy."""
    return float(scipy.integrate.solve_ivp(rate, (0, time), [first], rtol=1e-11, atol=1e-13).y[0, -1])


def test_right_sides_solve_their_differential_inequalities():
    """Lemmas 17 and 18, Proposition 2 and Lemma 2: each bound is the solution of the equation that its proof integrates."""
    s, t = general(), 1.4
    w, v = 1.3 / 3, 0.8 / 3  # σ_w/√m, σ_v/√m
    g, root = w * 1.7, 3.0  # growth per unit of sup|φ′|, √m

    def state(time, first=0.7 * 2.1 * 1.05, count=1.0):
        """d‖h‖ ≤ (σ_w‖W‖/√m)(sup|φ′|‖h‖ + |φ(0)|√m), for `count` samples together."""
        return integrated(lambda _, h: g * (1.1 * h + 0.4 * root * math.sqrt(count)), first, time)

    def feature(time):
        return 1.1 * state(time) + 0.4 * root

    def adjoint(time):
        return integrated(lambda _, a: 1.1 * g * a, v * 1.1 * 3.1, t - time)

    for time in (0.3, t):
        assert s.states(time) == pytest.approx(state(time), rel=1e-8)
        assert s.features(time) == pytest.approx(feature(time), rel=1e-8)
        assert s.adjoints(t - time) == pytest.approx(adjoint(t - time), rel=1e-8)
    spread = w * 1.2  # the columns of W are shorter than ‖W‖
    assert s.spread == pytest.approx(spread)
    assert general(w_column=5.0).spread == pytest.approx(g)

    # Lemma 18, the second network larger in all.
    other = general(norm_w=1.9, v_max=2.2, norm_v=3.6, norm_u=2.5, w_column=1.3)
    du, dw, dv, rate = 0.03, 0.05, 0.07, 1.1 * w * 1.9
    first = 1.1 * 0.7 * 2.1 * 1.05 + 0.4 * root  # features of the smaller at 0
    apart = integrated(lambda at, y: rate * y + w * dw * first * math.exp(rate * at), 0.7 * du * 1.05, t)
    largest_adjoint = v * 1.1 * 3.6 * math.exp(rate * t)
    b = w * 1.3 * largest_adjoint
    back = integrated(
        lambda at, y: rate * y + w * dw * 1.1 * v * 1.1 * 3.6 * math.exp(rate * at) + 0.6 * b * apart,
        v * (1.1 * dv + 0.6 * 2.2 * apart), t,
    )  # fmt: skip
    for pair in ((s, other), (other, s)):
        found = gao2025.Sensitivity(*pair, du, dw, dv, 0.0, 0.0).bounds
        np.testing.assert_allclose(found, (apart, back), rtol=1e-8)

    # Proposition 2: local errors Δ²/2 times the second derivative, per unit of Δ.
    rate, f, lam = 1.1 * g, feature(t), adjoint(0.0)
    speed, b = g * f, spread * lam
    c_h = integrated(lambda _, y: rate * (y + speed / 2), 0.0, t)
    source = 0.6 * b * (c_h + speed / 2) + rate**2 * lam / 2
    c_l = integrated(lambda _, y: rate * y + source, v * 0.6 * 1.6 * c_h, t)
    by_w = t * w * (c_l * f + lam * 1.1 * c_h + (rate * lam * f + lam * 1.1 * speed) / 2)
    gap = t / 7 * math.sqrt((v * 1.1 * c_h) ** 2 + (0.7 * 1.05 * c_l) ** 2 + by_w**2)
    size = math.sqrt((v * f) ** 2 + (0.7 * 1.05 * lam) ** 2 + (t * w * lam * f) ** 2)
    # The rate of λ: e^{ωT} of its value at T, and (e^{ωT} − 1)/ω of the source.
    np.testing.assert_allclose(gao2025.GradientGap(s, 0.0, 0.0).constants, (gap, 2 * size * gap + gap**2), rtol=1e-8)

    bound, times = s.curvature(), t / 7 * np.arange(8)
    np.testing.assert_allclose(bound.feature_max, [feature(x) for x in times[:-1]], rtol=1e-8)
    every = [1.1 * state(x, 0.7 * 2.1 * 1.9, 3.0) + 0.4 * root * math.sqrt(3) for x in times[:-1]]
    np.testing.assert_allclose(bound.features_norm, every, rtol=1e-8)
    np.testing.assert_allclose(bound.adjoint_max, [adjoint(x) for x in times], rtol=1e-8)
    np.testing.assert_allclose(bound.b_max, [spread * adjoint(x) for x in times[1:]], rtol=1e-8)
    np.testing.assert_allclose(bound.b_bend, [0.6 * spread * adjoint(x) for x in times[1:]], rtol=1e-8)
    assert bound.readout_bend == pytest.approx(0.6 * 1.6)
    assert (bound.step, bound.u_scale, bound.w_norm, bound.data_norm, bound.data_max) == (t / 7, 0.7, 1.7, 1.3, 1.05)
    np.testing.assert_allclose((bound.w_scale, bound.v_scale), (w, v), rtol=1e-15)


def test_without_smoothness_the_bounds_are_silent_and_not_infinite_comparisons():
    start = ODE.draw(0).start
    rough, wild = start(bend=math.inf, third=math.inf), start(slope=math.inf, bend=math.inf)
    assert gao2025.Growth(rough, 0.0, 0.0).verdict is Verdict.HOLDS  # kinks do not matter to it
    assert gao2025.Growth(wild, 0.0, 0.0).verdict is Verdict.FAILS
    for one in (rough, wild):
        assert gao2025.GradientGap(one, 0.0, 0.0).verdict is Verdict.FAILS
        assert gao2025.Sensitivity(one, one, 0.0, 0.0, 0.0, 0.0, 0.0).verdict is Verdict.FAILS


def test_exploding_numbers_are_infinite_bounds_and_no_errors():
    """σ_w = 1,000: a Python power would raise OverflowError where a product is infinite."""
    s = general(norm_w=1e6, rho_0=1e200, lambda_max=1e250, lambda_0=1e150, limit_0=1e120)
    assert s.loss == math.inf
    for kind in (gao2025.Lemma16Printed, gao2025.Theorem3Printed, gao2025.GradientDescent, gao2025.GlobalConvergence):
        assert kind(s, 1e-250).verdict is not Verdict.HOLDS
        assert all(p.quantity != "" for p in kind(s, 1e-250).promises())
    assert gao2025.BlockFlow(s).verdict is Verdict.FAILS
    assert gao2025.GradientGap(s, 0.0, math.nan).verdict is not Verdict.HOLDS


def test_printed_growth_is_decided_by_each_of_its_conditions():
    s = ODE.draw(0).start()
    grown = math.exp(s.norm_w.value / math.sqrt(6))
    h, lam = grown * s.norm_u.value, grown * s.norm_v.value / math.sqrt(6)

    def printed(start=s, state=h * 0.999, adjoint=lam * 0.999):
        return gao2025.GrowthPrinted(start, state, adjoint).verdict

    assert printed() is Verdict.HOLDS
    assert printed(state=h * 1.001) is Verdict.FAILS
    assert printed(adjoint=lam * 1.001) is Verdict.FAILS
    assert printed(dataclasses.replace(s, phi0=0.1)) is Verdict.FAILS
    for change in ({"slope": 0.9}, {"sigma_v": 2.0}, {"u_scale": 0.5}):
        assert printed(dataclasses.replace(s, **change)) is Verdict.FAILS


def test_promises_are_the_formulas():
    """Rates and distances of the printed theorems, and of the repaired ones from their certificate."""
    s = ODE.draw(2, size=0.5).start(rho_0=0.3, lambda_0=0.05, limit_0=0.08)
    eta, x = 1e-3, s.norm_x.value
    loss = 0.045
    lemma, *blocks = gao2025.Lemma16Printed(s, eta, constant=2.0).promises()
    assert (lemma.limit, lemma.factor) == (pytest.approx(loss), pytest.approx((1 - eta * 0.05 / 8) ** 2))
    np.testing.assert_allclose([b.limit for b in blocks], 2 * x * 0.3 / 0.05)
    assert {b.quantity for b in blocks} == {"distance_readout", "distance_hidden", "distance_inject"}
    theorem, far = gao2025.Theorem3Printed(s, eta, constant=2.0).promises()
    assert (theorem.limit, theorem.factor) == (pytest.approx(loss), pytest.approx(1 - eta * 0.08 / 16))
    assert far.limit == pytest.approx(2 * x * math.sqrt(loss / 0.08))
    # n ≥ K‖X‖⁴‖r₀‖²/λ₀³ and η ≤ 1/‖X‖², on both sides.
    for kind, lam in ((gao2025.Lemma16Printed, 0.05), (gao2025.Theorem3Printed, 0.08)):
        edge = s.width * lam**3 / (x**4 * 0.09)
        assert kind(s, eta, constant=0.999 * edge).verdict is Verdict.HOLDS
        assert kind(s, eta, constant=1.001 * edge).verdict is Verdict.FAILS
        assert kind(s, 0.999 / x**2, constant=1e-9).verdict is Verdict.HOLDS
        assert kind(s, 1.001 / x**2, constant=1e-9).verdict is Verdict.FAILS
    printed = gao2025.InitialGramPrinted(s, 0.999 * s.width * 0.08**2 / s.n**2)
    assert printed.verdict is Verdict.HOLDS
    assert dataclasses.replace(printed, width_constant=1.001 * s.width * 0.08**2 / s.n**2).verdict is Verdict.FAILS


def test_promises_of_the_repaired_theorems_are_those_of_their_certificates():
    s = ODE.draw(2, size=0.5).start(rho_0=1e-9)
    eta = 0.2 / s.lambda_max.value
    bound = s.curvature()
    descent = gao2025.GradientDescent(s, eta)
    solved = descent.worst().solved()
    assert solved is not None
    # By hand from the norms: β² = λ_max, Λ on a ball too small to matter, h = Λ‖r₀‖/(cλ₀).
    whole = bound.lipschitz(0.0)
    c = 1 - eta * s.lambda_max.value / 2 - eta * whole * 1e-9 / 2
    assert solved.c == pytest.approx(c, rel=1e-6)
    # The certificate takes the better of both blocks: no worse than all parameters alone, and no better than both might be.
    assert solved.h is not None
    assert 0.3 * whole * 1e-9 / (c * s.lambda_0.value) < solved.h <= 1.05 * whole * 1e-9 / (c * s.lambda_0.value)
    assert solved.curvature == pytest.approx(whole, rel=0.02)  # on the ball, a little beyond its radius
    assert solved.beta == pytest.approx(math.sqrt(s.lambda_max.value), rel=1e-6)  # and the travel's share
    values = {p.name: p for p in descent.promises()}
    assert solved.rate is not None
    assert values["loss at rate (1 − cησ_∞²)²"].factor == pytest.approx(solved.rate**2, rel=1e-12)
    assert values["λ_min(K_θ) ≥ σ_∞²"].limit == pytest.approx(s.lambda_0.value, rel=0.02)  # the ball is rounded up
    whole_theorem = gao2025.GlobalConvergence(s, eta)
    loss, far = whole_theorem.promises()
    assert loss.factor == pytest.approx(1 - eta * s.limit_0.value / 16, rel=1e-12)
    assert far.limit == pytest.approx(solved.radius, rel=1e-6)
    # cσ_∞² ≥ λ₀/16 decides alone where λ_min(K_θ(0)) ≥ λ₀/2 is near its edge and c is small.
    assert dataclasses.replace(whole_theorem, step_size=1.9 / s.lambda_max.value).verdict is Verdict.FAILS
    flow = gao2025.BlockFlow(s)
    by_flow = {p.quantity: p for p in flow.promises()}
    assert by_flow["lambda_min_features"].limit == pytest.approx(s.readout_0.value, rel=0.02)
    assert by_flow["loss"].factor == pytest.approx(math.exp(-2 * s.readout_0.value), rel=1e-3)
    flow_h = bound.features_lipschitz(0.0) / s.readout_0.value  # per unit of ‖r₀‖
    near = ODE.draw(2, size=0.5).start(rho_0=0.45 / flow_h / 2)
    assert gao2025.BlockFlow(near).solved().h == pytest.approx(0.225, rel=0.2)  # Λ grows a little on the ball


@pytest.mark.parametrize("kind", [gao2025.GradientDescent, gao2025.GlobalConvergence])
def test_repaired_convergence_holds_near_zero_loss_and_not_far_from_it(kind):
    one = ODE.draw(2, size=0.5)
    tiny = one.start(rho_0=1e-9)
    found = kind(tiny, 0.2 / tiny.lambda_max.value)
    assert found.verdict is Verdict.HOLDS, [h for h in found.hypotheses() if h.verdict is not Verdict.HOLDS]
    assert found.promises()
    assert kind(one.start(rho_0=10.0), 0.2 / tiny.lambda_max.value).verdict is Verdict.FAILS
    assert kind(tiny, 3 / tiny.lambda_max.value).verdict is Verdict.FAILS  # c ≤ 0
    assert kind(one.start(rho_0=1e-9, third=math.inf), 1e-3).verdict is Verdict.FAILS
    assert kind(one.start(rho_0=1e-9, third=math.inf), 1e-3).solved() is None
    assert kind(one.start(rho_0=10.0), 1e-12).verdict is Verdict.FAILS  # c is almost 1, and h alone is too large
    assert kind(one.start(rho_0=1e-9, lambda_0=Estimate(0.1, 0.2)), 1e-3).verdict is not Verdict.HOLDS
    if kind is gao2025.GlobalConvergence:
        assert kind(dataclasses.replace(tiny, limit_0=3 * tiny.lambda_0.value), 1e-3).verdict is Verdict.FAILS


def test_flow_through_the_readout_asks_for_no_smoothness():
    one = ODE.draw(2, size=0.5)
    start = one.start(rho_0=1e-6, bend=math.inf, third=math.inf)
    assert gao2025.BlockFlow(start).verdict is Verdict.HOLDS
    far = gao2025.BlockFlow(one.start(rho_0=10.0))
    assert far.verdict is Verdict.FAILS
    h = far.solved().h
    assert h is not None
    assert f"{one.m * (2 * h) ** 2:.3g}" in far.inequalities()[-1].note
    assert gao2025.BlockFlow(one.start(rho_0=1e-6, readout_0=0.0)).verdict is Verdict.FAILS
    assert gao2025.BlockFlow(one.start(rho_0=1e-6, slope=math.inf)).verdict is Verdict.FAILS


def test_constants_from_norms_are_no_sharper_than_what_they_replace():
    """Every sequence of `Start.curvature` bounds the one measured on the residual network (20 layers)."""
    one = ODE.draw(4, layers=20)
    bound = one.start().curvature()
    phi, slope, _, _ = FUNCTIONS["tanh"]
    h, s, dt = one.x @ one.u.T, 1 / math.sqrt(one.m), 1 / 20
    states = [h]
    for _ in range(20):
        states.append(states[-1] + dt * s * phi(states[-1]) @ one.w.T)
    lam = [s * one.v * slope(states[-1])]
    for state in reversed(states[:-1]):
        lam.insert(0, lam[0] + dt * slope(state) * (s * lam[0] @ one.w))
    for k in range(20):
        assert np.linalg.norm(phi(states[k]), 2) <= bound.features_norm[k]
        assert largest(phi(states[k])) <= bound.feature_max[k]
        assert abs(s * lam[k + 1] @ one.w).max() <= bound.b_max[k]
    assert all(largest(a) <= b for a, b in zip(lam, bound.adjoint_max, strict=True))


def test_printed_theorems_are_undecided_without_a_constant_and_silent_without_smoothness():
    start = ODE.draw(0).start()
    for kind in (gao2025.Lemma16Printed, gao2025.Theorem3Printed):
        assert kind(start, 0.01).verdict is Verdict.UNDECIDED
        assert kind(start, 0.01, constant=1e-9).verdict is Verdict.HOLDS
        assert kind(start, 0.01, constant=1e9).verdict is Verdict.FAILS
        assert kind(start, 10.0).verdict is Verdict.FAILS
        assert kind(dataclasses.replace(start, bend=math.inf), 0.01).verdict is Verdict.FAILS
    assert gao2025.InitialGramPrinted(start).verdict is Verdict.UNDECIDED


def test_positive_limit():
    def corollary(angle=0.3, value=0.1, degree=None, kind=gao2025.PositiveLimit):
        return kind(Estimate(angle, 1e-15), Estimate(value, 1e-6), degree, "tanh").verdict

    assert corollary() is Verdict.HOLDS
    assert corollary(degree=2) is Verdict.FAILS
    assert corollary(value=-1e-3) is Verdict.FAILS
    assert corollary(value=1e-9) is Verdict.UNDECIDED
    assert corollary(angle=0.0) is not Verdict.HOLDS
    assert gao2025.PositiveLimit(Estimate(0.0, 0.0), Estimate(0.1, 0.0), None, "tanh").verdict is Verdict.FAILS
    # C5: an opposite pair and an odd φ; the printed hypotheses say nothing, the eigenvalue does.
    assert corollary(value=1e-9, kind=gao2025.PositiveLimitPrinted) is Verdict.UNDECIDED
    assert gao2025.InitialGramMeasured(Estimate(0.06, 1e-3), Estimate(0.1, 1e-3)).verdict is Verdict.HOLDS
    assert gao2025.InitialGramMeasured(Estimate(0.04, 1e-3), Estimate(0.1, 1e-3)).verdict is Verdict.FAILS
    assert gao2025.InitialGramMeasured(Estimate(0.0505, 1e-3), Estimate(0.1, 0.0)).verdict is Verdict.UNDECIDED
    assert gao2025.InitialGramMeasured(Estimate(0.06, 1e-3), Estimate(-0.1, 1e-3)).verdict is Verdict.FAILS


@pytest.mark.parametrize("name", [n for n, c in inspect.getmembers(gao2025, inspect.isclass) if n != "Start"])
def test_certificates_name_existing_errata(name):
    cls = getattr(gao2025, name)
    assert issubclass(cls, AbstractCertificate)
    assert all(erratum(id).id == id for id in cls.errata_ids)


def test_all_corrections_are_listed():
    assert all(erratum(f"gao2025-C{k}") for k in range(1, 18))
