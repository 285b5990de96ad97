"""GELU, zΦ(z) with the normal distribution function Φ (not its tanh approximation).

Closed-form dual maps by Stein's identity (compare Tsuchida, Pearce, van der Heide, Roosta, Gallagher, AISTATS 2021).
"""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .base import AbstractActivation, Covariance


def _density(z: float) -> float:
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


class Gelu(AbstractActivation):
    """zΦ(z)."""

    name: ClassVar[str] = "gelu"
    # With n = Φ′: φ″ = n(z)(2 − z²) vanishes at ±√2, so that φ′ lies between φ′(−√2) = −0.129 and φ′(√2) = 1.129.
    lipschitz: ClassVar[float | None] = 0.5 * math.erfc(-1.0) + math.sqrt(2) * _density(math.sqrt(2))
    # φ‴ = n(z) z (z² − 4): |φ″| is 2 n(0) at 0 and 2 n(2) at ±2.
    curvature: ClassVar[float | None] = 2 * _density(0.0)
    # φ⁗ = −n(z)(z⁴ − 7z² + 4): z² = (7 ± √33)/2, and the smaller root has the larger |φ‴|.
    third: ClassVar[float | None] = _density(z := math.sqrt((7 - math.sqrt(33)) / 2)) * z * (4 - z * z)
    slope01: ClassVar[bool] = False
    odd: ClassVar[bool] = False
    polynomial_degree: ClassVar[int | None] = None
    kinks: ClassVar[tuple[float, ...]] = ()

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """zΦ(z)."""
        return 0.5 * z * jax.scipy.special.erfc(-math.sqrt(0.5) * z)

    def dual(self, cov: Covariance) -> Float[Array, "*pairs"]:
        r"""$cF + N\,[\,pq - c^2 + \frac{c^2}{1+p} + \frac{c^2}{1+q}\,]$.

        $F = E[\Phi(u)\Phi(v)] = \frac14 + \frac1{2\pi}\mathrm{atan2}(c, \sqrt\Delta)$,
        $N = E[n(u)n(v)] = 1/(2\pi\sqrt\Delta)$ and $\Delta = (1+p)(1+q) - c^2$.
        """
        c, f, n, _, inverses = _parts(cov)
        return c * f + n * (cov.determinant + c * c * inverses)

    def dual_derivative(self, cov: Covariance) -> Float[Array, "*pairs"]:
        r"""$F + cN\,[\,\frac1{1+p} + \frac1{1+q} + \frac1\Delta\,]$, in the notation of `dual`."""
        c, f, n, delta, inverses = _parts(cov)
        return f + c * n * (inverses + 1 / delta)


def _parts(cov: Covariance) -> tuple[Array, Array, Array, Array, Array]:
    c = cov.c
    delta = 1 + cov.p + cov.q + cov.determinant
    root = jnp.sqrt(delta)
    f = 0.25 + jnp.arctan2(c, root) / (2 * math.pi)
    return c, f, 1 / (2 * math.pi * root), delta, 1 / (1 + cov.p) + 1 / (1 + cov.q)
