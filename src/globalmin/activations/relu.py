"""ReLU and leaky ReLU, max(z, αz), with φ′(0) = 1.

Dual maps: the arc-cosine kernels of degrees 1 and 0 (Cho and Saul, NIPS 2009), here as functions of the angle, which
near θ = 0 and π keeps the digits that arccos of the covariance loses.
"""

import math
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from . import quadrature
from .base import AbstractActivation, Covariance


class AbstractRectifier(AbstractActivation):
    """max(z, αz) = relu(z) − α relu(−z) for a slope 0 ≤ α < 1."""

    slope: eqx.AbstractVar[float]

    lipschitz: ClassVar[float | None] = 1.0
    curvature: ClassVar[float | None] = None  # φ′ jumps by 1 − α at 0
    third: ClassVar[float | None] = None
    slope01: ClassVar[bool] = True
    odd: ClassVar[bool] = False
    polynomial_degree: ClassVar[int | None] = None
    kinks: ClassVar[tuple[float, ...]] = (0.0,)

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """max(z, αz); autodiff of this form gives 1 at 0."""
        return jnp.where(z >= 0, z, self.slope * z)

    def derivative(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """1 where z ≥ 0, else α."""
        return jnp.where(z >= 0, jnp.ones_like(z), jnp.full_like(z, self.slope))

    def dual(self, cov: Covariance) -> Float[Array, "*pairs"]:
        r"""$\frac{\sqrt{pq}}{2\pi}[(1+\alpha^2)\,g(\pi-\theta) - 2\alpha\,g(\theta)]$, $g(s) = \sin s - s\cos s$."""

        def g(s):
            return jnp.sin(s) - s * jnp.cos(s)

        one, other = g(math.pi - cov.angle), g(cov.angle)
        return cov.scale / (2 * math.pi) * ((1 + self.slope**2) * one - 2 * self.slope * other)

    def dual_derivative(self, cov: Covariance) -> Float[Array, "*pairs"]:
        r"""$[(1+\alpha^2)(\pi-\theta) + 2\alpha\theta]/2\pi$; a variable of variance 0 has φ′ = 1."""
        a = self.slope
        both = ((1 + a * a) * (math.pi - cov.angle) + 2 * a * cov.angle) / (2 * math.pi)
        u, v = cov.p > 0, cov.q > 0
        return jnp.where(u & v, both, jnp.where(u | v, (1 + a) / 2, 1.0))

    def hermite_coefficients(
        self, variance: Float[Array, "*shape"] | float, count: int
    ) -> Float[Array, "{count} *shape"]:
        r"""$\sqrt c\,(1-\alpha(-1)^k)\,a_k$, where ReLU's are $a_0 = 1/\sqrt{2\pi}$, $a_1 = 1/2$, 0 for odd k ≥ 3 and
        $a_k = (-1)^{k/2-1}(k-3)!!/\sqrt{2\pi k!}$ for even k ≥ 2: quadrature would need nodes at the kink.
        """
        a = np.zeros(max(count, 3))
        a[:3] = 1 / math.sqrt(2 * math.pi), 0.5, 0.5 / math.sqrt(math.pi)
        for k in range(4, count, 2):
            a[k] = -a[k - 2] * (k - 3) / math.sqrt(k * (k - 1))
        a[0::2] *= 1 - self.slope
        a[1::2] *= 1 + self.slope
        root = quadrature.safe_sqrt(jnp.asarray(variance, float))
        return jnp.asarray(a[:count]).reshape(count, *(1,) * root.ndim) * root


class Relu(AbstractRectifier):
    """max(z, 0), with φ′(0) = 1."""

    name: ClassVar[str] = "relu"
    slope: ClassVar[float] = 0.0


class LeakyRelu(AbstractRectifier):
    """max(z, αz) with slope α in [0, 1), by default 0.01.

    **Raises:** `ValueError` for another slope.
    """

    slope: float = eqx.field(static=True)

    def __init__(self, slope: float = 0.01):
        if not 0 <= slope < 1:
            raise ValueError(f"slope: a number in [0, 1) expected, {slope} came; slope 1 is `identity`")
        self.slope = float(slope)

    @property
    def name(self) -> str:
        """`leaky-relu`, and the slope if it is not the default one."""
        return "leaky-relu" if self.slope == 0.01 else f"leaky-relu-{self.slope!r}"
