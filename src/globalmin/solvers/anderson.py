"""Anderson acceleration: the next iterate from the combination of the last few whose residual is smallest.

Walker and Ni, SIAM J. Numer. Anal. 49 (2011), Algorithm AA in its difference form. The coefficients are common to the
whole batch. It pays where the contraction is slow (‖W‖ near 1): at ‖W‖ = 0.57 the plain iteration is faster.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .fixed_point import AbstractSolver, norm


class History(eqx.Module):
    """The last images F(h) and residuals F(h) − h, one per slot, and how many were seen."""

    images: Float[Array, "depth *batch"]
    residuals: Float[Array, "depth *batch"]
    seen: Int[Array, ""]


class Anderson(AbstractSolver):
    """Anderson acceleration over the last `depth` iterates; memory 2 · depth batches."""

    tolerance: float | Float[Array, ""]
    depth: int

    def __init__(self, tolerance: float | Float[Array, ""], depth: int = 5):
        self.tolerance, self.depth = tolerance, depth

    def begin(self, y: Float[Array, "..."]) -> History:
        """Empty slots."""
        slots = jnp.zeros((self.depth, *y.shape), y.dtype)
        return History(slots, slots, jnp.array(0))

    def advance(self, fn, y, args, memory):
        """One evaluation, one small least-squares problem."""
        image, aux = fn(y, args)
        residual = image - y
        # Differences with the newest residual, not between neighbours: no order of the slots to keep.
        differences = (memory.residuals - residual).reshape(self.depth, -1)
        lengths = jnp.sqrt(jnp.sum(jax.lax.square(differences), axis=1))
        filled = (jnp.arange(self.depth) < memory.seen) & (lengths > 0)
        inverse = jnp.where(filled, 1 / jnp.where(filled, lengths, 1), 0)
        # Unit columns: residuals fall by orders of magnitude within one window, and an unscaled Gram matrix would
        # lose the newest. The ridge, 1000 eps, is above the Gram's rounding error and costs only a little speed.
        products = jnp.matmul(differences, differences.T, precision=jax.lax.Precision.HIGHEST)
        gram = products * inverse[:, None] * inverse[None, :]
        ridge = jnp.where(filled, 1000 * float(jnp.finfo(y.dtype).eps), 1.0)
        right = jnp.matmul(differences, residual.reshape(-1), precision=jax.lax.Precision.HIGHEST) * inverse
        weights = -jnp.linalg.solve(gram + jnp.diag(ridge), right) * inverse
        step = jnp.tensordot(weights, memory.images - image, axes=1, precision=jax.lax.Precision.HIGHEST)
        slot = memory.seen % self.depth
        memory = History(memory.images.at[slot].set(image), memory.residuals.at[slot].set(residual), memory.seen + 1)
        return image + step, norm(residual), memory, aux
