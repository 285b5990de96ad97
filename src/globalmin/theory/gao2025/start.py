"""What the theorems share: the numbers of the first iterate, the bounds on a ball from norms alone, the assumptions."""

import math
from typing import ClassVar

import equinox as eqx
import numpy as np

from ..._core import Estimate, numerics
from .. import estimated
from ..certificate import Hypothesis
from ..curvature import NeuralODECurvature
from ..estimated import estimate, stated

PAPER = "Gao, Sun, Liu, Gao, ICLR 2025"
OURS = f"globalmin, after {PAPER}"
DRAWN = "U_ij, W_ij, v_j ~ N(0, 1), independent of each other and of the data"
NUMBERS_ONLY = "nothing about the law of the weights: only the numbers of this network are used"
NO_CONSTANT = "the source says that a constant exists, not which"


class Start(estimated.Start):
    """Numbers of the first iterate, shared by the theorems.

    `n` samples, `width` m, `layers` L of the residual network; `lambda_0` = λ_min(K_θ(0)), `readout_0` = λ_min(K^v(0)),
    `limit_0` = λ_min(K^∞), `lambda_max` = λ_max(K_θ(0)); `rho_0` = ‖f − y‖; operator norms `norm_u`, `norm_w`, `norm_x`,
    Euclidean `norm_v`, Frobenius `norm_x_f`; `v_max` = max|v_j|, `w_column` = the largest column norm of W, `x_max` = max‖x_i‖.
    `u_scale` = σ_u/√d. `slope`, `bend`, `third`: sup|φ′|, sup|φ″|, sup|φ‴|, infinite where there is none; `phi0` = |φ(0)|.

    **Raises:** `ValueError` for `n`, `width` or `layers` below 1, or a horizon that is not positive.
    """

    larger_is_better: ClassVar[tuple[str, ...]] = ("lambda_0", "readout_0", "limit_0")

    n: int
    width: int
    layers: int
    lambda_0: Estimate = eqx.field(converter=estimate)
    readout_0: Estimate = eqx.field(converter=estimate)
    limit_0: Estimate = eqx.field(converter=estimate)
    lambda_max: Estimate = eqx.field(converter=estimate)
    rho_0: Estimate = eqx.field(converter=estimate)
    norm_u: Estimate = eqx.field(converter=estimate)
    norm_w: Estimate = eqx.field(converter=estimate)
    norm_v: Estimate = eqx.field(converter=estimate)
    norm_x: Estimate = eqx.field(converter=estimate)
    norm_x_f: Estimate = eqx.field(converter=estimate)
    v_max: float
    w_column: float
    x_max: float
    u_scale: float
    sigma_w: float
    sigma_v: float
    horizon: float
    slope: float
    bend: float
    third: float
    phi0: float = 0.0
    norm_deviation: float = 0.0
    activation: str = "tanh"

    def __check_init__(self):
        for name in ("n", "width", "layers"):
            numerics.check_count(name, getattr(self, name))
        if not self.horizon > 0:
            raise ValueError(f"horizon: a positive time T expected, {self.horizon} came")

    @property
    def loss(self) -> float:
        """‖r₀‖²/2, infinite where it overflows."""
        return self.rho_0.value * self.rho_0.value / 2

    @property
    def root(self) -> float:
        """√m."""
        return math.sqrt(self.width)

    @property
    def w_scale(self) -> float:
        """σ_w/√m."""
        return self.sigma_w / self.root

    @property
    def v_scale(self) -> float:
        """σ_v/√m."""
        return self.sigma_v / self.root

    @property
    def rate(self) -> float:
        """sup|φ′| σ_w‖W‖/√m: nothing grows faster than e to this times t."""
        return self.slope * self.w_scale * self.norm_w.value

    def grown(self, time: float) -> float:
        """exp(rate · time), infinite where it overflows."""
        return math.exp(min(self.rate * time, 709.0)) if math.isfinite(self.rate) else math.inf

    def states(self, time: float) -> float:
        """Lemma 17 corrected: max_i ‖h_t‖ ≤ e^{ωt}‖h_0‖ + |φ(0)|√m (e^{ωt} − 1)/sup|φ′|, ω the rate."""
        grown = self.grown(time)
        shift = 0.0 if self.phi0 == 0 else self.phi0 * self.root * (grown - 1) / self.slope
        return grown * self.u_scale * self.norm_u.value * self.x_max + shift

    def features(self, time: float) -> float:
        """max_i ‖φ(h_t)‖ ≤ e^{ωt}(sup|φ′|‖h_0‖ + |φ(0)|√m)."""
        return self.grown(time) * (self.slope * self.u_scale * self.norm_u.value * self.x_max + self.phi0 * self.root)

    def adjoints(self, time: float) -> float:
        """Lemma 17: max_i ‖λ_t‖ ≤ (σ_v/√m) sup|φ′|‖v‖ e^{ω(T−t)}."""
        return self.v_scale * self.slope * self.norm_v.value * self.grown(self.horizon - time)

    @property
    def spread(self) -> float:
        """|(σ_w/√m)Wᵀλ|_∞ ≤ this times ‖λ‖: by the columns of W, never more than by ‖W‖."""
        return self.w_scale * min(self.norm_w.value, self.w_column)

    def curvature(self) -> NeuralODECurvature:
        """The constants on balls from norms alone: every measured sequence replaced by the bounds above."""
        dt = self.horizon / self.layers
        times = np.arange(self.layers + 1) * dt
        adjoint = tuple(self.adjoints(float(t)) for t in times)
        b = tuple(self.spread * a for a in adjoint[1:])
        # Over all samples: the same with ‖X‖_F and √n for one sample's norms.
        frobenius = self.slope * self.u_scale * self.norm_u.value * self.norm_x_f.value
        frobenius += self.phi0 * self.root * math.sqrt(self.n)
        return NeuralODECurvature(
            slope=self.slope,
            bend=self.bend,
            third=self.third,
            step=dt,
            u_scale=self.u_scale,
            w_scale=self.w_scale,
            v_scale=self.v_scale,
            w_norm=self.norm_w.value,
            v_max=self.v_max,
            data_norm=self.norm_x.value,
            data_max=self.x_max,
            features_norm=tuple(self.grown(float(t)) * frobenius for t in times[:-1]),
            last_norm=self.grown(self.horizon) * frobenius,
            feature_max=tuple(self.features(float(t)) for t in times[:-1]),
            adjoint_max=adjoint,
            readout_bend=self.bend * self.v_max,
            b_max=b,
            b_bend=tuple(self.bend * value for value in b),
        )

    def smooth(self) -> tuple[Hypothesis, ...]:
        """Assumption 1.2: φ and φ′ are Lipschitz."""
        return (
            stated("φ is Lipschitz", math.isfinite(self.slope), f"{self.activation} has no finite sup|φ′|"),
            stated("φ′ is Lipschitz", math.isfinite(self.bend), f"{self.activation} has no finite sup|φ″|"),
        )


def row_norms(deviation: float) -> Hypothesis:
    """Assumption 1.1, unit inputs, from max |‖x_i‖ − 1|."""
    return Hypothesis.at_most("‖x_i‖ = 1: largest deviation", deviation, numerics.UNIT_NORM_TOLERANCE)
