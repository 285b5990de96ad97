"""Theorems 3.2 and 3.3, residual and convolutional residual networks: with explicit constants, and as printed.

One set of formulas serves both: p pixels and patches of q pixels are 1 for the plain residual network.
"""

import math
from typing import ClassVar

from ..certificate import Hypothesis, Promise
from ..estimated import AbstractEstimated, over
from .initial import initial_gram_order
from .start import DRAWN, NO_CONSTANT, NUMBERS_ONLY, PAPER, Start


class _Constants:
    """c_x0, c_x, B, R_*, C_Q of a residual network, from its `Start`; E = exp(√q c_res c_w L)."""

    def __init__(self, start: Start):
        s, a = start, start.activation
        self.start = s
        root_q, p = math.sqrt(s.patch_pixels), s.pixels
        self.exponent = root_q * s.c_res * s.c_w * a.lipschitz
        # Stated in advance, and compared with the measured norms: where σ(0) ≠ 0 the source's own derivation of it fails.
        self.c_x0 = 2.0 * _exp(self.exponent)
        if s.patch_pixels > 1:  # ‖x^(1)‖ ≤ √c_σ(|σ(0)|√p + L c_w √q), and every later layer adds |σ(0)|√p c_res/H
            shift = abs(a.sigma_0) * math.sqrt(p)
            first = math.sqrt(a.c_sigma) * (shift + a.lipschitz * s.c_w * root_q)
            self.c_x0 = (first + s.c_res * shift) * _exp(self.exponent)
        self.c_x = self.stretch(2)

    def stretch(self, times: int) -> float:
        """(√c_σ L√q + c_x0/c_w)E^times: how far a state moves per √m of movement of the weights."""
        s, a = self.start, self.start.activation
        base = math.sqrt(a.c_sigma) * a.lipschitz * math.sqrt(s.patch_pixels) + self.c_x0 / s.c_w
        return base * _exp(times * self.exponent)

    @property
    def gram_constant(self) -> float:
        """B: ‖G^(H) − G^(H)(0)‖_F ≤ (c_res²/H²) n B R while no weight moves beyond R√m, R ≤ R_*."""
        s, a, c = self.start, self.start.activation, self.c_x0
        big, root_q, root_p = a.lipschitz, math.sqrt(s.patch_pixels), math.sqrt(s.pixels)
        inputs = 3 * c * self.c_x * s.a_2**2 * root_p**2
        slopes = 2 * a.smoothness * c**2 * s.a_4**2 * root_p * root_q * (2 * self.c_x * s.c_w + c)
        readout = 12 * c**2 * s.a_2 * root_p
        return s.patch_pixels * big * (big * inputs + slopes + big * readout)

    @property
    def radius(self) -> float:
        """R_*."""
        s = self.start
        top = over(s.lam * s.depth**2, 4 * s.n * s.c_res**2 * self.gram_constant)
        return min(s.c_w, s.a_2, over(self.c_x0, self.c_x), top)

    @property
    def residual_layers(self) -> float:
        """4c_res c_x0 a₂L√(pq)E²/H: what the source takes for all weights."""
        s = self.start
        spread = math.sqrt(s.pixels * s.patch_pixels) * _exp(2 * self.exponent)
        return 4 * s.c_res * self.c_x0 * s.a_2 * s.activation.lipschitz * spread / s.depth

    @property
    def movement_constant(self) -> float:
        """C_Q: a step moves no weight by more than ηC_Q√n‖u − y‖. The read-out and layer 1 have no 1/H."""
        s, a = self.start, self.start.activation
        spread = math.sqrt(s.pixels * s.patch_pixels) * _exp(2 * self.exponent)
        first = 2 * math.sqrt(a.c_sigma) * a.lipschitz * s.a_2 * spread
        return max(2 * self.c_x0, first, self.residual_layers)

    def movement(self, constant: float) -> float:
        """R′√m = 4C√n‖y − u(0)‖/λ₀."""
        s = self.start
        return over(4 * constant * math.sqrt(s.n) * s.residual_0.value, s.lam)

    @property
    def quadratic_step(self) -> float:
        """The step size for which ‖u(k+1) − u(k)‖² ≤ ηλ₀‖u − y‖²/8."""
        s = self.start
        moved = self.c_x0**2 + s.a_2**2 * s.pixels * self.stretch(3) ** 2
        return over(s.lam, 64 * s.n**2 * self.movement_constant**2 * moved)


