"""What the theorems share: the numbers of the first iterate, the level λ, the constant c, and the assumptions in common."""

import math
from typing import ClassVar

import equinox as eqx

from ..._core import Estimate, numerics
from .. import estimated
from ..certificate import Hypothesis, Promise
from ..estimated import estimate, is_relu, over, shown

PAPER = "Gao, Liu, Liu, Rajan, Gao, ICLR 2022"
OURS = f"globalmin, after {PAPER}"
DRAWN = "A_ij, W_ij ~ N(0, 1) and u_j, v_j uniform on ±1, independent of each other and of the data"
NUMBERS_ONLY = "nothing about the law of the weights: only the numbers of this network are used"
NO_CONSTANT = "the source gives the order, not the constant"
GAP = (math.sqrt(3) - math.sqrt(2)) / 2  # √(3/4) − √(1/2): what σ_min(Φ)/√λ may lose


class Start(estimated.Start):
    """Numbers of the first iterate, shared by the convergence theorems.

    `n` samples, `width` m; `lambda_0` = λ_min(G^∞) and `features_0` = λ_min(G(0)); `rho_0` = ‖f − y‖; `operator_norm` =
    g‖A(0)‖ and `one_sided` = g λ_max((A(0) + A(0)ᵀ)/2), both scaled by g = γ/√m; operator norms `norm_w` = ‖W(0)‖ and
    `norm_x` = ‖X‖; Euclidean `norm_u`, `norm_v`. `norm_deviation` = max |‖x_i‖ − 1|; `slope` = sup|σ′|.

    **Raises:** `ValueError` for `n` or `width` below 1, or `gamma` outside (0, 1).
    """

    larger_is_better: ClassVar[tuple[str, ...]] = ("lambda_0", "features_0")

    n: int
    width: int
    gamma: float
    lambda_0: Estimate = eqx.field(converter=estimate)
    features_0: Estimate = eqx.field(converter=estimate)
    rho_0: Estimate = eqx.field(converter=estimate)
    operator_norm: Estimate = eqx.field(converter=estimate)
    one_sided: Estimate = eqx.field(converter=estimate)
    norm_w: Estimate = eqx.field(converter=estimate)
    norm_u: Estimate = eqx.field(converter=estimate)
    norm_v: Estimate = eqx.field(converter=estimate)
    norm_x: Estimate = eqx.field(converter=estimate)
    norm_deviation: float = 0.0
    activation: str = "relu"
    slope: float = 1.0

    def __check_init__(self):
        numerics.check_count("n", self.n)
        numerics.check_count("width", self.width)
        check_gamma(self.gamma)

    @property
    def root(self) -> float:
        """√m."""
        return math.sqrt(self.width)

    @property
    def c(self) -> float:
        """The smallest c ≥ 1 with ‖A(0)‖, ‖W(0)‖ ≤ c√m."""
        return max(1.0, self.operator_norm.value / self.gamma, self.norm_w.value / self.root)

    @property
    def level(self) -> float:
        """λ = min(λ₀, 4λ_min(G(0))/3, ½), at least 0: the proofs ask no more of it."""
        return max(min(self.lambda_0.value, 4 * self.features_0.value / 3, 0.5), 0.0)

    @property
    def sigma(self) -> float:
        """σ_min(Φ(0)), 0 where λ_min(G(0)) is not positive."""
        return math.sqrt(max(self.features_0.value, 0.0))

    @property
    def radius(self) -> float:
        """R′ = ((√3 − √2)/2)√(mλ)/‖X‖: while ‖W − W(0)‖_F ≤ R′, λ_min(G) ≥ λ/2."""
        return GAP * over(math.sqrt(self.width * self.level), self.norm_x.value)

    @property
    def largest_step_size(self) -> float:
        """1/(20c²n) ≤ 1/(‖Z‖² + ‖Φ‖²) while ‖A‖, ‖W‖ ≤ 2c√m."""
        return over(1.0, 20 * self.c**2 * self.n)

    def assumptions(self) -> tuple[Hypothesis, ...]:
        """ReLU, unit rows, λ > 0 and a γ that keeps g‖A‖ ≤ 1/2 as long as ‖A‖ ≤ 2c√m."""
        note = f"λ = min(λ₀, 4λ_min(G(0))/3); λ₀ = {shown(self.lambda_0)}, λ_min(G(0)) = {shown(self.features_0)}"
        return (
            is_relu(self.activation),
            row_norms(self.norm_deviation),
            Hypothesis.at_least("λ > 0", self.level, 0.0, strict=True, note=note),
            Hypothesis.at_most(
                "γ ≤ min(1/2, 1/(4c))", self.gamma, min(0.5, 1 / (4 * self.c)), note=f"c = {self.c:.6g}"
            ),
        )

    def stays(self) -> tuple[Promise, ...]:
        """What every one of the convergence theorems says of Φ, A and W."""
        if not self.level > 0:
            return ()
        return (
            Promise("λ_min(G) ≥ λ/2", "lambda_min_features", ">=", self.level / 2),
            Promise("λ_min(H) ≥ λ/2", "lambda_min", ">=", self.level / 2),
            Promise("g‖A‖ ≤ 2cγ", "operator_norm", "<=", 2 * self.c * self.gamma),
            Promise("‖W‖ ≤ 2c√m", "hidden_norm", "<=", 2 * self.c * self.root),
            Promise("‖W − W(0)‖_F ≤ R′", "distance_hidden", "<=", self.radius, conclusion=False),
        )


def row_norms(deviation: float) -> Hypothesis:
    """Unit inputs, from max |‖x_i‖ − 1|."""
    return Hypothesis.at_most("‖x_i‖ = 1: largest deviation", deviation, numerics.UNIT_NORM_TOLERANCE)


def check_gamma(gamma: float) -> None:
    """Raise `ValueError` unless 0 < gamma < 1."""
    if not 0 < gamma < 1:
        raise ValueError(f"gamma: a number strictly between 0 and 1 expected, {gamma} came; try 0.1")


def check_probability(delta: float) -> None:
    """Raise `ValueError` unless 0 < delta < 1."""
    if not 0 < delta < 1:
        raise ValueError(f"delta: a failure probability strictly between 0 and 1 expected, {delta} came; try 0.1")


def given(x: float | None) -> float:
    """A number that `settled` has filled in."""
    return math.nan if x is None else x
