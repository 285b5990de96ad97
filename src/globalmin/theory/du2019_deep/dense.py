"""Theorem 3.1, deep fully connected networks: with the constants of its proof, and as printed."""

import math
from typing import ClassVar

from ..certificate import Hypothesis, Promise
from ..estimated import AbstractEstimated, over
from .initial import initial_gram_order
from .start import DRAWN, NO_CONSTANT, NUMBERS_ONLY, PAPER, Start, geometric, power


class DenseDescent(AbstractEstimated):
    """‖u(k) − y‖² ≤ (1 − ηλ₀/2)^k ‖u(0) − y‖² for all k, from numbers of this network alone.

    c_x0 = 2, c_x = max(2√c_σ L c_w, 1), g = g_{c_x}(H), g̃ = g_{2c_x}(H). While no weight moves beyond R_*√m, G^(H) stays
    within λ₀/4 of its start (Lemma 3.4); while the rate holds no weight moves beyond R′√m (Lemma 3.5); R′ ≤ R_* is the
    condition on m. Lemma 3.6's constant leaves out terms of order 1/√m, so its place is taken by the Lipschitz constant
    of the Jacobian on the ball (`Start.second_order_step`); the printed proof's own stands beside it.
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 3.1 with the constants of its proof"
    statement: ClassVar[str] = "gradient descent: ‖u(k) − y‖² ≤ (1 − ηλ₀/2)^k ‖u(0) − y‖² for all k"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = tuple(f"du2019-2{letter}" for letter in "acdehijklmn")
    assumed: ClassVar[str] = NUMBERS_ONLY

    start: Start
    step_size: float

    @property
    def c_x0(self) -> float:
        """2."""
        return 2.0

    @property
    def c_x(self) -> float:
        """max(2√c_σ L c_w, 1)."""
        s = self.start
        return max(2 * math.sqrt(s.activation.c_sigma) * s.activation.lipschitz * s.c_w, 1.0)

    @property
    def growth(self) -> float:
        """g_{c_x}(H)."""
        return geometric(self.c_x, self.start.depth)

    @property
    def gram_constant(self) -> float:
        """B_G of Lemma 3.4: ‖G^(H) − G^(H)(0)‖_F ≤ n B_G R while no weight moves beyond R√m, R ≤ R_*."""
        s, c_x0 = self.start, self.c_x0
        c, big, beta = s.activation.c_sigma, s.activation.lipschitz, s.activation.smoothness
        along = 2 * beta * c_x0 * s.a_4**2 + 3 * math.sqrt(c) * big**2 * s.a_2**2
        return along * big * c * c_x0**2 * self.growth + 12 * big**2 * c_x0**2 * c * s.a_2

    @property
    def radius(self) -> float:
        """R_*."""
        s = self.start
        steps = over(1.0, math.sqrt(s.activation.c_sigma) * s.activation.lipschitz * self.growth)
        return min(s.c_w, s.a_2, steps, over(s.lam, 4 * s.n * self.gram_constant))

    @property
    def movement(self) -> float:
        """R′√m: how far a weight can go."""
        s = self.start
        constant = 16 * self.c_x0 * s.a_2 * power(self.c_x, s.depth)
        return over(constant * math.sqrt(s.n) * s.residual_0.value, s.lam)

    @property
    def needed_width(self) -> float:
        """(R′√m/R_*)²."""
        ratio = over(self.movement, self.radius)
        return ratio * ratio

    @property
    def quadratic_step(self) -> float:
        """The step size of Lemma 3.7, with g̃²."""
        s = self.start
        a, tilde = s.activation, geometric(2 * self.c_x, s.depth)
        inner = 1 + 4 * s.a_2**2 * a.c_sigma * a.lipschitz**2 * tilde * tilde
        return over(s.lam, 1024 * s.n**2 * self.c_x0**4 * s.a_2**2 * power(self.c_x, 2 * s.depth) * inner)

    @property
    def taylor_step(self) -> float:
        """The step size of Lemma 3.6, without its terms of order 1/√m."""
        s = self.start
        a, tilde = s.activation, geometric(2 * self.c_x, s.depth)
        constant = 2048 * math.sqrt(a.c_sigma) * a.smoothness * s.depth**2 * self.c_x0**4 * s.a_2**3
        grown = constant * power(self.c_x, 3 * s.depth) * tilde
        return over(s.lam, grown * s.n**1.5 * s.residual_0.value)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Conditions, the start, the width, and the three bounds on the step size."""
        s, eta = self.start, self.step_size
        return (
            *s.initial(self.c_x0),
            Hypothesis.at_least(
                "m ≥ (R′√m/R_*)²", s.width, self.needed_width,
                note=f"R′√m = {self.movement:.4g}, R_* = {self.radius:.4g}; printed: n⁴/λ₀⁴ with a factor 2^O(H)",
            ),
            Hypothesis.at_least("η > 0", eta, 0.0, strict=True),
            Hypothesis.at_most("η ≤ λ₀/(1024n²c_x0⁴a₂²c_x^(2H)(1 + 4a₂²c_σL²g̃²))", eta, self.quadratic_step),
            Hypothesis.at_most("η ≤ the step of Lemma 3.6", eta, self.taylor_step, note="its printed proof, for large m"),
            Hypothesis.at_most("η ≤ λ₀/(4Λβ²‖y − u(0)‖)", eta, s.second_order_step(self.movement), note="for any m"),
        )  # fmt: skip

    def promises(self) -> tuple[Promise, ...]:
        """The loss at its rate, λ_min(G^(H)) ≥ λ₀/2, and how far weights and G^(H) go."""
        at = self.worst()
        return at.start.along(self.step_size, at.movement, at.radius)


