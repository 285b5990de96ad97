"""Deep fully connected network x^(h) = √(c_σ/m) σ(W^(h) x^(h−1)), f = aᵀx^(H), all layers trained.

Convention of Du, Lee, Li, Wang, Zhai (ICML 2019) and chapter 3 of Du's thesis: every entry N(0, 1), c_σ = 1/E[σ(z)²],
no further scaling of the output; for inputs of norm 1 the states keep norm 1 as m grows, and f is O(1).
"""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._core import numerics
from ..activations import AbstractActivation
from .deep import AbstractDeep, check_depth, gaussian_weights


class Dense(AbstractDeep):
    """Fully connected network of width m and depth H ≥ 1 on inputs of dimension d."""

    skip: ClassVar[bool] = False

    first: Float[Array, "m d"]
    hidden: Float[Array, "layers m m"]
    readout: Float[Array, " m"]
    activation: AbstractActivation
    c_sigma: float = eqx.field(static=True)

    @classmethod
    def init(
        cls,
        dimension: int,
        width: int,
        activation: AbstractActivation,
        *,
        depth: int,
        key: PRNGKeyArray,
        dtype=jnp.float64,
    ) -> "Dense":
        """Every entry N(0, 1), independent. **Raises:** `ValueError` for a dimension, width or depth below 1."""
        numerics.check_count("dimension", dimension)
        numerics.check_count("width", width)
        check_depth(depth, 1, "the number of hidden layers")
        shapes = ((width, dimension), (depth - 1, width, width), (width,))
        return cls(*gaussian_weights(key, shapes, dtype), activation, activation.c_sigma)

    @property
    def scale(self) -> float:
        """√(c_σ/m)."""
        return self.first_scale
