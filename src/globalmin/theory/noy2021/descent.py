"""Lemma 3 and Theorem 1: step size, rate and number of steps, printed and repaired, from measured constants."""

import dataclasses
import math
from typing import Any, ClassVar, Self

from ..certificate import Hypothesis, Promise
from ..estimated import AbstractEstimated, over
from .start import DRAWN, NO_CONSTANT, NUMBERS_ONLY, OURS, PAPER, THETA, Start, steps_to

RADIUS_MARGIN = 1.001


def printed_step_size(alpha: float, beta: float, beta_x: float, n: int, depth: int, loss_0: float) -> float:
    """(18): the smallest of its six terms, θ = 0.2. α² = α_xα_y and β² = β_xβ_y."""
    a, b, spread = alpha**2, beta**2, math.exp(THETA / 2) / math.sqrt(THETA)
    return min(
        over(a, 12 * b * beta_x * depth),
        1 / (3 * depth),
        over(a, 4 * b**2 * depth),
        over(1, b * depth),
        over(1, 4 * math.sqrt(2 * depth * loss_0 * b) * spread),
        over(a, 1024 * n * spread**4 * b * loss_0),
    )


def corrected_step_size(alpha: float, beta: float, zeta: float, n: int, depth: int, loss_0: float) -> float:
    """min(α²/(19β⁴L), 1/(2√3 Lβζ√l_0), α²/(72nLβ²ζ²l_0)): what the proof of Lemma 3 yields."""
    return min(
        over(alpha**2, 19 * beta**4 * depth),
        over(1, 2 * math.sqrt(3 * loss_0) * depth * beta * zeta),
        over(alpha**2, 72 * n * depth * (beta * zeta) ** 2 * loss_0),
    )


class OneStepPrinted(AbstractEstimated):
    """Lemma 3 as printed: with (17) and the step size (18), one step has l_{t+1} ≤ (1 − ηα²L/2) l_t.

    Its proof leaves less than that: a power of β² (E3), α² for α⁴ (E4), half of the rate (E5), and factors 2 and n (E6, E7)
    are missing.
    """

    source: ClassVar[str] = f"{PAPER}, Lemma 3 with (16)-(19), as printed"
    statement: ClassVar[str] = "one step of descent, while the constants last: l_{t+1} ≤ (1 − ηα²L/2) l_t"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = tuple(f"noy2021-E{k}" for k in (2, 3, 4, 5, 6, 7))
    assumed: ClassVar[str] = DRAWN

    start: Start
    step_size: float

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """(17) and (18) with the printed α_x and β_x."""
        s, a, b = self.start, self.start.printed_alpha, self.start.printed_beta
        beta_x = s.printed_beta_x
        largest = None
        if a is not None and b is not None and beta_x is not None:
            largest = printed_step_size(a, b, beta_x.value, s.n, s.depth, s.loss_0.value)
        note = "" if a is not None else "G_k itself is too expensive to measure here"
        return (
            *s.data(),
            Hypothesis.at_most(
                "nγβ² ≤ α²/2  (17)", s.n * s.off_diagonal.value, None if a is None else a**2 / 2, note=note
            ),
            Hypothesis.at_least("η > 0", self.step_size, 0.0, strict=True),
            Hypothesis.at_most("η ≤ the smallest term of (18)", self.step_size, largest, note=note),
        )

    def promises(self) -> tuple[Promise, ...]:
        """The rate (19)."""
        me = self.worst()
        a = me.start.printed_alpha
        return () if a is None else _rate(me.start, a, self.step_size, conclusion=False)

    def iterations(self, eps: float) -> float:
        """Steps to a loss of ε at the rate (19); infinite where it says nothing."""
        s, a = self.start, self.start.printed_alpha
        return math.inf if a is None else steps_to(eps, s.loss_0.value, self.step_size * a**2 * s.depth / 2)