class DenseDescentPrinted(AbstractEstimated):
    """Theorem 3.1 as printed: orders, with 2^{O(H)} in the width and in the step size. Undecided without constants.

    A supposed constant stands for the factor 2^{O(H)} too. λ₀ itself falls exponentially in H where σ contracts angles.
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 3.1 as printed"
    statement: ClassVar[str] = DenseDescent.statement
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2019-2a", "du2019-2b", "du2019-2e")
    assumed: ClassVar[str] = DRAWN

    start: Start
    step_size: float
    width_constant: float | None = None
    step_constant: float | None = None

    @property
    def order(self) -> float:
        """max(n⁴/λ₀⁴, n/δ, n² ln(Hn/δ)/λ₀²)."""
        s = self.start
        return max(over(s.n**4, s.lam**4), s.n / s.delta, initial_gram_order(s.n, s.depth, s.delta, s.lam))

    @property
    def corrected_order(self) -> float:
        """With ln(1/δ) in the first term, the price of ‖y − u(0)‖ = O(√n)."""
        s = self.start
        return max(over(s.n**4 * math.log(1 / s.delta), s.lam**4), self.order)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Conditions and the two printed orders."""
        s, c, e = self.start, self.width_constant, self.step_constant
        note = f"{NO_CONSTANT}; the order alone is {self.order:.3g}, corrected {self.corrected_order:.3g}"
        return (
            *s.activation.hypotheses(),
            Hypothesis.at_least("λ₀ > 0", s.lam, 0.0, strict=True),
            Hypothesis.at_least(
                "m ≥ C 2^O(H) max(n⁴/λ₀⁴, n/δ, n²ln(Hn/δ)/λ₀²)", s.width, None if c is None else c * self.order,
                note="" if c else note,
            ),
            Hypothesis.at_most(
                "η ≤ c λ₀/(n² 2^O(H))", self.step_size, None if e is None else e * s.lam / s.n**2,
                note="" if e else NO_CONSTANT,
            ),
        )  # fmt: skip

    def promises(self) -> tuple[Promise, ...]:
        """The printed rate; a run may keep it although the theorem is silent about it."""
        return self.worst().start.rate(self.step_size)
