"""Gradient descent on one filter: one neuron (Theorems 6.1, 6.2), many patches (6.3), closeness (6.5), random starts (6.6)."""

import math
from typing import ClassVar

import equinox as eqx

from ..._core import Estimate
from ..certificate import AbstractCertificate, Hypothesis, Promise, Verdict
from ..estimated import AbstractEstimated, estimate, over, stated
from .start import MODEL, PAPER, Start


class Converges(AbstractEstimated):
    """One neuron: descent that makes the loss smaller and converges, converges to w* (Theorem 6.1).

    `least`: the smallest eigenvalue of E[ZZᵀ1{wᵀZ ≥ 0, w*ᵀZ ≥ 0}] over the angles that were looked at, the last of which is
    `until`; `loss_0` and `loss_at_zero`: ℓ(w₀) and ℓ(0).
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 6.1"
    statement: ClassVar[str] = "a descent that makes the loss smaller and converges, converges to w*"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-filter-6.3",)
    assumed: ClassVar[str] = "steps so small that the loss falls; " + MODEL
    larger_is_better: ClassVar[tuple[str, ...]] = ("least", "loss_at_zero")

    patches: int
    least: Estimate = eqx.field(converter=estimate)
    until: float
    loss_0: Estimate = eqx.field(converter=estimate)
    loss_at_zero: Estimate = eqx.field(converter=estimate)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """One patch, A positive definite, and a start below the loss of the zero filter."""
        name = f"E[ZZᵀ1_A] > 0 up to the angle {self.until:.4g}"
        return (
            stated("k = 1", self.patches == 1, f"the theorem is about one neuron, {self.patches} patches came"),
            Hypothesis.at_least(name, self.least.value, 0.0, strict=True, note="the theorem asks it below π"),
            Hypothesis.at_most("ℓ(w₀) < ℓ(0)", self.loss_0.value, self.loss_at_zero.value, strict=True),
        )


class OneNeuron(AbstractEstimated):
    """‖w⁺ − w*‖² ≤ (1 − ηγ)‖w − w*‖² for one neuron and η ≤ γ/(L + 4β)² (Theorem 6.2 with the factor that its proof lost)."""

    source: ClassVar[str] = f"{PAPER}, Theorem 6.2, corrected"
    statement: ClassVar[str] = "one neuron: the distance to w* falls linearly from any start with ‖w₀ − w*‖ < ‖w*‖"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-filter-6.2", "du2018-filter-6.4", "du2018-filter-6.5")
    assumed: ClassVar[str] = MODEL

    start: Start

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """One patch, the ball, γ > 0 and the step size."""
        s = self.start
        limit = _allowed(s.gamma.value, s.largest.value + 4 * s.boundary.value)
        return (
            stated("k = 1", s.patches == 1, f"the theorem is about one neuron, {s.patches} patches came"),
            s.population(),
            *s.all_directions(),
            s.inside(),
            Hypothesis.at_least("γ(φ₀) > 0", s.gamma.value, 0.0, strict=True),
            s.positive_step(),
            Hypothesis.at_most("η ≤ γ/(L + 4β)²", s.step_size, limit),
        )

    def promises(self) -> tuple[Promise, ...]:
        """The squared distance at the rate, once with 1 − ηγ and, for half the step, with 1 − (3/2)ηγ."""
        if self.verdict is Verdict.FAILS:
            return ()
        s = self.worst().start
        limit = _allowed(s.gamma.value, s.largest.value + 4 * s.boundary.value)
        return _rate(s, s.gamma.value, 1.5 if s.step_size <= limit / 2 else 1.0)


class OneNeuronPrinted(AbstractEstimated):
    """Theorem 6.2 as printed: η ≤ γ/(2(L + 4β)²) and the ratio 1 − ηγ/2, a third of what that step size gives."""

    source: ClassVar[str] = f"{PAPER}, Theorem 6.2 as printed"
    statement: ClassVar[str] = OneNeuron.statement
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-filter-6.4",)
    assumed: ClassVar[str] = MODEL

    start: Start

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """As `OneNeuron`, with half the step size."""
        s = self.start
        limit = _allowed(s.gamma.value, s.largest.value + 4 * s.boundary.value) / 2
        return (
            stated("k = 1", s.patches == 1, f"the theorem is about one neuron, {s.patches} patches came"),
            s.population(),
            *s.all_directions(),
            s.inside(),
            Hypothesis.at_least("γ(φ₀) > 0", s.gamma.value, 0.0, strict=True),
            s.positive_step(),
            Hypothesis.at_most("η ≤ γ/(2(L + 4β)²)", s.step_size, limit),
        )

    def promises(self) -> tuple[Promise, ...]:
        """The squared distance at the printed rate."""
        return () if self.verdict is Verdict.FAILS else _rate(self.worst().start, self.worst().start.gamma.value, 0.5)


class ManyPatches(AbstractEstimated):
    """‖w⁺ − w*‖² ≤ (1 − (3/2)η(γ − 6L_cross))‖w − w*‖² for η ≤ (γ − 6L_cross)/(2(L + 10L_cross + 4β)²) (Theorem 6.3).

    With the least γ and the largest L up to φ₀: for several patches neither is monotone. ⟨∇ℓ, w − w*⟩ is at least
    γ − 6L_cross and ‖∇ℓ‖ at most L + 10L_cross + 4β, in units of the distance.
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 6.3, corrected"
    statement: ClassVar[str] = "the distance to w* falls linearly from any start with ‖w₀ − w*‖ < ‖w*‖"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = tuple(f"du2018-filter-6.{i}" for i in (4, 7, 8, 9, 10))
    assumed: ClassVar[str] = MODEL

    start: Start

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """The ball, γ > 6L_cross and the step size."""
        s = self.start
        return (
            s.population(),
            *s.all_directions(),
            s.inside(),
            Hypothesis.at_least("γ > 6 L_cross", s.gamma.value, 6 * s.cross.value, strict=True),
            s.positive_step(),
            Hypothesis.at_most(
                "η ≤ (γ − 6L_cross)/(2(L + 10L_cross + 4β)²)", s.step_size, _allowed(s.margin, s.slope) / 2
            ),
        )

    def promises(self) -> tuple[Promise, ...]:
        """The squared distance at the rate, the inner product, and the gradient's length."""
        if self.verdict is Verdict.FAILS:
            return ()
        s = self.worst().start
        return (
            *_rate(s, s.margin, 1.5),
            Promise("⟨∇ℓ, w − w*⟩ ≥ (γ − 6L_cross)‖w − w*‖²", "inner_ratio", ">=", s.margin),
            Promise("‖∇ℓ‖ ≤ (L + 10L_cross + 4β)‖w − w*‖", "gradient_ratio", "<=", s.slope),
        )

    @property
    def factor(self) -> float:
        """1 − (3/2)η(γ − 6L_cross)."""
        return 1 - 1.5 * self.start.step_size * self.start.margin

    def steps(self, accuracy: float) -> int | None:
        """Steps until ‖w − w*‖ ≤ ε‖w*‖."""
        return self.start.steps_until(accuracy, self.factor)