class OneStep(AbstractEstimated):
    """Lemma 3 repaired: the step size that its proof yields, with α_x and β_x of the features and ζ ≥ ‖Z_{k,l}‖ measured.

    It is about one step. `Descent` is the same for all steps, with the constants of a ball.
    """

    source: ClassVar[str] = f"{OURS}: Lemma 3 repaired"
    statement: ClassVar[str] = "one step of descent, while the constants last: l_{t+1} ≤ (1 − ηα²L/2) l_t"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = OneStepPrinted.errata_ids
    assumed: ClassVar[str] = NUMBERS_ONLY

    start: Start
    step_size: float

    @property
    def largest_step_size(self) -> float:
        """The smallest of the three terms."""
        s = self.start
        return corrected_step_size(s.alpha, s.beta, s.zeta.value, s.n, s.depth, s.loss_0.value)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """(17) and the repaired (18)."""
        s = self.start
        return (
            Hypothesis.at_most("nγβ² ≤ α²/2  (17)", s.n * s.off_diagonal.value, s.alpha**2 / 2),
            Hypothesis.at_least("η > 0", self.step_size, 0.0, strict=True),
            Hypothesis.at_most(
                "η ≤ min(α²/(19β⁴L), 1/(2√3Lβζ√l₀), α²/(72nLβ²ζ²l₀))", self.step_size, self.largest_step_size
            ),
        )

    def promises(self) -> tuple[Promise, ...]:
        """The rate (19), a step of the proof: the lemma is about one step."""
        return _rate(self.worst().start, self.worst().start.alpha, self.step_size, conclusion=False)

    def iterations(self, eps: float) -> float:
        """Steps to a loss of ε if the constants last."""
        s = self.start
        return steps_to(eps, s.loss_0.value, self.step_size * s.alpha**2 * s.depth / 2)


class Descent(AbstractEstimated):
    """Theorem 1 as what its proof leaves: Lemma 3 at every step, with the constants of the ball ‖W_k − W_k(0)‖ ≤ τ.

    With q = (1 + ζτ)^L − 1 multilinearity gives, on that ball, ‖h‖ within q√β_x and the singular values of F within q√β_y
    of the start's, ‖Z‖ ≤ ζ(1 + ζτ)^L, and γβ² larger by at most β²((1 + q)⁴ − 1). The path of a descent at the rate (19) is
    a geometric series, at most 4√3β√l_0/(α²L) in every layer (E9), which must not exceed τ. `tau` and `step_size` left
    `None` are found.
    """

    source: ClassVar[str] = f"{OURS}: Theorem 1 and Lemma 3 repaired, constants measured"
    statement: ClassVar[str] = "gradient descent: l_t ≤ (1 − ηα²L/2)^t l_0, λ_min(K) ≥ α²L/2, ‖W_k − W_k(0)‖ ≤ τ"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = (*OneStepPrinted.errata_ids, "noy2021-E9", "noy2021-E16", "noy2021-E17")
    assumed: ClassVar[str] = NUMBERS_ONLY

    start: Start
    step_size: float | None = None
    tau: float | None = None

    def choose(self, at: Any) -> Self:
        """With the smallest ball that closes and the largest step size on it."""
        tau = at.smallest_tau() if self.tau is None else self.tau
        on = at.on_the_ball(tau)
        largest = corrected_step_size(on.alpha, on.beta, on.zeta.value, on.n, on.depth, on.loss_0.value)
        step_size = largest * (1 - 1e-12) if self.step_size is None else self.step_size
        return dataclasses.replace(self, tau=tau, step_size=step_size)

    def on_the_ball(self, tau: float) -> Start:
        """The start with constants that hold for all weights with ‖W_k − W_k(0)‖ ≤ τ."""
        s = self.start
        try:
            grown = (1 + s.zeta.value * tau) ** s.depth
            spread = grown**4
        except OverflowError:
            grown = spread = math.inf
        q = grown - 1

        def shrunk(low, high):
            return max(math.sqrt(max(low.value, 0.0)) - q * math.sqrt(high.value), 0.0) ** 2 if q < math.inf else 0.0

        return dataclasses.replace(
            s,
            alpha_x=shrunk(s.alpha_x, s.beta_x),
            alpha_y=shrunk(s.alpha_y, s.beta_y),
            beta_x=s.beta_x.value * grown**2,
            beta_y=s.beta_y.value * grown**2,
            zeta=s.zeta.value * grown,
            off_diagonal=s.off_diagonal.value + s.beta**2 * (spread - 1),
        )

    def smallest_tau(self) -> float:
        """The smallest τ found with 4√3β√l_0/(α²L) ≤ τ for the constants of its ball; the start's own if there is none."""
        first = tau = self.start.tau
        for _ in range(100):
            needed = self.on_the_ball(tau).tau
            if needed <= tau:
                return tau
            if not math.isfinite(needed):
                return first
            tau = RADIUS_MARGIN * needed
        return first

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """The ball closes, and (17) and the repaired (18) hold on it."""
        tau = math.inf if self.tau is None else self.tau
        on = self.on_the_ball(tau)
        largest = corrected_step_size(on.alpha, on.beta, on.zeta.value, on.n, on.depth, on.loss_0.value)
        return (
            Hypothesis.at_least(
                "τ ≥ 4√3β√l₀/(α²L), constants of the ball", tau, on.tau,
                note=f"at the start alone τ ≥ {self.start.tau:.4g}; printed: L^{{3/2}}τ < 1, here "
                f"{self.start.depth**1.5 * self.start.tau:.4g}",
            ),
            Hypothesis.at_most("nγβ² ≤ α²/2 on the ball  (17)", on.n * on.off_diagonal.value, on.alpha**2 / 2),
            Hypothesis.at_least("η > 0", self.step_size, 0.0, strict=True),
            Hypothesis.at_most("η ≤ min(α²/(19β⁴L), 1/(2√3Lβζ√l₀), α²/(72nLβ²ζ²l₀))", self.step_size, largest),
        )  # fmt: skip

    def promises(self) -> tuple[Promise, ...]:
        """Loss, smallest eigenvalue, and how far every layer goes."""
        me = self.settled().worst()
        if me.tau is None or me.step_size is None:
            return ()
        on = me.on_the_ball(me.tau)
        found = _rate(on, on.alpha, me.step_size, conclusion=True)
        if not found:
            return ()
        return (
            *found,
            Promise("λ_min(K) ≥ α²L/2", "lambda_min", ">=", on.alpha**2 * on.depth / 2),
            Promise("max_k ‖W_k − W_k(0)‖ ≤ τ", "tau", "<=", me.tau),
        )

    def iterations(self, eps: float) -> float:
        """Steps to a loss of ε."""
        me = self.settled().worst()
        on = me.on_the_ball(math.inf if me.tau is None else me.tau)
        return steps_to(eps, on.loss_0.value, (me.step_size or 0.0) * on.alpha**2 * on.depth / 2)


