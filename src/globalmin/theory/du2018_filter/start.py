"""What the theorems on one convolutional filter are asked: constants of the patches, and where the filter starts."""

import math
from typing import ClassVar

import equinox as eqx

from ..._core import Estimate, numerics
from .. import estimated
from ..certificate import Hypothesis
from ..estimated import estimate

PAPER = "Du, thesis CMU-ML-19-102, chapter 6 (Du, Lee, Tian, ICLR 2018, arXiv:1709.06129)"
MODEL = (
    "constants between the grid's angles deviate from the neighbours by no more than the stated error; samples, if given, "
    "are the whole distribution"
)


class Start(estimated.Start):
    """Constants at φ₀ = arcsin(‖w₀ − w*‖/‖w*‖), and the step.

    `patches` k, `dimension` p; `distance` ‖w₀ − w*‖/‖w*‖; `gamma`, the least γ(φ) for φ ≤ φ₀, `largest`, the largest L(φ);
    `boundary` β; `cross` L_cross, all in squares of a patch; `step_size` η. `complete`: the constants are extremes over
    every filter at an angle and not over some. `sampled`: gradients come from batches.

    **Raises:** `ValueError` for no patch, or a distance that is negative or NaN.
    """

    larger_is_better: ClassVar[tuple[str, ...]] = ("gamma",)

    patches: int
    dimension: int
    distance: float
    gamma: Estimate = eqx.field(converter=estimate)
    largest: Estimate = eqx.field(converter=estimate)
    boundary: Estimate = eqx.field(converter=estimate)
    cross: Estimate = eqx.field(converter=estimate)
    step_size: float
    complete: bool = True
    sampled: bool = False

    def __check_init__(self):
        numerics.check_count("patches", self.patches)
        numerics.check_count("dimension", self.dimension)
        if not self.distance >= 0:
            raise ValueError(f"distance: ‖w₀ − w*‖/‖w*‖, a number of at least 0, expected, {self.distance!r} came")

    @property
    def margin(self) -> float:
        """γ − 6L_cross."""
        return self.gamma.value - 6 * self.cross.value

    @property
    def slope(self) -> float:
        """L + 10L_cross + 4β, ‖∇ℓ‖ over ‖w − w*‖ at most."""
        return self.largest.value + 10 * self.cross.value + 4 * self.boundary.value

    def inside(self) -> Hypothesis:
        """‖w₀ − w*‖ < ‖w*‖."""
        return Hypothesis.at_most("‖w₀ − w*‖ < ‖w*‖", self.distance, 1.0, strict=True)

    def population(self) -> Hypothesis:
        """Gradients of the population."""
        note = "sampled gradients: the theorem is about exact ones"
        return estimated.stated("gradients of the population", not self.sampled, note)

    def all_directions(self) -> tuple[Hypothesis, ...]:
        """Nothing where the constants are extremes over all filters, else a hypothesis that nobody can decide."""
        if self.complete:
            return ()
        note = "γ and L were looked for over some filters at each angle: γ may be smaller, the others larger"
        return (Hypothesis.at_least("every filter at an angle was looked at", None, 1.0, note=note),)

    def positive_step(self) -> Hypothesis:
        """η > 0."""
        return Hypothesis.at_least("η > 0", self.step_size, 0.0, strict=True)

    def steps_until(self, accuracy: float, factor: float) -> int | None:
        """Steps until the distance is ε‖w*‖, if its square falls by `factor` a step."""
        if not 0 <= factor < 1:
            return None
        if self.distance <= accuracy:
            return 0
        return 1 if factor == 0 else math.ceil(2 * math.log(self.distance / accuracy) / -math.log(factor))