class ResidualDescent(AbstractEstimated):
    """‖u(k) − y‖² ≤ (1 − ηλ₀/2)^k ‖u(0) − y‖² for all k, from numbers of this network alone; p = q = 1 without images.

    The source bounds the movement of every weight by a multiple of 1/H, which holds for the residual layers only: the
    read-out and layer 1 have no such factor. With C_Q, the largest of the three, the width grows like n⁴/(λ₀⁴H⁴) in place
    of n⁴/(λ₀⁴H⁶), and η like λ₀/n² in place of λ₀H²/n²: still polynomial in H, as λ₀ falls like 1/H².
    """

    source: ClassVar[str] = f"{PAPER}, Theorems 3.2 and 3.3 with constants after their proofs"
    statement: ClassVar[str] = "gradient descent: ‖u(k) − y‖² ≤ (1 − ηλ₀/2)^k ‖u(0) − y‖² for all k"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = (
        *(f"du2019-3{letter}" for letter in "abcdefgij"),
        *(f"du2019-4{letter}" for letter in "abcdfghjk"),
    )
    assumed: ClassVar[str] = NUMBERS_ONLY

    start: Start
    step_size: float

    @property
    def constants(self) -> _Constants:
        """The explicit constants."""
        return _Constants(self.start)

    @property
    def movement(self) -> float:
        """R′√m."""
        found = self.constants
        return found.movement(found.movement_constant)

    @property
    def needed_width(self) -> float:
        """(R′√m/R_*)²."""
        ratio = over(self.movement, self.constants.radius)
        return ratio * ratio

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Conditions, the start, the width, and the two bounds on the step size."""
        s, eta, found = self.start, self.step_size, self.constants
        return (
            *s.initial(found.c_x0),
            Hypothesis.at_least(
                "m ≥ (R′√m/R_*)²", s.width, self.needed_width,
                note=f"R′√m = {self.movement:.4g}, R_* = {found.radius:.4g}, C_Q = {found.movement_constant:.4g}; the "
                f"source's constant {found.residual_layers:.4g} is that of the residual layers alone",
            ),
            Hypothesis.at_least("η > 0", eta, 0.0, strict=True),
            Hypothesis.at_most("η ≤ λ₀/(64n²C_Q²(c_x0² + a₂²p c_x²))", eta, found.quadratic_step),
            Hypothesis.at_most(
                "η ≤ λ₀/(4Λβ²‖y − u(0)‖)", eta, s.second_order_step(self.movement),
                note="in place of Lemma 3.13 (3.20), which gives no constant",
            ),
        )  # fmt: skip

    def promises(self) -> tuple[Promise, ...]:
        """The loss at its rate, λ_min(G^(H)) ≥ λ₀/2, and how far weights and G^(H) go."""
        at = self.worst()
        return at.start.along(self.step_size, at.movement, at.constants.radius)


class ResidualDescentPrinted(AbstractEstimated):
    """Theorems 3.2 and 3.3 as printed: orders, and a 1/H that the read-out does not have.

    "≤ ηQ′" of Lemma 3.12 fails for a once H > 2c_res a₂L√(pq)E²: from there on the printed proof says nothing. Undecided
    up to there, as the source gives no constants (nor, for images, the powers of p).
    """

    source: ClassVar[str] = f"{PAPER}, Theorems 3.2 and 3.3 as printed"
    statement: ClassVar[str] = ResidualDescent.statement
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2019-3d", "du2019-3e", "du2019-3f", "du2019-3g", "du2019-4g")
    assumed: ClassVar[str] = DRAWN

    start: Start
    step_size: float
    width_constant: float | None = None
    step_constant: float | None = None

    @property
    def order(self) -> float:
        """max(n⁴/(λ₀⁴H⁶), n²/(λ₀²H²), n/δ, n² ln(Hn/δ)/λ₀²); n⁴/(λ₀⁴H²) in the second place for images."""
        s = self.start
        second = over(s.n**4, s.lam**4) if s.patch_pixels > 1 else over(s.n**2, s.lam**2)
        gram = initial_gram_order(s.n, s.depth, s.delta, s.lam)
        return max(over(s.n**4, s.lam**4) / s.depth**6, second / s.depth**2, s.n / s.delta, gram)

    @property
    def corrected_order(self) -> float:
        """max(n⁴ ln(1/δ)/(λ₀⁴H⁴), n² ln(1/δ)/λ₀², n/δ, n² ln(Hn/δ)/λ₀²)."""
        s, log = self.start, math.log(1 / self.start.delta)
        gram = initial_gram_order(s.n, s.depth, s.delta, s.lam)
        return max(over(s.n**4 * log, s.lam**4) / s.depth**4, over(s.n**2 * log, s.lam**2), s.n / s.delta, gram)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Conditions, the gap, and the two printed orders."""
        s, c, e, found = self.start, self.width_constant, self.step_constant, _Constants(self.start)
        poly = "" if s.patch_pixels == 1 else " poly(p)"
        note = f"{NO_CONSTANT}; the order alone is {self.order:.3g}, corrected {self.corrected_order:.3g}"
        return (
            *s.activation.hypotheses(),
            Hypothesis.at_least("λ₀ > 0", s.lam, 0.0, strict=True),
            Hypothesis.at_least(
                "the read-out moves by O(1/H) too: 4c_res c_x0 a₂L√(pq)E²/H ≥ 2c_x0", found.residual_layers,
                2 * found.c_x0, note="the gradient in a has no factor 1/H, nor has layer 1's",
            ),
            Hypothesis.at_least(
                f"m ≥ C max(n⁴/(λ₀⁴H⁶), ..., n²ln(Hn/δ)/λ₀²){poly}", s.width, None if c is None else c * self.order,
                note="" if c else note,
            ),
            Hypothesis.at_most(
                f"η ≤ c λ₀H²/n²{poly and '/poly(p)'}", self.step_size,
                None if e is None else e * s.lam * s.depth**2 / s.n**2, note="" if e else f"{NO_CONSTANT}; H² drops out",
            ),
        )  # fmt: skip

    def promises(self) -> tuple[Promise, ...]:
        """The printed rate; a run may keep it although the theorem is silent about it."""
        return self.worst().start.rate(self.step_size)


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf
