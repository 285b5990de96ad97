"""Theorem 4.5: rank-one factorisation with a constant step converges linearly, in two stages."""

import math
from typing import ClassVar

import equinox as eqx

from ..._core import numerics
from ..certificate import AbstractCertificate, Hypothesis, Promise
from .factorization import PAPER

C1 = 1 / (8 * (1 + 1e4))
"""c₁ of Lemma 4.6: α, β ≥ √(c₁σ₁) in the second stage."""


class RankOneStart(eqx.Module):
    """M = σ₁u*v*ᵀ and the first iterate: α = u₀·u*, β = v₀·v*, ξ = what is orthogonal, squared and summed.

    `rest` = σ₂(M), `dimension` d = max(d1, d2), `c_init` with entries of standard deviation c_init√(σ₁/d), `c_step` = ησ₁.
    """

    sigma: float
    rest: float
    dimension: int
    alpha: float
    beta: float
    xi: float
    c_init: float
    c_step: float

    @property
    def unit(self) -> float:
        """c_init√(σ₁/d), the standard deviation of the entries."""
        return self.c_init * math.sqrt(self.sigma / self.dimension)

    @property
    def first_stage(self) -> float:
        """1 + ln(√d/(0.2c_init))/ln(1 + c_step/3) ≥ T₁."""
        return 1 + max(math.log(math.sqrt(self.dimension) / (0.2 * self.c_init)), 0.0) / math.log1p(self.c_step / 3)

    def signal(self) -> tuple[Hypothesis, ...]:
        """One rank, the same sign, sizes in [0.1, 10] times the standard deviation, and steps downhill."""
        low, high = sorted((abs(self.alpha), abs(self.beta)))
        return (
            Hypothesis.at_least("c_step > 0", self.c_step, 0.0, strict=True),
            Hypothesis.at_most("σ₂(M) = 0, up to rounding", self.rest, 1e4 * numerics.EPS * self.sigma),
            Hypothesis.at_least(
                "α₀β₀ > 0", self.alpha * self.beta, 0.0, strict=True, note="a start without it also converges"
            ),
            Hypothesis.at_least("|α₀|, |β₀| ≥ 0.1 c_init√(σ₁/d)", low, 0.1 * self.unit),
            Hypothesis.at_most("|α₀|, |β₀| ≤ 10 c_init√(σ₁/d)", high, 10 * self.unit),
        )


