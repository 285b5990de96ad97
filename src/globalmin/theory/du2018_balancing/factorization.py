"""Theorem 4.4 and Lemma 4.1: rank-r factorisation stays balanced under gradient descent, and so finds a global minimum."""

import math
from typing import ClassVar

import equinox as eqx
import numpy as np

from ..._core import numerics
from ..certificate import AbstractCertificate, Hypothesis, Promise

PAPER = "Du, Hu, Lee, NeurIPS 2018"


class FactorStart(eqx.Module):
    """M and the first iterate of rank r, in Frobenius norms.

    `norm` = ‖M‖, `rest` = σ_{r+1}(M) and `largest` = σ₁(M); `square_u` = ‖U₀‖², `square_v` = ‖V₀‖², `balance` =
    ‖U₀ᵀU₀ − V₀ᵀV₀‖; `epsilon`, the accuracy ε of the theorem. Steps η_t = η₀(t + 1)^(−exponent) for t < `epochs`.

    **Raises:** `ValueError` for an ε outside (0, ‖M‖).
    """

    rank: int
    norm: float
    largest: float
    rest: float
    square_u: float
    square_v: float
    balance: float
    epsilon: float
    step_size: float
    exponent: float
    epochs: int

    def __check_init__(self):
        if not 0 < self.epsilon < self.norm:
            raise ValueError(f"epsilon: a number in (0, ‖M‖_F = {self.norm:.4g}) expected, {self.epsilon} came")

    @property
    def beta(self) -> float:
        """(66√r + 2)‖M‖, a bound of the curvature while ‖U‖², ‖V‖² ≤ 11√r‖M‖."""
        return (66 * math.sqrt(self.rank) + 2) * self.norm

    @property
    def squares(self) -> float:
        """Σ_{t<T} η_t², from above: the tail of a decreasing term beyond 10⁶ is an integral."""
        p, exact = 2 * self.exponent, min(self.epochs, 10**6)
        total = float(np.sum(np.arange(1, exact + 1, dtype=float) ** -p))
        if self.epochs > exact:
            a, b = float(exact), float(self.epochs)
            total += math.log(b / a) if p == 1 else (b ** (1 - p) - a ** (1 - p)) / (1 - p)
        return self.step_size**2 * total * (1 + 1e-9)

    @property
    def printed_step(self) -> float:
        """√(ε/r)/(100‖M‖^(3/2)), the η₀ of the theorem."""
        return math.sqrt(self.epsilon / self.rank) / (100 * self.norm**1.5)

    def small(self) -> tuple[Hypothesis, ...]:
        """What the proof asks of the start, and steps downhill."""
        return (
            Hypothesis.at_least("η₀ > 0", self.step_size, 0.0, strict=True),
            Hypothesis.at_most("‖U₀‖² ≤ ε", self.square_u, self.epsilon),
            Hypothesis.at_most("‖V₀‖² ≤ ε", self.square_v, self.epsilon),
            Hypothesis.at_most("‖U₀ᵀU₀ − V₀ᵀV₀‖ ≤ ε/2", self.balance, self.epsilon / 2),
        )

    def exact_rank(self) -> Hypothesis:
        """rank(M) ≤ r; singular values of M are known to about d eps."""
        error = 1e4 * numerics.EPS * self.norm
        note = (
            "σ_{r+1} of the computed spectrum"
            if self.rest <= error
            else "M has a larger rank: no factorisation reaches it"
        )
        return Hypothesis.at_most("σ_{r+1}(M) = 0, up to rounding", self.rest, error, note=note)


