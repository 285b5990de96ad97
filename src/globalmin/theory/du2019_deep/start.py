"""What the theorems of chapter 3 share: conditions on the activation, numbers of the first iterate, the last step."""

import math
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx

from ..._core import Estimate, numerics
from .. import estimated
from ..certificate import Hypothesis, Promise
from ..estimated import estimate, over, stated

PAPER = "Du, thesis CMU-ML-19-102, chapter 3 (Du, Lee, Li, Wang, Zhai, ICML 2019)"
OURS = f"globalmin, after {PAPER}"
DRAWN = "every entry of every weight N(0, 1), independent of each other and of the data"
NUMBERS_ONLY = "nothing about the law of the weights: only the numbers of this network are used"
NO_CONSTANT = "the source gives the order, not the constant"
MEASURED = "measured on this network"


class Smooth(eqx.Module):
    """An activation as Conditions 3.1 and 3.2 see it: σ(0), sup|σ′|, sup|σ″| (infinite: none), analytic, not a polynomial."""

    name: str
    sigma_0: float
    lipschitz: float
    smoothness: float
    analytic: bool
    polynomial: bool
    c_sigma: float  # 1/E[σ(z)²], z ~ N(0, 1)

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """Condition 3.1 (both Lipschitz constants finite) and Condition 3.2."""
        return (
            Hypothesis.at_most("Condition 3.1: sup|σ′| < ∞", self.lipschitz, math.inf, strict=True),
            Hypothesis.at_most("Condition 3.1: sup|σ″| < ∞", self.smoothness, math.inf, strict=True),
            *self.analyticity(),
        )

    def analyticity(self) -> tuple[Hypothesis, ...]:
        """Condition 3.2 alone."""
        return (
            stated("Condition 3.2: σ is analytic", self.analytic, f"{self.name} is not"),
            stated("Condition 3.2: σ is no polynomial", not self.polynomial, f"{self.name} is one"),
        )