class ConvergencePrinted(AbstractEstimated):
    """Theorem 1 as printed. A claim, never a guarantee: its width rests on a decorrelation that these gates do not have.

    The printed step size has no m in it; the tangent kernel grows like m², and from about m = 2n²Ld_y on, descent at that
    step size diverges (E16). What its proof needs of the constants, (17) and L^{3/2}τ < 1, is evaluated beside it.
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 1, as printed"
    statement: ClassVar[str] = "gradient descent with η = d_x/(n⁴L³d_y) reaches a loss of ε in O(log(n³L/(d_xε))) steps"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = tuple(f"noy2021-E{k}" for k in (8, 9, 10, 11, 12, 16, 17))
    assumed: ClassVar[str] = DRAWN

    start: Start
    step_size: float
    lambda_max: float = 0.0  # of the tangent kernel at the start
    width_constant: float | None = None
    depth_constant: float | None = None

    @property
    def printed_step_size(self) -> float:
        """d_x/(n⁴L³d_y)."""
        s = self.start
        return s.inputs / (s.n**4 * s.depth**3 * s.outputs)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Orders with their unknown constants, the step size, and what the proof needs of the measured constants."""
        s = self.start
        orders = None if self.depth_constant is None else self.depth_constant * math.log(s.n)
        width = None if self.width_constant is None else self.width_constant * s.n**2 * s.depth * s.outputs
        return (
            *s.data(),
            Hypothesis.at_least("L ≥ K log n", s.depth, orders, note=NO_CONSTANT),
            Hypothesis.at_least(
                "m ≥ K n²Ld_y", s.width, width, note=f"{NO_CONSTANT}; n²Ld_y = {s.n**2 * s.depth * s.outputs}"
            ),
            s.analysed_gates(),
            Hypothesis.at_most("nγβ² ≤ α²/2  (17)", s.n * s.off_diagonal.value, s.alpha**2 / 2),
            Hypothesis.at_most(
                "L^{3/2}τ < 1", s.depth**1.5 * s.tau, 1.0, strict=True, note="τ by its geometric sum, erratum E9"
            ),
            Hypothesis.at_most("η ≤ d_x/(n⁴L³d_y)", self.step_size, self.printed_step_size),
            Hypothesis.at_most(
                "d_x/(n⁴L³d_y) λ_max(K) < 2", self.printed_step_size * self.lambda_max, 2.0, strict=True,
                note="beyond it descent leaves every minimum; as printed the step size has no m",
            ),
        )  # fmt: skip

    def iterations(self, eps: float) -> float:
        """log(n³L/(d_xε)): the printed order without its constant, which (18) puts above 10⁸ (E17)."""
        s = self.start
        return math.log(s.n**3 * s.depth / (s.inputs * eps))


def _rate(s: Start, alpha: float, step_size: float, *, conclusion: bool) -> tuple[Promise, ...]:
    factor = 1 - step_size * alpha**2 * s.depth / 2
    if not (0 <= factor < 1):
        return ()
    return (Promise("loss at the rate (19)", "loss", "<=", s.loss_0.value, factor, conclusion=conclusion),)
