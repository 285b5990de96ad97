"""Initialisation: Propositions 3.1-3.2 (λ₀ > 0), Lemmas 3.1, 3.8, 3.15 (norms) and 3.2, 3.9, 3.16 (the Gram matrix)."""

import math
from typing import ClassVar

import equinox as eqx

from ..._core import Estimate, numerics
from ..certificate import Hypothesis
from ..estimated import AbstractEstimated, estimate, over
from .start import DRAWN, MEASURED, NO_CONSTANT, NUMBERS_ONLY, PAPER, Smooth, check_probability, geometric

GAUSS = math.sqrt(2 / math.pi)  # E|z|


class PositiveLimit(AbstractEstimated):
    """λ₀ = λ_min(K^(H)) > 0 for an analytic σ that is no polynomial, when no two inputs are parallel.

    Sufficient only. For images the inputs of the statement are the patches of one pixel, one per image: the source has no
    proposition there, and the argument for the residual network goes through pixel by pixel.
    """

    source: ClassVar[str] = f"{PAPER}, Propositions 3.1 and 3.2"
    statement: ClassVar[str] = "the limit kernel K^(H) is positive definite"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2019-2o", "du2019-2p", "du2019-3h", "du2019-4i")
    assumed: ClassVar[str] = NUMBERS_ONLY
    larger_is_better: ClassVar[tuple[str, ...]] = ("closest_angle", "lambda_0")

    activation: Smooth
    closest_angle: Estimate = eqx.field(converter=estimate)  # between the lines of two inputs, in [0, π/2]
    lambda_0: Estimate = eqx.field(converter=estimate)
    closest_pair: tuple[int, int] | None = None
    of_patches: bool = False

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Condition 3.2, and a positive angle between every two lines."""
        rows = "" if self.closest_pair is None else f"closest: rows {self.closest_pair[0]} and {self.closest_pair[1]}; "
        what = "one pixel has patches of which no two are parallel" if self.of_patches else "no two inputs are parallel"
        return (
            *self.activation.analyticity(),
            Hypothesis.at_least(
                f"{what}: smallest angle > 0",
                self.closest_angle.value,
                0.0,
                strict=True,
                note=f"{rows}computed λ₀ = {self.lambda_0.value:.6g}",
            ),
        )


class ResidualLimit(AbstractEstimated):
    """min over pairs of λ_min(K^(h)|_{ij}) ≥ κ₁ for 1 ≤ h ≤ H − 1, so that λ_min(K^(H)) falls no faster than 1/H².

    κ₁ = c_σ min_{i≠j} λ_min(Cov(σ(u_i), σ(u_j))), (u_i, u_j) ~ N(0, K^(0)|_{ij}), does not depend on H: layer 1 has no
    skip connection, but every later one has, and only adds. The printed bound λ_min(K^(0)|_{ij}) is not one.
    """

    source: ClassVar[str] = f"{PAPER}, Lemma 3.25, corrected"
    statement: ClassVar[str] = "no pair of inputs becomes parallel with the depth: λ_min(K^(h)|_{ij}) ≥ κ₁ > 0"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2019-3h",)
    assumed: ClassVar[str] = NUMBERS_ONLY
    larger_is_better: ClassVar[tuple[str, ...]] = ("kappa",)

    kappa: Estimate = eqx.field(converter=estimate)  # κ₁

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """κ₁ > 0."""
        return (Hypothesis.at_least("κ₁ > 0", self.kappa.value, 0.0, strict=True),)


class InitialNorms(AbstractEstimated):
    """Fully connected: ½ ≤ ‖x_i^(h)(0)‖ ≤ 2 for all i, h with probability 1 − δ, m ≥ 4c_σ²C₂ nH g_C(H)²/δ.

    C = c_σL(2|σ(0)|√(2/π) + 3L), C₂ bounds E σ(αz)⁴ over α ≤ 2. **Raises:** `ValueError` for counts below 1, δ outside (0, 1).
    """

    source: ClassVar[str] = f"{PAPER}, Lemma 3.1 with the constants of its proof"
    statement: ClassVar[str] = "½ ≤ ‖x_i^(h)(0)‖ ≤ 2 at every layer"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2019-2c", "du2019-2d")
    assumed: ClassVar[str] = DRAWN

    activation: Smooth
    n: int
    width: int
    depth: int
    delta: float

    def __check_init__(self):
        for name in ("n", "width", "depth"):
            numerics.check_count(name, getattr(self, name))
        check_probability(self.delta)

    @property
    def needed_width(self) -> float:
        """The right side of the condition on m."""
        s, big = abs(self.activation.sigma_0), self.activation.lipschitz
        c = self.activation.c_sigma * big * (2 * s * GAUSS + 3 * big)
        c_2 = s**4 + 8 * s**3 * big * GAUSS + 24 * s**2 * big**2 + 64 * s * big**3 * GAUSS + 48 * big**4
        growth = geometric(c, self.depth)
        return 4 * self.activation.c_sigma**2 * c_2 * self.n * self.depth * growth * growth / self.delta

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Condition 3.1 and the width."""
        return (
            *self.activation.hypotheses()[:2],
            Hypothesis.at_least("m ≥ 4c_σ²C₂ nH g_C(H)²/δ", self.width, self.needed_width),
        )


