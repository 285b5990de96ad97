"""Condition 1 and Theorem 1: as printed, repaired (Theorem B-GD), and in closed form for a small read-out (3.5)."""

import dataclasses
import math
from typing import Any, ClassVar, Self

import numpy as np
import scipy.optimize

from ..certificate import Hypothesis, Promise
from ..estimated import AbstractEstimated, is_relu, over
from .start import DRAWN, NUMBERS_ONLY, OURS, PAPER, Barred, Start, given


class ConditionOnePrinted(AbstractEstimated):
    """Condition 1, inequalities (7)-(9), as printed, at the δ that brings it closest to holding (or at a given one).

    (9) cannot hold at the paper's initialisation, at any width: λ₀ ≤ ‖Z‖_F²/n ≤ c_a²‖X‖_F²/n and
    c_w = c_a ρ̄_a/(1 − ρ̄_w) leave only ρ̄_a ≤ (1 − ρ̄_w)/(2√n) < ½, and ‖a(0)‖ is close to 1.
    """

    source: ClassVar[str] = f"{PAPER}, Condition 1 as printed"
    statement: ClassVar[str] = "the initial iterate satisfies what Theorem 1 asks"
    errata_ids: ClassVar[tuple[str, ...]] = ("ling2023-B5", "ling2023-B6", "ling2023-B7")
    assumed: ClassVar[str] = NUMBERS_ONLY

    start: Start
    delta: float | None = None

    def choose(self, at: Any) -> Self:
        """With the best δ."""
        return self if self.delta is not None else dataclasses.replace(self, delta=_best_delta(at.start))

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """ReLU, ‖W‖ + δ < 1, (7), (8), (9)."""
        return (is_relu(self.start.activation), *_condition_one(self.start, given(self.delta)))


