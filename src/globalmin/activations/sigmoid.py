"""The logistic sigmoid; no closed-form dual is known."""

import math
from typing import ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float

from .numerical import AbstractNumerical


class Sigmoid(AbstractNumerical):
    """s(z) = 1/(1 + e^{−z})."""

    name: ClassVar[str] = "sigmoid"
    # In w = φ′ = s(1 − s) in (0, 1/4]: φ″² = w²(1 − 4w) is largest at w = 1/6; φ‴ = w(1 − 6w) is −1/8 at w = 1/4 and
    # at most 1/24, at w = 1/12.
    lipschitz: ClassVar[float | None] = 0.25
    curvature: ClassVar[float | None] = math.sqrt(3) / 18
    third: ClassVar[float | None] = 0.125
    slope01: ClassVar[bool] = True
    odd: ClassVar[bool] = False
    polynomial_degree: ClassVar[int | None] = None
    kinks: ClassVar[tuple[float, ...]] = ()

    # Poles at ±iπ: the tail of φ′ is 1e-15 at variance 3.
    terms: int = eqx.field(static=True, default=160)

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """s(z)."""
        return jax.nn.sigmoid(z)
