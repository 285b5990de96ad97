"""Theorems B-GF and B-TR: convergence through the read-out block Zᵀ of the Jacobian, for ReLU and any 0 ≤ φ′ ≤ 1."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar, Self

import scipy.optimize

from ..certificate import Hypothesis, Promise
from ..estimated import AbstractEstimated, over
from .start import NUMBERS_ONLY, OURS, Start, given, slope01

ROUNDING = 1e-12  # radii and rates chosen here keep this far inside, so that rounding does not decide a verdict


class GradientFlow(AbstractEstimated):
    """Theorem B-GF: gradient flow converges at rate σ_∞² with a path no longer than R_*, for any φ with 0 ≤ φ′ ≤ 1.

    R is the smallest radius with σR − ½L_Z(R)R² ≥ ‖r₀‖, σ = σ_min(Z(0)), L_Z = TY. An epoch of its promises is a unit
    of time.
    """

    source: ClassVar[str] = f"{OURS}: Theorem B-GF, gradient flow on the read-out block"
    statement: ClassVar[str] = "gradient flow: ‖r(t)‖ ≤ exp(−σ_∞² t)‖r₀‖, path ≤ R_*, limit of zero loss"
    method: ClassVar[str] = "flow"
    assumed: ClassVar[str] = NUMBERS_ONLY

    start: Start
    radius: float | None = None

    def choose(self, at: Any) -> Self:
        """With the smallest radius that serves, or the one that removes most of the residual if none does."""
        if self.radius is not None:
            return self
        start = at.start
        top = _most_residual(start)
        if not start.rho_0.value < start.flow_gain(top):
            return dataclasses.replace(self, radius=top)
        if start.rho_0.value == 0:
            return dataclasses.replace(self, radius=0.0)
        low = _root(lambda r: start.flow_gain(r) - start.rho_0.value, 0.0, top)
        return dataclasses.replace(self, radius=min(low * (1 + ROUNDING), top))

    @property
    def lipschitz(self) -> float:
        """L_Z = TY on the ball."""
        t, y = self.start.on_ball(given(self.radius))
        return t * y

    @property
    def sigma_inf(self) -> float | None:
        """σ_∞ = √(σ² − 2L_Z‖r₀‖); `None` where it is imaginary."""
        square = self.start.sigma**2 - 2 * self.lipschitz * self.start.rho_0.value
        return math.sqrt(square) if square > 0 else None

    @property
    def path(self) -> float:
        """R_* = (σ − σ_∞)/L_Z, in the form that keeps its digits; infinite where there is none."""
        rho = self.start.rho_0.value
        return math.inf if self.sigma_inf is None else 2 * rho / (self.start.sigma + self.sigma_inf)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """0 ≤ φ′ ≤ 1, well-posedness on the ball, h < ½ and R_* ≤ R."""
        start, radius = self.start, given(self.radius)
        square = start.sigma**2
        return (
            slope01(start),
            Hypothesis.at_least("σ_min(Z(0)) > 0", start.sigma, 0.0, strict=True),
            Hypothesis.at_most("λ_max(sym W(0)) + R < 1", start.one_sided.value + radius, 1.0, strict=True),
            Hypothesis.at_most(
                "2L_Z‖r₀‖ < σ_min(Z(0))²",
                2 * self.lipschitz * start.rho_0.value,
                square,
                strict=True,
                note=f"would hold, with the next, for ‖r₀‖ < {start.flow_gain(_most_residual(start)):.4g}",
            ),
            Hypothesis.at_most("R_* ≤ R", self.path, radius),
        )

    def promises(self) -> tuple[Promise, ...]:
        """Loss, σ_min(Z), distance and one-sided norm; none where σ_∞ does not exist."""
        me = self.settled().worst()
        if me.sigma_inf is None:
            return ()
        return (
            Promise("loss at rate 2σ_∞²", "loss", "<=", me.start.rho_0.value**2 / 2, math.exp(-2 * me.sigma_inf**2)),
            Promise("σ_min(Z) ≥ σ_∞", "sigma_min_features", ">=", me.sigma_inf),
            Promise("path ≤ R_*", "distance", "<=", me.path),
            Promise("λ_max(sym W) ≤ λ_max(sym W(0)) + R_*", "one_sided_norm", "<=", me.start.one_sided.value + me.path),
        )


class TwoRateDescent(AbstractEstimated):
    """Theorem B-TR: descent with step η for a and τη for (W, U) has ‖r_{k+1}‖ ≤ (1 − ησ_b²/2)‖r_k‖, 0 ≤ φ′ ≤ 1.

    On ‖(W, U) − (W, U)(0)‖_F ≤ R and ‖a − a(0)‖ ≤ R_a: T, Y as for `GradientFlow`, σ_b = σ_min(Z(0)) − TR‖[Z₀; X]‖,
    α = ‖a(0)‖ + R_a, R_a = 2Y‖r₀‖/σ_b². `tau` left `None` is the largest ratio for which it holds, and then R is the
    radius that allows it; for a given τ it is the smallest that serves. `step_size` left `None` is the largest.
    """

    source: ClassVar[str] = f"{OURS}: Theorem B-TR, descent with two rates"
    statement: ClassVar[str] = "descent with steps η (a) and τη (W, U): ‖r_k‖ ≤ (1 − ησ_b²/2)^k ‖r₀‖"
    errata_ids: ClassVar[tuple[str, ...]] = ("ling2023-B5",)
    method: ClassVar[str] = "two-rate descent"
    assumed: ClassVar[str] = NUMBERS_ONLY

    start: Start
    tau: float | None = None
    step_size: float | None = None
    radius: float | None = None
    radius_a: float | None = None

    def choose(self, at: Any) -> Self:
        """With the radii, the largest ratio and the largest step size."""
        start = at.start
        radius = _two_rate_radius(start, self.tau) if self.radius is None else self.radius
        radius_a = _travel(start, radius) * (1 + ROUNDING) if self.radius_a is None else self.radius_a
        there = dataclasses.replace(self, start=start, radius=radius, radius_a=radius_a)
        tau = there.largest_tau * (1 - ROUNDING) if self.tau is None else self.tau
        step_size = there.largest_step_size if self.step_size is None else self.step_size
        return dataclasses.replace(self, radius=radius, radius_a=radius_a, tau=tau, step_size=step_size)

    @property
    def largest_step_size(self) -> float:
        """1/‖Z‖² on the ball."""
        t, _ = self.start.on_ball(given(self.radius))
        moved = t * given(self.radius) * self.start.norm_zx.value
        return 0.0 if math.isnan(moved) else over(1.0, (self.start.norm_z.value + moved) ** 2)

    @property
    def largest_tau(self) -> float:
        """The smaller of the two bounds on τ at these radii."""
        return _largest_tau(self.start, given(self.radius), given(self.radius_a))

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """0 ≤ φ′ ≤ 1, well-posedness, σ_b > 0, the two step sizes, and the two radii."""
        start, radius, radius_a = self.start, given(self.radius), given(self.radius_a)
        sigma = start.kept_sigma(radius)
        return (
            slope01(start),
            Hypothesis.at_most("λ_max(sym W(0)) + R < 1", start.one_sided.value + radius, 1.0, strict=True),
            Hypothesis.at_least("σ_b > 0", sigma, 0.0, strict=True),
            Hypothesis.at_least("η > 0", self.step_size, 0.0, strict=True),
            Hypothesis.at_most("η ≤ 1/‖Z‖² on the ball", self.step_size, self.largest_step_size),
            Hypothesis.at_least("τ ≥ 0", self.tau, 0.0),
            Hypothesis.at_most(
                "τ ≤ min(σ_b²/(2α²T²Y²), Rσ_b²/(2TαY‖r₀‖))", self.tau, self.largest_tau, note="τ = 1 is plain descent"
            ),
            Hypothesis.at_most("2Y‖r₀‖/σ_b² ≤ R_a", _travel(start, radius), radius_a),
        )

    def promises(self) -> tuple[Promise, ...]:
        """Loss, σ_min(Z), distance and one-sided norm; none where σ_b or the rate does not exist."""
        me = self.settled().worst()
        radius, sigma = given(me.radius), me.start.kept_sigma(given(me.radius))
        shrink = 1 - given(me.step_size) * sigma**2 / 2
        if not (sigma > 0 and 0 <= shrink < 1):
            return ()
        return (
            Promise("loss at the rate of the read-out", "loss", "<=", me.start.rho_0.value**2 / 2, shrink**2),
            Promise("σ_min(Z) ≥ σ_b", "sigma_min_features", ">=", sigma),
            Promise("θ stays inside both radii", "distance", "<=", math.hypot(radius, given(me.radius_a))),
            Promise("λ_max(sym W) ≤ λ_max(sym W(0)) + R", "one_sided_norm", "<=", me.start.one_sided.value + radius),
        )


def _most_residual(start: Start) -> float:
    """The R at which σR − ½L_Z(R)R², concave, is largest: the theorem reaches no larger residual."""
    room = 1 - start.one_sided.value
    if not (room > 0 and start.sigma > 0):
        return 0.0
    return _highest(start.flow_gain, 0.0, room)


def _largest_tau(start: Start, radius: float, radius_a: float) -> float:
    (t, y), sigma, a = start.on_ball(radius), start.kept_sigma(radius), start.norm_a.value + radius_a
    if not (sigma > 0 and math.isfinite(a)):
        return 0.0
    return min(over(sigma**2, 2 * (a * t * y) ** 2), over(radius * sigma**2, 2 * t * a * y * start.rho_0.value))


def _travel(start: Start, radius: float) -> float:
    """2Y‖r₀‖/σ_b², how far a can move; infinite where σ_b or Y does not exist."""
    sigma, y = start.kept_sigma(radius), start.on_ball(radius)[1]
    return over(2 * y * start.rho_0.value, sigma**2) if sigma > 0 else math.inf


def _root(f: Callable[[float], float], low: float, high: float) -> float:
    return float(scipy.optimize.brentq(f, low, high, xtol=1e-300))  # pyright: ignore[reportArgumentType]


def _highest(f: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one peak has it."""
    found = scipy.optimize.minimize_scalar(
        lambda v: -f(v), bounds=(low, high), method="bounded", options={"xatol": 1e-12 * (high - low)}
    )
    return float(found.x)  # pyright: ignore[reportAttributeAccessIssue]


def _two_rate_radius(start: Start, tau: float | None) -> float:
    """The R that allows the largest τ; for a given τ the smallest R that allows it, if one does."""
    room, sigma = 1 - start.one_sided.value, start.sigma
    if not (room > 0 and sigma > 0):
        return 0.0
    end = sigma * room / (start.norm_zx.value + sigma)  # where σ_b reaches 0

    def allowed(log_r):
        r = math.exp(log_r)
        return math.log(max(_largest_tau(start, r, _travel(start, r)), 1e-300))

    low, high = math.log(end) - 60, math.log(end) - 1e-9
    best = _highest(allowed, low, high)
    if tau is not None and tau > 0 and allowed(low) < math.log(tau) < allowed(best):
        best = _root(lambda v: allowed(v) - math.log(tau), low, best) + 1e-9
    return math.exp(best)