ADAPTIVE = "descent with adaptive steps"
"""The method that reads η_t from the distance, as `train.DistanceSteps` names itself."""


class AdaptiveDescent(AbstractEstimated):
    """‖w_{t+1} − w*‖² ≤ (1 − (3/2)η_t(γ̲(φ_t) − 6L_cross))‖w_t − w*‖² for η_t chosen by φ_t = arcsin(‖w_t − w*‖/‖w*‖).

    Theorems 6.2 (one patch, L_cross = 0) and 6.3 with their adaptive steps, the least (γ − 6L_cross)/(2(L + 10L_cross + 4β)²)
    over φ ≤ φ_t: ⟨∇ℓ, w − w*⟩ and ‖∇ℓ‖ are bounded by the constants at θ_t ≤ φ_t. As φ_t falls the steps grow. `largest_step`
    is that least value at the start; `start.step_size` is η₀.
    """

    source: ClassVar[str] = f"{PAPER}, Theorems 6.2 and 6.3 with adaptive steps, corrected"
    statement: ClassVar[str] = "steps chosen by the distance: it falls linearly from any start with ‖w₀ − w*‖ < ‖w*‖"
    method: ClassVar[str] = ADAPTIVE
    errata_ids: ClassVar[tuple[str, ...]] = ManyPatches.errata_ids
    assumed: ClassVar[str] = MODEL

    start: Start
    largest_step: float

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """The ball, γ > 6L_cross and the first step size."""
        s = self.start
        return (
            s.population(),
            *s.all_directions(),
            s.inside(),
            Hypothesis.at_least("γ > 6 L_cross", s.gamma.value, 6 * s.cross.value, strict=True),
            s.positive_step(),
            Hypothesis.at_most(
                "η₀ ≤ min over φ ≤ φ₀ of (γ − 6L_cross)/(2(L + 10L_cross + 4β)²)", s.step_size, self.largest_step
            ),
        )

    def promises(self) -> tuple[Promise, ...]:
        """The squared distance at each step's own rate, and at the first one's throughout."""
        if self.verdict is Verdict.FAILS:
            return ()
        s = self.worst().start
        return (
            *_rate(s, s.margin, 1.5),
            Promise("the squared distance over 1 − (3/2)η_t(γ̲(φ_t) − 6L_cross)", "ratio_share", "<=", 1.0),
        )


