"""Deep equilibrium model f(x) = aᵀz, z = φ(Wz + Ux), all of W, U and a trained (Ling et al., AISTATS 2023).

How it is solved and warm-started is in `fixed_point_layer`, here with M = W and C = X Uᵀ.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._core import numerics
from ..activations import AbstractActivation
from .base import TangentBlock
from .fixed_point_layer import AbstractEquilibriumModel, EquilibriumState, Method, product


class Equilibrium(AbstractEquilibriumModel):
    """Deep equilibrium model of width m on inputs of dimension d; rows of norm √d are what the theory assumes.

    The equilibrium exists and is unique if sup|φ′| ‖W‖ < 1, or if 0 ≤ φ′ ≤ 1 and μ = λ_max((W + Wᵀ)/2) < 1
    (`well_posed`). `method` "iteration" and "anderson" need the first, "splitting" the second.
    """

    hidden: Float[Array, "m m"]  # W
    inject: Float[Array, "m d"]  # U
    readout: Float[Array, " m"]  # a
    activation: AbstractActivation
    tolerance: float = eqx.field(static=True, default=1e-6)  # of a training step, relative to ‖UX‖ and √n ‖a‖
    max_steps: int = eqx.field(static=True, default=500)
    method: Method = eqx.field(static=True, default="iteration")

    @classmethod
    def init(
        cls,
        dimension: int,
        width: int,
        activation: AbstractActivation,
        *,
        key: PRNGKeyArray,
        sigma_w2: float = 0.08,
        dtype=jnp.float64,
        tolerance: float = 1e-6,
        max_steps: int = 500,
        method: Method = "iteration",
    ) -> "Equilibrium":
        """W_ij ~ N(0, 2σ_w²/m), U_ij ~ N(0, 2/d), a_j ~ N(0, 1/m), independent (Assumption 1).

        **Raises:** `ValueError` for a dimension or width below 1, and for σ_w² outside (0, 1/8).
        """
        numerics.check_count("dimension", dimension)
        numerics.check_count("width", width)
        if not 0 < sigma_w2 < 0.125:
            raise ValueError(
                f"sigma_w2: a number in (0, 1/8) expected, {sigma_w2} came; ‖W‖ tends to 2√2 σ_w, and from 1/8 on it "
                "is no longer below 1"
            )
        w_key, u_key, a_key = jax.random.split(key, 3)
        hidden = jax.random.normal(w_key, (width, width), dtype) * float(np.sqrt(2 * sigma_w2 / width))
        inject = jax.random.normal(u_key, (width, dimension), dtype) * float(np.sqrt(2 / dimension))
        readout = jax.random.normal(a_key, (width,), dtype) / float(np.sqrt(width))
        return cls(hidden, inject, readout, activation, tolerance, max_steps, method)

    def trainable(self) -> PyTree:
        """W, U and a."""
        frozen = jax.tree.map(lambda _: False, self)
        return eqx.tree_at(_weights, frozen, (True, True, True))

    def output_scale(self, x: Float[Array, "n d"], state: EquilibriumState | None = None) -> float:
        """max_i ‖a‖‖z_i‖ (Cauchy-Schwarz)."""
        features = jnp.linalg.norm(self.equilibrium(x, state).checked(), axis=1)
        return float(jnp.linalg.norm(self.readout) * jnp.max(features))

    def factors(
        self, x: Float[Array, "n d"], z: Float[Array, "n m"], r: Float[Array, "n m"]
    ) -> dict[str, TangentBlock]:
        """∂f_i/∂W = r_i ⊗ z_i, ∂f_i/∂U = r_i ⊗ x_i, ∂f_i/∂a = z_i: H = G + RᵀR∘G + RᵀR∘XᵀX, exact for any φ."""
        return {
            "hidden": TangentBlock(r, z),
            "inject": TangentBlock(r, x),
            "readout": TangentBlock(z, jnp.ones((len(x), 1), x.dtype)),
        }

    def matrix(self) -> Float[Array, "m m"]:
        """W."""
        return self.hidden

    def shift(self, x: Float[Array, "*n d"]) -> Float[Array, "*n m"]:
        """X Uᵀ."""
        return self._injected(x)

    def read(self, x: Float[Array, "*n d"], z: Float[Array, "*n m"]) -> Float[Array, "*n"]:
        """Z a."""
        return product(z, self.readout)

    def _gradient(self, x, z, weighted, rho) -> "Equilibrium":
        r"""$\nabla_W = (\mathrm{diag}(\rho) R)^\top Z$, $\nabla_U = (\mathrm{diag}(\rho) R)^\top X$, $\nabla_a = Z^\top \rho$.

        **Source:** Ling et al., AISTATS 2023, section 3.2.
        """
        leaves = (product(weighted.T, z), product(weighted.T, x), product(rho, z))
        return eqx.tree_at(_weights, eqx.filter(self, self.trainable()), leaves)


def _weights(model: Equilibrium) -> tuple:
    return model.hidden, model.inject, model.readout
