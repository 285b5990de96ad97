"""SiLU (Swish), z s(z) with the logistic sigmoid s; no closed-form dual is known."""

from typing import ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float

from .numerical import AbstractNumerical


class Silu(AbstractNumerical):
    """z/(1 + e^{−z})."""

    name: ClassVar[str] = "silu"
    # In x = z/2, T = tanh x, S = 1 − T²: φ = x + xT, φ′ = (1 + T + xS)/2, φ″ = S(1 − xT)/2,
    # φ‴ = −S(3T + x − 3xT²)/4, φ⁗ = S(−1 + 3T² + 2xT − 3xT³)/2.
    # φ″ = 0 at x = ±1.1996786, xT = 1, where φ′ = 1.0998393 and −0.0998393. φ″ itself is 1/2 at x = 0, and from there
    # on less in size: S ≤ 1 and, where xT > 2, S(xT − 1) < 4x e^{-2x} < 1/2.
    # φ⁗ = 0 at x = 0.5159791 and x = 2.2146176: |φ‴| = 0.30818152 and 0.0139. Rounded up in the last digit.
    lipschitz: ClassVar[float | None] = 1.0998393201288671
    curvature: ClassVar[float | None] = 0.5
    third: ClassVar[float | None] = 0.3081815157964792
    slope01: ClassVar[bool] = False
    odd: ClassVar[bool] = False
    polynomial_degree: ClassVar[int | None] = None
    kinks: ClassVar[tuple[float, ...]] = ()

    # Poles at ±iπ: the tail of φ′ is 1e-16 at variance 3.
    terms: int = eqx.field(static=True, default=160)

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """z s(z)."""
        return jax.nn.silu(z)
