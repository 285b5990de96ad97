"""Theorems 5 and 6: spectra of the subnetworks and decorrelation of the samples, printed, and what is true instead."""

import math
from typing import ClassVar

from ..._core import Estimate
from ..certificate import Hypothesis, Promise
from ..estimated import AbstractEstimated, over
from .start import DRAWN, NO_CONSTANT, NUMBERS_ONLY, OURS, PAPER, THETA, Start


class SpectraPrinted(AbstractEstimated):
    """Theorem 5 as printed: α_x ≥ m/(12d_x), α_y ≥ m/(12d_y), β_x ≤ 27m/(4d_x), β_y ≤ 27m/(4d_y), if (50).

    Its probability is vacuous below widths of 10⁴ to 10⁷ (E15), and with the printed α_x (smallest eigenvalue of GᵀG) the
    bound itself is false unless m/d_x is at least 4 to 23, depending on the depth (E14).
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 5, as printed"
    statement: ClassVar[str] = "α_x, α_y, β_x, β_y within m/(12d) and 27m/(4d) along the whole path"
    errata_ids: ClassVar[tuple[str, ...]] = tuple(f"noy2021-E{k}" for k in (2, 10, 13, 14, 15))
    assumed: ClassVar[str] = DRAWN

    start: Start
    delta: float = 0.1

    @property
    def failure(self) -> float:
        """3L²√m exp(−θm/(4L) + 6√m + 3max(d_x, d_y)), its logarithm."""
        s = self.start
        exponent = -THETA * s.width / (4 * s.depth) + 6 * math.sqrt(s.width) + 3 * max(s.inputs, s.outputs)
        return math.log(3 * s.depth**2 * math.sqrt(s.width)) + exponent

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """The probability and (50)."""
        s = self.start
        left = s.depth * s.tau * 3 * math.sqrt(12 * s.depth / THETA) * math.exp(2 * THETA)
        return (
            *s.data(),
            Hypothesis.at_most(
                "log of the failure probability ≤ log δ", self.failure, math.log(self.delta), note=f"θ = {THETA:g}"
            ),
            Hypothesis.at_most("3Lτ√(12L) e^{2θ} θ^{−1/2} ≤ 1/9  (50)", left, 1 / 9, note="τ by its geometric sum"),
        )

    def promises(self) -> tuple[Promise, ...]:
        """The four bounds, held against the measured constants (α_x and β_x of the features)."""
        s = self.start
        x, y = s.width / s.inputs, s.width / s.outputs
        return (
            Promise("α_x ≥ m/(12d_x)", "alpha_x", ">=", x / 12),
            Promise("β_x ≤ 27m/(4d_x)", "beta_x", "<=", 27 * x / 4),
            Promise("α_y ≥ m/(12d_y)", "alpha_y", ">=", y / 12),
            Promise("β_y ≤ 27m/(4d_y)", "beta_y", "<=", 27 * y / 4),
        )


class SpectraMeasured(AbstractEstimated):
    """Theorem 5's four bounds, tested on the network at hand with α_x and β_x of ‖h‖²."""

    source: ClassVar[str] = f"{OURS}: the conclusion of Theorem 5, measured at the start"
    statement: ClassVar[str] = "at the start α_x, α_y, β_x, β_y are within m/(12d) and 27m/(4d)"
    errata_ids: ClassVar[tuple[str, ...]] = ("noy2021-E2", "noy2021-E14")
    assumed: ClassVar[str] = NUMBERS_ONLY

    start: Start

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Measured against printed."""
        s = self.start
        x, y = s.width / s.inputs, s.width / s.outputs
        found = s.printed_alpha_x
        note = "" if found is None else f"as printed, λ_min(GᵀG): {found.value:.4g}"
        return (
            Hypothesis.at_least("min ‖h‖² ≥ m/(12d_x)", s.alpha_x.value, x / 12, note=note),
            Hypothesis.at_most("max ‖h‖² ≤ 27m/(4d_x)", s.beta_x.value, 27 * x / 4),
            Hypothesis.at_least("min λ_min(FFᵀ) ≥ m/(12d_y)", s.alpha_y.value, y / 12),
            Hypothesis.at_most("max λ_max(FFᵀ) ≤ 27m/(4d_y)", s.beta_y.value, 27 * y / 4),
        )


class DecorrelationPrinted(AbstractEstimated):
    """Theorem 6 as printed: γ ≤ C″(L³τ² + δ(5/6)^L + m^{−1/2}) if L^{3/2}τ < 1. False for the printed gates (E11, E12)."""

    source: ClassVar[str] = f"{PAPER}, Theorem 6 with Lemma 4, as printed"
    statement: ClassVar[str] = "γ ≤ C″(L³τ² + δ(5/6)^L + m^{−1/2})"
    errata_ids: ClassVar[tuple[str, ...]] = ("noy2021-E11", "noy2021-E12")
    assumed: ClassVar[str] = DRAWN

    start: Start
    constant: float | None = None

    @property
    def order(self) -> float:
        """L³τ² + δ(5/6)^L + m^{−1/2}."""
        s = self.start
        return s.depth**3 * s.tau**2 + s.correlation * (5 / 6) ** s.depth + s.width**-0.5

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Assumption 1 as Lemma 4 needs it, the gates, and L^{3/2}τ < 1."""
        s = self.start
        bound = None if self.constant is None else self.constant * self.order
        gamma = over(s.off_diagonal.value, s.beta**2)
        return (
            *s.data(),
            Hypothesis.at_most("δ = max |x_i·x_j| ≤ 1/3", s.correlation, 1 / 3),
            s.analysed_gates(),
            Hypothesis.at_most("L^{3/2}τ < 1", s.depth**1.5 * s.tau, 1.0, strict=True),
            Hypothesis.at_most("γ ≤ C″(L³τ² + δ(5/6)^L + m^{−1/2})", gamma, bound, note=NO_CONSTANT),
        )


class Decorrelation(AbstractEstimated):
    """What depth really does to γ: in the limit of infinite width (17) needs n c_L ≤ 1/2 for every pair of inputs.

    c_L is the correlation of the shares of two inputs (`kernels.c_infinity`); where all ‖h‖² and ‖F‖² are at their limits,
    γ = max c_L over pairs and layers at least. With chain gates c_L(0) falls like L^{−3}, with gates of the input 2^{−L}.
    """

    source: ClassVar[str] = f"{OURS}: Theorem 6 in the limit of infinite width"
    statement: ClassVar[str] = "the condition (17) can hold at some width: n max_ij c_L(x_i·x_j) ≤ 1/2"
    errata_ids: ClassVar[tuple[str, ...]] = ("noy2021-E11", "noy2021-E12")
    assumed: ClassVar[str] = "infinite width: this is about the limit, not about the network at hand"

    n: int
    correlation: Estimate  # max c_L over the pairs

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """n c_L ≤ 1/2."""
        return (Hypothesis.at_most("n max c_L ≤ 1/2", self.n * self.correlation.value, 0.5),)
