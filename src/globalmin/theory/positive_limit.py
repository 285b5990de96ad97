"""λ₀ > 0 from the geometry of the inputs: what every paper on a ReLU-like limit kernel states first."""

from typing import ClassVar

import equinox as eqx

from .._core import Estimate
from .certificate import Hypothesis
from .estimated import AbstractEstimated, estimate, is_relu, shown


class AbstractPositiveLimit(AbstractEstimated):
    """The limit kernel is positive definite when no two inputs are parallel, opposite directions included.

    Sufficient only: a pair x, −x by itself leaves λ₀ positive, and FAILS says nothing about λ₀ there. The computed λ₀
    stands beside the hypothesis. A paper's theorem is a subclass that names its source.
    """

    larger_is_better: ClassVar[tuple[str, ...]] = ("closest_angle", "lambda_0")

    closest_angle: Estimate = eqx.field(converter=estimate)  # between the lines of two inputs, in [0, π/2]
    lambda_0: Estimate = eqx.field(converter=estimate)
    closest_pair: tuple[int, int] | None = None
    activation: str = "relu"

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """ReLU, and a positive angle between every two lines."""
        rows = "" if self.closest_pair is None else f"closest: rows {self.closest_pair[0]} and {self.closest_pair[1]}; "
        return (
            is_relu(self.activation),
            Hypothesis.at_least(
                "no two inputs are parallel: smallest angle > 0",
                self.closest_angle.value,
                0.0,
                strict=True,
                note=f"{rows}computed λ₀ = {shown(self.lambda_0)}",
            ),
        )
