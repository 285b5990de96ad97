"""Lemma 1, Theorem 2 and Theorem 4: what the random network looks like before training."""

import math
from typing import ClassVar

import equinox as eqx

from ..._core import Estimate, numerics
from ..certificate import Hypothesis
from ..estimated import AbstractEstimated, estimate, is_relu, optional_estimate, over
from .start import DRAWN, NUMBERS_ONLY, PAPER, check_probability, row_norms, small_variance


class HiddenNorm(AbstractEstimated):
    """Lemma 1 with its true constant: ‖W(0)‖ ≤ √2 σ_w (2 + t) with probability ≥ 1 − 2 exp(−mt²/2).

    The t of a failure probability δ is √(2 ln(2/δ)/m). **Raises:** `ValueError` unless 0 < `delta` < 1.
    """

    source: ClassVar[str] = f"{PAPER}, Lemma 1, corrected"
    statement: ClassVar[str] = "‖W(0)‖ ≤ √2 σ_w (2 + t) < 1: the equilibrium exists at initialisation"
    errata_ids: ClassVar[tuple[str, ...]] = ("ling2023-B2",)
    assumed: ClassVar[str] = "W_ij ~ N(0, 2σ_w²/m), independent"

    width: int
    sigma_w2: float
    delta: float
    norm_w: Estimate | None = eqx.field(converter=optional_estimate, default=None)

    def __check_init__(self):
        numerics.check_count("width", self.width)
        check_probability("delta", self.delta)

    @property
    def bound(self) -> float:
        """√2 σ_w (2 + t)."""
        return math.sqrt(2 * self.sigma_w2) * (2 + math.sqrt(2 * math.log(2 / self.delta) / self.width))

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """The variance of Assumption 1, and a bound below 1."""
        measured = "" if self.norm_w is None else f"; this network: ‖W(0)‖ = {self.norm_w.value:.6g}"
        return (
            small_variance(self.sigma_w2),
            Hypothesis.at_most(
                "√2 σ_w (2 + t) < 1", self.bound, 1.0, strict=True, note=f"t = √(2 ln(2/δ)/m){measured}"
            ),
        )


class HiddenNormPrinted(AbstractEstimated):
    """Lemma 1 as printed: ‖W(0)‖ ≤ 2√2 σ_w with probability ≥ 1 − exp(−Ω(m)).

    2√2 σ_w is where the spectrum ends as m → ∞, and about one network in seven lies above it at any width. So the
    lemma is undecided, and its conclusion is tested on this network.
    """

    source: ClassVar[str] = f"{PAPER}, Lemma 1 as printed"
    statement: ClassVar[str] = "‖W(0)‖ ≤ 2√2 σ_w"
    errata_ids: ClassVar[tuple[str, ...]] = ("ling2023-B2",)
    assumed: ClassVar[str] = "W_ij ~ N(0, 2σ_w²/m), independent"

    width: int
    sigma_w2: float
    norm_w: Estimate | None = eqx.field(converter=optional_estimate, default=None)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """The variance of Assumption 1, the unknown constant, and the conclusion itself."""
        found = [
            small_variance(self.sigma_w2),
            Hypothesis.at_least(
                "m ≥ c ln(1/δ)", self.width, None, note="no such c: true with probability about 0.85 only"
            ),
        ]
        if self.norm_w is not None:
            edge = 2 * math.sqrt(2 * self.sigma_w2)
            found.append(Hypothesis.at_most("‖W(0)‖ ≤ 2√2 σ_w (this network)", self.norm_w.value, edge))
        return tuple(found)


class InitialGram(AbstractEstimated):
    """Theorem 2 with explicit constants: a width that puts λ₀ above mλ_*/2 with probability at least 1 − t.

    With w ≥ ‖W(0)‖ and depth l = ⌈ln(15n/((1 − w)²λ_*))/ln(1/w)⌉,
    m ≥ (6075 n²/λ_*² + 180 n/λ_*) [ln(n(n+1)l/t) + 4l ln(1 + 1440n/λ_*)].
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 2, corrected, constants traced through the proof"
    statement: ClassVar[str] = "λ₀ ≥ mλ_*/2 at initialisation"
    errata_ids: ClassVar[tuple[str, ...]] = tuple(f"ling2023-B{k}" for k in (1, 4, 8, 9, 10, 11, 12, 13))
    assumed: ClassVar[str] = DRAWN
    larger_is_better: ClassVar[tuple[str, ...]] = ("lambda_star",)

    n: int
    width: int
    sigma_w2: float
    lambda_star: Estimate = eqx.field(converter=estimate)
    norm_w: Estimate = eqx.field(converter=estimate)
    delta: float  # the paper's t
    norm_deviation: float = 0.0
    activation: str = "relu"

    def __check_init__(self):
        numerics.check_count("n", self.n)
        numerics.check_count("width", self.width)
        check_probability("delta", self.delta)

    @property
    def depth(self) -> float:
        """The l of the proof; infinite where there is none."""
        w, lam = self.norm_w.value, self.lambda_star.value
        if not (w < 1 and lam > 0):
            return math.inf
        return 1.0 if w <= 0 else max(1.0, math.ceil(math.log(15 * self.n / ((1 - w) ** 2 * lam)) / math.log(1 / w)))

    @property
    def needed_width(self) -> float:
        """The right side of the condition on m."""
        n, lam, depth = self.n, self.lambda_star.value, self.depth
        if math.isinf(depth):
            return math.inf
        net = math.log(n * (n + 1) * depth / self.delta) + 4 * depth * math.log(1 + 1440 * n / lam)
        return (6075 * n**2 / lam**2 + 180 * n / lam) * net

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Assumptions, ‖W(0)‖ < 1, λ_* > 0 and the width."""
        return (
            is_relu(self.activation),
            small_variance(self.sigma_w2),
            row_norms(self.norm_deviation),
            Hypothesis.at_most("‖W(0)‖ < 1", self.norm_w.value, 1.0, strict=True),
            Hypothesis.at_least("λ_* > 0 (no two inputs coincide)", self.lambda_star.value, 0.0, strict=True),
            Hypothesis.at_least(
                "m ≥ (6075n²/λ_*² + 180n/λ_*)[ln(n(n+1)l/t) + 4l ln(1 + 1440n/λ_*)]",
                self.width,
                self.needed_width,
                note=f"l = {self.depth:g}; printed: m = Ω((n²/λ_*²) ln(n/(λ_*t))), no constant",
            ),
        )