class BalancedDescent(AbstractCertificate):
    """Lemma 4.1, for every t < T: balanced up to ε, f does not increase, ‖U‖², ‖V‖² ≤ 5√r‖M‖. For any steps.

    The drift of UᵀU − VᵀV is at most 40√r‖M‖³ Σ η_t², which must not exceed ε/2, and each step at most 1/β. The source has
    η_t ∝ 1/(t + 1); constant steps for T epochs and other exponents satisfy the same proof.
    """

    source: ClassVar[str] = f"{PAPER}, Lemma 4.1, with explicit constants"
    statement: ClassVar[str] = "gradient descent: ‖UᵀU − VᵀV‖ ≤ ε, f non-increasing and ≤ 2‖M‖², ‖U‖², ‖V‖² ≤ 5√r‖M‖"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-7.2", "du2018-7b", "du2018-7c", "du2018-7d")

    start: FactorStart

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """rank, start, and the two bounds of the steps."""
        s = self.start
        drift = 40 * math.sqrt(s.rank) * s.norm**3 * s.squares
        return (
            s.exact_rank(),
            *s.small(),
            Hypothesis.at_most("40√r‖M‖³ Σ_{t<T} η_t² ≤ ε/2", drift, s.epsilon / 2, note=f"T = {s.epochs} epochs"),
            Hypothesis.at_most(
                "η₀ < 1/β", s.step_size, 1 / s.beta, strict=True, note=f"β = (66√r + 2)‖M‖ = {s.beta:.6g}"
            ),
        )

    def promises(self) -> tuple[Promise, ...]:
        """Balance, loss, norms, and that every step descends."""
        s = self.start
        bound = 5 * math.sqrt(s.rank) * s.norm
        return (
            Promise("‖UᵀU − VᵀV‖ ≤ ε", "balance", "<=", s.epsilon),
            Promise("f ≤ 2‖M‖²", "loss", "<=", 2 * s.norm**2),
            Promise("‖U‖² ≤ 5√r‖M‖", "square_u", "<=", bound),
            Promise("‖V‖² ≤ 5√r‖M‖", "square_v", "<=", bound),
            Promise("f_t − f_{t+1} ≥ η_t/2 ‖∇f‖²", "descent_slack", ">=", 0.0),
        )


class GlobalLimit(AbstractCertificate):
    """Theorem 4.4: the limit has ‖UVᵀ − M‖ ≤ ε. Says nothing of any finite time; with rank(M) = r the limit is exact.

    The steps are any η₀(t + 1)^(−p) with ½ < p ≤ 1: their sum diverges and that of their squares does not.
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 4.4, corrected"
    statement: ClassVar[str] = "gradient descent with vanishing steps converges, and ‖UVᵀ − M‖ ≤ ε in the limit"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-7.2", "du2018-7a", "du2018-7b", "du2018-7c", "du2018-7d")
    assumed: ClassVar[str] = (
        "the start has a density, and descent with vanishing steps converges almost surely to no strict saddle "
        "(Panageas, Piliouras, Wang, 2019)"
    )

    start: FactorStart

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """rank, start, exponent, and the drift over all time."""
        s = self.start
        forever = math.inf
        if s.exponent > 0.5:
            first = float(np.sum(np.arange(1, 1001, dtype=float) ** (-2 * s.exponent)))
            forever = s.step_size**2 * (first + 1000 ** (1 - 2 * s.exponent) / (2 * s.exponent - 1))
        return (
            s.exact_rank(),
            *s.small(),
            Hypothesis.at_least("p > 1/2", s.exponent, 0.5, strict=True, note="constant steps: see BalancedDescent"),
            Hypothesis.at_most("p ≤ 1", s.exponent, 1.0),
            Hypothesis.at_most("40√r‖M‖³ Σ η_t² ≤ ε/2", 40 * math.sqrt(s.rank) * s.norm**3 * forever, s.epsilon / 2),
            Hypothesis.at_most("η₀ < 1/β", s.step_size, 1 / s.beta, strict=True),
        )


class GlobalLimitPrinted(AbstractCertificate):
    """Theorem 4.4 as printed: an unspecified poly(d) in the variance, and exactly η_t = √(ε/r)/(100(t + 1)‖M‖^(3/2))."""

    source: ClassVar[str] = f"{PAPER}, Theorem 4.4, as printed"
    statement: ClassVar[str] = "converges with high probability to ‖UVᵀ − M‖ ≤ ε"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-7a", "du2018-7b", "du2018-7d")

    start: FactorStart

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The initialisation and the steps, as printed."""
        s = self.start
        growth = s.printed_step * s.largest
        return (
            s.exact_rank(),
            Hypothesis.at_most("entries ~ N(0, ε/poly(d))", None, None, note="the source does not give the polynomial"),
            Hypothesis.at_least("p = 1", s.exponent, 1.0),
            Hypothesis.at_most(
                "η₀ ≤ √(ε/r)/(100‖M‖^(3/2))", s.step_size, s.printed_step,
                note=f"the signal then grows as T^{growth:.3g}: not observable",
            ),
        )  # fmt: skip