class StageOne(AbstractCertificate):
    """Lemma 4.5, for t < T₁ = min{t: α² + β² ≥ σ₁/2}: α + β grows by 1 + c_step/3 to 1 + c_step a step, balanced to 100.

    Reachable: c_init ≤ 0.0288 and c_step ≤ 1 are all it asks. With both factors ≤ σ₁/2 + ξ ≤ ⅔σ₁ the contraction is not
    negative, and |α − β|/(α + β) ≤ 99/101 is kept as (1 − ¾c)q + c/6 ≤ (1 + c/3)q there.
    """

    source: ClassVar[str] = f"{PAPER}, Lemma 4.5, with explicit constants"
    statement: ClassVar[str] = (
        "stage 1: α, β keep their sign, ξ_t ≤ ξ₀, (α + β) grows by a factor in [1 + c_step/3, 1 + c_step], "
        "α/β ∈ [1/100, 100]; T₁ ≤ 1 + ln(√d/(0.2c_init))/ln(1 + c_step/3)"
    )
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-8a", "du2018-8b", "du2018-8d", "du2018-8e", "du2018-8f")

    start: RankOneStart

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The start, c_init and c_step."""
        s = self.start
        return (
            *s.signal(),
            Hypothesis.at_most(
                "ξ₀ ≤ 200 c_init² σ₁", s.xi, 200 * s.c_init**2 * s.sigma, note="printed: 100 c_init² σ₁"
            ),
            Hypothesis.at_most("200 c_init² ≤ 1/6", 200 * s.c_init**2, 1 / 6),
            Hypothesis.at_most("c_step = ησ₁ ≤ 1", s.c_step, 1.0),
        )

    def promises(self) -> tuple[Promise, ...]:
        """All of the lemma; the stage is over by its bound."""
        s = self.start
        return (
            Promise("(α + β) grows by at least 1 + c_step/3", "growth", ">=", 1 + s.c_step / 3),
            Promise("(α + β) grows by at most 1 + c_step", "growth", "<=", 1 + s.c_step),
            Promise("ξ_t ≤ ξ₀ in stage 1", "xi_one", "<=", 1.0),
            Promise("α/β and β/α ≤ 100 in stage 1", "ratio_one", "<=", 100.0),
            Promise("‖u‖² + ‖v‖² ≤ σ₁ in stage 1", "size_one", "<=", s.sigma),
            Promise("stage 1 is over", "stage_one", "<=", 0.0, start=math.ceil(s.first_stage)),
        )


class RankOne(AbstractCertificate):
    """Theorem 4.5 with its constants traced: they exist and are out of reach, a rate of about 1 − 10⁻¹⁰ per step.

    In fact ξ contracts by (1 − c_step)² and h by 1 − 2c_step near the minimum; `GlobalLimit` and `StageOne` are what a run can
    be held against.
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 4.5, corrected, with explicit constants"
    statement: ClassVar[str] = (
        "c₁ ≤ |α/β| ≤ 1/c₁ for all t, and ‖uvᵀ − M‖ ≤ εσ₁ after O(log(d/ε)) steps; c₁ = 1.25·10⁻⁵"
    )
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = tuple(f"du2018-8{k}" for k in "abcdef")

    start: RankOneStart

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """Those of stage 1, and c_init and c_step of Lemma 4.6."""
        s = self.start
        return (
            *StageOne(s).hypotheses(),
            Hypothesis.at_most(
                "c_init² ≤ c₁ ln 2/400",
                s.c_init**2,
                C1 * math.log(2) / 400,
                note="c_init ≤ 1.47·10⁻⁴; printed ξ₀: 2.08·10⁻⁴",
            ),
            Hypothesis.at_most("c_step ≤ c₁", s.c_step, C1, note="η(α² + α_⊥²) < 1 with α² ≤ σ₁/c₁ known only"),
        )

    def promises(self) -> tuple[Promise, ...]:
        """The ratio throughout, and h ≤ 0 in stage 2."""
        return (
            Promise("|α/β| ≥ c₁", "ratio", ">=", C1),
            Promise("|α/β| ≤ 1/c₁", "ratio", "<=", 1 / C1),
            Promise("αβ ≤ σ₁ in stage 2", "h_two", "<=", 0.0, conclusion=False),
        )


class RankOnePrinted(AbstractCertificate):
    """Theorem 4.5 as printed: N(0, δI) with δ = c_init√(σ₁/d) the variance, and no constants."""

    source: ClassVar[str] = f"{PAPER}, Theorem 4.5, as printed"
    statement: ClassVar[str] = "with constant probability c₀ ≤ |α/β| ≤ C₀, and error εσ₁ after O(log(d/ε)) steps"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = tuple(f"du2018-8{k}" for k in "abcde")

    start: RankOneStart
    variance: float  # of the entries of the start

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The printed variance, ξ₀, and the constants that are not there."""
        s = self.start
        return (
            *s.signal(),
            Hypothesis.at_least(
                "variance ≥ δ = c_init√(σ₁/d)", self.variance, s.unit,
                note="so large, the two hypotheses before and the next are essentially never met: δ is the standard deviation",
            ),
            Hypothesis.at_most("ξ₀ ≤ 100 c_init² σ₁", s.xi, 100 * s.c_init**2 * s.sigma),
            Hypothesis.at_most("c_init ≤ a universal constant", s.c_init, None, note="not given"),
            Hypothesis.at_most("c_step ≤ a universal constant", s.c_step, None, note="not given"),
        )  # fmt: skip
