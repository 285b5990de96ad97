"""Deep residual network x^(h) = x^(h−1) + c_res/(H√m) σ(W^(h) x^(h−1)), h ≥ 2, f = aᵀx^(H), all layers trained.

x^(1) = √(c_σ/m) σ(W^(1) x), without a skip connection. Convention of Du, Lee, Li, Wang, Zhai (ICML 2019) and chapter 3
of Du's thesis: every entry N(0, 1).
"""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._core import numerics
from ..activations import AbstractActivation
from .deep import AbstractDeep, check_depth, gaussian_weights


class ResNet(AbstractDeep):
    """Residual network of width m and depth H ≥ 2 on inputs of dimension d."""

    skip: ClassVar[bool] = True

    first: Float[Array, "m d"]
    hidden: Float[Array, "layers m m"]
    readout: Float[Array, " m"]
    activation: AbstractActivation
    c_sigma: float = eqx.field(static=True)
    c_res: float = eqx.field(static=True)

    def __check_init__(self):
        check_residual_scale(self.c_res)

    @classmethod
    def init(
        cls,
        dimension: int,
        width: int,
        activation: AbstractActivation,
        *,
        depth: int,
        c_res: float,
        key: PRNGKeyArray,
        dtype=jnp.float64,
    ) -> "ResNet":
        """Every entry N(0, 1), independent.

        **Raises:** `ValueError` for a dimension or width below 1, a depth below 2, or `c_res` outside (0, 1).
        """
        numerics.check_count("dimension", dimension)
        numerics.check_count("width", width)
        check_depth(depth, 2, "layer 1 has no skip connection, so a residual network has at least two")
        shapes = ((width, dimension), (depth - 1, width, width), (width,))
        return cls(*gaussian_weights(key, shapes, dtype), activation, activation.c_sigma, c_res)

    @property
    def scale(self) -> float:
        """c_res/(H√m)."""
        return residual_scale(self.c_res, self.depth, self.width)


def residual_scale(c_res: float, depth: int, width: int) -> float:
    """c_res/(H√m)."""
    return c_res / (depth * width**0.5)


def check_residual_scale(c_res: float) -> None:
    """Raise `ValueError` unless 0 < c_res < 1."""
    if not 0 < c_res < 1:
        raise ValueError(f"c_res: a number in (0, 1) expected, {c_res} came; the theorem's constant is small, try 0.5")
