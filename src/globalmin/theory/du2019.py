r"""Two-layer ReLU networks: Theorems 2.1-2.3 of Du's thesis, chapter 2 (Du, Zhai, Póczos, Singh, ICLR 2019).

f(x) = m^{-1/2} Σ_r a_r max(w_rᵀx, 0) with w_r ~ N(0, I) trained and a_r = ±1 fixed; L = ½‖u − y‖², a sum over samples.

**Explicit constants.** The source gives orders. With δ′ = δ/3 its proofs give three events, each of probability 1 − δ′:

1. m ≥ 8n² ln(2n²/δ′)/λ₀² puts H(0) within λ₀/4 of H^∞ (Hoeffding for each entry).
2. Σ_i #{r : |w_r(0)ᵀx_i| ≤ R} ≤ √(2/π) mnR/δ′ (Markov), so ‖H(W) − H(0)‖ ≤ 4n²R/(√(2π) δ′) for all W that move no
   neuron by more than R.
3. ‖y − u(0)‖² ≤ n(C² + ½)/δ′ (Markov), which a measured residual replaces.

Descent allows a neuron to move by R = √(2π) δ′λ₀/(32n²) and finds that none moves beyond R′ = 4√n ‖y − u(0)‖/(√m λ₀)
when η ≤ λ₀/(4n²); R′ < R is the condition on m. Gradient flow has 16 and 2 in place of 32 and 4. The proofs go through
with any positive lower bound in place of λ₀, so the lower end of its estimate serves.
"""

import math
from typing import ClassVar

import equinox as eqx

from .._core import Estimate, numerics
from . import estimated
from .certificate import Hypothesis, Promise
from .estimated import AbstractEstimated, estimate, is_relu, optional_estimate, over
from .positive_limit import AbstractPositiveLimit

PAPER = "Du, thesis CMU-ML-19-102, chapter 2 (Du, Zhai, Póczos, Singh, ICLR 2019, arXiv:1810.02054)"
DRAWN = "w_r ~ N(0, I) and a_r uniform on ±1, drawn independently of each other and of the data"
PRINTED_WIDTH = "printed: m = Ω(n⁶/(λ₀⁶δ³)), no constant; the proof gives λ₀⁴"


class Start(estimated.Start):
    """What the two convergence theorems are asked about.

    `n` samples, `width` neurons (m); `lambda_0` = λ_min(H^∞); `delta`, the failure probability over the random weights;
    `label_bound`, the C of |y_i| ≤ C, and `label_max` = max |y_i|; `norm_deviation` = max |‖x_i‖ − 1|; `residual_0`,
    the measured ‖y − u(0)‖ (None: the bound of event 3). All dimensionless.

    **Raises:** `ValueError` for `n` or `width` below 1, or `delta` outside (0, 1).
    """

    larger_is_better: ClassVar[tuple[str, ...]] = ("lambda_0",)

    n: int
    width: int
    lambda_0: Estimate = eqx.field(converter=estimate)
    delta: float
    label_bound: float
    label_max: float
    norm_deviation: float = 0.0
    residual_0: Estimate | None = eqx.field(converter=optional_estimate, default=None)
    activation: str = "relu"

    def __check_init__(self):
        numerics.check_count("n", self.n)
        numerics.check_count("width", self.width)
        if not 0 < self.delta < 1:
            raise ValueError(
                f"delta: a failure probability strictly between 0 and 1 expected, {self.delta} came; try 0.1"
            )

    @property
    def event_delta(self) -> float:
        """δ′ = δ/3, the share of each of the three events."""
        return self.delta / 3

    @property
    def residual(self) -> float:
        """‖y − u(0)‖ as measured, or its bound √(n(C² + ½)/δ′)."""
        if self.residual_0 is not None:
            return self.residual_0.value
        return math.sqrt(self.n * (self.label_bound**2 + 0.5) / self.event_delta)

    def data_hypotheses(self) -> tuple[Hypothesis, ...]:
        """ReLU, unit rows, bounded labels, λ₀ > 0."""
        return (
            is_relu(self.activation),
            Hypothesis.at_most("‖x_i‖ = 1: largest deviation", self.norm_deviation, numerics.UNIT_NORM_TOLERANCE),
            Hypothesis.at_least("C ≥ max |y_i|", self.label_bound, self.label_max),
            Hypothesis.at_least("λ₀ > 0", self.lambda_0.value, 0.0, strict=True),
        )


