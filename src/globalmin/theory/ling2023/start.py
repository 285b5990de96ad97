"""What the theorems share: the numbers of the first iterate, the constants on a ball, and the assumptions in common."""

import math
from typing import ClassVar

import equinox as eqx

from ..._core import Estimate, numerics
from .. import estimated
from ..certificate import Hypothesis
from ..estimated import estimate, is_relu, over, stated

PAPER = "Ling, Xie, Wang, Zhang, Lin, AISTATS 2023"
OURS = f"globalmin, after {PAPER}"
DRAWN = "W_ij ~ N(0, 2σ_w²/m), U_ij ~ N(0, 2/d), a_j ~ N(0, 1/m), independent of each other and of the data"
NUMBERS_ONLY = "nothing about the law of the weights: only the numbers of this network are used"


class Start(estimated.Start):
    """Numbers of the first iterate, shared by the convergence theorems.

    `n` samples, `width` m; `lambda_0` = λ_min(ZᵀZ); `rho_0` = ‖f − y‖; operator norms `norm_w`, `norm_u`, `norm_z` and
    `norm_zx` = ‖[Z; X]‖, Euclidean `norm_a`, Frobenius `norm_x`; `one_sided` = λ_max((W + Wᵀ)/2). `sigma_w2` = σ_w² of
    the initialisation; `norm_deviation` = max |‖x_i‖/√d − 1|; `slope01`: 0 ≤ φ′ ≤ 1 everywhere.

    **Raises:** `ValueError` for `n` or `width` below 1.
    """

    larger_is_better: ClassVar[tuple[str, ...]] = ("lambda_0",)

    n: int
    width: int
    lambda_0: Estimate = eqx.field(converter=estimate)
    rho_0: Estimate = eqx.field(converter=estimate)
    norm_w: Estimate = eqx.field(converter=estimate)
    norm_u: Estimate = eqx.field(converter=estimate)
    norm_a: Estimate = eqx.field(converter=estimate)
    norm_x: Estimate = eqx.field(converter=estimate)
    norm_z: Estimate = eqx.field(converter=estimate)
    norm_zx: Estimate = eqx.field(converter=estimate)
    one_sided: Estimate = eqx.field(converter=estimate)
    sigma_w2: float
    norm_deviation: float = 0.0
    activation: str = "relu"
    slope01: bool = True

    def __check_init__(self):
        numerics.check_count("n", self.n)
        numerics.check_count("width", self.width)

    @property
    def sigma(self) -> float:
        """σ_min(Z(0)), 0 where λ₀ is not positive."""
        return math.sqrt(max(self.lambda_0.value, 0.0))

    def barred(self, dw: float, du: float, da: float) -> "Barred":
        """The constants c_w, c_u, c_a on the ball of these radii."""
        return Barred(self.norm_w.value + dw, self.norm_u.value + du, self.norm_a.value + da)

    def on_ball(self, radius: float) -> tuple[float, float]:
        """T and Y on ‖(W, U) − (W, U)(0)‖_F ≤ radius; infinite where well-posedness is not shown."""
        gap = 1 - self.one_sided.value - radius
        t = over(1.0, gap)
        return t, self.norm_zx.value * (1 + t * radius) if gap > 0 else math.inf

    def flow_gain(self, radius: float) -> float:
        """σR − ½L_Z(R)R²: the residual that gradient flow removes for certain within radius R."""
        t, y = self.on_ball(radius)
        return self.sigma * radius - t * y * radius**2 / 2 if math.isfinite(t) else -math.inf

    def kept_sigma(self, radius: float) -> float:
        """σ_b = σ_min(Z(0)) − TR‖[Z₀; X]‖, what is left of σ_min(Z) at distance R."""
        t, _ = self.on_ball(radius)
        return self.sigma - t * radius * self.norm_zx.value if math.isfinite(t) else -math.inf

    def assumptions(self) -> tuple[Hypothesis, ...]:
        """Assumptions 1 and 2 as far as they can be checked; "not parallel" is in λ_* > 0 (erratum B1)."""
        return (
            is_relu(self.activation),
            small_variance(self.sigma_w2),
            row_norms(self.norm_deviation),
        )


class Barred(eqx.Module):
    """ρ̄_w, ρ̄_u, ρ̄_a and what is made of them; infinite where ρ̄_w ≥ 1."""

    w: float
    u: float
    a: float

    @property
    def c_w(self) -> float:
        """Bounds ‖∂L/∂W‖_F / (‖X‖_F ‖r‖)."""
        return over(self.u * self.a, (1 - self.w) ** 2) if self.w < 1 else math.inf

    @property
    def c_u(self) -> float:
        """Bounds ‖∂L/∂U‖_F / (‖X‖_F ‖r‖)."""
        return over(self.a, 1 - self.w)

    @property
    def c_a(self) -> float:
        """Bounds ‖Z‖_F / ‖X‖_F, hence ‖∂L/∂a‖ / (‖X‖_F ‖r‖)."""
        return over(self.u, 1 - self.w)

    @property
    def hidden(self) -> float:
        """c_w² + c_u²."""
        return self.c_w**2 + self.c_u**2

    @property
    def total(self) -> float:
        """c_w² + c_u² + c_a²."""
        return self.hidden + self.c_a**2


def slope01(start: Start) -> Hypothesis:
    """What the resolvent bound ‖(I − DW)⁻¹D‖ ≤ 1/(1 − λ_max(sym W)) asks of the activation."""
    return stated("0 ≤ φ′ ≤ 1", start.slope01, f"the slope of {start.activation} leaves [0, 1]")


def small_variance(sigma_w2: float) -> Hypothesis:
    """Assumption 1: beyond 1/8 the operator norm of W(0) reaches 1 as m grows."""
    return Hypothesis.at_most("σ_w² < 1/8", sigma_w2, 1 / 8, strict=True)


def row_norms(deviation: float) -> Hypothesis:
    """Assumption 2 on the inputs, from max |‖x_i‖/√d − 1|."""
    return Hypothesis.at_most("‖x_i‖ = √d: largest relative deviation", deviation, numerics.UNIT_NORM_TOLERANCE)


def check_probability(name: str, value: float) -> None:
    """Raise `ValueError` unless 0 < value < 1."""
    if not 0 < value < 1:
        raise ValueError(f"{name}: a failure probability strictly between 0 and 1 expected, {value} came; try 0.1")


def given(x: float | None) -> float:
    """A number that `settled` has filled in."""
    return math.nan if x is None else x
