"""Theorem 3.1: gradient flow, as printed, repaired (A-GF1), and on the block Φ (A-GF2)."""

import math
from typing import ClassVar

from ..certificate import Hypothesis, Promise
from ..estimated import AbstractEstimated, over
from .start import DRAWN, GAP, NO_CONSTANT, NUMBERS_ONLY, OURS, PAPER, Start


class GradientFlowPrinted(AbstractEstimated):
    """Theorem 3.1 with the conditions of Lemma 3.5 as printed. It has no instance.

    Its induction keeps ‖u‖ under a bound that does not grow with m, while ‖u(0)‖ = √m: the step that proves (ii) needs
    m ≤ `most_width`, the one that bounds W needs m ≥ `least_width`, and the second is at least 64 times the first as
    ‖X‖ ≥ 1 and λ₀ ≤ ½. An epoch of its promises is a unit of time.
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 3.1 with Lemma 3.5, as printed"
    statement: ClassVar[str] = "gradient flow: ‖r(t)‖² ≤ exp(−λ₀t)‖r₀‖², λ_min(G) ≥ λ₀/2, ‖A‖, ‖W‖ ≤ 2c√m for all t ≥ 0"
    method: ClassVar[str] = "flow"
    errata_ids: ClassVar[tuple[str, ...]] = tuple(f"gao2022-A{k}" for k in (3, 4, 5, 7, 8, 10))
    assumed: ClassVar[str] = DRAWN

    start: Start
    width_constant: float | None = None
    delta: float = 0.1

    @property
    def least_width(self) -> float:
        """2048c²n‖X‖²‖r₀‖²/λ₀³, what the bound on W needs."""
        s, lam = self.start, max(self.start.lambda_0.value, 0.0)
        return over(2048 * s.n * (s.c * s.norm_x.value * s.rho_0.value) ** 2, lam**3)

    @property
    def most_width(self) -> float:
        """64c²n‖r₀‖²/λ₀², what the bound on u needs."""
        s, lam = self.start, max(self.start.lambda_0.value, 0.0)
        return over(64 * s.n * (s.c * s.rho_0.value) ** 2, lam**2)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Assumptions, the order that Theorem 3.1 prints, the width of Lemma 3.5, and whether any width can serve."""
        s = self.start
        lam, k = max(s.lambda_0.value, 0.0), self.width_constant
        order = None if k is None else k * over(s.n**2 * math.log(s.n / self.delta), lam**2)
        return (
            *s.assumptions(),
            Hypothesis.at_least("m ≥ K (n²/λ₀²) ln(n/δ)", s.width, order, note="" if k else NO_CONSTANT),
            Hypothesis.at_least(
                "m ≥ 2048c²n‖X‖²‖r₀‖²/λ₀³", s.width, self.least_width, note="Lemma 3.5, the bound on W; printed as Ω(·)"
            ),
            # Written so that every estimate acts in one direction: m itself is bounded from both sides.
            Hypothesis.at_least(
                "some m has 2048c²n‖X‖²‖r₀‖²/λ₀³ ≤ m ≤ 64c²n‖r₀‖²/λ₀²: λ₀ ≥ 32‖X‖²",
                s.lambda_0.value,
                32 * s.norm_x.value**2,
                note=f"cannot hold: λ₀ ≤ ½ and ‖X‖ ≥ 1. The bound on u needs m ≤ {self.most_width:.4g}, the one on W "
                f"m ≥ {self.least_width:.4g}; ‖u(0)‖ = √m, so the printed induction never starts",
            ),
        )

    def promises(self) -> tuple[Promise, ...]:
        """The six printed conclusions; (ii) and (iii) can be wrong at the first iterate already."""
        s = self.worst().start
        if not s.level > 0:
            return ()
        moved = 8 * s.c * math.sqrt(s.n) * s.rho_0.value / s.level
        return (
            Promise("loss at the theorem's rate", "loss", "<=", s.rho_0.value**2 / 2, math.exp(-s.level)),
            *s.stays(),
            Promise("(ii) ‖u‖ ≤ 16c√n‖r₀‖/λ", "readout_norm", "<=", 2 * moved),
            Promise("(iii) ‖v‖ ≤ 8c√n‖r₀‖/λ", "skip_norm", "<=", moved),
        )


class GradientFlow(AbstractEstimated):
    """Theorem A-GF1: Theorem 3.1 with its induction done over for ‖u‖, ‖v‖ ≤ 2√m, condition (2.3), explicit constants.

    An epoch of its promises is a unit of time.
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 3.1, repaired (Theorem A-GF1)"
    statement: ClassVar[str] = "gradient flow: ‖r(t)‖² ≤ exp(−λt)‖r₀‖², λ_min(G) ≥ λ/2, ‖A‖, ‖W‖ ≤ 2c√m for all t ≥ 0"
    method: ClassVar[str] = "flow"
    errata_ids: ClassVar[tuple[str, ...]] = GradientFlowPrinted.errata_ids
    assumed: ClassVar[str] = f"{NUMBERS_ONLY}; at the kinks of the ReLU the flow is the limit of small steps"

    start: Start

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Assumptions, ‖u‖ and ‖v‖ up to 2√m with the way that they go, and the two widths of (2.3)."""
        s = self.start
        rho, x, lam = s.rho_0.value, s.norm_x.value, s.level
        moved = over(8 * s.c * math.sqrt(s.n) * rho, lam)
        return (
            *s.assumptions(),
            # Not ‖u(0)‖ ≤ √m, which is an equality at ±1 and would stay inside its rounding error for ever.
            Hypothesis.at_most("‖u(0)‖ + 8c√n‖r₀‖/λ ≤ 2√m", s.norm_u.value + moved, 2 * s.root),
            Hypothesis.at_most("‖v(0)‖ + 4c√n‖r₀‖/λ ≤ 2√m", s.norm_v.value + moved / 2, 2 * s.root),
            Hypothesis.at_least(
                "(2.3) m ≥ 64c²n‖r₀‖²/λ²", s.width, over(64 * s.n * (s.c * rho) ** 2, lam**2), note="u, v and A"
            ),
            Hypothesis.at_least(
                "(2.3) m ≥ (24/(√3−√2))²‖X‖⁴‖r₀‖²/λ³",
                s.width,
                over((12 / GAP * x**2 * rho) ** 2, lam**3),
                note="W stays within R′; printed: m = Ω(c²n‖X‖²‖r₀‖²/λ₀³) in Lemma 3.5 and Ω((n²/λ₀²) ln(n/δ)) in the "
                "theorem, no constants",
            ),
        )

    def promises(self) -> tuple[Promise, ...]:
        """The six conclusions; the radii are steps of the proof."""
        s = self.worst().start
        if not s.level > 0:
            return ()
        travel = 2 * s.rho_0.value / s.level  # ∫‖r‖
        return (
            Promise("loss at the theorem's rate", "loss", "<=", s.rho_0.value**2 / 2, math.exp(-s.level)),
            *s.stays(),
            Promise("‖u‖ ≤ 2√m", "readout_norm", "<=", 2 * s.root),
            Promise("‖v‖ ≤ 2√m", "skip_norm", "<=", 2 * s.root),
            Promise(
                "‖W − W(0)‖_F ≤ 12‖X‖‖r₀‖/λ", "distance_hidden", "<=", 6 * s.norm_x.value * travel, conclusion=False
            ),
            Promise(
                "‖A − A(0)‖_F ≤ 8√n‖r₀‖/λ", "distance_implicit", "<=", 4 * math.sqrt(s.n) * travel, conclusion=False
            ),
        )


