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
    assert kind(one.start(rho_0=1e-9, lambda_0=Estimate(0.1, 0.2)), 1e-3).verdict is not Verdict.HOLDS
    if kind is gao2025.GlobalConvergence:
        assert kind(dataclasses.replace(tiny, limit_0=3 * tiny.lambda_0.value), 1e-3).verdict is Verdict.FAILS


def test_flow_through_the_readout_asks_for_no_smoothness():
    one = ODE.draw(2, size=0.5)
    start = one.start(rho_0=1e-6, bend=math.inf, third=math.inf)
    assert gao2025.BlockFlow(start).verdict is Verdict.HOLDS
    assert gao2025.BlockFlow(one.start(rho_0=10.0)).verdict is Verdict.FAILS
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
    assert corollary(angle=0.0) is not Verdict.HOLDS
    # C5: an opposite pair and an odd φ; the printed hypotheses say nothing, the eigenvalue does.
    assert corollary(value=1e-9, kind=gao2025.PositiveLimitPrinted) is Verdict.UNDECIDED
    assert gao2025.InitialGramMeasured(Estimate(0.06, 1e-3), Estimate(0.1, 1e-3)).verdict is Verdict.HOLDS
    assert gao2025.InitialGramMeasured(Estimate(0.04, 1e-3), Estimate(0.1, 1e-3)).verdict is Verdict.FAILS


@pytest.mark.parametrize("name", [n for n, c in inspect.getmembers(gao2025, inspect.isclass) if n != "Start"])
def test_certificates_name_existing_errata(name):
    cls = getattr(gao2025, name)
    assert issubclass(cls, AbstractCertificate)
    assert all(erratum(id).id == id for id in cls.errata_ids)


def test_all_corrections_are_listed():
    assert all(erratum(f"gao2025-C{k}") for k in range(1, 18))
