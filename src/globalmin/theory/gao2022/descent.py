"""Theorem 3.2: gradient descent, as printed, repaired with two rates (A-GD), and in closed form for zero read-outs."""

import dataclasses
import math
from typing import Any, ClassVar, Self

from ..certificate import Hypothesis, Promise
from ..estimated import AbstractEstimated, over
from .start import DRAWN, NO_CONSTANT, NUMBERS_ONLY, OURS, PAPER, Start, given

ROUNDING = 1e-12  # rates chosen here keep this far inside, so that rounding does not decide a verdict


class GradientDescentPrinted(AbstractEstimated):
    """Theorem 3.2 as printed. It has no instance: the last step of its proof subtracts more than it has.

    (42) bounds what the step does beyond its linear part by αC₀c²n‖r‖², first order in α, so that the rate needs
    λ₀ − C₀c²n ≥ λ₀/2, whatever the step size. The source does not give C₀; 1/4 is already too large, `proof_constant`
    is what is supposed of it.
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 3.2 with Lemma 3.6, as printed"
    statement: ClassVar[str] = "gradient descent: ‖r_k‖² ≤ (1 − αλ₀/2)^k ‖r₀‖² for all k"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = tuple(f"gao2022-A{k}" for k in (1, 3, 4, 6, 7))
    assumed: ClassVar[str] = DRAWN

    start: Start
    step_size: float
    delta: float = 0.1
    width_constant: float | None = None
    step_constant: float | None = None
    proof_constant: float = 1.0

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Assumptions, the printed orders of width and step size, and what the last display of the proof needs."""
        s = self.start
        lam, k, a = max(s.lambda_0.value, 0.0), self.width_constant, self.step_constant
        order = None if k is None else k * over(s.n**2 * math.log(s.n / self.delta), lam)
        return (
            *s.assumptions(),
            Hypothesis.at_least(
                "m ≥ K (n²/λ₀) ln(n/δ)",
                s.width,
                order,
                note="Lemma 3.3 has λ₀²" if k else f"{NO_CONSTANT}; λ₀² is meant",
            ),
            Hypothesis.at_least("α > 0", self.step_size, 0.0, strict=True),
            Hypothesis.at_most(
                "α ≤ K′ λ₀/n²", self.step_size, None if a is None else a * lam / s.n**2, note="" if a else NO_CONSTANT
            ),
            Hypothesis.at_least(
                "λ₀/2 ≥ C₀c²n",
                s.lambda_0.value / 2,
                self.proof_constant * s.c**2 * s.n,
                note=f"C₀ = {self.proof_constant:g}; cannot hold for any C₀ > 1/4, as λ₀ ≤ ½ and c²n ≥ 1, and no step size "
                "helps: both sides are of first order in α",
            ),
        )

    def promises(self) -> tuple[Promise, ...]:
        """The printed rate and λ_min(G) ≥ λ₀/2; a run may keep them although the theorem is silent about it."""
        s = self.worst().start
        factor = 1 - self.step_size * s.level / 2
        if not (s.level > 0 and 0 <= factor < 1):
            return s.stays()
        return (Promise("loss at the printed rate", "loss", "<=", s.rho_0.value**2 / 2, factor), *s.stays())


class TwoRateDescent(AbstractEstimated):
    """Theorem A-GD: descent with step α for (u, v) and τα for (A, W) has ‖r_{k+1}‖ ≤ (1 − αλ/4)‖r_k‖.

    b is the smallest bound with ‖u(0)‖ + 16c√n‖r₀‖/λ ≤ b√m and ‖v(0)‖ + 8c√n‖r₀‖/λ ≤ b√m. `tau` left `None` is the
    largest ratio, `step_size` left `None` the largest step. τ = 1 is plain descent; at the paper's read-outs (b ≥ 1)
    the ratio that it allows is at most 1/72.
    """

    source: ClassVar[str] = f"{OURS}: Theorem A-GD, Theorem 3.2 with two rates"
    statement: ClassVar[str] = "descent with steps α (u, v) and τα (A, W): ‖r_k‖ ≤ (1 − αλ/4)^k ‖r₀‖, λ_min(G) ≥ λ/2"
    method: ClassVar[str] = "two-rate descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("gao2022-A3", "gao2022-A4", "gao2022-A6")
    assumed: ClassVar[str] = NUMBERS_ONLY

    start: Start
    tau: float | None = None
    step_size: float | None = None

    def choose(self, at: Any) -> Self:
        """With the largest ratio and the largest step size."""
        tau = at.largest_tau * (1 - ROUNDING) if self.tau is None else self.tau
        step_size = at.start.largest_step_size if self.step_size is None else self.step_size
        return dataclasses.replace(self, tau=tau, step_size=step_size)

    @property
    def travel(self) -> float:
        """4‖r₀‖/λ ≥ Σ α‖r_k‖; infinite where λ = 0."""
        return over(4 * self.start.rho_0.value, self.start.level)

    @property
    def b(self) -> float:
        """The bound on ‖u‖/√m and ‖v‖/√m."""
        s = self.start
        moved = 2 * s.c * math.sqrt(s.n) * self.travel
        return max(s.norm_u.value + 2 * moved, s.norm_v.value + moved) / s.root

    @property
    def largest_tau(self) -> float:
        """The smallest of the three bounds on τ."""
        s, b = self.start, self.b
        if not (s.level > 0 and math.isfinite(b)):
            return 0.0
        fed_back = (s.gamma * 4 * s.c) ** 2 * s.n  # γ²‖Z‖²
        return min(
            over(s.level / 4, b**2 * (9 * s.norm_x.value**2 + 4 * fed_back)),
            over(s.radius, 3 * b * s.norm_x.value * self.travel),
            over(s.c * s.root, 2 * b * math.sqrt(fed_back) * self.travel),
        )

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Assumptions, the step size and the ratio."""
        s = self.start
        return (
            *s.assumptions(),
            Hypothesis.at_least("α > 0", self.step_size, 0.0, strict=True),
            Hypothesis.at_most("α ≤ 1/(20c²n)", self.step_size, s.largest_step_size, note="α(‖Z‖² + ‖Φ‖²) ≤ 1"),
            Hypothesis.at_least("τ ≥ 0", self.tau, 0.0),
            Hypothesis.at_most(
                "τ ≤ min(λ/(4b²(9‖X‖²+4γ²‖Z‖²)), λR′/(12b‖X‖‖r₀‖), λc√m/(8bγ‖Z‖‖r₀‖))",
                self.tau,
                self.largest_tau,
                note=f"b = {self.b:.4g}, ‖Z‖ ≤ 4c√n; τ = 1 is plain descent",
            ),
        )

    def promises(self) -> tuple[Promise, ...]:
        """Loss, Gram, norms of the four weights; the radii are steps of the proof."""
        me = self.settled().worst()
        return _along(me, given(me.tau), given(me.step_size), me.b)


class ZeroReadout(AbstractEstimated):
    """Theorem A-GD for u(0) = v(0) = 0, so that f(0) = 0 and r₀ = −y, with τ = 1: plain gradient descent, certified.

    b² = λ/(36‖X‖² + 16n), and m ≥ 256c²n‖y‖²/(λ²b²), of order n²‖y‖²/λ³. `step_size` left `None` is the largest.
    """

    source: ClassVar[str] = f"{OURS}: Theorem A-GD for u(0) = v(0) = 0"
    statement: ClassVar[str] = "gradient descent: ‖r_k‖ ≤ (1 − αλ/4)^k ‖r₀‖, λ_min(G) ≥ λ/2"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = TwoRateDescent.errata_ids
    assumed: ClassVar[str] = NUMBERS_ONLY

    start: Start
    step_size: float | None = None

    def choose(self, at: Any) -> Self:
        """With the largest step size."""
        return self if self.step_size is not None else dataclasses.replace(self, step_size=at.start.largest_step_size)

    @property
    def b(self) -> float:
        """The bound on ‖u‖/√m and ‖v‖/√m."""
        s = self.start
        return math.sqrt(s.level / (36 * s.norm_x.value**2 + 16 * s.n))

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Assumptions, zero read-outs, the width and the step size."""
        s = self.start
        return (
            *s.assumptions(),
            Hypothesis.at_most("u(0) = 0", s.norm_u.value, 0.0),
            Hypothesis.at_most("v(0) = 0", s.norm_v.value, 0.0),
            Hypothesis.at_least(
                "m ≥ 256c²n‖y‖²/(λ²b²)",
                s.width,
                over(256 * s.n * (s.c * s.rho_0.value) ** 2, (s.level * self.b) ** 2),
                note=f"b² = λ/(36‖X‖² + 16n) = {self.b**2:.4g}; printed: m = Ω((n²/λ₀) ln(n/δ)), no constant",
            ),
            Hypothesis.at_least("α > 0", self.step_size, 0.0, strict=True),
            Hypothesis.at_most("α ≤ 1/(20c²n)", self.step_size, s.largest_step_size, note="α(‖Z‖² + ‖Φ‖²) ≤ 1"),
        )

    def promises(self) -> tuple[Promise, ...]:
        """Loss, Gram, norms of the four weights; the radii are steps of the proof."""
        me = self.settled().worst()
        return _along(me, 1.0, given(me.step_size), me.b)


def _along(certificate: TwoRateDescent | ZeroReadout, tau: float, step_size: float, b: float) -> tuple[Promise, ...]:
    s = certificate.start
    factor = 1 - step_size * s.level / 4
    if not (s.level > 0 and 0 <= factor < 1):
        return ()
    travel = 4 * s.rho_0.value / s.level
    hidden, implicit = 3 * b * s.norm_x.value, 8 * b * s.gamma * s.c * math.sqrt(s.n)
    return (
        Promise("loss at the theorem's rate", "loss", "<=", s.rho_0.value**2 / 2, factor**2),
        *s.stays(),
        Promise("‖u‖ ≤ b√m", "readout_norm", "<=", b * s.root, conclusion=False),
        Promise("‖v‖ ≤ b√m", "skip_norm", "<=", b * s.root, conclusion=False),
        Promise("‖W − W(0)‖_F ≤ 12τb‖X‖‖r₀‖/λ", "distance_hidden", "<=", tau * hidden * travel, conclusion=False),
        Promise("‖A − A(0)‖_F ≤ 8τbγ‖Z‖‖r₀‖/λ", "distance_implicit", "<=", tau * implicit * travel, conclusion=False),
    )
