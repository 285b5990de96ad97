r"""Stochastic gradient descent on one filter: Theorem 6.4 repaired, as printed, and the linear rate of exact labels.

**The repair.** Inside the ball of radius r₁ around w*, E‖w⁺ − w*‖² ≤ (1 − 2ηγ₁)‖w − w*‖² + η²B². With weights
(1 − 2ηγ₁)^(−t), and the exit from the ball compared under the same weights, Azuma's inequality bounds the probability of ever
leaving by δ; Markov's inequality on ‖w_T − w*‖², not on a difference that can be negative, costs another δ and makes η
proportional to δ. The printed proof bounds a quantity that grows exponentially in T by a linear one.
"""

import dataclasses
import math
from typing import ClassVar

import equinox as eqx

from ..._core import Estimate
from ..certificate import Hypothesis, Promise, Verdict
from ..estimated import AbstractEstimated, estimate, over
from .start import MODEL, PAPER, Start


class StochasticDescent(AbstractEstimated):
    """‖w_T − w*‖ ≤ ε‖w*‖ with probability at least 1 − 2δ, for the corrected step size and number of steps.

    `start` has the constants up to φ₁, between φ₀ and φ*; `angle_1` φ₁; `norm` ‖w*‖; `gradient_bound` B ≥ ‖g‖ in the ball of
    radius r₁ = ‖w*‖ sin φ₁ (infinite for unbounded patches); `accuracy` ε; `delta`; `steps` T.
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 6.4, repaired"
    statement: ClassVar[str] = "stochastic descent: ‖w_T − w*‖ ≤ ε‖w*‖ with probability at least 1 − 2δ"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = tuple(f"du2018-filter-6.{i}" for i in (11, 12, 13, 14))
    assumed: ClassVar[str] = f"{MODEL}; the inputs of different steps are independent"

    start: Start
    angle_1: float
    norm: float
    gradient_bound: float
    accuracy: float
    delta: float
    steps: int

    def __check_init__(self):
        for name, value in (("accuracy", self.accuracy), ("delta", self.delta)):
            if not 0 < value < 1:
                raise ValueError(f"{name}: a number strictly between 0 and 1 expected, {value!r} came")

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """γ₁ > 0, the ball, and the three conditions on η and T."""
        s, eta = self.start, self.start.step_size
        gamma, b = s.margin, self.gradient_bound
        r_0, r_1 = s.distance * self.norm, self.norm * math.sin(self.angle_1)
        target = self.delta * self.accuracy**2 * self.norm**2
        drift = eta * b**2 / (2 * gamma) if gamma > 0 else math.inf
        step = 4 * eta * b * r_1 + eta**2 * b**2
        room = r_1**2 - max(r_0**2, drift)
        exit_margin = eta * gamma * room**2 / step**2 if room > 0 and 0 < step < math.inf else 0.0
        steps = math.log(max(2 * r_0**2 / target, 1.0)) / (2 * eta * gamma) if eta > 0 and gamma > 0 else math.inf
        return (
            *s.all_directions(),
            Hypothesis.at_most("φ₁ ≤ π/2", self.angle_1, math.pi / 2),
            Hypothesis.at_least("γ₁ = γ(φ₁) − 6L_cross > 0", gamma, 0.0, strict=True),
            Hypothesis.at_most("‖w₀ − w*‖ < r₁", r_0, r_1, strict=True),
            s.positive_step(),
            Hypothesis.at_most("2ηγ₁ ≤ 1", 2 * eta * gamma, 1.0),
            Hypothesis.at_most(
                "η ≤ δε²γ₁‖w*‖²/B²", eta, target * max(gamma, 0.0) / b**2, note="printed: without δ, and γ₁ squared"
            ),
            Hypothesis.at_least(
                "ηγ₁(r₁² − max(r₀², ηB²/2γ₁))²/(4ηBr₁ + η²B²)² ≥ ln(T/δ)",
                exit_margin,
                math.log(self.steps / self.delta),
            ),
            Hypothesis.at_least("T ≥ ln(2r₀²/(δε²‖w*‖²))/(2ηγ₁)", self.steps, steps),
        )

    def planned(self) -> "StochasticDescent | None":
        """The same theorem with a step size and a number of steps under which it holds, whatever its own; `None` if none do.

        η is the largest of (4/5)^j times its first bound, T the least for it.
        """
        gamma = self.start.margin
        r_0 = self.start.distance * self.norm
        if not gamma > 0 or not math.isfinite(self.gradient_bound) or not r_0 < self.norm * math.sin(self.angle_1):
            return None
        eta = min(self.largest_step, 1 / (2 * gamma))
        target = self.delta * self.accuracy**2 * self.norm**2
        for _ in range(100):
            steps = math.ceil(math.log(max(2 * r_0**2 / target, 1.0)) / (2 * eta * gamma)) + 1
            found = dataclasses.replace(self, start=dataclasses.replace(self.start, step_size=eta), steps=steps)
            if found.verdict is Verdict.HOLDS:
                return found
            eta *= 0.8
        return None

    def promises(self) -> tuple[Promise, ...]:
        """The distance at step T."""
        if self.verdict is Verdict.FAILS:
            return ()
        return (Promise("‖w_T − w*‖ ≤ ε‖w*‖", "distance_ratio", "<=", self.accuracy, start=self.steps),)

    @property
    def largest_step(self) -> float:
        """δε²γ₁‖w*‖²/B², the first of the three conditions."""
        gamma = max(self.start.margin, 0.0)
        return self.delta * self.accuracy**2 * gamma * self.norm**2 / self.gradient_bound**2


class StochasticDescentPrinted(AbstractEstimated):
    """Theorem 6.4 as printed: orders of η and T without constants, from a proof whose central inequality is reversed."""

    source: ClassVar[str] = f"{PAPER}, Theorem 6.4 as printed"
    statement: ClassVar[str] = "stochastic descent: ‖w_T − w*‖ ≤ ε‖w*‖ with probability at least 1 − δ"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = StochasticDescent.errata_ids
    assumed: ClassVar[str] = MODEL

    start: Start
    accuracy: float
    norm: float
    gradient_bound: float

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """γ₁ > 0; the step size has no constant."""
        s = self.start
        note = "the source gives the order ε²(γ₁)²‖w*‖²/B², not the constant; and its proof fails"
        return (
            *s.all_directions(),
            Hypothesis.at_least("γ(φ₁) > 6 L_cross", s.gamma.value, 6 * s.cross.value, strict=True),
            Hypothesis.at_most("η ≤ c ε²(γ₁ − 6L_cross)²‖w*‖²/B²", s.step_size, None, note=note),
        )


class RealizableDescent(AbstractEstimated):
    """E‖w⁺ − w*‖² ≤ (1 − 2ηγ₁ + η²s)‖w − w*‖² inside the ball: with exact labels no noise is left at w*.

    `longest` R with ‖Z_i‖ ≤ R; `batch` inputs a step. s = min{R⁴, (L + 10L_cross + 4β)² + R⁴/batch}: no gradient of an input
    is longer than R²‖w − w*‖, and the mean of a batch deviates from the population's with a variance smaller by the batch.
    One step in expectation, and as long as the filter stays in the ball of `start`; with adaptive steps the first one.
    """

    source: ClassVar[str] = "globalmin, beside Theorem 6.4 of Du's thesis"
    statement: ClassVar[str] = "stochastic descent on exact labels contracts linearly in expectation, with no floor"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-filter-6.14",)
    assumed: ClassVar[str] = f"{MODEL}; the filter stays in the ball"

    start: Start
    longest: Estimate = eqx.field(converter=estimate)
    batch: int = 1

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """γ₁ > 0 and η < 2γ₁/s."""
        s = self.start
        limit = over(2 * max(s.margin, 0.0), self.square) if math.isfinite(self.square) else 0.0
        return (
            *s.all_directions(),
            s.inside(),
            Hypothesis.at_least("γ₁ = γ − 6L_cross > 0", s.margin, 0.0, strict=True),
            s.positive_step(),
            Hypothesis.at_most("η < 2γ₁/min{R⁴, (L + 10L_cross + 4β)² + R⁴/batch}", s.step_size, limit, strict=True),
        )

    @property
    def square(self) -> float:
        """s, a bound of E‖g‖² in squares of the distance."""
        fourth = self.longest.value**4
        return min(fourth, self.start.slope**2 + fourth / self.batch)

    @property
    def factor(self) -> float:
        """1 − 2ηγ₁ + η²s."""
        s = self.start
        return 1 - 2 * s.step_size * s.margin + s.step_size**2 * self.square
