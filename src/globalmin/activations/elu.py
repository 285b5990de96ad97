"""ELU, z for z ≥ 0 and e^z − 1 below.

Dual maps: in polar coordinates the integral along the radius is a closed form in Mills' ratio; what is left is one
smooth integral across each sector, at any angle and variance.
"""

import functools
import math
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from . import quadrature
from .base import AbstractActivation, Covariance

NODES = 32  # across a sector: round-off up to variance 50, 1e-11 at 100; `dual_error` tells

# Chebyshev coefficients in y = (k − 5)/(k + 5) of (1 + k) R(k) on [0, ∞), R Mills' ratio: computed in 40 digits at 60
# nodes, cut at 1e-17. jax.scipy has no scaled erfc, and exp(x²) erfc(x) loses digits, then overflows.
MILLS = (
    1.1579976221305188,
    -0.1633449388451398,
    -0.013683136055781578,
    0.03082200019810004,
    -0.016220073012046806,
    0.005616691016460094,
    -0.0014133933783549216,
    0.0002502625460725662,
    -2.4689072397283637e-05,
    -1.0107964061834595e-06,
    7.495419179743983e-07,
    -7.600274268692876e-08,
    -1.157477144098938e-08,
    3.333386472896181e-09,
    7.53803965110865e-11,
    -1.1104247249339191e-10,
    3.509243823437895e-12,
    3.689495332507361e-12,
    -2.337671273201566e-13,
    -1.3271820818762428e-13,
    9.921409928888186e-15,
    5.275668290130052e-15,
    -3.376584574589807e-16,
    -2.2837549712484965e-16,
)


class Elu(AbstractActivation):
    """z for z ≥ 0, e^z − 1 for z < 0: φ′ is continuous, φ″ jumps from 1 to 0 at the origin."""

    name: ClassVar[str] = "elu"
    # φ′ = e^z and 1, φ″ = e^z and 0 on the two half lines; φ″ jumps, so that no sup |φ‴| exists.
    lipschitz: ClassVar[float | None] = 1.0
    curvature: ClassVar[float | None] = 1.0
    third: ClassVar[float | None] = None
    slope01: ClassVar[bool] = True
    odd: ClassVar[bool] = False
    polynomial_degree: ClassVar[int | None] = None
    kinks: ClassVar[tuple[float, ...]] = (0.0,)

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """z or e^z − 1."""
        return jnp.where(z >= 0, z, jnp.expm1(jnp.minimum(z, 0.0)))

    def dual(self, cov: Covariance) -> Float[Array, "*pairs"]:
        r"""The sum over the sign patterns of u and v.

        With $M(k) = \int_0^\infty r e^{-r^2/2-kr}dr$, $M_2 = -M'$, and $|u| = ra$, $|v| = rb$ across a sector,
        both positive: the arc-cosine kernel; of opposite signs: $a\,(M_2(b) - M_2(0))$; both negative:
        $1 - M(a) - M(b) + M(a+b)$.
        """
        return _dual(cov.p, cov.q, cov.angle)

    def dual_derivative(self, cov: Covariance) -> Float[Array, "*pairs"]:
        r"""As `dual`: $\frac{\pi-\theta}{2\pi}$, then $M(b)$ on the sectors of opposite signs, $M(a+b)$ on the last."""
        return _dual_derivative(cov.p, cov.q, cov.angle)

    def dual_error(self, variance: Float[Array, "*shape"] | float) -> float:
        """Bound on the absolute error for pairs of the given variances: `quadrature.doubling_error` across sectors.

        On top 8 eps: for small variances the terms of `dual` are of order 1 and cancel.
        """
        variance = jnp.asarray(variance, float)
        return 8 * quadrature.EPS + max(quadrature.doubling_error(rule, variance) for rule in (_dual, _dual_derivative))


@functools.partial(jax.jit, static_argnames="refine")
def _dual(p: Array, q: Array, angle: Array, refine: int = 1) -> Array:
    root_p, root_q = quadrature.safe_sqrt(p), quadrature.safe_sqrt(q)
    rest = math.pi - angle
    rectified = root_p * root_q * (jnp.sin(rest) - rest * jnp.cos(rest))

    def opposite(a, b):
        return a * (_second(b) - math.sqrt(math.pi / 2)) + b * (_second(a) - math.sqrt(math.pi / 2))

    def negative(a, b):
        return 1 - _first(a) - _first(b) + _first(a + b)

    mixed = _across(opposite, root_p, root_q, angle, refine)
    return (rectified + mixed + _across(negative, root_p, root_q, rest, refine)) / (2 * math.pi)


@functools.partial(jax.jit, static_argnames="refine")
def _dual_derivative(p: Array, q: Array, angle: Array, refine: int = 1) -> Array:
    root_p, root_q = quadrature.safe_sqrt(p), quadrature.safe_sqrt(q)
    rest = math.pi - angle
    mixed = _across(lambda a, b: _first(a) + _first(b), root_p, root_q, angle, refine)
    return (rest + mixed + _across(lambda a, b: _first(a + b), root_p, root_q, rest, refine)) / (2 * math.pi)


def _across(f: Callable[[Array, Array], Array], root_p: Array, root_q: Array, width: Array, refine: int) -> Array:
    """∫₀^w f(√p sin s, √q sin(w − s)) ds by Gauss-Legendre, one node at a time."""
    x, weight = quadrature.legendre(0.0, 1.0, refine * NODES)

    def body(total, node):
        s, w = node
        return total + w * f(root_p * jnp.sin(s * width), root_q * jnp.sin((1 - s) * width)), None

    start = jnp.zeros(jnp.broadcast_shapes(root_p.shape, root_q.shape, width.shape), width.dtype)
    total, _ = jax.lax.scan(body, start, jnp.asarray(np.stack((x, weight), axis=1)))
    return width * total


@jax.custom_jvp
def _mills(k: Array) -> Array:
    """R(k) = ∫₀^∞ exp(−r²/2 − kr) dr for k ≥ 0 (Clenshaw)."""
    y = (k - 5) / (k + 5)
    after, now = jnp.zeros_like(k), jnp.zeros_like(k)
    for coefficient in reversed(MILLS[1:]):
        after, now = now, coefficient + 2 * y * now - after
    return (MILLS[0] + y * now - after) / (1 + k)


@_mills.defjvp
def _mills_jvp(primals, tangents):
    # R′ = kR − 1, and not the derivative of the Chebyshev sum, which costs digits and minutes of compilation.
    (k,), (tangent,) = primals, tangents
    value = _mills(k)
    return value, (k * value - 1) * tangent


def _first(k: Array) -> Array:
    """M(k) = 1 − kR(k)."""
    return 1 - k * _mills(k)


def _second(k: Array) -> Array:
    """M₂(k) = (1 + k²)R(k) − k."""
    return (1 + k * k) * _mills(k) - k