class Start(estimated.Start):
    """Numbers of the first iterate and of the limit kernel that the convergence theorems are asked about.

    `n` samples, `width` m, `depth` H; `lambda_0` = λ_min(K^(H)); `gram_gap` = ‖G^(H)(0) − K^(H)‖; `residual_0` =
    ‖y − u(0)‖; `weight_norm` = max_h ‖W^(h)(0)‖/√m; `readout_2` = ‖a‖/√(mp) and `readout_4` = ‖a‖_4/(mp)^{1/4};
    `state_min` and `state_max`, the extreme ‖x_i^(h)(0)‖; `norm_deviation` = max |‖x_i‖ − 1|. `pixels` p and
    `patch_pixels` q are 1 without images. c_{w,0}, a_{2,0}, a_{4,0} are stated in advance, and compared with the measured.

    **Raises:** `ValueError` for `n`, `width`, `depth`, `pixels` or `patch_pixels` below 1, `delta` outside (0, 1).
    """

    larger_is_better: ClassVar[tuple[str, ...]] = ("lambda_0", "state_min")

    activation: Smooth
    n: int
    width: int
    depth: int
    delta: float
    lambda_0: Estimate = eqx.field(converter=estimate)
    gram_gap: Estimate = eqx.field(converter=estimate)
    residual_0: Estimate = eqx.field(converter=estimate)
    weight_norm: Estimate = eqx.field(converter=estimate)
    readout_2: Estimate = eqx.field(converter=estimate)
    readout_4: Estimate = eqx.field(converter=estimate)
    state_min: Estimate = eqx.field(converter=estimate)
    state_max: Estimate = eqx.field(converter=estimate)
    jacobian_norm: Estimate = eqx.field(converter=estimate)
    lipschitz: Callable[[float], float] | None = eqx.field(static=True, default=None)  # Λ of the Jacobian on a ball
    norm_deviation: float = 0.0
    c_res: float = 0.5
    pixels: int = 1
    patch_pixels: int = 1
    a_2: float = 2.0  # a_{2,0}
    a_4: float = math.sqrt(2.0)  # a_{4,0}

    def __check_init__(self):
        for name in ("n", "width", "depth", "pixels", "patch_pixels"):
            numerics.check_count(name, getattr(self, name))
        check_probability(self.delta)

    @property
    def c_w(self) -> float:
        """c_{w,0}, a little above 1 + √q, where ‖W(0)‖/√m of a square layer (2) and of a filter tends to."""
        return 1.05 * (1 + math.sqrt(self.patch_pixels))

    @property
    def lam(self) -> float:
        """λ₀, at least 0."""
        return max(self.lambda_0.value, 0.0)

    def initial(self, c_x0: float) -> tuple[Hypothesis, ...]:
        """What every proof assumes of the data and finds at the start, measured here: norms and G^(H)(0)."""
        root = "√(mp)" if self.pixels > 1 else "√m"
        return (
            *self.activation.hypotheses(),
            Hypothesis.at_most("‖x_i‖ = 1: largest deviation", self.norm_deviation, numerics.UNIT_NORM_TOLERANCE),
            Hypothesis.at_least("λ₀ > 0", self.lam, 0.0, strict=True),
            Hypothesis.at_most("‖W^(h)(0)‖ ≤ c_w √m", self.weight_norm.value, self.c_w, note=MEASURED),
            Hypothesis.at_most(f"‖a(0)‖ ≤ a₂ {root}", self.readout_2.value, self.a_2, note=MEASURED),
            Hypothesis.at_most(f"‖a(0)‖₄ ≤ a₄ ({root})^(1/2)", self.readout_4.value, self.a_4, note=MEASURED),
            Hypothesis.at_least("‖x_i^(h)(0)‖ ≥ 1/c_x0", self.state_min.value, 1 / c_x0, note=MEASURED),
            Hypothesis.at_most("‖x_i^(h)(0)‖ ≤ c_x0", self.state_max.value, c_x0, note=MEASURED),
            Hypothesis.at_most("‖G^(H)(0) − K^(H)‖ ≤ λ₀/4", self.gram_gap.value, self.lam / 4, note=MEASURED),
        )

    def second_order_step(self, movement: float) -> float:
        """λ₀/(4Λβ²‖y − u(0)‖), the largest η with ‖u(k+1) − u(k) + ηG(k)(u − y)‖ ≤ ηλ₀‖u − y‖/8.

        The left side is at most ½Λ‖θ(k+1) − θ(k)‖² ≤ ½Λη²β²‖u − y‖², with Λ and β ≥ ‖J‖ on the ball that `movement` of
        each of the H + 1 weights spans. 0 where no Λ is known.
        """
        radius = math.sqrt(self.depth + 1) * float(movement)  # a Python number overflows to inf in silence
        if self.lipschitz is None or not math.isfinite(radius):
            return 0.0
        bound = self.lipschitz(radius)
        beta = float(self.jacobian_norm.value) + bound * radius
        if not math.isfinite(beta):
            return 0.0
        return over(self.lam, 4 * bound * float(self.residual_0.value) * beta * beta)

    def along(self, step_size: float, movement: float, radius: float) -> tuple[Promise, ...]:
        """Loss, λ_min(G^(H)), movement, and the drift of G^(H); the last two are steps of the proof."""
        root = math.sqrt(self.width)
        found = [
            Promise("λ_min(G^(H)) ≥ λ₀/2", "lambda_min_top", ">=", self.lam / 2),
            Promise("no weight moves beyond R′√m", "layer_movement", "<=", movement / root),
            Promise("no weight moves beyond R_*√m", "layer_movement", "<=", radius, conclusion=False),
            Promise("‖G^(H) − G^(H)(0)‖ ≤ λ₀/4", "top_drift", "<=", self.lam / 4, conclusion=False),
        ]
        return (*self.rate(step_size), *found) if self.lam > 0 and math.isfinite(movement) else ()

    def rate(self, step_size: float) -> tuple[Promise, ...]:
        """The loss at 1 − ηλ₀/2."""
        factor = 1 - step_size * self.lam / 2
        if not (step_size > 0 and 0 <= factor <= 1):  # a step size for which the formula is no rate
            return ()
        return (Promise("loss at the theorem's rate", "loss", "<=", self.residual_0.value**2 / 2, factor),)


def check_probability(delta: float) -> None:
    """Raise `ValueError` unless 0 < delta < 1."""
    if not 0 < delta < 1:
        raise ValueError(f"delta: a failure probability strictly between 0 and 1 expected, {delta} came; try 0.1")


def geometric(ratio: float, terms: int) -> float:
    """g_α(n) = Σ_{i<n} α^i; infinite where it overflows."""
    try:
        return float(terms) if ratio == 1 else (ratio**terms - 1) / (ratio - 1)
    except OverflowError:
        return math.inf


def power(base: float, exponent: float) -> float:
    """base^exponent, infinite where it overflows."""
    try:
        return base**exponent
    except OverflowError:
        return math.inf