class BlockFlow(AbstractEstimated):
    """Theorem A-GF2: gradient flow converges at rate σ_∞² along a path no longer than R_*, condition (2.4).

    σ = σ_min(Φ(0)), σ_∞² = σ² − 2ℓ‖r₀‖ with ℓ = sup|σ′|‖X‖/√m, R_* = (σ − σ_∞)/ℓ. For every Lipschitz activation, for any
    read-out, and from any iterate (which is then the one with index 0). An epoch of its promises is a unit of time.
    """

    source: ClassVar[str] = f"{OURS}: Theorem A-GF2, gradient flow on the block Φ"
    statement: ClassVar[str] = "gradient flow: ‖r(t)‖ ≤ exp(−σ_∞² t)‖r₀‖, path ≤ R_*, limit of zero loss"
    method: ClassVar[str] = "flow"
    errata_ids: ClassVar[tuple[str, ...]] = ("gao2022-A3", "gao2022-A4", "gao2022-A10")
    assumed: ClassVar[str] = f"{NUMBERS_ONLY}; at the kinks of the ReLU the flow is the limit of small steps"

    start: Start

    @property
    def lipschitz(self) -> float:
        """ℓ = sup|σ′|‖X‖/√m."""
        return self.start.slope * self.start.norm_x.value / self.start.root

    @property
    def sigma_inf(self) -> float | None:
        """σ_∞; `None` where it is imaginary."""
        square = self.start.sigma**2 - 2 * self.lipschitz * self.start.rho_0.value
        return math.sqrt(square) if square > 0 else None

    @property
    def path(self) -> float:
        """R_*, in the form that keeps its digits; infinite where there is none."""
        return math.inf if self.sigma_inf is None else 2 * self.start.rho_0.value / (self.start.sigma + self.sigma_inf)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """σ > 0, h < ½, and well-posedness on the whole path."""
        s, square = self.start, self.start.sigma**2
        needed = over(2 * s.slope * s.norm_x.value * s.rho_0.value, square) ** 2
        return (
            Hypothesis.at_least("λ_min(G(0)) > 0", s.features_0.value, 0.0, strict=True),
            Hypothesis.at_most(
                "(2.4) 2ℓ‖r₀‖ < λ_min(G(0))",
                2 * self.lipschitz * s.rho_0.value,
                square,
                strict=True,
                note=f"ℓ = sup|σ′|‖X‖/√m; would hold for ‖r₀‖ < {over(square, 2 * self.lipschitz):.4g}, or for "
                f"m > {needed:.4g} at this residual and λ_min(G(0))",
            ),
            Hypothesis.at_most(
                "(2.4) sup|σ′| γ(‖A(0)‖ + R_*)/√m < 1",
                s.slope * (s.operator_norm.value + s.gamma * self.path / s.root),
                1.0,
                strict=True,
            ),
        )

    def promises(self) -> tuple[Promise, ...]:
        """Loss, λ_min(G) and λ_min(H), path, and the two norms of A; none where σ_∞ does not exist."""
        me = self.worst()
        s, inf = me.start, me.sigma_inf
        if inf is None:
            return ()
        moved = s.gamma * me.path / s.root
        return (
            Promise("loss at rate 2σ_∞²", "loss", "<=", s.rho_0.value**2 / 2, math.exp(-2 * inf**2)),
            Promise("λ_min(G) ≥ σ_∞²", "lambda_min_features", ">=", inf**2),
            Promise("λ_min(H) ≥ σ_∞²", "lambda_min", ">=", inf**2),
            Promise("path ≤ R_*", "distance", "<=", me.path),
            Promise("‖W − W(0)‖_F ≤ R_*", "distance_hidden", "<=", me.path),
            Promise("‖A − A(0)‖_F ≤ R_*", "distance_implicit", "<=", me.path),
            Promise("g‖A‖ ≤ g‖A(0)‖ + gR_*", "operator_norm", "<=", s.operator_norm.value + moved),
            Promise("g λ_max(sym A) ≤ its first value + gR_*", "one_sided_norm", "<=", s.one_sided.value + moved),
        )