class PositiveLimit(AbstractPositiveLimit):
    """λ₀ = λ_min(H^∞) > 0 when no two inputs are parallel, opposite directions included."""

    source: ClassVar[str] = f"{PAPER}, Theorem 2.1"
    statement: ClassVar[str] = "the limit kernel H^∞ is positive definite"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2019-1i",)


class GradientFlow(AbstractEstimated):
    """‖u(t) − y‖² ≤ exp(−λ₀t) ‖u(0) − y‖² for all t ≥ 0, with probability at least 1 − δ; explicit constants.

    An epoch of its promises is a unit of time.
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 2.2 with the constants of its proof"
    statement: ClassVar[str] = "gradient flow: ‖u(t) − y‖² ≤ exp(−λ₀ t) ‖u(0) − y‖² for all t ≥ 0"
    method: ClassVar[str] = "flow"
    errata_ids: ClassVar[tuple[str, ...]] = tuple(f"du2019-1{letter}" for letter in "abdefgjk")
    assumed: ClassVar[str] = f"{DRAWN}; at the kinks of the ReLU the flow is the limit of small steps"

    start: Start

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Data, and the two conditions on the width."""
        return (*self.start.data_hypotheses(), *_width(self.start, 512))

    def promises(self) -> tuple[Promise, ...]:
        """Loss at rate λ₀, λ_min(H), movement; the drift of H is a step of the proof."""
        start = self.worst().start
        if not start.lambda_0.value > 0:
            return ()
        return (
            Promise("loss at the theorem's rate", "loss", "<=", start.residual**2 / 2, math.exp(-start.lambda_0.value)),
            *_along(start, moved=2, allowed=16),
        )