class ResidualInitialNorms(AbstractEstimated):
    """Residual: ½ ≤ ‖x_i^(1)(0)‖ ≤ 2 with probability 1 − δ, m ≥ (16/9)c_σ²C₂′ n/δ; the depth does not enter.

    For images ‖x_i^(1)(0)‖² ≥ c_σ/(2c′), m ≥ 4C₂′p²c′²n/δ, with c′ = 1/min E σ(αz)² over 1/√p ≤ α ≤ 1 (`c_low`).
    **Raises:** `ValueError` for counts below 1, δ outside (0, 1).
    """

    source: ClassVar[str] = f"{PAPER}, Lemmas 3.8 and 3.15 with the constants of their proofs"
    statement: ClassVar[str] = "‖x_i^(1)(0)‖ is bounded from below (and by 2 without patches)"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2019-3a", "du2019-3b", "du2019-3c", "du2019-4e", "du2019-4f")
    assumed: ClassVar[str] = DRAWN

    activation: Smooth
    n: int
    width: int
    delta: float
    pixels: int = 1
    c_low: float | None = None  # c′; None without patches

    def __check_init__(self):
        for name in ("n", "width", "pixels"):
            numerics.check_count(name, getattr(self, name))
        check_probability(self.delta)

    @property
    def needed_width(self) -> float:
        """The right side of the condition on m."""
        s, big = abs(self.activation.sigma_0), self.activation.lipschitz
        c_2 = s**4 + 4 * s**3 * big * GAUSS + 6 * s**2 * big**2 + 8 * s * big**3 * GAUSS + 3 * big**4
        if self.c_low is None:
            return 16 / 9 * self.activation.c_sigma**2 * c_2 * self.n / self.delta
        return 4 * c_2 * self.pixels**2 * self.c_low**2 * self.n / self.delta

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Condition 3.1 and the width."""
        name = "m ≥ (16/9)c_σ²C₂′n/δ" if self.c_low is None else "m ≥ 4C₂′p²c′²n/δ"
        return (*self.activation.hypotheses()[:2], Hypothesis.at_least(name, self.width, self.needed_width))


class InitialGramMeasured(AbstractEstimated):
    """‖G^(H)(0) − K^(H)‖ ≤ λ₀/4 on this very network, hence λ_min(G^(H)(0)) ≥ ¾λ₀: what the width is for."""

    source: ClassVar[str] = f"{PAPER}, Lemmas 3.2, 3.9 and 3.16, tested on this network"
    statement: ClassVar[str] = "‖G^(H)(0) − K^(H)‖ ≤ λ₀/4, hence λ_min(G^(H)(0)) ≥ 3λ₀/4"
    assumed: ClassVar[str] = NUMBERS_ONLY
    larger_is_better: ClassVar[tuple[str, ...]] = ("lambda_0",)

    gap: Estimate = eqx.field(converter=estimate)
    lambda_0: Estimate = eqx.field(converter=estimate)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """λ₀ > 0 and the distance."""
        lam = max(self.lambda_0.value, 0.0)
        return (
            Hypothesis.at_least("λ₀ > 0", lam, 0.0, strict=True),
            Hypothesis.at_most("‖G^(H)(0) − K^(H)‖ ≤ λ₀/4", self.gap.value, lam / 4, note=MEASURED),
        )


class InitialGramPrinted(AbstractEstimated):
    """Lemmas 3.2, 3.9, 3.16 as printed: orders. Undecided unless a `width_constant` is supposed.

    m = Ω(2^{O(H)} n² log(Hn/δ)/λ₀²) fully connected (the constant stands for the 2^{O(H)} too), without that factor
    residual, with p² on images.
    """

    source: ClassVar[str] = f"{PAPER}, Lemmas 3.2, 3.9 and 3.16 as printed"
    statement: ClassVar[str] = InitialGramMeasured.statement
    errata_ids: ClassVar[tuple[str, ...]] = (
        "du2019-2f",
        "du2019-2g",
        "du2019-5a",
        "du2019-5b",
        "du2019-5c",
        "du2019-5d",
    )
    assumed: ClassVar[str] = DRAWN
    larger_is_better: ClassVar[tuple[str, ...]] = ("lambda_0",)

    n: int
    width: int
    depth: int
    delta: float
    lambda_0: Estimate = eqx.field(converter=estimate)
    exponential: bool = True  # fully connected
    pixels: int = 1
    width_constant: float | None = None

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """λ₀ > 0 and the printed order."""
        lam, c = max(self.lambda_0.value, 0.0), self.width_constant
        order = initial_gram_order(self.n, self.depth, self.delta, lam, self.pixels)
        name = "m ≥ C n²ln(Hn/δ)/λ₀²" if self.pixels == 1 else "m ≥ C n²p²ln(Hnp/δ)/λ₀²"
        note = NO_CONSTANT + (", nor that of the factor 2^O(H)" if self.exponential else "")
        return (
            Hypothesis.at_least("λ₀ > 0", lam, 0.0, strict=True),
            Hypothesis.at_least(name, self.width, None if c is None else c * order, note="" if c else note),
        )


def initial_gram_order(n: int, depth: int, delta: float, lam: float, pixels: int = 1) -> float:
    """n²p² ln(Hnp/δ)/λ₀²; infinite where λ₀ = 0."""
    return over(n**2 * pixels**2 * math.log(depth * n * pixels / delta), lam * lam)
