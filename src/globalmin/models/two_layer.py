"""f(x) = m^{-1/2} Σ_r a_r φ(w_rᵀx): one hidden layer, by default with W trained and a_r = ±1 fixed.

Convention: w_r ~ N(0, I_d) and no √2 in the activation, as in Du, Zhai, Póczos and Singh (ICLR 2019) and chapter 2
of Du's thesis. At a kink φ′ is the activation's own choice (1 at 0 for ReLU), which defines the update there.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._core import numerics
from ..activations import AbstractActivation
from .base import AbstractModel, TangentBlock


class TwoLayer(AbstractModel):
    """Two-layer network of width m on inputs of dimension d."""

    hidden: Float[Array, "m d"]  # W, rows w_r
    readout: Float[Array, " m"]  # a
    activation: AbstractActivation
    train_readout: bool = eqx.field(static=True, default=False)

    @classmethod
    def init(
        cls,
        dimension: int,
        width: int,
        activation: AbstractActivation,
        *,
        key: PRNGKeyArray,
        train_readout: bool = False,
        dtype=jnp.float64,
    ) -> "TwoLayer":
        """w_r ~ N(0, I_d) and a_r uniform on ±1, independent: the initialisation of the theorems.

        **Raises:** `ValueError` for a dimension or width below 1.
        """
        numerics.check_count("dimension", dimension)
        numerics.check_count("width", width)
        w_key, a_key = jax.random.split(key)
        hidden = jax.random.normal(w_key, (width, dimension), dtype)
        readout = jax.random.rademacher(a_key, (width,), dtype)
        return cls(hidden, readout, activation, train_readout)

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """f(x)."""
        return self.outputs(x[None])[0]

    def trainable(self) -> PyTree:
        """W, and a if `train_readout`."""
        frozen = jax.tree.map(lambda _: False, self)
        return eqx.tree_at(lambda m: (m.hidden, m.readout), frozen, (True, self.train_readout))

    @eqx.filter_jit
    def outputs(self, x: Float[Array, "n d"], state: PyTree = None) -> Float[Array, " n"]:
        """f on a batch: one product X Wᵀ."""
        return self.activation(self.preactivations(x)) @ self.readout / jnp.sqrt(self.hidden.shape[0])

    def output_scale(self, x: Float[Array, "n d"], state: PyTree = None) -> float:
        """max_i ‖a‖‖φ(Wx_i)‖/√m (Cauchy-Schwarz)."""
        return float(_output_scale(self, x))

    def preactivations(self, x: Float[Array, "n d"]) -> Float[Array, "n m"]:
        """w_rᵀx_i."""
        return jnp.matmul(x, self.hidden.T, precision=jax.lax.Precision.HIGHEST)

    def tangent_blocks(self, x: Float[Array, "n d"], state: PyTree = None) -> dict[str, TangentBlock]:
        """∂f_i/∂W = (a ∘ φ′(Wx_i)/√m) ⊗ x_i and, if trained, ∂f_i/∂a = φ(Wx_i)/√m."""
        h = self.preactivations(x)
        scale = 1 / jnp.sqrt(self.hidden.shape[0])
        blocks = {"hidden": TangentBlock(self.activation.derivative(h) * (self.readout * scale), x)}
        if self.train_readout:
            blocks["readout"] = TangentBlock(self.activation(h) * scale, jnp.ones((len(x), 1), x.dtype))
        return blocks


@eqx.filter_jit
def _output_scale(model: TwoLayer, x: Float[Array, "n d"]) -> Float[Array, ""]:
    features = jnp.linalg.norm(model.activation(model.preactivations(x)), axis=1)
    return jnp.linalg.norm(model.readout) * jnp.max(features) / jnp.sqrt(model.hidden.shape[0])
