"""Lemmas 17 and 18 (Grönwall), Proposition 2 and Lemma 2 (from the residual network to the ODE), with explicit constants."""

import math
from typing import ClassVar

from ..._core import Estimate
from ..certificate import Hypothesis
from ..estimated import AbstractEstimated, over, stated
from .start import NO_CONSTANT, NUMBERS_ONLY, PAPER, Start


class Growth(AbstractEstimated):
    """Lemma 17 with φ(0), sup|φ′| and the scalings in it: no state and no adjoint grows faster than Grönwall allows.

    `state` and `adjoint` are the largest ‖h_t‖ and ‖λ_t‖ that were found, of the ODE or of the residual network.
    """

    source: ClassVar[str] = f"{PAPER}, Lemma 17, repaired"
    statement: ClassVar[str] = (
        "‖h_t‖ ≤ e^{ωt}‖h_0‖ + |φ(0)|√m(e^{ωt} − 1)/sup|φ′|, ‖λ_t‖ ≤ (σ_v/√m)sup|φ′|‖v‖e^{ω(T−t)}"
    )
    errata_ids: ClassVar[tuple[str, ...]] = ("gao2025-C6",)
    assumed: ClassVar[str] = NUMBERS_ONLY

    start: Start
    state: float
    adjoint: float

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """φ Lipschitz, and the two bounds at the end that they are largest at."""
        s = self.start
        return (
            s.smooth()[0],
            Hypothesis.at_most("max ‖h_t‖ ≤ its bound at T", self.state, s.states(s.horizon) * (1 + 1e-12)),
            Hypothesis.at_most("max ‖λ_t‖ ≤ its bound at 0", self.adjoint, s.adjoints(0.0) * (1 + 1e-12)),
        )


class GrowthPrinted(AbstractEstimated):
    """Lemma 17 as printed: ‖h_t‖ ≤ ‖U‖‖x‖e^{σt‖W‖/√n}, for σ_u/√d = σ_v = sup|φ′| = 1. It says nothing where φ(0) ≠ 0."""

    source: ClassVar[str] = f"{PAPER}, Lemma 17 as printed"
    statement: ClassVar[str] = "‖h_t‖ ≤ ‖U‖‖x‖ exp(σt‖W‖/√n), ‖λ_t‖ ≤ (‖v‖/√n) exp(σ(T−t)‖W‖/√n)"
    errata_ids: ClassVar[tuple[str, ...]] = ("gao2025-C6",)
    assumed: ClassVar[str] = NUMBERS_ONLY

    start: Start
    state: float
    adjoint: float

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """The normalisation that the slides state, and the printed bounds."""
        s = self.start
        grown = math.exp(min(s.w_scale * s.norm_w.value * s.horizon, 709.0))
        return (
            stated(
                "sup|φ′| = σ_v = σ_u/√d = 1", s.slope == s.sigma_v == s.u_scale == 1, "the slides normalise them to 1"
            ),
            Hypothesis.at_most("φ(0) = 0", s.phi0, 0.0, note="the printed proof uses |φ(z)| ≤ |z|" if s.phi0 else ""),
            Hypothesis.at_most("max ‖h_t‖ ≤ ‖U‖‖x‖e^{σT‖W‖/√n}", self.state, grown * s.norm_u.value * s.x_max),
            Hypothesis.at_most("max ‖λ_t‖ ≤ (‖v‖/√n)e^{σT‖W‖/√n}", self.adjoint, grown * s.norm_v.value / s.root),
        )


