"""The sine. Dual maps: E[cos(u ∓ v)] = exp(−Var(u ∓ v)/2) and sums of them."""

import math
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from . import quadrature
from .base import AbstractActivation, Covariance


class Sin(AbstractActivation):
    """sin(z)."""

    name: ClassVar[str] = "sin"
    # All derivatives are sines and cosines.
    lipschitz: ClassVar[float | None] = 1.0
    curvature: ClassVar[float | None] = 1.0
    third: ClassVar[float | None] = 1.0
    slope01: ClassVar[bool] = False
    odd: ClassVar[bool] = True
    polynomial_degree: ClassVar[int | None] = None
    kinks: ClassVar[tuple[float, ...]] = ()

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """sin(z)."""
        return jnp.sin(z)

    def dual(self, cov: Covariance) -> Float[Array, "*pairs"]:
        r"""$e^{-(p+q)/2}\sinh c$, without overflow and with all digits of small c."""
        difference, total = _log_cosines(cov)
        positive = cov.c >= 0
        size = jnp.where(positive, cov.c, -cov.c)  # not jnp.abs, whose derivative at 0 is 0
        value = -0.5 * jnp.exp(jnp.where(positive, difference, total)) * jnp.expm1(-2 * size)
        return jnp.where(positive, value, -value)

    def dual_derivative(self, cov: Covariance) -> Float[Array, "*pairs"]:
        r"""$e^{-(p+q)/2}\cosh c$."""
        difference, total = _log_cosines(cov)
        return 0.5 * (jnp.exp(difference) + jnp.exp(total))


def _log_cosines(cov: Covariance) -> tuple[Array, Array]:
    """log E[cos(u − v)] and log E[cos(u + v)]: −(p + q)/2 ± c, written as sums of negative terms."""
    apart = -0.5 * (quadrature.safe_sqrt(cov.p) - quadrature.safe_sqrt(cov.q)) ** 2
    half, scale = cov.angle / 2, cov.scale
    # cos²(θ/2) as sin²((π − θ)/2), which keeps the digits near θ = π.
    return apart - 2 * scale * jnp.sin(half) ** 2, apart - 2 * scale * jnp.sin(math.pi / 2 - half) ** 2
