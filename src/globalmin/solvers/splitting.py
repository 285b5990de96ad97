"""Douglas-Rachford splitting: equilibria h = φ(h) M + c that exist although the plain iteration may diverge.

For 0 ≤ φ′ ≤ 1, φ is the resolvent of a monotone map, and the equilibrium z = φ(zM + c) is the zero of the sum of that
map and of z ↦ z(I − M) − c, which is strongly monotone once μ = λ_max((M + Mᵀ)/2) < 1: a weaker condition than
‖M‖ < 1. The splitting then converges from any start without a step size to choose (Lions and Mercier, SIAM J. Numer.
Anal. 16 (1979); the monotone view of equilibria is that of Winston and Kolter, NeurIPS 2020).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .fixed_point import AbstractSolver, norm


class Splitting(AbstractSolver):
    """s ← s + φ(2b − s) − b with b = (s + c)(2I − M)⁻¹; at the fixed point b = z and 2b − s = zM + c = h.

    For h = φ(h) M + c given by `phi` with 0 ≤ φ′ ≤ 1, `matrix` M and `shift` c; one inverse, O(m³).
    """

    tolerance: float | Float[Array, ""]
    phi: Callable[[Array], Array]
    resolvent: Float[Array, "m m"]  # (2I − M)⁻¹
    shift: Float[Array, "*n m"]  # c

    def __init__(
        self,
        tolerance: float | Float[Array, ""],
        phi: Callable[[Array], Array],
        matrix: Float[Array, "m m"],
        shift: Float[Array, "*n m"],
    ):
        self.tolerance, self.phi = tolerance, phi
        identity = jnp.eye(len(matrix), dtype=matrix.dtype)
        # What is stored only steers the iteration: the implicit derivative is that of h = φ(h) M + c itself.
        self.resolvent = jax.lax.stop_gradient(jnp.linalg.inv(2 * identity - matrix))
        self.shift = jax.lax.stop_gradient(shift)

    def begin(self, y: Float[Array, "*n m"]) -> Float[Array, "*n m"]:
        """The s that belongs to the starting h: 2b − h with b = φ(h)."""
        return 2 * self.phi(y) - y

    def advance(self, fn, y, args, memory):
        """One product with the resolvent; ‖φ(h) − b‖ is the residual of b itself, since h = bM + c."""
        b = jnp.matmul(memory + self.shift, self.resolvent, precision=jax.lax.Precision.HIGHEST)
        h = 2 * b - memory
        change = self.phi(h) - b
        return h, norm(change), memory + change, None