class Sensitivity(AbstractEstimated):
    """Lemma 18 repaired: how far states and adjoints of two parameter vectors can be apart.

    `start` has the norms of the first, `other` the larger ones of the second where they are (‖W‖, |v|_∞ and the columns of W
    enter by the larger of both); `du`, `dw`, `dv` are the distances of the blocks, `state` and `adjoint` what was found.
    With ω from the larger ‖W‖ and g = sup|φ′|(σ_u/√d)‖U‖‖x‖ + |φ(0)|√m:

        ‖h − h̄‖ ≤ δ = e^{ωT}((σ_u/√d)‖dU‖‖x‖ + T(σ_w/√m)‖dW‖ g),
        ‖λ − λ̄‖ ≤ e^{ωT}[(σ_v/√m)(sup|φ′|‖dv‖ + sup|φ″||v|_∞ δ + T sup|φ′|²(σ_w/√m)‖dW‖‖v‖) ] + sup|φ″| B δ (e^{ωT} − 1)/ω,

    B ≥ |(σ_w/√m)Wᵀλ|_∞. The last two terms need the entrywise norms: with Euclidean ones the 1/√m is lost.
    """

    source: ClassVar[str] = f"{PAPER}, Lemma 18, repaired"
    statement: ClassVar[str] = "states and adjoints are Lipschitz in the parameters, with explicit constants"
    errata_ids: ClassVar[tuple[str, ...]] = ("gao2025-C6", "gao2025-C7", "gao2025-C8")
    assumed: ClassVar[str] = NUMBERS_ONLY

    start: Start
    other: Start
    du: float
    dw: float
    dv: float
    state: float
    adjoint: float

    @property
    def bounds(self) -> tuple[float, float]:
        """The right sides for ‖h − h̄‖ and ‖λ − λ̄‖."""
        one, two = self.start, self.other
        larger = max((one, two), key=lambda s: s.rate)
        grown, rate, t = larger.grown(one.horizon), larger.rate, one.horizon
        features = min(s.features(0.0) for s in (one, two))  # either may be the one that is varied along
        apart = grown * (one.u_scale * self.du * one.x_max + t * one.w_scale * self.dw * features)
        v_norm = max(s.norm_v.value for s in (one, two))
        v_max = max(s.v_max for s in (one, two))
        b = max(s.spread for s in (one, two)) * grown * one.v_scale * one.slope * v_norm
        stretch = (grown - 1) / rate if rate > 0 else t
        bend = one.bend * apart if apart > 0 else 0.0
        read = one.slope * self.dv + bend * v_max + t * one.slope * one.slope * one.w_scale * self.dw * v_norm
        return apart, grown * one.v_scale * read + b * bend * stretch

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Smoothness and the two bounds."""
        h, lam = self.bounds
        return (
            *self.start.smooth(),
            Hypothesis.at_most("max ‖h_t − h̄_t‖ ≤ its bound", self.state, h * (1 + 1e-9)),
            Hypothesis.at_most("max ‖λ_t − λ̄_t‖ ≤ its bound", self.adjoint, lam * (1 + 1e-9)),
        )


class GradientGap(AbstractEstimated):
    r"""Proposition 2 with its constant: ‖∇f^L − ∇f‖ ≤ C/L for each sample, and Lemma 2: |K^L_ij − K_ij| ≤ 2GC/L + (C/L)².

    With ω the rate, H, F, Λ the bounds of ‖h‖, ‖φ(h)‖, ‖λ‖ on [0, T] (Lemma 17), M = (σ_w/√m)‖W‖F the speed of h, B of
    |(σ_w/√m)Wᵀλ|_∞, and s = sup|φ′|, Euler's method with step Δ leaves, by its local error Δ²h″/2 and Grönwall,

        ‖h^L − h‖ ≤ c_h Δ,  c_h = M(e^{ωT} − 1)/2,
        ‖λ^L − λ‖ ≤ c_λ Δ,  c_λ = e^{ωT}(σ_v/√m)sup|φ″||v|_∞ c_h + ((e^{ωT} − 1)/ω)(sup|φ″|B(c_h + M/2) + ω²Λ/2),

    and the three gradients differ by (σ_v/√m)s c_h, (σ_u/√d)‖x‖c_λ and T(σ_w/√m)(c_λF + Λs c_h + (ωΛF + ΛsM)/2) times Δ. G
    bounds ‖∇f‖. `gap` and `kernel_gap` are the largest differences that were measured against a much finer grid.
    """

    source: ClassVar[str] = f"{PAPER}, Proposition 2 and Lemma 2, with explicit constants"
    statement: ClassVar[str] = "‖∇f^L − ∇f‖ ≤ C/L and |K^L − K| ≤ C′/L, with C and C′ from the norms"
    errata_ids: ClassVar[tuple[str, ...]] = ("gao2025-C1", "gao2025-C2", "gao2025-C8")
    assumed: ClassVar[str] = NUMBERS_ONLY

    start: Start
    gap: float
    kernel_gap: float

    @property
    def constants(self) -> tuple[float, float]:
        """C/L of the gradient, and the bound of the kernel's entries."""
        s = self.start
        t, rate, grown, dt = s.horizon, s.rate, s.grown(s.horizon), s.horizon / s.layers
        f, lam = s.features(t), s.adjoints(0.0)
        speed, b = s.w_scale * s.norm_w.value * f, s.spread * lam
        stretch = (grown - 1) / rate if rate > 0 else t
        c_h = speed * (grown - 1) / 2
        c_l = grown * s.v_scale * s.bend * s.v_max * c_h
        c_l += stretch * (s.bend * b * (c_h + speed / 2) + rate * rate * lam / 2)
        by_v, by_u = s.v_scale * s.slope * c_h, s.u_scale * s.x_max * c_l
        by_w = t * s.w_scale * (c_l * f + lam * s.slope * c_h + (rate * lam * f + lam * s.slope * speed) / 2)
        gap = dt * math.hypot(by_v, by_u, by_w)
        size = math.hypot(s.v_scale * f, s.u_scale * s.x_max * lam, t * s.w_scale * lam * f)
        return gap, 2 * size * gap + gap * gap

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Smoothness; measured against bound."""
        gap, kernel = self.constants if math.isfinite(self.start.bend * self.start.slope) else (math.inf, math.inf)
        return (
            *self.start.smooth(),
            Hypothesis.at_most("largest ‖∇f^L − ∇f‖ ≤ C/L", self.gap, gap, note="printed: C without a value"),
            Hypothesis.at_most("largest |K^L − K| ≤ C′/L", self.kernel_gap, kernel, note="printed: C without a value"),
        )


class PositiveLimit(AbstractEstimated):
    """Corollary 1 and Theorem 11: λ_min(K^∞) > 0 where Σ* has infinitely many terms and no two inputs share a line.

    Σ* = Σ_k a_k² ρ_T^{∘k} with a_k of φ(τ ·), τ² = C(T,T;x,x). For φ that is not odd an opposite pair is harmless if both
    even and odd k occur infinitely often; that is not checked here, and λ_min is: it is computed. For a polynomial the
    theorem is silent, though K^∞ may still be positive: h_T itself is no polynomial of x unless φ is a line.
    """

    source: ClassVar[str] = f"{PAPER}, Corollary 1 and Theorem 11, repaired"
    statement: ClassVar[str] = "K^∞ ≥ σ_v²Σ* is positive definite"
    errata_ids: ClassVar[tuple[str, ...]] = ("gao2025-C4", "gao2025-C5", "gao2025-C17")
    larger_is_better: ClassVar[tuple[str, ...]] = ("angle", "limit_0")

    angle: Estimate  # the smallest between the lines of two inputs
    limit_0: Estimate  # λ_min(K^∞)
    polynomial_degree: int | None
    activation: str = "tanh"

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Not a polynomial, no two inputs on a line, and the eigenvalue itself."""
        degree = self.polynomial_degree
        return (
            stated("φ is not a polynomial", degree is None, f"{self.activation} is one of degree {degree}"),
            Hypothesis.at_least("no two inputs on one line: smallest angle", self.angle.value, 0.0, strict=True),
            Hypothesis.at_least("λ_min(K^∞) > 0, computed", self.limit_0.value, 0.0, strict=True),
        )