class Theorem1Printed(AbstractEstimated):
    """Theorem 1 as printed: Condition 1 and the step size (10). It has no instance under the paper's Assumption 1."""

    source: ClassVar[str] = f"{PAPER}, Theorem 1 as printed"
    statement: ClassVar[str] = "gradient descent: L_k ≤ (1 − ηλ₀/2)^k L_0, λ_min(G) > λ₀/2 and ‖W‖ < 1 for all k"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("ling2023-B3", "ling2023-B5", "ling2023-B6", "ling2023-B7")
    assumed: ClassVar[str] = DRAWN

    start: Start
    step_size: float
    delta: float | None = None

    def choose(self, at: Any) -> Self:
        """With the best δ."""
        return self if self.delta is not None else dataclasses.replace(self, delta=_best_delta(at.start))

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Assumptions, Condition 1, and (10)."""
        start, delta = self.start, given(self.delta)
        bars = start.barred(delta, delta, delta)
        second = 0.0 if bars.w >= 1 else over(2 * bars.hidden, (bars.total * start.norm_x.value) ** 2)
        return (
            *start.assumptions(),
            *_condition_one(start, delta),
            Hypothesis.at_most(
                "(10) η < min(2/λ₀, 2(c_w²+c_u²)/((c_w²+c_u²+c_a²)²‖X‖_F²))",
                self.step_size,
                min(over(2.0, start.lambda_0.value), second),
                strict=True,
            ),
        )

    def promises(self) -> tuple[Promise, ...]:
        """The three conclusions; a run may keep them although the theorem is silent about it."""
        start = self.worst().start
        return (Promise("‖W‖ < 1", "operator_norm", "<", 1.0), *_halved(start, self.step_size))


class GradientDescent(AbstractEstimated):
    """Theorem B-GD: Theorem 1 with a radius for each of W, U, a and the factor 8 in (9) that its proof needs.

    Radii left `None` are those that bring the worst inequality closest to holding (convex in their logarithms); a
    step size left `None` is the largest at those radii. (9′) asks for ρ̄_a ≤ (1 − ρ̄_w)/√(8n), a small read-out.
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 1, repaired (three radii, factor 8 in (9))"
    statement: ClassVar[str] = Theorem1Printed.statement
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = Theorem1Printed.errata_ids
    assumed: ClassVar[str] = NUMBERS_ONLY

    start: Start
    step_size: float | None = None
    radius_w: float | None = None
    radius_u: float | None = None
    radius_a: float | None = None

    def choose(self, at: Any) -> Self:
        """With the best radii, and the largest step size on them."""
        me = self
        if me.radius_w is None or me.radius_u is None or me.radius_a is None:
            dw, du, da = _best_radii(at.start, me.step_size)
            me = dataclasses.replace(me, radius_w=dw, radius_u=du, radius_a=da)
        if me.step_size is not None:
            return me
        return dataclasses.replace(me, step_size=dataclasses.replace(me, start=at.start).largest_step_size)

    @property
    def bars(self) -> Barred:
        """ρ̄ at the radii."""
        return self.start.barred(given(self.radius_w), given(self.radius_u), given(self.radius_a))

    @property
    def largest_step_size(self) -> float:
        """min(2/λ₀, λ₀/(4C₁²)) at the radii, C₁ = (c_w² + c_u² + c_a²)‖X‖_F²."""
        lam, c_1 = max(self.start.lambda_0.value, 0.0), self.bars.total * self.start.norm_x.value**2
        return 0.0 if math.isinf(c_1) else min(over(2.0, lam), over(lam, 4 * c_1**2))

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """ReLU, the ball, (7′), (8′), (9′) and the step size."""
        start, bars = self.start, self.bars
        names = ("(7′) λ₀ ≥ 4‖X‖_F‖r₀‖ c_w/δ_w", "(7′) λ₀ ≥ 4‖X‖_F‖r₀‖ c_u/δ_u", "(7′) λ₀ ≥ 4‖X‖_F‖r₀‖ c_a/δ_a")
        *travel, features, curvature = _repaired(start, bars, self.radius_w, self.radius_u, self.radius_a)
        return (
            is_relu(start.activation),
            Hypothesis.at_least("λ₀ > 0", start.lambda_0.value, 0.0, strict=True),
            Hypothesis.at_most("‖W(0)‖ + δ_w < 1", bars.w, 1.0, strict=True),
            *(Hypothesis.at_least(name, start.lambda_0.value, rhs) for name, rhs in zip(names, travel, strict=True)),
            Hypothesis.at_least("(8′) λ₀^{3/2} ≥ 4(2+√2)(c_w²+c_u²)‖X‖_F²‖r₀‖/ρ̄_a", start.sigma**3, features),
            Hypothesis.at_least(
                "(9′) λ₀ ≥ 8(c_w²+c_u²)‖X‖_F²", start.lambda_0.value, curvature, note=_readout_note(start, 8)
            ),
            Hypothesis.at_least("η > 0", self.step_size, 0.0, strict=True),
            Hypothesis.at_most("η ≤ min(2/λ₀, λ₀/(4C₁²))", self.step_size, self.largest_step_size),
        )

    def promises(self) -> tuple[Promise, ...]:
        """The conclusions of Theorem 1, and the radii."""
        me = self.settled()
        worst = me.worst()
        distance = math.hypot(given(me.radius_w), given(me.radius_u), given(me.radius_a))
        return (
            Promise("‖W‖ < 1", "operator_norm", "<", 1.0),
            Promise("‖W‖ ≤ ‖W(0)‖ + δ_w", "operator_norm", "<=", worst.bars.w, conclusion=False),
            Promise("θ stays inside the three radii", "distance", "<=", distance, conclusion=False),
            *_halved(worst.start, given(me.step_size)),
        )