class ManyPatchesPrinted(AbstractEstimated):
    """Theorem 6.3 as printed, with γ at φ₀ alone (`gamma_at`) and the ratio 1 − η(γ − 6L_cross)/2."""

    source: ClassVar[str] = f"{PAPER}, Theorem 6.3 as printed"
    statement: ClassVar[str] = ManyPatches.statement
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-filter-6.9",)
    assumed: ClassVar[str] = f"{MODEL}; γ falls with the angle, which is false for several patches"
    larger_is_better: ClassVar[tuple[str, ...]] = ("gamma_at",)

    start: Start
    gamma_at: Estimate = eqx.field(converter=estimate)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """As printed."""
        s, margin = self.start, self.gamma_at.value - 6 * self.start.cross.value
        return (
            s.population(),
            *s.all_directions(),
            s.inside(),
            Hypothesis.at_least("γ(φ₀) > 6 L_cross", self.gamma_at.value, 6 * s.cross.value, strict=True),
            s.positive_step(),
            Hypothesis.at_most(
                "η ≤ (γ − 6L_cross)/(2(L + 10L_cross + 4β)²)", s.step_size, _allowed(margin, s.slope) / 2
            ),
        )


class Closeness(AbstractEstimated):
    """γ ≥ γ_avg − P(patches disagree): close patches are as good as their mean, if few of them straddle a boundary.

    In place of Theorem 6.5, whose conclusions are false. `average`: γ(φ₀) of the mean patch; `disagreement`: the largest
    probability over filters at φ₀ that not all patches of an input are in A together, in squares of the longest patch;
    `cross`: L_cross, computed. HOLDS where they give γ > 6L_cross.
    """

    source: ClassVar[str] = f"{PAPER}, in place of Theorem 6.5"
    statement: ClassVar[str] = "γ(φ₀) > 6 L_cross because the patches of an input are close"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-filter-6.15", "du2018-filter-6.21")
    assumed: ClassVar[str] = MODEL
    larger_is_better: ClassVar[tuple[str, ...]] = ("average",)

    average: Estimate = eqx.field(converter=estimate)
    disagreement: Estimate = eqx.field(converter=estimate)
    cross: Estimate = eqx.field(converter=estimate)
    complete: bool = True

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """γ_avg − P > 6L_cross."""
        least = self.average.value - self.disagreement.value
        note = "printed: γ_avg − 4(1 − cos ρ) and L_cross ≤ 3μ, both false"
        rows = (
            Hypothesis.at_least("γ_avg − P(disagree) > 6 L_cross", least, 6 * self.cross.value, strict=True, note=note),
        )
        if self.complete:
            return rows
        return (*rows, Hypothesis.at_least("every filter at the angle was looked at", None, 1.0))


class RandomStart(AbstractCertificate):
    """w₀ uniform in the ball of radius α‖w*‖: ‖w₀ − w*‖ ≤ √(1 − α²)‖w*‖ with probability `probability` (Theorem 6.6).

    With α = cos φ* that is a start from which Theorem 6.3 applies (Corollary 6.1).
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 6.6 and Corollary 6.1"
    statement: ClassVar[str] = "a random start in a small ball is a good one with probability near ½"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-filter-6.16", "du2018-filter-6.17")
    assumed: ClassVar[str] = "w₀ uniform in the ball"

    dimension: int
    radius: float
    widest: float | None = None  # φ*; None where γ is never above 6 L_cross

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """α ≤ 1/√(2πp), and cos φ* ≤ α for a start inside."""
        needed = math.inf if self.widest is None else math.cos(self.widest)
        note = "γ is nowhere above 6 L_cross" if self.widest is None else ""
        return (
            Hypothesis.at_least("α > 0", self.radius, 0.0, strict=True),
            Hypothesis.at_most("α ≤ 1/√(2πp)", self.radius, 1 / math.sqrt(2 * math.pi * self.dimension)),
            Hypothesis.at_least("α ≥ cos φ*", self.radius, needed, note=note),
        )

    @property
    def probability(self) -> float:
        """½ − αΓ(p/2 + 1)/(√π Γ(p/2 + ½)), sharper than the printed ½ − α√(πp/2)."""
        p = self.dimension
        return 0.5 - self.radius * math.exp(math.lgamma(p / 2 + 1) - math.lgamma(p / 2 + 0.5)) / math.sqrt(math.pi)

    @property
    def printed_probability(self) -> float:
        """½ − α√(πp/2)."""
        return 0.5 - self.radius * math.sqrt(math.pi * self.dimension / 2)


def _allowed(margin: float, slope: float) -> float:
    return over(margin, slope**2) if margin > 0 else 0.0


def _rate(s: Start, margin: float, share: float) -> tuple[Promise, ...]:
    factor = 1 - share * s.step_size * margin
    if not 0 <= factor < 1:
        return ()
    limit = s.distance * (1 + 1e-12)
    return (
        Promise("‖w − w*‖ at the theorem's rate", "distance_ratio", "<=", limit, math.sqrt(factor)),
        Promise("the squared distance from step to step", "squared_ratio", "<=", factor),
        Promise("θ ≤ arcsin(‖w − w*‖/‖w*‖)", "angle_within", ">=", 1.0),
    )