class PositiveLimitPrinted(PositiveLimit):
    """The same as printed: x_i ≠ x_j is enough, φ odd or not. For tanh and x_j = −x_i it is wrong: K^∞ is singular."""

    source: ClassVar[str] = f"{PAPER}, Corollary 1 and Theorem 11 as printed"
    statement: ClassVar[str] = "Σ* is positive definite if and only if infinitely many a_k ≠ 0"

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Not a polynomial; the eigenvalue it speaks of."""
        polynomial, _, value = PositiveLimit.inequalities(self)
        return (polynomial, value)


class InitialGramMeasured(AbstractEstimated):
    """Proposition 4 with Theorem 2 as Theorem 3 uses them: λ_min(K_θ(0)) ≥ λ_min(K^∞)/2, tested on this network."""

    source: ClassVar[str] = f"{PAPER}, Proposition 4 and Theorem 2, tested"
    statement: ClassVar[str] = "λ_min(K_θ(0)) ≥ λ_min(K^∞)/2: where Lemma 16's 1/8 becomes Theorem 3's 1/16"
    errata_ids: ClassVar[tuple[str, ...]] = ("gao2025-C10",)
    assumed: ClassVar[str] = NUMBERS_ONLY
    larger_is_better: ClassVar[tuple[str, ...]] = ("lambda_0",)

    lambda_0: Estimate
    limit_0: Estimate

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """One inequality."""
        return (
            Hypothesis.at_least("λ_min(K^∞) > 0", self.limit_0.value, 0.0, strict=True),
            Hypothesis.at_least("λ_min(K_θ(0)) ≥ λ_min(K^∞)/2", self.lambda_0.value, self.limit_0.value / 2),
        )


class InitialGramPrinted(AbstractEstimated):
    """Theorem 2 as printed: K_θ tends to K^∞ as the width grows; no rate and no constant, so nothing about this network."""

    source: ClassVar[str] = f"{PAPER}, Theorem 2 as printed"
    statement: ClassVar[str] = "K_θ → K^∞ as n → ∞, for φ and φ′ Lipschitz"
    errata_ids: ClassVar[tuple[str, ...]] = ()

    start: Start
    width_constant: float | None = None

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Smoothness and the width that nobody gives."""
        s, k = self.start, self.width_constant
        needed = None if k is None else k * over(s.n**2, max(s.limit_0.value, 0.0) ** 2)
        return (
            *s.smooth(),
            Hypothesis.at_least("width large enough", s.width, needed, note="" if k else NO_CONSTANT),
        )
