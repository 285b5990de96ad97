"""The error function, erf(z) = (2/√π) ∫₀^z exp(−s²) ds.

Dual maps: Williams, NIPS 1996, in a form without cancellation.
"""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import arcs
from .base import AbstractActivation, Covariance


class Erf(AbstractActivation):
    """erf(z)."""

    name: ClassVar[str] = "erf"
    # φ′ = (2/√π) e^{-z²} is largest at 0; φ″ = −2zφ′ at z² = 1/2; φ‴ = (4z² − 2)φ′ has |φ‴| = 4/√π at 0 and
    # (8/√π) e^{-3/2}, which is less, at its other stationary points z² = 3/2.
    lipschitz: ClassVar[float | None] = 2 / math.sqrt(math.pi)
    curvature: ClassVar[float | None] = 4 / math.sqrt(2 * math.pi * math.e)
    third: ClassVar[float | None] = 4 / math.sqrt(math.pi)
    slope01: ClassVar[bool] = False
    odd: ClassVar[bool] = True
    polynomial_degree: ClassVar[int | None] = None
    kinks: ClassVar[tuple[float, ...]] = ()

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """erf(z)."""
        return jax.scipy.special.erf(z)

    def dual(self, cov: Covariance) -> Float[Array, "*pairs"]:
        r"""$\frac2\pi\arcsin\frac{2c}{\sqrt{(1+2p)(1+2q)}} = \frac2\pi\,\mathrm{atan2}(2c, \sqrt D)$, D as below."""
        over = _over(cov.p) * _over(cov.q)
        return 2 / math.pi * arcs.angle_of(2 * cov.c * over, jnp.sqrt(_gap(cov)) * over)

    def dual_derivative(self, cov: Covariance) -> Float[Array, "*pairs"]:
        r"""$\frac4\pi D^{-1/2}$ with $D = (1+2p)(1+2q) - 4c^2$."""
        return 4 / math.pi / jnp.sqrt(_gap(cov))


def _over(variance: Array) -> Array:
    return 1 / jnp.sqrt(1 + 2 * variance)


def _gap(cov: Covariance) -> Array:
    # (1 + 2p)(1 + 2q) − 4c², where arcsin would lose half of the digits of parallel inputs of large variance.
    return 1 + 2 * (cov.p + cov.q) + 4 * cov.determinant