class InitialGramPrinted(AbstractEstimated):
    """Theorem 2 as printed: an order, with one logarithm too few and no constant.

    Undecided unless a `width_constant` is supposed.
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 2 as printed"
    statement: ClassVar[str] = InitialGram.statement
    errata_ids: ClassVar[tuple[str, ...]] = ("ling2023-B1", "ling2023-B8")
    assumed: ClassVar[str] = DRAWN
    larger_is_better: ClassVar[tuple[str, ...]] = ("lambda_star",)

    n: int
    width: int
    sigma_w2: float
    lambda_star: Estimate = eqx.field(converter=estimate)
    delta: float  # the paper's t
    norm_deviation: float = 0.0
    activation: str = "relu"
    width_constant: float | None = None

    def __check_init__(self):
        numerics.check_count("n", self.n)
        numerics.check_count("width", self.width)
        check_probability("delta", self.delta)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Assumptions, λ_* > 0 and the printed order."""
        c, lam, needed = self.width_constant, self.lambda_star.value, None
        if c is not None:
            needed = math.inf if lam <= 0 else over(c * self.n**2, lam**2) * math.log(self.n / (lam * self.delta))
        return (
            is_relu(self.activation),
            small_variance(self.sigma_w2),
            row_norms(self.norm_deviation),
            Hypothesis.at_least("λ_* > 0 (no two inputs coincide)", lam, 0.0, strict=True),
            Hypothesis.at_least(
                "m ≥ c (n²/λ_*²) ln(n/(λ_*t))",
                self.width,
                needed,
                note="" if c else "the source gives the order, not the constant c; the proof has a second logarithm",
            ),
        )


class InitialGramMeasured(AbstractEstimated):
    """The conclusion of Theorem 2 tested on this network: λ₀ ≥ mλ_*/2. Holds far below the widths that it asks for."""

    source: ClassVar[str] = f"{PAPER}, conclusion of Theorem 2, measured"
    statement: ClassVar[str] = InitialGram.statement
    errata_ids: ClassVar[tuple[str, ...]] = ("ling2023-B8",)
    assumed: ClassVar[str] = NUMBERS_ONLY
    larger_is_better: ClassVar[tuple[str, ...]] = ("lambda_0",)

    width: int
    lambda_0: Estimate = eqx.field(converter=estimate)
    lambda_star: Estimate = eqx.field(converter=estimate)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """λ_* stands on the right, so its upper end is the hard one here."""
        half = self.width * self.lambda_star.value / 2
        ratio = over(self.lambda_0.value, 2 * half)
        note = f"λ₀/(mλ_*) = {ratio:.4g}" if math.isfinite(ratio) else "λ_* is not shown positive"
        return (
            Hypothesis.at_least("λ₀ > 0", self.lambda_0.value, 0.0, strict=True),
            Hypothesis.at_least("λ₀ ≥ mλ_*/2", self.lambda_0.value, half, note=note),
        )


class DepthGap(AbstractEstimated):
    """Theorem 4, explicit: |G_ij − G^(l)_ij|/m ≤ 2‖W‖^l/(1 − ‖W‖)² · max_i ‖z_i^(1)‖²/m, here at most `tolerance`.

    z^(l) is the l-th iterate from z^(0) = 0. Holds for every φ with φ(0) = 0 and slope at most 1; the paper's is ReLU.
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 4 with its constant"
    statement: ClassVar[str] = (
        "the Gram matrix of depth l is within the tolerance of the equilibrium's, per entry and neuron"
    )
    errata_ids: ClassVar[tuple[str, ...]] = ("ling2023-B2",)
    assumed: ClassVar[str] = NUMBERS_ONLY

    width: int
    depth: int
    norm_w: Estimate = eqx.field(converter=estimate)
    first_norm: Estimate = eqx.field(converter=estimate)  # max_i ‖z_i^(1)‖ = max_i ‖φ(U x_i)‖
    tolerance: float
    activation: str = "relu"

    def __check_init__(self):
        numerics.check_count("width", self.width)
        numerics.check_count("depth", self.depth)

    @property
    def bound(self) -> float:
        """The right side, infinite where ‖W‖ ≥ 1."""
        w = self.norm_w.value
        return over(2 * w**self.depth, (1 - w) ** 2) * self.first_norm.value**2 / self.width if w < 1 else math.inf

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """ReLU, ‖W‖ < 1, and the bound."""
        return (
            is_relu(self.activation),
            Hypothesis.at_most("‖W‖ < 1", self.norm_w.value, 1.0, strict=True),
            Hypothesis.at_most("2‖W‖^l/(1−‖W‖)² · max‖z_i^(1)‖²/m ≤ tolerance", self.bound, self.tolerance),
        )
