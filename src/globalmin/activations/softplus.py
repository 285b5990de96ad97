"""Softplus, log(1 + e^z), the integral of the sigmoid; no closed-form dual is known."""

import math
from typing import ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float

from .._core.softplus import softplus
from .numerical import AbstractNumerical


class Softplus(AbstractNumerical):
    """log(1 + e^z)."""

    name: ClassVar[str] = "softplus"
    # φ′ is the sigmoid s: φ″ = s(1 − s) ≤ 1/4 and φ‴² = w²(1 − 4w), w = φ″, is largest at w = 1/6.
    lipschitz: ClassVar[float | None] = 1.0
    curvature: ClassVar[float | None] = 0.25
    third: ClassVar[float | None] = math.sqrt(3) / 18
    slope01: ClassVar[bool] = True
    odd: ClassVar[bool] = False
    polynomial_degree: ClassVar[int | None] = None
    kinks: ClassVar[tuple[float, ...]] = ()

    # Branch points at ±iπ: the tail of φ′ is 1e-18 at variance 3.
    terms: int = eqx.field(static=True, default=160)

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """log(1 + e^z), without overflow."""
        return softplus(z)

    def derivative(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The sigmoid."""
        return jax.nn.sigmoid(z)

    @property
    def phi0(self) -> float:
        """log 2."""
        return math.log(2)