class GradientDescent(AbstractEstimated):
    """‖u(k) − y‖² ≤ (1 − ηλ₀/2)^k ‖u(0) − y‖² for all k, with probability at least 1 − δ; explicit constants."""

    source: ClassVar[str] = f"{PAPER}, Theorem 2.3 with the constants of its proof"
    statement: ClassVar[str] = "gradient descent: ‖u(k) − y‖² ≤ (1 − ηλ₀/2)^k ‖u(0) − y‖² for all k"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = tuple(f"du2019-1{letter}" for letter in "acdefhj")
    assumed: ClassVar[str] = DRAWN

    start: Start
    step_size: float

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Data, the two conditions on the width, and the step size."""
        start = self.start
        largest = start.lambda_0.value / (4 * start.n**2)
        return (
            *start.data_hypotheses(),
            *_width(start, 8192),
            Hypothesis.at_least("η > 0", self.step_size, 0.0, strict=True),
            Hypothesis.at_most("η ≤ λ₀/(4n²)", self.step_size, largest, note="printed: η = O(λ₀/n²), no constant"),
        )

    def promises(self) -> tuple[Promise, ...]:
        """Loss at rate 1 − ηλ₀/2, λ_min(H), movement; the drift of H is a step of the proof."""
        start = self.worst().start
        return (
            () if not start.lambda_0.value > 0 else (*_rate(start, self.step_size), *_along(start, moved=4, allowed=32))
        )


class GradientFlowPrinted(AbstractEstimated):
    """Theorem 2.2 in its printed form: an order in n, λ₀, δ without a constant, and λ₀⁶ where the proof gives λ₀⁴.

    Undecided unless a `width_constant` is supposed. Its conclusion is that of `GradientFlow`, which promises it.
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 2.2 as printed"
    statement: ClassVar[str] = GradientFlow.statement
    method: ClassVar[str] = "flow"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2019-1a", "du2019-1b")
    assumed: ClassVar[str] = DRAWN

    start: Start
    width_constant: float | None = None

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Data, and the printed order of the width."""
        return (*self.start.data_hypotheses(), _printed_width(self.start, self.width_constant))


class GradientDescentPrinted(AbstractEstimated):
    """Theorem 2.3 in its printed form: orders without constants for the width and for the step size.

    Undecided unless both constants are supposed. Its conclusion is that of `GradientDescent`, which promises it.
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 2.3 as printed"
    statement: ClassVar[str] = GradientDescent.statement
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2019-1a", "du2019-1c")
    assumed: ClassVar[str] = DRAWN

    start: Start
    step_size: float
    width_constant: float | None = None
    step_constant: float | None = None

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Data, and the printed orders of the width and of the step size."""
        start, c = self.start, self.step_constant
        largest = None if c is None else c * start.lambda_0.value / start.n**2
        return (
            *start.data_hypotheses(),
            _printed_width(start, self.width_constant),
            Hypothesis.at_most("η ≤ c λ₀/n²", self.step_size, largest, note="" if c else _NO_CONSTANT),
        )


_NO_CONSTANT = "the source gives the order, not the constant c"


def _width(start: Start, constant: int) -> tuple[Hypothesis, ...]:
    """Event 1, and R′ < R solved for m: `constant`/π is (moved · allowed)²/2π of `_along`."""
    n, lam = start.n, max(start.lambda_0.value, 0.0)
    first = over(8 * n**2 * math.log(2 * n**2 / start.event_delta), lam**2)
    needed = over(constant / math.pi * n**5 * start.residual**2, start.event_delta**2 * lam**4)
    came = "a priori (event 3)" if start.residual_0 is None else "measured"
    return (
        Hypothesis.at_least("m ≥ 8n² ln(2n²/δ′)/λ₀²", start.width, first, note="event 1, with δ′ = δ/3"),
        Hypothesis.at_least(
            f"m > ({constant}/π) n⁵ ‖y − u(0)‖²/(δ′²λ₀⁴)",
            start.width,
            needed,
            strict=True,
            note=f"R′ < R; ‖y − u(0)‖ = {start.residual:.4g} {came}; {PRINTED_WIDTH}",
        ),
    )


def _printed_width(start: Start, c: float | None) -> Hypothesis:
    needed = None
    if c is not None:
        needed = over(c * start.n**6, max(start.lambda_0.value, 0.0) ** 6 * start.delta**3)
    return Hypothesis.at_least("m ≥ c n⁶/(λ₀⁶δ³)", start.width, needed, note="" if c else _NO_CONSTANT)


def _rate(start: Start, step_size: float) -> tuple[Promise, ...]:
    factor = 1 - step_size * start.lambda_0.value / 2
    if not 0 <= factor < 1:  # a step size so large that the formula is no rate
        return ()
    return (Promise("loss at the theorem's rate", "loss", "<=", start.residual**2 / 2, factor),)


def _along(start: Start, moved: int, allowed: int) -> tuple[Promise, ...]:
    n, lam = start.n, start.lambda_0.value
    movement = moved * math.sqrt(n) * start.residual / (math.sqrt(start.width) * lam)
    radius = math.sqrt(2 * math.pi) * start.event_delta * lam / (allowed * n**2)
    return (
        Promise("λ_min(H) ≥ λ₀/2", "lambda_min", ">=", lam / 2),
        Promise("no neuron moves beyond R′", "movement", "<=", movement),
        Promise("no neuron moves beyond R", "movement", "<=", radius, conclusion=False),
        Promise("‖H − H(0)‖ ≤ λ₀/4", "gram_drift", "<=", lam / 4, conclusion=False),
    )
