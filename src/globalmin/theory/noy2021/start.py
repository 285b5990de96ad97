"""What the theorems share: the sizes of the network, its measured constants, and the assumptions in common."""

import math
from typing import ClassVar

import equinox as eqx

from ..._core import Estimate, numerics
from .. import estimated
from ..certificate import Hypothesis
from ..estimated import estimate, optional_estimate, over, stated

PAPER = "Noy, Xu, Aflalo, Zelnik-Manor, Jin, 2021"
OURS = f"globalmin, after {PAPER}"
DRAWN = "C ~ N(0, 2/d_x), W_k, Ψ_k ~ N(0, 2/m), B ~ N(0, 2/d_y), independent of each other and of the data"
NUMBERS_ONLY = "nothing about the law of the weights: only the numbers of this network are used"
NO_CONSTANT = "the source gives the order, not the constant"
THETA = 0.2  # the free θ is taken at the upper end of its range, where its bounds are smallest


class Start(estimated.Start):
    """Numbers of the first iterate, shared by the theorems.

    `n` samples, `width` m, `depth` L, `inputs` d_x, `outputs` d_y, `gates` by name. `alpha_x` … `off_diagonal` as in
    `Spectra`, `zeta` ≥ 1 and ≥ ‖Z_{k,l}‖ for L − 1 ≥ k > l ≥ 1, `loss_0` = ½‖f − y‖². `printed_alpha_x` and
    `printed_beta_x`: those of `feature_maps`, `None` where they were too expensive. `correlation` is the δ of
    Assumption 1, max |x_i·x_j|; `label_square` the largest ‖y_i‖² and `label_row` its row; `norm_deviation` is
    max |‖x_i‖ − 1|.

    **Raises:** `ValueError` for a count below 1.
    """

    larger_is_better: ClassVar[tuple[str, ...]] = ("alpha_x", "alpha_y", "printed_alpha_x")

    n: int
    width: int
    depth: int
    inputs: int
    outputs: int
    gates: str
    alpha_x: Estimate = eqx.field(converter=estimate)
    beta_x: Estimate = eqx.field(converter=estimate)
    alpha_y: Estimate = eqx.field(converter=estimate)
    beta_y: Estimate = eqx.field(converter=estimate)
    off_diagonal: Estimate = eqx.field(converter=estimate)
    zeta: Estimate = eqx.field(converter=estimate)
    loss_0: Estimate = eqx.field(converter=estimate)
    printed_alpha_x: Estimate | None = eqx.field(converter=optional_estimate, default=None)
    printed_beta_x: Estimate | None = eqx.field(converter=optional_estimate, default=None)
    correlation: float = 0.0
    label_square: float = 0.0
    label_row: int = 0
    norm_deviation: float = 0.0

    def __check_init__(self):
        for name in ("n", "width", "depth", "inputs", "outputs"):
            numerics.check_count(name, getattr(self, name))

    @property
    def alpha(self) -> float:
        """α = √(α_x α_y)."""
        return math.sqrt(max(self.alpha_x.value, 0.0) * max(self.alpha_y.value, 0.0))

    @property
    def beta(self) -> float:
        """β = √(β_x β_y)."""
        return math.sqrt(self.beta_x.value * self.beta_y.value)

    @property
    def printed_alpha(self) -> float | None:
        """α with the printed α_x."""
        found = self.printed_alpha_x
        return None if found is None else math.sqrt(max(found.value, 0.0) * max(self.alpha_y.value, 0.0))

    @property
    def printed_beta(self) -> float | None:
        """β with the printed β_x."""
        found = self.printed_beta_x
        return None if found is None else math.sqrt(found.value * self.beta_y.value)

    @property
    def tau(self) -> float:
        """4√3 β√l_0/(α²L) ≥ max_k ‖W_{t,k} − W_{0,k}‖ for all t, where Lemma 3 applies all along (erratum E9)."""
        return over(4 * math.sqrt(3 * self.loss_0.value) * self.beta, self.alpha**2 * self.depth)

    def labels(self) -> Hypothesis:
        """Assumption 2, with the square that its use needs (erratum E8)."""
        bound = self.width / self.inputs
        note = ""
        if self.label_square > bound:
            note = (
                f"label {self.label_row} is beyond it; divide the labels by "
                f"{math.sqrt(self.label_square / bound):.3g}, or widen to m = {math.ceil(self.label_square * self.inputs)}"
            )
        return Hypothesis.at_most("max ‖y_i‖² ≤ m/d_x", self.label_square, bound, note=note)

    def data(self) -> tuple[Hypothesis, ...]:
        """Unit rows, and Assumption 2."""
        norms = Hypothesis.at_most("‖x_i‖ = 1: largest deviation", self.norm_deviation, numerics.UNIT_NORM_TOLERANCE)
        return norms, self.labels()

    def analysed_gates(self) -> Hypothesis:
        """Whether the gates are those that the proof of Lemma 4 is about (erratum E12)."""
        return stated(
            "the gates are 1{Ψ_k x > 0}, as in the proof",
            self.gates == "inputs",
            "Lemma 4 analyses Ψ_k x, while these gates see features whose correlation tends to 1 with depth",
        )


def steps_to(eps: float, loss_0: float, decay: float) -> float:
    """⌈log(l_0/ε)/(−log(1 − decay))⌉ steps for l ≤ ε when l_{t+1} ≤ (1 − decay) l_t; infinite for decay ≤ 0."""
    if loss_0 <= eps:
        return 0.0
    if not 0 < decay < 1:
        return 1.0 if decay == 1 else math.inf
    return float(math.ceil(math.log(loss_0 / eps) / -math.log1p(-decay)))