class SmallReadout(AbstractEstimated):
    """Condition (3.5): Theorem B-GD in closed form for a(0) = 0, so that f(0) = 0 and r₀ = −y.

    With κ = δ_w = (1 − ‖W(0)‖)/2, δ_u = ‖U(0)‖/10 and δ_a the largest that (9′) allows, one inequality implies all.
    """

    source: ClassVar[str] = f"{OURS}: Theorem B-GD for a(0) = 0"
    statement: ClassVar[str] = Theorem1Printed.statement
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = Theorem1Printed.errata_ids
    assumed: ClassVar[str] = NUMBERS_ONLY

    start: Start
    step_size: float | None = None

    @property
    def kappa(self) -> float:
        """κ = (1 − ‖W(0)‖)/2."""
        return max(1 - self.start.norm_w.value, 0.0) / 2

    @property
    def largest_step_size(self) -> float:
        """λ₀/(4C₁²), where (9′) makes C₁ = λ₀/8 + c_a²‖X‖_F²."""
        lam, u, k = max(self.start.lambda_0.value, 0.0), 1.1 * self.start.norm_u.value, self.kappa
        return over(lam, 4 * (lam / 8 + over((u * self.start.norm_x.value) ** 2, k**2)) ** 2)

    def choose(self, at: Any) -> Self:
        """With the largest step size."""
        return self if self.step_size is not None else dataclasses.replace(self, step_size=at.largest_step_size)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """ReLU, a(0) = 0, ‖W(0)‖ < 1, (3.5) and the step size."""
        start, u, k = self.start, 1.1 * self.start.norm_u.value, self.kappa
        needed = over(128 * (start.norm_x.value**2 * start.rho_0.value * u) ** 2 * (u**2 + k**2), k**6)
        return (
            is_relu(start.activation),
            Hypothesis.at_most("a(0) = 0", start.norm_a.value, 0.0),
            Hypothesis.at_most("‖W(0)‖ < 1", start.norm_w.value, 1.0, strict=True),
            Hypothesis.at_least("λ₀ > 0", start.lambda_0.value, 0.0, strict=True),
            # The side condition for δ_u, (7′): it holds by itself for n ≥ 2.
            Hypothesis.at_least("8n(ρ̄_u² + κ²) ≥ 11κ²", 8 * start.n * (u**2 + k**2), 11 * k**2),
            Hypothesis.at_least(
                "(3.5) λ₀³ ≥ 128‖X‖_F⁴‖y‖²ρ̄_u²(ρ̄_u² + κ²)/κ⁶", max(start.lambda_0.value, 0.0) ** 3, needed
            ),
            Hypothesis.at_least("η > 0", self.step_size, 0.0, strict=True),
            Hypothesis.at_most("η ≤ λ₀/(4C₁²)", self.step_size, self.largest_step_size),
        )

    def promises(self) -> tuple[Promise, ...]:
        """The conclusions of Theorem 1."""
        me = self.settled()
        worst = me.worst()
        return (
            Promise("‖W‖ < 1", "operator_norm", "<", 1.0),
            Promise("‖W‖ ≤ (1 + ‖W(0)‖)/2", "operator_norm", "<=", 1 - worst.kappa, conclusion=False),
            *_halved(worst.start, given(me.step_size)),
        )


def _halved(start: Start, step_size: float) -> tuple[Promise, ...]:
    """λ_min(G) ≥ λ₀/2 and the loss at that rate, as far as they make sense."""
    lam = start.lambda_0.value
    if not lam > 0:
        return ()
    kept = (Promise("λ_min(G) ≥ λ₀/2", "lambda_min_features", ">=", lam / 2),)
    factor = 1 - step_size * lam / 2
    if not 0 <= factor < 1:  # a step size so large that the formula is no rate
        return kept
    return (*kept, Promise("loss at the theorem's rate", "loss", "<=", start.rho_0.value**2 / 2, factor))


def _condition_one(start: Start, delta: float) -> tuple[Hypothesis, ...]:
    bars, x, lam = start.barred(delta, delta, delta), start.norm_x.value, start.lambda_0.value
    seven, eight, nine = _printed_sides(start, delta)
    limit = start.barred(0.0, 0.0, 0.0)  # every constant grows with δ
    least = over(4 * limit.hidden * x**2, lam)
    missed = f"missed by a factor of at least {least:.3g}, whatever δ; " if least > 1 else ""
    return (
        Hypothesis.at_least("λ₀ > 0", lam, 0.0, strict=True),
        Hypothesis.at_least("δ > 0", delta, 0.0, strict=True),
        Hypothesis.at_most("‖W(0)‖ + δ < 1", bars.w, 1.0, strict=True),
        Hypothesis.at_least("(7) λ₀ ≥ (4/δ) max(c_w, c_u, c_a) ‖X‖_F ‖r₀‖", lam, seven),
        Hypothesis.at_least("(8) λ₀^{3/2} ≥ 4(2+√2)(c_w²+c_u²)‖X‖_F²‖r₀‖/ρ̄_a", start.sigma**3, eight),
        Hypothesis.at_least("(9) λ₀ ≥ 4(c_w²+c_u²)‖X‖_F²", lam, nine, note=missed + _readout_note(start, 4)),
    )


