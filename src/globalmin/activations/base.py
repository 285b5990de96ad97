"""What the theory needs to know of an activation φ: derivatives, proven bounds, dual maps, Hermite coefficients."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Covariance(eqx.Module):
    """Covariance of a pair (u, v) of centred Gaussians, or of an array of pairs, kept as variances and angle.

    The angle θ, cov(u, v) = √(pq) cos θ, is what survives for nearly parallel inputs: 1 − cos θ computed from the
    covariance itself has lost half of its digits at θ = 1e-8.
    """

    p: Float[Array, "*pairs"]  # Var u
    q: Float[Array, "*pairs"]  # Var v
    angle: Float[Array, "*pairs"]  # in [0, π]

    @classmethod
    def of(cls, p, q, c) -> "Covariance":
        """From the matrix ((p, c), (c, q)); where a variance is 0 the angle is π/2."""
        p, q, c = jnp.broadcast_arrays(jnp.asarray(p, float), jnp.asarray(q, float), jnp.asarray(c, float))
        scale = jnp.sqrt(p * q)
        flat = scale == 0
        cosine = jnp.where(flat, 0.0, c / jnp.where(flat, 1.0, scale))
        return cls(p, q, jnp.arccos(jnp.clip(cosine, -1.0, 1.0)))

    @property
    def c(self) -> Float[Array, "*pairs"]:
        """cov(u, v)."""
        return jnp.sqrt(self.p * self.q) * jnp.cos(self.angle)


class AbstractActivation(eqx.Module):
    """An activation φ with what is proven about it. Subclasses give `phi` and override what they know better.

    A bound of `None` means that no finite bound exists (or, for `Activation`, that none was given), and a theorem
    that needs it is silent. All bounds are over the whole real line.
    """

    name: eqx.AbstractVar[str]
    lipschitz: eqx.AbstractVar[float | None]  # sup |φ′|
    curvature: eqx.AbstractVar[float | None]  # sup |φ″|; None where φ′ jumps
    third: eqx.AbstractVar[float | None]  # sup |φ‴|
    slope01: eqx.AbstractVar[bool]  # 0 ≤ φ′ ≤ 1 everywhere
    polynomial_degree: eqx.AbstractVar[int | None]  # None: not a polynomial
    kinks: eqx.AbstractVar[tuple[float, ...]]  # where φ or φ′ is not smooth

    ENTRY_ERROR: ClassVar[float] = 1e-13

    def __call__(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        """φ(z), elementwise."""
        raise NotImplementedError

    def derivative(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        """φ′(z), elementwise."""
        return jnp.vectorize(jax.grad(self.__call__))(z)