def _readout_note(start: Start, factor: int) -> str:
    """Why (9), with that factor, cannot hold with this read-out; "" if it can."""
    w, a = start.norm_w.value, start.norm_a.value
    room = (1 - w) / math.sqrt(factor * start.n)
    if a < room:
        return ""
    return (
        f"cannot hold: λ₀ ≤ c_a²‖X‖_F²/n and c_w = c_a ρ̄_a/(1−ρ̄_w) leave only ρ̄_a ≤ (1−ρ̄_w)/√({factor}n) < {room:.3g}, "
        f"and ‖a(0)‖ = {a:.3g}; Assumption 1 makes ‖a(0)‖ ≈ 1 at every width"
    )


def _printed_sides(start: Start, delta: float) -> tuple[float, float, float]:
    bars, x, rho = start.barred(delta, delta, delta), start.norm_x.value, start.rho_0.value
    if bars.w >= 1:
        return math.inf, math.inf, math.inf
    return (
        over(4 * max(bars.c_w, bars.c_u, bars.c_a) * x * rho, delta),
        over(4 * (2 + math.sqrt(2)) * bars.hidden * x**2 * rho, bars.a),
        4 * bars.hidden * x**2,
    )


def _best_delta(start: Start) -> float:
    """The δ in (0, 1 − ‖W‖) at which the worst of (7), (8), (9) is missed by the smallest factor."""
    room, lam = 1 - start.norm_w.value, start.lambda_0.value
    if not (room > 0 and lam > 0):
        return max(room, 1.0) / 2

    def worst(log_delta):
        seven, eight, nine = _printed_sides(start, math.exp(log_delta))
        return math.log(max(seven / lam, eight / lam**1.5, nine / lam, 1e-300))

    # (7) falls and then grows with δ, (8) and (9) grow: one valley.
    bounds = (math.log(room) - 30, math.log(room) - 1e-9)
    found = scipy.optimize.minimize_scalar(worst, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return math.exp(found.x)  # pyright: ignore[reportAttributeAccessIssue]


def _repaired(start: Start, bars: Barred, dw, du, da) -> tuple[float, float, float, float, float]:
    """The right sides of (7′) for W, U, a, of (8′) and of (9′)."""
    x, rho = start.norm_x.value, start.rho_0.value
    if bars.w >= 1:
        return math.inf, math.inf, math.inf, math.inf, math.inf
    return (
        over(4 * x * rho * bars.c_w, dw),
        over(4 * x * rho * bars.c_u, du),
        over(4 * x * rho * bars.c_a, da),
        over(4 * (2 + math.sqrt(2)) * bars.hidden * x**2 * rho, bars.a),
        8 * bars.hidden * x**2,
    )


def _best_radii(start: Start, step_size: float | None) -> tuple[float, float, float]:
    """Radii that bring the most missed of (7′)-(9′), and of the step size if one is given, closest to holding.

    In the logarithms of the radii every ratio of right to left side is a log-sum-exp (1/(s − e^x) included, since
    −ln(s − e^x) is convex), so the largest of them is convex; its epigraph form is smooth.
    """
    room, lam = 1 - start.norm_w.value, start.lambda_0.value
    if not (room > 0 and lam > 0):
        return max(room, 1.0) / 2, 1.0, 1.0
    powers = np.array([1.0, 1.0, 1.0, 1.5, 1.0])

    def ratios(logs):
        dw, du, da = np.exp(logs)
        bars = start.barred(dw, du, da)
        found = list(np.log(np.maximum(_repaired(start, bars, dw, du, da), 1e-300)) - powers * math.log(lam))
        if step_size is not None:
            found.append(math.log(max(4 * step_size * (bars.total * start.norm_x.value**2) ** 2 / lam, 1e-300)))
        return np.array(found)

    first = np.log([room / 2, max(start.norm_u.value, 1e-6) / 10, max(start.norm_a.value, 1e-3 * room)])
    found = scipy.optimize.minimize(
        lambda v: v[3],
        np.append(first, ratios(first).max()),
        method="SLSQP",
        bounds=[
            (math.log(room) - 40, math.log(room) - 1e-6),
            (first[1] - 40, first[1] + 40),
            (first[2] - 40, first[2] + 40),
            (None, None),
        ],
        constraints={"type": "ineq", "fun": lambda v: v[3] - ratios(v[:3])},
        options={"maxiter": 300, "ftol": 1e-12},
    )
    best = min((found.x[:3], first), key=lambda v: ratios(v).max())
    dw, du, da = (float(r) for r in np.exp(best))
    return dw, du, da
